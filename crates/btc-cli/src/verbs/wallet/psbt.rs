//! `btc psbt`: unsigned and partly signed transactions, with another signer in between.

use std::fs;
use std::io::Read;

use btc::bitcoin::hex::DisplayHex;
use btc::bitcoin::{Psbt, Txid, psbt};
use btc::rust::wallet::RustWallet;
use btc::rust::wallet::build::{
    DEFAULT_MAX_FEE_RATE, combine_psbts, extract_psbt, finalize_psbt, parse_psbt,
};
use btc::{Config, FeeRate, Network, WalletInterface};
use serde_json::json;

use super::fee_bump::raised;
use super::send::{preview, request};
use super::summary::Summary;
use super::{any_network, configuration, follow, network, open, open_unlocked, remark, say};
use crate::confirm;
use crate::exit::{Code, Failure};
use crate::flags::{PsbtVerb, Raise};
use crate::output::{self, Output};
use crate::verbs::Done;

/// A PSBT of the largest transaction, with the transactions it spends.
const MAX_INPUT_BYTES: u64 = 64 << 20;

pub(super) fn run(output: Output, verb: &PsbtVerb) -> Done {
    match verb {
        PsbtVerb::Create(payment) => {
            let config = configuration()?;
            let wallet = open(&config)?;
            follow(&wallet)?;
            let psbt = preview(&wallet, &request(payment, &config)?)?;
            promise(output, &wallet, network(&config)?, &psbt, &[])
        }
        PsbtVerb::Bump(options) => bump(output, options),
        PsbtVerb::Show { psbt } => show(output, &read(psbt)?),
        PsbtVerb::Combine { psbts } => {
            let mut all = psbts.iter().map(|psbt| read(psbt));
            let mut first = all.next().expect("clap takes two at least")?;
            for other in all {
                combine_psbts(&mut first, other?)?;
            }
            say(output, "psbt", &first.to_string())
        }
        PsbtVerb::Sign { psbt, yes } => sign(output, read(psbt)?, *yes),
        PsbtVerb::Finalize { psbt } => {
            let mut psbt = read(psbt)?;
            let is_final = finalize_psbt(&mut psbt)?;
            if !is_final {
                remark(
                    output,
                    "signatures are missing; not all inputs are final. Sign it elsewhere too, and \
                     put both together with `btc psbt combine`",
                );
            }
            output.show(
                &json!({"psbt": psbt.to_string(), "is_final": is_final}),
                || psbt.to_string(),
            )?;
            Ok(if is_final { Code::Ok } else { Code::Failed })
        }
        PsbtVerb::Cancel { psbt } => cancel(output, &read(psbt)?),
        PsbtVerb::Extract {
            psbt,
            allow_high_fee,
        } => {
            let max_rate = max_fee_rate(&Config::load()?);
            let transaction = extract_psbt(&read(psbt)?, max_rate, *allow_high_fee)?;
            let bytes = btc::rust::encode_transaction(&transaction)
                .map_err(|cause| usage(cause.to_string()))?;
            let hex = bytes.to_lower_hex_string();
            let value = json!({
                "transaction": hex, "txid": transaction.txid, "fee_sat": transaction.fee_sat,
            });
            output.show(&value, || hex.clone())?;
            Ok(Code::Ok)
        }
    }
}

/// The highest fee rate, configured or not.
fn max_fee_rate(config: &Config) -> FeeRate {
    let wallet = config.wallet.as_ref();
    wallet
        .and_then(|wallet| wallet.max_fee_rate)
        .unwrap_or(DEFAULT_MAX_FEE_RATE)
}

fn bump(output: Output, options: &Raise) -> Done {
    let config = configuration()?;
    let wallet = open(&config)?;
    follow(&wallet)?;
    let (mut psbt, replaces) = raised(&wallet, options)?;
    // Signing is a step of its own, which shows what it signs, and asks on mainnet.
    for input in &mut psbt.inputs {
        input.partial_sigs.clear();
        input.tap_key_sig = None;
        input.tap_script_sigs.clear();
        input.final_script_sig = None;
        input.final_script_witness = None;
    }
    promise(output, &wallet, network(&config)?, &psbt, &replaces)
}

