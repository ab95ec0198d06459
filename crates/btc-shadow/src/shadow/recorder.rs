//! `Recorder`: where every verdict ends up, in the books, with the watchers and in the log.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use btc_iface::rust_bitcoin::hashes::{Hash, sha256};
use btc_iface::{BitcoinImplementationType, Operation};

use super::finding::{Asked, Finding};
use crate::books::Books;
use crate::clock::now_ms;
use crate::compare::{RULES, Verdict};
use crate::record::{Build, Comparison, Digest, Event, Line, RunId, Side, Start, Totals, VERSION};
use crate::sink::Sink;
use crate::watch::Watch;

/// A `totals` line is written after this many comparisons, and at the end.
const COMPARISONS_BETWEEN_TOTALS: u64 = 1000;

/// How long the log may take to write what it holds back at the end.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// Counts, tells and writes.
pub(crate) struct Recorder {
    pub(crate) books: Arc<Books>,
    sink: Box<dyn Sink>,
    log_all: bool,
    run: RunId,
    began_ms: u64,
    /// The same moment on the monotonic clock.
    began: Instant,
    /// The primary's and the secondary's.
    builds: OnceLock<[String; 2]>,
    pub(crate) implementations: [BitcoinImplementationType; 2],
    start: Once,
    watchers: OnceLock<Vec<Arc<dyn Watch>>>,
    sequence: AtomicU64,
}

/// A call whose primary has answered.
#[derive(Clone, Copy)]
pub(crate) struct About {
    pub(crate) operation: Operation,
    pub(crate) primary: Asked,
}

impl Recorder {
    /// A new run of a primary and a secondary.
    pub(crate) fn new(
        implementations: [BitcoinImplementationType; 2],
        sink: Box<dyn Sink>,
        log_all: bool,
    ) -> Self {
        /// Tells apart the runs of one process that begin in the same millisecond.
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let began_ms = now_ms();
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        // A clock that was set back, and a process that has the number of an earlier one, as in
        // a container that starts again, must not give two runs one number.
        let chance = RandomState::new().build_hasher().finish();
        let name = format!("{began_ms} {} {number} {chance}", process::id());
        let digest = sha256::Hash::hash(name.as_bytes());
        let first = digest.as_byte_array().first_chunk();
        Self {
            books: Arc::default(),
            sink,
            log_all,
            run: RunId(u32::from_be_bytes(*first.unwrap_or(&[0; 4]))),
            began_ms,
            began: Instant::now(),
            builds: OnceLock::new(),
            implementations,
            start: Once::new(),
            watchers: OnceLock::new(),
            sequence: AtomicU64::new(0),
        }
    }

    /// Says which builds are compared, if the run has not begun.
    pub(crate) fn name_builds(&self, primary: String, secondary: String) {
        // Only the first word counts: the log's start may have repeated it already.
        let _ = self.builds.set([primary, secondary]);
    }

    /// Says who is told of each judged call; only the first word counts.
    pub(crate) fn set_watchers(&self, watchers: Vec<Arc<dyn Watch>>) {
        let _ = self.watchers.set(watchers);
    }

    /// The second of a moment, by the run's own clock: it never goes back, and costs the caller no
    /// look at the system's.
    pub(crate) fn second_of(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.began).as_secs();
        (self.began_ms / 1000).saturating_add(since)
    }

    /// The time by the run's own clock, in milliseconds since 1970 when it began: it goes on
    /// evenly, whatever becomes of the system's.
    pub(crate) fn time_ms(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began_ms.saturating_add(since)
    }

    /// Closes the account of a call, and says what was found. The verdict counts only here, so
    /// that the books close however a comparison ends.
    pub(crate) fn record(&self, about: &About, input: Digest, rechecks: usize, finding: Finding) {
        let Finding {
            verdict,
            differences,
            reason,
            asked: secondary,
        } = finding;
        self.books.close(about.operation, verdict);
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let watchers = self.watchers.get().map_or(&[][..], Vec::as_slice);
        if verdict == Verdict::Mismatch {
            let path = differences.first().map_or("", |found| found.path.as_str());
            let operation = about.operation.as_str();
            tracing::info!(operation, path, run = %self.run, sequence, "the two sides differ");
        }
        let is_logged = self.log_all || verdict != Verdict::Match;
        if is_logged || !watchers.is_empty() {
            let [ours, theirs] = self.implementations;
            let comparison = Comparison {
                sequence,
                time_ms: now_ms(),
                operation: about.operation,
                verdict,
                input,
                primary: side(ours, about.primary),
                secondary: secondary.map(|asked| side(theirs, asked)),
                rechecks: u32::try_from(rechecks).unwrap_or(u32::MAX),
                differences,
                reason,
            };
            for watcher in watchers {
                let tell = || watcher.judged(&comparison);
                if catch_unwind(AssertUnwindSafe(tell)).is_err() {
                    self.books.lose_line();
                }
            }
            if is_logged {
                self.write(Event::Comparison(comparison));
            }
        }
        if sequence.is_multiple_of(COMPARISONS_BETWEEN_TOTALS) {
            self.write_totals(false);
        }
    }

    /// Lets the log write what it holds back.
    pub(crate) fn flush(&self) -> bool {
        self.sink.flush(LAST_FLUSH)
    }

    pub(crate) fn write_totals(&self, is_final: bool) {
        // What the log still holds back may yet be lost.
        let is_well = is_final && self.flush();
        let mut counts = self.books.counts();
        counts.lost_lines = counts.lost_lines.saturating_add(self.sink.lost_lines());
        self.write(Event::Totals(Totals {
            time_ms: now_ms(),
            is_final,
            counts,
        }));
        if is_well {
            // The process may end with the decorator, while a worker still keeps the log open.
            self.flush();
        }
    }

    /// Writes the run's first line, if it is not there yet.
    pub(crate) fn begin(&self) {
        self.start.call_once(|| {
            let own = || env!("CARGO_PKG_VERSION").to_owned();
            let [ours, theirs] = self.builds.get_or_init(|| [own(), own()]);
            let [primary, secondary] = self.implementations;
            let build = |implementation, build: &String| Build {
                implementation,
                build: build.clone(),
            };
            self.hand_to_sink(Event::Start(Start {
                time_ms: self.began_ms,
                primary: build(primary, ours),
                secondary: build(secondary, theirs),
                log_all: self.log_all,
                rules: RULES,
                part: 1,
            }));
        });
    }

    pub(crate) fn write(&self, event: Event) {
        self.begin();
        self.hand_to_sink(event);
    }

    fn hand_to_sink(&self, event: Event) {
        let line = Line {
            version: VERSION,
            run: self.run,
            event,
        };
        // Unguarded, a sink that panics would take the primary's answer with it.
        let written = catch_unwind(AssertUnwindSafe(|| self.sink.write(&line)));
        if !matches!(written, Ok(Ok(()))) {
            self.books.lose_line();
        }
    }
}

fn side(implementation: BitcoinImplementationType, asked: Asked) -> Side {
    Side {
        implementation,
        duration_ns: u64::try_from(asked.duration.as_nanos()).unwrap_or(u64::MAX),
        error: asked.error,
        tips: asked.tips,
    }
}
