//! `Record`: the lines of a soak, in the log and in the analysis at once.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use btc::BitcoinResult;
use btc::shadow::analysis::{Analysis, Report};
use btc::shadow::record::{Event, Line, RunId, VERSION};
use btc::shadow::sink::{FileSink, Sink};

/// A sink that also analyses what it writes: the log may hold earlier runs, and may go on in
/// other files, so that it is not read back.
pub(super) struct Record {
    log: FileSink,
    analysis: Mutex<Analysis>,
    run: Mutex<Option<RunId>>,
}

impl Record {
    /// Appends to this log.
    pub(super) fn open(log: &Path) -> BitcoinResult<Self> {
        Ok(Self {
            log: FileSink::open(log)?,
            analysis: Mutex::default(),
            run: Mutex::default(),
        })
    }

    /// Adds a line of ours to the run that began last.
    pub(super) fn note(&self, event: Event) -> io::Result<()> {
        let run = *lock(&self.run);
        match run {
            Some(run) => self.write(&Line {
                version: VERSION,
                run,
                event,
            }),
            None => Err(io::Error::other("no run has begun")),
        }
    }

    /// What the lines so far say.
    pub(super) fn report(&self) -> Report {
        std::mem::take(&mut *lock(&self.analysis)).finish()
    }
}

impl Sink for Record {
    fn write(&self, line: &Line) -> io::Result<()> {
        if matches!(line.event, Event::Start(_)) {
            *lock(&self.run) = Some(line.run);
        }
        lock(&self.analysis).add(line.clone());
        self.log.write(line)
    }

    fn lost_lines(&self) -> u64 {
        self.log.lost_lines()
    }

    fn flush(&self, within: Duration) -> bool {
        self.log.flush(within)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
