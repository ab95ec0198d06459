//! `NodeConfig`: which Bitcoin Core node to ask, and how to log in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Network, network};

/// A Bitcoin Core node: its network, where it serves RPC and REST, and the credentials.
///
/// | field | default |
/// |---|---|
/// | `url` | `http://127.0.0.1:` with Core's RPC port of the network |
/// | `credentials` | none |
/// | `timeout` | 30 s |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The network the node must be on; a node on another one is refused at connect.
    pub network: Network,
    /// `http://host:port`, without credentials and without a path.
    pub url: String,
    /// How to log in.
    pub credentials: Credentials,
    /// The time allowed for one request, from connect to the last byte.
    pub timeout: Duration,
}

impl NodeConfig {
    /// The time allowed for one request unless said otherwise.
    pub const DEFAULT_TIMEOUT_SECS: u64 = 30;

    /// A node on this machine at the network's default port, without credentials.
    pub fn new(network: Network) -> Self {
        Self {
            network,
            url: format!("http://127.0.0.1:{}", network::default_rpc_port(network)),
            credentials: Credentials::None,
            timeout: Duration::from_secs(Self::DEFAULT_TIMEOUT_SECS),
        }
    }

    /// `url` as `host:port`, or what is wrong with it.
    pub fn authority(&self) -> Result<&str, BadUrl> {
        let rest = self.url.strip_prefix("http://").ok_or(BadUrl::NotHttp)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(BadUrl::Credentials);
        }
        if rest.contains(['/', '?', '#']) {
            return Err(BadUrl::Path);
        }
        match rest.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0) => {
                Ok(rest)
            }
            _ => Err(BadUrl::Port),
        }
    }
}

/// Why a node's URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Bitcoin Core speaks plain HTTP only.
    #[error("the node's url must start with http://; Bitcoin Core has no TLS, use a tunnel")]
    NotHttp,
    /// Credentials in a URL end up in logs.
    #[error("the node's url must not hold credentials; give user and password on their own")]
    Credentials,
    /// One wallet's path or a typing error.
    #[error("the node's url must not have a path")]
    Path,
    /// No host, or no port from 1 to 65535.
    #[error("the node's url must name host and port, as in http://127.0.0.1:8332")]
    Port,
}

/// How to log in to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// No login, for a proxy that adds it.
    None,
    /// The cookie file that Bitcoin Core writes at each start; read again when it changes.
    CookieFile(PathBuf),
    /// A user and a password, as set by `rpcauth` or `rpcuser` and `rpcpassword`.
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// A text that is never printed and is wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, to hand on and not to keep.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<String, BadUrl> {
        let config = NodeConfig {
            url: url.to_owned(),
            ..NodeConfig::new(Network::Regtest)
        };
        config.authority().map(str::to_owned)
    }

    #[test]
    fn a_url_is_host_and_port_and_nothing_else() {
        assert_eq!(
            at("http://127.0.0.1:18443").as_deref(),
            Ok("127.0.0.1:18443")
        );
        assert_eq!(at("http://[::1]:8332/").as_deref(), Ok("[::1]:8332"));
        assert_eq!(at("https://node:8332"), Err(BadUrl::NotHttp));
        assert_eq!(at("http://user:word@node:8332"), Err(BadUrl::Credentials));
        assert_eq!(at("http://node:8332/wallet/hot"), Err(BadUrl::Path));
        assert_eq!(at("http://node"), Err(BadUrl::Port));
        assert_eq!(at("http://node:0"), Err(BadUrl::Port));
        assert_eq!(at("http://:8332"), Err(BadUrl::Port));
    }

    #[test]
    fn a_password_is_never_printed() {
        let credentials = Credentials::UserPassword {
            user: "alice".to_owned(),
            password: Secret::new("hunter2".to_owned()),
        };
        let printed = format!("{credentials:?}");
        assert!(
            !printed.contains("hunter2") && printed.contains("***"),
            "{printed}"
        );
    }
}
