//! What a user does with payments that are stuck, besides replacing them, in the verbs that Rust
//! alone has.

use std::collections::BTreeSet;

use btc::bitcoin::{OutPoint, Transaction, Txid};
use btc::{BitcoinError, ErrorKind, FeeRate};

use super::handover::Way;
use super::replacement::take_psbt;
use crate::Failure;
use crate::check::AGAIN_MS;
use crate::payments::{Payment, Phase, Standing};
use crate::stage::{Stage, who};
use crate::step::Step;
use crate::truth::Bucket;

impl Stage {
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
        self.note_child(house, transaction);
        self.note("children built");
        self.hand_over(house, language, &side, txid, Way::Clear)
    }

    /// Takes a child down that was built.
    pub(crate) fn note_child(&mut self, house: usize, transaction: Transaction) -> Txid {
        let txid = transaction.compute_txid();
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
        txid
    }

    pub(super) fn rebroadcast(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, _, side) = self.side(step)?;
        let truth = self.truth();
        let payments = &self.houses[house].payments;
        let missing: BTreeSet<Txid> = payments
            .all
            .iter()
            .filter(|it| {
                payments.is_to_send(&truth, it)
                    || payments.standing(&truth, it) == Standing::Missing
            })
            .map(|it| it.txid)
            .collect();
        // Told, with the reason.
        let kept = payments.all.iter();
        let kept: BTreeSet<Txid> = kept
            .filter(|it| !payments.bystanders(&truth, it).is_empty())
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
            if kept.contains(txid) {
                if error.is_none() {
                    return Err(format!("{txid} was sent over what it does not name").into());
                }
                continue;
            }
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
        // What it replaced would come back.
        let mut family = payments.named(&BTreeSet::from([payment.txid]));
        family.retain(|txid| {
            let replaced = payments.get(*txid).map(|it| payments.standing(&truth, it));
            matches!(replaced, Some(Standing::Missing | Standing::Replaced))
        });
        for txid in family.clone() {
            family.extend(payments.open_descendants(&truth, txid));
        }
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
            // It was given up with what it was built on alone, and is so itself now.
            (_, Ok(gone))
                if gone.first() == Some(&payment.txid)
                    && matches!(payment.phase, Phase::Open { .. })
                    && self.houses[house]
                        .payments
                        .is_built_on_abandoned(&truth, &payment) =>
            {
                for txid in gone {
                    if let Some(payment) = self.houses[house].payments.get_mut(txid)
                        && let Phase::Open { due_ms } = payment.phase
                    {
                        payment.phase = Phase::Abandoned { due_ms };
                    }
                }
                Ok(())
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
    pub(super) fn a_payment(
        &self,
        house: usize,
        step: &Step,
        rather: &[Standing],
    ) -> Option<Payment> {
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

/// That a refusal is one of those that a user can do something about.
pub(super) fn refused(error: &BitcoinError) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Rejected => Ok(()),
        _ => Err(format!("it failed: {error}").into()),
    }
}
