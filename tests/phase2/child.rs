//! This program as a process that works on a wallet, and says on standard output what it promised.

mod actor;
mod payer;

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use btc::bitcoin::{Address, Network, OutPoint, ScriptBuf};
use btc::rust::RustBitcoin;
use btc::rust::wallet::RustWallet;
use btc::shadow::parity::Random;
use btc::{AddressType, BitcoinInterface, BitcoinResult, Credentials, NodeConfig};
use btc_tests::{Backend, Outcome, wallet_config};
use serde::{Deserialize, Serialize};

use self::actor::Actor;
pub(crate) use self::payer::Orders;
use self::payer::Payer;

/// What makes the program one of these, in place of a suite.
const ROLE: &str = "work-on-a-wallet";

/// What a process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) dir: PathBuf,
    pub(crate) url: String,
    pub(crate) cookie: PathBuf,
    pub(crate) seed: u64,
    /// Names of backends; one thread works for each mention, those of one backend on one handle.
    pub(crate) backends: Vec<String>,
    /// Calls of each thread; none: until it is killed.
    pub(crate) calls: Option<u32>,
    /// Whether coins are locked and unlocked, which takes a wallet that nobody else works on.
    pub(crate) locks: bool,
    /// What is done with own payments, by a process that does nothing else.
    pub(crate) orders: Option<Orders>,
}

/// One line of what a process says, with the thread's number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Said {
    /// The wallet is open.
    Open,
    /// A call begins.
    Begin(String),
    /// An index was given out.
    Address(AddressType, u32, String),
    /// A transaction was built, in hex, to these addresses.
    Created(String, Vec<String>),
    /// A transaction was built and signed, in hex: it pays this new order, or replaces or helps
    /// a payment.
    Built(String, Option<String>),
    /// A transaction is about to be handed over.
    Handing(String),
    /// The network has a transaction.
    Sent(String),
    /// These payments were given up.
    Abandoned(Vec<String>),
    /// A coin was locked.
    Locked(OutPoint),
    /// A coin is about to be unlocked.
    Unlocking(OutPoint),
    /// A call failed as it may.
    Refused(String),
    /// A call failed as it may not.
    Failed(String),
    /// All is done.
    Done,
}

/// Runs the role if the command line says so.
pub(crate) fn run() -> Option<ExitCode> {
    let mut arguments = env::args().skip(1);
    if arguments.next()? != ROLE {
        return None;
    }
    let work = serde_json::from_str(&arguments.next().unwrap_or_default());
    let work: Work = work.expect("this program wrote it");
    Some(match carry_out(&work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(0, &Said::Failed(error.to_string()));
            ExitCode::FAILURE
        }
    })
}

fn carry_out(work: &Work) -> Outcome {
    let node = NodeConfig {
        url: work.url.clone(),
        credentials: Credentials::CookieFile(work.cookie.clone()),
        ..NodeConfig::new(Network::Regtest)
    };
    let mut handles: Vec<(&str, Handle)> = Vec::new();
    for name in &work.backends {
        if handles.iter().all(|(open, _)| open != name) {
            handles.push((name, Handle::open(name, work, &node)?));
        }
    }
    say(0, &Said::Open);
    thread::scope(|scope| {
        for (number, name) in work.backends.iter().enumerate() {
            let handle = handles.iter().find(|(open, _)| open == name);
            let handle = handle.expect("opened above").1.clone();
            let random = Random::new(work.seed ^ (number as u64) << 48);
            let mut act: Box<dyn FnMut() + Send> = match &work.orders {
                Some(orders) => {
                    let mut payer = Payer {
                        handle,
                        number,
                        random,
                        orders: orders.clone(),
                    };
                    // Each transaction is one thread's.
                    if number > 0 {
                        payer.orders.unfinished.clear();
                        payer.orders.unpaid.clear();
                    }
                    Box::new(move || payer.act())
                }
                None => {
                    let mut actor = Actor {
                        handle,
                        number,
                        random,
                        own: Vec::new(),
                        locks: work.locks,
                    };
                    Box::new(move || actor.act())
                }
            };
            scope.spawn(move || {
                let mut left = work.calls;
                while left != Some(0) {
                    act();
                    left = left.map(|left| left - 1);
                }
            });
        }
    });
    say(0, &Said::Done);
    Ok(())
}

#[derive(Clone)]
struct Handle {
    bitcoin: Arc<dyn BitcoinInterface>,
    rust: Option<Arc<RustWallet>>,
}

impl Handle {
    fn open(name: &str, work: &Work, node: &NodeConfig) -> BitcoinResult<Self> {
        let backend = Backend::REAL.into_iter().find(|it| it.name() == name);
        let backend = backend.expect("the name of a backend");
        let mode = match backend {
            Backend::PythonWorker => "worker",
            _ => "embedded",
        };
        // Both ways of selecting coins take turns.
        let selection = if work.seed.is_multiple_of(2) {
            "largest-first"
        } else {
            "branch-and-bound"
        };
        let further = [("PYTHON_MODE", mode), ("WALLET_SELECTION", selection)];
        let config = wallet_config(&work.dir, node, &further);
        if backend == Backend::Rust {
            let wallet = btc::connect_wallet(&config)?;
            let rust = RustBitcoin::connect(node)?.with_wallet(Arc::clone(&wallet));
            return Ok(Self {
                bitcoin: Arc::new(rust),
                rust: Some(wallet),
            });
        }
        Ok(Self {
            bitcoin: btc::connect_to(&config, backend.implementation())?,
            rust: None,
        })
    }
}

/// The address of somebody else.
pub(crate) fn foreign(random: &mut Random) -> String {
    use btc::bitcoin::hashes::Hash;
    let hash = btc::bitcoin::WPubkeyHash::from_byte_array(random.bytes());
    Address::from_script(&ScriptBuf::new_p2wpkh(&hash), Network::Regtest)
        .expect("a script with an address")
        .to_string()
}

fn say(number: usize, said: &Said) {
    let line = serde_json::to_string(&(number, said)).expect("plain data");
    let mut output = io::stdout().lock();
    // A parent that is gone does not listen; this process goes soon, too.
    if writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .is_err()
    {
        std::process::exit(1);
    }
}

/// A process at work; killed with this at the latest.
pub(crate) struct Worker {
    child: Child,
    lines: Receiver<(usize, Said)>,
}

impl Worker {
    /// Starts the process.
    pub(crate) fn spawn(work: &Work) -> io::Result<Self> {
        let text = serde_json::to_string(work).expect("plain data");
        let mut child = Command::new(env::current_exe()?)
            .args([ROLE, &text])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                // The last line of a killed process may be cut off; it was not said.
                let heard = line.map(|line| serde_json::from_str(&line));
                let Ok(Ok(heard)) = heard else { return };
                if sender.send(heard).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line within this time; none when there is none, or the process has ended.
    pub(crate) fn line(&self, limit: Duration) -> Result<Option<(usize, Said)>, Ended> {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Ended),
        }
    }

    /// SIGKILL to the process, and what it still said.
    pub(crate) fn kill(mut self) -> Vec<(usize, Said)> {
        self.end();
        self.lines.iter().collect()
    }

    fn end(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
    }
}

/// The process has said all that it will ever say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended;

/// The processes that one of this id has started.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let tasks = Path::new("/proc").join(pid.to_string()).join("task");
    // The kernel keeps them by the thread that started them.
    let threads = tasks.read_dir().into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let ids = lists.flat_map(|list| {
        let ids: Vec<_> = list.split_whitespace().map(str::to_owned).collect();
        ids
    });
    ids.filter_map(|id| id.parse().ok()).collect()
}
