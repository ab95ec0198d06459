//! Payments that are given up or raised, and what is left to spend.

use btc::bitcoin::Transaction;
use btc::bitcoin::consensus::encode::deserialize_hex;
use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_tests::Outcome;
use serde_json::json;

use super::{Case, Purse, SOMEBODY, mempool, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("what_is_dropped_by_name_does_not_come_back", dropped),
    ("a_rescan_below_the_birthday_is_refused", rescan_below),
    ("psbt_bump_signs_nothing", unsigned),
    ("balance_says_what_the_next_payment_can_spend", available),
];

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

fn rescan_below(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let birthday = chain.height();
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let below = (birthday - 1).to_string();
    let run = purse.run(&["rescan", "--from", &below]).code(2);
    run.says(&["birthday", &birthday.to_string(), "--birthday"]);
    let read = purse.json(&["rescan", "--from", &birthday.to_string()]);
    assert_eq!(read["spendable_sat"], 90_000);
    Ok(())
}

fn unsigned(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for address_type in [AddressType::P2pkh, AddressType::P2tr] {
        let purse = Purse::new(chain, node)?;
        purse.receive(chain, address_type, &[90_000])?;
        let payment = format!("{SOMEBODY}=20000sat");
        let sent = text(&purse.json(&["send", &payment, "--fee-rate", "2"])["txid"]);
        let raised = purse.json(&["psbt", "bump", &sent, "--fee-rate", "9"]);
        let run = purse.run(&["psbt", "finalize", &text(&raised["psbt"])]);
        run.code(1).says(&["signatures are missing"]);
        let signed = purse.run(&["psbt", "sign", &text(&raised["psbt"])]).code(0);
        purse
            .run(&["psbt", "finalize", signed.stdout.trim()])
            .code(0);
        chain.mine(1)?;
    }
    Ok(())
}

fn available(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000, 60_000])?;
    let coins = purse.json(&["utxo"]);
    let coins = coins.as_array().ok_or("a list")?;
    let large = coins.iter().find(|coin| coin["value_sat"] == 90_000);
    let large = text(&large.ok_or("it is there")?["outpoint"]);
    purse.run(&["utxo", "lock", &large]).code(0);
    let balance = purse.json(&["balance"]);
    assert_eq!(balance["spendable_sat"], 150_000);
    assert_eq!(balance["available_sat"], 60_000);
    Ok(())
}
