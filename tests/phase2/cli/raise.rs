//! `btc bump`: replacements (BIP125) and children that pay for their parents.

use btc::bitcoin::consensus::encode;
use btc::bitcoin::{Amount, Txid};
use btc::{AddressType, NodeConfig};
use btc_regtest::{Chain, Node};
use btc_tests::Outcome;
use serde_json::{Value, json};

use super::{Case, Failed, Purse, SOMEBODY, fee_sat, mempool, sat, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("bump_replaces", replaces),
    ("bump_with_a_child_helps_others", child_for_others),
    ("bump_with_a_child_helps_a_chain", child_for_a_chain),
    ("bump_refuses_what_makes_no_sense", refuses),
];

fn replaces(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for address_type in [AddressType::P2pkh, AddressType::P2tr] {
        let purse = Purse::new(chain, node)?;
        purse.receive(chain, address_type, &[150_000])?;
        let payment = format!("{SOMEBODY}=20000sat");
        let sent = purse.json(&["send", &payment, "--fee-rate", "2", "--label", "rent"]);
        let old = text(&sent["txid"]);
        let raised = purse.json(&["bump", &old, "--fee-rate", "9"]);
        let new = text(&raised["txid"]);
        let waiting = mempool(chain.node())?;
        assert!(
            waiting.contains(&new) && !waiting.contains(&old),
            "{raised}"
        );
        assert_eq!(
            raised["fee_sat"].as_u64(),
            Some(fee_sat(chain.node(), &new)?)
        );
        assert!(raised["fee_sat"].as_u64() > sent["fee_sat"].as_u64());
        let paid = |value: &Value| {
            let outputs = value["outputs"].as_array().cloned().unwrap_or_default();
            outputs.into_iter().find(|it| it["address"] == SOMEBODY)
        };
        assert_eq!(paid(&raised), paid(&sent));
        // Once more, and a lower one is not taken.
        let run = purse.run(&["bump", &new, "--fee-rate", "9"]).code(2);
        run.says(&["sat/vB at least"]);
        purse.run(&["bump", &new, "--fee-rate", "12"]).code(0);
        purse
            .run(&["bump", &old, "--fee-rate", "20"])
            .code(2)
            .says(&["no longer in the mempool"]);
        chain.mine(1)?;
        let history = purse.json(&["history"]);
        assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
        assert_eq!(
            history[0]["label"], "rent",
            "lost with the replacement: {history}"
        );
    }
    Ok(())
}

/// The fee rate of a waiting transaction with all its ancestors, at least this.
fn assert_package_pays(node: &Node, txid: &str, rate: u64) -> Result<(), Failed> {
    let entry: Value = node.call("getmempoolentry", &[json!(txid)])?;
    let vsize = entry["ancestorsize"].as_u64().ok_or("a size")?;
    let fees = sat(&entry["fees"]["ancestor"])?;
    assert!(
        fees >= vsize * rate,
        "{fees} sat for {vsize} vB at {rate}: {entry}"
    );
    assert!(
        fees <= vsize * (rate + 2),
        "{fees} sat for {vsize} vB at {rate}: {entry}"
    );
    Ok(())
}

/// What somebody else pays for theirs is the node's to tell.
fn child_for_others(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let (_, script) = purse.address(AddressType::P2wpkh)?;
    let incoming = chain.spend_to(&script, Amount::from_sat(120_000))?;
    let hex = json!(encode::serialize_hex(&incoming));
    let parent: Txid = chain.node().call("sendrawtransaction", &[hex])?;
    let parent = parent.to_string();
    // Not the wallet's to replace.
    let run = purse.run(&["bump", &parent, "--fee-rate", "20"]).code(2);
    run.says(&["child"]);
    let raised = purse.json(&["bump", &parent, "--child", "--fee-rate", "20"]);
    let child = text(&raised["txid"]);
    assert!(text(&raised["inputs"][0]).starts_with(&parent));
    assert_eq!(raised["outputs"][0]["is_change"], true, "{raised}");
    assert_package_pays(chain.node(), &child, 20)?;
    chain.mine(1)?;
    let fee = raised["fee_sat"].as_u64().ok_or("a fee")?;
    assert_eq!(purse.spendable_sat(), Some(120_000 - fee));
    Ok(())
}

/// The parent of the parent counts too, whoever made it.
fn child_for_a_chain(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let sender = Purse::new(chain, node)?;
    sender.receive(chain, AddressType::P2wpkh, &[400_000])?;
    let purse = Purse::new(chain, node)?;
    let far = sender.json(&["send", &format!("{SOMEBODY}=50000sat"), "--fee-rate", "1"]);
    let (address, _) = purse.address(AddressType::P2tr)?;
    let near = sender.json(&["send", &format!("{address}=150000sat"), "--fee-rate", "1"]);
    let far = text(&far["txid"]);
    assert!(text(&near["inputs"][0]).starts_with(&far), "{near}");
    let raised = purse.json(&["bump", &text(&near["txid"]), "--child", "--fee-rate", "15"]);
    assert_package_pays(chain.node(), &text(&raised["txid"]), 15)?;
    Ok(())
}

fn refuses(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let paid = purse
        .receive(chain, AddressType::P2wpkh, &[60_000])?
        .to_string();
    let run = purse.run(&["bump", &paid, "--fee-rate", "20"]).code(2);
    run.says(&["confirmed"]);
    let unknown = "ab".repeat(32);
    purse
        .run(&["bump", &unknown, "--fee-rate", "20"])
        .code(1)
        .says(&["not a transaction of the wallet"]);
    purse
        .run(&["bump", "ab", "--fee-rate", "20"])
        .code(2)
        .says(&["64 hexadecimal digits"]);
    purse.run(&["bump", &paid]).code(2).says(&["--fee-rate"]);
    purse
        .run(&["bump", &paid, "--fee-rate", "0"])
        .code(2)
        .says(&["1 at least"]);
    let sent = purse.json(&["send", &format!("{SOMEBODY}=20000sat"), "--fee-rate", "2"]);
    let txid = text(&sent["txid"]);
    // A rate that is an amount, and a fee that eats what is there.
    purse
        .run(&["bump", &txid, "--fee-rate", "1001"])
        .code(2)
        .says(&["--allow-high-fee"]);
    purse
        .run(&["bump", &txid, "--fee-rate", "100"])
        .code(2)
        .says(&["--allow-high-fee"]);
    purse
        .run(&["bump", &txid, "--fee-rate", "100", "--child"])
        .code(2)
        .says(&["--allow-high-fee"]);
    assert_eq!(
        mempool(chain.node())?
            .iter()
            .filter(|it| **it == txid)
            .count(),
        1
    );
    let raised = purse.json(&["bump", &txid, "--fee-rate", "100", "--allow-high-fee"]);
    assert!(mempool(chain.node())?.contains(&text(&raised["txid"])));
    Ok(())
}
