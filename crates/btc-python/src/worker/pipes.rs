//! Frames over a worker's pipes. No read and no write outlasts the worker, whatever keeps its
//! pipes open: a process that it forked, say.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};

use super::process::Process;

/// The longest frame either side accepts.
const MAX_FRAME_BYTES: u32 = 64 << 20;
/// How often the process is looked at while its pipe is silent.
const LOOK_EVERY: Timespec = milliseconds(50);
/// How much is read at once.
const PIECE_BYTES: usize = 64 << 10;
const LENGTH_BYTES: usize = 4;

/// The pipes that carry requests and answers.
pub(super) struct Pipes {
    process: Arc<Process>,
    stdin: ChildStdin,
    stdout: ChildStdout,
    piece: Vec<u8>,
}

impl Pipes {
    /// Over these streams of the process.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn new(
        process: Arc<Process>,
        stdin: ChildStdin,
        stdout: ChildStdout,
    ) -> io::Result<Self> {
        ioctl_fionbio(&stdin, true)?;
        Ok(Self {
            process,
            stdin,
            stdout,
            piece: vec![0; PIECE_BYTES],
        })
    }

    /// Sends a request and reads the answer to it.
    ///
    /// # Errors
    /// The worker ended, or what it wrote is no frame. Nothing can be exchanged afterwards.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(request.len())
            .ok()
            .filter(|length| *length <= MAX_FRAME_BYTES)
            .ok_or_else(|| io::Error::other("the request is longer than a frame may be"))?;
        self.write(&length.to_le_bytes())?;
        self.write(request)?;
        let mut answer = Vec::new();
        self.fill(&mut answer, LENGTH_BYTES)?;
        let length = answer
            .first_chunk()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if length > MAX_FRAME_BYTES {
            return Err(io::Error::other(format!(
                "a frame of {length} bytes is too long"
            )));
        }
        // The length is the worker's word: room is made as bytes arrive.
        let whole = LENGTH_BYTES + length as usize;
        self.fill(&mut answer, whole)?;
        if answer.len() > whole {
            return Err(io::Error::other("more arrived than the answer"));
        }
        answer.drain(..LENGTH_BYTES);
        Ok(answer)
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stdin.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                    wait(&self.process, self.stdin.as_fd(), PollFlags::OUT)?;
                }
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    fn fill(&mut self, answer: &mut Vec<u8>, wanted: usize) -> io::Result<()> {
        while answer.len() < wanted {
            wait(&self.process, self.stdout.as_fd(), PollFlags::IN)?;
            match self.stdout.read(&mut self.piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => answer.extend_from_slice(&self.piece[..count]),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }
}

/// Waits until a pipe is ready, or the process has ended with nothing more in it.
fn wait(process: &Process, pipe: BorrowedFd<'_>, ready: PollFlags) -> io::Result<()> {
    loop {
        // Looked at first: what it wrote before it ended is ready then.
        let has_ended = process.has_ended();
        let patience = if has_ended {
            milliseconds(0)
        } else {
            LOOK_EVERY
        };
        if is_ready(pipe, ready, &patience)? {
            return Ok(());
        }
        if has_ended {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether a pipe is ready, or its other end gone, within this time.
pub(super) fn is_ready(
    pipe: BorrowedFd<'_>,
    ready: PollFlags,
    patience: &Timespec,
) -> io::Result<bool> {
    match poll(&mut [PollFd::from_borrowed_fd(pipe, ready)], Some(patience)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(cause) => Err(cause.into()),
    }
}

/// A time to wait, below a second.
pub(super) const fn milliseconds(count: i64) -> Timespec {
    Timespec {
        tv_sec: 0,
        tv_nsec: count * 1_000_000,
    }
}
