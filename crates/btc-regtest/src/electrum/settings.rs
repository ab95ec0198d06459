//! What the Electrum server is told: its node, its port, and that nobody but us is there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bitcoin::Network;
use serde_json::{Value, json};

use crate::options::RpcAuth;
use crate::{Node, NodeError};

/// How often the node is asked for news, in milliseconds.
const POLL_MILLIS: &str = "50";
/// What the index may keep in memory, in MB: a test's chain is small.
const CACHE_MB: &str = "20";

/// The node below, as the server reaches it.
#[derive(Debug)]
pub(super) struct Daemon {
    address: String,
    network: Network,
    auth: RpcAuth,
    cookie_file: Option<PathBuf>,
}

impl Daemon {
    pub(super) fn of(node: &Node) -> Self {
        Self {
            address: format!("127.0.0.1:{}", node.rpc_port()),
            network: node.network(),
            auth: node.auth().clone(),
            cookie_file: node.cookie_file(),
        }
    }

    /// The server's settings, under the names that its manual gives them. A cookie is read anew
    /// each time.
    pub(super) fn settings(&self, port: u16, data: &Path) -> Result<Value, NodeError> {
        let (user, password) = self
            .auth
            .credentials(self.cookie_file.as_deref())
            .ok_or(NodeError::Stopped)?;
        let (user, password) = (escaped(&user), escaped(&password));
        Ok(json!({
            "COIN": "Bitcoin",
            "NET": net(self.network),
            "DAEMON_URL": format!("http://{user}:{password}@{}", self.address),
            "DAEMON_POLL_INTERVAL_BLOCKS": POLL_MILLIS,
            "DAEMON_POLL_INTERVAL_MEMPOOL": POLL_MILLIS,
            "DB_ENGINE": "leveldb",
            "DB_DIRECTORY": data,
            "CACHE_MB": CACHE_MB,
            "SERVICES": format!("tcp://127.0.0.1:{port}"),
            // It opens no connection but the one to the node.
            "PEER_DISCOVERY": "off",
            "PEER_ANNOUNCE": "",
            "BLACKLIST_URL": "",
            // A test may ask as much as it likes.
            "COST_SOFT_LIMIT": "0",
            "COST_HARD_LIMIT": "0",
            // Containers run as root, and it listens on the loopback interface only.
            "ALLOW_ROOT": "yes",
        }))
    }
}

/// The server's name of a network.
fn net(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "mainnet",
        Network::Testnet => "testnet",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}

/// A user or password as a part of an address (RFC 3986).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("a string takes any text");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn credentials_cannot_leave_their_place_in_the_address() {
        assert_eq!(escaped("__cookie__"), "%5F%5Fcookie%5F%5F");
        assert_eq!(escaped("a:b@c/é"), "a%3Ab%40c%2F%C3%A9");
    }
}
