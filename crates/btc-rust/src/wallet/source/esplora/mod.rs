//! An Esplora server as a chain source.
//!
//! # What is verified
//! - The network, by the genesis block, when the source is made.
//! - Headers, heights, confirmations and reorganisations as the module `server` beside this one
//!   says.
//!
//! # Limits
//! - The server learns which scripts belong together. It can withhold transactions that the wallet
//!   never heard of, and make up unconfirmed ones. Use your own.
//! - Ten headers come in one answer: a wallet that knows no block of the last months asks for some
//!   thousand answers first.
//! - Of one script, only the newest fifty unconfirmed transactions are told.

mod client;
mod server;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::constants::genesis_block;
use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Network, Operation};

use self::client::{Client, Sent};
use super::server::{self as histories, HistoryServer as _, Memory};
use super::verdict::Verdict;
use super::{ChainSource, Follower, Peer};

/// How an Esplora server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EsploraConfig {
    /// `https://host/path`, or `http://` to a server on this machine.
    pub url: String,
    /// The network that the server must be on.
    pub network: Network,
    /// The longest that an answer may take.
    pub timeout: Duration,
    /// Certificates in PEM, one of which must have signed the server's for its name. `None`: one
    /// that the system trusts.
    pub cert_file: Option<PathBuf>,
    /// `host:port` of a SOCKS5 proxy, such as Tor's. It resolves the server's name.
    pub proxy: Option<String>,
}

impl EsploraConfig {
    /// A server without a proxy, with the certificates that the system trusts, and 30 seconds.
    pub fn new(url: &str, network: Network) -> Self {
        Self {
            url: url.to_owned(),
            network,
            timeout: Duration::from_secs(30),
            cert_file: None,
            proxy: None,
        }
    }
}

/// An Esplora server.
///
/// # Behavior
/// - Connections are kept. A read whose connection was lost is tried once more; a broadcast has a
///   connection of its own and is never repeated.
/// - [`ChainSource::follow`] asks for the history of every watched script. Nothing of an answer
///   that is found to be false reaches the wallet. A server that is behind the wallet's last block
///   is an error after some seconds.
/// - [`ChainSource::tip`] follows the headers from a fixed block on: some minutes at first.
/// - [`ChainSource::peers`] is the server itself, without services.
pub struct EsploraSource {
    client: Client,
    memory: Mutex<Memory>,
}

impl EsploraSource {
    /// Connects to the server.
    ///
    /// # Errors
    /// `Configuration`: another kind of URL, a certificate that is not trusted, or a server on
    /// another network. `Unavailable`: it cannot be reached. `Timeout`: it does not answer.
    /// `InvalidResponse`: it is no Esplora server.
    pub fn connect(config: &EsploraConfig) -> BitcoinResult<Self> {
        let here = Operation::Connect;
        let client = Client::new(config)?;
        let first = client
            .text("/block-height/0")
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => client.none().with_source(error),
                _ => error,
            });
        let first = first.map_err(|error| error.during(here))?;
        let genesis = genesis_block(config.network).block_hash().to_string();
        if first != genesis {
            let is_hash = first.parse::<bitcoin::BlockHash>().is_ok();
            if !is_hash {
                return Err(client.none().during(here));
            }
            let message = "the Esplora server is on another network than the wallet; give the \
                           server of the wallet's network"
                .to_owned();
            return Err(client
                .error(ErrorKind::Configuration, message)
                .during(here)
                .with_context("its genesis block", first));
        }
        Ok(Self {
            client,
            memory: Mutex::default(),
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each insertion leaves it sound.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChainSource for EsploraSource {
    fn name(&self) -> &'static str {
        "esplora"
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        let patience = self.client.timeout;
        histories::tip(&self.client, &mut self.memory(), patience)
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        let patience = self.client.timeout;
        histories::follow(&self.client, &mut self.memory(), patience, follower)
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        let here = Operation::BroadcastTransaction;
        let txid = transaction.compute_txid();
        let sent = self.client.post("/tx", &serialize_hex(transaction));
        match sent.map_err(|error| error.during(here))? {
            Sent::Answer(answer) if answer.trim() == txid.to_string() => Ok(txid),
            Sent::Answer(_) => Err(self.client.lied("txid of the broadcast").during(here)),
            Sent::Refused(reason) => Verdict::of(None, &reason).outcome(txid, &reason),
            Sent::Unknown(cause) => {
                let message = "there was no answer; the outcome is unknown, look for the \
                               transaction before sending it again";
                Err(BitcoinError::new(ErrorKind::Timeout, here, message)
                    .with_context("txid", txid)
                    .with_source(cause))
            }
        }
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        let (height, _) = self.client.tip()?;
        Ok(vec![Peer {
            address: self.client.authority().to_owned(),
            user_agent: None,
            start_height: i32::try_from(height).ok(),
            services: format!("{:016x}", 0),
            is_inbound: Some(false),
        }])
    }
}
