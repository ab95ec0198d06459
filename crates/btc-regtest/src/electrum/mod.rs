//! `ElectrumServer`: a private Electrum server over a private node, for tests of Electrum clients.

mod life;
mod session;
mod settings;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::hex::DisplayHex;
use bitcoin::{BlockHash, Script, Txid};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Node, NodeError, exe};
use life::{CLASH, Life};
use session::{Session, failed};
use settings::Daemon;

/// How often a server is asked whether it is where it should be.
const POLL: Duration = Duration::from_millis(10);
/// How long each waiting may take.
const TIMEOUT_SECS: u64 = 60;
/// How many ports are tried before a clash counts as an error.
const PORT_TRIES: u32 = 5;
/// What the server looks up in its node's indexes.
const INDEXES: [&str; 2] = ["txindex", "txospenderindex"];

const LAUNCHER: &str = include_str!("../../python/electrum_server.py");

/// A private Electrum server (`ElectrumX`, protocols 1.4 to 1.7) that follows one [`Node`].
///
/// # Behavior
///
/// - It ends with its owner, as the node does: on drop, on Ctrl-C, and when the owner is killed
///   with SIGKILL. Its index goes with it.
/// - It listens on a free port of 127.0.0.1, without TLS, and connects to nothing but its node.
/// - It follows the node within some tenths of a second: [`ElectrumServer::wait_for_tip`] and
///   [`ElectrumServer::wait_for_transaction`] say when it has arrived.
/// - It sees that blocks were taken back when the new chain is longer than the old one was, and
///   not before.
/// - A node that was restarted has a new cookie, with which the server goes on after its own
///   [`ElectrumServer::restart`].
/// - All methods take `&self`, so that threads may share it.
///
/// ```no_run
/// # fn main() -> Result<(), btc_regtest::NodeError> {
/// use btc_regtest::{Chain, ElectrumServer, Node};
///
/// let node = Node::builder().spender_index(true).start()?;
/// let server = ElectrumServer::start(&node)?;
/// Chain::new(&node, 1)?.mine(1)?;
/// server.wait_for_tip(&node)?;
/// println!("Electrum clients connect to {}", server.url());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ElectrumServer {
    python: PathBuf,
    daemon: Daemon,
    port: u16,
    life: Mutex<Life>,
    /// Last, so that it is removed after the process has ended.
    run: TempDir,
}

