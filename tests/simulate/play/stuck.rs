//! What a user does with payments that are stuck, in the verbs that Rust alone has.

use std::collections::BTreeSet;

use btc::bitcoin::{OutPoint, Psbt, Transaction, Txid};
use btc::{BitcoinError, ErrorKind, FeeRate};

use super::pay::{Way, to_transaction};
use crate::Failure;
use crate::check::AGAIN_MS;
use crate::house::{Language, Side};
use crate::payments::{Payment, Phase, Standing};
use crate::stage::{Stage, who};
use crate::step::Step;
use crate::truth::Bucket;

/// What a replacement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
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
                // A replacement that has not reached the node may be replaced in its turn.
                Ok(_) => Err(format!("{} is {standing:?}, and was replaced", original.txid).into()),
                Err(error) => refused(&error),
            };
        }
        if !descendants.is_empty() && !names_them {
            let Err(error) = answer else {
                let message = format!("{} was replaced over {descendants:?}", original.txid);
                return Err(message.into());
            };
            let is_whole = original.inputs().all(|outpoint| {
                self.node.unspent(outpoint).is_some() || self.node.is_waiting(outpoint.txid)
            });
            if !is_whole {
                // It cannot be replaced at all.
                return refused(&error);
            }
            self.note("a replacement refused for its descendants");
            // Whoever knows the replacement of one knows enough.
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
            Err(error) => return refused(&error),
        };
        let replacement = take_psbt(&side, psbt)?;
        let replaces = drops.iter().copied().chain([original.txid]).collect();
        let txid = self.note_replacement(house, &original, replacement, replaces, purpose)?;
        if step.once_in(1, 6) {
            return Ok(());
        }
        self.hand_over(house, language, &side, txid, Way::Clear)
    }

    /// Takes a replacement down that was built.
    fn note_replacement(
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
                let text = error.to_string();
                // The node's minimum is not the wallet's business, nor are parents that are gone,
                // or unconfirmed again with a version that cannot have such a child.
                let is_excused = ["fee not met", "missingorspent", "TRUC-violation"]
                    .iter()
                    .any(|it| text.contains(it));
                if is_excused {
                    return Ok(());
                }
                Err(format!("{txid} was built, and the node would not take it: {error}").into())
            }
        }
    }

    /// A child pays for a transaction that waits and pays the wallet.
    pub(super) fn child(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let expected = self.expected(house, language);
        let parents: Vec<Txid> = expected
            .coins
            .iter()
            .filter(|(_, coin)| matches!(coin.bucket, Bucket::Trusted | Bucket::Untrusted))
            .map(|(outpoint, _)| outpoint.txid)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let Some(parent) = step.one_of(2, &parents).copied() else {
            return self.idle("no transaction that waits pays the wallet");
        };
        let rate = FeeRate::from_sat_per_vb(2 + step.pick(4, 40) as u64);
        let answer = side.verbs()?.accelerate(parent, rate);
        let text = format!("{} asks for a child of {parent} at {rate}", who(house));
        let psbt = match answer {
            Ok(psbt) => {
                self.say(text);
                psbt
            }
            Err(error) => {
                self.say(format!("{text}: {error}"));
                return refused(&error);
            }
        };
        let transaction = take_psbt(&side, psbt)?;
        let txid = transaction.compute_txid();
        for input in &transaction.input {
            let outpoint = input.previous_output;
            let is_free = expected.coins.contains_key(&outpoint)
                && !self.houses[house]
                    .payments
                    .reserved()
                    .contains_key(&outpoint);
            if outpoint.txid != parent || !is_free {
                return Err(format!("{txid} takes {outpoint}, which is not of {parent}").into());
            }
        }
        for output in &transaction.output {
            self.check_change(house, txid, &output.script_pubkey)?;
        }
        self.houses[house].payments.all.push(Payment {
            txid,
            transaction,
            recipients: Vec::new(),
            phase: Phase::Built {
                since_ms: self.now_ms,
            },
            replaces: BTreeSet::new(),
            intent: txid,
        });
        self.note("children built");
        self.hand_over(house, language, &side, txid, Way::Clear)
    }

    pub(super) fn rebroadcast(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, _, side) = self.side(step)?;
        let truth = self.truth();
        let payments = &self.houses[house].payments;
        let missing: BTreeSet<Txid> = payments
            .all
            .iter()
            .filter(|it| payments.standing(&truth, it) == Standing::Missing)
            .map(|it| it.txid)
            .collect();
        let sent = side.verbs()?.rebroadcast(None)?;
        let named: BTreeSet<Txid> = sent.iter().map(|(txid, _)| *txid).collect();
        self.say(format!(
            "{} sends {} missing payments again",
            who(house),
            sent.len()
        ));
        if named != missing {
            return Err(format!("missing are {missing:?}, sent were {named:?}").into());
        }
        for (txid, error) in &sent {
            let is_there = self.node.is_waiting(*txid) || self.node.height_of(*txid).is_some();
            if let Some(payment) = self.houses[house].payments.get_mut(*txid) {
                payment.phase = Phase::Open {
                    due_ms: self.now_ms + AGAIN_MS,
                };
                let would = self.node.would_take(&payment.transaction).is_ok();
                if error.is_none() != is_there || (error.is_some() && would) {
                    return Err(format!("{txid}: {error:?}, and there: {is_there}").into());
                }
            }
        }
        Ok(())
    }

    pub(super) fn abandon(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, _, side) = self.side(step)?;
        let truth = self.truth();
        let Some(payment) = self.a_payment(house, step, &[Standing::Missing]) else {
            return self.idle("no payment was handed over");
        };
        let payments = &self.houses[house].payments;
        let standing = payments.standing(&truth, &payment);
        let mut family = payments.open_descendants(&truth, payment.txid);
        family.insert(payment.txid);
        let answer = side.verbs()?.abandon(payment.txid);
        self.say(format!(
            "{} gives up {}: {answer:?}",
            who(house),
            payment.txid
        ));
        match (standing, answer) {
            (Standing::Missing, Ok(gone)) => {
                if gone.iter().copied().collect::<BTreeSet<_>>() != family {
                    return Err(format!("given up were {gone:?}, not {family:?}").into());
                }
                for txid in family {
                    if let Some(payment) = self.houses[house].payments.get_mut(txid)
                        && let Phase::Open { due_ms } = payment.phase
                    {
                        payment.phase = Phase::Abandoned { due_ms };
                    }
                }
                self.note("payments given up");
                Ok(())
            }
            (Standing::Missing, Err(error)) => {
                Err(format!("{} cannot be given up: {error}", payment.txid).into())
            }
            (_, Ok(_)) => Err(format!("{} is {standing:?} and was given up", payment.txid).into()),
            (_, Err(error)) => refused(&error),
        }
    }

    pub(super) fn lock(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let locked: Vec<OutPoint> = self.houses[house].payments.locked.iter().copied().collect();
        if let Some(outpoint) = step.one_of(2, &locked).filter(|_| step.once_in(3, 2)) {
            self.say(format!("{} unlocks {outpoint}", who(house)));
            if !side.verbs()?.unlock(*outpoint)? {
                return Err(format!("{outpoint} was locked, and was not").into());
            }
            self.houses[house].payments.locked.remove(outpoint);
            return Ok(());
        }
        let expected = self.expected(house, language);
        let free: Vec<OutPoint> = expected.spendable.keys().copied().collect();
        let Some(outpoint) = step.one_of(2, &free) else {
            return self.idle("no coin is free");
        };
        self.say(format!("{} locks {outpoint}", who(house)));
        side.verbs()?.lock(*outpoint)?;
        self.houses[house].payments.locked.insert(*outpoint);
        Ok(())
    }

    /// A payment that was handed over, mostly one that stands so.
    fn a_payment(&self, house: usize, step: &Step, rather: &[Standing]) -> Option<Payment> {
        let truth = self.truth();
        let payments = &self.houses[house].payments;
        let all: Vec<&Payment> = payments
            .all
            .iter()
            .filter(|it| it.was_handed_over())
            .collect();
        let preferred: Vec<&Payment> = all
            .iter()
            .copied()
            .filter(|it| rather.contains(&payments.standing(&truth, it)))
            .collect();
        let from = if preferred.is_empty() || step.once_in(2, 10) {
            &all
        } else {
            &preferred
        };
        step.one_of(2, from).copied().cloned()
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

/// That a refusal is one of those that a user can do something about.
fn refused(error: &BitcoinError) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Rejected => Ok(()),
        _ => Err(format!("it failed: {error}").into()),
    }
}
