//! `WalletInterface` of the Rust wallet: what goes beyond the eight operations, on a real node.

mod books;
mod hurrying;
mod paying;
mod signing;

use bitcoin::{Amount, ScriptBuf, Txid};
use btc::rust::wallet::RustWallet;
use btc::{AddressType, FeeRate, NodeConfig, Recipient, TransactionRequest, WalletInterface};
use btc_regtest::Chain;
use btc_tests::{Outcome, WalletFolder};
use serde_json::{Value, json};
use std::sync::Arc;

/// A case with a wallet that has four coins of [`VALUE_SAT`], one of each type.
pub(crate) type Case = fn(&mut Desk<'_, '_>) -> Outcome;

pub(crate) const CASES: &[(&str, Case)] = &[
    ("every_selection_pays_exactly", paying::every_selection),
    ("data_and_several_recipients", paying::data_and_recipients),
    ("coin_control", paying::coin_control),
    ("a_drain_leaves_nothing", paying::a_drain),
    ("a_fee_out_of_proportion_needs_consent", paying::high_fees),
    ("a_preview_reserves_nothing", paying::a_preview),
    ("a_replacement_pays_more", hurrying::a_replacement),
    ("a_child_pays_for_its_parent", hurrying::a_child),
    ("an_external_signer_signs", signing::an_external_signer),
    ("a_forged_psbt_is_not_signed", signing::a_forged_psbt),
    ("coins_are_locked_and_unlocked", books::locks),
    ("labels_travel", books::labels),
    ("history_adds_up", books::history),
    ("addresses_are_recognised", books::addresses),
    ("messages_are_signed", signing::messages),
];

const VALUE_SAT: u64 = 500_000;

/// What a case works with.
pub(crate) struct Desk<'a, 'n> {
    chain: &'a mut Chain<'n>,
    node: NodeConfig,
    folder: WalletFolder,
    wallet: Arc<RustWallet>,
}

/// Runs a case on this chain.
pub(crate) fn run(chain: &mut Chain<'_>, node: NodeConfig, case: Case) -> Outcome {
    let folder = WalletFolder::random(chain.height())?;
    let wallet = btc::connect_wallet(&folder.config(&node, &[]))?;
    let mut outputs = Vec::new();
    for address_type in AddressType::ALL {
        let script = wallet.generate_address(address_type)?.script_pubkey;
        outputs.push((script, Amount::from_sat(VALUE_SAT)));
    }
    chain.pay(&outputs, 2)?;
    chain.mine(1)?;
    wallet.sync()?;
    case(&mut Desk {
        chain,
        node,
        folder,
        wallet,
    })
}

impl Desk<'_, '_> {
    fn coins(&self) -> btc::BitcoinResult<Vec<btc::Coin>> {
        self.wallet.unspent()
    }

    /// Signs, finalises, sends; returns the txid.
    fn complete(&self, mut psbt: bitcoin::Psbt) -> btc::BitcoinResult<Txid> {
        self.wallet.sign_psbt(&mut psbt)?;
        assert!(self.wallet.finalize_psbt(&mut psbt)?, "all inputs are ours");
        let transaction = self.wallet.extract_psbt(&psbt, true)?;
        self.wallet.broadcast_transaction(&transaction)
    }

    /// What the node says of a transaction in its mempool.
    fn entry(&self, txid: Txid) -> Result<Value, btc_regtest::NodeError> {
        self.chain.node().call("getmempoolentry", &[json!(txid)])
    }
}

fn pay(recipients: &[(ScriptBuf, u64)], fee_rate_sat_per_vb: u64) -> TransactionRequest {
    TransactionRequest {
        recipients: recipients
            .iter()
            .map(|(script, value_sat)| Recipient {
                address: text(script),
                value_sat: *value_sat,
            })
            .collect(),
        fee_rate: FeeRate::from_sat_per_vb(fee_rate_sat_per_vb),
        ..TransactionRequest::default()
    }
}

fn foreign(number: u8) -> ScriptBuf {
    use bitcoin::hashes::Hash;
    ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([number; 20]))
}

fn text(script: &ScriptBuf) -> String {
    bitcoin::Address::from_script(script, bitcoin::Network::Regtest)
        .expect("a script with an address")
        .to_string()
}
