//! `Connection`: a session with an Electrum server on the right network.

use std::sync::atomic::{AtomicBool, Ordering};

use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::{Script, ScriptBuf, Transaction, TxMerkleNode, Txid};
use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Network, Operation};
use electrum_client::raw_client::RawClient;
use electrum_client::{ElectrumApi, Error, GetMerkleRes, Param};

use super::guard::Guard;
use super::place::Place;
use crate::wallet::source::server::{Entry, HistoryServer, Pace, Proof};

/// Scripts, transactions or proofs asked for at once.
const BATCH: usize = 50;
/// A serialised block header.
const HEADER_BYTES: usize = 80;

/// An open session.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: RawClient<Guard>,
    /// What the server calls itself.
    pub(super) software: String,
    place: Place,
    is_lost: AtomicBool,
    pace: Pace,
}

impl Connection {
    pub(super) fn new(client: RawClient<Guard>, software: String, place: Place) -> Self {
        Self {
            client,
            software,
            place,
            is_lost: AtomicBool::new(false),
            pace: Pace::default(),
        }
    }

    /// Whether an answer failed for want of a connection.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    fn tell(&self, cause: Error) -> BitcoinError {
        let error = self.place.tell(cause);
        if error.kind() == ErrorKind::Unavailable {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        error
    }

    /// An error of a request for something that the server had a moment ago.
    fn tell_missing(&self, cause: Error) -> BitcoinError {
        let error = self.tell(cause);
        if error.kind() != ErrorKind::Rejected {
            return error;
        }
        let message = "the Electrum server does not have it any more".to_owned();
        self.error(ErrorKind::NotFound, message).with_source(error)
    }
}

impl HistoryServer for Connection {
    const KIND: &'static str = "Electrum server";
    const HEADERS: u32 = 2016;
    const HISTORIES: usize = BATCH;

    fn network(&self) -> Network {
        self.place.network
    }

    fn tip(&self) -> BitcoinResult<(u32, Header)> {
        let found = self
            .client
            .block_headers_subscribe()
            .map_err(|cause| self.tell(cause))?;
        self.pace.count(self, 1)?;
        let height = u32::try_from(found.height).map_err(|_| self.lied("a height beyond all"))?;
        Ok((height, found.header))
    }

    fn headers(&self, start: u32, count: u32) -> BitcoinResult<Vec<Header>> {
        // The library's own call panics at a count that the bytes do not keep.
        let params = [start, count].map(Param::U32);
        let answer = self
            .client
            .raw_call("blockchain.block.headers", params)
            .map_err(|cause| self.tell(cause))?;
        self.pace.count(self, 1)?;
        let hex = answer.get("hex").and_then(|it| it.as_str());
        let headers = hex.and_then(|hex| {
            let (chunks, rest) = hex.as_bytes().as_chunks::<{ 2 * HEADER_BYTES }>();
            let headers = chunks.iter().map(|chunk| {
                let text = std::str::from_utf8(chunk).ok()?;
                deserialize_hex(text).ok()
            });
            headers
                .collect::<Option<Vec<Header>>>()
                .filter(|_| rest.is_empty())
        });
        headers.ok_or_else(|| self.lied("headers that are none"))
    }

    fn headers_at(&self, heights: &[u32]) -> BitcoinResult<Vec<Header>> {
        let headers = self
            .client
            .batch_block_header(heights)
            .map_err(|cause| self.tell_missing(cause))?;
        self.pace.count(self, heights.len())?;
        if headers.len() != heights.len() {
            return Err(self.lied("another number of headers"));
        }
        Ok(headers)
    }

    fn histories(
        &self,
        scripts: &[ScriptBuf],
        progress: &mut dyn FnMut(usize),
    ) -> BitcoinResult<Vec<Vec<Entry>>> {
        let mut histories = Vec::with_capacity(scripts.len());
        for some in scripts.chunks(BATCH) {
            let some: Vec<&Script> = some.iter().map(ScriptBuf::as_script).collect();
            let found = self
                .client
                .batch_script_get_history(some.iter().copied())
                .map_err(|cause| self.tell(cause))?;
            self.pace.count(self, some.len())?;
            for history in found {
                let entries = history.into_iter().map(|entry| Entry {
                    txid: entry.tx_hash,
                    // 0 and -1 are the mempool, without and with unconfirmed inputs.
                    height: u32::try_from(entry.height)
                        .ok()
                        .filter(|height| *height > 0),
                });
                histories.push(entries.collect());
            }
            progress(histories.len());
        }
        Ok(histories)
    }

    fn transactions(&self, txids: &[Txid]) -> BitcoinResult<Vec<Transaction>> {
        let mut transactions = Vec::with_capacity(txids.len());
        for some in txids.chunks(BATCH) {
            let found = self.client.batch_transaction_get(some.iter());
            transactions.extend(found.map_err(|cause| self.tell_missing(cause))?);
            self.pace.count(self, some.len())?;
        }
        Ok(transactions)
    }

    fn proofs(&self, confirmed: &[(Txid, u32)]) -> BitcoinResult<Vec<Proof>> {
        let mut proofs = Vec::with_capacity(confirmed.len());
        for some in confirmed.chunks(BATCH) {
            let some: Vec<(Txid, usize)> = some
                .iter()
                .map(|(txid, height)| (*txid, *height as usize))
                .collect();
            let found = self.client.batch_transaction_get_merkle(some.iter());
            let found = found.map_err(|cause| self.tell_missing(cause))?;
            self.pace.count(self, some.len())?;
            proofs.extend(found.into_iter().map(proof));
        }
        Ok(proofs)
    }

    fn pace(&self) -> &Pace {
        &self.pace
    }

    fn error(&self, kind: ErrorKind, message: String) -> BitcoinError {
        BitcoinError::new(kind, Operation::Sync, message)
            .with_context("server", &self.place.address)
            .with_context("software", &self.software)
    }
}

fn proof(answer: GetMerkleRes) -> Proof {
    let siblings = answer.merkle.into_iter().map(|mut bytes| {
        // In the order in which hashes are shown.
        bytes.reverse();
        TxMerkleNode::from_byte_array(bytes)
    });
    Proof {
        position: u64::try_from(answer.pos).unwrap_or(u64::MAX),
        siblings: siblings.collect(),
    }
}
