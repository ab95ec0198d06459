//! Wrong usage of the wallet's verbs: the exit code, words that say what to do, and no effect.

use btc::{AddressType, Network, NodeConfig};
use btc_regtest::Chain;
use btc_tests::{FakeNode, Outcome, Program, Test, healthy};

use super::{Case, Purse, SOMEBODY, error, mempool, text};

pub(super) const CASES: &[(&str, Case)] = &[
    ("payments_that_are_refused", payments),
    ("options_that_are_refused", options),
    ("a_wallet_of_another_network", other_network),
    ("one_process_has_the_wallet", one_process),
];

pub(super) const ALONE: &[(&str, Test)] = &[
    ("wallets_that_are_not_there", not_there),
    ("wallets_that_are_not_made", not_made),
    ("arguments_that_are_refused", arguments),
];

/// That a payment with these options is refused so, and prints nothing.
#[track_caller]
fn refused(purse: &Purse<'_>, payment: &str, options: &str, words: &[&str]) {
    let options = options.split_whitespace().collect::<Vec<_>>();
    let run = purse.run(&[&["send", payment], &options[..]].concat());
    let run = run.code(2).says(words);
    assert!(run.stdout.is_empty(), "{run:?}");
}

fn payments(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let before = mempool(chain.node())?;
    let to = |amount: &str| format!("{SOMEBODY}={amount}");
    // Too little: by how much.
    let run = purse.run(&["send", &to("1BTC"), "--fee-rate", "3", "--json"]);
    let said = error(&run.code(1));
    assert_eq!(said["kind"], "rejected");
    // In WU: the frame 42, the output 124, the input 271; at 3 sat/vB.
    let fee_sat = (42 + 124 + 271_u64).div_ceil(4) * 3;
    let missing = format!("{} sat are missing", 100_000_000 + fee_sat - 90_000);
    let message = text(&said["message"]);
    assert!(message.contains(&missing), "{message}");

    let rate = "--fee-rate 3";
    refused(&purse, &to("293sat"), rate, &["dust", "294 sat"]);
    refused(&purse, &to("0sat"), rate, &["dust"]);
    for other in [
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    ] {
        let words = ["another network", "regtest", other];
        refused(&purse, &format!("{other}=20000sat"), rate, &words);
    }
    let words = ["not a bitcoin address"];
    refused(&purse, "bcrt1qqqqq=20000sat", rate, &words);
    let words = ["10 %", "--allow-high-fee"];
    refused(&purse, &to("4000sat"), rate, &words);
    let words = ["1000", "--allow-high-fee"];
    refused(&purse, &to("50000sat"), "--fee-rate 1001", &words);
    // Without a node there is no rate, and no chain.
    let gone = FakeNode::start(healthy).config();
    let run = purse.program(&["send", &to("20000sat")]).node(&gone).run();
    run.code(4).says(&["BITCOIN_RPC_URL"]);

    purse.assert_nothing_reserved();
    assert_eq!(mempool(chain.node())?, before);
    // And what was asked for with open eyes is done.
    let open_eyes = ["send", &to("4000sat"), "--fee-rate=3", "--allow-high-fee"];
    purse.run(&open_eyes).code(0);
    Ok(())
}

fn options(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    purse.receive(chain, AddressType::P2wpkh, &[90_000])?;
    let to = |amount: &str| format!("{SOMEBODY}={amount}");
    // Amounts without a unit, or with one that is none.
    for amount in ["20000", "0.5", "1 mBTC", "1.5sat", "-5sat", "1,5BTC", ""] {
        refused(&purse, &to(amount), "--fee-rate 3", &["error:"]);
    }
    refused(&purse, &to("20000"), "", &["20000sat", "20000BTC"]);
    refused(&purse, SOMEBODY, "", &["ADDRESS=AMOUNT"]);
    let payment = to("20000sat");
    for wrong in ["0", "1.2345", "-1", "x", ""] {
        let rate = format!("--fee-rate={wrong}");
        refused(
            &purse,
            &payment,
            &rate,
            &["above 0 with at most three decimals"],
        );
    }
    let long = format!("--fee-rate 3 --data {}", "00".repeat(81));
    let coin = format!("--fee-rate 3 --coin {}:0", "ab".repeat(32));
    for (options, words) in [
        ("--fee-rate 3 --data zz", &["--data", "hexadecimal"][..]),
        (&long, &["81 bytes", "80"]),
        ("--fee-rate 3 --only-coins", &["--coin"]),
        (&coin, &["not an unspent coin"]),
        ("--coin ab", &["txid:vout", "btc utxo"]),
        ("--selection best", &["largest-first"]),
        ("--fee-rate 3 --drain-to nobody", &["not a bitcoin address"]),
    ] {
        refused(&purse, &payment, options, words);
    }
    purse.run(&["send"]).code(2).says(&["ADDRESS=AMOUNT"]);
    purse.assert_nothing_reserved();
    Ok(())
}

