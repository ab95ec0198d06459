//! `btc block`: the transactions of one block.

use std::fmt::Write as _;

use super::Done;
use crate::amount::grouped;
use crate::exit::Code;
use crate::node::Session;
use crate::output::{LABEL, Output};

pub(super) fn run(output: Output, hash: &str) -> Done {
    let session = Session::open()?;
    let transactions = btc::connect(&session.config)?.get_block(hash)?;
    output.show(&transactions, || {
        let weight: u64 = transactions.iter().map(|t| u64::from(t.weight)).sum();
        let mut out = format!(
            "{} transactions, {} WU\n",
            transactions.len(),
            grouped(weight)
        );
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            out,
            "{LABEL}{:>6}  {:<64}  {:>8}  {:>6}  {:>7}  {:>22}{LABEL:#}",
            "index", "txid", "vB", "inputs", "outputs", "output value in sat"
        );
        for (index, t) in transactions.iter().enumerate() {
            // Hostile amounts may not fit; the sum of an honest block always does.
            let value = t
                .outputs
                .iter()
                .try_fold(0u64, |sum, o| sum.checked_add(o.value_sat));
            let value = value.map_or_else(|| "too large".to_owned(), grouped);
            let _ = writeln!(
                out,
                "{index:>6}  {}  {:>8}  {:>6}  {:>7}  {value:>22}",
                t.txid,
                grouped(t.vsize().into()),
                t.inputs.len(),
                t.outputs.len()
            );
        }
        out
    })?;
    Ok(Code::Ok)
}
