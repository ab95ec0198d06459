//! Where the lines of a comparison log go.
//!
//! - [`FileSink`]: a file, written by a thread of its own, bounded in memory and on disk
//! - [`MemorySink`]: memory; [`Tee`]: two at once

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::file::{FileSink, Tally};
pub use self::rotation::Rotation;
use crate::record::Line;

mod bounds;
mod compress;
mod file;
mod log;
mod queue;
mod redact;
mod rotation;
mod runs;
mod text;
mod writer;

/// Takes lines. A line that cannot be taken is an error, which shadow mode counts and survives.
pub trait Sink: Send + Sync {
    /// Takes one line. It returns at once, whatever the disk does, since a comparison waits.
    ///
    /// # Errors
    /// The line is lost; the caller counts it.
    fn write(&self, line: &Line) -> io::Result<()>;

    /// How many of the lines that [`write`](Self::write) took were lost afterwards. They are none
    /// of those that it refused, so both together are what a run lost.
    fn lost_lines(&self) -> u64 {
        0
    }

    /// Waits until the lines taken so far are where they belong, and says whether they are.
    fn flush(&self, within: Duration) -> bool {
        let _ = within;
        true
    }
}

/// Keeps lines in memory.
#[derive(Debug, Default)]
pub struct MemorySink {
    lines: Mutex<Vec<Line>>,
}

impl MemorySink {
    /// A copy of the lines so far.
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).clone()
    }
}

impl Sink for MemorySink {
    fn write(&self, line: &Line) -> io::Result<()> {
        lock(&self.lines).push(line.clone());
        Ok(())
    }
}

/// Hands each line to two sinks; fails when either does.
pub struct Tee<A, B>(pub A, pub B);

impl<A: Sink, B: Sink> Sink for Tee<A, B> {
    fn write(&self, line: &Line) -> io::Result<()> {
        self.0.write(line).and(self.1.write(line))
    }

    fn lost_lines(&self) -> u64 {
        self.0.lost_lines().saturating_add(self.1.lost_lines())
    }

    fn flush(&self, within: Duration) -> bool {
        // Not lazily: the second has lines to write whatever becomes of the first.
        let flushed = [self.0.flush(within), self.1.flush(within)];
        flushed == [true, true]
    }
}

impl<T: Sink + ?Sized> Sink for Arc<T> {
    fn write(&self, line: &Line) -> io::Result<()> {
        (**self).write(line)
    }

    fn lost_lines(&self) -> u64 {
        (**self).lost_lines()
    }

    fn flush(&self, within: Duration) -> bool {
        (**self).flush(within)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
