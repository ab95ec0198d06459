//! Balance, coins, history and payments, checked against the node.

use btc::AddressType;
use btc::NodeConfig;
use btc_regtest::Chain;
use btc_tests::Outcome;
use serde_json::{Value, json};

use super::{Case, Purse, SOMEBODY, fee_sat, mempool, sat, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("what_it_owns_is_what_the_node_says", what_it_owns),
    ("send_pays_what_it_says", send_pays),
    ("a_dry_run_reserves_nothing", dry_run),
    ("send_takes_a_fee_rate_from_the_node", estimated),
    ("send_with_coins_data_and_drain", details),
    ("locked_coins_stay", locks),
    ("a_rival_in_the_mempool_is_seen", rival),
];

/// 2,000 sat/vB is refused without `--allow-high-fee`, 5 is not.
const RATE: &str = "5";

fn what_it_owns(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let paid = purse.receive(chain, AddressType::P2wpkh, &[150_000, 50_000])?;
    let (address, script) = purse.address(AddressType::P2tr)?;
    let pending = chain.pay(&[(script, btc::bitcoin::Amount::from_sat(30_000))], 2)?;

    let balance = purse.json(&["balance"]);
    let expected = json!({
        "spendable_sat": 200_000, "available_sat": 200_000, "confirmed_sat": 200_000, "trusted_pending_sat": 0,
        "untrusted_pending_sat": 30_000, "immature_sat": 0, "held_by_missing_sat": 0, "height": chain.height(),
    });
    assert_eq!(balance, expected);
    let people = purse.run(&["balance"]).code(0).stdout;
    assert!(people.contains("200,000 sat (0.00200000 BTC)"), "{people}");

    let coins = purse.json(&["utxo", "list"]);
    let coins = coins.as_array().ok_or("a list")?;
    let values: Vec<_> = coins.iter().map(|it| it["value_sat"].as_u64()).collect();
    assert_eq!(values, [Some(150_000), Some(50_000), Some(30_000)]);
    for coin in coins {
        let outpoint = text(&coin["outpoint"]);
        let (txid, vout) = outpoint.split_once(':').ok_or("txid:vout")?;
        let vout: u32 = vout.parse()?;
        let known: Value = chain.node().call("gettxout", &[json!(txid), json!(vout)])?;
        assert_eq!(
            sat(&known["value"])?,
            coin["value_sat"].as_u64().ok_or("sat")?
        );
        assert_eq!(known["scriptPubKey"]["hex"], coin["script_pubkey"]);
        assert_eq!(known["scriptPubKey"]["address"], coin["address"]);
        let is_confirmed = known["confirmations"].as_u64() > Some(0);
        let state = if is_confirmed {
            "confirmed"
        } else {
            "untrusted_pending"
        };
        assert_eq!(coin["state"], state);
    }
    assert_eq!(coins[2]["address"], address.as_str());

    let history = purse.json(&["history"]);
    assert_eq!(history[0]["txid"], pending.to_string());
    assert!(history[0]["block"].is_null());
    assert_eq!(history[1]["txid"], paid.to_string());
    assert_eq!(
        history[1]["block"]["height"].as_u64(),
        Some(chain.height().into())
    );
    assert_eq!(history[1]["received_sat"], 200_000);
    let people = purse.run(&["history"]).code(0).stdout;
    assert!(
        people.contains("+200,000 sat") && people.contains("unconfirmed"),
        "{people}"
    );
    let synced = purse.json(&["wallet", "sync"]);
    assert_eq!(synced, json!({"height": chain.height()}));
    Ok(())
}

