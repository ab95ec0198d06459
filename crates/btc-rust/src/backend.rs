//! `RustBitcoin`: the interface over Bitcoin Core, decoded by rust-bitcoin.

use std::str::FromStr;
use std::sync::Arc;

use bitcoin::{BlockHash, Txid};
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinImplementationType, BitcoinInterface,
    BitcoinResult, BitcoinTransaction, ErrorKind, FeeEstimate, FeeEstimator, NodeConfig, Operation,
};

use crate::convert::{self, DecodeError};
use crate::core::{self, Core};
use crate::fees;
#[cfg(not(feature = "wallet"))]
use crate::no_wallet::RustWallet;
#[cfg(feature = "wallet")]
use crate::wallet::RustWallet;

/// The Rust implementation. Connections are pooled and shared by all threads.
pub struct RustBitcoin {
    core: Core,
    wallet: Option<Arc<RustWallet>>,
}

impl RustBitcoin {
    /// Connects to the node.
    ///
    /// # Errors
    /// `Configuration`: the URL cannot be used, or the node is on another network.
    /// `Unavailable`, `Timeout`, `Auth`: the node cannot be asked.
    pub fn connect(config: &NodeConfig) -> BitcoinResult<Self> {
        Ok(Self {
            core: Core::connect(config)?,
            wallet: None,
        })
    }

    /// With this wallet behind the wallet operations. Its source should be the same network.
    #[cfg(feature = "wallet")]
    #[must_use]
    pub fn with_wallet(mut self, wallet: Arc<RustWallet>) -> Self {
        self.wallet = Some(wallet);
        self
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn configured_wallet(&self) -> Option<&RustWallet> {
        self.wallet.as_deref()
    }

    pub(crate) fn wallet(&self, operation: Operation) -> BitcoinResult<&RustWallet> {
        self.wallet.as_deref().ok_or_else(|| {
            let message = if cfg!(feature = "wallet") {
                "no wallet is configured"
            } else {
                "this build does not include a wallet; enable the feature `wallet`"
            };
            BitcoinError::new(ErrorKind::Unsupported, operation, message)
        })
    }

    /// Returns the hash of the block at this height of the active chain.
    ///
    /// # Errors
    /// `NotFound`: the chain has not come to this height.
    ///
    /// Source: Bitcoin Core RPC `getblockhash`.
    pub fn get_block_hash(&self, height: u32) -> BitcoinResult<BlockHash> {
        self.core.block_hash(height)
    }
}

impl btc_iface::dlc::BlockIndex for RustBitcoin {
    fn block_hash(&self, height: u32) -> BitcoinResult<BlockHash> {
        self.get_block_hash(height)
    }

    fn unspent(
        &self,
        outpoint: bitcoin::OutPoint,
    ) -> BitcoinResult<Option<btc_iface::dlc::UnspentOutput>> {
        self.core.unspent(outpoint)
    }
}

impl BitcoinInterface for RustBitcoin {
    fn get_transaction(&self, txid: &str) -> BitcoinResult<BitcoinTransaction> {
        let operation = Operation::GetTransaction;
        let parsed: Txid = parse(operation, "txid", txid)?;
        let raw = self
            .core
            .raw_transaction(operation, &parsed)
            .map_err(|error| error.with_context("txid", parsed))?;
        let bytes = core::decode_hex(operation, &raw.hex)?;
        let mut transaction =
            convert::decode_transaction(&bytes).map_err(|cause| undecodable(operation, cause))?;
        if transaction.txid != parsed {
            let message = "the node answered with another transaction";
            return Err(
                BitcoinError::new(ErrorKind::InvalidResponse, operation, message)
                    .with_context("asked for", parsed)
                    .with_context("received", transaction.txid),
            );
        }
        transaction.block_hash = raw.blockhash.filter(|_| raw.is_confirmed());
        Ok(transaction)
    }

    fn get_block(&self, hash: &str) -> BitcoinResult<Vec<BitcoinTransaction>> {
        let operation = Operation::GetBlock;
        let parsed: BlockHash = parse(operation, "hash", hash)?;
        let bytes = self
            .core
            .block_bytes(&parsed)
            .map_err(|error| error.with_context("hash", parsed))?;
        convert::decode_block(&bytes, parsed).map_err(|cause| undecodable(operation, cause))
    }

    fn get_block_height(&self) -> BitcoinResult<u32> {
        self.core.block_count()
    }

    fn generate_address(&self, address_type: AddressType) -> BitcoinResult<BitcoinAddress> {
        self.wallet(Operation::GenerateAddress)?
            .generate_address(address_type)
    }

    fn create_transaction(
        &self,
        outputs: Vec<(String, u64)>,
        fee_rate: u64,
    ) -> BitcoinResult<BitcoinTransaction> {
        self.wallet(Operation::CreateTransaction)?
            .create_transaction(outputs, fee_rate)
    }

    fn broadcast_transaction(&self, transaction: &BitcoinTransaction) -> BitcoinResult<String> {
        let operation = Operation::BroadcastTransaction;
        if transaction.inputs.is_empty() {
            // Its bytes would read as those of a transaction with witnesses.
            let message = "a transaction without inputs cannot be sent";
            return Err(BitcoinError::new(
                ErrorKind::InvalidInput,
                operation,
                message,
            ));
        }
        let bytes = convert::encode_transaction(transaction).map_err(|cause| {
            BitcoinError::new(ErrorKind::InvalidInput, operation, cause.to_string())
        })?;
        if bytes.len() > convert::MAX_BYTES {
            let cause = DecodeError::TooLarge { size: bytes.len() };
            return Err(BitcoinError::new(
                ErrorKind::InvalidInput,
                operation,
                cause.to_string(),
            ));
        }
        let send = || self.core.broadcast(&bytes, transaction.txid);
        match &self.wallet {
            Some(wallet) => wallet.handing_over(&bytes, (), |_| send())?,
            None => send()?,
        }
        Ok(transaction.txid.to_string())
    }

    fn get_balance(&self) -> BitcoinResult<u64> {
        self.wallet(Operation::GetBalance)?.get_balance()
    }

    fn estimate_fee(&self, target_blocks: u8) -> BitcoinResult<u64> {
        self.explain_fee(target_blocks)
            .map(|estimate| estimate.sat_per_vb)
    }

    fn implementation_type(&self) -> BitcoinImplementationType {
        BitcoinImplementationType::Rust
    }
}

impl FeeEstimator for RustBitcoin {
    fn explain_fee(&self, target_blocks: u8) -> BitcoinResult<FeeEstimate> {
        fees::explain(&self.core, target_blocks)
    }
}

fn parse<T: FromStr>(operation: Operation, name: &'static str, text: &str) -> BitcoinResult<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    /// Enough of a wrong input to recognise it by.
    const SHOWN_CHARS: usize = 80;
    text.parse().map_err(|cause: T::Err| {
        let message = format!("not a {name}; give 64 hexadecimal digits");
        BitcoinError::new(ErrorKind::InvalidInput, operation, message)
            .with_context(name, text.chars().take(SHOWN_CHARS).collect::<String>())
            .with_source(cause)
    })
}

fn undecodable(operation: Operation, cause: DecodeError) -> BitcoinError {
    let message = format!("the node's bytes cannot be used: {cause}");
    BitcoinError::new(ErrorKind::InvalidResponse, operation, message).with_source(cause)
}