fn other_network(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let signet = NodeConfig {
        network: Network::Signet,
        ..node.clone()
    };
    for verb in [
        &["balance"][..],
        &["address", "new"],
        &["wallet", "info"],
        &["utxo"],
    ] {
        let run = purse.program(verb).node(&signet).run().code(3);
        run.says(&["regtest", "signet", "WALLET_DIR", "BITCOIN_NETWORK"]);
    }
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    purse
        .run(&["address", "verify", mainnet])
        .code(2)
        .says(&["another network", "regtest"]);
    purse
        .run(&["address", "verify", "nonsense"])
        .code(2)
        .says(&["not a bitcoin address"]);
    let run = purse.run(&["address", "verify", SOMEBODY]).code(1);
    assert!(run.stdout.starts_with("NOT"), "{run:?}");
    purse
        .run(&["sign-message", SOMEBODY, "x"])
        .code(1)
        .says(&["not the wallet's"]);
    Ok(())
}

fn one_process(chain: &mut Chain<'_>, node: &NodeConfig) -> Outcome {
    let purse = Purse::new(chain, node)?;
    let held = purse.folder.config(node, &[]);
    let held = btc::connect_wallet(&held)?;
    let mine = std::process::id().to_string();
    for verb in [
        &["balance"][..],
        &["address", "new"],
        &["wallet", "info"],
        &["labels", "export"],
    ] {
        let run = purse.run(verb).code(4);
        run.says(&[&mine, "process"]);
    }
    // What has no use for the wallet does not mind, and the other implementation has its own lock.
    purse.run(&["height"]).code(0);
    purse
        .program(&["balance"])
        .env("USE_RUST_BITCOIN", "false")
        .run()
        .code(0);
    drop(held);
    purse.run(&["balance"]).code(0);
    let nowhere = purse.program(&["fee", "6"]).env("WALLET_DIR", "nowhere");
    nowhere.run().code(0);
    Ok(())
}

fn not_there() -> Outcome {
    let node = FakeNode::start(healthy);
    let verbs: [&[&str]; 12] = [
        &["balance"],
        &["utxo"],
        &["history"],
        &["address", "new"],
        &["address", "list"],
        &["wallet", "info"],
        &["wallet", "sync"],
        &["wallet", "export"],
        &["send", "bcrt1q=1sat"],
        &["labels", "export"],
        &["psbt", "create", "bcrt1q=1sat"],
        &["sign-message", "bcrt1q", "x"],
    ];
    for verb in verbs {
        let run = Program::with(verb).node(&node.config()).run().code(3);
        run.says(&["WALLET_DIR"]);
        let missing = Program::with(verb)
            .node(&node.config())
            .env("WALLET_DIR", "nowhere");
        let run = missing.run().code(3);
        let run = run.says(&[
            "nowhere",
            "btc wallet create",
            "btc wallet restore",
            "WALLET_DIR",
        ]);
        assert!(run.files.is_empty(), "{run:?}");
    }
    assert!(node.requests().is_empty(), "nobody needs to be asked");
    // A folder that is no wallet.
    let program = Program::new("balance")
        .node(&node.config())
        .env("WALLET_DIR", "empty");
    std::fs::create_dir(program.folder.path().join("empty"))?;
    program.run().code(3).says(&["wallet.json"]);
    Ok(())
}

