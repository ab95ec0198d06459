//! The look at Bitcoin Core before anything is started: bounded in time, with a typed error.

use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use btc_iface::lightning::{LightningError, LightningErrorKind as Kind, LightningResult};
use btc_iface::types::network;
use btc_iface::{Credentials, NodeConfig};
use jsonrpc::simple_http::{self, SimpleHttpTransport};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::error::error;

/// The longest that one question may take, whatever the configuration allows.
const PATIENCE: Duration = Duration::from_secs(10);
const CORE_WARMING_UP: i32 = -28;
const CORE_NOT_FOUND: i32 = -5;

/// What ldk-node needs to reach the node.
pub(crate) struct Login {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Zeroizing<String>,
}

impl Login {
    /// From the configuration; a cookie is read now.
    pub(crate) fn read(chain: &NodeConfig) -> LightningResult<Self> {
        let wrong = |message: String| error(Kind::Configuration, message);
        let authority = chain.authority().map_err(|bad| wrong(bad.to_string()))?;
        let (host, port) = authority.rsplit_once(':').expect("an authority has a port");
        let port = port.parse().expect("an authority's port is a number");
        let (user, password) = match &chain.credentials {
            Credentials::UserPassword { user, password } => {
                (user.clone(), Zeroizing::new(password.expose().to_owned()))
            }
            Credentials::CookieFile(path) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new);
                let text = text.map_err(|cause| {
                    let path = path.display();
                    let message =
                        format!("the cookie {path} cannot be read: {cause}; is bitcoind running?");
                    error(Kind::ChainUnavailable, message)
                })?;
                let (user, password) = text
                    .trim_end()
                    .split_once(':')
                    .ok_or_else(|| wrong(format!("{} is no cookie", path.display())))?;
                (user.to_owned(), Zeroizing::new(password.to_owned()))
            }
            _ => {
                let message =
                    "Bitcoin Core needs a login: give a cookie file, or user and password";
                return Err(wrong(message.to_owned()));
            }
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            user,
            password,
        })
    }
}

#[derive(Deserialize)]
struct ChainInfo {
    chain: String,
    blocks: u32,
    #[serde(default)]
    pruneheight: Option<u32>,
}

#[derive(Deserialize)]
struct HeaderInfo {
    /// -1 for a block that is not in the active chain.
    confirmations: i64,
}

/// The last block that this node has followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) height: u32,
    pub(crate) hash: BlockHash,
}

/// Checks that Bitcoin Core answers, lets us in, is on the network, and has the chain that this
/// node has seen. Answers its height, too.
pub(crate) fn check(chain: &NodeConfig, seen: Option<Seen>) -> LightningResult<(Login, u32)> {
    let login = Login::read(chain)?;
    let client = client(chain, &login)?;
    let info: ChainInfo = client
        .call("getblockchaininfo", None)
        .map_err(|cause| refused(chain, &cause))?;
    let is_ours = network::parse(&info.chain).is_ok_and(|found| found == chain.network);
    if !is_ours {
        let ours = network::name(chain.network);
        let message = format!(
            "Bitcoin Core at {} is on `{}`, the Lightning node is for {ours}",
            chain.url, info.chain
        );
        return Err(error(Kind::WrongChain, message));
    }
    let Some(seen) = seen else {
        return Ok((login, info.blocks));
    };
    if info.pruneheight.is_some_and(|lowest| lowest > seen.height) {
        let message = format!(
            "Bitcoin Core has pruned the blocks from {} on that this node has not followed yet; give it a node that has them",
            seen.height
        );
        return Err(error(Kind::WrongChain, message));
    }
    let params = jsonrpc::arg(json!([seen.hash.to_string()]));
    match client.call::<HeaderInfo>("getblockheader", Some(&params)) {
        // A header alone is not a block: LDK would take its channels' blocks for undone.
        Ok(header) if header.confirmations < 0 && info.blocks < seen.height => {
            let message = format!(
                "Bitcoin Core at {} is at height {}, this node has followed the chain to {}; wait until it has \
                 caught up",
                chain.url, info.blocks, seen.height
            );
            Err(error(Kind::ChainUnavailable, message))
        }
        Ok(_) => Ok((login, info.blocks)),
        Err(jsonrpc::Error::Rpc(found)) if found.code == CORE_NOT_FOUND => {
            let message = format!(
                "Bitcoin Core at {} (height {}) does not know block {} at height {}, which this node has \
                 followed: it is another chain, or one that has lost its end; going on could lose money",
                chain.url, info.blocks, seen.hash, seen.height
            );
            Err(error(Kind::WrongChain, message))
        }
        Err(cause) => Err(refused(chain, &cause)),
    }
}

