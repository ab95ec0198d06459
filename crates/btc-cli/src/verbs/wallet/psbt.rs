//! `btc psbt`: unsigned and partly signed transactions, with another signer in between.

use std::fs;
use std::io::Read;

use btc::WalletInterface;
use btc::bitcoin::Psbt;
use btc::bitcoin::hex::DisplayHex;
use btc::rust::wallet::build::{combine_psbts, parse_psbt};
use serde_json::json;

use super::send::{describe, request, text};
use super::{configuration, follow, network, open, open_unlocked, remark, say};
use crate::exit::{Code, Failure};
use crate::flags::PsbtVerb;
use crate::output::Output;
use crate::verbs::Done;

/// A PSBT of the largest transaction, with the transactions it spends.
const MAX_INPUT_BYTES: u64 = 64 << 20;

pub(super) fn run(output: Output, verb: &PsbtVerb) -> Done {
    let config = configuration()?;
    match verb {
        PsbtVerb::Create(payment) => {
            let wallet = open(&config)?;
            follow(&wallet)?;
            let psbt = wallet.create_psbt(&request(payment, &config)?)?;
            remark(output, "its coins are reserved for 10 minutes");
            say(output, "psbt", &psbt.to_string())
        }
        PsbtVerb::Show { psbt } => {
            let psbt = read(psbt)?;
            let network = network(&config)?;
            let lines = text(&psbt, network);
            output.show(&describe(&psbt, network), || lines)?;
            Ok(Code::Ok)
        }
        PsbtVerb::Combine { psbts } => {
            let mut all = psbts.iter().map(|psbt| read(psbt));
            let mut first = all.next().expect("clap takes two at least")?;
            for other in all {
                combine_psbts(&mut first, other?)?;
            }
            say(output, "psbt", &first.to_string())
        }
        PsbtVerb::Sign { psbt } => {
            let mut psbt = read(psbt)?;
            let signed = open_unlocked(&config)?.sign_psbt(&mut psbt)?;
            remark(
                output,
                &format!("{signed} of {} inputs signed", psbt.inputs.len()),
            );
            output.show(&json!({"psbt": psbt.to_string(), "signed": signed}), || {
                psbt.to_string()
            })?;
            Ok(Code::Ok)
        }
        PsbtVerb::Finalize { psbt } => {
            let mut psbt = read(psbt)?;
            let is_final = open(&config)?.finalize_psbt(&mut psbt)?;
            if !is_final {
                remark(output, "signatures are missing; not all inputs are final");
            }
            output.show(
                &json!({"psbt": psbt.to_string(), "is_final": is_final}),
                || psbt.to_string(),
            )?;
            Ok(if is_final { Code::Ok } else { Code::Failed })
        }
        PsbtVerb::Extract {
            psbt,
            allow_high_fee,
        } => {
            let transaction = open(&config)?.extract_psbt(&read(psbt)?, *allow_high_fee)?;
            let bytes = btc::rust::encode_transaction(&transaction)
                .map_err(|cause| usage(cause.to_string()))?;
            say(output, "transaction", &bytes.to_lower_hex_string())
        }
    }
}

/// From base64, a file with base64 or the binary form, or standard input.
fn read(argument: &str) -> Result<Psbt, Failure> {
    let mut bytes = Vec::new();
    if argument == "-" {
        let read = std::io::stdin()
            .take(MAX_INPUT_BYTES)
            .read_to_end(&mut bytes);
        read.map_err(|cause| usage(format!("standard input cannot be read: {cause}")))?;
    } else if argument.starts_with("cHNidP") {
        bytes.extend_from_slice(argument.as_bytes());
    } else {
        let opened = fs::File::open(argument)
            .and_then(|file| file.take(MAX_INPUT_BYTES).read_to_end(&mut bytes));
        opened.map_err(|cause| {
            let shown: String = argument.chars().take(60).collect();
            usage(format!(
                "`{shown}` is neither a PSBT in base64 nor a file that can be read: {cause}"
            ))
        })?;
    }
    Ok(parse_psbt(&bytes)?)
}

fn usage(message: String) -> Failure {
    Failure::Other(Code::Usage, message)
}
