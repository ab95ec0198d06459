//! `Journal`: lets decorators beside a shadow write lines into its run of the log.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::record::{Event, Line, RunId, VERSION};
use crate::sink::Sink;

/// How many events may wait for the run to begin.
const MAX_WAITING: usize = 100;

/// A sink for a shadow, which passes its lines on and learns from them which run they belong to,
/// so that others can add lines to that run. What is added before the run begins follows its
/// first line.
///
/// ```
/// # use std::sync::Arc;
/// # use btc_shadow::{Journal, sink::{MemorySink, Sink}};
/// let sink: Arc<dyn Sink> = Arc::new(MemorySink::default());
/// let journal = Arc::new(Journal::new(sink));
/// let for_the_shadow: Box<dyn Sink> = Box::new(Arc::clone(&journal));
/// ```
pub struct Journal {
    sink: Arc<dyn Sink>,
    run: Mutex<Run>,
    lost_lines: AtomicU64,
}

/// The run that began last.
enum Run {
    Awaited(Vec<Event>),
    Begun(RunId),
}

impl Journal {
    /// A journal over this sink, which others may share.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            run: Mutex::new(Run::Awaited(Vec::new())),
            lost_lines: AtomicU64::new(0),
        }
    }

    /// Adds an event to the run. One that the sink cannot take is counted and harms nobody.
    pub(crate) fn note(&self, event: Event) {
        let run = {
            let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *run {
                Run::Awaited(events) if events.len() < MAX_WAITING => return events.push(event),
                Run::Awaited(_) => None,
                Run::Begun(run) => Some(*run),
            }
        };
        match run {
            Some(run) => self.add(run, event),
            None => self.lose_line(),
        }
    }

    fn begin(&self, begun: RunId) {
        let waiting = {
            let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *run, Run::Begun(begun))
        };
        if let Run::Awaited(events) = waiting {
            for event in events {
                self.add(begun, event);
            }
        }
    }

    fn add(&self, run: RunId, event: Event) {
        let line = Line {
            version: VERSION,
            run,
            event,
        };
        let written = catch_unwind(AssertUnwindSafe(|| self.sink.write(&line)));
        if !matches!(written, Ok(Ok(()))) {
            self.lose_line();
        }
    }

    fn lose_line(&self) {
        self.lost_lines.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sink for Journal {
    fn write(&self, line: &Line) -> io::Result<()> {
        let written = self.sink.write(line);
        if matches!(line.event, Event::Start(_)) {
            self.begin(line.run);
        }
        written
    }

    fn lost_lines(&self) -> u64 {
        let own = self.lost_lines.load(Ordering::Relaxed);
        self.sink.lost_lines().saturating_add(own)
    }

    fn flush(&self, within: Duration) -> bool {
        self.sink.flush(within)
    }
}
