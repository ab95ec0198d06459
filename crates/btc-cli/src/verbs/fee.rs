//! `btc fee`: the fee rate that should confirm within so many blocks, and where it comes from.

use btc::{BitcoinResult, Config, ErrorKind, FeeEstimate, FeeSource};
use serde_json::json;

use super::Done;
use crate::exit::Code;
use crate::node::Session;
use crate::output::Output;

pub(super) fn run(output: Output, target_blocks: u8) -> Done {
    let session = Session::open()?;
    let (sat_per_vb, explained) = estimate(&session.config, target_blocks)?;
    let value = json!({
        "target_blocks": target_blocks,
        "fee_rate_sat_per_vb": sat_per_vb,
        "source": explained.map(|fee| fee.source),
        "floor_sat_per_vb": explained.map(|fee| fee.floor_sat_per_vb),
    });
    output.show(&value, || {
        match explained.and_then(|fee| words(fee.source)) {
            Some(source) => format!("{sat_per_vb} sat/vB, {source}"),
            None => format!("{sat_per_vb} sat/vB"),
        }
    })?;
    Ok(Code::Ok)
}

/// The fee rate in sat/vB, and its explanation if there is one for this very number.
fn estimate(config: &Config, target_blocks: u8) -> BitcoinResult<(u64, Option<FeeEstimate>)> {
    if config.shadow.is_some() {
        // The number is the one that was compared and recorded. The primary explains it a moment
        // later, and may have come to another one by then.
        let sat_per_vb = btc::connect(config)?.estimate_fee(target_blocks)?;
        let explained = btc::connect_fees(config)
            .and_then(|fees| fees.explain_fee(target_blocks))
            .ok()
            .filter(|fee| fee.sat_per_vb == sat_per_vb);
        return Ok((sat_per_vb, explained));
    }
    match btc::connect_fees(config)?.explain_fee(target_blocks) {
        Ok(fee) => Ok((fee.sat_per_vb, Some(fee))),
        // A Python class of the user's own may know the number alone.
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let sat_per_vb = btc::connect(config)?.estimate_fee(target_blocks)?;
            Ok((sat_per_vb, None))
        }
        Err(error) => Err(error),
    }
}

fn words(source: FeeSource) -> Option<&'static str> {
    match source {
        FeeSource::Core => Some("from Bitcoin Core's estimate"),
        FeeSource::Mempool => Some("from the mempool"),
        FeeSource::MinimumRelay => Some("the node's minimum relay fee"),
        _ => None,
    }
}
