//! The program: what its verbs print and how it ends.

mod analyze;
mod broadcast;
mod deploy;
mod replay;
mod shell;
mod soak;
mod trust;
mod wrong;

use std::sync::Arc;

use btc_regtest::Kind;
use btc_tests::{FakeNode, Fixture, Outcome, Program, Reply, Request, Suite, Test, healthy};
use serde_json::json;

use crate::Phase;

/// Without a configured node, or with one of their own.
const ALONE: &[(&str, Test)] = &[
    ("height_on_a_private_node", height),
    ("no_node_is_no_answer_to_a_script", no_node),
    ("at_a_terminal_a_private_node_serves", at_terminal),
    ("status_on_a_private_node", status),
    ("fee_on_a_private_node_is_the_floor", fee),
    ("fee_says_where_it_comes_from", fee_sources),
    ("compare_suite_on_a_private_node", compare),
    ("demo_catches_the_planted_fault", demo),
    ("analyze_judges_logs", analyze::analyze),
    ("texts_for_shells_and_people", shell::texts),
    ("output_that_nobody_takes", output_lost),
];

type OverNode = fn(&Fixture) -> Outcome;

/// Over the node that is only read.
const OVER_NODE: &[(&str, OverNode)] = &[
    ("reads_of_a_configured_node", reads),
    ("compare_suite_on_a_configured_node", compare_configured),
    ("unknown_and_malformed_hashes", hashes),
];

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    let alone = [
        ALONE,
        wrong::TRIALS,
        broadcast::TRIALS,
        soak::TRIALS,
        trust::TRIALS,
    ];
    for (name, trial) in alone.into_iter().flatten() {
        suite.add(format!("cli::{name}"), trial);
    }
    let over_node = [
        OVER_NODE,
        soak::OVER_NODE,
        replay::OVER_NODE,
        deploy::OVER_NODE,
    ];
    for (name, trial) in over_node.into_iter().flatten() {
        let phase = Arc::clone(phase);
        suite.add(format!("cli::{name}"), move || phase.reading(trial));
    }
}

const PRIVATE: &str = "a private regtest node serves";

fn height() -> Outcome {
    let run = Program::new("--private height --json")
        .run()
        .code(0)
        .says(&[PRIVATE]);
    assert_eq!(run.json()["height"], 0);
    let run = Program::new("--private height").run().code(0);
    assert_eq!(run.stdout, "0\n");
    assert!(run.files.is_empty(), "{:?}", run.files);
    Ok(())
}

/// Every verb that asks a node, without a configured one and without a terminal.
fn no_node() -> Outcome {
    let hash = "ab".repeat(32);
    let (tx, block) = (format!("tx {hash}"), format!("block {hash}"));
    for verb in [
        "fee 6",
        "height",
        "status",
        "python",
        "rust",
        "test",
        "peers",
        "shadow soak",
        "",
        &tx,
        &block,
    ] {
        let run = Program::new(&format!("{verb} --json")).run().code(3);
        assert!(run.stdout.is_empty() && run.files.is_empty(), "{run:?}");
        run.says(&["no node is configured", "BITCOIN_NETWORK", "--private"]);
    }
    // Whatever is configured, it is the private one that is asked for.
    let node = FakeNode::start(healthy);
    let run = Program::new("height --json --private").node(&node.config());
    assert_eq!(run.run().code(0).json()["height"], 0);
    assert!(node.requests().is_empty());
    Ok(())
}

fn at_terminal() -> Outcome {
    let run = Program::new("height").at_terminal().run().code(0);
    assert!(run.stdout.contains(PRIVATE), "{run:?}");
    Ok(())
}

fn status() -> Outcome {
    for (program, implementation) in [
        (Program::new("--private --json"), "rust"),
        (Program::new("--private status --json"), "rust"),
        (
            Program::new("--private --json").env("USE_RUST_BITCOIN", "false"),
            "python",
        ),
        (
            Program::new("--private --json").env("PRIMARY_IMPL", "python"),
            "python",
        ),
        (Program::new("--private python --json"), "python"),
        (
            Program::new("--private python --json").env("PYTHON_MODE", "worker"),
            "python",
        ),
        (
            Program::new("--private rust --json").env("USE_RUST_BITCOIN", "false"),
            "rust",
        ),
    ] {
        let status = program.run().code(0).says(&[PRIVATE]).json();
        assert_eq!(status["implementation"], implementation);
        assert_eq!(status["node"]["network"], "regtest");
        assert_eq!(status["node"]["is_private"], true);
        assert_eq!(status["height"], 0);
    }
    let run = Program::new("--private python").run().code(0);
    assert!(run.stdout.contains("implementation  python"), "{run:?}");
    Ok(())
}

