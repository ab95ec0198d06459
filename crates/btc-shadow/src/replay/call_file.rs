//! The file of a call log: a bounded queue, and a thread that writes it away.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use btc_iface::{BitcoinResult, ErrorKind};
use crossbeam_queue::ArrayQueue;

use super::call::RecordedCall;
use super::error;
use super::lines::MAX_LINE_BYTES;
use crate::private;

/// Calls that may wait to be written; more are lost.
const QUEUE_CALLS: usize = 8192;
/// About how many bytes they may take.
const QUEUE_BYTES: usize = 16 << 20;
/// The writer rests for so long when there is nothing to write: nobody wakes it, since that would
/// cost the caller more than the record itself.
const REST: Duration = Duration::from_millis(5);
/// About how many bytes are written at once.
const BATCH_BYTES: usize = 256 << 10;
/// How long the end may take.
const DRAIN: Duration = Duration::from_secs(5);

/// How many calls a call log has taken and lost.
#[derive(Debug, Default)]
pub struct CallCounts {
    recorded: AtomicU64,
    lost: AtomicU64,
}

impl CallCounts {
    /// Calls that were handed to the file.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Calls that were not: too many waited, or the file could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Takes calls without making anyone wait.
pub(super) struct CallFile {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    queue: ArrayQueue<RecordedCall>,
    queued_bytes: AtomicUsize,
    is_ending: AtomicBool,
    counts: Arc<CallCounts>,
}

impl CallFile {
    /// Opens the file for appending, readable by its owner alone, and makes its folder if need be.
    pub(super) fn open(path: &Path) -> BitcoinResult<Self> {
        let file = open(path).map_err(|cause| {
            let message = "the call log cannot be written; set CALL_LOG to a path that can";
            error(ErrorKind::Configuration, message)
                .with_context("CALL_LOG", path.display())
                .with_source(cause)
        })?;
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(QUEUE_CALLS),
            queued_bytes: AtomicUsize::new(0),
            is_ending: AtomicBool::new(false),
            counts: Arc::default(),
        });
        let for_writer = Arc::clone(&shared);
        let writer = thread::Builder::new()
            .name("btc-call-log".to_owned())
            .spawn(move || Writer::new(file).work(&for_writer))
            .map_err(|cause| {
                let message = "the system gives no thread to record calls on; raise its limit";
                error(ErrorKind::Internal, message).with_source(cause)
            })?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    pub(super) fn counts(&self) -> Arc<CallCounts> {
        Arc::clone(&self.shared.counts)
    }

    /// Takes a call, or counts it as lost when too many wait.
    pub(super) fn take(&self, call: RecordedCall) {
        let shared = &*self.shared;
        let bytes = heft(&call);
        let before = shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= QUEUE_BYTES;
        if !fits || shared.queue.push(call).is_err() {
            shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            shared.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for CallFile {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::SeqCst);
        let Some(writer) = self.writer.take() else {
            return;
        };
        let deadline = Instant::now() + DRAIN;
        while !writer.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        // One that hangs on its disk is left behind.
        if writer.is_finished() {
            let _ = writer.join();
        }
    }
}

struct Writer {
    file: File,
    batch: Vec<u8>,
    /// Whether the last write failed, and may have left a part of a line.
    is_torn: bool,
    /// Lost calls that the file tells of.
    told: u64,
}

impl Writer {
    fn new(file: File) -> Self {
        Self {
            file,
            batch: Vec::new(),
            is_torn: false,
            told: 0,
        }
    }

    fn work(mut self, shared: &Shared) {
        loop {
            let is_ending = shared.is_ending.load(Ordering::SeqCst);
            let wrote = self.write_batch(shared);
            if is_ending && !wrote {
                return;
            }
            if !wrote {
                thread::sleep(REST);
            }
        }
    }

    /// Writes what waits, up to a batch of it. False if there was nothing.
    fn write_batch(&mut self, shared: &Shared) -> bool {
        self.batch.clear();
        if self.is_torn {
            self.batch.push(b'\n');
        }
        let (mut calls, mut too_long) = (0, 0);
        while self.batch.len() < BATCH_BYTES
            && let Some(call) = shared.queue.pop()
        {
            shared
                .queued_bytes
                .fetch_sub(heft(&call), Ordering::Relaxed);
            let line = call.to_line();
            if line.len() > MAX_LINE_BYTES {
                too_long += 1;
            } else {
                self.batch.extend(line);
                calls += 1;
            }
        }
        let lost = shared.counts.lost.fetch_add(too_long, Ordering::Relaxed) + too_long;
        // Told before what is lost now, which no file could be told of.
        let is_told = calls > 0 || shared.is_ending.load(Ordering::Relaxed);
        if lost > self.told && is_told {
            let line = format!("{{\"lost_calls\":{}}}\n", lost - self.told);
            self.batch.extend(line.into_bytes());
        } else if calls == 0 {
            return too_long > 0;
        }
        if self.file.write_all(&self.batch).is_ok() {
            self.is_torn = false;
            self.told = lost;
            shared.counts.recorded.fetch_add(calls, Ordering::Relaxed);
            return calls > 0;
        }
        self.is_torn = true;
        shared.counts.lost.fetch_add(calls, Ordering::Relaxed);
        calls > 0
    }
}

fn heft(call: &RecordedCall) -> usize {
    size_of::<RecordedCall>() + call.call.bytes() + call.key.as_ref().map_or(0, String::len)
}

/// Opens for appending; a line that an earlier run left unfinished is ended first.
fn open(path: &Path) -> io::Result<File> {
    private::folder_of(path)?;
    let mut options = private::options(private::FILE_MODE);
    options.read(true).append(true);
    let mut file = options.open(path)?;
    end_last_line(&mut file)?;
    Ok(file)
}

/// Adds a line end, if there is something without one.
pub(super) fn end_last_line(file: &mut File) -> io::Result<()> {
    // What has no length, as a pipe, has no last line either.
    if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(())
}
