//! One life of the Electrum server's process: begun, watched until it serves, and ended.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::guard::Guard;
use crate::{NodeError, node};

const POLL: Duration = Duration::from_millis(10);
const START_TIMEOUT_SECS: u64 = 60;
/// How long a polite stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server logs when clients may come.
const READY: &str = "TCP server listening on";
/// What it logs when its port is somebody else's; it runs on without one.
pub(super) const CLASH: &str = "server failed to listen on";

/// The process of now, or the one that was last.
#[derive(Debug, Default)]
pub(super) struct Life {
    generation: u32,
    guard: Option<Guard>,
}

impl Life {
    /// Starts the process and waits until it serves. The guard of the former life is let go only
    /// when the new one holds the directory.
    pub(super) fn begin(
        &mut self,
        exe: &Path,
        args: &[OsString],
        run: &Path,
    ) -> Result<(), NodeError> {
        let begun = Instant::now();
        self.generation += 1;
        let guard = Guard::spawn(exe, args, run, self.generation, false)?;
        if let Some(former) = self.guard.replace(guard) {
            former.release();
        }
        if let Err(reason) = self.wait_ready(begun) {
            self.end()?;
            return Err(NodeError::Start {
                exe: exe.to_path_buf(),
                reason,
                log: self.last_words(),
            });
        }
        tracing::debug!(took = ?begun.elapsed(), "electrum server is ready");
        Ok(())
    }

    /// Asks the process to stop, and kills it when it does not.
    pub(super) fn end(&mut self) -> Result<(), NodeError> {
        let Some(guard) = self.guard.as_mut() else {
            return Ok(());
        };
        for signal in ["TERM", "KILL"] {
            if guard.exit_code().is_some() {
                break;
            }
            guard.signal(signal)?;
            guard.wait_exit(STOP_TIMEOUT);
        }
        Ok(())
    }

    /// The process id, while it runs.
    pub(super) fn pid(&mut self) -> Option<u32> {
        let guard = self.guard.as_mut()?;
        if guard.exit_code().is_some() {
            None
        } else {
            guard.pid()
        }
    }

    /// The end of the log.
    pub(super) fn last_words(&self) -> String {
        let log = self.guard.as_ref().map(Guard::output);
        node::tail(&log.unwrap_or_default())
    }

    /// The server opens its port when it has indexed blocks and mempool. The log is asked and not
    /// the port, behind which may be somebody else.
    fn wait_ready(&mut self, begun: Instant) -> Result<(), String> {
        let guard = self.guard.as_mut().ok_or("it was not started")?;
        loop {
            let exit = guard.exit_code();
            let log = guard.output();
            if log.contains(CLASH) {
                return Err("its port is taken".into());
            }
            if let Some(code) = exit {
                return Err(format!("it ended with code {code}"));
            }
            if log.contains(READY) && guard.pid().is_some() {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(START_TIMEOUT_SECS) {
                return Err(format!("not ready after {START_TIMEOUT_SECS} s"));
            }
            std::thread::sleep(POLL);
        }
    }
}
