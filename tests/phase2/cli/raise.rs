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
    ("bump_names_the_least_rate", least_rate),
    ("bump_pays_for_what_others_built_on_it", others_descendants),
    ("bump_loses_no_payment_unnamed", own_descendants),
    ("bump_takes_from_the_recipient_of_a_drain", from_recipient),
    ("bump_keeps_a_lock", keeps_a_lock),
    ("cancel_takes_a_payment_back", cancels),
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
            .says(&["replaced by"]);
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
        .says(&["above 0"]);
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

/// What `--json` says of a refusal.
fn refusal(purse: &Purse<'_>, arguments: &[&str]) -> Result<Value, Failed> {
    let arguments = [arguments, &["--json"]].concat();
    let run = purse.run(&arguments).code(2);
    let value: Value = serde_json::from_str(&run.stderr)?;
    Ok(value["error"].clone())
}

/// A member of a refusal's context.
fn context<'a>(refusal: &'a Value, name: &str) -> Option<&'a str> {
    refusal["context"][name].as_str()
}

/// A rate in sat/kvB as it is typed, without a float.
fn typed(sat_per_kvb: u64) -> String {
    format!("{}.{:03}", sat_per_kvb / 1_000, sat_per_kvb % 1_000)
}

/// Sent at 2 sat/vB, 3 is enough, and so is what the refusal names, but not a thousandth less.
fn least_rate(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    for rate in ["2", "3"] {
        purse.receive(chain, AddressType::P2wpkh, &[150_000])?;
        let payment = format!("{SOMEBODY}=20000sat");
        let sent = purse.json(&["send", &payment, "--fee-rate", rate]);
        let txid = text(&sent["txid"]);
        let error = refusal(&purse, &["bump", &txid, "--fee-rate", rate])?;
        let least = context(&error, "min_fee_rate_sat_per_kvb");
        let least: u64 = least.ok_or(error.to_string())?.parse()?;
        let asked: u64 = rate.parse()?;
        assert!(
            least > asked * 1_000 && least <= asked * 1_000 + 150,
            "{error}"
        );
        let below = ["bump", &txid, "--fee-rate", &typed(least - 1), "--dry-run"];
        purse.run(&below).code(2).says(&["at least"]);
        let raise = [
            "bump",
            &txid,
            "--fee-rate",
            &typed(least),
            "--allow-high-fee",
        ];
        let raised = purse.json(&raise);
        assert!(mempool(chain.node())?.contains(&text(&raised["txid"])));
        chain.mine(1)?;
    }
    Ok(())
}

/// The recipient spends the payment at 60 sat/vB before its sender raises the fee to 5.
fn others_descendants(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[900_000])?;
    let other = Purse::new(chain, node)?;
    let (address, _) = other.address(AddressType::P2wpkh)?;
    let sent = purse.json(&["send", &format!("{address}=200000sat"), "--fee-rate", "2"]);
    let txid = text(&sent["txid"]);
    let coin = text(&other.json(&["utxo"])[0]["outpoint"]);
    let payment = format!("{SOMEBODY}=100000sat");
    let passed_on = [
        "send",
        &payment,
        "--coin",
        &coin,
        "--only-coins",
        "--fee-rate",
        "60",
        // Its parent's fee is paid as well.
        "--allow-high-fee",
    ];
    let child = text(&other.json(&passed_on)["txid"]);
    let error = refusal(&purse, &["bump", &txid, "--fee-rate", "5", "--dry-run"])?;
    let least = context(&error, "min_fee_rate_sat_per_kvb");
    let least: u64 = least.ok_or(error.to_string())?.parse()?;
    assert!(least > 60_000, "{error}");
    assert_eq!(context(&error, "payment"), Some(txid.as_str()), "{error}");
    let raised = purse.json(&["bump", &txid, "--fee-rate", &typed(least)]);
    let waiting = mempool(chain.node())?;
    assert!(waiting.contains(&text(&raised["txid"])) && !waiting.contains(&child));
    Ok(())
}