/// Reserves the coins of an unsigned transaction, then prints it.
fn promise(
    output: Output,
    wallet: &RustWallet,
    network: Network,
    psbt: &Psbt,
    replaces: &[Txid],
) -> Done {
    wallet.reserve(psbt, replaces)?;
    let summary = Summary::of_psbt(psbt, network, Some(wallet));
    remark(output, summary.to_text().trim_end());
    remark(output, "its coins are reserved for 10 minutes");
    let mut value = summary.to_json();
    value["psbt"] = json!(psbt.to_string());
    output.show(&value, || psbt.to_string())?;
    Ok(Code::Ok)
}

/// Frees the coins. A copy that is signed elsewhere can still be sent, and the reader hears of it.
fn cancel(output: Output, psbt: &Psbt) -> Done {
    let transaction = &psbt.unsigned_tx;
    let wallet = open(&configuration()?)?;
    let released = wallet.release(transaction)?;
    if wallet.is_handed_over(transaction)? {
        remark(
            output,
            "it was handed over, and stays a payment of the wallet; cancel it (btc cancel), or \
             give it up (btc abandon)",
        );
    }
    if released > 0 {
        remark(
            output,
            "a copy that others signed can still be sent; only spending one of its coins again \
             makes sure that it is not",
        );
    }
    output.show(&json!({ "released": released }), || match released {
        0 => "no coin was reserved for it".to_owned(),
        1 => "1 coin released".to_owned(),
        count => format!("{count} coins released"),
    })?;
    Ok(Code::Ok)
}

/// With a wallet, says what is its own; without, whatever the network is.
fn show(output: Output, psbt: &Psbt) -> Done {
    let network = any_network()?;
    let config = Config::load()?;
    let wallet = config.wallet.as_ref().map(|_| open(&config)).transpose()?;
    let summary = Summary::of_psbt(psbt, network, wallet.as_deref());
    output.show(&summary.to_json(), || summary.to_text_with_txid())?;
    Ok(Code::Ok)
}

/// A signature is as good as the money, so what is signed is shown, and asked about on mainnet.
fn sign(output: Output, mut psbt: Psbt, is_granted: bool) -> Done {
    const SIGNING: &str = "sign this";
    let config = configuration()?;
    let network = network(&config)?;
    confirm::can_be_given(network, is_granted, SIGNING)?;
    let wallet = open_unlocked(&config)?;
    let summary = Summary::of_psbt(&psbt, network, Some(&wallet));
    if !output.is_json || confirm::is_needed(network, is_granted) {
        output::note(summary.to_text().trim_end());
    }
    confirm::on_mainnet(network, is_granted, SIGNING)?;
    let signed = wallet.sign_psbt(&mut psbt)?;
    let count = psbt.inputs.len();
    let plural = if count == 1 { "" } else { "s" };
    remark(output, &format!("{signed} of {count} input{plural} signed"));
    let mut value = summary.to_json();
    value["psbt"] = json!(psbt.to_string());
    value["signed"] = json!(signed);
    output.show(&value, || psbt.to_string())?;
    let is_final = |input: &psbt::Input| {
        input.final_script_sig.is_some() || input.final_script_witness.is_some()
    };
    if signed == 0 && !psbt.inputs.iter().all(is_final) {
        remark(
            output,
            "none of its open inputs spends a coin of this wallet; it is as it was",
        );
        return Ok(Code::Failed);
    }
    Ok(Code::Ok)
}

/// From base64, a file with base64 or the binary form, or standard input.
fn read(argument: &str) -> Result<Psbt, Failure> {
    let mut bytes = Vec::new();
    if argument == "-" {
        let read = std::io::stdin()
            .take(MAX_INPUT_BYTES)
            .read_to_end(&mut bytes);
        read.map_err(|cause| usage(format!("standard input cannot be read: {cause}")))?;
    } else if argument.trim_start().starts_with("cHNidP") {
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
