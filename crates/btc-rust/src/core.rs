//! Bitcoin Core as this crate uses it: few typed calls over RPC, and blocks over REST.

use std::sync::atomic::{AtomicBool, Ordering};

use bitcoin::{BlockHash, Txid};
use bitcoincore_rpc::{Client, RpcApi};
use btc_iface::types::network;
use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, NodeConfig, Operation};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::amount::BtcAmount;
use crate::error;
use crate::fees::{Mempool, Waiting};
use crate::http::Http;

#[cfg(feature = "wallet")]
mod chain;

/// A connection to one node.
pub(crate) struct Core {
    rpc: Client,
    http: Http,
    has_rest: AtomicBool,
}

/// What `getrawtransaction` with verbosity 1 says beyond the bytes.
#[derive(Deserialize)]
pub(crate) struct RawTransaction {
    pub(crate) hex: String,
    pub(crate) blockhash: Option<BlockHash>,
    /// Absent in the mempool, 0 in a block off the active chain.
    pub(crate) confirmations: Option<i64>,
}

impl RawTransaction {
    /// Whether it is in a block of the active chain.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmations.is_some_and(|count| count > 0)
    }
}

/// What became of a transaction handed to the node.
enum Sent {
    /// It is in the mempool, under this txid.
    Accepted(Txid),
    /// It was mined before.
    AlreadyInChain,
}

#[derive(Deserialize)]
struct ChainInfo {
    chain: String,
}

#[derive(Deserialize)]
struct Tip {
    blocks: u32,
    bestblockhash: BlockHash,
}

#[derive(Deserialize)]
struct SmartFee {
    /// Per 1000 vB; absent when the node has not seen enough to tell.
    feerate: Option<BtcAmount>,
}

/// What `getmempoolinfo` says of the mempool's size and of what it takes.
#[derive(Deserialize)]
pub(crate) struct MempoolInfo {
    /// The virtual sizes of all its transactions, in vB.
    #[serde(rename = "bytes")]
    pub(crate) total_vb: u64,
    mempoolminfee: BtcAmount,
    minrelaytxfee: BtcAmount,
}

impl MempoolInfo {
    /// The least fee rate that the node takes now, in sat/kvB.
    pub(crate) fn min_sat_per_kvb(&self) -> u64 {
        self.mempoolminfee.sat.max(self.minrelaytxfee.sat)
    }
}

impl Core {
    /// Logs in and checks the network.
    pub(crate) fn connect(config: &NodeConfig) -> BitcoinResult<Self> {
        let operation = Operation::Connect;
        // Without the url itself: someone may have put a password into it.
        let authority = config.authority().map_err(|cause| {
            BitcoinError::new(ErrorKind::Configuration, operation, cause.to_string())
        })?;
        let http = Http::new(config, authority)
            .map_err(|cause| error::from_transport(operation, cause))?;
        let rpc = Client::from_jsonrpc(jsonrpc::Client::with_transport(http.clone()));
        let core = Self {
            rpc,
            http,
            has_rest: AtomicBool::new(true),
        };
        let info: ChainInfo = core
            .call(operation, "getblockchaininfo", &[])
            .map_err(|cause| cause.with_context("url", &config.url))?;
        if network::parse(&info.chain) != Ok(config.network) {
            let message = format!(
                "the node is on another network; set BITCOIN_NETWORK to the node's or ask another \
                 node (node: {}, configured: {})",
                info.chain,
                network::name(config.network),
            );
            return Err(
                BitcoinError::new(ErrorKind::Configuration, operation, message)
                    .with_context("url", &config.url),
            );
        }
        Ok(core)
    }

    /// The tip of the active chain.
    pub(crate) fn tip(&self) -> BitcoinResult<BlockRef> {
        let info: Tip = self.call(Operation::Sync, "getblockchaininfo", &[])?;
        Ok(BlockRef {
            height: info.blocks,
            hash: info.bestblockhash,
        })
    }