fn client(chain: &NodeConfig, login: &Login) -> LightningResult<jsonrpc::Client> {
    let transport = SimpleHttpTransport::builder()
        .timeout(chain.timeout.min(PATIENCE))
        .url(&chain.url)
        .map_err(|cause| error(Kind::Configuration, format!("the node's url: {cause}")))?
        .auth(login.user.clone(), Some(login.password.to_string()))
        .build();
    Ok(jsonrpc::Client::with_transport(transport))
}

/// What Bitcoin Core said of a transaction that was sent again.
pub(crate) enum Sent {
    /// It has it, now or from before.
    Taken,
    Refused(String),
}

/// `sendrawtransaction` of bytes as hex.
pub(crate) fn send(chain: &NodeConfig, raw: &str) -> LightningResult<Sent> {
    let client = client(chain, &Login::read(chain)?)?;
    let params = jsonrpc::arg(json!([raw]));
    match client.call::<serde_json::Value>("sendrawtransaction", Some(&params)) {
        Ok(_) => Ok(Sent::Taken),
        Err(jsonrpc::Error::Rpc(found)) if found.code != CORE_WARMING_UP => {
            Ok(Sent::Refused(found.message))
        }
        Err(cause) => Err(refused(chain, &cause)),
    }
}

/// `getrawtransaction` of one in the mempool or in that block; none if it is not there.
pub(crate) fn transaction(
    chain: &NodeConfig,
    txid: Txid,
    block: Option<BlockHash>,
) -> LightningResult<Option<String>> {
    let client = client(chain, &Login::read(chain)?)?;
    let params = match block {
        Some(block) => json!([txid.to_string(), false, block.to_string()]),
        None => json!([txid.to_string(), false]),
    };
    match client.call::<String>("getrawtransaction", Some(&jsonrpc::arg(params))) {
        Ok(raw) => Ok(Some(raw)),
        Err(jsonrpc::Error::Rpc(found)) if found.code == CORE_NOT_FOUND => Ok(None),
        Err(cause) => Err(refused(chain, &cause)),
    }
}

/// Whether Bitcoin Core has the transaction in its mempool.
pub(crate) fn has_unconfirmed(chain: &NodeConfig, txid: Txid) -> LightningResult<bool> {
    let client = client(chain, &Login::read(chain)?)?;
    let params = jsonrpc::arg(json!([txid.to_string()]));
    match client.call::<serde_json::Value>("getmempoolentry", Some(&params)) {
        Ok(_) => Ok(true),
        Err(jsonrpc::Error::Rpc(found)) if found.code == CORE_NOT_FOUND => Ok(false),
        Err(cause) => Err(refused(chain, &cause)),
    }
}

fn refused(chain: &NodeConfig, cause: &jsonrpc::Error) -> LightningError {
    let url = &chain.url;
    match cause {
        jsonrpc::Error::Transport(inner) => {
            let status = inner.downcast_ref::<simple_http::Error>();
            if let Some(simple_http::Error::HttpErrorCode(401 | 403)) = status {
                let message = format!("Bitcoin Core at {url} refuses user and password");
                return error(Kind::ChainAuth, message);
            }
            let message = format!("Bitcoin Core at {url} cannot be reached: {inner}");
            error(Kind::ChainUnavailable, message)
        }
        jsonrpc::Error::Rpc(found) if found.code == CORE_WARMING_UP => error(
            Kind::ChainUnavailable,
            format!(
                "Bitcoin Core at {url} is starting: {}; try again soon",
                found.message
            ),
        ),
        other => error(
            Kind::ChainUnavailable,
            format!("Bitcoin Core at {url} answers nonsense: {other}"),
        ),
    }
}