fn fee() -> Outcome {
    let floor = json!({
        "target_blocks": 6, "fee_rate_sat_per_vb": 1, "source": "minimum_relay",
        "floor_sat_per_vb": 1,
    });
    for (name, value) in [
        ("PRIMARY_IMPL", "rust"),
        ("PRIMARY_IMPL", "python"),
        ("PYTHON_MODE", "worker"),
        ("SHADOW_MODE", "true"),
    ] {
        let run = Program::new("--private fee 6 --json")
            .env(name, value)
            .run()
            .code(0);
        assert_eq!(run.json(), floor, "{name}={value}");
    }
    let run = Program::new("--private fee 6").run().code(0);
    assert_eq!(run.stdout, "1 sat/vB, the node's minimum relay fee\n");
    // A class that knows the number alone.
    let own = || {
        let variables = [
            ("USE_RUST_BITCOIN", "false"),
            ("PYTHON_BACKEND", "btc_legacy.planted:Raises"),
        ];
        let program = Program::new("--private fee 6 --json");
        variables
            .into_iter()
            .fold(program, |program, (name, value)| program.env(name, value))
    };
    let fee = own().run().code(0).json();
    assert_eq!(fee["fee_rate_sat_per_vb"], 1);
    assert!(fee["source"].is_null() && fee["floor_sat_per_vb"].is_null());
    Ok(())
}

fn fee_sources() -> Outcome {
    let node = FakeNode::start(healthy);
    let answers = |estimate: &'static str| {
        move |request: &Request| match request.method.as_str() {
            "estimatesmartfee" => Reply::Text(estimate.to_owned()),
            "getmempoolinfo" => Reply::Text(
                r#"{"bytes":9000000,"mempoolminfee":0.00002,"minrelaytxfee":0.00001}"#.to_owned(),
            ),
            "getrawmempool" => {
                Reply::Text(r#"{"aa":{"vsize":1000001,"fees":{"base":0.04000004}}}"#.to_owned())
            }
            _ => healthy(request),
        }
    };
    for (estimate, sat_per_vb, source, words) in [
        (
            r#"{"feerate":0.00003}"#,
            3,
            "core",
            "3 sat/vB, from Bitcoin Core's estimate\n",
        ),
        ("{}", 4, "mempool", "4 sat/vB, from the mempool\n"),
    ] {
        node.set(answers(estimate));
        for shadow in ["false", "true"] {
            let fee = |arguments| {
                let program = Program::new(arguments).node(&node.config());
                program.env("SHADOW_MODE", shadow).run().code(0)
            };
            assert_eq!(fee("fee 1").stdout, words);
            let json = fee("fee 1 --json").json();
            assert_eq!(json["fee_rate_sat_per_vb"], sat_per_vb);
            assert_eq!(
                (&json["source"], &json["floor_sat_per_vb"]),
                (&json!(source), &json!(2))
            );
        }
    }
    Ok(())
}

fn compare() -> Outcome {
    for primary in ["python", "rust"] {
        let program = Program::new("--private test")
            .env("SHADOW_MODE", "true")
            .env("PRIMARY_IMPL", primary)
            .env("LOG_FILE", "logs/shadow_comparison.log");
        let log = program.folder.path().join("logs/shadow_comparison.log");
        let run = program.run().code(0);
        assert!(run.stdout.starts_with("AGREE"), "{run:?}");
        assert!(run.stdout.contains(&format!("primary   {primary}")));
        assert_eq!(run.files, std::slice::from_ref(&log));
        let path = log.display().to_string();
        // They agree, in far too few calls to switch.
        let report = Program::with(&["analyze", &path, "--json"])
            .run()
            .code(2)
            .json();
        assert_eq!(report["judgement"]["decision"], "hold");
        assert_eq!(
            (&report["mismatches"], &report["problem_count"]),
            (&0.into(), &0.into())
        );
        assert!(report["compared"].as_u64() > Some(300), "{report}");
        for operation in [
            "get_transaction",
            "get_block",
            "get_block_height",
            "estimate_fee",
        ] {
            let operations = report["operations"].as_array().ok_or("a list")?;
            let found = operations.iter().find(|o| o["operation"] == operation);
            let compared = found.ok_or(operation)?["compared"].as_u64();
            assert!(compared > Some(5), "{operation}: {compared:?}");
        }
    }
    // Without shadow mode the same is compared and nothing is written.
    let run = Program::new("--private test --blocks 5 --json")
        .run()
        .code(0);
    assert_eq!(run.json()["conclusion"], "agree");
    assert!(run.files.is_empty(), "{:?}", run.files);
    Ok(())
}

