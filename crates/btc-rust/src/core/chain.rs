//! The calls by which a wallet follows the chain: headers, filters, mempool, peers.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use bitcoin::block::Header;
use bitcoin::consensus::encode;
use bitcoin::{BlockHash, Transaction, Txid};
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, FeeRate, Operation};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Core, decode_hex};
use crate::amount::{self, BtcAmount};
use crate::connection::Answer;
use crate::error;
use crate::wallet::build::{MempoolEntry, RelayRules};
use crate::wallet::source::{Peer, Relatives};

/// The index of compact filters, as `getindexinfo` calls it.
const FILTER_INDEX: &str = "basic block filter index";
/// A serialised block header.
const HEADER_BYTES: usize = 80;

#[derive(Deserialize)]
struct HeaderInfo {
    /// -1 off the active chain.
    confirmations: i64,
    height: u32,
}

#[derive(Deserialize)]
struct IndexInfo {
    #[serde(rename = "basic block filter index")]
    filters: Option<Index>,
}

#[derive(Deserialize)]
struct Index {
    synced: bool,
}

#[derive(Deserialize)]
struct Filter {
    filter: String,
}

/// What `getmempoolentry`, `getmempoolancestors` and `getmempooldescendants` say of a transaction.
#[derive(Deserialize)]
struct Entry {
    /// In vB, its signature operations counted in.
    vsize: u64,
    /// In WU, as it is serialised.
    weight: u64,
    fees: EntryFees,
    #[serde(default)]
    depends: Vec<Txid>,
}

#[derive(Deserialize)]
struct EntryFees {
    /// Its own, whatever `prioritisetransaction` adds for this node alone.
    base: BtcAmount,
    /// With what that adds or takes off.
    #[serde(deserialize_with = "amount::at_least_0")]
    modified: BtcAmount,
}

impl Entry {
    fn named(self, txid: Txid) -> MempoolEntry {
        let by_size_wu = self.vsize.saturating_sub(1).saturating_mul(4) + 1;
        MempoolEntry {
            txid,
            weight_wu: self.weight.max(by_size_wu),
            fee_sat: self.fees.base.sat,
            modified_fee_sat: self.fees.modified.sat,
            spends: self.depends,
        }
    }
}

/// What `getmempoolinfo` says of what the node takes.
#[derive(Deserialize)]
struct MempoolRules {
    mempoolminfee: BtcAmount,
    minrelaytxfee: BtcAmount,
    incrementalrelayfee: BtcAmount,
    /// Not said any more by nodes that replace everything.
    fullrbf: Option<bool>,
}

/// What `getmempoolinfo` says of the mempool's state.
#[derive(Deserialize)]
struct MempoolLoad {
    loaded: bool,
}

/// What `submitpackage` answers.
#[derive(Deserialize)]
struct Package {
    package_msg: String,
    #[serde(rename = "tx-results")]
    results: HashMap<String, PackageResult>,
}

#[derive(Deserialize)]
struct PackageResult {
    error: Option<String>,
}

#[derive(Deserialize)]
struct PeerInfo {
    addr: String,
    #[serde(default)]
    subver: Option<String>,
    #[serde(default)]
    startingheight: Option<i32>,
    #[serde(default)]
    services: String,
    #[serde(default)]
    inbound: Option<bool>,
}

/// REST's answer, or none from a node that does not serve REST.
enum Rest {
    Body(Vec<u8>),
    /// REST's own 404, or another refusal.
    Refused,
    Missing,
}

impl Core {
    pub(crate) fn hash_at(&self, height: u32) -> BitcoinResult<BlockHash> {
        self.call(Operation::Sync, "getblockhash", &[json!(height)])
    }

