//! A payment that the node has lost: listed, its coins held, sent again, given up.

use btc::NodeConfig;
use btc_regtest::Chain;
use btc_tests::{Outcome, WalletFolder};
use serde_json::{Value, json};

use super::{Case, Failed, Purse, SOMEBODY, simulated, text};

pub(super) const CASES: &[(&str, Case)] = &[(
    "a_payment_that_the_node_forgot_is_listed_sent_again_and_given_up",
    forgotten,
)];

const FUNDS_SAT: u64 = 90_000;

/// The entry of a payment in the history.
fn entry(purse: &Purse<'_>, txid: &str) -> Result<Value, Failed> {
    let history = purse.json(&["history"]);
    let mut all = history.as_array().into_iter().flatten();
    let found = all.find(|entry| entry["txid"] == json!(txid));
    Ok(found.cloned().ok_or("it is in the history")?)
}

fn forgotten(_: &mut Chain<'_>, _: &NodeConfig) -> Outcome {
    let (node, config) = simulated()?;
    let purse = Purse {
        folder: WalletFolder::random(0)?,
        node: &config,
    };
    purse.receive_from(&node, FUNDS_SAT)?;
    let payment = format!("{SOMEBODY}=30000sat");
    let send = ["send", &payment, "--fee-rate", "2"];
    let txid = text(&purse.json(&send)["txid"]);
    assert_eq!(entry(&purse, &txid)?["state"], "in_mempool");
    // In the mempool, it is not given up.
    let run = purse.run(&["abandon", &txid]).code(2);
    assert!(run.stdout.is_empty(), "{run:?}");

    node.restart(false)?;
    assert_eq!(entry(&purse, &txid)?["state"], "missing");
    let people = purse.run(&["history"]).code(0).stdout;
    assert!(
        people.contains("MISSING") && people.contains("btc rebroadcast"),
        "{people}"
    );
    let balance = purse.json(&["balance"]);
    assert_eq!(balance["held_by_missing_sat"], FUNDS_SAT, "{balance}");
    assert_eq!(balance["available_sat"], 0, "{balance}");
    // Another payment does not take its coins.
    purse.run(&send).code(1).says(&["not enough coins"]);

    let again = purse.json(&["rebroadcast"]);
    assert_eq!(
        again,
        json!([{"txid": txid, "is_sent": true, "error": null}])
    );
    assert_eq!(node.mempool().len(), 1);
    assert_eq!(entry(&purse, &txid)?["state"], "in_mempool");
    let run = purse.run(&["rebroadcast"]).code(0);
    assert_eq!(run.stdout.trim(), "no payment is missing");

    node.restart(false)?;
    let given_up = purse.json(&["abandon", &txid]);
    assert_eq!(given_up["abandoned"], json!([txid]));
    let warning = text(&given_up["warnings"][0]);
    assert!(
        warning.contains("a node elsewhere may still have it"),
        "{warning}"
    );
    assert_eq!(entry(&purse, &txid)?["state"], "abandoned");
    let balance = purse.json(&["balance"]);
    assert_eq!(balance["held_by_missing_sat"], 0, "{balance}");
    assert_eq!(balance["available_sat"], FUNDS_SAT, "{balance}");
    // Nothing is sent again by itself.
    assert_eq!(purse.json(&["rebroadcast"]), json!([]));
    assert!(node.mempool().is_empty());
    // Its coin is free: what takes it makes sure that the first is not paid.
    let second = text(&purse.json(&send)["txid"]);
    assert_ne!(second, txid);
    assert_eq!(entry(&purse, &second)?["state"], "in_mempool");
    Ok(())
}
