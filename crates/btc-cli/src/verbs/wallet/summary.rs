//! `Summary`: what a transaction does, for people and as JSON.

use std::fmt::Write as _;

use btc::bitcoin::bip32::ChildNumber;
use btc::bitcoin::script::Instruction;
use btc::bitcoin::{Address, OutPoint, Psbt, Script, ScriptBuf, TxOut, Txid, psbt};
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::build::Weigher;
use btc::{AddressType, BitcoinTransaction, Network, WalletInterface};
use serde_json::{Value, json};

use super::remarks;
use crate::amount::{grouped, show_sat};
use crate::output::LABEL;

/// What a transaction spends, pays and costs.
pub(super) struct Summary {
    /// None while a signature may still change it.
    txid: Option<Txid>,
    inputs: Vec<OutPoint>,
    /// What the inputs are worth, when all of them say so.
    spent_sat: Option<u64>,
    outputs: Vec<Line>,
    fee_sat: Option<u64>,
    /// In WU, once it is signed.
    weight: Option<u32>,
    /// In WU, the most that it can have once it is signed; none where a script is not known.
    max_weight: Option<u64>,
}

/// An output.
struct Line {
    value_sat: u64,
    script: ScriptBuf,
    address: Option<String>,
    whose: Whose,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Not the wallet's, or not known to be.
    Other,
    /// An address of the wallet.
    Own,
    /// The wallet's, on a chain of change.
    Change,
}

impl Summary {
    /// Of a PSBT. What is the wallet's own is asked of the wallet: a PSBT may claim anything.
    pub(super) fn of_psbt(psbt: &Psbt, network: Network, wallet: Option<&RustWallet>) -> Self {
        let transaction = &psbt.unsigned_tx;
        let spent: Option<Vec<&TxOut>> = psbt.iter_funding_utxos().map(Result::ok).collect();
        let is_fixed = spent.as_ref().is_some_and(|spent| {
            spent
                .iter()
                .all(|output| output.script_pubkey.is_witness_program())
        });
        let outputs = transaction
            .output
            .iter()
            .zip(&psbt.outputs)
            .map(|(output, map)| {
                let address = address(&output.script_pubkey, network);
                let is_own = |address: &String| {
                    wallet.is_some_and(|it| matches!(it.verify_address(address), Ok(Some(_))))
                };
                let whose = match (address.as_ref().is_some_and(is_own), is_on_change(map)) {
                    (false, _) => Whose::Other,
                    (true, false) => Whose::Own,
                    (true, true) => Whose::Change,
                };
                Line {
                    value_sat: output.value.to_sat(),
                    script: output.script_pubkey.clone(),
                    address,
                    whose,
                }
            })
            .collect();
        let inputs = transaction.input.iter();
        let max_weight = spent
            .as_ref()
            .and_then(|spent| max_weight_wu(spent, &transaction.output));
        Self {
            txid: is_fixed.then(|| transaction.compute_txid()),
            inputs: inputs.map(|input| input.previous_output).collect(),
            spent_sat: spent.and_then(|spent| {
                let mut values = spent.iter().map(|output| output.value.to_sat());
                values.try_fold(0_u64, u64::checked_add)
            }),
            outputs,
            fee_sat: psbt.fee().ok().map(btc::bitcoin::Amount::to_sat),
            weight: None,
            max_weight,
        }
    }

    /// Of a signed transaction whose outputs are these people's, in order.
    pub(super) fn of_payment(
        transaction: &BitcoinTransaction,
        network: Network,
        whose: &[Whose],
    ) -> Self {
        let outputs = transaction.outputs.iter().zip(whose);
        let outputs = outputs.map(|(output, whose)| Line {
            value_sat: output.value_sat,
            script: output.script_pubkey.clone(),
            address: address(&output.script_pubkey, network),
            whose: *whose,
        });
        Self {
            outputs: outputs.collect(),
            txid: None,
            inputs: transaction
                .inputs
                .iter()
                .map(|it| it.previous_output)
                .collect(),
            spent_sat: None,
            fee_sat: None,
            weight: None,
            max_weight: None,
        }
        .signed(transaction)
    }

    /// With what is known once it is signed.
    pub(super) fn signed(mut self, transaction: &BitcoinTransaction) -> Self {
        self.txid = Some(transaction.txid);
        self.weight = Some(transaction.weight);
        self.fee_sat = self.fee_sat.or(transaction.fee_sat);
        self
    }

    /// What is to be said about paying its outputs, each in a sentence.
    fn warnings(&self) -> Vec<String> {
        let said = self.outputs.iter().filter_map(|line| {
            let about = remarks::about(&line.script)?;
            let to = line.address.as_deref().unwrap_or("an output");
            Some(format!("{to} {about}"))
        });
        said.collect()
    }

    /// For JSON.
    pub(super) fn to_json(&self) -> Value {
        let outputs: Vec<_> = self
            .outputs
            .iter()
            .map(|line| {
                json!({
                    "value_sat": line.value_sat,
                    "script_pubkey": line.script,
                    "address": line.address,
                    "is_mine": line.whose != Whose::Other,
                    "is_change": line.whose == Whose::Change,
                })
            })
            .collect();
        json!({
            "txid": self.txid,
            "fee_sat": self.fee_sat,
            "weight": self.weight,
            "max_weight": self.weight.map(u64::from).or(self.max_weight),
            "inputs": self.inputs,
            "outputs": outputs,
            "warnings": self.warnings(),
        })
    }

