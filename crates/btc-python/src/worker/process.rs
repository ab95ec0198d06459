//! `Process`: a child in a process group of its own, which ends with all that it started.

use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How often a process that is about to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The longest that a killed process is waited for: one that the system cannot end stays behind.
const KILLED_WITHIN: Duration = Duration::from_secs(1);

/// A child process. It leads a process group, so that what it forks is ended with it.
pub(super) struct Process {
    pid: Pid,
    /// `None` once it was killed and its exit status taken.
    child: Mutex<Option<Child>>,
}

/// The process's three streams.
pub(super) struct Streams {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Process {
    /// Starts this command.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn start(command: &mut Command) -> io::Result<(Self, Streams)> {
        use std::os::unix::process::CommandExt;
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self {
            pid: Pid::from_child(&child),
            child: Mutex::new(Some(child)),
        };
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the pipes are missing"));
        };
        let streams = Streams {
            stdin,
            stdout,
            stderr,
        };
        Ok((process, streams))
    }

    /// Whether it has ended. What it started may still run.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.child).is_none() || self.is_waiting_to_be_collected()
    }

    /// Gives it this long to end by itself, and kills what is left then.
    pub(super) fn end_within(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
        self.kill();
    }

    /// Ends it and its group at once, and takes its exit status. A second time does nothing.
    pub(super) fn kill(&self) {
        let Some(mut child) = lock(&self.child).take() else {
            return;
        };
        // Before its exit status is taken: until then the system gives its id to no other group.
        // It fails only when the group is gone, which is what is wanted.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let deadline = Instant::now() + KILLED_WITHIN;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
        // Where this process is the system's first one, as in a container, orphans become its own.
        let rest = WaitId::Pgid(Some(self.pid));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        while let Ok(ended) = waitid(rest.clone(), options) {
            if Instant::now() > deadline {
                break;
            }
            if ended.is_none() {
                thread::sleep(LOOK_EVERY);
            }
        }
    }

    /// Whether it has ended while its exit status was not taken, which this leaves so.
    fn is_waiting_to_be_collected(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
