//! `btc broadcast`: from an argument, standard input or a file; nothing broken is ever sent.

use bitcoin::consensus::encode;
use btc_regtest::{Chain, Node};
use btc_tests::{FakeNode, Outcome, Program, Reply, Test, builder, healthy, node_config};
use serde_json::json;

pub(super) const TRIALS: &[(&str, Test)] = &[
    ("broadcast_from_everywhere", everywhere),
    ("broadcast_of_what_is_no_transaction", no_transaction),
    ("an_unclear_broadcast_names_its_txid_on_both_sides", unclear),
    (
        "a_broadcast_whose_result_nothing_takes_is_no_failure",
        untaken,
    ),
];

fn mempool(node: &Node) -> Result<Vec<String>, btc_regtest::NodeError> {
    node.call("getrawmempool", &[json!(false)])
}

fn everywhere() -> Outcome {
    let node = builder().start()?;
    let mut chain = Chain::new(&node, 4)?;
    chain.mine(110)?;
    let config = node_config(&node);
    for (turn, implementation) in ["rust", "python"].into_iter().enumerate() {
        let program = |argument: &str| {
            Program::with(&["broadcast", argument])
                .node(&config)
                .env("PRIMARY_IMPL", implementation)
        };
        let all = [chain.spend_one()?, chain.spend_one()?, chain.spend_one()?];
        let hex = all.each_ref().map(encode::serialize_hex);
        let txids = all.each_ref().map(|t| t.compute_txid().to_string());

        let run = program(&hex[0]).run().code(0);
        assert_eq!(run.stdout.trim(), txids[0]);
        let run = program("-")
            .input(format!("{}\n", hex[1].to_uppercase()))
            .run();
        assert_eq!(run.code(0).stdout.trim(), txids[1]);
        let from_file = program("signed.hex");
        std::fs::write(from_file.folder.path().join("signed.hex"), &hex[2])?;
        assert_eq!(from_file.run().code(0).stdout.trim(), txids[2]);

        let waiting = mempool(&node)?;
        assert_eq!(waiting.len(), 3 * (turn + 1));
        assert!(txids.iter().all(|txid| waiting.contains(txid)));

        // Again is success; a double spend that pays less is the node's refusal.
        assert_eq!(program(&hex[0]).run().code(0).stdout.trim(), txids[0]);
        let dear = encode::serialize_hex(&chain.double_spend(&all[1])?);
        program(&dear).run().code(0);
        program(&hex[1]).run().code(1).says(&["insufficient fee"]);
    }
    Ok(())
}

fn no_transaction() -> Outcome {
    // Any request would be counted here, also one that only connects.
    let node = FakeNode::start(healthy);
    let genesis = bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest);
    let hex = encode::serialize_hex(&genesis.txdata[0]);
    let program = |argument: &str| Program::with(&["broadcast", argument]).node(&node.config());
    let truncated = &hex[..hex.len() - 2];
    let odd = &hex[1..];
    let more = format!("{hex}00");
    for argument in [truncated, odd, &more, "00", "zz", "", "no/such/file", "."] {
        let run = program(argument).run().code(2).says(&["error:"]);
        assert!(run.stdout.is_empty() && run.stderr.len() < 1_000, "{run:?}");
    }
    let huge = "00".repeat(4_000_001);
    let far_too_huge = "00".repeat(9_000_000);
    for input in [truncated, odd, &more, "", "\n", "zz", &huge, &far_too_huge] {
        let run = program("-").input(input).run().code(2).says(&["error:"]);
        assert!(run.stdout.is_empty() && run.stderr.len() < 1_000, "{run:?}");
    }
    let binary = program("binary");
    std::fs::write(binary.folder.path().join("binary"), [0, 159, 255, 10])?;
    binary.run().code(2).says(&["error:"]);
    assert!(node.requests().is_empty(), "nothing may be asked or sent");
    Ok(())
}

/// The node takes the transaction and says nothing, or something that is no answer.
fn unclear() -> Outcome {
    let genesis = bitcoin::blockdata::constants::genesis_block(bitcoin::Network::Regtest);
    let transaction = &genesis.txdata[0];
    let (hex, txid) = (
        encode::serialize_hex(transaction),
        transaction.compute_txid().to_string(),
    );
    for (reply, code) in [
        (Reply::Close, 4),
        (Reply::Silence, 4),
        (Reply::Truncated, 4),
    ] {
        let node = FakeNode::start(move |request| match request.method.as_str() {
            "sendrawtransaction" => reply.clone(),
            _ => healthy(request),
        });
        for (primary, mode) in [
            ("rust", "embedded"),
            ("python", "embedded"),
            ("python", "worker"),
        ] {
            let run = Program::with(&["broadcast", &hex, "--json"])
                .node(&node.config())
                .env("BITCOIN_RPC_TIMEOUT_SECS", "1")
                .env("PRIMARY_IMPL", primary)
                .env("PYTHON_MODE", mode)
                .run()
                .code(code);
            assert!(run.stdout.is_empty(), "{run:?}");
            let said: serde_json::Value = serde_json::from_str(&run.stderr)?;
            let said = &said["error"];
            assert_eq!(said["context"]["txid"], txid, "{primary} {mode}: {said}");
            let message = said["message"].as_str().unwrap_or_default();
            assert!(message.contains("before you pay again"), "{said}");
        }
        let sent = node.requests().into_iter();
        let sent = sent.filter(|request| request.method == "sendrawtransaction");
        assert_eq!(sent.count(), 3, "each is sent once");
    }
    Ok(())
}

fn untaken() -> Outcome {
    let node = builder().start()?;
    let mut chain = Chain::new(&node, 5)?;
    chain.mine(110)?;
    for implementation in ["rust", "python"] {
        let transaction = chain.spend_one()?;
        let hex = encode::serialize_hex(&transaction);
        let full = std::fs::File::options().write(true).open("/dev/full")?;
        let run = Program::with(&["broadcast", &hex])
            .node(&node_config(&node))
            .env("PRIMARY_IMPL", implementation)
            .stdout(full)
            .run()
            .code(0);
        let txid = transaction.compute_txid().to_string();
        run.says(&["the transaction is sent", &txid]);
        assert!(mempool(&node)?.contains(&txid));
    }
    Ok(())
}
