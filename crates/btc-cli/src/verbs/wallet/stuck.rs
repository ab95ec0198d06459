//! `btc rebroadcast`, `btc abandon`, `btc rescan`: payments that are stuck, and blocks read again.

use btc::bitcoin::Txid;
use btc::{BitcoinError, WalletInterface};
use serde_json::json;

use super::{configuration, follow, open, remark};
use crate::amount::grouped;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::progress;
use crate::verbs::Done;

/// Sends missing payments again. Fails when the network takes none of those it was to send.
pub(super) fn rebroadcast(output: Output, txid: Option<Txid>) -> Done {
    let wallet = open(&configuration()?)?;
    follow(&wallet)?;
    let outcomes = wallet.rebroadcast(txid)?;
    let rows: Vec<_> = outcomes
        .iter()
        .map(|(txid, error)| {
            let error = error.as_ref().map(BitcoinError::message);
            json!({"txid": txid, "is_sent": error.is_none(), "error": error})
        })
        .collect();
    output.show(&rows, || {
        if outcomes.is_empty() {
            return "no payment is missing".to_owned();
        }
        let line = |(txid, error): &(Txid, Option<BitcoinError>)| match error {
            None => format!("{txid}  sent again\n"),
            Some(error) => format!("{txid}  refused: {}\n", error.message()),
        };
        outcomes.iter().map(line).collect()
    })?;
    let is_refused = !outcomes.is_empty() && outcomes.iter().all(|(_, error)| error.is_some());
    Ok(if is_refused { Code::Failed } else { Code::Ok })
}

/// Gives a missing payment up, and what descends from it.
pub(super) fn abandon(output: Output, txid: Txid) -> Done {
    let wallet = open(&configuration()?)?;
    follow(&wallet)?;
    let given_up = wallet.abandon(txid)?;
    let warning = "a node elsewhere may still have it, and it may be mined: a payment from other \
                   coins may be a second one; only spending its coins again makes sure that it is \
                   not";
    remark(output, warning);
    let value = json!({ "abandoned": given_up, "warnings": [warning] });
    output.show(&value, || {
        given_up
            .iter()
            .map(|txid| format!("abandoned {txid}\n"))
            .collect()
    })?;
    Ok(Code::Ok)
}

/// Reads the chain again from a height on.
pub(super) fn rescan(output: Output, from: u32) -> Done {
    let wallet = open(&configuration()?)?;
    let before = wallet.balance()?.spendable_sat();
    let bar = progress::bar(0, "reading the chain again");
    let shown = bar.clone();
    wallet.on_progress(move |done, total| {
        shown.set_length(u64::from(total));
        shown.set_position(u64::from(done));
    });
    let height = wallet.rescan(from);
    bar.finish_and_clear();
    let height = height.map_err(Failure::from)?;
    let after = wallet.balance()?.spendable_sat();
    let value = json!({
        "from_height": from, "height": height, "spendable_sat": after,
        "spendable_before_sat": before,
    });
    output.show(&value, || {
        format!(
            "read from height {} to {}; spendable: {} sat, before: {} sat",
            grouped(u64::from(from)),
            grouped(u64::from(height)),
            grouped(after),
            grouped(before)
        )
    })?;
    Ok(Code::Ok)
}
