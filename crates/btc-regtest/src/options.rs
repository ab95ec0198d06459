//! `NodeBuilder`: how the private node is to run, and the command line that follows from it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::Network;

use crate::{Node, NodeError};

/// How callers prove who they are.
#[derive(Clone, PartialEq, Eq)]
pub enum RpcAuth {
    /// The cookie file that bitcoind writes at each start.
    Cookie,
    /// A fixed user and password, for tests of authentication.
    UserPassword {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
}

impl RpcAuth {
    /// User and password; `None` while bitcoind has not written its cookie.
    pub(crate) fn credentials(&self, cookie_file: Option<&Path>) -> Option<(String, String)> {
        match self {
            Self::UserPassword { user, password } => Some((user.clone(), password.clone())),
            Self::Cookie => {
                let cookie = fs::read_to_string(cookie_file?).ok()?;
                let (user, password) = cookie.trim().split_once(':')?;
                Some((user.to_owned(), password.to_owned()))
            }
        }
    }
}

impl fmt::Debug for RpcAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie => f.write_str("Cookie"),
            Self::UserPassword { user, .. } => write!(f, "UserPassword {{ user: {user:?}, .. }}"),
        }
    }
}

/// How a [`Node`] is to run. Made by [`Node::builder`].
///
/// | option | default |
/// |---|---|
/// | `exe` | [`crate::exe::find`] |
/// | `network` | regtest |
/// | `auth` | cookie |
/// | `txindex`, `rest` | on |
/// | `spender_index`, `block_filters`, `listen` | off |
/// | `prune` | none |
/// | `datadir` | in the run directory, removed at the end |
/// | `start_timeout` | 60 s |
#[derive(Debug, Clone)]
#[must_use]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of bitcoind, and independent"
)]
pub struct NodeBuilder {
    pub(crate) exe: Option<PathBuf>,
    pub(crate) network: Network,
    pub(crate) auth: RpcAuth,
    pub(crate) datadir: Option<PathBuf>,
    pub(crate) start_timeout: Duration,
    pub(crate) listen: bool,
    txindex: bool,
    spender_index: bool,
    rest: bool,
    block_filters: bool,
    prune: Option<u32>,
    extra: Vec<OsString>,
}

impl Default for NodeBuilder {
    fn default() -> Self {
        Self {
            exe: None,
            network: Network::Regtest,
            auth: RpcAuth::Cookie,
            datadir: None,
            start_timeout: Duration::from_mins(1),
            listen: false,
            txindex: true,
            spender_index: false,
            rest: true,
            block_filters: false,
            prune: None,
            extra: Vec::new(),
        }
    }
}

impl NodeBuilder {
    /// The `bitcoind` to run.
    pub fn exe(mut self, exe: impl Into<PathBuf>) -> Self {
        self.exe = Some(exe.into());
        self
    }

    /// Another network, for tests of the wrong one. Every node but a regtest one is cut off from
    /// the outside: it keeps its genesis block and opens no connection, nor does it listen.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// How callers prove who they are.
    pub fn auth(mut self, auth: RpcAuth) -> Self {
        self.auth = auth;
        self
    }

    /// Index every transaction (`-txindex`). A pruned node has none, whatever is asked here.
    pub fn txindex(mut self, on: bool) -> Self {
        self.txindex = on;
        self
    }

    /// Index which transaction spends an output (`-txospenderindex`, new in Bitcoin Core 31):
    /// [`ElectrumServer`](crate::ElectrumServer) needs it. A pruned node has none, like `txindex`.
    pub fn spender_index(mut self, on: bool) -> Self {
        self.spender_index = on;
        self
    }

    /// Serve REST (`-rest`).
    pub fn rest(mut self, on: bool) -> Self {
        self.rest = on;
        self
    }

    /// Build compact filters (`-blockfilterindex`, BIP158), and serve them to peers if it listens
    /// (`-peerblockfilters`, BIP157).
    pub fn block_filters(mut self, on: bool) -> Self {
        self.block_filters = on;
        self
    }

    /// Accept peers on a port of 127.0.0.1 ([`Node::p2p_address`]); regtest only.
    pub fn listen(mut self, on: bool) -> Self {
        self.listen = on;
        self
    }