    pub(crate) fn block_count(&self) -> BitcoinResult<u32> {
        self.call(Operation::GetBlockHeight, "getblockcount", &[])
    }

    pub(crate) fn block_hash(&self, height: u32) -> BitcoinResult<BlockHash> {
        let operation = Operation::GetBlock;
        let known = self.block_count()?;
        if height > known {
            let message = format!("the chain has not come to height {height}; it is at {known}");
            return Err(BitcoinError::new(ErrorKind::NotFound, operation, message));
        }
        self.call(operation, "getblockhash", &[json!(height)])
    }

    /// The output, unless it is spent in a block or in the mempool (`gettxout`).
    pub(crate) fn unspent(
        &self,
        outpoint: bitcoin::OutPoint,
    ) -> BitcoinResult<Option<btc_iface::dlc::UnspentOutput>> {
        #[derive(Deserialize)]
        struct Found {
            confirmations: u32,
            coinbase: bool,
        }
        let parameters = [json!(outpoint.txid), json!(outpoint.vout), json!(true)];
        let found: Option<Found> = self.call(Operation::GetTransaction, "gettxout", &parameters)?;
        Ok(found.map(|found| btc_iface::dlc::UnspentOutput {
            confirmations: found.confirmations,
            is_coinbase: found.coinbase,
        }))
    }

    pub(crate) fn raw_transaction(
        &self,
        operation: Operation,
        txid: &Txid,
    ) -> BitcoinResult<RawTransaction> {
        self.call(operation, "getrawtransaction", &[json!(txid), json!(1)])
    }

    /// The block's bytes: over REST, or over RPC when the node does not serve REST.
    pub(crate) fn block_bytes(&self, hash: &BlockHash) -> BitcoinResult<Vec<u8>> {
        let operation = Operation::GetBlock;
        if self.has_rest.load(Ordering::Relaxed) {
            let answer = self
                .http
                .get(&format!("/rest/block/{hash}.bin"))
                .map_err(|cause| error::from_transport(operation, cause))?;
            match answer.status {
                200 => return Ok(answer.body),
                404 if error::is_not_stored(&answer.text()) => {
                    let message = error::not_stored(&answer.text());
                    return Err(BitcoinError::new(ErrorKind::NotFound, operation, message));
                }
                404 if answer.text().contains("not found") => {
                    let message = "Block not found";
                    return Err(BitcoinError::new(ErrorKind::NotFound, operation, message));
                }
                // Not REST's own words: fall through to RPC, which says precisely what is wrong.
                404 => self.note_missing_rest(),
                _ => {}
            }
        }
        let hex: String = self.call(operation, "getblock", &[json!(hash), json!(0)])?;
        decode_hex(operation, &hex)
    }

