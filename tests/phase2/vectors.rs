//! Payments that both wallets must build to the byte, as the Python package publishes them.

use std::path::Path;

use bitcoin::consensus::encode::serialize_hex;
use btc::rust::wallet::build::{plan, sign};
use btc::rust::wallet::keys::{Keyring, Signer};
use btc::{Network, WalletSnapshot};
use btc_tests::{Outcome, Suite};
use serde::Deserialize;

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";

#[derive(Deserialize)]
struct Payment {
    name: String,
    outputs: Vec<(String, u64)>,
    fee_rate: u64,
    snapshot: WalletSnapshot,
    fee_sat: u64,
    transaction: String,
}

pub(crate) fn add(suite: &mut Suite) {
    suite.add("vectors::rust_builds_what_python_published", same_bytes);
}

fn same_bytes() -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/btc-python/python/tests/payments.json");
    let payments: Vec<Payment> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    assert!(payments.len() >= 20, "{} payments", payments.len());
    let signer = Signer::from_words(Network::Regtest, WORDS, "")?;
    let keyring = Keyring::new(Network::Regtest, &signer.accounts())?;
    for payment in payments {
        let draft = plan(
            &keyring,
            &payment.snapshot,
            &payment.outputs,
            payment.fee_rate,
            btc::FeeRate::from_sat_per_kvb(u64::MAX),
        )?;
        assert_eq!(draft.fee_sat, payment.fee_sat, "{}", payment.name);
        let transaction = sign(&draft, &keyring, &signer)?;
        assert_eq!(
            serialize_hex(&transaction),
            payment.transaction,
            "{}",
            payment.name
        );
    }
    Ok(())
}
