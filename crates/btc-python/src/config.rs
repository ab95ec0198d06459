//! `PythonConfig`: which class runs, where, and for how long a call may take.

use std::path::PathBuf;
use std::time::Duration;

use btc_iface::{Credentials, NodeConfig, Secret};

use crate::places;

/// What the Python implementation needs to start.
///
/// | field | default |
/// |---|---|
/// | `backend` | `btc_legacy.backend:LegacyBackend` |
/// | `mode` | `Embedded` |
/// | `venv` | `../lib/btc/venv` from the executable's folder, or `.venv` of its workspace |
/// | `package_dir` | `../lib/btc/python` likewise, or that of the workspace, if it is there |
/// | `timeout` | 60 s |
/// | `max_lanes` | 16 embedded, 4 as workers |
/// | `wallet` | none |
/// | `inherit` | none |
#[derive(Debug, Clone)]
pub struct PythonConfig {
    /// The node the class is told to ask.
    pub node: NodeConfig,
    /// The class, as `module:Class`.
    pub backend: String,
    /// Where the interpreter runs.
    pub mode: PythonMode,
    /// The virtual environment with the packages of `requirements.txt`.
    pub venv: PathBuf,
    /// The folder that holds the package `btc_legacy`; `None` when it is installed in `venv`.
    pub package_dir: Option<PathBuf>,
    /// Folders in which the class's module is looked for first.
    pub search_path: Vec<PathBuf>,
    /// The longest a call may take before the caller gets `Timeout`. `None`: embedded calls run
    /// on the caller's thread, at the least cost and without protection against a class that
    /// hangs; workers wait for ever.
    pub timeout: Option<Duration>,
    /// How many reads run side by side: threads of one interpreter, or worker processes.
    /// Broadcasts have as many of their own, so that neither waits for the other. Wallet calls
    /// have one, and in worker mode its process alone has the wallet and broadcasts too.
    pub max_lanes: usize,
    /// The wallet behind the wallet operations, which are `Unsupported` without one.
    pub wallet: Option<PythonWallet>,
    /// The environment variables that a worker gets besides what Python itself needs, by name. An
    /// embedded class sees all of this process's.
    pub inherit: Vec<String>,
}

/// A wallet's folder, and what unlocks it.
#[derive(Debug, Clone)]
pub struct PythonWallet {
    /// The folder, as `docs/wallet.md` describes it.
    pub dir: PathBuf,
    /// The BIP39 words; without them the wallet is watch-only.
    pub words: Option<Secret>,
    /// The BIP39 passphrase that belongs to the words; `None` is the empty one.
    pub passphrase: Option<Secret>,
    /// The highest fee rate in sat/vB that a payment is built at; `None`: the package's own, 1,000.
    pub max_fee_rate: Option<u64>,
}

/// Where the interpreter runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PythonMode {
    /// In this process. Least cost a call; all threads share one GIL, and a class that hangs
    /// keeps its thread.
    Embedded,
    /// In child processes. A class that hangs or dies is ended and replaced, and memory is its
    /// own.
    Worker,
}

impl PythonConfig {
    /// The class used unless another one is named.
    pub const DEFAULT_BACKEND: &str = "btc_legacy.backend:LegacyBackend";
    /// The longest a call may take unless said otherwise.
    pub const DEFAULT_TIMEOUT_SECS: u64 = 60;

    /// The shipped class over this node, in this mode.
    pub fn new(node: NodeConfig, mode: PythonMode) -> Self {
        Self {
            node,
            backend: Self::DEFAULT_BACKEND.to_owned(),
            mode,
            venv: Self::default_venv(),
            package_dir: places::package(),
            search_path: Vec::new(),
            timeout: Some(Duration::from_secs(Self::DEFAULT_TIMEOUT_SECS)),
            max_lanes: match mode {
                PythonMode::Embedded => 16,
                PythonMode::Worker => 4,
            },
            wallet: None,
            inherit: Vec::new(),
        }
    }

    /// What no text may show.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let password = match &self.node.credentials {
            Credentials::UserPassword { password, .. } => Some(password),
            _ => None,
        };
        let wallet = self.wallet.as_ref();
        let words = wallet.and_then(|wallet| wallet.words.as_ref());
        let passphrase = wallet.and_then(|wallet| wallet.passphrase.as_ref());
        let secrets = [password, words, passphrase].into_iter().flatten();
        secrets.map(Secret::expose).filter(|it| !it.is_empty())
    }

    /// `../lib/btc/venv` from the folder of the running executable, or `.venv` of the workspace that
    /// the executable was built in and still lies in.
    pub fn default_venv() -> PathBuf {
        places::venv()
    }

    /// This environment in place of the default one, and the package beside it where none lies
    /// beside the executable.
    #[must_use]
    pub fn with_venv(mut self, venv: impl Into<PathBuf>) -> Self {
        self.venv = venv.into();
        if self.package_dir.is_none() {
            self.package_dir = places::package_of(&self.venv);
        }
        self
    }
}
