//! Planted faults of meaning, through shadow mode: each is caught, at the right field, both ways.

use std::collections::BTreeSet;
use std::sync::Arc;

use btc::python::{PythonBitcoin, PythonConfig, PythonMode};
use btc::shadow::analysis::{Analysis, Conclusion};
use btc::shadow::compare::Verdict;
use btc::shadow::sink::MemorySink;
use btc::shadow::{Policy, Shadow};
use btc::{BitcoinInterface, Operation};
use btc_tests::{Backend, Fixture, Outcome, Suite, python_config};

use crate::Phase;

/// A class, and every field at which it must be caught; the twin without a fault has none.
const CLASSES: &[(&str, &[&str])] = &[
    ("backend:LegacyBackend", &[]),
    ("planted:OffByOneSat", &["outputs[].value_sat"]),
    ("planted:DroppedWitness", &["inputs[].witness.length"]),
    (
        "planted:SwappedOutputs",
        &["outputs[].script_pubkey", "outputs[].value_sat"],
    ),
    ("planted:ReversedTxid", &["txid"]),
    ("planted:StaleTip", &["height"]),
    ("planted:WrongErrorKind", &["error.kind"]),
];

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    for (class, paths) in CLASSES {
        let name = class.rsplit(':').next().unwrap_or(class);
        for is_primary in [true, false] {
            let first = if is_primary { "python" } else { "rust" };
            let phase = Arc::clone(phase);
            suite.add(format!("planted::{name}::{first}-first"), move || {
                phase.reading(|fixture| is_caught(fixture, class, is_primary, paths))
            });
        }
    }
}

fn is_caught(fixture: &Fixture, class: &str, is_primary: bool, paths: &[&str]) -> Outcome {
    let config = PythonConfig {
        backend: format!("btc_legacy.{class}"),
        ..python_config(&fixture.config(), PythonMode::Embedded)
    };
    let faulty: Arc<dyn BitcoinInterface> = Arc::new(PythonBitcoin::connect(&config)?);
    let rust = fixture.backends.real(Backend::Rust)?;
    let (primary, secondary) = if is_primary {
        (faulty, rust)
    } else {
        (rust, faulty)
    };
    let sink = Arc::new(MemorySink::default());
    let shadow = Shadow::new(
        Arc::clone(&primary),
        secondary,
        Policy {
            recheck_after_ms: vec![1],
        },
        Box::new(Arc::clone(&sink)),
        true,
    );
    let books = shadow.books();
    let calls = compare_all(fixture, &*primary, &shadow)?;
    drop(shadow);

    let counts = books.counts();
    assert!(counts.close(), "{counts:?}");
    assert_eq!(counts.total_offered(), calls);
    assert_eq!(counts.lost_lines, 0);
    assert_eq!(counts.total(Verdict::Inconclusive), 0);
    let mut analysis = Analysis::default();
    for line in sink.lines() {
        analysis.add(line);
    }
    let report = analysis.finish();
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    let found: BTreeSet<_> = report
        .operations
        .iter()
        .flat_map(|operation| &operation.paths)
        // A block's paths begin with the transaction's place.
        .map(|path| {
            path.path
                .strip_prefix("[].")
                .unwrap_or(&path.path)
                .to_owned()
        })
        .collect();
    assert_eq!(found, paths.iter().map(ToString::to_string).collect());
    let conclusion = if paths.is_empty() {
        assert_eq!(counts.total(Verdict::Match), calls);
        Conclusion::Agree
    } else {
        assert!(counts.total(Verdict::Mismatch) > 0);
        Conclusion::Differ
    };
    assert_eq!(report.conclusion, conclusion);
    if class.ends_with(":OffByOneSat") || class.ends_with(":ReversedTxid") {
        // Every transaction shows these, so none may slip through.
        let reads = [Operation::GetTransaction, Operation::GetBlock];
        for operation in report
            .operations
            .iter()
            .filter(|o| reads.contains(&o.operation))
        {
            let errors: u64 = operation.errors.iter().map(|error| error.count).sum();
            // Both sides fail alike on what is not there.
            assert_eq!(operation.mismatches, operation.compared - errors / 2);
        }
    }
    Ok(())
}

/// Reads everything through the decorator, and checks that it changes no answer; how many calls.
fn compare_all(
    fixture: &Fixture,
    primary: &dyn BitcoinInterface,
    shadow: &dyn BitcoinInterface,
) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let unknown = ["ff".repeat(32), "00".repeat(32), "no hash".to_owned()];
    let txids: Vec<String> = fixture
        .summary
        .kinds
        .values()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let blocks = fixture.block_hashes()?;
    // The empty ones at the beginning are all alike.
    let blocks: Vec<_> = blocks[100..].iter().map(ToString::to_string).collect();
    let mut calls = 0;
    for txid in txids.iter().chain(&unknown) {
        assert_eq!(
            plain(shadow.get_transaction(txid)),
            plain(primary.get_transaction(txid))
        );
        calls += 1;
    }
    for hash in blocks.iter().chain(&unknown) {
        assert_eq!(
            plain(shadow.get_block(hash)),
            plain(primary.get_block(hash))
        );
        calls += 1;
    }
    assert_eq!(shadow.get_block_height()?, primary.get_block_height()?);
    assert_eq!(
        plain(shadow.estimate_fee(6)),
        plain(primary.estimate_fee(6))
    );
    Ok(calls + 2)
}

/// An answer that can be compared, errors by kind and text.
fn plain<T>(result: btc::BitcoinResult<T>) -> Result<T, String> {
    result.map_err(|error| format!("{} {error}", error.kind()))
}
