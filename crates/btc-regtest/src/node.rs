//! `Node`: a private Bitcoin Core child process that ends when its owner ends, however that is.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::Network;
use bitcoincore_rpc::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::guard::Guard;
use crate::options::{self, NodeBuilder, Ports, RpcAuth};
use crate::{NodeError, exe, rpc};

/// How often a starting node is asked whether it is ready.
const POLL: Duration = Duration::from_millis(10);
/// How long a polite stop may take.
const STOP_TIMEOUT_SECS: u64 = 60;
/// How many ports are tried before a clash counts as an error.
const PORT_TRIES: u32 = 5;
/// How much of each log an error shows.
const TAIL_LINES: usize = 20;

/// A private Bitcoin Core: its own process, directory and port.
///
/// # Behavior
///
/// - It ends with its owner: on drop, on Ctrl-C, and when the owner is killed with SIGKILL. Its
///   directory goes with it, unless the directory was given.
/// - All methods take `&self`, so that threads may share it and one may restart it.
/// - A stopped or killed node keeps its data and its port for [`Node::restart`].
#[derive(Debug)]
pub struct Node {
    options: NodeBuilder,
    exe: PathBuf,
    datadir: PathBuf,
    ports: Ports,
    life: Mutex<Life>,
    /// Last, so that it is removed after the process has ended.
    run: TempDir,
}

#[derive(Debug)]
struct Life {
    generation: u32,
    guard: Option<Guard>,
    client: Option<Arc<Client>>,
}

impl Node {
    /// The options, with their defaults.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    pub(crate) fn start(options: NodeBuilder) -> Result<Self, NodeError> {
        let exe = exe::find(options.exe.as_deref())?;
        let run = tempfile::Builder::new()
            .prefix("btc-regtest-")
            .tempdir()
            .map_err(|e| NodeError::io("make a directory in", &std::env::temp_dir(), e))?;
        let datadir = options
            .datadir
            .clone()
            .unwrap_or_else(|| run.path().join("data"));
        fs::create_dir_all(&datadir).map_err(|e| NodeError::io("create", &datadir, e))?;
        let conf = run.path().join(options::CONF);
        fs::write(&conf, options.conf()).map_err(|e| NodeError::io("write", &conf, e))?;

        let life = Mutex::new(Life {
            generation: 0,
            guard: None,
            client: None,
        });
        let mut node = Self {
            options,
            exe,
            datadir,
            ports: free_ports()?,
            life,
            run,
        };
        let mut tries = 1;
        loop {
            match node.launch() {
                Ok(()) => return Ok(node),
                Err(NodeError::Start { log, .. }) if tries < PORT_TRIES && is_clash(&log) => {
                    tracing::debug!(port = node.ports.rpc, "port taken, trying another");
                    node.ports = free_ports()?;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The address of the JSON-RPC server, without credentials.
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.rpc)
    }

    /// The port of the JSON-RPC server; the same over restarts.
    pub fn rpc_port(&self) -> u16 {
        self.ports.rpc
    }

    /// Where peers connect, when the node was told to listen.
    pub fn p2p_address(&self) -> Option<SocketAddr> {
        self.options
            .listen
            .then(|| (Ipv4Addr::LOCALHOST, self.ports.p2p).into())
    }

    /// The cookie file, unless the node has a user and password. Its content changes at each
    /// start.
    pub fn cookie_file(&self) -> Option<PathBuf> {
        (self.options.auth == RpcAuth::Cookie).then(|| self.chain_dir().join(".cookie"))
    }

    /// bitcoind's data directory.
    pub fn datadir(&self) -> &Path {
        &self.datadir
    }

    /// bitcoind's log.
    pub fn debug_log(&self) -> PathBuf {
        self.chain_dir().join("debug.log")
    }

    /// The network it runs.
    pub fn network(&self) -> Network {
        self.options.network
    }

    /// The program it runs.
    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// bitcoind's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        let mut life = self.life();
        let guard = life.guard.as_mut()?;
        if guard.exit_code().is_some() {
            None
        } else {
            guard.pid()
        }
    }

    /// Whether the process runs.
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// Asks the node to stop and waits for its end. Data, mempool and port are kept for
    /// [`Node::restart`]; nothing happens when it is stopped already.
    ///
    /// # Errors
    ///
    /// [`NodeError::StillRunning`] after a minute.
    pub fn stop(&self) -> Result<(), NodeError> {
        self.end("TERM")
    }

    /// Kills the node as a crash or a power cut would: what it had not written is lost. Data and
    /// port are kept for [`Node::restart`].
    pub fn kill9(&self) -> Result<(), NodeError> {
        self.end("KILL")
    }

    /// Freezes the node (SIGSTOP): it accepts connections and answers nothing, for tests of
    /// timeouts.
    /// When this returns, it has stopped: no thread of it answers a call any more.
    pub fn pause(&self) -> Result<(), NodeError> {
        let mut life = self.life();
        let guard = life.guard.as_mut().ok_or(NodeError::Stopped)?;
        guard.signal("STOP")?;
        guard.wait_stopped();
        Ok(())
    }

    /// Lets a frozen node go on (SIGCONT).
    pub fn resume(&self) -> Result<(), NodeError> {
        self.life()
            .guard
            .as_mut()
            .ok_or(NodeError::Stopped)?
            .signal("CONT")
    }

