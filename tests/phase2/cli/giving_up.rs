//! Payments that were given up: by name, when another one's fee is raised.

use btc::bitcoin::Transaction;
use btc::bitcoin::consensus::encode::deserialize_hex;
use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_tests::Outcome;
use serde_json::json;

use super::{Case, Purse, SOMEBODY, mempool, text};

pub(super) const CASES: &[(&str, Case)] =
    &[("what_is_dropped_by_name_does_not_come_back", dropped)];

/// A, B from A's change, A raised with B dropped; then a miner takes the first A.
fn dropped(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[900_000])?;
    let payment = format!("{SOMEBODY}=20000sat");
    let send = ["send", &payment, "--fee-rate", "2"];
    let [first, second] = [(); 2].map(|()| text(&purse.json(&send)["txid"]));
    let hex: String = chain.node().call("getrawtransaction", &[json!(first)])?;
    let mined: Transaction = deserialize_hex(&hex)?;
    let raise = ["bump", &first, "--fee-rate", "9", "--drops", &second];
    let raised = text(&purse.json(&raise)["txid"]);
    assert!(mempool(chain.node())?.contains(&raised));
    chain.mine_transactions(&[mined])?;
    for _ in 0..2 {
        purse.run(&["rebroadcast"]).code(0);
        let waiting = mempool(chain.node())?;
        assert!(!waiting.contains(&second), "it is paid all the same");
    }
    let history = purse.json(&["history"]);
    let state = |txid: &String| {
        let mut all = history.as_array().into_iter().flatten();
        all.find(|entry| entry["txid"] == json!(txid))
            .map(|entry| entry["state"].clone())
    };
    assert_eq!(state(&first), Some(json!("confirmed")), "{history}");
    assert_eq!(state(&second), Some(json!("abandoned")), "{history}");
    Ok(())
}
