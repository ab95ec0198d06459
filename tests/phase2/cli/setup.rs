//! Making a wallet, restoring it, and what works without a node.

use btc::bitcoin::Amount;
use btc::{AddressType, Network, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{FakeNode, Outcome, Program, healthy};
use serde_json::Value;

use super::{Case, Failed, SOMEBODY, error, script, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("create_restore_and_find_it_all_again", create_and_restore),
    ("an_encrypted_wallet_keeps_its_words", encrypted),
    ("create_without_a_node", offline),
    ("watch_only_wallets_watch", watch_only),
    ("labels_leave_and_come_back", labels),
    ("peers_of_the_node", peers),
];

/// The program over a wallet's folder below a temporary one.
pub(super) fn program(node: &NodeConfig, dir: &std::path::Path, arguments: &[&str]) -> Program {
    Program::with(arguments).node(node).env("WALLET_DIR", dir)
}

fn words_of(made: &Value) -> String {
    text(&made["words"])
}

fn create_and_restore(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("first");
    let over = |arguments: &[&str]| program(node, &dir, arguments);
    let made = over(&["wallet", "create", "--plain", "--json"]).run();
    let made = made.code(0).json();
    let words = words_of(&made);
    assert_eq!(words.split(' ').count(), 12);
    // Another branch may confirm what these words are paid a day's blocks further down.
    let birthday = chain.height().saturating_sub(144);
    assert_eq!(made["birthday"].as_u64(), Some(birthday.into()));
    assert_eq!(made["warnings"], serde_json::json!([]));
    let info = over(&["wallet", "info", "--json"]).run().code(0).json();
    assert_eq!(info["fingerprint"], made["fingerprint"]);
    assert_eq!(
        (&info["network"], &info["secret"], &info["source"]),
        (&"regtest".into(), &"plain".into(), &"core".into())
    );

    let mut outputs = Vec::new();
    let mut used = Vec::new();
    for address_type in AddressType::ALL {
        let kind = address_type.as_str();
        let new = over(&["address", "new", "--type", kind, "--json"]).run();
        let new = new.code(0).json();
        assert_eq!(
            (&new["address_type"], &new["index"]),
            (&kind.into(), &0.into())
        );
        used.push(text(&new["address"]));
        outputs.push((script(&new["script_pubkey"])?, Amount::from_sat(70_000)));
    }
    chain.pay(&outputs, 2)?;
    chain.mine(1)?;
    let balance = over(&["balance", "--json"]).run().code(0).json();
    assert_eq!(balance["confirmed_sat"], 280_000);
    assert_eq!(balance["height"].as_u64(), Some(chain.height().into()));

    // From the words alone, in another place: the first address that is given out is a new one.
    let again = home.path().join("again");
    let over = |arguments: &[&str]| program(node, &again, arguments);
    let restored = over(&[
        "-v", "wallet", "restore", "--plain", "--words", "-", "--json",
    ]);
    let restored = restored.input(format!("  {words}\n")).run().code(0);
    assert!(!restored.stdout.contains(&words) && !restored.stderr.contains(&words));
    assert_eq!(restored.json()["fingerprint"], made["fingerprint"]);
    for address_type in AddressType::ALL {
        let kind = address_type.as_str();
        let new = over(&["address", "new", "--type", kind, "--json"]).run();
        let new = new.code(0).json();
        assert!(
            !used.contains(&text(&new["address"])),
            "{kind}: given out again"
        );
        assert_eq!(new["index"], 1, "{kind}");
    }
    let found = over(&["balance", "--json"]).run().code(0).json();
    assert_eq!(found["confirmed_sat"], 280_000);
    let list = over(&["address", "list", "--json"]).run().code(0).json();
    let list = list.as_array().ok_or("a list")?;
    assert_eq!(list.len(), 8);
    for address in list {
        let is_used = used.contains(&text(&address["address"]));
        assert_eq!(address["is_used"], is_used, "{address}");
    }
    Ok(())
}

fn encrypted(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let home = tempfile::tempdir()?;
    let dir = home.path().join("wallet");
    let file = home.path().join("passphrase");
    std::fs::write(&file, "correct horse\n")?;
    let over = |arguments: &[&str]| program(node, &dir, arguments);
    let with = |arguments: &[&str]| over(arguments).env("WALLET_PASSPHRASE_FILE", &file);
    let made = with(&["-v", "wallet", "create", "--word-count", "24", "--json"]).run();
    let made = made.code(0);
    let words = words_of(&made.json());
    assert_eq!(words.split(' ').count(), 24);
    assert!(!made.stderr.contains(&words));
    assert_eq!(made.stdout.matches(&words).count(), 1);
    for entry in std::fs::read_dir(&dir)?.flatten() {
        let bytes = std::fs::read(entry.path())?;
        let has = |part: &[u8]| bytes.windows(part.len()).any(|it| it == part);
        let shown = entry.path().display().to_string();
        assert!(!has(words.as_bytes()) && !has(b"correct horse"), "{shown}");
    }
    // What needs no key needs no passphrase.
    let new = over(&["address", "new", "--json"]).run().code(0).json();
    chain.pay(
        &[(script(&new["script_pubkey"])?, Amount::from_sat(90_000))],
        2,
    )?;
    chain.mine(1)?;
    let balance = over(&["balance", "--json"]).run().code(0).json();
    assert_eq!(balance["confirmed_sat"], 90_000);
    let payment = format!("{SOMEBODY}=20000sat");
    let pay = ["send", &payment, "--fee-rate", "2"];
    over(&[pay.as_slice(), &["--dry-run"]].concat())
        .run()
        .code(0);
    let run = over(&pay).run().code(3);
    run.says(&["terminal", "WALLET_PASSPHRASE", "WALLET_PASSPHRASE_FILE"]);
    let run = over(&pay).env("WALLET_PASSPHRASE", "correct hors").run();
    let run = run.code(3).says(&["passphrase", "wrong"]);
    assert!(!run.stderr.contains("correct hors"), "{run:?}");
    let coins = over(&["utxo", "--json"]).run().code(0).json();
    assert!(
        coins[0]["reserved_for"].is_null(),
        "refused, and reserved: {coins}"
    );
    with(&pay).run().code(0);
    let run = with(&["wallet", "info"])
        .env("WALLET_PASSPHRASE", "twice")
        .run();
    run.code(3).says(&["WALLET_PASSPHRASE_FILE", "both"]);
    Ok(())
}

fn offline(_: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let gone = FakeNode::start(healthy).config();
    let home = tempfile::tempdir()?;
    let dir = home.path().join("wallet");
    let over = |arguments: &[&str]| program(&gone, &dir, arguments);
    let run = over(&["wallet", "create", "--plain"]).run().code(0);
    let run = run.says(&["--birthday", "write these words down"]);
    assert_eq!(
        run.stdout.split_whitespace().count(),
        12,
        "words alone: {run:?}"
    );
    let info = over(&["wallet", "info", "--json"]).run().code(0).json();
    assert_eq!((&info["birthday"], &info["tip"]), (&0.into(), &Value::Null));
    // Nobody knows which addresses were used before the chain was looked at.
    over(&["address", "new"])
        .run()
        .code(4)
        .says(&["BITCOIN_RPC_URL"]);
    // After that, it needs no node.
    let online = program(node, &dir, &["address", "new"]).run().code(0);
    let address = online.stdout.trim().to_owned();
    over(&["address", "new"]).run().code(0);
    let listed = over(&["address", "list"]).run().code(0).stdout;
    assert!(listed.contains(&address), "{listed}");
    over(&["address", "verify", &address]).run().code(0);
    over(&["wallet", "export"]).run().code(0);
    over(&["labels", "export"]).run().code(0);
    let signed = over(&["sign-message", &address, "hello"]).run().code(0);
    let check = |message: &str, signature: &str| {
        let arguments = ["sign-message", &address, message, "--verify", signature];
        // Neither wallet nor node.
        Program::with(&arguments)
            .env("BITCOIN_NETWORK", "regtest")
            .run()
    };
    check("hello", signed.stdout.trim()).code(0);
    check("hullo", signed.stdout.trim()).code(1);
    for verb in [
        &["balance"][..],
        &["utxo"],
        &["history"],
        &["wallet", "sync"],
    ] {
        over(verb).run().code(4).says(&["error:"]);
    }
    // With a height, nobody is asked; the network of a node that does answer must be right.
    let second = home.path().join("second");
    let birthday = ["wallet", "create", "--plain", "--birthday", "7", "--json"];
    let made = program(&gone, &second, &birthday).run().code(0);
    assert_eq!(made.json()["birthday"], 7);
    assert_eq!(made.json()["warnings"], serde_json::json!([]));
    let third = home.path().join("third");
    let other = NodeConfig {
        network: Network::Signet,
        ..node.clone()
    };
    let run = program(&other, &third, &["wallet", "create"]).env("WALLET_PASSPHRASE", "long");
    run.run()
        .code(3)
        .says(&["regtest", "signet", "BITCOIN_NETWORK"]);
    assert!(!third.exists());
    Ok(())
}

fn watch_only(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let home = tempfile::tempdir()?;
    let full = home.path().join("full");
    program(node, &full, &["wallet", "create", "--plain"])
        .run()
        .code(0);
    // What is printed is what is read.
    let export = program(node, &full, &["wallet", "export"]).run();
    let export = export.code(0).stdout;
    let watched: Vec<&str> = export.lines().skip(2).collect();
    assert_eq!(watched.len(), 2, "{export}");
    let dir = home.path().join("watch");
    let over = |arguments: &[&str]| program(node, &dir, arguments);
    let create = [
        "wallet", "create", "--watch", watched[0], "--watch", watched[1],
    ];
    over(&create).run().code(0);
    let info = over(&["wallet", "info", "--json"]).run().code(0).json();
    assert_eq!(
        (&info["is_watch_only"], &info["secret"]),
        (&true.into(), &"none".into())
    );
    assert_eq!(info["address_types"], serde_json::json!(["p2wpkh", "p2tr"]));
    // Both derive the same.
    for kind in ["p2wpkh", "p2tr"] {
        let new = ["address", "new", "--type", kind];
        let theirs = program(node, &full, &new).run().code(0).stdout;
        assert_eq!(over(&new).run().code(0).stdout, theirs);
        over(&["address", "verify", theirs.trim()]).run().code(0);
    }
    over(&["address", "new", "--type", "p2pkh"])
        .run()
        .code(1)
        .says(&["p2pkh"]);
    let listed = over(&["address", "list", "--json"]).run().code(0).json();
    let paid = script(&listed[0]["script_pubkey"])?;
    chain.pay(&[(paid, Amount::from_sat(50_000))], 2)?;
    chain.mine(1)?;
    let balance = over(&["balance", "--json"]).run().code(0).json();
    assert_eq!(balance["confirmed_sat"], 50_000);
    // What it cannot do it says before it does anything.
    let address = text(&listed[0]["address"]);
    let payment = format!("{address}=20000sat");
    let run = over(&["send", &payment, "--fee-rate", "2"]).run().code(1);
    run.says(&["watch-only", "btc psbt create"]);
    over(&["sign-message", &address, "x"])
        .run()
        .code(1)
        .says(&["watch-only"]);
    let coins = over(&["utxo", "--json"]).run().code(0).json();
    assert!(coins[0]["reserved_for"].is_null(), "{coins}");
    // A private key is not for a watch-only wallet, and is not repeated.
    let secret = "tprv8ZgxMBicQKsPd9TeAdPADNnSyH9SSUUbTVeFszDE23Ki6TBB5nCefAdHkK8Fm3qMQR6sHwA56zqRmKmxnHk37JkiFzvncDqoKmPWubu7hDF";
    let private = format!("wpkh({secret}/84'/1'/0'/<0;1>/*)");
    let other = home.path().join("private");
    let run = program(
        node,
        &other,
        &["-v", "wallet", "create", "--watch", &private],
    )
    .run();
    let run = run.code(2).says(&["public descriptor"]);
    assert!(!run.stderr.contains(secret) && !other.exists(), "{run:?}");
    for steps in ["<0;1>/*h", "0h/<0;1>/*", "<0h;1h>/*", "<0;0>/*"] {
        let bare = watched[0].split('#').next().unwrap_or_default();
        let text = bare.replace("<0;1>/*", steps);
        let run = program(node, &other, &["wallet", "create", "--watch", &text]).run();
        run.code(2).says(&["descriptor of type p2wpkh"]);
        assert!(!other.exists(), "{text}");
    }
    Ok(())
}

fn labels(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = super::Purse::new(chain, node)?;
    let new = purse.json(&["address", "new", "--label", "from Anna"]);
    let address = text(&new["address"]);
    let script = script(&new["script_pubkey"])?;
    let txid = chain.pay(&[(script, Amount::from_sat(60_000))], 2)?;
    chain.mine(1)?;
    let coins = purse.json(&["utxo"]);
    assert_eq!(coins[0]["label"], "from Anna");
    let outpoint = text(&coins[0]["outpoint"]);
    purse.run(&["utxo", "lock", &outpoint]).code(0);
    let payment = format!("{SOMEBODY}=20000sat");
    let run = purse
        .run(&["send", &payment, "--fee-rate", "2", "--json"])
        .code(1);
    let said = text(&error(&run)["message"]);
    assert!(said.contains("reserved_or_locked_sat: 60000"), "{said}");

    let exported = purse.run(&["labels", "export"]).code(0).stdout;
    let lines: Vec<Value> = exported
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 2, "{exported}");
    assert_eq!(lines[0]["ref"], address.as_str());
    assert_eq!(
        (&lines[1]["ref"], &lines[1]["spendable"]),
        (&outpoint.clone().into(), &false.into())
    );

    // Into a wallet of the same words, with one more.
    let again = super::Purse {
        folder: purse.folder.again(0)?,
        node,
    };
    let more = format!("{exported}{{\"type\":\"tx\",\"ref\":\"{txid}\",\"label\":\"rent\"}}\n");
    let import = again
        .program(&["labels", "import", "-", "--json"])
        .input(&more)
        .run();
    assert_eq!(
        import.code(0).json(),
        serde_json::json!({"read": 3, "changed": 3})
    );
    let import = again
        .program(&["labels", "import", "-", "--json"])
        .input(&more)
        .run();
    assert_eq!(import.code(0).json()["changed"], 0);
    let coins = again.json(&["utxo"]);
    assert_eq!(
        (&coins[0]["label"], &coins[0]["reserved_for"]),
        (&"from Anna".into(), &"locked".into())
    );
    assert_eq!(again.json(&["history"])[0]["label"], "rent");
    assert_eq!(again.json(&["address", "list"])[0]["label"], "from Anna");
    again.run(&["utxo", "unlock", &outpoint]).code(0);
    again.run(&["send", &payment, "--fee-rate", "2"]).code(0);
    // All or none.
    let half = "{\"type\":\"addr\",\"ref\":\"x\",\"label\":\"y\"}\nnot json\n";
    let run = again.program(&["labels", "import", "-"]).input(half).run();
    run.code(2).says(&["line 2"]);
    let after = again.run(&["labels", "export"]).code(0).stdout;
    assert!(!after.contains("\"y\""), "{after}");
    again
        .run(&["labels", "import", "no/such/file"])
        .code(2)
        .says(&["no/such/file"]);
    Ok(())
}

fn peers(_: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let listed = Program::new("peers --json").node(node).run().code(0).json();
    assert_eq!(listed, serde_json::json!([]));
    let run = Program::new("peers").node(node).run().code(0);
    assert_eq!(run.stdout, "no peers\n");
    // Whoever is there is listed as the node says.
    let other = btc_tests::builder()
        .listen(true)
        .start()
        .map_err(Failed::from)?;
    let one = btc_tests::builder().start()?;
    let address = other.p2p_address().ok_or("it listens")?;
    let _: Value = one.call("addnode", &[address.to_string().into(), "onetry".into()])?;
    btc_tests::eventually("they are connected", || {
        one.call::<Vec<Value>>("getpeerinfo", &[])
            .is_ok_and(|peers| peers.len() == 1 && peers[0]["version"].as_u64() > Some(0))
    });
    let config = btc_tests::node_config(&one);
    let listed = Program::new("peers --json")
        .node(&config)
        .run()
        .code(0)
        .json();
    assert_eq!(listed[0]["address"], address.to_string().as_str());
    assert_eq!(listed[0]["is_inbound"], false);
    Ok(())
}
