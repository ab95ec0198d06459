//! `btc tx`: one transaction.

use btc::BitcoinTransaction;
use btc::bitcoin::{Address, ScriptBuf};

use super::Done;
use crate::amount::{grouped, show_sat};
use crate::exit::Code;
use crate::node::Session;
use crate::output::{Output, fields};

pub(super) fn run(output: Output, txid: &str) -> Done {
    let session = Session::open()?;
    let transaction = btc::connect(&session.config)?.get_transaction(txid)?;
    output.show(&transaction, || describe(&transaction, session.network()))?;
    Ok(Code::Ok)
}

fn describe(transaction: &BitcoinTransaction, network: btc::Network) -> String {
    let block = transaction.block_hash.map_or_else(
        || "none, in the mempool".to_owned(),
        |hash| hash.to_string(),
    );
    let mut rows = vec![
        ("txid", transaction.txid.to_string()),
        ("wtxid", transaction.wtxid.to_string()),
        ("block", block),
        ("version", transaction.version.to_string()),
        ("lock time", transaction.lock_time.to_string()),
        (
            "size",
            format!(
                "{} B, {} vB, {} WU",
                grouped(transaction.size.into()),
                grouped(transaction.vsize().into()),
                grouped(transaction.weight.into())
            ),
        ),
    ];
    for (index, input) in transaction.inputs.iter().enumerate() {
        let from = if input.previous_output.is_null() {
            "coinbase".to_owned()
        } else {
            input.previous_output.to_string()
        };
        let name = if index == 0 { "inputs" } else { "" };
        rows.push((
            name,
            format!("{index}: {from}, {} witness items", input.witness.len()),
        ));
    }
    for (index, out) in transaction.outputs.iter().enumerate() {
        let name = if index == 0 { "outputs" } else { "" };
        let to = destination(&out.script_pubkey, network);
        rows.push((
            name,
            format!("{index}: {} to {to}", show_sat(out.value_sat)),
        ));
    }
    fields(&rows)
}

/// The address a script pays to, or what else it is.
fn destination(script: &ScriptBuf, network: btc::Network) -> String {
    const SHOWN_CHARS: usize = 60;
    if let Ok(address) = Address::from_script(script, network) {
        return address.to_string();
    }
    let kind = if script.is_op_return() {
        "OP_RETURN"
    } else {
        "script"
    };
    let hex = script.to_hex_string();
    match hex.get(..SHOWN_CHARS) {
        Some(start) => format!("{kind} {start}… ({} B)", script.len()),
        None => format!("{kind} {hex}"),
    }
}
