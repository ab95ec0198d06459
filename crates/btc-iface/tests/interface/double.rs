//! An implementation that writes down what it is asked and answers from the question.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use btc_iface::rust_bitcoin::{ScriptBuf, Txid, Wtxid};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, FeeEstimate, FeeEstimator, FeeSource, Network,
    Operation,
};

/// A txid to ask with.
pub(crate) const TXID: &str = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b";

/// Keeps each call as text, in order.
#[derive(Default)]
pub(crate) struct Double {
    calls: Mutex<Vec<String>>,
    hook: Option<Hook>,
}

/// What happens inside a call before it is answered.
type Hook = Box<dyn Fn(&str) + Send + Sync>;

impl Double {
    /// One in which `hook` runs inside each call, with the call as text.
    pub(crate) fn with(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            hook: Some(Box::new(hook)),
            ..Self::default()
        }
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, call: impl Into<String>) {
        let call = call.into();
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call.clone());
        if let Some(hook) = &self.hook {
            hook(&call);
        }
    }
}

impl BitcoinInterface for Double {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        self.note(format!("get_transaction {txid}"));
        let txid = Txid::from_str(txid).map_err(|cause| {
            BitcoinError::new(
                ErrorKind::InvalidInput,
                Operation::GetTransaction,
                "no txid",
            )
            .with_source(cause)
        })?;
        Ok(transaction(txid))
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        self.note(format!("get_block {hash}"));
        Err(BitcoinError::new(
            ErrorKind::NotFound,
            Operation::GetBlock,
            "no block",
        ))
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.note("get_block_height");
        Ok(21)
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.note(format!("generate_address {address_type}"));
        Ok(BitcoinAddress {
            address: "bcrt1".to_owned(),
            address_type,
            network: Network::Regtest,
            script_pubkey: ScriptBuf::new(),
            index: Some(7),
        })
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.note(format!("create_transaction {outputs:?} {fee_rate}"));
        Ok(transaction(id()))
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        self.note(format!("broadcast_transaction {}", transaction.txid));
        Ok(transaction.txid.to_string())
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        self.note("get_balance");
        Ok(1_000)
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.note(format!("estimate_fee {target_blocks}"));
        Ok(u64::from(target_blocks) * 2)
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        BitcoinImplementationType::Python
    }
}

impl FeeEstimator for Double {
    fn explain_fee(&self, target_blocks: u8) -> BitcoinResult<FeeEstimate> {
        self.note(format!("explain_fee {target_blocks}"));
        Ok(FeeEstimate {
            sat_per_vb: u64::from(target_blocks) * 2,
            source: FeeSource::Mempool,
            floor_sat_per_vb: 1,
            target_blocks,
        })
    }
}

/// The id behind [`TXID`].
pub(crate) fn id() -> Txid {
    Txid::from_str(TXID).expect("64 hexadecimal digits")
}

/// A transaction that holds nothing but its id.
pub(crate) fn transaction(txid: Txid) -> BitcoinTransaction {
    BitcoinTransaction {
        txid,
        wtxid: Wtxid::from_raw_hash(txid.to_raw_hash()),
        version: 2,
        lock_time: 0,
        inputs: Vec::new(),
        outputs: Vec::new(),
        size: 10,
        weight: 40,
        fee_sat: None,
        block_hash: None,
        block_height: None,
    }
}
