//! `btc height`: the height of the best block.

use serde_json::json;

use super::Done;
use crate::exit::Code;
use crate::node::Session;
use crate::output::Output;

pub(super) fn run(output: Output) -> Done {
    let session = Session::open()?;
    let height = btc::connect(&session.config)?.get_block_height()?;
    output.show(&json!({ "height": height }), || height.to_string())?;
    Ok(Code::Ok)
}
