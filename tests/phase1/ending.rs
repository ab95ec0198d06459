//! A service with shadow mode in it is told to stop, while its queue is full and the secondary
//! hangs: it ends by itself, and its log accounts for every call.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use btc::shadow::analysis::{Analysis, Report};
use btc::shadow::compare::Verdict;
use btc::shadow::record::{Event, Line};
use btc::shadow::{Counts, LeftOut};
use btc_tests::{Fixture, Outcome, Program, Suite, bounded};

use crate::Phase;

/// Far more than the five seconds that the end gives to comparisons, and the rest of it.
const LIMIT: Duration = Duration::from_mins(2);
const LOG: &str = "shadow.log";
/// Where the service says how many calls were answered.
const SAID: &str = "said";
const QUEUE: u64 = 16;
const WORKERS: u64 = 2;
/// Many times what the queue holds.
const ENOUGH: u64 = 1_000;

pub(crate) fn add(suite: &mut Suite, phase: &Arc<Phase>) {
    for mode in ["embedded", "worker"] {
        let phase = Arc::clone(phase);
        suite.add(
            format!("ending::sigterm_with_a_full_queue::{mode}"),
            move || phase.reading(|fixture| hanging(fixture, mode)),
        );
    }
    let phase = Arc::clone(phase);
    suite.add("ending::sigterm_with_a_secondary_that_is_well", move || {
        phase.reading(well)
    });
}

/// How many calls the service says were answered.
fn answered(folder: &Path) -> u64 {
    let said = fs::read_to_string(folder.join(SAID)).unwrap_or_default();
    let last = said.lines().last().unwrap_or_default();
    let number = last.split(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// Runs the service over this node until it has answered enough, tells it to stop, and returns
/// what it said, what its log counted at the end, and what the analysis makes of that.
fn stopped(
    fixture: &Fixture,
    variables: &[(&str, &str)],
) -> Result<(u64, Counts, Report), Failure> {
    let mut program = Program::service()
        .node(&fixture.config())
        .env("SHADOW_MODE", "true")
        .env("PRIMARY_IMPL", "rust")
        .env("SHADOW_QUEUE", QUEUE.to_string())
        .env("SHADOW_WORKERS", WORKERS.to_string())
        .env("LOG_FILE", LOG);
    for (name, value) in variables {
        program = program.env(name, value);
    }
    let said = File::create(program.folder.path().join(SAID))?;
    let program = program
        .stdout(said)
        .signal("TERM", |folder| answered(folder) >= ENOUGH);
    let run = bounded(LIMIT, "the service", move || program.run()).code(0);
    let folder = run.folder.path();
    let said = fs::read_to_string(folder.join(SAID))?;
    assert!(
        said.ends_with(" calls in all\n"),
        "it did not let go: {run:?}"
    );
    let text = fs::read_to_string(folder.join(LOG))?;
    let last: Line = serde_json::from_str(text.lines().last().ok_or("an empty log")?)?;
    let Event::Totals(totals) = last.event else {
        return Err(format!("the log ends with {last:?}").into());
    };
    assert!(totals.is_final && totals.counts.close(), "{totals:?}");
    let mut analysis = Analysis::default();
    analysis.read_file(&folder.join(LOG), &mut |_| {})?;
    Ok((answered(folder), totals.counts, analysis.finish()))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Nothing but the signal ends what hangs: it is let go of, and counted.
fn hanging(fixture: &Fixture, mode: &str) -> Outcome {
    let (answered, counts, report) = stopped(
        fixture,
        &[
            ("PYTHON_BACKEND", "btc_legacy.planted:Hangs"),
            ("PYTHON_MODE", mode),
            ("PYTHON_TIMEOUT_SECS", "0"),
            ("SHADOW_TIMEOUT_SECS", "3600"),
        ],
    )?;
    assert!(answered >= ENOUGH);
    assert_eq!(counts.total_offered(), answered);
    let left_out = |why| counts.left_out.get(&why).copied().unwrap_or(0);
    // Each worker has one in hand, the queue is full, and nothing else had room.
    assert_eq!(counts.total(Verdict::Inconclusive), WORKERS, "{counts:?}");
    assert_eq!(left_out(LeftOut::Ended), QUEUE, "{counts:?}");
    assert_eq!(left_out(LeftOut::QueueFull), answered - QUEUE - WORKERS);
    assert_eq!(counts.lost_lines, 0);
    assert_eq!((report.compared, report.unended_runs), (0, 0));
    assert_eq!((report.unaccounted, report.problem_count), (0, 0));
    Ok(())
}

/// What waits is worked off.
fn well(fixture: &Fixture) -> Outcome {
    let (answered, counts, report) = stopped(fixture, &[])?;
    assert_eq!(counts.total_offered(), answered);
    let full = counts.left_out.get(&LeftOut::QueueFull).copied();
    let compared = answered - full.unwrap_or(0);
    assert_eq!(counts.total(Verdict::Match), compared, "{counts:?}");
    assert_eq!((report.compared, report.mismatches), (compared, 0));
    assert_eq!((report.unended_runs, report.problem_count), (0, 0));
    Ok(())
}