    /// Prune: 1 allows it by hand (`pruneblockchain`), 550 and more is a target in MiB.
    pub fn prune(mut self, mib: u32) -> Self {
        self.prune = Some(mib);
        self
    }

    /// Another argument, as on bitcoind's command line; it wins over ours where both say
    /// something.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.extra.push(arg.into());
        self
    }

    /// Use, and leave behind, this data directory. Such a node is asked to stop, and not killed,
    /// when it is dropped.
    pub fn datadir(mut self, datadir: impl Into<PathBuf>) -> Self {
        self.datadir = Some(datadir.into());
        self
    }

    /// How long a start may take until it counts as failed.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Starts the node and waits until it answers, which takes well under a second.
    ///
    /// # Errors
    ///
    /// [`NodeError::MissingExe`] and [`NodeError::BadExe`] without a program,
    /// [`NodeError::Start`] with bitcoind's last words when it ends or stays silent,
    /// [`NodeError::Io`] when the machine refuses a directory or a process.
    pub fn start(self) -> Result<Node, NodeError> {
        Node::start(self)
    }

    /// bitcoind's arguments.
    pub(crate) fn args(&self, run: &Path, datadir: &Path, ports: Ports) -> Vec<OsString> {
        let on_off = |name: &str, on: bool| OsString::from(format!("-{name}={}", u8::from(on)));
        let with_path = |name: &str, path: &Path| {
            let mut arg = OsString::from(format!("-{name}="));
            arg.push(path);
            arg
        };
        let listen = self.listen && self.network == Network::Regtest;
        let mut args = vec![
            with_path("datadir", datadir),
            with_path("conf", &run.join(CONF)),
            format!("-chain={}", chain_name(self.network)).into(),
            format!("-rpcport={}", ports.rpc).into(),
            on_off("txindex", self.txindex && self.prune.is_none()),
            on_off("rest", self.rest),
            on_off("blockfilterindex", self.block_filters),
            on_off("peerblockfilters", self.block_filters && listen),
            on_off("listen", listen),
        ];
        args.extend(FIXED_ARGS.iter().map(OsString::from));
        if self.spender_index && self.prune.is_none() {
            // Only when it is wanted: an older bitcoind does not know the word.
            args.push("-txospenderindex=1".into());
        }
        if listen {
            args.push(format!("-bind=127.0.0.1:{}", ports.p2p).into());
        }
        if self.network != Network::Regtest {
            args.push("-networkactive=0".into());
        }
        if let Some(mib) = self.prune {
            args.push(format!("-prune={mib}").into());
        }
        args.extend(self.extra.iter().cloned());
        args
    }

    /// The configuration file: a password is not for the command line, where others see it.
    pub(crate) fn conf(&self) -> String {
        match &self.auth {
            RpcAuth::Cookie => String::new(),
            RpcAuth::UserPassword { user, password } => {
                format!("rpcuser={user}\nrpcpassword={password}\n")
            }
        }
    }
}

/// The name of the configuration file in the run directory.
pub(crate) const CONF: &str = "bitcoin.conf";

/// The ports of one start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) rpc: u16,
    pub(crate) p2p: u16,
}

/// The folder of a network below the data directory.
pub(crate) fn subfolder(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "",
        Network::Testnet => "testnet3",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}

fn chain_name(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "main",
        Network::Testnet => "test",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}

/// Loopback only, no peers, no name look-ups, small caches; and without the consistency checks
/// that regtest runs after every transaction, which cost more than the transaction.
const FIXED_ARGS: [&str; 16] = [
    "-server=1",
    "-daemon=0",
    "-printtoconsole=0",
    "-rpcbind=127.0.0.1",
    "-rpcallowip=127.0.0.1",
    "-rpcthreads=16",
    "-rpcworkqueue=1024",
    "-connect=0",
    "-dnsseed=0",
    "-fixedseeds=0",
    "-dns=0",
    "-natpmp=0",
    "-discover=0",
    "-dbcache=16",
    "-checkmempool=0",
    "-checkblockindex=0",
];
