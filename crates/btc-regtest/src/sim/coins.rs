//! Outputs that anyone can spend, for those who pay the wallet under test and are paid by it.
//!
//! A witness script `<number> OP_DROP OP_TRUE` needs no key and no signature, is standard, and each
//! number has an address of its own.

use bitcoin::opcodes::all::{OP_DROP, OP_PUSHNUM_1};
use bitcoin::script::Builder;
use bitcoin::{
    Address, Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    absolute, transaction,
};

/// The script that a number stands for.
pub fn witness_script(number: u32) -> ScriptBuf {
    Builder::new()
        .push_int(i64::from(number))
        .push_opcode(OP_DROP)
        .push_opcode(OP_PUSHNUM_1)
        .into_script()
}

/// The output script of a number.
pub fn script(number: u32) -> ScriptBuf {
    ScriptBuf::new_p2wsh(&witness_script(number).wscript_hash())
}

/// The address of a number, on regtest.
///
/// # Panics
///
/// Never: every witness program has an address.
pub fn address(number: u32) -> Address {
    Address::from_script(&script(number), Network::Regtest).expect("it is a witness program")
}

/// A coin that anyone can spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCoin {
    /// The output.
    pub outpoint: OutPoint,
    /// Its amount.
    pub value: Amount,
    /// Which script it has.
    pub number: u32,
}

/// A transaction that spends such coins, valid and standard, in `version`. What the outputs leave
/// is the fee.
pub fn spend(coins: &[OpenCoin], outputs: Vec<TxOut>, version: i32) -> Transaction {
    Transaction {
        version: transaction::Version(version),
        lock_time: absolute::LockTime::ZERO,
        input: coins
            .iter()
            .map(|coin| TxIn {
                previous_output: coin.outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::from_slice(&[witness_script(coin.number).as_bytes()]),
            })
            .collect(),
        output: outputs,
    }
}

/// An output with the script of a number.
pub fn output(number: u32, value_sat: u64) -> TxOut {
    TxOut {
        value: Amount::from_sat(value_sat),
        script_pubkey: script(number),
    }
}
