//! What Bitcoin Core takes for a standard transaction, as far as wallets can meet it.

use bitcoin::consensus::encode;
use bitcoin::{Amount, ScriptBuf, Transaction, TxOut, WitnessVersion};

/// The heaviest transaction that is relayed, in WU.
const MAX_WEIGHT: u64 = 400_000;
/// The shortest transaction without its witnesses, in bytes (CVE-2017-12842).
pub(super) const MIN_STRIPPED_BYTES: usize = 65;
/// The longest script that unlocks an input, in bytes.
const MAX_SCRIPT_SIG_BYTES: usize = 1_650;
/// Versions that are relayed.
const VERSIONS: std::ops::RangeInclusive<i32> = 1..=3;
/// All bytes of all OP_RETURN outputs together.
const MAX_DATA_BYTES: usize = 100_000;
/// The rate by which dust is told, in sat/kvB.
const DUST_SAT_PER_KVB: u64 = 3_000;
/// How many outputs below the dust limit a transaction without a fee may have.
const MAX_DUST_OUTPUTS: usize = 1;
/// What a signature operation counts as, in vB.
const BYTES_PER_SIGOP: u64 = 20;
/// The most signature operations of one transaction, as weighed.
pub(super) const MAX_SIGOPS: usize = 16_000;

/// The fee at a rate in sat/kvB, rounded up as Core's `CFeeRate` does.
pub(super) fn fee_at(sat_per_kvb: u64, size_vb: u64) -> u64 {
    sat_per_kvb.saturating_mul(size_vb).div_ceil(1_000)
}

/// The weight by which the mempool judges.
pub(super) fn adjusted_weight(weight: u64, sigops: usize) -> u64 {
    weight.max(sigops as u64 * BYTES_PER_SIGOP)
}

/// What is wrong with a transaction on its own, whatever it spends.
pub(super) fn why_invalid(transaction: &Transaction) -> Option<&'static str> {
    if transaction.input.is_empty() {
        return Some("bad-txns-vin-empty");
    }
    if transaction.output.is_empty() {
        return Some("bad-txns-vout-empty");
    }
    let mut total = Amount::ZERO;
    for output in &transaction.output {
        if output.value.to_sat() > i64::MAX as u64 {
            return Some("bad-txns-vout-negative");
        }
        if output.value > Amount::MAX_MONEY {
            return Some("bad-txns-vout-toolarge");
        }
        total += output.value;
        if total > Amount::MAX_MONEY {
            return Some("bad-txns-txouttotal-toolarge");
        }
    }
    let inputs = &transaction.input;
    for (number, input) in inputs.iter().enumerate() {
        let outpoint = input.previous_output;
        if inputs[..number]
            .iter()
            .any(|it| it.previous_output == outpoint)
        {
            return Some("bad-txns-inputs-duplicate");
        }
    }
    if transaction.is_coinbase() {
        return Some("coinbase");
    }
    if inputs.iter().any(|input| input.previous_output.is_null()) {
        return Some("bad-txns-prevout-null");
    }
    None
}

/// What makes a transaction one that is not relayed.
pub(super) fn why_nonstandard(transaction: &Transaction) -> Option<&'static str> {
    if !VERSIONS.contains(&transaction.version.0) {
        return Some("version");
    }
    if transaction.weight().to_wu() > MAX_WEIGHT {
        return Some("tx-size");
    }
    for input in &transaction.input {
        if input.script_sig.len() > MAX_SCRIPT_SIG_BYTES {
            return Some("scriptsig-size");
        }
        if !input.script_sig.is_push_only() {
            return Some("scriptsig-not-pushonly");
        }
    }
    let mut data_bytes = 0;
    for output in &transaction.output {
        if !is_standard_script(&output.script_pubkey) {
            return Some("scriptpubkey");
        }
        if output.script_pubkey.is_op_return() {
            data_bytes += output.script_pubkey.len();
            if data_bytes > MAX_DATA_BYTES {
                return Some("datacarrier");
            }
        }
    }
    if dust(transaction).count() > MAX_DUST_OUTPUTS {
        return Some("dust");
    }
    None
}

/// The numbers of the outputs that are not worth spending.
pub(super) fn dust(transaction: &Transaction) -> impl Iterator<Item = u32> + '_ {
    let outputs = (0..).zip(&transaction.output);
    outputs.filter_map(|(vout, output)| is_dust(output).then_some(vout))
}

fn is_dust(output: &TxOut) -> bool {
    if output.script_pubkey.is_op_return() {
        return false;
    }
    let own_bytes = encode::serialize(output).len() as u64;
    let spending_bytes = if output.script_pubkey.is_witness_program() {
        67
    } else {
        148
    };
    output.value.to_sat() < fee_at(DUST_SAT_PER_KVB, own_bytes + spending_bytes)
}

fn is_standard_script(script: &ScriptBuf) -> bool {
    script.is_p2pkh()
        || script.is_p2sh()
        || script.is_p2pk()
        || script.is_witness_program()
        || (script.is_op_return() && script.len() <= MAX_DATA_BYTES)
        || is_small_multisig(script)
}

/// Up to three keys.
fn is_small_multisig(script: &ScriptBuf) -> bool {
    const OP_1: u8 = 0x51;
    const OP_3: u8 = 0x53;
    let bytes = script.as_bytes();
    let count = bytes.len().checked_sub(2).map(|at| bytes[at]);
    script.is_multisig() && count.is_some_and(|count| (OP_1..=OP_3).contains(&count))
}

/// What makes a spent output one that is not relayed, with the details.
pub(super) fn why_input_nonstandard(number: usize, spent: &ScriptBuf) -> Option<String> {
    let version = spent.witness_version();
    let is_known = match version {
        Some(WitnessVersion::V0) => spent.is_p2wpkh() || spent.is_p2wsh(),
        Some(WitnessVersion::V1) => spent.is_p2tr() || is_anchor(spent),
        Some(_) => false,
        None if is_standard_script(spent) => true,
        None => return Some(format!("input {number} script unknown")),
    };
    (!is_known).then(|| format!("input {number} witness program is undefined"))
}

fn is_anchor(script: &ScriptBuf) -> bool {
    script.as_bytes() == [0x51, 0x02, 0x4e, 0x73]
}