fn not_made() -> Outcome {
    let node = FakeNode::start(healthy).config();
    let make = |arguments: &[&str]| {
        Program::with(&[&["wallet"], arguments].concat())
            .node(&node)
            .env("WALLET_DIR", "new")
    };
    // Words: the wrong one is named, the others are not repeated.
    let typo = "abandon abandon abandon abandon abandon abandn abandon abandon abandon abandon abandon about";
    let order = "about abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon";
    for (words, said) in [
        (typo, &["word 6", "`abandn`", "spelling"][..]),
        (order, &["checksum", "order"]),
        ("abandon about", &["2 words", "12, 15, 18, 21 or 24"]),
        ("", &["0 words"]),
    ] {
        for verbosity in ["restore", "-v"] {
            let mut arguments = vec!["restore", "--plain", "--words", "-"];
            if verbosity == "-v" {
                arguments.push("-v");
            }
            let run = make(&arguments).input(words).run().code(2).says(said);
            assert!(run.stdout.is_empty() && run.files.is_empty(), "{run:?}");
            assert!(!run.stderr.contains("abandon"), "the words: {run:?}");
        }
    }
    make(&["restore", "--plain", "--words", "no/such/file"])
        .run()
        .code(2)
        .says(&["no/such/file"]);
    make(&["restore", "--plain"])
        .run()
        .code(3)
        .says(&["--words FILE", "terminal"]);
    make(&["create"])
        .run()
        .code(3)
        .says(&["WALLET_PASSPHRASE", "terminal"]);
    make(&["create", "--plain", "--bip39-passphrase"])
        .run()
        .code(3)
        .says(&["--bip39-passphrase-file"]);
    make(&["create", "--plain", "--word-count", "13"])
        .run()
        .code(2)
        .says(&["12, 15, 18, 21 or 24"]);
    make(&["create", "--plain", "--change-type", "p2sh"])
        .run()
        .code(2)
        .says(&["p2sh-p2wpkh"]);
    make(&["create", "--plain", "--gap-limit", "0"])
        .run()
        .code(2)
        .says(&["1..=1000"]);
    make(&["create", "--watch", "wpkh(nonsense)"])
        .run()
        .code(2)
        .says(&["error:"]);
    let run = make(&["create", "--plain"])
        .env("BITCOIN_NETWORK", "signet")
        .run();
    run.code(2).says(&["--plain", "regtest", "signet"]);
    let bare = Program::new("wallet create --plain")
        .env("WALLET_DIR", "new")
        .run();
    bare.code(3).says(&["BITCOIN_NETWORK"]);
    let bare = Program::new("wallet create --plain").node(&node).run();
    bare.code(3).says(&["WALLET_DIR"]);
    // Whatever stands there stays, and nobody is asked for a passphrase first.
    for verb in [&["create"][..], &["restore"]] {
        let program = make(verb);
        let folder = program.folder.path().join("new");
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("precious"), "bytes")?;
        let run = program
            .run()
            .code(2)
            .says(&["exists already", "WALLET_DIR"]);
        assert_eq!(run.files, [run.folder.path().join("new/precious")]);
    }
    Ok(())
}

fn arguments() -> Outcome {
    for arguments in [
        "wallet",
        "wallet nonsense",
        "address",
        "address new --type p2foo",
        "address verify",
        "utxo lock",
        "bump",
        "psbt",
        "psbt show",
        "labels",
        "labels import",
        "sign-message",
        "parity --cases 0",
        "send --fee-rate",
    ] {
        let run = Program::new(arguments).run().code(2);
        assert!(run.stdout.is_empty() && !run.stderr.is_empty(), "{run:?}");
    }
    // Each verb explains itself.
    for verb in [
        "wallet", "address", "utxo", "send", "bump", "psbt", "labels", "parity",
    ] {
        let run = Program::with(&[verb, "--help"]).run().code(0);
        assert!(run.stdout.contains("Usage: btc"), "{run:?}");
    }
    Ok(())
}