    /// Whether the block is in the active chain, at its height.
    pub(crate) fn is_active(&self, block: BlockRef) -> BitcoinResult<bool> {
        let params = [json!(block.hash)];
        match self.call::<HeaderInfo>(Operation::Sync, "getblockheader", &params) {
            Ok(info) => Ok(info.confirmations >= 0 && info.height == block.height),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Up to this many headers of the active chain from this block on; none when it has left the
    /// chain. `None`: the node does not serve REST.
    pub(crate) fn headers(
        &self,
        from: &BlockHash,
        count: usize,
    ) -> BitcoinResult<Option<Vec<Header>>> {
        let body = match self.rest(&format!("/rest/headers/{count}/{from}.bin"))? {
            Rest::Body(body) => body,
            // Not REST's own words: it has headers of any block, if no more than none.
            Rest::Refused => {
                self.note_missing_rest();
                return Ok(None);
            }
            Rest::Missing => return Ok(None),
        };
        let (headers, rest) = body.as_chunks::<HEADER_BYTES>();
        if !rest.is_empty() || headers.len() > count {
            return Err(unexpected("headers", "not a list of so many headers"));
        }
        let headers = headers.iter().map(|header| decode_header(header));
        headers.collect::<BitcoinResult<_>>().map(Some)
    }

    /// The header of one block.
    pub(crate) fn header(&self, hash: &BlockHash) -> BitcoinResult<Header> {
        let operation = Operation::Sync;
        let hex: String = self.call(operation, "getblockheader", &[json!(hash), json!(false)])?;
        decode_header(&decode_hex(operation, &hex)?)
    }

    /// Whether the node has compact filters of the whole chain (BIP158).
    pub(crate) fn has_filters(&self) -> BitcoinResult<bool> {
        let info: IndexInfo = self.call(Operation::Sync, "getindexinfo", &[json!(FILTER_INDEX)])?;
        Ok(info.filters.is_some_and(|index| index.synced))
    }

    /// The compact filter of a block, or none while the node has not made it yet.
    pub(crate) fn filter(&self, hash: &BlockHash) -> BitcoinResult<Option<Vec<u8>>> {
        match self.rest(&format!("/rest/blockfilter/basic/{hash}.bin"))? {
            // Type, hash, length, filter.
            Rest::Body(body) => {
                let (kind, of, content): (u8, BlockHash, Vec<u8>) = encode::deserialize(&body)
                    .map_err(|cause| unexpected("filter", "it is broken").with_source(cause))?;
                if kind != 0 || of != *hash {
                    return Err(unexpected("filter", "it is of another block or type"));
                }
                return Ok(Some(content));
            }
            Rest::Refused => return Ok(None),
            Rest::Missing => {}
        }
        let operation = Operation::Sync;
        match self.call::<Filter>(operation, "getblockfilter", &[json!(hash)]) {
            Ok(answer) => decode_hex(operation, &answer.filter).map(Some),
            // Not indexed yet, or no longer: the block itself says as much.
            Err(error) if !error.kind().is_transport() && error.kind() != ErrorKind::Auth => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The mempool's txids as the node's JSON, which may be 20 MB long: to be compared with the
    /// one before, and read only when it has changed.
    pub(crate) fn mempool(&self) -> BitcoinResult<Box<RawValue>> {
        self.call(Operation::Sync, "getrawmempool", &[])
    }

    /// Whether the mempool is whole: a node that has just started reads it from disk first.
    pub(crate) fn is_mempool_loaded(&self) -> BitcoinResult<bool> {
        let info: MempoolLoad = self.call(Operation::Sync, "getmempoolinfo", &[])?;
        Ok(info.loaded)
    }

    /// Hands a parent and the child that pays for it to the node, together.
    pub(crate) fn submit_package(&self, transactions: &[&Transaction]) -> BitcoinResult<()> {
        let operation = Operation::BroadcastTransaction;
        let package: Vec<String> = transactions
            .iter()
            .map(|transaction| encode::serialize_hex(*transaction))
            .collect();
        let answer: Package = match self.call(operation, "submitpackage", &[json!(package)]) {
            // A node from before Bitcoin Core 26 has no such method.
            Err(error) if error.message().contains("Method not found") => {
                let message = "the node takes no packages; update it";
                return Err(BitcoinError::new(
                    ErrorKind::Unsupported,
                    operation,
                    message,
                ));
            }
            answer => answer?,
        };
        if answer.package_msg == "success" {
            return Ok(());
        }
        let reasons = answer.results.into_values().filter_map(|it| it.error);
        let reasons: Vec<String> = reasons.collect();
        let message = format!("{} ({})", answer.package_msg, reasons.join(", "));
        Err(BitcoinError::new(ErrorKind::Rejected, operation, message))
    }

    /// The bytes of a transaction of the mempool, or none when it has left it.
    pub(crate) fn mempool_transaction(&self, txid: &Txid) -> BitcoinResult<Option<Vec<u8>>> {
        match self.rest(&format!("/rest/tx/{txid}.bin"))? {
            Rest::Body(body) => return Ok(Some(body)),
            Rest::Refused => return Ok(None),
            Rest::Missing => {}
        }
        let operation = Operation::Sync;
        match self.call::<String>(operation, "getrawtransaction", &[json!(txid), json!(0)]) {
            Ok(hex) => decode_hex(operation, &hex).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A transaction of the mempool with its ancestors and descendants, or none when it is not
    /// there.
    pub(crate) fn relatives(&self, txid: &Txid) -> BitcoinResult<Option<Relatives>> {
        let operation = Operation::Wallet;
        let params = [json!(txid), json!(true)];
        let list = |method| -> BitcoinResult<Vec<MempoolEntry>> {
            let entries: BTreeMap<Txid, Entry> = self.call(operation, method, &params)?;
            let entries = entries.into_iter();
            Ok(entries.map(|(txid, entry)| entry.named(txid)).collect())
        };
        let all = || -> BitcoinResult<Relatives> {
            let itself: Entry = self.call(operation, "getmempoolentry", &params[..1])?;
            Ok(Relatives {
                itself: itself.named(*txid),
                ancestors: list("getmempoolancestors")?,
                descendants: list("getmempooldescendants")?,
            })
        };
        match all() {
            Ok(all) => Ok(Some(all)),
            // It was mined or has left, at once or between the calls.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the node asks of a transaction.
    pub(crate) fn relay_rules(&self) -> BitcoinResult<RelayRules> {
        let rules: MempoolRules = self.call(Operation::Wallet, "getmempoolinfo", &[])?;
        let rate = |amount: BtcAmount| FeeRate::from_sat_per_kvb(amount.sat);
        Ok(RelayRules {
            incremental: rate(rules.incrementalrelayfee),
            min_rate: rate(rules.mempoolminfee).max(rate(rules.minrelaytxfee)),
            full_rbf: rules.fullrbf.unwrap_or(true),
        })
    }

    pub(crate) fn peers(&self) -> BitcoinResult<Vec<Peer>> {
        let peers: Vec<PeerInfo> = self.call(Operation::Sync, "getpeerinfo", &[])?;
        let peers = peers.into_iter().map(|peer| Peer {
            address: peer.addr,
            user_agent: peer.subver,
            start_height: peer.startingheight,
            services: peer.services,
            is_inbound: peer.inbound,
        });
        Ok(peers.collect())
    }

    fn rest(&self, path: &str) -> BitcoinResult<Rest> {
        if !self.has_rest.load(Ordering::Relaxed) {
            return Ok(Rest::Missing);
        }
        let Answer { status, body } = self
            .http
            .get(path)
            .map_err(|cause| error::from_transport(Operation::Sync, cause))?;
        match status {
            200 => Ok(Rest::Body(body)),
            // REST's own refusals say why; a node without it knows no such path.
            404 if body.is_empty() => {
                self.note_missing_rest();
                Ok(Rest::Missing)
            }
            400 | 404 => Ok(Rest::Refused),
            _ => {
                let text = Answer { status, body }.text();
                let cause = crate::http::TransportError::Status { status, text };
                Err(error::from_transport(Operation::Sync, cause))
            }
        }
    }
}

fn decode_header(bytes: &[u8]) -> BitcoinResult<Header> {
    encode::deserialize(bytes)
        .map_err(|cause| unexpected("header", "it is broken").with_source(cause))
}

fn unexpected(what: &str, said: &str) -> BitcoinError {
    let message = format!("the node's answer for a {what} cannot be used: {said}");
    BitcoinError::new(ErrorKind::InvalidResponse, Operation::Sync, message)
}
