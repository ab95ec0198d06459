//! `NodeError`: what kept the private node, or the chain on it, from doing what was asked.

use std::io;
use std::path::{Path, PathBuf};

use bitcoincore_rpc::jsonrpc;

/// Why the node or the chain factory could not go on. Messages say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// No bitcoind anywhere.
    #[error(
        "no bitcoind found (looked for {}): run `cargo xtask bitcoind` or set BITCOIND_EXE",
        list(.tried)
    )]
    MissingExe {
        /// The places looked at, in order.
        tried: Vec<PathBuf>,
    },
    /// The path given is not a program.
    #[error(
        "{path} is not an executable file: correct BITCOIND_EXE, or unset it and run \
         `cargo xtask bitcoind`",
        path = .path.display()
    )]
    BadExe {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {doing} {path}", path = .path.display())]
    Io {
        /// The step, as a verb.
        doing: &'static str,
        /// The file or program.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The node ended or stayed silent before it answered its first call.
    #[error("{exe} did not start: {reason}; its last words:\n{log}", exe = .exe.display())]
    Start {
        /// The program.
        exe: PathBuf,
        /// What was seen.
        reason: String,
        /// The end of its error output and of debug.log.
        log: String,
    },
    /// The node did not end in time after a polite request.
    #[error("bitcoind was asked to stop and still runs after {secs} s: use kill9()")]
    StillRunning {
        /// How long it was waited for, in seconds.
        secs: u64,
    },
    /// There is no process to talk to.
    #[error("the node is stopped: call restart() first")]
    Stopped,
    /// A remote call failed.
    #[error("{method} failed")]
    Rpc {
        /// The RPC method.
        method: String,
        /// The client's error, with Core's code and message where it answered.
        source: bitcoincore_rpc::Error,
    },
    /// No Electrum server in the cache folder.
    #[error(
        "no Electrum server found in {path}: run `cargo xtask setup`",
        path = .path.display()
    )]
    MissingElectrum {
        /// Where it would be.
        path: PathBuf,
    },
    /// The node cannot look up what an Electrum server asks for.
    #[error(
        "the node has no {index}, which the Electrum server needs: start it with \
         Node::builder().txindex(true).spender_index(true)"
    )]
    MissingIndex {
        /// The index, as `getindexinfo` names it.
        index: &'static str,
    },
    /// An Electrum request failed.
    #[error("{method} failed at the Electrum server: {reason}")]
    Electrum {
        /// The method of the protocol, or `connect`.
        method: String,
        /// The server's error, or what happened to the connection.
        reason: String,
    },
    /// The node told an Esplora server something that it cannot use.
    #[error("the Esplora server cannot use what the node tells: {reason}")]
    Esplora {
        /// Why.
        reason: String,
    },
    /// The Electrum server did not arrive where the node is.
    #[error(
        "the Electrum server still lacks {awaited} after {secs} s; when blocks were taken back, \
         mine until the chain is longer than it was; its last words:\n{log}"
    )]
    ElectrumBehind {
        /// What was waited for.
        awaited: String,
        /// How long it was waited for, in seconds.
        secs: u64,
        /// The end of its log.
        log: String,
    },
    /// A chain is only ever built on regtest.
    #[error("chains are mined on regtest only, and this node runs {network}: start a regtest node")]
    WrongNetwork {
        /// The node's network.
        network: bitcoin::Network,
    },
    /// The chain factory has no coin of the kind that it needs.
    #[error("no spendable {what} left: call mine() for new coins, or build the chain first")]
    NoCoin {
        /// What was looked for.
        what: String,
    },
    /// A transaction could not be put together.
    #[error("could not build a {what}: {reason}")]
    Build {
        /// The kind of transaction.
        what: String,
        /// What did not add up.
        reason: String,
    },
}

impl NodeError {
    /// Core's error code (as in `-25`), where the node answered with one.
    pub fn rpc_code(&self) -> Option<i32> {
        match self {
            Self::Rpc {
                source: bitcoincore_rpc::Error::JsonRpc(jsonrpc::Error::Rpc(e)),
                ..
            } => Some(e.code),
            _ => None,
        }
    }

    /// Core's error message, where the node answered with one.
    pub fn rpc_message(&self) -> Option<&str> {
        match self {
            Self::Rpc {
                source: bitcoincore_rpc::Error::JsonRpc(jsonrpc::Error::Rpc(e)),
                ..
            } => Some(&e.message),
            _ => None,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn build(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Build {
            what: what.into(),
            reason: reason.into(),
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|p| p.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