    /// For people, one line for each thing.
    pub(super) fn to_text(&self) -> String {
        let count = self.inputs.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut out = String::new();
        let spent = self
            .spent_sat
            .map_or(String::new(), |sat| format!(" of {}", show_sat(sat)));
        row(&mut out, "spends", &format!("{count} coin{plural}{spent}"));
        let amounts: Vec<String> = self
            .outputs
            .iter()
            .map(|it| show_sat(it.value_sat))
            .collect();
        let width = amounts.iter().map(String::len).max().unwrap_or(0);
        for (line, amount) in self.outputs.iter().zip(&amounts) {
            if let Some(data) = data(&line.script) {
                row(&mut out, "data", &data);
                continue;
            }
            let to = line.address.clone();
            let to = to.unwrap_or_else(|| format!("script {:x}", line.script));
            let what = match line.whose {
                Whose::Other => "pays",
                Whose::Own => "own",
                Whose::Change => "change",
            };
            row(&mut out, what, &format!("{amount:>width$}  to {to}"));
            if let Some(about) = remarks::about(&line.script) {
                row(&mut out, "note", &format!("this output {about}"));
            }
        }
        if let Some(fee_sat) = self.fee_sat {
            let signed = self.weight.map(|weight| ("", u64::from(weight)));
            let weight = signed.or(self.max_weight.map(|weight| ("at most ", weight)));
            let size = weight.map_or(String::new(), |(most, weight)| {
                let vsize = weight.div_ceil(4);
                let rate = show_rate(fee_sat, vsize);
                let least = if most.is_empty() { "" } else { "at least " };
                format!(", {most}{} vB, {least}{rate} sat/vB", grouped(vsize))
            });
            row(&mut out, "fee", &format!("{} sat{size}", grouped(fee_sat)));
        }
        out
    }

    /// The same with the txid, where nothing else says it and no signature can change it.
    pub(super) fn to_text_with_txid(&self) -> String {
        let mut out = self.to_text();
        if let Some(txid) = &self.txid {
            row(&mut out, "txid", &txid.to_string());
        }
        out
    }
}

fn row(out: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{LABEL}{name:<6}{LABEL:#}  {value}");
}

/// As in `2.98` sat/vB, without floats.
fn show_rate(fee_sat: u64, vsize: u64) -> String {
    let hundredths = u128::from(fee_sat) * 100 / u128::from(vsize.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// What an OP_RETURN output carries.
fn data(script: &Script) -> Option<String> {
    if !script.is_op_return() {
        return None;
    }
    let pushed: Vec<u8> = script
        .instructions()
        .skip(1)
        .filter_map(Result::ok)
        .filter_map(|instruction| match instruction {
            Instruction::PushBytes(bytes) => Some(bytes.as_bytes().to_vec()),
            Instruction::Op(_) => None,
        })
        .flatten()
        .collect();
    let hex = btc::bitcoin::hex::DisplayHex::to_lower_hex_string(pushed.as_slice());
    Some(format!("{hex} ({} bytes, OP_RETURN)", pushed.len()))
}

/// The weight in WU with the largest signatures, where each coin is of a type of the wallet's.
fn max_weight_wu(spent: &[&TxOut], outputs: &[TxOut]) -> Option<u64> {
    let mut weigher = Weigher::default();
    for output in spent {
        weigher.add_input(address_type(&output.script_pubkey)?);
    }
    for output in outputs {
        weigher.add_output(output.script_pubkey.len());
    }
    Some(weigher.weight_wu())
}

/// The type of a coin's address. P2SH is taken for nested P2WPKH, the only one that the wallet has.
fn address_type(script: &Script) -> Option<AddressType> {
    if script.is_p2wpkh() {
        Some(AddressType::P2wpkh)
    } else if script.is_p2tr() {
        Some(AddressType::P2tr)
    } else if script.is_p2pkh() {
        Some(AddressType::P2pkh)
    } else {
        script.is_p2sh().then_some(AddressType::P2shP2wpkh)
    }
}

/// Whether the keys of an output are on a chain of change (BIP44: the last but one step is 1).
fn is_on_change(map: &psbt::Output) -> bool {
    let ecdsa = map.bip32_derivation.values();
    let taproot = map.tap_key_origins.values().map(|(_, source)| source);
    ecdsa.chain(taproot).any(|(_, path)| {
        let steps: &[ChildNumber] = path.as_ref();
        steps.iter().rev().nth(1) == Some(&ChildNumber::Normal { index: 1 })
    })
}

fn address(script: &Script, network: Network) -> Option<String> {
    Address::from_script(script, network)
        .ok()
        .map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::show_rate;

    #[test]
    fn rates_are_exact_to_the_hundredth() {
        assert_eq!(show_rate(282, 141), "2.00");
        assert_eq!(show_rate(421, 141), "2.98");
        assert_eq!(show_rate(1, 1_000_000), "0.00");
        assert_eq!(show_rate(u64::MAX, 1), "18446744073709551615.00");
        assert_eq!(show_rate(5, 0), "5.00");
    }
}
