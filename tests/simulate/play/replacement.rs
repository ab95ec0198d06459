//! Payments that are replaced: by one that pays more, or by one to the wallet itself.

use std::collections::BTreeSet;

use btc::bitcoin::{OutPoint, Psbt, Transaction, TxIn, Txid};
use btc::{BitcoinError, ErrorKind, FeeRate};

use super::handover::Way;
use super::order::to_transaction;
use super::stuck::refused;
use crate::Failure;
use crate::house::{Language, Side};
use crate::payments::{Payment, Phase, Standing};
use crate::stage::{Stage, who};
use crate::step::Step;
use crate::truth::Bucket;

/// What a replacement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Bump,
    Cancel,
}

impl Stage {
    pub(super) fn bump(&mut self, step: &Step) -> Result<(), Failure> {
        self.replace(step, Purpose::Bump)
    }

    pub(super) fn cancel(&mut self, step: &Step) -> Result<(), Failure> {
        self.replace(step, Purpose::Cancel)
    }

    fn replace(&mut self, step: &Step, purpose: Purpose) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let truth = self.truth();
        let Some(original) = self.a_payment(house, step, &[Standing::InMempool, Standing::Missing])
        else {
            return self.idle("no payment was handed over");
        };
        let payments = &self.houses[house].payments;
        let standing = payments.standing(&truth, &original);
        let descendants = payments.open_descendants(&truth, original.txid);
        let names_them = step.once_in(3, 2);
        let drops: Vec<Txid> = if names_them {
            descendants.iter().copied().collect()
        } else {
            Vec::new()
        };
        let wanted = FeeRate::from_sat_per_kvb(500 + step.pick(4, 120) as u64 * 500);
        let wallet = side.verbs()?;
        let ask = |rate: FeeRate| match purpose {
            Purpose::Bump => wallet.bump_fee(original.txid, rate, &drops),
            Purpose::Cancel => {
                let rate = (!step.once_in(4, 3)).then_some(rate);
                wallet.cancel(original.txid, rate, &drops)
            }
        };
        let mut answer = ask(wanted);
        let text = format!(
            "{} asks for {purpose:?} of {} at {wanted}",
            who(house),
            original.txid
        );
        self.say(match &answer {
            Ok(_) => text,
            Err(error) => format!("{text}: {error}"),
        });
        let may_be = matches!(standing, Standing::InMempool | Standing::Missing);
        if !may_be {
            return match answer {
                Ok(_) => Err(format!("{} is {standing:?}, and was replaced", original.txid).into()),
                Err(error) => refused(&error),
            };
        }
        if !descendants.is_empty() && !names_them {
            let Err(error) = answer else {
                let message = format!("{} was replaced over {descendants:?}", original.txid);
                return Err(message.into());
            };
            if self.is_stuck(&original) {
                return refused(&error);
            }
            self.note("a replacement refused for its descendants");
            // One payment whose replacement is known is enough.
            let payments = &self.houses[house].payments;
            let is_shown = |txid: &&Txid| {
                let payment = payments.get(**txid);
                payment.is_some_and(|it| payments.standing(&truth, it) != Standing::Replaced)
            };
            let shown = descendants.iter().filter(is_shown).copied().collect();
            return check_names(&error, &shown);
        }
        // The lowest rate that would do is named, and does.
        if let Err(error) = &answer
            && let Some(least) = least_rate(error)
        {
            answer = ask(FeeRate::from_sat_per_kvb(least));
            match &answer {
                Ok(_) => self.note("replaced at the lowest rate that was named"),
                Err(error) if least_rate(error).is_some() => {
                    return Err(
                        format!("{least} sat/kvB was named, and is refused: {error}").into(),
                    );
                }
                Err(_) => {}
            }
        }
        let psbt = match answer {
            Ok(psbt) => psbt,
            Err(error) => return self.not_replaced(house, &original, &error),
        };
        let replacement = take_psbt(&side, psbt)?;
        let replaces = drops.iter().copied().chain([original.txid]).collect();
        let txid = self.note_replacement(house, &original, replacement, replaces, purpose)?;
        if step.once_in(1, 6) {
            return Ok(());
        }
        self.hand_over(house, language, &side, txid, Way::Clear)
    }

    /// That there was a reason not to replace what could be replaced: not enough coins, nothing to
    /// build on, or what others made of the same words.
    fn not_replaced(
        &mut self,
        house: usize,
        original: &Payment,
        error: &BitcoinError,
    ) -> Result<(), Failure> {
        let lacks_coins = error
            .context()
            .iter()
            .any(|(name, _)| name == "missing_sat");
        if error.kind() == ErrorKind::Rejected && lacks_coins {
            self.note("not enough coins for a replacement");
            return Ok(());
        }
        let payments = &self.houses[house].payments;
        let named = payments.named(&BTreeSet::from([original.txid]));
        let is_taken = original.inputs().any(|outpoint| {
            let spender = self.node.spender(outpoint);
            spender.is_some_and(|it| !named.contains(&it))
        });
        let reserved = payments.reserved();
        let is_reserved = original.inputs().any(|it| {
            let by = reserved.get(&it).copied();
            // A lock refuses nothing, and what is reserved for the original is the replacement's.
            by.is_some() && !payments.locked.contains(&it) && by != Some(Some(original.txid))
        });
        // It came back after it was replaced; the other one is to be replaced, with it.
        let is_replaced = payments.is_replaced(&self.truth(), original);
        let is_beyond = self.is_stuck(original) || self.is_built_on(house, original);
        if is_beyond || is_taken || is_reserved || is_replaced {
            self.note("a replacement refused for what is below it, above it, or in its place");
            return refused(error);
        }
        Err(format!("{} could be replaced: {error:?}", original.txid).into())
    }

    /// Whether something waits that descends from it and spends coins of the same words, and was
    /// not built here.
    fn is_built_on(&self, house: usize, original: &Payment) -> bool {
        let mut family = BTreeSet::from([original.txid]);
        let mut coins: BTreeSet<OutPoint> = BTreeSet::new();
        for (txid, transaction) in self.truth().all() {
            let is_below = |input: &TxIn| family.contains(&input.previous_output.txid);
            if txid != original.txid && !transaction.input.iter().any(is_below) {
                continue;
            }
            let mut inputs = transaction.input.iter();
            if inputs.any(|it| coins.contains(&it.previous_output))
                && self.houses[house].payments.get(txid).is_none()
            {
                return true;
            }
            family.insert(txid);
            for (vout, output) in (0..).zip(&transaction.output) {
                if self.identity.place(&output.script_pubkey).is_some() {
                    coins.insert(OutPoint { txid, vout });
                }
            }
        }
        false
    }

    /// Whether nodes take no transaction that spends these coins: one is gone, or comes from an
    /// unconfirmed transaction whose version does not go with this one.
    fn is_stuck(&self, original: &Payment) -> bool {
        let is_truc = |it: &Transaction| it.version.0 == 3;
        let waiting = self.truth().waiting;
        original.inputs().any(|outpoint| {
            match waiting.iter().find(|(txid, _)| *txid == outpoint.txid) {
                Some((_, parent)) => is_truc(parent) != is_truc(&original.transaction),
                None => self.node.height_of(outpoint.txid).is_none(),
            }
        })
    }

    /// Takes a replacement down that was built.
    pub(crate) fn note_replacement(
        &mut self,
        house: usize,
        original: &Payment,
        replacement: Transaction,
        replaces: BTreeSet<Txid>,
        purpose: Purpose,
    ) -> Result<Txid, Failure> {
        self.check_replacement(house, original, &replacement, purpose)?;
        let recipients = match purpose {
            Purpose::Bump => original.recipients.clone(),
            Purpose::Cancel => Vec::new(),
        };
        let txid = replacement.compute_txid();
        // Asked for twice, it is built twice.
        let payments = &mut self.houses[house].payments.all;
        payments.retain(|it| it.txid != txid || it.was_handed_over());
        payments.push(Payment {
            txid,
            transaction: replacement,
            recipients,
            phase: Phase::Built {
                since_ms: self.now_ms,
            },
            replaces,
            intent: original.intent,
        });
        self.note("replacements built");
        Ok(txid)
    }

    /// That a replacement keeps what it must keep, and that the node would take it.
    fn check_replacement(
        &mut self,
        house: usize,
        original: &Payment,
        replacement: &Transaction,
        purpose: Purpose,
    ) -> Result<(), Failure> {
        let txid = replacement.compute_txid();
        let expected = self.expected(house, Language::Rust);
        let kept: BTreeSet<OutPoint> = original.inputs().collect();
        let inputs: BTreeSet<OutPoint> = replacement
            .input
            .iter()
            .map(|input| input.previous_output)
            .collect();
        if !kept.is_subset(&inputs) {
            return Err(format!("{txid} leaves out inputs of {}", original.txid).into());
        }
        for added in inputs.difference(&kept) {
            let coin = expected.spendable.get(added);
            if coin.is_none_or(|coin| coin.bucket != Bucket::Confirmed) {
                let message = format!("{txid} adds {added}, which is {coin:?}");
                return Err(message.into());
            }
        }
        let mut rest: Vec<_> = replacement.output.iter().collect();
        if purpose == Purpose::Bump {
            for (script, value) in &original.recipients {
                let at = rest
                    .iter()
                    .position(|it| it.script_pubkey == *script && it.value.to_sat() == *value)
                    .ok_or_else(|| format!("{txid} does not pay {value} sat to {script}"))?;
                rest.remove(at);
            }
        }
        for output in rest {
            if self.identity.place(&output.script_pubkey).is_none() {
                return Err(format!("{txid} pays {} to others", output.value).into());
            }
        }
        match self.node.would_take(replacement) {
            Ok(()) => Ok(()),
            Err(error) => {
                // The node's minimum may have risen since the wallet asked for it.
                if error.to_string().contains("min fee not met") {
                    return Ok(());
                }
                Err(format!("{txid} was built, and the node would not take it: {error}").into())
            }
        }
    }
}

/// The signed transaction of a PSBT of this side.
pub(crate) fn take_psbt(side: &Side, mut psbt: Psbt) -> Result<Transaction, Failure> {
    let wallet = side.verbs()?;
    if !wallet.finalize_psbt(&mut psbt)? {
        return Err("a replacement is not signed".into());
    }
    Ok(to_transaction(&wallet.extract_psbt(&psbt, true)?))
}

/// That a refusal names these transactions.
fn check_names(error: &BitcoinError, txids: &BTreeSet<Txid>) -> Result<(), Failure> {
    let context = error.context();
    let named = context.iter().find(|(name, _)| name == "descendants");
    let named = named.map_or("", |(_, value)| value);
    match txids.iter().find(|txid| !named.contains(&txid.to_string())) {
        Some(txid) => Err(format!("{txid} would be lost and is not named: {error:?}").into()),
        None => Ok(()),
    }
}

pub(crate) fn least_rate(error: &BitcoinError) -> Option<u64> {
    let context = error.context();
    let named = context
        .iter()
        .find(|(name, _)| name == "min_fee_rate_sat_per_kvb")?;
    named.1.parse().ok()
}
