//! Which node is configured, and how to log in.

use std::path::{Path, PathBuf};

use btc_iface::{BitcoinResult, Credentials, Network, NodeConfig, Secret};

use super::layers::{Layers, configuration};
use super::parse;

/// The node, or nothing when no variable names one.
pub(super) fn resolve(layers: &Layers) -> BitcoinResult<Option<NodeConfig>> {
    let network = layers.get("BITCOIN_NETWORK", parse::network)?;
    let url = layers.get("BITCOIN_RPC_URL", parse::text)?;
    let credentials = credentials(layers)?;
    let timeout = layers.get("BITCOIN_RPC_TIMEOUT_SECS", parse::timeout)?;
    let is_configured = network.is_some() || url.is_some() || credentials.is_some();
    if !is_configured {
        return Ok(None);
    }
    let Some(network) = network else {
        return Err(configuration(
            "a node is configured, its network is not; set BITCOIN_NETWORK to mainnet, testnet3, \
             testnet4, signet or regtest",
        ));
    };
    let mut node = NodeConfig::new(network);
    if let Some(url) = url {
        node.url = url;
        node.authority()
            .map_err(|cause| configuration(format!("BITCOIN_RPC_URL: {cause}")))?;
    }
    if let Some(timeout) = timeout {
        node.timeout = timeout;
    }
    node.credentials = match credentials {
        Some(Login::Whole(credentials)) => credentials,
        Some(Login::Half) => {
            return Err(configuration(
                "BITCOIN_RPC_USER and BITCOIN_RPC_PASSWORD belong together; one is missing",
            ));
        }
        None => match default_cookie(layers, &node) {
            Some(cookie) => Credentials::CookieFile(cookie),
            None => Credentials::None,
        },
    };
    Ok(Some(node))
}

/// How to log in, as far as it is said.
enum Login {
    Whole(Credentials),
    /// A user without a password, or the reverse.
    Half,
}

/// A cookie and a user with a password exclude each other: what the uppermost layer says of
/// either replaces the other below. User and password may come from two layers.
fn credentials(layers: &Layers) -> BitcoinResult<Option<Login>> {
    let (mut user, mut password) = (None, None);
    for layer in layers.iter() {
        let cookie = layer.get("BITCOIN_RPC_COOKIE_FILE", parse::path)?;
        let user_here = layer.get("BITCOIN_RPC_USER", parse::text)?;
        let password_here = layer.get("BITCOIN_RPC_PASSWORD", parse::text)?;
        if let Some(cookie) = cookie {
            if user_here.is_some() || password_here.is_some() {
                return Err(configuration(
                    "BITCOIN_RPC_COOKIE_FILE and BITCOIN_RPC_USER or _PASSWORD are both set; set \
                     one",
                ));
            }
            if user.is_none() && password.is_none() {
                return Ok(Some(Login::Whole(Credentials::CookieFile(cookie))));
            }
        }
        user = user.or(user_here);
        password = password.or(password_here.map(Secret::new));
    }
    Ok(match (user, password) {
        (Some(user), Some(password)) => {
            Some(Login::Whole(Credentials::UserPassword { user, password }))
        }
        (None, None) => None,
        _ => Some(Login::Half),
    })
}

/// The cookie that Bitcoin Core writes by default, for a node on this machine.
fn default_cookie(layers: &Layers, node: &NodeConfig) -> Option<PathBuf> {
    let (host, _) = node.authority().ok()?.rsplit_once(':')?;
    if !matches!(host, "127.0.0.1" | "localhost" | "[::1]") {
        return None;
    }
    let home = PathBuf::from(layers.home.as_ref()?);
    Some(core_folder(&home, node.network, cfg!(target_os = "macos")).join(".cookie"))
}

/// Where Bitcoin Core has its data unless told otherwise.
fn core_folder(home: &Path, network: Network, is_macos: bool) -> PathBuf {
    let folder = match network {
        Network::Testnet => "testnet3",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
        Network::Bitcoin => "",
    };
    let data = if is_macos {
        "Library/Application Support/Bitcoin"
    } else {
        ".bitcoin"
    };
    home.join(data).join(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitcoin_core_has_its_folder_where_the_system_wants_it() {
        let folder = |is_macos| core_folder(Path::new("home"), Network::Signet, is_macos);
        assert_eq!(folder(false), Path::new("home/.bitcoin/signet"));
        let mac = Path::new("home/Library/Application Support/Bitcoin/signet");
        assert_eq!(folder(true), mac);
    }
}
