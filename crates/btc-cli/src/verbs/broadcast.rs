//! `btc broadcast`: hands a signed transaction to the node.

use std::fs::File;
use std::io::{self, Read};

use btc::bitcoin::consensus::encode::deserialize;
use btc::bitcoin::hex::FromHex;
use btc::bitcoin::{Transaction, Txid};
use btc::config::WalletSource;
use btc::{BitcoinResult, BitcoinTransaction, Config};
use serde_json::json;

use super::Done;
use super::wallet::outcome;
use crate::confirm;
use crate::exit::{Code, Failure};
use crate::flags::Broadcast;
use crate::node::Session;
use crate::output::{Output, note};

/// A transaction of the largest size consensus allows, in hexadecimal, with some white space.
const MAX_INPUT_BYTES: u64 = 8_000_000 + 1024;

/// How a PSBT in base64 begins (BIP174).
const PSBT_START: &str = "cHNidP";

pub(super) fn run(output: Output, options: &Broadcast) -> Done {
    let bytes = read(&options.transaction)?;
    let transaction = btc::rust::decode_transaction(&bytes).map_err(|cause| {
        let source = std::error::Error::source(&cause)
            .map(|s| format!(": {s}"))
            .unwrap_or_default();
        usage(format!(
            "the transaction cannot be used: {cause}{source}; nothing was sent"
        ))
    })?;
    let session = Session::open_with_wallet()?;
    confirm::on_mainnet(session.network(), options.yes, "send this transaction")?;
    send(&session.config, &transaction, &bytes, &options.replaces)?;
    let txid = transaction.txid;
    outcome::show(output, &json!({ "txid": txid }), txid);
    Ok(Code::Ok)
}

/// Through the wallet where one is configured: a payment of its own is written down before it is
/// sent, and one that would take another payment's coins is refused.
fn send(
    config: &Config,
    transaction: &BitcoinTransaction,
    bytes: &[u8],
    replaces: &[Txid],
) -> Result<(), Failure> {
    let Some(wallet) = &config.wallet else {
        if !replaces.is_empty() {
            return Err(usage(
                "--replaces needs a wallet: set WALLET_DIR".to_owned(),
            ));
        }
        return by_node(config, transaction);
    };
    if replaces.is_empty() {
        return through(config, &wallet.source, transaction);
    }
    let whole: Transaction = deserialize(bytes)
        .map_err(|cause| usage(format!("the bytes are no transaction: {cause}")))?;
    btc::connect_wallet(config)?.allow_replacement(&whole, replaces)?;
    let sent = through(config, &wallet.source, transaction);
    if sent.is_err()
        && let Err(error) = take_back(config, &whole, replaces)
    {
        // What became of the transaction is what the caller must hear.
        note(format!(
            "remark: that it may replace those payments is still allowed: {error}"
        ));
    }
    sent
}

/// It was allowed to one call. What was handed over all the same has it written with it.
fn take_back(config: &Config, transaction: &Transaction, replaces: &[Txid]) -> BitcoinResult<()> {
    let wallet = btc::connect_wallet(config)?;
    if wallet.is_payment(transaction.compute_txid())? {
        return Ok(());
    }
    wallet.disallow_replacement(transaction, replaces)
}

fn through(
    config: &Config,
    source: &WalletSource,
    transaction: &BitcoinTransaction,
) -> Result<(), Failure> {
    if config.shadow.is_some() || *source == WalletSource::Core {
        return by_node(config, transaction);
    }
    let wallet = btc::connect_wallet(config)?;
    clear(wallet.broadcast_transaction(transaction), transaction.txid)
}

fn by_node(config: &Config, transaction: &BitcoinTransaction) -> Result<(), Failure> {
    let bitcoin = btc::connect(config)?;
    clear(bitcoin.broadcast_transaction(transaction), transaction.txid)
}

/// Nothing, or an error that names the transaction.
fn clear<T>(sent: BitcoinResult<T>, txid: Txid) -> Result<(), Failure> {
    match sent {
        Ok(_) => Ok(()),
        Err(error) => Err(outcome::of_broadcast(error, txid).into()),
    }
}

/// The bytes behind the argument: hexadecimal, standard input, or a file.
fn read(argument: &str) -> Result<Vec<u8>, Failure> {
    if argument == "-" {
        return from_hex("standard input", &read_text("standard input", io::stdin())?);
    }
    let is_hex = !argument.is_empty() && argument.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex || argument.starts_with(PSBT_START) {
        return from_hex("the argument", argument);
    }
    let file = File::open(argument).map_err(|cause| {
        usage(format!(
            "`{}` is neither hexadecimal nor a file that can be read: {cause}",
            short(argument)
        ))
    })?;
    from_hex("the file", &read_text("the file", file)?)
}

fn read_text(what: &str, input: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    input
        .take(MAX_INPUT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|cause| usage(format!("{what} cannot be read as text: {cause}")))?;
    if text.len() as u64 > MAX_INPUT_BYTES {
        return Err(usage(format!("{what} is longer than any transaction")));
    }
    Ok(text)
}

fn from_hex(what: &str, text: &str) -> Result<Vec<u8>, Failure> {
    if text.trim_start().starts_with(PSBT_START) {
        return Err(usage(format!(
            "{what} is a PSBT, not a transaction; `btc psbt finalize`, then `btc psbt extract`, \
             makes one of it"
        )));
    }
    Vec::from_hex(text.trim()).map_err(|cause| {
        usage(format!(
            "{what} is not a transaction in hexadecimal: {cause}"
        ))
    })
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

fn usage(message: String) -> Failure {
    Failure::Other(Code::Usage, message)
}
