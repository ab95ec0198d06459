//! `Call`: a call of the interface as plain data, and the line that records it.

use btc_iface::rust_bitcoin::Txid;
use btc_iface::{
    AddressType, BitcoinError, BitcoinInterface, BitcoinResult, BitcoinTransaction, ErrorKind,
    Operation,
};
use serde::Serialize;
use serde_json::{Value, json};

/// A call with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the arguments are those of the interface")]
pub enum Call {
    /// `BitcoinInterface::get_transaction`.
    GetTransaction { txid: String },
    /// `BitcoinInterface::get_block`.
    GetBlock { hash: String },
    /// `BitcoinInterface::get_block_height`.
    GetBlockHeight,
    /// `BitcoinInterface::generate_address`.
    GenerateAddress { address_type: AddressType },
    /// `BitcoinInterface::create_transaction`; each output is an address with an amount in
    /// satoshi.
    CreateTransaction {
        outputs: Vec<(String, u64)>,
        fee_rate_sat_per_vb: u64,
    },
    /// `BitcoinInterface::broadcast_transaction`. Of the transaction only the txid is kept, since
    /// it is never sent again.
    BroadcastTransaction { txid: Txid },
    /// `BitcoinInterface::get_balance`.
    GetBalance,
    /// `BitcoinInterface::estimate_fee`.
    EstimateFee { target_blocks: u8 },
}

impl Call {
    /// The operation that it calls.
    pub const fn operation(&self) -> Operation {
        match self {
            Self::GetTransaction { .. } => Operation::GetTransaction,
            Self::GetBlock { .. } => Operation::GetBlock,
            Self::GetBlockHeight => Operation::GetBlockHeight,
            Self::GenerateAddress { .. } => Operation::GenerateAddress,
            Self::CreateTransaction { .. } => Operation::CreateTransaction,
            Self::BroadcastTransaction { .. } => Operation::BroadcastTransaction,
            Self::GetBalance => Operation::GetBalance,
            Self::EstimateFee { .. } => Operation::EstimateFee,
        }
    }

    /// Whether it reserves or sends something.
    pub const fn has_effect(&self) -> bool {
        matches!(
            self,
            Self::GenerateAddress { .. }
                | Self::CreateTransaction { .. }
                | Self::BroadcastTransaction { .. }
        )
    }

    /// Makes the call, and returns the block's transactions if it asked for a block.
    ///
    /// # Errors
    /// Those of the operation. `Unsupported`: a broadcast, which is never made again.
    pub(crate) fn make(
        &self,
        bitcoin: &dyn BitcoinInterface,
    ) -> BitcoinResult<Vec<BitcoinTransaction>> {
        let nothing = Vec::new();
        match self {
            Self::GetTransaction { txid } => bitcoin.get_transaction(txid).map(|_| nothing),
            Self::GetBlock { hash } => bitcoin.get_block(hash),
            Self::GetBlockHeight => bitcoin.get_block_height().map(|_| nothing),
            Self::GenerateAddress { address_type } => {
                bitcoin.generate_address(*address_type).map(|_| nothing)
            }
            Self::CreateTransaction {
                outputs,
                fee_rate_sat_per_vb,
            } => bitcoin
                .create_transaction(outputs.clone(), *fee_rate_sat_per_vb)
                .map(|_| nothing),
            Self::BroadcastTransaction { .. } => Err(BitcoinError::new(
                ErrorKind::Unsupported,
                Operation::BroadcastTransaction,
                "a recorded broadcast is never made again",
            )),
            Self::GetBalance => bitcoin.get_balance().map(|_| nothing),
            Self::EstimateFee { target_blocks } => {
                bitcoin.estimate_fee(*target_blocks).map(|_| nothing)
            }
        }
    }

    /// About how many bytes it takes in memory beyond its own size.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::GetTransaction { txid: text } | Self::GetBlock { hash: text } => text.len(),
            Self::CreateTransaction { outputs, .. } => outputs
                .iter()
                .map(|(address, _)| size_of::<(String, u64)>() + address.len())
                .sum(),
            _ => 0,
        }
    }

    fn arguments(&self) -> Value {
        match self {
            Self::GetTransaction { txid } => json!([txid]),
            Self::GetBlock { hash } => json!([hash]),
            Self::GetBlockHeight | Self::GetBalance => json!([]),
            Self::GenerateAddress { address_type } => json!([address_type]),
            Self::CreateTransaction {
                outputs,
                fee_rate_sat_per_vb,
            } => json!([outputs, fee_rate_sat_per_vb]),
            Self::BroadcastTransaction { txid } => json!([txid]),
            Self::EstimateFee { target_blocks } => json!([target_blocks]),
        }
    }
}

/// A call with what else is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The call.
    pub call: Call,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: Option<u64>,
    /// Under which key of a roll-out.
    pub key: Option<String>,
}

#[derive(Serialize)]
struct Written<'c> {
    method: Operation,
    arguments: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'c str>,
}

impl RecordedCall {
    /// The line that records it, with its end. It has no other line ends in it.
    pub fn to_line(&self) -> Vec<u8> {
        let written = Written {
            method: self.call.operation(),
            arguments: self.call.arguments(),
            time_ms: self.time_ms,
            key: self.key.as_deref(),
        };
        // Texts and numbers are always JSON.
        let mut line = serde_json::to_vec(&written).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

impl From<Call> for RecordedCall {
    fn from(call: Call) -> Self {
        Self {
            call,
            time_ms: None,
            key: None,
        }
    }
}