    /// Remembers that the node does not serve REST, and says so once.
    fn note_missing_rest(&self) {
        if self.has_rest.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "the node does not serve REST; blocks come over RPC, which is slower. Start it \
                 with -rest to change that"
            );
        }
    }

    /// The node's estimate in sat/kvB, if it has one.
    pub(crate) fn fee_rate_sat_per_kvb(&self, target_blocks: u8) -> BitcoinResult<Option<u64>> {
        let operation = Operation::EstimateFee;
        // Named, because the default was "conservative" before Bitcoin Core 28.
        let params = [json!(target_blocks), json!("economical")];
        let answer = self.rpc.call("estimatesmartfee", &params);
        let answer: SmartFee = answer.map_err(error::from_estimate)?;
        match answer.feerate {
            Some(BtcAmount { sat: 0 }) => {
                let message = "the node estimates a fee rate of 0, which nobody mines";
                Err(BitcoinError::new(
                    ErrorKind::InvalidResponse,
                    operation,
                    message,
                ))
            }
            feerate => Ok(feerate.map(|amount| amount.sat)),
        }
    }

    pub(crate) fn mempool_info(&self) -> BitcoinResult<MempoolInfo> {
        self.call(Operation::EstimateFee, "getmempoolinfo", &[])
    }

    /// Every transaction of the mempool, in no order.
    pub(crate) fn waiting(&self) -> BitcoinResult<Vec<Waiting>> {
        let Mempool(waiting) =
            self.call(Operation::EstimateFee, "getrawmempool", &[json!(true)])?;
        Ok(waiting)
    }

    /// Hands a transaction to the node, once. What it knows already is success.
    pub(crate) fn broadcast(&self, bytes: &[u8], txid: Txid) -> BitcoinResult<()> {
        let operation = Operation::BroadcastTransaction;
        match self.send_raw_transaction(bytes) {
            Ok(Sent::AlreadyInChain) => Ok(()),
            Ok(Sent::Accepted(sent)) if sent == txid => Ok(()),
            Ok(Sent::Accepted(sent)) => {
                let message = "the node accepted the transaction under another txid";
                Err(
                    BitcoinError::new(ErrorKind::InvalidResponse, operation, message)
                        .with_context("txid", txid)
                        .with_context("received", sent),
                )
            }
            // Core also refuses what is in the chain with its outputs spent again.
            Err(error) if error.kind() == ErrorKind::Rejected => match self.knows(&txid) {
                Ok(true) => Ok(()),
                Ok(false) => Err(error.with_context("txid", txid)),
                // Whether it is known decides between success and refusal, so neither is said.
                Err(lookup) => Err(unclear(lookup)
                    .with_context("txid", txid)
                    .with_context("refused before", error.message())),
            },
            Err(error) => Err(error.with_context("txid", txid)),
        }
    }

    /// Whether the node knows this transaction already, in mempool or chain.
    pub(crate) fn knows(&self, txid: &Txid) -> BitcoinResult<bool> {
        match self.raw_transaction(Operation::BroadcastTransaction, txid) {
            // Known only in a block off the active chain is not known.
            Ok(raw) => Ok(raw.blockhash.is_none() || raw.is_confirmed()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn send_raw_transaction(&self, bytes: &[u8]) -> BitcoinResult<Sent> {
        let hex = bitcoin::hex::DisplayHex::to_lower_hex_string(bytes);
        match self.rpc.call("sendrawtransaction", &[json!(hex)]) {
            Ok(txid) => Ok(Sent::Accepted(txid)),
            Err(cause) if error::is_already_in_chain(&cause) => Ok(Sent::AlreadyInChain),
            Err(cause) => Err(error::from_rpc(Operation::BroadcastTransaction, cause)),
        }
    }

    pub(crate) fn call<T: DeserializeOwned>(
        &self,
        operation: Operation,
        method: &str,
        params: &[Value],
    ) -> BitcoinResult<T> {
        self.rpc
            .call(method, params)
            .map_err(|cause| error::from_rpc(operation, cause))
    }
}

/// The error of a look-up after a transaction was sent. A kind that would say that nothing was sent
/// (`Auth` where the node allows the one call and not the other) becomes `Unavailable`.
fn unclear(lookup: BitcoinError) -> BitcoinError {
    match lookup.kind() {
        ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::InvalidResponse
        | ErrorKind::Internal => lookup,
        _ => {
            let message = lookup.message().to_owned();
            BitcoinError::new(ErrorKind::Unavailable, lookup.operation(), message)
                .with_source(lookup)
        }
    }
}

/// Hexadecimal from the node to bytes.
pub(crate) fn decode_hex(operation: Operation, hex: &str) -> BitcoinResult<Vec<u8>> {
    bitcoin::hex::FromHex::from_hex(hex).map_err(|cause: bitcoin::hex::HexToBytesError| {
        BitcoinError::new(
            ErrorKind::InvalidResponse,
            operation,
            "the node sent broken hexadecimal",
        )
        .with_source(cause)
    })
}