/// Pay A, pay B from the change, bump A: B is named, and lost only when it is named.
fn own_descendants(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[900_000])?;
    let payment = format!("{SOMEBODY}=20000sat");
    let first = text(&purse.json(&["send", &payment, "--fee-rate", "2"])["txid"]);
    let second = text(&purse.json(&["send", &payment, "--fee-rate", "2"])["txid"]);
    for verb in ["bump", "cancel"] {
        let error = refusal(&purse, &[verb, &first, "--fee-rate", "20"])?;
        assert_eq!(
            context(&error, "descendants"),
            Some(second.as_str()),
            "{error}"
        );
        assert_eq!(context(&error, "payment"), Some(first.as_str()), "{error}");
    }
    let raise = ["bump", &first, "--fee-rate", "20", "--drops"];
    let run = purse.run(&[&raise[..], &[&first]].concat()).code(2);
    run.says(&["leave it out"]);
    assert_eq!(purse.json(&["history"]).as_array().map(Vec::len), Some(3));
    let raised = purse.json(&[&raise[..], &[&second]].concat());
    let waiting = mempool(chain.node())?;
    assert!(waiting.contains(&text(&raised["txid"])));
    assert!(!waiting.contains(&first) && !waiting.contains(&second));
    chain.mine(1)?;
    let fee_sat = raised["fee_sat"].as_u64().ok_or("a fee")?;
    assert_eq!(purse.spendable_sat(), Some(900_000 - 20_000 - fee_sat));
    Ok(())
}

/// A drain has no change and there are no further coins: its recipient pays when that is asked.
fn from_recipient(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000, 80_000])?;
    let sent = purse.json(&["send", "--drain-to", SOMEBODY, "--fee-rate", "2"]);
    let txid = text(&sent["txid"]);
    let run = purse.run(&["bump", &txid, "--fee-rate", "9"]).code(1);
    run.says(&["not enough coins", "--from-recipient takes it"]);
    let lower = ["bump", &txid, "--fee-rate", "9", "--from-recipient"];
    let raised = purse.json(&lower);
    assert!(mempool(chain.node())?.contains(&text(&raised["txid"])));
    let outputs = raised["outputs"].as_array().ok_or("a list")?;
    let fee_sat = raised["fee_sat"].as_u64().ok_or("a fee")?;
    assert_eq!(
        (outputs.len(), &outputs[0]["address"]),
        (1, &SOMEBODY.into())
    );
    assert_eq!(outputs[0]["value_sat"].as_u64(), Some(170_000 - fee_sat));
    Ok(())
}

/// A locked coin that was named stays locked when its payment is raised and not sent.
fn keeps_a_lock(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let coin = text(&purse.json(&["utxo"])[0]["outpoint"]);
    purse.json(&["utxo", "lock", &coin]);
    let payment = format!("{SOMEBODY}=20000sat");
    let send = [
        "send",
        &payment,
        "--coin",
        &coin,
        "--only-coins",
        "--fee-rate",
        "2",
    ];
    let txid = text(&purse.json(&send)["txid"]);
    purse.json(&["psbt", "bump", &txid, "--fee-rate", "5"]);
    purse.json(&["bump", &txid, "--fee-rate", "9"]);
    let locked = purse.json(&["utxo", "unlock", &coin]);
    assert_eq!(locked["was_locked"], true, "{locked}");
    Ok(())
}

fn cancels(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let payment = format!("{SOMEBODY}=20000sat");
    let txid = text(&purse.json(&["send", &payment, "--fee-rate", "2"])["txid"]);
    let dry = purse.json(&["cancel", &txid, "--dry-run"]);
    assert_eq!(dry["is_sent"], false);
    let cancelled = purse.json(&["cancel", &txid]);
    assert_eq!(cancelled["fee_sat"], dry["fee_sat"]);
    let waiting = mempool(chain.node())?;
    assert!(waiting.contains(&text(&cancelled["txid"])) && !waiting.contains(&txid));
    let outputs = cancelled["outputs"].as_array().ok_or("a list")?;
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0]["is_change"], true, "{cancelled}");
    chain.mine(1)?;
    let fee_sat = cancelled["fee_sat"].as_u64().ok_or("a fee")?;
    assert_eq!(purse.spendable_sat(), Some(90_000 - fee_sat));
    purse.run(&["cancel", &txid]).code(2);
    Ok(())
}
