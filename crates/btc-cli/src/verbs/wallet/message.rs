//! `btc sign-message`: signs a message with the key of an address, or checks a signature.

use std::io::Read;

use btc::WalletInterface;
use serde_json::json;

use super::{any_network, configuration, open_unlocked};
use crate::exit::{Code, Failure};
use crate::flags::SignMessage;
use crate::output::Output;
use crate::verbs::Done;

/// Longer messages are for files with a digest of their own.
const MAX_MESSAGE_BYTES: u64 = 1 << 20;

pub(super) fn run(output: Output, options: &SignMessage) -> Done {
    let message = if options.message == "-" {
        let mut text = String::new();
        std::io::stdin()
            .take(MAX_MESSAGE_BYTES)
            .read_to_string(&mut text)
            .map_err(|cause| {
                Failure::Other(
                    Code::Usage,
                    format!("standard input cannot be read: {cause}"),
                )
            })?;
        text
    } else {
        options.message.clone()
    };
    if let Some(signature) = &options.verify {
        let network = any_network()?;
        let is_valid =
            btc::rust::wallet::message::verify(&options.address, &message, signature, network)?;
        output.show(&json!({ "is_valid": is_valid }), || {
            if is_valid { "valid" } else { "NOT valid" }.to_owned()
        })?;
        return Ok(if is_valid { Code::Ok } else { Code::Failed });
    }
    let signed = open_unlocked(&configuration()?)?.sign_message(&options.address, &message)?;
    output.show(&signed, || signed.signature.clone())?;
    Ok(Code::Ok)
}
