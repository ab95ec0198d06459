//! What was reported of other software, as people meet it: refusals that keep coins, a payment that
//! a reorganisation takes out, labels in an older form.

use btc::{AddressType, NodeConfig};
use btc_regtest::Chain;
use btc_regtest::sim::SimNode;
use btc_tests::{Outcome, Program, WalletFolder};
use serde_json::{Value, json};

use super::{Case, Failed, Purse, SOMEBODY, reached, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("a_refused_payment_frees_its_coins_whoever_answers", refused),
    (
        "over_peers_a_payment_that_a_reorganisation_took_out_is_pending",
        taken_out,
    ),
    ("labels_in_the_form_of_before_2025_are_read", old_labels),
];

const FUNDS_SAT: u64 = 90_000;

/// Below what the node relays: refused, and free for the next payment at once.
fn refused(_: &mut Chain<'_>, _: &NodeConfig) -> Outcome {
    let ways: [&[(&str, &str)]; 4] = [
        &[("USE_RUST_BITCOIN", "true")],
        &[("USE_RUST_BITCOIN", "false")],
        &[("SHADOW_MODE", "true"), ("PRIMARY_IMPL", "rust")],
        &[("SHADOW_MODE", "true"), ("PRIMARY_IMPL", "python")],
    ];
    for variables in ways {
        let node = SimNode::builder().min_relay(10_000).start()?;
        let config = reached(&node);
        let purse = Purse {
            folder: WalletFolder::random(0)?,
            node: &config,
        };
        purse.receive_from(&node, FUNDS_SAT)?;
        let log = purse.folder.home().join("shadow.log");
        let program = |arguments: &[&str]| {
            let program = purse.program(arguments).env("LOG_FILE", &log);
            variables
                .iter()
                .fold(program, |program, (name, value)| program.env(name, value))
        };
        let payment = format!("{SOMEBODY}=30000sat");
        let run = program(&["send", &payment, "--fee-rate", "1"])
            .run()
            .code(1);
        run.says(&["min relay fee not met"]);
        assert!(node.mempool().is_empty());
        purse.assert_nothing_reserved();
        let sent = program(&["send", &payment, "--fee-rate", "12", "--json"]).run();
        let txid = text(&sent.code(0).json()["txid"]);
        let waiting = node.mempool();
        assert_eq!(waiting.len(), 1, "{variables:?}");
        assert_eq!(waiting[0].transaction.compute_txid().to_string(), txid);
    }
    Ok(())
}

/// The peer's mempool has it again; two empty blocks are in the place of its own.
fn taken_out(_: &mut Chain<'_>, _: &NodeConfig) -> Outcome {
    let builder = btc_tests::builder().listen(true).block_filters(true);
    let node = builder.start()?;
    let mut chain = Chain::new(&node, 12)?;
    chain.mine(110)?;
    let config = btc_tests::node_config(&node);
    let purse = Purse::new(&chain, &config)?;
    purse.receive(&mut chain, AddressType::P2wpkh, &[FUNDS_SAT, FUNDS_SAT + 1])?;
    let peer = node.p2p_address().ok_or("it listens")?.to_string();
    let over_peers = |arguments: &[&str]| -> Result<Value, Failed> {
        let arguments = [arguments, &["--json"]].concat();
        let program = Program::with(&arguments)
            .node(&config)
            .env("WALLET_DIR", purse.folder.path())
            .env("WALLET_SOURCE", "p2p")
            .env("P2P_PEERS", &peer);
        Ok(program.run().code(0).json())
    };
    let payment = format!("{SOMEBODY}=30000sat");
    let first = over_peers(&["send", &payment, "--fee-rate", "2"])?;
    chain.mine(1)?;
    let state = |txid: &Value| -> Result<Value, Failed> {
        let history = over_peers(&["history"])?;
        let mut all = history.as_array().into_iter().flatten();
        let found = all.find(|entry| entry["txid"] == *txid);
        Ok(found.ok_or("it is in the history")?["state"].clone())
    };
    assert_eq!(state(&first["txid"])?, "confirmed");
    chain.reorg_empty(1)?;
    let waiting: Vec<String> = node.call("getrawmempool", &[json!(false)])?;
    assert_eq!(waiting, [text(&first["txid"])]);
    assert_eq!(state(&first["txid"])?, "in_mempool");
    let coins_of = |txid: &Value| -> Result<Vec<Value>, Failed> {
        let raw: Value = node.call("getrawtransaction", &[txid.clone(), json!(true)])?;
        let inputs = raw["vin"].as_array().into_iter().flatten();
        Ok(inputs
            .map(|input| json!([input["txid"], input["vout"]]))
            .collect())
    };
    let second = over_peers(&["send", &payment, "--fee-rate", "2"])?;
    let spent = coins_of(&first["txid"])?;
    assert!(
        coins_of(&second["txid"])?
            .iter()
            .all(|coin| !spent.contains(coin))
    );
    let waiting: Vec<String> = node.call("getrawmempool", &[json!(false)])?;
    assert_eq!(waiting.len(), 2, "both wait");
    chain.mine(1)?;
    for txid in [&first["txid"], &second["txid"]] {
        assert_eq!(state(txid)?, "confirmed");
    }
    Ok(())
}

/// BIP329's own example had `spendable` as a text until 2025.
fn old_labels(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let txid = purse.receive(chain, AddressType::P2wpkh, &[FUNDS_SAT])?;
    let coins = purse.json(&["utxo"]);
    let outpoint = text(&coins[0]["outpoint"]);
    assert!(outpoint.starts_with(&txid.to_string()));
    let import = |spendable: Value| {
        let line =
            json!({"type": "output", "ref": outpoint, "label": "rent", "spendable": spendable});
        let program = purse.program(&["labels", "import", "-", "--json"]);
        program.input(line.to_string()).run()
    };
    let locked = |run: btc_tests::Run| -> Value {
        run.code(0);
        let coins = purse.json(&["utxo"]);
        assert_eq!(coins[0]["label"], "rent");
        coins[0]["reserved_for"].clone()
    };
    assert_eq!(locked(import(json!("false"))), "locked");
    assert_eq!(locked(import(json!("true"))), Value::Null);
    assert_eq!(locked(import(json!(false))), "locked");
    assert_eq!(locked(import(json!(true))), Value::Null);
    import(json!("perhaps")).code(2);
    Ok(())
}
