//! `btc fee`: the fee rate that should confirm within so many blocks.

use serde_json::json;

use super::Done;
use crate::exit::Code;
use crate::node::Session;
use crate::output::Output;

pub(super) fn run(output: Output, target_blocks: u8) -> Done {
    let session = Session::open()?;
    let rate = btc::connect(&session.config)?.estimate_fee(target_blocks)?;
    let value = json!({ "target_blocks": target_blocks, "fee_rate_sat_per_vb": rate, "source": "estimatesmartfee" });
    output.show(&value, || format!("{rate} sat/vB"))?;
    Ok(Code::Ok)
}
