//! `btc broadcast` with a wallet: what it sends is a payment like any other.

use std::sync::{Arc, Mutex};

use btc::bitcoin::Transaction;
use btc::bitcoin::consensus::encode::deserialize_hex;
use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_regtest::sim::{Fate, Moment};
use btc_tests::{Outcome, WalletFolder};
use rusqlite::Connection;
use serde_json::json;

use super::{Case, Failed, Purse, SOMEBODY, error, mempool, simulated, text};

pub(super) const CASES: &[(&str, Case)] = &[
    (
        "broadcast_takes_no_payments_coins_unless_it_is_named",
        rivals,
    ),
    (
        "broadcast_says_what_the_node_said_whatever_else_fails",
        refused_over_a_busy_file,
    ),
];

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

/// The node refuses a replacement, and the shared file cannot be written from that moment on: the
/// refusal is the error, and that the permission stays is a remark.
fn refused_over_a_busy_file(_: &mut Chain<'_>, _: &NodeConfig) -> Outcome {
    let (node, config) = simulated()?;
    let purse = Purse {
        folder: WalletFolder::random(0)?,
        node: &config,
    };
    purse.receive_from(&node, 90_000)?;
    let coin = text(&purse.json(&["utxo"])[0]["outpoint"]);
    let payment = format!("{SOMEBODY}=30000sat");
    let psbt = ["psbt", "create", &payment, "--fee-rate", "10"];
    let psbt = purse.run(&psbt).code(0).stdout;
    purse.run(&["utxo", "unlock", &coin]).code(0);
    let first = text(&purse.json(&["send", &payment, "--fee-rate", "2"])["txid"]);
    let rival = whole(&purse, psbt.trim())?;

    let file = purse.folder.path().join("reservations.sqlite");
    let busy: Arc<Mutex<Option<Connection>>> = Arc::default();
    let held = Arc::clone(&busy);
    node.set_tap(Some(Box::new(move |call, moment| {
        if call.name != "sendrawtransaction" || moment != Moment::Before {
            return Fate::Proceed;
        }
        let connection = Connection::open(&file).expect("the shared file is there");
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("no other writes");
        *held.lock().expect("one thread") = Some(connection);
        Fate::Refuse(-26, "min relay fee not met".to_owned())
    })));
    let run = purse.run(&["broadcast", &rival, "--replaces", &first, "--json"]);
    *busy.lock().expect("one thread") = None;
    node.set_tap(None);
    let mut run = run.says(&["min relay fee not met", "remark"]);
    // The remark comes before the error.
    run.stderr.drain(..run.stderr.find('{').ok_or("an error")?);
    let said = error(&run);
    // The row could not be deleted: it may be sent again by itself.
    assert_eq!(said["kind"], "unavailable", "{said}");
    let rival: Transaction = deserialize_hex(&rival)?;
    assert!(!node.is_waiting(rival.compute_txid()));
    Ok(())
}

/// Signed, in hexadecimal.
fn whole(purse: &Purse<'_>, psbt: &str) -> Result<String, Failed> {
    let signed = purse.run(&["psbt", "sign", psbt]).code(0).stdout;
    let last = purse.run(&["psbt", "finalize", signed.trim()]).code(0);
    let hex = purse.run(&["psbt", "extract", last.stdout.trim()]).code(0);
    Ok(hex.stdout.trim().to_owned())
}
