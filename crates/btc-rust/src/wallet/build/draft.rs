//! `Draft`: a transaction with its coins, before it is signed.

use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute, transaction,
};
use btc_iface::{
    AddressType, BitcoinError, BitcoinResult, Chain, ErrorKind, Operation, SnapshotCoin,
};

use crate::wallet::keys::Keyring;

/// An unsigned transaction, with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The transaction in its final order, without scripts and witnesses.
    pub transaction: Transaction,
    /// The coin of each input, in the order of the inputs.
    pub inputs: Vec<SnapshotCoin>,
    /// Which output is change, when there is one.
    pub change: Option<Change>,
    /// What the inputs are worth more than the outputs, in satoshi.
    pub fee_sat: u64,
    /// The weight once signed, in WU; the signed transaction may be one or two WU lighter for
    /// each ECDSA signature.
    pub weight: u64,
}

/// The output that returns what is left to the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Change {
    /// Which output it is.
    pub vout: u32,
    /// Its script type.
    pub address_type: AddressType,
    /// The index on the change chain of that type.
    pub index: u32,
    /// The amount in satoshi.
    pub value_sat: u64,
}

/// Where change goes, if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangePlace {
    /// Its script type.
    pub address_type: AddressType,
    /// The index on the change chain of that type.
    pub index: u32,
}

impl ChangePlace {
    /// The output that takes this change.
    pub(super) fn output(self, keyring: &Keyring, value_sat: u64) -> BitcoinResult<TxOut> {
        let script = keyring
            .script((self.address_type, Chain::Change), self.index)
            .map_err(|error| error.during(Operation::CreateTransaction))?;
        Ok(output(script, value_sat))
    }

    /// What that output is when it stands at this place among the outputs.
    pub(super) fn at(self, place: usize, value_sat: u64) -> Change {
        Change {
            vout: vout_at(place),
            address_type: self.address_type,
            index: self.index,
            value_sat,
        }
    }
}

/// An unsigned transaction of version 2 whose inputs signal replacement (BIP125).
pub(super) fn unsigned(
    inputs: impl IntoIterator<Item = OutPoint>,
    output: Vec<TxOut>,
    lock_time: absolute::LockTime,
) -> Transaction {
    let input = inputs
        .into_iter()
        .map(|previous_output| TxIn {
            previous_output,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: Witness::new(),
        })
        .collect();
    Transaction {
        version: transaction::Version::TWO,
        lock_time,
        input,
        output,
    }
}

/// The lock time that keeps a transaction out of blocks below the tip's successor.
///
/// # Errors
/// `InvalidInput`: a height that is none.
pub(super) fn lock_time_at(tip_height: u32) -> BitcoinResult<absolute::LockTime> {
    absolute::LockTime::from_height(tip_height).map_err(|cause| {
        BitcoinError::new(
            ErrorKind::InvalidInput,
            Operation::CreateTransaction,
            "a block height is below 500000000",
        )
        .with_context("height", tip_height)
        .with_source(cause)
    })
}

/// An output of so many satoshi.
pub(super) fn output(script_pubkey: ScriptBuf, value_sat: u64) -> TxOut {
    TxOut {
        value: Amount::from_sat(value_sat),
        script_pubkey,
    }
}

/// The number of the output at this place.
pub(super) fn vout_at(place: usize) -> u32 {
    u32::try_from(place).expect("the weight limits the outputs to thousands")
}
