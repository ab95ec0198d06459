//! `Writer`: the thread that takes lines from the queue to the disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::compress::Compression;
use super::log::Log;
use super::queue::{Chunk, Queue, Turn};

/// How long it waits before it tries again what the system refused.
const RETRY_AFTER: Duration = Duration::from_millis(100);

pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) chunk: Chunk,
    pub(super) log: Log,
}

impl Writer {
    /// Works until the queue is closed. What the disk refuses is tried again, without an end as
    /// long as the queue is open; meanwhile the queue fills up and refuses lines.
    pub(super) fn run(mut self) {
        // What cannot be mended now is mended by the next rotation.
        let _ = self.log.mend();
        let mut compression = self.begin_compression();
        loop {
            let turn = self.queue.take(&mut self.chunk, compression.is_none());
            if !self.chunk.rest().is_empty() {
                let files = self.log.files();
                let outcome = self.write();
                if compression.is_none() && self.log.files() != files {
                    compression = self.begin_compression();
                }
                match (outcome, turn) {
                    (Ok(()), _) => {}
                    (Err(_), Turn::End) => break,
                    (Err(_), _) => self.queue.pause(RETRY_AFTER),
                }
            } else if turn == Turn::End {
                break;
            }
            if let Some(running) = compression.take() {
                compression = self.go_on(running);
            }
        }
        self.queue.end();
    }

    /// Writes what is left of the chunk.
    fn write(&mut self) -> io::Result<()> {
        let from = self.chunk.done;
        let outcome = self.log.append(&mut self.chunk);
        let written = &self.chunk.text[from..self.chunk.done];
        let lines: u64 = written.iter().map(|byte| u64::from(*byte == b'\n')).sum();
        self.queue.report(lines, outcome.as_ref().err());
        outcome
    }

    /// Begins with a file that is to be compressed. One that cannot be stays as it is until the
    /// next rotation.
    fn begin_compression(&self) -> Option<Compression> {
        if !self.log.compresses() {
            return None;
        }
        Compression::begin(self.log.path()).ok().flatten()
    }

    /// One step of it; none when it is over and no other file is to be compressed.
    fn go_on(&mut self, mut running: Compression) -> Option<Compression> {
        match running.step() {
            Ok(false) => return Some(running),
            Ok(true) => {}
            Err(_) => return None,
        }
        match self.log.alone(|path| running.settle(path)) {
            // The next one, or the same from its beginning when it has grown since.
            Ok(_) => self.begin_compression(),
            Err(_) => None,
        }
    }
}
