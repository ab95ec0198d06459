//! `Funding`: where the coins of a contract come from, and how they are kept for it.

mod staged;
mod wallet;

use bitcoin::{
    Amount, OutPoint, Psbt, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute,
    transaction,
};
use btc_iface::{BitcoinInterface, BitcoinResult, BitcoinTransaction, BlockRef, ErrorKind};

pub use self::staged::StagedFunding;
pub use self::wallet::WalletFunding;
use crate::fault::{error, internal};

/// A coin that is brought into a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundingCoin {
    /// The output.
    pub outpoint: OutPoint,
    /// The whole transaction that it is an output of.
    pub previous: Transaction,
    /// The longest witness that unlocks it, in bytes.
    pub max_witness_len: u16,
    /// The witness program of a nested coin, else empty.
    pub redeem_script: ScriptBuf,
}

impl FundingCoin {
    /// Its output.
    pub(crate) fn output(&self) -> BitcoinResult<&TxOut> {
        usize::try_from(self.outpoint.vout)
            .ok()
            .and_then(|vout| self.previous.output.get(vout))
            .ok_or_else(|| internal("a coin's transaction lacks its output"))
    }
}

/// Whether these coins suffice; `Err` says how many satoshi are missing.
pub type Enough<'a> = &'a dyn Fn(&[FundingCoin]) -> Result<(), Amount>;

/// What pays for contracts: a wallet.
pub trait Funding: Send + Sync {
    /// Follows the chain, so that the wallet's view is of this moment.
    ///
    /// # Errors
    /// Those of the wallet.
    fn follow(&self) -> BitcoinResult<()>;

    /// Returns the script of a new address of the wallet.
    ///
    /// # Errors
    /// Those of the wallet.
    fn new_script(&self) -> BitcoinResult<ScriptBuf>;

    /// Chooses confirmed coins until they are enough, and reserves them for this reason until this
    /// time, in milliseconds of Unix time. Two callers at once never get the same coin.
    ///
    /// # Errors
    /// `Rejected`: not enough coins; `missing_sat` in the context.
    fn reserve(
        &self,
        reason: &str,
        until_ms: Option<u64>,
        fee_rate_sat_per_vb: u64,
        enough: Enough<'_>,
    ) -> BitcoinResult<Vec<FundingCoin>>;

    /// Reserves these coins again, with another end.
    ///
    /// # Errors
    /// `InvalidInput`: one of them is spent, or reserved otherwise by now.
    fn extend(&self, reason: &str, coins: &[OutPoint], until_ms: Option<u64>) -> BitcoinResult<()>;

    /// Releases what is reserved for this reason.
    ///
    /// # Errors
    /// Those of the wallet.
    fn release(&self, reason: &str) -> BitcoinResult<()>;

    /// Returns the reasons with this beginning for which something is reserved without an end.
    ///
    /// # Errors
    /// Those of the wallet.
    fn endless(&self, prefix: &str) -> BitcoinResult<Vec<String>>;

    /// Takes note that what is reserved for this reason is spent for good.
    ///
    /// # Errors
    /// Those of the wallet.
    fn spent(&self, reason: &str) -> BitcoinResult<()>;

    /// Signs and finalises the inputs that are the wallet's.
    ///
    /// # Errors
    /// Those of the wallet.
    fn sign(&self, psbt: &mut Psbt) -> BitcoinResult<()>;

    /// Returns those of these coins that are the wallet's own.
    ///
    /// # Errors
    /// Those of the wallet.
    fn own(&self, coins: &[OutPoint]) -> BitcoinResult<Vec<OutPoint>>;

    /// Spends this coin back to the wallet, for this fee; signed, not sent. The coin stays reserved,
    /// and the mempool may spend it already.
    ///
    /// # Errors
    /// `Rejected`: the coin is too small. Those of the wallet.
    fn spend_back(&self, coin: &FundingCoin, fee: Amount) -> BitcoinResult<Transaction>;
}

/// The unsigned transaction that spends one coin to this script.
fn back(coin: &FundingCoin, script: ScriptBuf, fee: Amount) -> BitcoinResult<Transaction> {
    let value = coin.output()?.value.checked_sub(fee);
    let value = value.filter(|value| *value >= script.minimal_non_dust());
    let value = value.ok_or_else(|| {
        let message = "the coin is too small for the fee of spending it back";
        error(ErrorKind::Rejected, message).with_context("fee_sat", fee.to_sat())
    })?;
    Ok(Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value,
            script_pubkey: script,
        }],
    })
}

/// A transaction as rust-bitcoin has it.
pub(crate) fn to_transaction(plain: &BitcoinTransaction) -> BitcoinResult<Transaction> {
    let transaction = Transaction {
        version: bitcoin::transaction::Version(plain.version),
        lock_time: bitcoin::absolute::LockTime::from_consensus(plain.lock_time),
        input: plain
            .inputs
            .iter()
            .map(|input| TxIn {
                previous_output: input.previous_output,
                script_sig: input.script_sig.clone(),
                sequence: bitcoin::Sequence(input.sequence),
                witness: input.witness.clone(),
            })
            .collect(),
        output: plain
            .outputs
            .iter()
            .map(|output| TxOut {
                value: Amount::from_sat(output.value_sat),
                script_pubkey: output.script_pubkey.clone(),
            })
            .collect(),
    };
    if transaction.compute_txid() != plain.txid {
        let message = "a transaction is not what its txid says";
        return Err(error(ErrorKind::InvalidResponse, message));
    }
    Ok(transaction)
}

/// A transaction as the interface has it.
pub(crate) fn to_plain(transaction: &Transaction) -> BitcoinTransaction {
    BitcoinTransaction {
        txid: transaction.compute_txid(),
        wtxid: transaction.compute_wtxid(),
        version: transaction.version.0,
        lock_time: transaction.lock_time.to_consensus_u32(),
        inputs: transaction
            .input
            .iter()
            .map(|input| btc_iface::TransactionInput {
                previous_output: input.previous_output,
                script_sig: input.script_sig.clone(),
                sequence: input.sequence.0,
                witness: input.witness.clone(),
            })
            .collect(),
        outputs: transaction
            .output
            .iter()
            .map(|output| btc_iface::TransactionOutput {
                value_sat: output.value.to_sat(),
                script_pubkey: output.script_pubkey.clone(),
            })
            .collect(),
        size: u32::try_from(transaction.total_size()).unwrap_or(u32::MAX),
        weight: u32::try_from(transaction.weight().to_wu()).unwrap_or(u32::MAX),
        fee_sat: None,
        block_hash: None,
        block_height: None,
    }
}

/// The whole transaction of a coin: from its block, since a node without an index knows no other
/// place.
pub(crate) fn previous(
    bitcoin: &dyn BitcoinInterface,
    outpoint: OutPoint,
    block: Option<BlockRef>,
) -> BitcoinResult<Transaction> {
    let plain = match block {
        Some(block) => {
            let all = bitcoin.get_block(&block.hash.to_string())?;
            all.into_iter().find(|one| one.txid == outpoint.txid)
        }
        None => Some(bitcoin.get_transaction(&outpoint.txid.to_string())?),
    };
    let plain = plain.ok_or_else(|| {
        let message = "a coin's transaction is not in the block that the wallet knows; sync it";
        error(ErrorKind::NotFound, message).with_context("txid", outpoint.txid)
    })?;
    to_transaction(&plain)
}
