//! `Draft`: a transaction being put together; `Built`: the signed result with its accounting.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::script::ScriptBuf;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Sequence, Transaction, TxIn, TxOut, Txid, Witness};

use super::keys::Keys;
use super::lock::{Coin, Lock};
use super::sign::{Manner, sign};
use crate::NodeError;

/// Change below this is not worth an output: above every dust limit of Core's defaults.
const MIN_CHANGE: Amount = Amount::from_sat(1_000);

/// An output, and with which lock and key the factory can spend it.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    pub(crate) script: ScriptBuf,
    pub(crate) value: Amount,
    pub(crate) own: Option<(Lock, u32)>,
}

impl Out {
    /// An output that the factory cannot spend.
    pub(crate) fn foreign(script: ScriptBuf, value: Amount) -> Self {
        Self {
            script,
            value,
            own: None,
        }
    }
}

/// Inputs, outputs and the wishes about them.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) version: i32,
    pub(crate) lock_time: LockTime,
    pub(crate) sequence: Sequence,
    pub(crate) inputs: Vec<Coin>,
    pub(crate) outputs: Vec<Out>,
    /// Takes what the outputs and the fee leave over.
    pub(crate) change: Out,
    /// In sat/vB.
    pub(crate) fee_rate: u64,
    pub(crate) manner: Manner,
}

/// A signed transaction.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) tx: Transaction,
    pub(crate) txid: Txid,
    /// Its outputs that the factory can spend.
    pub(crate) coins: Vec<Coin>,
    pub(crate) fee: Amount,
    /// The rate asked for, in sat/vB.
    pub(crate) fee_rate: u64,
}

impl Built {
    pub(crate) fn hex(&self) -> String {
        serialize_hex(&self.tx)
    }
}

impl Draft {
    /// A version 2 transaction without lock time whose inputs signal replacement (BIP125).
    pub(crate) fn new(inputs: Vec<Coin>, outputs: Vec<Out>, change: Out, fee_rate: u64) -> Self {
        Self {
            version: 2,
            lock_time: LockTime::ZERO,
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            inputs,
            outputs,
            change,
            fee_rate,
            manner: Manner::default(),
        }
    }

    /// Computes the fee from the size with blank signatures, sets the change, and signs.
    ///
    /// # Errors
    ///
    /// [`NodeError::Build`] when the inputs do not cover outputs, fee and the smallest change.
    pub(crate) fn finish(mut self, keys: &Keys, what: &str) -> Result<Built, NodeError> {
        let available = total(self.inputs.iter().map(|coin| coin.value), what)?;
        let paid = total(self.outputs.iter().map(|out| out.value), what)?;

        self.outputs.push(self.change.clone());
        let mut tx = self.unsigned();
        sign(
            keys,
            &mut tx,
            &self.inputs,
            &Manner {
                blank: true,
                ..self.manner.clone()
            },
        )?;
        let size = u64::try_from(tx.vsize()).unwrap_or(u64::MAX);
        let fee = self.fee_rate.checked_mul(size).map(Amount::from_sat);
        let (fee, change) = fee
            .and_then(|fee| Some((fee, available.checked_sub(paid)?.checked_sub(fee)?)))
            .filter(|(_, change)| *change >= MIN_CHANGE)
            .ok_or_else(|| {
                let rate = self.fee_rate;
                let text = format!("{available} do not pay {paid} and {size} vB at {rate} sat/vB");
                NodeError::build(what, text)
            })?;
        if let (Some(out), Some(last)) = (tx.output.last_mut(), self.outputs.last_mut()) {
            out.value = change;
            last.value = change;
        }
        sign(keys, &mut tx, &self.inputs, &self.manner)?;
        let txid = tx.compute_txid();
        let coins = self.coins(txid);
        Ok(Built {
            tx,
            txid,
            coins,
            fee,
            fee_rate: self.fee_rate,
        })
    }

    fn unsigned(&self) -> Transaction {
        let input = self.inputs.iter().map(|coin| TxIn {
            previous_output: coin.outpoint,
            script_sig: ScriptBuf::new(),
            sequence: self.sequence,
            witness: Witness::new(),
        });
        let output = self.outputs.iter().map(|out| TxOut {
            value: out.value,
            script_pubkey: out.script.clone(),
        });
        Transaction {
            version: Version(self.version),
            lock_time: self.lock_time,
            input: input.collect(),
            output: output.collect(),
        }
    }

    fn coins(&self, txid: Txid) -> Vec<Coin> {
        let numbered = (0..).zip(&self.outputs);
        numbered
            .filter_map(|(vout, out)| {
                let (lock, key) = out.own?;
                Some(Coin {
                    outpoint: OutPoint { txid, vout },
                    value: out.value,
                    lock,
                    key,
                })
            })
            .collect()
    }
}

fn total(mut values: impl Iterator<Item = Amount>, what: &str) -> Result<Amount, NodeError> {
    values
        .try_fold(Amount::ZERO, Amount::checked_add)
        .ok_or_else(|| NodeError::build(what, "the sum of its values overflows"))
}
