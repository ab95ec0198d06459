//! `Journal`: lets decorators beside a shadow write lines into its run of the log.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::record::{Event, Line, RunId, VERSION};
use crate::sink::Sink;

/// A sink for a shadow, which passes its lines on and learns from them which run they belong to,
/// so that others can add lines to that run.
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
    /// The run that began last.
    run: AtomicU32,
    lost_lines: AtomicU64,
}

impl Journal {
    /// A journal over this sink, which others may share.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            run: AtomicU32::new(0),
            lost_lines: AtomicU64::new(0),
        }
    }

    /// How many events the sink could not take. Lines of the shadow are counted by the shadow.
    pub fn lost_lines(&self) -> u64 {
        self.lost_lines.load(Ordering::Relaxed)
    }

    /// Adds an event to the run that began last, or to run 0 when none has. One that the sink
    /// cannot take is counted and harms nobody.
    pub(crate) fn note(&self, event: Event) {
        let line = Line {
            version: VERSION,
            run: RunId(self.run.load(Ordering::Relaxed)),
            event,
        };
        let written = catch_unwind(AssertUnwindSafe(|| self.sink.write(&line)));
        if !matches!(written, Ok(Ok(()))) {
            self.lost_lines.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Sink for Journal {
    fn write(&self, line: &Line) -> io::Result<()> {
        if matches!(line.event, Event::Start(_)) {
            self.run.store(line.run.0, Ordering::Relaxed);
        }
        self.sink.write(line)
    }
}
