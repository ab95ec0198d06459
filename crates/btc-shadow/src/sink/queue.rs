//! `Queue`: the bounded buffer between those who hand in lines and the thread that writes them.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::file::Tally;
use super::runs::Mark;
use super::{lock, text};
use crate::clock::now_ms;
use crate::record::{Event, Gap, Line, RunId, VERSION};

/// The most that waits to be taken, in bytes. The writer holds as much again while it writes.
pub(super) const CAPACITY_BYTES: usize = 16 << 20;
/// More than a `gap` line takes.
const MAX_GAP_BYTES: usize = 2 << 10;
/// So many bytes are worth a write before their time.
const WRITE_AT_BYTES: usize = 256 << 10;
/// How long a line waits for others to be written with.
pub(super) const WRITE_AFTER: Duration = Duration::from_millis(50);

/// Lines on their way, as they will stand in the log.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) text: Vec<u8>,
    /// How much of the text is done with.
    pub(super) done: usize,
    /// The lines among them that begin or end a run, and where they begin, in their order.
    marks: VecDeque<(usize, Mark)>,
}

impl Chunk {
    fn new() -> Self {
        // Untouched pages cost nothing; a buffer that grows would copy under the lock.
        Self {
            text: Vec::with_capacity(CAPACITY_BYTES),
            done: 0,
            marks: VecDeque::new(),
        }
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.text[self.done..]
    }

    /// The next beginning or end of a run that is done with, once.
    pub(super) fn take_mark(&mut self) -> Option<Mark> {
        let done = self.done;
        let (_, mark) = self.marks.pop_front_if(|(place, _)| *place < done)?;
        Some(mark)
    }

    fn clear(&mut self) {
        self.text.clear();
        self.done = 0;
        self.marks.clear();
    }
}

/// Shared by the sink and its writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Tells the writer that there is something to do.
    work: Condvar,
    /// Tells those who flush or close that something was done.
    done: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: Chunk,
    tally: Tally,
    /// Lines refused since the last gap was marked, the run of the last of them, and what the
    /// system said meanwhile.
    unmarked: u64,
    run: RunId,
    reason: Option<String>,
    /// What the system said when it last refused to write; none when it wrote since.
    failure: Option<String>,
    /// The writer sleeps until it is told.
    is_idle: bool,
    is_flushing: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Takes no more lines; the writer writes what there is.
    Closing,
    /// The same, and nobody waits for the writer any more.
    Abandoned,
    /// The writer has ended.
    Over,
}

/// What the writer is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Write the chunk, which has lines.
    Write,
    /// Nothing to write for the moment: go on with other work.
    Other,
    /// Write what the chunk has, and end.
    End,
}

