//! `btc shadow soak`: it ends with closed books, finds what is planted, and obeys signals.

use std::fs;
use std::path::Path;

use btc::shadow::analysis::{Analysis, Conclusion, Report};
use btc::shadow::compare::Verdict;
use btc::shadow::record::{Event, Line};
use btc_tests::{Fixture, Outcome, Program, Test};
use serde_json::{Value, json};

use super::OverNode;

pub(super) const TRIALS: &[(&str, Test)] = &[
    ("soak_on_a_moving_chain", moving),
    ("soak_with_workers_in_line_and_still", in_line),
    ("soak_finds_a_planted_fault", planted),
    ("soak_counts_what_is_dropped", dropped),
    ("soak_ends_on_a_signal", signal),
    ("soak_that_cannot_be", refused),
];

pub(super) const OVER_NODE: &[(&str, OverNode)] = &[("soak_of_a_configured_node", configured)];

const LOG: &str = "logs/soak.log";

fn soak(arguments: &str) -> Program {
    Program::new(&format!("--private shadow soak --seed 3 {arguments}"))
}

/// The lines of the log, which must all be whole.
fn lines(folder: &Path) -> Result<Vec<Line>, Box<dyn std::error::Error + Send + Sync>> {
    let text = fs::read_to_string(folder.join(LOG))?;
    assert!(text.ends_with('\n'), "the last line is torn");
    Ok(text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

fn analyse(lines: &[Line]) -> Report {
    let mut analysis = Analysis::default();
    for line in lines {
        analysis.add(line.clone());
    }
    analysis.finish()
}

/// That every call of each direction is accounted for.
fn assert_closed(outcome: &Value, primaries: &[&str]) {
    let directions = outcome["directions"].as_array().expect("a list");
    let names: Vec<_> = directions.iter().map(|it| &it["primary"]).collect();
    assert_eq!(names, primaries);
    for direction in directions {
        let of = |name: &str| direction[name].as_u64().expect("a number");
        assert_eq!(direction["books_close"], true, "{direction}");
        let judged = of("compared") + of("skipped") + of("dropped") + of("inconclusive");
        assert_eq!(of("offered"), judged, "{direction}");
        assert_eq!(of("lost_lines"), 0, "{direction}");
    }
}

fn moving() -> Outcome {
    let run = soak("--ops 600 --threads 3 --rate 60 --reorg-every 1 --json").run();
    let outcome = run.json();
    let run = run.code(0);
    assert_closed(&outcome, &["python", "rust"]);
    for direction in outcome["directions"].as_array().ok_or("a list")? {
        assert_eq!(direction["offered"], 300);
        assert_eq!(direction["mismatches"], 0, "{direction}");
        assert_eq!(direction["dropped"], 0, "{direction}");
    }
    let chain = &outcome["chain"];
    for moved in ["blocks", "reorganisations", "payments"] {
        assert!(chain[moved].as_u64() > Some(0), "{moved}: {chain}");
    }
    assert_eq!(outcome["report"]["conclusion"], "agree");
    let operations = outcome["report"]["operations"].as_array().ok_or("a list")?;
    let compared = operations
        .iter()
        .filter(|it| it["compared"].as_u64() > Some(0));
    assert_eq!(compared.count(), 8, "every operation is compared");
    let alone: Vec<_> = outcome["alone"]
        .as_array()
        .ok_or("a list")?
        .iter()
        .collect();
    assert_eq!(alone.len(), 2, "{outcome}");
    for memory in alone {
        assert_eq!(memory["calls"], 600);
        assert!(memory["rss_bytes"].as_u64() > Some(1 << 20), "{memory}");
    }
    // The log says the same, by itself.
    assert_eq!(run.files, [run.folder.path().join(LOG)]);
    let lines = lines(run.folder.path())?;
    let report = analyse(&lines);
    assert_eq!(
        (report.runs, report.problem_count),
        (2, 0),
        "{:?}",
        report.problems
    );
    assert_eq!(report.conclusion, Conclusion::Agree);
    let with_memory =
        |line: &&Line| matches!(&line.event, Event::Memory(it) if it.implementation.is_some());
    assert_eq!(lines.iter().filter(with_memory).count(), 2 * 24);
    Ok(())
}

fn in_line() -> Outcome {
    let program = soak("--ops 60 --still --in-line --no-alone --primary rust --json");
    let run = program.env("PYTHON_MODE", "worker").run().code(0);
    let outcome = run.json();
    assert_closed(&outcome, &["rust"]);
    assert_eq!(outcome["directions"][0]["offered"], 60);
    assert_eq!(
        (&outcome["chain"], &outcome["alone"]),
        (&Value::Null, &json!([]))
    );
    let run = soak("--ops 40 --mix get_block=3,get_balance=1 --primary python")
        .env("PYTHON_MODE", "worker")
        .run()
        .code(0);
    assert!(run.stdout.starts_with("AGREE"), "{run:?}");
    for part in [
        "40 offered = 40 compared",
        "closes",
        "python by itself",
        "rust by itself",
    ] {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
    assert!(!run.stdout.contains("get_transaction"), "{run:?}");
    Ok(())
}

fn planted() -> Outcome {
    for (class, operation, path) in [
        (
            "reads:OffByOneSat",
            "get_transaction",
            "outputs[].value_sat",
        ),
        ("books:BalanceOffByOne", "get_balance", "balance_sat"),
    ] {
        let run = soak("--ops 200 --still --no-alone")
            .env("PYTHON_BACKEND", format!("btc_legacy.mutants.{class}"))
            .run()
            .code(1);
        assert!(run.stdout.starts_with("DIFFER"), "{run:?}");
        let report = analyse(&lines(run.folder.path())?);
        let found = report
            .operations
            .iter()
            .find(|it| it.operation.as_str() == operation);
        let paths: Vec<_> = found
            .ok_or("not called")?
            .paths
            .iter()
            .map(|it| &*it.path)
            .collect();
        assert!(paths.contains(&path), "{class}: {paths:?}");
        assert!(run.stdout.contains(path), "{run:?}");
    }
    Ok(())
}

fn dropped() -> Outcome {
    let arguments = "--ops 2000 --queue 1 --no-hold-back --no-alone --primary rust --json \
                     --mix get_block_height=1 --threads 8 --still";
    let outcome = soak(arguments).run().code(0).json();
    assert_closed(&outcome, &["rust"]);
    let direction = &outcome["directions"][0];
    assert!(direction["dropped"].as_u64() > Some(0), "{direction}");
    assert_eq!(direction["held_back"], 0);
    let outcome = soak(&arguments.replace("--no-hold-back ", "--log again.log "));
    let outcome = outcome.run().code(0).json();
    assert!(outcome["directions"][0]["held_back"].as_u64() > Some(0));
    Ok(())
}

/// Whether the load is under way.
fn has_compared(folder: &Path) -> bool {
    let log = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    log.lines().count() > 100
}

fn signal() -> Outcome {
    for signal in ["TERM", "INT"] {
        let run = soak("--minutes 60 --rate 300 --json")
            .signal(signal, has_compared)
            .run()
            .code(0);
        let outcome = run.json();
        assert_closed(&outcome, &["python"]);
        assert_eq!(outcome["is_cut_short"], true);
        assert_eq!(
            (&outcome["alone"], &outcome["failures"]),
            (&json!([]), &json!([]))
        );
        assert!(outcome["directions"][0]["compared"].as_u64() > Some(50));
        let lines = lines(run.folder.path())?;
        let Some(Event::Totals(totals)) = lines.last().map(|line| &line.event) else {
            return Err(format!("the log ends with {:?}", lines.last()).into());
        };
        assert!(totals.is_final && totals.counts.close(), "{totals:?}");
        assert_eq!(totals.counts.total(Verdict::Mismatch), 0);
    }
    Ok(())
}

fn refused() -> Outcome {
    for (arguments, words) in [
        ("--mix nothing=1", "there is no operation"),
        ("--mix get_block=0", "nothing would be called"),
        ("--ops 0", "--ops"),
        ("--ops 5 --minutes 5", "cannot be used with"),
        ("--moving --still", "cannot be used with"),
        ("--in-line --no-hold-back", "cannot be used with"),
        ("--threads 0", "--threads"),
    ] {
        let run = soak(arguments).run().code(2).says(&[words]);
        assert!(run.files.is_empty(), "{:?}", run.files);
    }
    let run = soak("--ops 5 --log /proc/no/log").run().code(3);
    run.says(&["the comparison log cannot be written"]);
    Ok(())
}

/// Its chain is left alone, and what needs a wallet is left out.
fn configured(fixture: &Fixture) -> Outcome {
    let state = || -> Result<(Value, Value), btc_regtest::NodeError> {
        let tip = fixture.node.call("getbestblockhash", &[])?;
        Ok((tip, fixture.node.call("getrawmempool", &[])?))
    };
    let before = state()?;
    let on_node = |arguments: &str| {
        let program = Program::new(&format!("shadow soak --seed 3 {arguments}"));
        program.node(&fixture.config())
    };
    let outcome = on_node("--ops 200 --json").run().code(0).json();
    assert_closed(&outcome, &["python", "rust"]);
    assert_eq!(outcome["chain"], Value::Null);
    assert_eq!(outcome["alone"].as_array().map(Vec::len), Some(2));
    let operations = outcome["report"]["operations"].as_array().ok_or("a list")?;
    let names: Vec<_> = operations.iter().map(|it| &it["operation"]).collect();
    let reads = [
        "get_transaction",
        "get_block",
        "get_block_height",
        "estimate_fee",
    ];
    assert_eq!(names, reads);
    assert_eq!(state()?, before);
    on_node("--moving").run().code(2).says(&["is not touched"]);
    on_node("--wallet").run().code(3).says(&["WALLET_DIR"]);
    on_node("--mix get_balance=1")
        .run()
        .code(2)
        .says(&["get_balance needs a wallet"]);
    Ok(())
}