    /// Starts the node again on the same data and the same port, after stopping it if it runs.
    ///
    /// # Errors
    ///
    /// [`NodeError::Start`] as at the first start, also when somebody took the port meanwhile.
    pub fn restart(&self) -> Result<(), NodeError> {
        self.stop()?;
        self.launch()
    }

    /// Calls any RPC method: for development and tests. `params` are positional.
    ///
    /// # Errors
    ///
    /// [`NodeError::Stopped`] on a stopped node, else [`NodeError::Rpc`] with Core's code and
    /// message.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<T, NodeError> {
        rpc::call(&*self.client()?, method, params)
    }

    /// The client behind [`Node::call`], for typed calls. A restart makes it stale: the cookie
    /// changes.
    pub fn client(&self) -> Result<Arc<Client>, NodeError> {
        self.life().client.clone().ok_or(NodeError::Stopped)
    }

    /// How callers prove who they are.
    pub(crate) fn auth(&self) -> &RpcAuth {
        &self.options.auth
    }

    /// Many calls in few requests, answered in order.
    pub(crate) fn batch<T: DeserializeOwned>(
        &self,
        calls: &[rpc::Request<'_>],
    ) -> Result<Vec<T>, NodeError> {
        rpc::batch(&*self.client()?, calls)
    }

    fn end(&self, signal: &str) -> Result<(), NodeError> {
        let mut life = self.life();
        life.client = None;
        let Some(guard) = life.guard.as_mut() else {
            return Ok(());
        };
        if guard.exit_code().is_some() {
            return Ok(());
        }
        guard.signal(signal)?;
        if guard.wait_exit(Duration::from_secs(STOP_TIMEOUT_SECS)) {
            Ok(())
        } else {
            Err(NodeError::StillRunning {
                secs: STOP_TIMEOUT_SECS,
            })
        }
    }

    /// Starts the process and waits until it answers. The guard of the former life is let go only
    /// when the new one holds the directory.
    fn launch(&self) -> Result<(), NodeError> {
        let mut life = self.life();
        life.generation += 1;
        let args = self
            .options
            .args(self.run.path(), &self.datadir, self.ports);
        // A cookie of the former life would be taken for the new one.
        if let Some(cookie) = self.cookie_file() {
            let _ = fs::remove_file(cookie);
        }
        let soft = self.options.datadir.is_some();
        let begun = Instant::now();
        let guard = Guard::spawn(&self.exe, &args, self.run.path(), life.generation, soft)?;
        if let Some(former) = life.guard.take() {
            former.release();
        }
        let client = self.wait_ready(life.guard.insert(guard), begun)?;
        life.client = Some(Arc::new(client));
        tracing::debug!(url = self.rpc_url(), took = ?begun.elapsed(), "node is ready");
        Ok(())
    }

    fn wait_ready(&self, guard: &mut Guard, begun: Instant) -> Result<Client, NodeError> {
        let mut last = String::from("no answer yet");
        loop {
            if let Some(code) = guard.exit_code() {
                return Err(self.failed(guard, format!("it ended with code {code}")));
            }
            if begun.elapsed() > self.options.start_timeout {
                let secs = self.options.start_timeout.as_secs();
                return Err(self.failed(guard, format!("not ready after {secs} s ({last})")));
            }
            if let Some((user, password)) = self.credentials() {
                let client = rpc::client(&self.rpc_url(), user, password);
                match rpc::call::<u32>(&client, "getblockcount", &[]) {
                    Ok(_) if guard.pid().is_some() => return Ok(client),
                    Ok(_) => {}
                    Err(error) => last = reason(&error),
                }
            }
            std::thread::sleep(POLL);
        }
    }

    /// `None` while bitcoind has not written its cookie.
    fn credentials(&self) -> Option<(String, String)> {
        self.auth().credentials(self.cookie_file().as_deref())
    }

    fn failed(&self, guard: &Guard, reason: String) -> NodeError {
        let debug = fs::read(self.debug_log()).unwrap_or_default();
        let log = format!(
            "{}{}",
            tail(&guard.output()),
            tail(&String::from_utf8_lossy(&debug))
        );
        NodeError::Start {
            exe: self.exe.clone(),
            reason,
            log,
        }
    }

    fn chain_dir(&self) -> PathBuf {
        self.datadir.join(options::subfolder(self.options.network))
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // Every change of the state is one assignment, so a panic elsewhere leaves it sound.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two ports of the loopback interface that are free right now.
fn free_ports() -> Result<Ports, NodeError> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let pick = || {
        // Both at once, or the second could be the first again.
        let (rpc, p2p) = (bind()?, bind()?);
        Ok(Ports {
            rpc: port(&rpc)?,
            p2p: port(&p2p)?,
        })
    };
    pick().map_err(|e| NodeError::io("listen on", Path::new("127.0.0.1:0"), e))
}

fn is_clash(log: &str) -> bool {
    ["Unable to bind", "Failed to listen", "Unable to start HTTP"]
        .iter()
        .any(|m| log.contains(m))
}

/// An error with its causes, on one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    lines[first..]
        .iter()
        .fold(String::new(), |text, line| text + "  " + line + "\n")
}