/// From coins of each type: with some of them the txid is known only when all is signed.
fn send_pays(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    for address_type in AddressType::ALL {
        let purse = Purse::new(chain, node)?;
        purse.receive(chain, address_type, &[80_000, 70_000])?;
        let payment = format!("{SOMEBODY}=0.00090000BTC");
        let sent = purse.json(&["send", &payment, "--fee-rate", RATE, "--label", "rent"]);
        let txid = text(&sent["txid"]);
        assert!(
            mempool(chain.node())?.contains(&txid),
            "{address_type}: {sent}"
        );
        assert_eq!(
            sent["fee_sat"].as_u64(),
            Some(fee_sat(chain.node(), &txid)?)
        );
        assert_eq!(sent["is_sent"], true);
        let params = [json!(txid), json!(true)];
        let known: Value = chain.node().call("getrawtransaction", &params)?;
        assert_eq!(known["weight"], sent["weight"], "{address_type}");
        let outputs = sent["outputs"].as_array().ok_or("a list")?;
        let theirs = known["vout"].as_array().ok_or("a list")?;
        assert_eq!(outputs.len(), theirs.len());
        for (ours, theirs) in outputs.iter().zip(theirs) {
            assert_eq!(ours["script_pubkey"], theirs["scriptPubKey"]["hex"]);
            assert_eq!(ours["value_sat"].as_u64(), Some(sat(&theirs["value"])?));
            let is_payment = ours["address"] == SOMEBODY;
            assert_eq!(
                (&ours["is_change"], &ours["is_mine"]),
                (&(!is_payment).into(), &(!is_payment).into())
            );
        }
        let paid: Vec<_> = outputs
            .iter()
            .filter(|it| it["address"] == SOMEBODY)
            .collect();
        assert_eq!((paid.len(), &paid[0]["value_sat"]), (1, &90_000.into()));
        let entry = &purse.json(&["history"])[0];
        assert_eq!(
            (&entry["txid"], &entry["label"]),
            (&txid.into(), &"rent".into())
        );
        chain.mine(1)?;
        let fee_sat = sent["fee_sat"].as_u64().ok_or("a fee")?;
        assert_eq!(purse.spendable_sat(), Some(150_000 - 90_000 - fee_sat));
    }
    // For people: what is paid beside the result, and the result alone for a script.
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[80_000])?;
    let (own, _) = purse.address(AddressType::P2wpkh)?;
    let to_itself = format!("{own}=20,000 sat");
    let run = purse.run(&["send", &to_itself, "--fee-rate", RATE]).code(0);
    assert!(
        mempool(chain.node())?.contains(&run.stdout.trim().to_owned()),
        "{run:?}"
    );
    run.says(&[
        "spends  1 coin of 80,000 sat",
        "own ",
        "20,000 sat (0.00020000 BTC)",
        "change",
        "5.00 sat/vB",
    ]);
    Ok(())
}

fn dry_run(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[150_000])?;
    let payment = format!("{SOMEBODY}=20000sat");
    let dry = ["send", &payment, "--fee-rate", RATE, "--dry-run"];
    let change = |value: &Value| {
        let outputs = value["outputs"].as_array().cloned().unwrap_or_default();
        outputs.into_iter().find(|it| it["is_change"] == true)
    };
    let first = purse.json(&dry);
    assert_eq!(first["is_sent"], false);
    assert!(text(&first["psbt"]).starts_with("cHNidP"));
    // The change address is not used up either.
    for _ in 0..3 {
        assert_eq!(change(&purse.json(&dry)), change(&first));
    }
    purse.assert_nothing_reserved();
    let before = mempool(chain.node())?.len();
    let people = purse.run(&dry).code(0).stdout;
    assert!(people.contains("nothing was reserved or sent"), "{people}");
    assert!(
        people.contains("20,000 sat") && people.contains(SOMEBODY),
        "{people}"
    );
    // What it will weigh shows before a key has signed, and so does its rate.
    assert!(people.contains(" vB, at least 5.00 sat/vB"), "{people}");
    assert_eq!(first["weight"], Value::Null);
    assert_eq!(mempool(chain.node())?.len(), before);
    let sent = purse.json(&["send", &payment, "--fee-rate", RATE]);
    assert_eq!(
        (change(&sent), &sent["fee_sat"]),
        (change(&first), &first["fee_sat"])
    );
    let (most, weight) = (first["max_weight"].as_u64(), sent["weight"].as_u64());
    assert!(weight <= most && most <= weight.map(|it| it + 2), "{sent}");
    // Raising its fee, without doing it.
    let txid = text(&sent["txid"]);
    for child in [&[][..], &["--child"]] {
        let dry = [&["bump", &txid, "--fee-rate", "9", "--dry-run"], child].concat();
        let first = purse.json(&dry);
        assert_eq!(change(&purse.json(&dry)), change(&first));
    }
    assert_eq!(mempool(chain.node())?.len(), before + 1);
    Ok(())
}

fn estimated(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[150_000])?;
    let rate = btc_tests::Program::new("fee 6 --json")
        .node(node)
        .run()
        .code(0)
        .json();
    let rate = rate["fee_rate_sat_per_vb"].as_u64().ok_or("a rate")?;
    let sent = purse.json(&["send", &format!("{SOMEBODY}=20000sat")]);
    let weight = sent["weight"].as_u64().ok_or("a weight")?;
    let fee_sat = sent["fee_sat"].as_u64().ok_or("a fee")?;
    // Planned for signatures of 71 bytes; each may be a byte shorter.
    assert!(
        weight.div_ceil(4) * rate <= fee_sat && fee_sat <= (weight + 2).div_ceil(4) * rate,
        "{sent}"
    );
    Ok(())
}

