//! `btc send` through the eight operations: what Python offers, and what shadow mode compares. What
//! comes back is believed in nothing that can be checked here before it is sent.

use btc::bitcoin::{Address, ScriptBuf};
use btc::rust::wallet::folder::Folder;
use btc::rust::wallet::keys::{Keychain, Keyring};
use btc::rust::wallet::reservations::{Reservations, now_ms};
use btc::{BitcoinInterface, BitcoinResult, BitcoinTransaction, Chain, Config, FeeRate, Network};

use super::send::{announce, estimated, usage};
use super::summary::{Summary, Whose};
use super::{outcome, remark};
use crate::exit::{Code, Failure};
use crate::flags::{Payment, Send};
use crate::output::Output;
use crate::verbs::Done;

/// How far beyond the indices that the wallet knows an address of its own is looked for.
const LOOK_AHEAD: u32 = 1_000;
/// The most indices of a chain that are looked at.
const MAX_INDICES: u32 = 200_000;

/// Builds, checks, shows, asks and sends.
pub(super) fn send(
    output: Output,
    options: &Send,
    config: &Config,
    bitcoin: &dyn BitcoinInterface,
    network: Network,
) -> Done {
    let payment = &options.payment;
    refuse_what_is_not_plain(options)?;
    let asked = payment
        .recipients
        .iter()
        .map(|it| Ok((script(&it.address, network)?, it.value_sat)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let fee_rate = match payment.fee_rate {
        Some(fee_rate) => plain_rate(fee_rate)?,
        None => estimated(bitcoin)?,
    };
    let outputs: Vec<_> = payment
        .recipients
        .iter()
        .map(|recipient| (recipient.address.clone(), recipient.value_sat))
        .collect();
    let transaction = bitcoin.create_transaction(outputs, fee_rate)?;
    let approve = || -> Result<Summary, Failure> {
        let whose = whose(&transaction, &asked, config)?;
        let summary = Summary::of_payment(&transaction, network, &whose);
        check_fee(payment, &transaction)?;
        announce(output, network, options.yes, &summary)?;
        Ok(summary)
    };
    let summary =
        approve().inspect_err(|_| remark(output, "its coins stay reserved for 10 minutes"))?;
    bitcoin
        .broadcast_transaction(&transaction)
        .map_err(|error| outcome::of_broadcast(error, transaction.txid))?;
    outcome::sent(output, &summary, transaction.txid);
    if options.label.is_some() {
        let name = config.implementation;
        let message = format!("the {name} wallet keeps no labels here; none was stored");
        remark(output, &message);
    }
    Ok(Code::Ok)
}

/// Whose each output is. Each that was asked for must be there once, script and amount, and every
/// other one must be the wallet's own.
fn whose(
    transaction: &BitcoinTransaction,
    asked: &[(ScriptBuf, u64)],
    config: &Config,
) -> Result<Vec<Whose>, Failure> {
    let mut open = asked.to_vec();
    let mut own = Own::default();
    let mut found = Vec::with_capacity(transaction.outputs.len());
    for output in &transaction.outputs {
        let place = open.iter().position(|(script, value_sat)| {
            *script == output.script_pubkey && *value_sat == output.value_sat
        });
        if let Some(place) = place {
            open.swap_remove(place);
            found.push(Whose::Other);
            continue;
        }
        let Some(chain) = own.chain_of(&output.script_pubkey, config)? else {
            return Err(not_as_asked(&format!(
                "it pays {} sat to script {:x}, which was not asked for and is not known to be the \
                 wallet's",
                output.value_sat, output.script_pubkey
            )));
        };
        found.push(match chain {
            Chain::Receive => Whose::Own,
            Chain::Change => Whose::Change,
        });
    }
    if let Some((script, value_sat)) = open.first() {
        return Err(not_as_asked(&format!(
            "it does not pay the {value_sat} sat to script {script:x} that were asked for"
        )));
    }
    Ok(found)
}

fn not_as_asked(what: &str) -> Failure {
    Failure::Other(
        Code::Failed,
        format!(
            "the transaction that was built is not the one that was asked for: {what}; nothing was sent"
        ),
    )
}

/// The wallet's own scripts, derived here from the public descriptors in its folder.
#[derive(Default)]
struct Own {
    known: Option<Known>,
}

/// The wallet's public keys, and of each chain the highest index that its folder knows of.
struct Known {
    keyring: Keyring,
    chains: Vec<(Keychain, u32)>,
}

impl Own {
    /// The chain of keys that a script is on.
    fn chain_of(&mut self, script: &ScriptBuf, config: &Config) -> BitcoinResult<Option<Chain>> {
        if self.known.is_none() {
            self.known = Some(Known::read(config)?);
        }
        let Known { keyring, chains } = self.known.as_ref().expect("read above");
        for &(keychain, highest) in chains {
            // The index that was just taken first.
            let last = highest.saturating_add(LOOK_AHEAD).min(MAX_INDICES);
            for index in std::iter::once(highest).chain(0..=last) {
                if keyring.script(keychain, index)? == *script {
                    return Ok(Some(keychain.1));
                }
            }
        }
        Ok(None)
    }
}

impl Known {
    fn read(config: &Config) -> BitcoinResult<Self> {
        let dir = &config.wallet.as_ref().expect("checked when loaded").dir;
        let (_, keyring) = Folder::peek(dir)?;
        let reservations = Reservations::open_read_only(dir)?;
        let next = reservations.all_next()?;
        let mut chains = Vec::new();
        for (keychain, _) in keyring.keychains() {
            let given = next.get(&keychain).copied().unwrap_or(0);
            let reserved = match keychain {
                (_, Chain::Receive) => None,
                (kind, Chain::Change) => reservations.reserved_change(kind, now_ms())?,
            };
            chains.push((keychain, reserved.unwrap_or(0).max(given)));
        }
        // Change is what there is to find, as a rule.
        chains.sort_by_key(|((_, chain), _)| *chain != Chain::Change);
        Ok(Self { keyring, chains })
    }
}

/// The eight operations have rates in whole sat/vB.
fn plain_rate(fee_rate: FeeRate) -> Result<u64, Failure> {
    let sat_per_vb = fee_rate.sat_per_vb_ceil();
    if FeeRate::from_sat_per_vb(sat_per_vb) == fee_rate {
        return Ok(sat_per_vb);
    }
    Err(usage(format!(
        "only the Rust wallet on its own has a fee rate of {fee_rate}; give whole sat/vB, or set \
         USE_RUST_BITCOIN=true and SHADOW_MODE=false"
    )))
}

fn refuse_what_is_not_plain(options: &Send) -> Result<(), Failure> {
    let payment = &options.payment;
    let used: Vec<&str> = [
        (payment.drain_to.is_some(), "--drain-to"),
        (payment.data.is_some(), "--data"),
        (!payment.coins.is_empty(), "--coin"),
        (!payment.avoid.is_empty(), "--avoid"),
        (payment.selection.is_some(), "--selection"),
        (options.dry_run, "--dry-run"),
    ]
    .into_iter()
    .filter_map(|(is_used, name)| is_used.then_some(name))
    .collect();
    if used.is_empty() {
        return Ok(());
    }
    Err(usage(format!(
        "only the Rust wallet on its own has {}; set USE_RUST_BITCOIN=true and SHADOW_MODE=false",
        used.join(", ")
    )))
}

/// The interface knows no limit, so it is checked before anything is sent. A fee that the answer
/// does not tell may be any.
fn check_fee(payment: &Payment, transaction: &BitcoinTransaction) -> Result<(), Failure> {
    if payment.allow_high_fee {
        return Ok(());
    }
    let Some(fee_sat) = transaction.fee_sat else {
        return Err(usage(
            "the transaction that was built does not say its fee, so it may be any; allow that \
             (--allow-high-fee), or let another implementation build it; nothing was sent"
                .to_owned(),
        ));
    };
    let sent_sat = payment.recipients.iter().map(|it| u128::from(it.value_sat));
    let sent_sat: u128 = sent_sat.sum();
    if u128::from(fee_sat) * 10 > sent_sat {
        return Err(usage(format!(
            "a fee of {fee_sat} sat is more than 10 % of the {sent_sat} sat that are sent; lower \
             the fee rate, or allow a high fee (--allow-high-fee); nothing was sent"
        )));
    }
    Ok(())
}

fn script(address: &str, network: Network) -> Result<ScriptBuf, Failure> {
    let parsed = address.parse::<Address<_>>().ok();
    let here = parsed.and_then(|address| address.require_network(network).ok());
    here.map(|address| address.script_pubkey()).ok_or_else(|| {
        let network = btc::types::network::name(network);
        usage(format!(
            "`{address}` is not an address of {network}; nothing was sent"
        ))
    })
}
