//! The same Python package in child processes, over length-prefixed messages.
//!
//! A frame is a length of four bytes, little endian, and that many bytes of JSON.

mod environment;
mod lines;
mod pipes;
mod process;

use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};

use crate::config::PythonConfig;
use crate::convert;
use crate::lanes::{Carrier, Ender, Factory};
use crate::paths;

use self::lines::LastLines;
use self::pipes::Pipes;
use self::process::{Process, lock};

/// Runs `paths.py` and then the worker: its path is that of embedded Python.
const LAUNCH: &str = concat!(
    include_str!("../../python/btc_legacy/paths.py"),
    "\narrange(*sys.argv[1:])\n",
    "from btc_legacy.worker import main; sys.exit(main())"
);
/// The wait after a first failed start; doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait between two attempts to start a worker.
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// How long a worker may take to let go of what it holds once its input has ended.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(5);

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
    fn make(&self) -> (Box<dyn Carrier>, Option<Ender>) {
        let place = Arc::new(Place::default());
        let worker = Worker {
            config: Arc::clone(&self.config),
            backoff: Arc::clone(&self.backoff),
            place: Arc::clone(&place),
            running: None,
        };
        (Box::new(worker), Some(Box::new(move || place.give_up())))
    }
}

/// Where a worker's process is found by the threads that may have to end it.
#[derive(Default)]
struct Place(Mutex<Occupied>);

#[derive(Default)]
struct Occupied {
    process: Option<Arc<Process>>,
    is_given_up: bool,
}

impl Place {
    /// Starts a process, unless its caller has stopped waiting.
    fn start(&self, command: &mut Command) -> io::Result<(Arc<Process>, process::Streams)> {
        let mut place = lock(&self.0);
        if place.is_given_up {
            return Err(io::Error::other("the time for it is over"));
        }
        let (process, streams) = Process::start(command)?;
        let process = Arc::new(process);
        place.process = Some(Arc::clone(&process));
        Ok((process, streams))
    }

    /// Ends the process, also one that is only being started, and lets no other one start.
    fn give_up(&self) {
        let process = {
            let mut place = lock(&self.0);
            place.is_given_up = true;
            place.process.take()
        };
        if let Some(process) = process {
            process.kill();
        }
    }
}

/// A child process, started when it is first needed and again when it has ended.
struct Worker {
    config: Arc<PythonConfig>,
    backoff: Arc<Mutex<Backoff>>,
    place: Arc<Place>,
    running: Option<Running>,
}

struct Running {
    config: Arc<PythonConfig>,
    process: Arc<Process>,
    pipes: Pipes,
    last_lines: Arc<LastLines>,
}

impl Worker {
    /// Starts the process and the class in it, unless both are there.
    fn ensure_started(&mut self) -> BitcoinResult<&mut Running> {
        if let Some(running) = self.running.take_if(|it| it.process.has_ended()) {
            // What it forked may still be there.
            running.process.kill();
        }
        if self.running.is_none() {
            self.check_backoff()?;
            let started = self.start();
            self.note(started.is_ok());
            self.running = Some(started?);
        }
        self.running.as_mut().ok_or_else(|| {
            let message = "the worker has no process";
            BitcoinError::new(ErrorKind::Internal, Operation::Connect, message)
        })
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

    fn start(&self) -> BitcoinResult<Running> {
        let operation = Operation::Connect;
        let python = crate::environment::executable(&self.config)?;
        let mut command = Command::new(&python);
        command
            .args(["-c", LAUNCH])
            .args(paths::arguments(&self.config))
            .env_clear()
            .envs(environment::inherited(&self.config));
        let failed = |cause: io::Error| {
            let message = "the Python worker cannot be started; run `cargo xtask setup`";
            BitcoinError::new(ErrorKind::Configuration, operation, message)
                .with_context("python", python.display())
                .with_source(cause)
        };
        let (process, streams) = self.place.start(&mut command).map_err(failed)?;
        let last_lines = Arc::<LastLines>::default();
        let reader = {
            let (process, last) = (Arc::clone(&process), Arc::clone(&last_lines));
            let config = Arc::clone(&self.config);
            move || lines::keep_last(&process, streams.stderr, &last, &config)
        };
        thread::Builder::new()
            .name("btc-python-stderr".to_owned())
            .spawn(reader)
            .map_err(failed)?;
        let pipes =
            Pipes::new(Arc::clone(&process), streams.stdin, streams.stdout).map_err(failed)?;
        let mut running = Running {
            config: Arc::clone(&self.config),
            process,
            pipes,
            last_lines,
        };
        let request = convert::start_request(&self.config)?;
        let answer = running
            .pipes
            .exchange(&request)
            .map_err(|cause| running.died(operation, cause))?;
        convert::check_started(&answer).inspect_err(|_| running.process.kill())?;
        Ok(running)
    }
}

impl Running {
    fn died(&self, operation: Operation, cause: io::Error) -> BitcoinError {
        /// How long a dying worker's last words may take to arrive.
        const LAST_WORDS: Duration = Duration::from_millis(50);
        self.process.kill();
        thread::sleep(LAST_WORDS);
        let mut error = BitcoinError::new(
            ErrorKind::Unavailable,
            operation,
            "the Python worker ended during the call; the next call starts a new one",
        );
        let text = self
            .last_lines
            .text(&self.config.secrets().collect::<Vec<_>>());
        if !text.is_empty() {
            error = error.with_context("stderr", text);
        }
        error.with_source(cause)
    }

    /// Ends its input, upon which it closes what it holds, and waits for its end.
    fn close(self) {
        drop(self.pipes);
        self.process.end_within(CLOSE_WITHIN);
    }
}

impl Carrier for Worker {
    fn carry(&mut self, operation: Operation, request: &[u8]) -> BitcoinResult<Vec<u8>> {
        let running = self
            .ensure_started()
            .map_err(|error| error.during(operation))?;
        if request.is_empty() {
            // To be started is all that is asked.
            return Ok(Vec::new());
        }
        match running.pipes.exchange(request) {
            Ok(answer) => Ok(answer),
            Err(cause) => {
                let error = running.died(operation, cause);
                self.running = None;
                Err(error)
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.close();
        }
        self.place.give_up();
    }
}