impl Queue {
    pub(super) fn new() -> (Self, Chunk) {
        let state = State {
            waiting: Chunk::new(),
            tally: Tally::default(),
            unmarked: 0,
            run: RunId(0),
            reason: None,
            failure: None,
            is_idle: false,
            is_flushing: false,
            stage: Stage::Open,
        };
        let queue = Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
        };
        (queue, Chunk::new())
    }

    /// Takes a line as it will stand in the log, or refuses it for want of room.
    pub(super) fn push(&self, text: &[u8], line: &Line) -> io::Result<()> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let before = state.waiting.text.len();
        // Without a look at the room first, each refusal would cost the making of a mark.
        let mark = if state.unmarked > 0 { MAX_GAP_BYTES } else { 0 };
        let is_taken =
            state.is_open() && state.fits(text.len() + mark) && state.mark_gap(text.len());
        if !is_taken {
            state.tally.refused += 1;
            state.unmarked += 1;
            state.run = line.run;
            if state.reason.is_none() {
                state.reason.clone_from(&state.failure);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(mark) = Mark::of(line) {
            let place = state.waiting.text.len();
            state.waiting.marks.push_back((place, mark));
        }
        state.waiting.text.extend_from_slice(text);
        state.tally.accepted += 1;
        let is_enough = before < WRITE_AT_BYTES && state.waiting.text.len() >= WRITE_AT_BYTES;
        let is_to_tell = mem::take(&mut state.is_idle) || is_enough;
        drop(guard);
        if is_to_tell {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Waits for lines and takes them, unless the chunk still has some; without `may_sleep` it
    /// does not wait.
    pub(super) fn take(&self, chunk: &mut Chunk, may_sleep: bool) -> Turn {
        let mut state = lock(&self.state);
        if !chunk.rest().is_empty() {
            return state.turn();
        }
        chunk.clear();
        while may_sleep && state.waiting.text.is_empty() && state.is_open() {
            state.is_idle = true;
            state.is_flushing = false;
            // Someone may have waited for nothing.
            self.done.notify_all();
            state = wait(&self.work, state, None);
        }
        state.is_idle = false;
        let deadline = Instant::now() + WRITE_AFTER;
        while may_sleep && !state.is_urgent() {
            let Some(left) = until(deadline) else { break };
            state = wait(&self.work, state, Some(left));
        }
        mem::swap(&mut state.waiting, chunk);
        if chunk.text.is_empty() && state.is_open() {
            return Turn::Other;
        }
        state.turn()
    }

    /// The writer's report: so many lines are in the log, and what the system said about the rest.
    pub(super) fn report(&self, written: u64, failure: Option<&io::Error>) {
        let mut state = lock(&self.state);
        state.tally.written += written;
        // Those who still wait ask again.
        state.is_flushing = false;
        state.failure = failure.map(ToString::to_string);
        if failure.is_none() {
            // Whatever was lost is marked now, even when no line comes any more.
            state.mark_gap(0);
        }
        drop(state);
        self.done.notify_all();
    }

    /// Waits a while after a failure; less when the end has come.
    pub(super) fn pause(&self, pause: Duration) {
        let deadline = Instant::now() + pause;
        let mut state = lock(&self.state);
        while state.is_open() {
            let Some(left) = until(deadline) else { return };
            state = wait(&self.work, state, Some(left));
        }
    }

    /// The writer's last report: what is not written by now will never be.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        state.tally.lost = state.tally.accepted - state.tally.written;
        state.stage = Stage::Over;
        drop(state);
        self.done.notify_all();
    }

    /// Waits until what was taken so far is written.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut state = lock(&self.state);
        let taken = state.tally.accepted;
        loop {
            if state.tally.written >= taken {
                return true;
            }
            let Some(left) = until(deadline).filter(|_| state.stage != Stage::Over) else {
                return false;
            };
            state.is_flushing = true;
            self.work.notify_one();
            state = wait(&self.done, state, Some(left));
        }
    }

    /// Refuses lines from now on and waits until the writer has ended; says whether it has.
    pub(super) fn close(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut state = lock(&self.state);
        if state.stage == Stage::Open {
            state.stage = Stage::Closing;
        }
        self.work.notify_one();
        while state.stage != Stage::Over {
            let Some(left) = until(deadline) else {
                state.stage = Stage::Abandoned;
                return false;
            };
            state = wait(&self.done, state, Some(left));
        }
        true
    }

    pub(super) fn tally(&self) -> Tally {
        let state = lock(&self.state);
        let mut tally = state.tally;
        if state.stage == Stage::Abandoned {
            // The writer hangs with them: nobody will hear of it if they arrive after all.
            tally.lost = tally.accepted - tally.written;
        }
        tally
    }
}

impl State {
    fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    fn turn(&self) -> Turn {
        if self.is_open() {
            Turn::Write
        } else {
            Turn::End
        }
    }

    fn is_urgent(&self) -> bool {
        !self.is_open() || self.is_flushing || self.waiting.text.len() >= WRITE_AT_BYTES
    }

    fn fits(&self, bytes: usize) -> bool {
        self.waiting.text.len() + bytes <= CAPACITY_BYTES
    }

    /// Marks what was refused, if anything was and the mark has room beside so many bytes; says
    /// whether nothing is left unmarked.
    fn mark_gap(&mut self, beside: usize) -> bool {
        if self.unmarked == 0 {
            return true;
        }
        let reason = match &self.reason {
            Some(reason) => reason.clone().into(),
            None => "lines came faster than the disk took them".into(),
        };
        let gap = Line {
            version: VERSION,
            run: self.run,
            event: Event::Gap(Gap {
                time_ms: now_ms(),
                lost_lines: self.unmarked,
                reason,
            }),
        };
        let mut text = Vec::new();
        if text::append(&mut text, &gap).is_err() || !self.fits(text.len() + beside) {
            return false;
        }
        self.waiting.text.append(&mut text);
        self.tally.accepted += 1;
        self.unmarked = 0;
        self.reason = None;
        true
    }
}

fn wait<'g>(
    signal: &Condvar,
    state: MutexGuard<'g, State>,
    limit: Option<Duration>,
) -> MutexGuard<'g, State> {
    match limit {
        None => signal.wait(state).unwrap_or_else(PoisonError::into_inner),
        Some(limit) => {
            signal
                .wait_timeout(state, limit)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        }
    }
}

/// The time left, if there is any.
fn until(deadline: Instant) -> Option<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero()).then_some(left)
}
