//! `Record`: the lines of a soak, in the log and in the analysis at once.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use btc::config::ShadowConfig;
use btc::shadow::analysis::{Analysis, Report};
use btc::shadow::record::{Event, Line, RunId, VERSION};
use btc::shadow::sink::Sink;
use btc::{BitcoinResult, Config};

use crate::verbs::test::keeping_all;

/// A sink that also analyses what it writes: the log may hold earlier runs, and may go on in
/// other files, so that it is not read back.
pub(super) struct Record {
    log: Arc<dyn Sink>,
    analysis: Mutex<Analysis>,
    run: Mutex<Option<RunId>>,
}

impl Record {
    /// Appends to this log, rotated as configured, of which no file is deleted.
    pub(super) fn open(log: &Path, config: &Config) -> BitcoinResult<Self> {
        let configured = config.shadow.clone();
        let shadow = ShadowConfig {
            log_file: log.to_owned(),
            ..configured.unwrap_or_else(|| ShadowConfig::new(log))
        };
        Ok(Self {
            log: btc::open_log(&keeping_all(&shadow))?,
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
