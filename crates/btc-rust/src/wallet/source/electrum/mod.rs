//! An Electrum server as a chain source.
//!
//! # What is verified
//! - The network, by the genesis block, at each connection.
//! - Headers, heights, confirmations and reorganisations as the module `server` beside this one
//!   says.
//!
//! # Limits
//! - The server learns which scripts belong together. It can withhold transactions that the wallet
//!   never heard of, and make up unconfirmed ones. Use your own.

mod connection;
mod guard;
mod pin;
mod place;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bitcoin::{Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation};
use electrum_client::{ElectrumApi, Error};

use self::connection::Connection;
pub use self::place::ElectrumConfig;
use self::place::{Place, reason};
use super::server::{self, HistoryServer as _, Memory};
use super::verdict::Verdict;
use super::{ChainSource, Follower, Peer};

/// An Electrum server.
///
/// # Behavior
/// - One connection is kept. When it was lost, a read is tried once more over a new one; a
///   broadcast has a connection of its own and is never repeated.
/// - [`ChainSource::follow`] asks for the history of every watched script. Nothing of an answer
///   that is found to be false reaches the wallet. A server that is behind the wallet's last block
///   is an error after some seconds.
/// - [`ChainSource::tip`] follows the headers from a fixed block on: some seconds at first.
/// - [`ChainSource::peers`] is the server itself, without services.
pub struct ElectrumSource {
    place: Place,
    connection: Mutex<Option<Connection>>,
    memory: Mutex<Memory>,
}

impl ElectrumSource {
    /// Connects to the server.
    ///
    /// # Errors
    /// `Configuration`: another kind of URL, a certificate that is not trusted, or a server on
    /// another network. `Unavailable`: it cannot be reached. `Timeout`: it does not answer.
    /// `InvalidResponse`: it is no Electrum server.
    pub fn connect(config: &ElectrumConfig) -> BitcoinResult<Self> {
        let place = Place::new(config)?;
        let connection = place.open().map_err(|it| it.during(Operation::Connect))?;
        Ok(Self {
            place,
            connection: Mutex::new(Some(connection)),
            memory: Mutex::default(),
        })
    }

    /// Reads over the kept connection, and once more over a new one when it was lost.
    fn read<T>(&self, mut ask: impl FnMut(&Connection) -> BitcoinResult<T>) -> BitcoinResult<T> {
        let slot = self.connection.lock();
        let mut slot = slot.unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = slot.take() {
            match ask(&kept) {
                Err(error) if error.kind() == ErrorKind::Unavailable && kept.is_lost() => {}
                Err(error) => return Err(error),
                Ok(found) => {
                    *slot = Some(kept);
                    return Ok(found);
                }
            }
        }
        // After an error another answer may still come, which nobody waits for: such a
        // connection is not kept.
        let fresh = self.place.open()?;
        let found = ask(&fresh)?;
        *slot = Some(fresh);
        Ok(found)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each insertion leaves it sound.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChainSource for ElectrumSource {
    fn name(&self) -> &'static str {
        "electrum"
    }

    fn tip(&self) -> BitcoinResult<BlockRef> {
        self.read(|connection| server::tip(connection, &mut self.memory(), self.place.timeout))
    }

    fn follow(&self, follower: &mut dyn Follower) -> BitcoinResult<()> {
        let timeout = self.place.timeout;
        self.read(|connection| server::follow(connection, &mut self.memory(), timeout, follower))
    }

    fn broadcast(&self, transaction: &Transaction) -> BitcoinResult<Txid> {
        let here = Operation::BroadcastTransaction;
        let txid = transaction.compute_txid();
        // A kept connection may be gone without our knowing.
        let connection = self.place.open().map_err(|error| error.during(here))?;
        let answer = connection.client.transaction_broadcast(transaction);
        match answer {
            Ok(answer) if answer == txid => Ok(txid),
            Ok(_) => Err(connection.lied("txid of the broadcast").during(here)),
            Err(Error::Protocol(answer)) => {
                let code = answer.get("code").and_then(serde_json::Value::as_i64);
                let reason = reason(&answer);
                Verdict::of(code, &reason).outcome(txid, &reason)
            }
            Err(cause) => {
                let error = self.place.tell(cause);
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error.during(here));
                }
                let message = "the connection was lost before the answer; the outcome is \
                               unknown, look for the transaction before sending it again";
                Err(BitcoinError::new(ErrorKind::Timeout, here, message)
                    .with_context("txid", txid)
                    .with_source(error))
            }
        }
    }

    fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        self.read(|connection| {
            let (height, _) = connection.tip()?;
            Ok(vec![Peer {
                address: self.place.address.clone(),
                user_agent: Some(connection.software.clone()),
                start_height: i32::try_from(height).ok(),
                services: format!("{:016x}", 0),
                is_inbound: Some(false),
            }])
        })
    }
}