fn details(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(
        chain,
        AddressType::P2wpkh,
        &[90_000, 80_000, 70_000, 60_000],
    )?;
    let coins = purse.json(&["utxo"]);
    let coin = |index: usize| text(&coins[index]["outpoint"]);
    let payment = format!("{SOMEBODY}=20000sat");
    let named = [
        "send",
        &payment,
        "--fee-rate",
        RATE,
        "--coin",
        &coin(3),
        "--only-coins",
    ];
    let sent = purse.json(&named);
    assert_eq!(sent["inputs"], json!([coin(3)]));
    let without = [
        "send",
        &payment,
        "--fee-rate",
        RATE,
        "--dry-run",
        "--selection",
        "largest-first",
    ];
    let largest = coin(0);
    let avoiding = [&without[..], &["--avoid", &largest]].concat();
    assert_eq!(purse.json(&without)["inputs"], json!([coin(0)]));
    assert_eq!(purse.json(&avoiding)["inputs"], json!([coin(1)]));
    let data = ["send", &payment, "--fee-rate", RATE, "--data", "68656c6c6f"];
    let run = purse
        .run(&data)
        .code(0)
        .says(&["data", "68656c6c6f (5 bytes"]);
    let params = [json!(run.stdout.trim()), json!(true)];
    let known: Value = chain.node().call("getrawtransaction", &params)?;
    assert!(known.to_string().contains("\"6a0568656c6c6f\""), "{known}");
    // Two are paid, and the rest goes to a third.
    chain.mine(1)?;
    let (third, _) = purse.address(AddressType::P2pkh)?;
    let other = format!("{SOMEBODY}=0.0003BTC");
    let sent = purse.json(&[
        "send",
        &payment,
        &other,
        "--drain-to",
        &third,
        "--fee-rate",
        RATE,
    ]);
    let outputs = sent["outputs"].as_array().ok_or("a list")?;
    assert_eq!(outputs.len(), 3, "{sent}");
    assert!(outputs.iter().all(|it| it["is_change"] == false), "{sent}");
    // And everything goes.
    chain.mine(1)?;
    let all = purse.spendable_sat().ok_or("sat")?;
    let sent = purse.json(&["send", "--drain-to", SOMEBODY, "--fee-rate", RATE]);
    let fee_sat = sent["fee_sat"].as_u64().ok_or("a fee")?;
    assert_eq!(
        sent["outputs"][0]["value_sat"].as_u64(),
        Some(all - fee_sat)
    );
    assert_eq!(purse.spendable_sat(), Some(0));
    assert_eq!(purse.run(&["utxo"]).code(0).stdout, "no coins\n");
    Ok(())
}

fn locks(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000, 80_000])?;
    let coins = purse.json(&["utxo"]);
    let (large, small) = (text(&coins[0]["outpoint"]), text(&coins[1]["outpoint"]));
    let locked = purse.json(&["utxo", "lock", &large]);
    assert_eq!(locked, json!({"locked": large}));
    assert_eq!(purse.json(&["utxo"])[0]["reserved_for"], "locked");
    // A lock does not change the balance, only what is chosen.
    assert_eq!(purse.spendable_sat(), Some(170_000));
    let payment = format!("{SOMEBODY}=20000sat");
    let sent = purse.json(&["send", &payment, "--fee-rate", RATE]);
    assert_eq!(sent["inputs"], json!([small]));
    // Named, it is spent.
    let sent = purse.json(&[
        "send",
        &payment,
        "--fee-rate",
        RATE,
        "--coin",
        &large,
        "--only-coins",
    ]);
    assert_eq!(sent["inputs"], json!([large]));
    let unlocked = purse.json(&["utxo", "unlock", &large]);
    assert_eq!(unlocked["was_locked"], true);
    assert_eq!(purse.json(&["utxo", "unlock", &large])["was_locked"], false);
    purse
        .run(&["utxo", "lock", &format!("{}:0", "ab".repeat(32))])
        .code(1)
        .says(&["not an unspent output"]);
    purse
        .run(&["utxo", "lock", "ab:0"])
        .code(2)
        .says(&["txid:vout"]);
    Ok(())
}

/// The same words are used elsewhere.
fn rival(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let coin = purse.json(&["utxo"])[0]["outpoint"].clone();
    // Its coin goes at a rate that the first payment does not beat.
    let twin = Purse {
        folder: purse.folder.again(chain.height() - 1)?,
        node,
    };
    let payment = format!("{SOMEBODY}=72000sat");
    let psbt = ["psbt", "create", &payment, "--fee-rate", "2"];
    let psbt = purse.run(&psbt).code(0).stdout;
    let sent = twin.json(&["send", &payment, "--fee-rate", "40"]);
    assert_eq!(sent["inputs"], json!([coin]));
    let signed = purse.run(&["psbt", "sign", psbt.trim()]).code(0).stdout;
    let last = purse
        .run(&["psbt", "finalize", signed.trim()])
        .code(0)
        .stdout;
    let hex = purse.run(&["psbt", "extract", last.trim()]).code(0).stdout;
    let run = purse.run(&["broadcast", hex.trim()]).code(1);
    run.says(&["insufficient fee"]);
    assert_eq!(purse.json(&["history"])[0]["txid"], sent["txid"]);
    Ok(())
}