fn compare_configured(fixture: &Fixture) -> Outcome {
    for primary in ["python", "rust"] {
        let run = Program::new("test --blocks 20 --json")
            .node(&fixture.config())
            .env("SHADOW_MODE", "true")
            .env("PRIMARY_IMPL", primary)
            .env("LOG_FILE", "here.log")
            .run()
            .code(0);
        assert!(!run.stderr.contains(PRIVATE), "a configured node serves");
        assert_eq!(run.json()["conclusion"], "agree");
        assert_eq!(run.files.len(), 1);
        assert!(run.files[0].ends_with("here.log"));
    }
    // A planted fault makes it fail.
    let run = Program::new("test --blocks 5")
        .node(&fixture.config())
        .env("PYTHON_BACKEND", "btc_legacy.mutants.reads:SwappedOutputs")
        .run()
        .code(1);
    assert!(
        run.stdout.starts_with("DIFFER") && run.stdout.contains("outputs[].script_pubkey"),
        "{run:?}"
    );
    Ok(())
}

fn demo() -> Outcome {
    let program = Program::new("demo --quick --json");
    let log = program.folder.path().join("logs/demo.log");
    let run = program.run().code(0);
    let outcome = run.json();
    assert_eq!(outcome["planted"]["is_caught"], true);
    assert_eq!(outcome["python_primary"]["conclusion"], "agree");
    assert_eq!(outcome["rust_primary"]["conclusion"], "agree");
    for report in ["python_primary", "rust_primary"] {
        let operations = outcome[report]["operations"].as_array().expect("a list");
        assert_eq!(operations.len(), 8, "all eight operations: {operations:?}");
        for operation in operations {
            assert!(operation["compared"].as_u64() > Some(0), "{operation}");
        }
    }
    let wallet = &outcome["wallet"];
    assert_eq!(wallet["running_sat"], wallet["restored_by_rust_sat"]);
    assert_eq!(wallet["running_sat"], wallet["restored_by_python_sat"]);
    assert_eq!(run.files, [log]);
    Ok(())
}

/// A reader that has seen enough is fine, and a full disk is not: an answer must not get lost.
fn output_lost() -> Outcome {
    for arguments in [
        "completions bash",
        "man",
        "variables",
        "height --json --private",
    ] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        Program::new(arguments).stdout(writer).run().code(0);
        let full = std::fs::File::options().write(true).open("/dev/full")?;
        let run = Program::new(arguments).stdout(full).run().code(1);
        run.says(&["error", "standard output"]);
    }
    Ok(())
}

fn reads(fixture: &Fixture) -> Outcome {
    let txid = fixture.summary.of(Kind::BigWitness)[0].to_string();
    let block = fixture.summary.odd_block.ok_or("in the plan")?.to_string();
    let raw = fixture.raw_block(&block.parse()?)?;
    let height = fixture.summary.tip_height();
    let mut answers = Vec::new();
    for implementation in ["rust", "python"] {
        let program = |arguments: &[&str]| {
            Program::with(arguments)
                .node(&fixture.config())
                .env("PRIMARY_IMPL", implementation)
        };
        let run = program(&["height", "--json"]).run().code(0);
        assert!(run.stderr.is_empty(), "{run:?}");
        assert_eq!(run.json()["height"].as_u64(), height.map(u64::from));
        let one = program(&["tx", &txid, "--json"]).run().code(0).json();
        assert_eq!(one["txid"], *txid);
        let all = program(&["block", &block, "--json"]).run().code(0).json();
        assert_eq!(all.as_array().map(Vec::len), Some(raw.txdata.len()));
        let text = program(&["tx", &txid]).run().code(0).stdout;
        assert!(text.contains(&txid) && !text.contains('\u{1b}'), "{text}");
        let text_of_block = program(&["block", &block]).run().code(0).stdout;
        answers.push((one, all, text, text_of_block));
    }
    assert!(answers[0] == answers[1], "the two print different things");
    Ok(())
}

fn hashes(fixture: &Fixture) -> Outcome {
    for implementation in ["rust", "python"] {
        for verb in ["tx", "block"] {
            let program = |hash: &str| {
                Program::with(&[verb, hash, "--json"])
                    .node(&fixture.config())
                    .env("PRIMARY_IMPL", implementation)
            };
            let unknown = program(&"ff".repeat(32)).run().code(1);
            assert!(unknown.stdout.is_empty());
            let error: serde_json::Value = serde_json::from_str(&unknown.stderr)?;
            assert_eq!(error["error"]["kind"], "not_found");
            for malformed in ["", "zz", &"0".repeat(63), "\u{1f600}", &"f".repeat(10_000)] {
                let run = program(malformed).run().code(2);
                let error: serde_json::Value = serde_json::from_str(&run.stderr)?;
                assert_eq!(error["error"]["kind"], "invalid_input", "{malformed}");
            }
        }
    }
    Ok(())
}
