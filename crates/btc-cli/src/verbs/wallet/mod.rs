//! The verbs of the wallet, one group a file.

mod address;
mod birthday;
mod coins;
mod create;
mod fee_bump;
mod labels;
mod later;
mod message;
pub(super) mod outcome;
mod parity;
mod peers;
mod plain;
mod psbt;
mod remarks;
mod send;
mod setup;
mod stuck;
mod summary;

use std::sync::Arc;

use btc::bitcoin::Txid;
use btc::rust::wallet::RustWallet;
use btc::{BitcoinImplementationType, BitcoinInterface, Config, ErrorKind, WalletInterface};
use serde_json::json;

use self::later::Later;
use super::Done;
use crate::exit::{Code, Failure};
use crate::flags::{
    AddressVerb, Bump, Cancel, LabelsVerb, Parity, PsbtVerb, Send, SignMessage, UtxoVerb,
    WalletVerb,
};
use crate::output::{self, Output};
use crate::{progress, secret};

pub(super) fn wallet(output: Output, verb: &WalletVerb) -> Done {
    match verb {
        WalletVerb::Create(options) => create::create(output, options),
        WalletVerb::Restore(options) => create::restore(output, options),
        WalletVerb::Info => setup::info(output),
        WalletVerb::Sync => setup::sync(output),
        WalletVerb::Export => setup::export(output),
    }
}

pub(super) fn address(output: Output, verb: &AddressVerb) -> Done {
    address::run(output, verb)
}

pub(super) fn balance(output: Output) -> Done {
    coins::balance(output)
}

pub(super) fn utxo(output: Output, verb: Option<&UtxoVerb>) -> Done {
    coins::utxo(output, verb)
}

pub(super) fn history(output: Output) -> Done {
    coins::history(output)
}

pub(super) fn send(output: Output, options: &Send) -> Done {
    send::send(output, options)
}

pub(super) fn bump(output: Output, options: &Bump) -> Done {
    fee_bump::bump(output, options)
}

pub(super) fn cancel(output: Output, options: &Cancel) -> Done {
    fee_bump::cancel(output, options)
}

pub(super) fn rebroadcast(output: Output, txid: Option<Txid>) -> Done {
    stuck::rebroadcast(output, txid)
}

pub(super) fn abandon(output: Output, txid: Txid) -> Done {
    stuck::abandon(output, txid)
}

pub(super) fn rescan(output: Output, from_height: u32) -> Done {
    stuck::rescan(output, from_height)
}

pub(super) fn psbt(output: Output, verb: &PsbtVerb) -> Done {
    psbt::run(output, verb)
}

pub(super) fn labels(output: Output, verb: &LabelsVerb) -> Done {
    labels::run(output, verb)
}

pub(super) fn sign_message(output: Output, options: &SignMessage) -> Done {
    message::run(output, options)
}

pub(super) fn peers(output: Output) -> Done {
    peers::run(output)
}

pub(super) fn parity(output: Output, options: &Parity) -> Done {
    parity::run(output, options)
}

/// Who performs an operation that both implementations offer.
enum Hand {
    /// The Rust wallet in full.
    Rust(Arc<RustWallet>),
    /// Python, or both in shadow mode: the eight operations only.
    Plain(Arc<dyn BitcoinInterface>),
}

impl Hand {
    /// As the configuration says.
    fn take(config: &Config, is_signing: bool) -> Result<Self, Failure> {
        let is_rust = config.implementation == BitcoinImplementationType::Rust;
        if is_rust && config.shadow.is_none() {
            return Ok(Self::Rust(if is_signing {
                open_unlocked(config)?
            } else {
                open(config)?
            }));
        }
        let mut config = config.clone();
        if is_signing {
            ask_passphrase(&mut config)?;
        }
        Ok(Self::Plain(btc::connect(&config)?))
    }
}

