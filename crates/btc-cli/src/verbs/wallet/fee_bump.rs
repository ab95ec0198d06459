//! `btc bump` and `btc cancel`: raise the fee of what is not confirmed, and take it back.

use btc::bitcoin::{Psbt, Txid};
use btc::rust::wallet::RustWallet;
use btc::{BitcoinError, WalletInterface, rust};

use super::send::{Consent, SENDING, conclude};
use super::{configuration, follow, network, open, open_unlocked};
use crate::confirm;
use crate::exit::Failure;
use crate::flags::{Bump, Cancel, Raise};
use crate::output::Output;
use crate::verbs::Done;

pub(super) fn bump(output: Output, options: &Bump) -> Done {
    let run = Permission {
        is_dry_run: options.dry_run,
        is_granted: options.yes,
        allows_high_fee: options.raise.allow_high_fee,
    };
    // What the payment was called is what its replacement is called.
    let labelled = (!options.raise.child).then_some(options.raise.txid);
    run.send(output, labelled, |wallet| raised(wallet, &options.raise))
}

pub(super) fn cancel(output: Output, options: &Cancel) -> Done {
    let run = Permission {
        is_dry_run: options.dry_run,
        is_granted: options.yes,
        allows_high_fee: options.allow_high_fee,
    };
    let raise = rust::wallet::Raise {
        fee_rate: options.fee_rate,
        drops: options.drops.clone(),
        from_recipient: false,
        allow_high_fee: options.allow_high_fee,
    };
    run.send(output, None, |wallet| {
        let built = wallet.preview_cancel(options.txid, &raise)?;
        Ok((built.psbt, built.replaces))
    })
}

/// A replacement or a child, built without reserving, and the payments that it replaces.
pub(super) fn raised(
    wallet: &RustWallet,
    options: &Raise,
) -> Result<(Psbt, Vec<Txid>), BitcoinError> {
    if options.child {
        let (txid, fee_rate) = (options.txid, options.fee_rate);
        let psbt = wallet.preview_child(txid, fee_rate, options.allow_high_fee)?;
        return Ok((psbt, Vec::new()));
    }
    let raise = rust::wallet::Raise {
        fee_rate: Some(options.fee_rate),
        drops: options.drops.clone(),
        from_recipient: options.from_recipient,
        allow_high_fee: options.allow_high_fee,
    };
    let built = wallet.preview_bump(options.txid, &raise);
    let built = built.map_err(|error| advised(wallet, options.txid, &raise, error))?;
    Ok((built.psbt, built.replaces))
}

/// The error with what would do, where coins are missing that the recipient could do without.
fn advised(
    wallet: &RustWallet,
    txid: Txid,
    raise: &rust::wallet::Raise,
    error: BitcoinError,
) -> BitcoinError {
    let mut context = error.context().iter();
    if raise.from_recipient || !context.any(|(name, _)| name == "missing_sat") {
        return error;
    }
    let lower = rust::wallet::Raise {
        from_recipient: true,
        ..raise.clone()
    };
    match wallet.preview_bump(txid, &lower) {
        Ok(_) => error.with_context("advice", "--from-recipient takes it from the recipient"),
        Err(_) => error,
    }
}

/// How a verb that replaces runs.
struct Permission {
    is_dry_run: bool,
    is_granted: bool,
    allows_high_fee: bool,
}

impl Permission {
    /// Opens the wallet and follows the chain, builds, shows, asks and sends. What is sent gets the
    /// label of the payment `labelled`.
    fn send(
        &self,
        output: Output,
        labelled: Option<Txid>,
        build: impl FnOnce(&RustWallet) -> Result<(Psbt, Vec<Txid>), BitcoinError>,
    ) -> Done {
        let config = configuration()?;
        let network = network(&config)?;
        if !self.is_dry_run {
            confirm::can_be_given(network, self.is_granted, SENDING)?;
        }
        let wallet = if self.is_dry_run {
            open(&config)?
        } else {
            open_unlocked(&config)?
        };
        follow(&wallet)?;
        let (psbt, replaces) = build(&wallet)?;
        let label = match labelled {
            Some(txid) => label(&wallet, txid)?,
            None => None,
        };
        let consent = Consent {
            replaces: &replaces,
            is_dry_run: self.is_dry_run,
            is_granted: self.is_granted,
            allows_high_fee: self.allows_high_fee,
            label: label.as_deref(),
        };
        conclude(output, &wallet, network, psbt, &consent)
    }
}

fn label(wallet: &RustWallet, txid: Txid) -> Result<Option<String>, Failure> {
    let mut known = wallet.history()?.into_iter();
    let entry = known.find(|entry| entry.txid == txid);
    Ok(entry.and_then(|entry| entry.label))
}
