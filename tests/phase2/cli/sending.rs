//! `btc broadcast` with a wallet: what it sends is a payment like any other.

use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_tests::Outcome;
use serde_json::json;

use super::{Case, Failed, Purse, SOMEBODY, mempool, text};

pub(super) const CASES: &[(&str, Case)] = &[(
    "broadcast_takes_no_payments_coins_unless_it_is_named",
    rivals,
)];

/// Two transactions of one coin: the second is sent when it names the first, and is the wallet's.
fn rivals(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let coin = text(&purse.json(&["utxo"])[0]["outpoint"]);
    let payment = format!("{SOMEBODY}=30000sat");
    let psbt = ["psbt", "create", &payment, "--fee-rate", "10"];
    let psbt = purse.run(&psbt).code(0).stdout;
    purse.run(&["utxo", "unlock", &coin]).code(0);
    let first = text(&purse.json(&["send", &payment, "--fee-rate", "2"])["txid"]);
    let rival = whole(&purse, psbt.trim())?;

    let refused = purse.run(&["broadcast", &rival]).code(1);
    refused.says(&["spends-coins-of-another-payment", &first, "--replaces"]);
    assert!(mempool(chain.node())?.contains(&first));
    // What is allowed to a call that fails is not allowed to the next one.
    let unknown = "00".repeat(32);
    let run = purse.run(&["broadcast", &rival, "--replaces", &unknown]);
    run.code(2).says(&["no payment of the wallet"]);
    let sent = purse.run(&["broadcast", &rival, "--replaces", &first]);
    let second = sent.code(0).stdout.trim().to_owned();
    let waiting = mempool(chain.node())?;
    assert!(waiting.contains(&second) && !waiting.contains(&first));
    let history = purse.json(&["history"]);
    assert_eq!(history[0]["txid"], json!(second), "{history}");
    assert_eq!(history[0]["state"], "in_mempool", "{history}");
    chain.mine(1)?;
    Ok(())
}

/// Signed, in hexadecimal.
fn whole(purse: &Purse<'_>, psbt: &str) -> Result<String, Failed> {
    let signed = purse.run(&["psbt", "sign", psbt]).code(0).stdout;
    let last = purse.run(&["psbt", "finalize", signed.trim()]).code(0);
    let hex = purse.run(&["psbt", "extract", last.stdout.trim()]).code(0);
    Ok(hex.stdout.trim().to_owned())
}