/// The configuration, which must name a wallet that is there.
fn configuration() -> Result<Config, Failure> {
    let config = settings()?;
    let dir = &config.wallet.as_ref().expect("checked when loaded").dir;
    if !dir.exists() {
        let message = format!(
            "there is no wallet in `{}`; make one with `btc wallet create` or `btc wallet \
             restore`, or set WALLET_DIR to another folder",
            dir.display()
        );
        return Err(Failure::Other(Code::Configuration, message));
    }
    Ok(config)
}

/// The configuration of a wallet that can sign: with a passphrase that was typed, if it needs one.
#[cfg(feature = "dlc")]
pub(super) fn unlocked_configuration() -> Result<Config, Failure> {
    let mut config = configuration()?;
    ask_passphrase(&mut config)?;
    Ok(config)
}

/// The configuration, which must say where the wallet is or shall be.
fn settings() -> Result<Config, Failure> {
    let config = Config::load()?;
    if config.wallet.is_none() {
        let message = "no wallet is configured; set WALLET_DIR to the wallet's folder";
        return Err(Failure::Other(Code::Configuration, message.to_owned()));
    }
    Ok(config)
}

/// Opens the wallet; the secret stays where it is. What needs no chain works without a node: the
/// source connects when it is first asked.
fn open(config: &Config) -> Result<Arc<RustWallet>, Failure> {
    Ok(btc::open_wallet(config, Arc::new(Later::new(config)))?)
}

/// Opens the wallet, able to sign: with the configured passphrase, or one typed at the terminal.
fn open_unlocked(config: &Config) -> Result<Arc<RustWallet>, Failure> {
    let mut config = config.clone();
    ask_passphrase(&mut config)?;
    open(&config)
}

/// Asks for the passphrase when the wallet needs one that is not configured.
fn ask_passphrase(config: &mut Config) -> Result<(), Failure> {
    let Some(wallet) = &mut config.wallet else {
        return Ok(());
    };
    if wallet.passphrase.is_none() && btc::rust::wallet::secret::is_encrypted(&wallet.dir) {
        wallet.passphrase = Some(secret::ask(&secret::PASSPHRASE)?);
    }
    Ok(())
}

/// Follows the chain to the tip, with a bar when that takes long. A source that cannot be reached
/// is an error: amounts as of an unknown time mislead.
fn follow(wallet: &RustWallet) -> Result<u32, Failure> {
    let bar = progress::bar(0, "following the chain");
    let shown = bar.clone();
    wallet.on_progress(move |done, total| {
        shown.set_length(u64::from(total));
        shown.set_position(u64::from(done));
    });
    let height = wallet.sync();
    bar.finish_and_clear();
    Ok(height?)
}

/// The network of the wallet.
fn network(config: &Config) -> Result<btc::Network, Failure> {
    let wallet = config.wallet.as_ref();
    let dir = &wallet.expect("checked when loaded").dir;
    Ok(btc::rust::wallet::folder::Folder::peek(dir)?.0.network)
}

/// The network of the configured wallet, or else of the configured node: for what needs neither.
fn any_network() -> Result<btc::Network, Failure> {
    let config = Config::load()?;
    if config.wallet.is_some() {
        return network(&configuration()?);
    }
    let node = config.node.as_ref().ok_or_else(|| {
        let message = "for which network? Set BITCOIN_NETWORK, or WALLET_DIR";
        Failure::Other(Code::Configuration, message.to_owned())
    })?;
    Ok(node.network)
}

/// Whether what failed was the node, about which no more needs to be said.
fn is_unreachable(error: &btc::BitcoinError) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// A short result: a name and a text.
fn say(output: Output, name: &str, value: &str) -> Done {
    output.show(&json!({ name: value }), || value.to_owned())?;
    Ok(Code::Ok)
}

/// A note that a wallet operation leaves for people only.
fn remark(output: Output, text: &str) {
    if !output.is_json {
        output::note(text);
    }
}