impl ElectrumServer {
    /// Starts a server over a node and waits until it has indexed the chain up to the node's tip
    /// and the mempool.
    ///
    /// # Errors
    ///
    /// [`NodeError::MissingElectrum`] when `cargo xtask setup` has not installed it,
    /// [`NodeError::MissingIndex`] when the node was started without
    /// [`spender_index`](crate::NodeBuilder::spender_index), [`NodeError::Stopped`] when the node
    /// does not run, [`NodeError::Start`] with the server's last words when it ends or stays
    /// silent, [`NodeError::ElectrumBehind`] when it does not reach the tip in a minute.
    pub fn start(node: &Node) -> Result<Self, NodeError> {
        let python = exe::electrum_python()?;
        check_indexes(node)?;
        let run = tempfile::Builder::new()
            .prefix("btc-electrum-")
            .tempdir()
            .map_err(|e| NodeError::io("make a directory in", &std::env::temp_dir(), e))?;
        let mut server = Self {
            python,
            daemon: Daemon::of(node),
            port: free_port()?,
            life: Mutex::default(),
            run,
        };
        let data = server.data();
        fs::create_dir(&data).map_err(|e| NodeError::io("create", &data, e))?;
        let mut tries = 1;
        loop {
            match server.launch() {
                Ok(()) => break,
                Err(NodeError::Start { log, .. }) if tries < PORT_TRIES && log.contains(CLASH) => {
                    tracing::debug!(port = server.port, "port taken, trying another");
                    server.port = free_port()?;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
        server.wait_for_tip(node)?;
        Ok(server)
    }

    /// Where clients connect: `tcp://127.0.0.1:port`; the same over restarts.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// The server's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.life().pid()
    }

    /// Stops the server. Index and port are kept for [`ElectrumServer::restart`]; nothing happens
    /// when it is stopped already.
    pub fn stop(&self) -> Result<(), NodeError> {
        self.life().end()
    }

    /// Starts the server again on the same index and the same port, after stopping it if it runs,
    /// and with the node's present cookie. It has caught up with the node when this returns, as
    /// far as the node has not gone on meanwhile.
    ///
    /// # Errors
    ///
    /// [`NodeError::Start`] as at the first start, also when somebody took the port meanwhile;
    /// [`NodeError::Stopped`] when the node does not run.
    pub fn restart(&self) -> Result<(), NodeError> {
        self.stop()?;
        self.launch()
    }

    /// Calls any method of the Electrum protocol over a connection of its own; `params` are
    /// positional.
    ///
    /// # Errors
    ///
    /// [`NodeError::Electrum`] with the server's error, or the reason why there is no answer.
    pub fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &[Value],
    ) -> Result<T, NodeError> {
        typed(method, Session::open(self.port)?.call(method, params)?)
    }

    /// Waits until the server's tip is the node's best block, and its view of the mempool is one
    /// on that block.
    ///
    /// # Errors
    ///
    /// [`NodeError::ElectrumBehind`] after a minute: also when blocks were taken back and the
    /// chain is not longer than it was.
    pub fn wait_for_tip(&self, node: &Node) -> Result<(), NodeError> {
        let mut session = Session::open(self.port)?;
        self.wait(|| {
            let best: BlockHash = node.call("getbestblockhash", &[])?;
            let seen = tip(&mut session)?;
            Ok((seen != best).then(|| format!("block {best} (it is at {seen})")))
        })
    }

    /// Waits until the server lists a transaction in the history of a script, unconfirmed or
    /// confirmed.
    ///
    /// # Errors
    ///
    /// [`NodeError::ElectrumBehind`] after a minute.
    pub fn wait_for_transaction(&self, script: &Script, txid: Txid) -> Result<(), NodeError> {
        #[derive(Deserialize)]
        struct Entry {
            tx_hash: Txid,
        }
        const METHOD: &str = "blockchain.scripthash.get_history";
        let hash = script_hash(script);
        let mut session = Session::open(self.port)?;
        self.wait(|| {
            let history = session.call(METHOD, &[json!(hash)])?;
            let history: Vec<Entry> = typed(METHOD, history)?;
            let found = history.iter().any(|entry| entry.tx_hash == txid);
            Ok((!found).then(|| format!("transaction {txid}")))
        })
    }

    /// Repeats a look until nothing is lacking.
    fn wait(
        &self,
        mut lacking: impl FnMut() -> Result<Option<String>, NodeError>,
    ) -> Result<(), NodeError> {
        let deadline = Instant::now() + Duration::from_secs(TIMEOUT_SECS);
        while let Some(awaited) = lacking()? {
            if Instant::now() >= deadline {
                return Err(NodeError::ElectrumBehind {
                    awaited,
                    secs: TIMEOUT_SECS,
                    log: self.log(),
                });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn launch(&self) -> Result<(), NodeError> {
        let launcher = self.write("electrum_server.py", LAUNCHER)?;
        let settings = self.daemon.settings(self.port, &self.data())?;
        // A file, because others may see a command line, and the node's password is in it.
        let settings = self.write("settings.json", &settings.to_string())?;
        let args = ["-I".into(), launcher.into(), settings.into()];
        self.life().begin(&self.python, &args, self.run.path())
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, NodeError> {
        let path = self.run.path().join(name);
        fs::write(&path, text).map_err(|e| NodeError::io("write", &path, e))?;
        Ok(path)
    }

    fn data(&self) -> PathBuf {
        self.run.path().join("data")
    }

    fn log(&self) -> String {
        self.life().last_words()
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // Every change of the state is one assignment, so a panic elsewhere leaves it sound.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a script in the Electrum protocol: its SHA-256, reversed, in hexadecimal.
pub fn script_hash(script: &Script) -> String {
    let mut hash = sha256::Hash::hash(script.as_bytes()).to_byte_array();
    hash.reverse();
    hash.to_lower_hex_string()
}

fn check_indexes(node: &Node) -> Result<(), NodeError> {
    let info: Value = node.call("getindexinfo", &[])?;
    let missing = INDEXES.into_iter().find(|index| !info[*index].is_object());
    missing.map_or(Ok(()), |index| Err(NodeError::MissingIndex { index }))
}

fn tip(session: &mut Session) -> Result<BlockHash, NodeError> {
    #[derive(Deserialize)]
    struct Tip {
        hex: String,
    }
    const METHOD: &str = "blockchain.headers.subscribe";
    let tip: Tip = typed(METHOD, session.call(METHOD, &[])?)?;
    let header: Header = deserialize_hex(&tip.hex).map_err(|error| failed(METHOD, &error))?;
    Ok(header.block_hash())
}

fn typed<T: DeserializeOwned>(method: &str, answer: Value) -> Result<T, NodeError> {
    serde_json::from_value(answer).map_err(|error| failed(method, &error))
}

fn free_port() -> Result<u16, NodeError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| NodeError::io("listen on", Path::new("127.0.0.1:0"), e))
}

#[cfg(test)]
mod tests {
    use bitcoin::ScriptBuf;

    use super::script_hash;

    #[test]
    fn a_script_has_the_name_that_the_protocol_gives() {
        // The example of the protocol's documentation: the first address of the genesis block.
        let script = ScriptBuf::from_hex("76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac")
            .expect("hexadecimal");
        assert_eq!(
            script_hash(&script),
            "8b01df4e368ea28f8dc0423bcf7a4923e3a12d307c875e47a0cfbf90b5c39161"
        );
    }
}
