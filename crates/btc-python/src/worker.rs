//! The same Python package in child processes, over length-prefixed messages.
//!
//! A frame is a length of four bytes, little endian, and that many bytes of JSON.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::config::PythonConfig;
use crate::convert;
use crate::environment;
use crate::lanes::{Carrier, Ender, Factory};

/// The longest frame either side accepts.
const MAX_FRAME_BYTES: u32 = 64 << 20;
/// Puts our folders, and not the working folder, in front of the module path.
const LAUNCH: &str = "import sys; sys.path[:1] = sys.argv[1:]; \
                      from btc_legacy.worker import main; sys.exit(main())";
/// How many of a worker's last lines on stderr an error shows.
const SHOWN_LINES: usize = 12;
/// The wait after a first failed start; doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait between two attempts to start a worker.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// Makes workers; all of them share one record of failed starts.
pub(crate) struct Workers {
    config: Arc<PythonConfig>,
    backoff: Arc<Mutex<Backoff>>,
}

#[derive(Default)]
struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Workers {
    pub(crate) fn new(config: PythonConfig) -> Self {
        Self {
            config: Arc::new(config),
            backoff: Arc::default(),
        }
    }
}

impl Factory for Workers {
    fn make(&self) -> (Box<dyn Carrier>, Ender) {
        let child = Arc::new(Mutex::new(None));
        let end = Arc::clone(&child);
        let worker = Worker {
            config: Arc::clone(&self.config),
            backoff: Arc::clone(&self.backoff),
            child,
            pipes: None,
            last_lines: Arc::default(),
        };
        (Box::new(worker), Box::new(move || kill(&end)))
    }
}

/// A child process, started when it is first needed and again when it has ended.
struct Worker {
    config: Arc<PythonConfig>,
    backoff: Arc<Mutex<Backoff>>,
    child: Arc<Mutex<Option<Child>>>,
    pipes: Option<Pipes>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
}

struct Pipes {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts the process and the class in it, unless both are there.
    fn ensure_started(&mut self) -> BitcoinResult<&mut Pipes> {
        if self.has_ended() {
            self.pipes = None;
        }
        if self.pipes.is_none() {
            self.check_backoff()?;
            let started = self.start();
            self.note(started.is_ok());
            self.pipes = Some(started?);
        }
        self.pipes.as_mut().ok_or_else(|| {
            BitcoinError::new(
                ErrorKind::Internal,
                Operation::Connect,
                "the worker has no pipes",
            )
        })
    }

    fn has_ended(&self) -> bool {
        lock(&self.child)
            .as_mut()
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn check_backoff(&self) -> BitcoinResult<()> {
        let not_before = lock(&self.backoff).not_before;
        let Some(left) = not_before.and_then(|at| at.checked_duration_since(Instant::now())) else {
            return Ok(());
        };
        let message = format!(
            "the Python worker could not be started; it is tried again in {:.1} s",
            left.as_secs_f32()
        );
        Err(BitcoinError::new(
            ErrorKind::Unavailable,
            Operation::Connect,
            message,
        ))
    }

    fn note(&self, started: bool) {
        let mut backoff = lock(&self.backoff);
        if started {
            *backoff = Backoff::default();
            return;
        }
        let wait = FIRST_BACKOFF.saturating_mul(1 << backoff.failures.min(10));
        backoff.failures += 1;
        backoff.not_before = Some(Instant::now() + wait.min(MAX_BACKOFF));
    }

    fn start(&self) -> BitcoinResult<Pipes> {
        let operation = Operation::Connect;
        let python = environment::executable(&self.config)?;
        let mut command = Command::new(&python);
        command
            .args(["-c", LAUNCH])
            .args(&self.config.search_path)
            .args(&self.config.package_dir);
        command.env_remove("PYTHONHOME");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |cause: io::Error| {
            let message = "the Python worker cannot be started; run `cargo xtask setup`";
            BitcoinError::new(ErrorKind::Configuration, operation, message)
                .with_context("python", python.display())
                .with_source(cause)
        };
        let mut child = command.spawn().map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        *lock(&self.child) = Some(child);
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(failed(io::Error::other("the pipes are missing")));
        };
        lock(&self.last_lines).clear();
        let keep = Arc::clone(&self.last_lines);
        thread::Builder::new()
            .name("btc-python-stderr".to_owned())
            .spawn(move || keep_lines(stderr, &keep))
            .map_err(failed)?;
        let mut pipes = Pipes {
            stdin,
            stdout: BufReader::new(stdout),
        };
        let answer = pipes
            .exchange(&convert::start_request(&self.config)?)
            .map_err(|cause| self.died(operation, cause))?;
        convert::check_started(&answer).inspect_err(|_| kill(&self.child))?;
        Ok(pipes)
    }

    fn died(&self, operation: Operation, cause: io::Error) -> BitcoinError {
        /// How long a dying worker's last words may take to arrive.
        const LAST_WORDS: Duration = Duration::from_millis(50);
        kill(&self.child);
        thread::sleep(LAST_WORDS);
        let lines = lock(&self.last_lines);
        let mut error = BitcoinError::new(
            ErrorKind::Unavailable,
            operation,
            "the Python worker ended during the call; the next call starts a new one",
        );
        if !lines.is_empty() {
            let text = lines
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(" | ");
            error = error.with_context("stderr", text);
        }
        error.with_source(cause)
    }
}

impl Carrier for Worker {
    fn carry(&mut self, operation: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>> {
        let pipes = self
            .ensure_started()
            .map_err(|error| error.during(operation))?;
        if request.is_empty() {
            // To be started is all that is asked.
            return Ok(Vec::new());
        }
        pipes
            .exchange(request)
            .map_err(|cause| self.died(operation, cause))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

impl Pipes {
    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let length = u32::try_from(request.len())
            .ok()
            .filter(|length| *length <= MAX_FRAME_BYTES)
            .ok_or_else(|| io::Error::other("the request is longer than a frame may be"))?;
        self.stdin.write_all(&length.to_le_bytes())?;
        self.stdin.write_all(request)?;
        self.stdin.flush()?;
        let mut length = [0; 4];
        self.stdout.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_FRAME_BYTES {
            return Err(io::Error::other(format!(
                "a frame of {length} bytes is too long"
            )));
        }
        // The length is the worker's word: room is made as bytes arrive.
        let mut answer = Vec::new();
        (&mut self.stdout)
            .take(u64::from(length))
            .read_to_end(&mut answer)?;
        if answer.len() != length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(answer)
    }
}

/// Ends a worker at once and takes its exit status; nothing happens when it has ended already.
fn kill(child: &Mutex<Option<Child>>) {
    if let Some(child) = &mut *lock(child) {
        // Both fail only when the process is gone, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn keep_lines(stderr: impl Read, kept: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { return };
        tracing::debug!(target: "btc_python::worker", "{line}");
        let mut kept = lock(kept);
        if kept.len() == SHOWN_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
