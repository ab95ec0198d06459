//! Payments that are built, and what must hold of each.

use std::collections::BTreeSet;

use btc::bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use btc::{BitcoinError, BitcoinResult, BitcoinTransaction, Chain, ErrorKind, WalletSnapshot};
use btc_regtest::sim::SimError;

use super::handover::Way;
use super::order::{Order, create, outputs, to_transaction};
use crate::Failure;
use crate::check::Expected;
use crate::house::Language;
use crate::payments::{Payment, Phase};
use crate::stage::{Stage, who};
use crate::step::Step;
use crate::truth::Bucket;

impl Stage {
    pub(super) fn create(&mut self, step: &Step) -> Result<(), Failure> {
        self.build(step, Way::Clear).map(drop)
    }

    /// Builds a payment; nothing when there are not enough coins.
    pub(crate) fn build(&mut self, step: &Step, way: Way) -> Result<Option<Txid>, Failure> {
        let (house, language, side) = self.side(step)?;
        let expected = self.expected(house, language);
        let order = self.order(step, &expected);
        let built = create(&side, &order);
        if way == Way::Clear {
            self.after_sync(house)?;
        } else {
            self.after_sync_if_sent(house)?;
        }
        // What was sent again is there before the payment is built.
        let expected = self.expected(house, language);
        let txid = self.note_built(house, language, &order, &expected, built, way)?;
        if let Some(txid) = txid.filter(|_| way == Way::Clear) {
            self.check_change_index(house, language, txid)?;
        }
        Ok(txid)
    }

    /// That change goes to the next index: those that were reserved and not used went back.
    fn check_change_index(
        &mut self,
        house: usize,
        language: Language,
        txid: Txid,
    ) -> Result<(), Failure> {
        let keychain = (self.setup.change_type, Chain::Change);
        let house = &self.houses[house];
        if !house.payments.strays.is_empty() {
            // Which index those have that a killed process built is not known.
            return Ok(());
        }
        let indices = |payment: &Payment| {
            let outputs = payment.transaction.output.iter();
            let places = outputs.filter_map(|it| self.identity.place(&it.script_pubkey));
            let change = places.filter(|place| place.keychain == keychain);
            change.map(|place| place.index).max()
        };
        let payments = house.payments.all.iter();
        let reserved = payments
            .filter(|it| it.txid != txid && matches!(it.phase, Phase::Built { .. }))
            .filter_map(indices)
            .max();
        let used = house.used.get(&language).and_then(|it| it.get(&keychain));
        let wanted = reserved.max(used.copied()).map_or(0, |highest| highest + 1);
        match house.payments.get(txid).and_then(indices) {
            Some(index) if index != wanted => {
                let message = format!("the change of {txid} has index {index}; {wanted} is next");
                Err(message.into())
            }
            _ => Ok(()),
        }
    }

    /// Takes down a payment that was built, or why it was not.
    pub(crate) fn note_built(
        &mut self,
        house: usize,
        language: Language,
        order: &Order,
        expected: &Expected,
        built: BitcoinResult<(BitcoinTransaction, WalletSnapshot)>,
        way: Way,
    ) -> Result<Option<Txid>, Failure> {
        let sum: u64 = order.recipients.iter().map(|(_, _, value)| value).sum();
        let text = format!(
            "{} builds a payment of {sum} sat at {} sat/vB in {}",
            who(house),
            order.rate,
            language.name()
        );
        let (plain, snapshot) = match built {
            Ok(built) => built,
            Err(error) => {
                self.say(format!("{text}: {error}"));
                return self.not_built(order, expected, &error, way).map(|()| None);
            }
        };
        let transaction = to_transaction(&plain);
        self.say(format!("{text}: {}", plain.txid));
        self.check_built(house, order, expected, &transaction)?;
        self.check_other_language(house, language, order, &plain, &snapshot)?;
        let recipients = order.recipients.iter();
        let payment = Payment {
            txid: plain.txid,
            transaction,
            recipients: recipients
                .map(|(script, _, value)| (script.clone(), *value))
                .collect(),
            phase: Phase::Built {
                since_ms: self.now_ms,
            },
            replaces: BTreeSet::new(),
            intent: plain.txid,
        };
        if self.houses[house].payments.get(plain.txid).is_some() {
            return Err(format!("{} was built twice", plain.txid).into());
        }
        self.houses[house].payments.all.push(payment);
        Ok(Some(plain.txid))
    }

    /// That there was a reason not to build.
    fn not_built(
        &mut self,
        order: &Order,
        expected: &Expected,
        error: &BitcoinError,
        way: Way,
    ) -> Result<(), Failure> {
        if way == Way::Disturbed && error.kind().is_transport() {
            return Ok(());
        }
        if error.kind() != ErrorKind::Rejected {
            return Err(format!("building failed: {error}").into());
        }
        let confirmed = expected
            .spendable
            .values()
            .filter(|coin| coin.bucket == Bucket::Confirmed);
        let (mut worth, mut count) = (0, 0);
        for coin in confirmed {
            worth += coin.value_sat;
            count += 1;
        }
        let sum: u64 = order.recipients.iter().map(|(_, _, value)| value).sum();
        let most_vb = 12 + 148 * count + 43 * (order.recipients.len() as u64 + 1);
        // A block in the middle of the call confirms coins that were others' before.
        if expected.is_exact && worth > sum + most_vb * order.rate {
            let message = format!("{worth} sat of confirmed coins are enough, and it says {error}");
            return Err(message.into());
        }
        self.note("not enough coins");
        Ok(())
    }

    /// That a payment pays what it should, from coins that are free, at the right rate.
    pub(crate) fn check_built(
        &self,
        house: usize,
        order: &Order,
        expected: &Expected,
        transaction: &Transaction,
    ) -> Result<(), Failure> {
        let txid = transaction.compute_txid();
        let mut worth = 0;
        let mut takes_pending = false;
        let mut taken: BTreeSet<OutPoint> = BTreeSet::new();
        for input in &transaction.input {
            let outpoint = input.previous_output;
            let Some(coin) = expected.spendable.get(&outpoint) else {
                let why = if expected.coins.contains_key(&outpoint) {
                    "is not free"
                } else {
                    "is not there"
                };
                return Err(format!("{txid} takes {outpoint}, which {why}").into());
            };
            worth += coin.value_sat;
            takes_pending |= coin.bucket == Bucket::Trusted;
            taken.insert(outpoint);
        }
        let left_out = expected
            .spendable
            .iter()
            .find(|(it, coin)| coin.bucket == Bucket::Confirmed && !taken.contains(it));
        if let (true, true, Some((outpoint, _))) = (expected.is_exact, takes_pending, left_out) {
            let message = format!("{txid} takes pending coins, and {outpoint} is confirmed");
            return Err(message.into());
        }
        let mut rest: Vec<_> = transaction.output.iter().collect();
        for (script, _, value) in &order.recipients {
            let at = rest
                .iter()
                .position(|it| it.script_pubkey == *script && it.value.to_sat() == *value)
                .ok_or_else(|| format!("{txid} does not pay {value} sat to {script}"))?;
            rest.remove(at);
        }
        if let Some(change) = rest.pop() {
            self.check_change(house, txid, &change.script_pubkey)?;
        }
        if !rest.is_empty() {
            return Err(format!("{txid} has outputs that it should not").into());
        }
        let given: u64 = transaction.output.iter().map(|it| it.value.to_sat()).sum();
        let fee = worth - given;
        let size = transaction.vsize() as u64;
        let slack = (transaction.input.len() as u64 + 1) * order.rate + 600 + 150 * order.rate;
        let is_dear = expected.is_exact && !takes_pending && fee > size * order.rate + slack;
        if fee < size * order.rate || is_dear {
            let rate = order.rate;
            return Err(format!("{txid} pays {fee} sat for {size} vB at {rate} sat/vB").into());
        }
        self.check_taken(transaction)
    }

    /// That change goes to an address of the wallet that no other payment of this folder uses.
    pub(crate) fn check_change(
        &self,
        house: usize,
        txid: Txid,
        script: &ScriptBuf,
    ) -> Result<(), Failure> {
        let wanted = (self.setup.change_type, Chain::Change);
        let place = self.identity.place(script);
        if place.map(|place| place.keychain) != Some(wanted) {
            return Err(format!("the change of {txid} goes to {place:?}").into());
        }
        let intent = |of: Txid| self.houses[house].payments.get(of).map(|it| it.intent);
        let other = self.houses[house].payments.all.iter().find(|payment| {
            payment.phase != Phase::LetGo
                && payment.txid != txid
                && intent(payment.txid) != intent(txid)
                && payment
                    .transaction
                    .output
                    .iter()
                    .any(|it| it.script_pubkey == *script)
        });
        match other {
            Some(other) => Err(format!("{txid} and {} share {place:?}", other.txid).into()),
            None => Ok(()),
        }
    }

    /// That the node would take it, if it pays what the node asks for at the least.
    fn check_taken(&self, transaction: &Transaction) -> Result<(), Failure> {
        match self.node.would_take(transaction) {
            Ok(()) => Ok(()),
            Err(SimError::Refused { message, .. }) if message.contains("fee not met") => Ok(()),
            Err(error) => {
                let txid = transaction.compute_txid();
                Err(format!("{txid} was built, and the node would not take it: {error}").into())
            }
        }
    }

    /// That the other implementation builds the same bytes from the same snapshot.
    fn check_other_language(
        &mut self,
        house: usize,
        language: Language,
        order: &Order,
        plain: &BitcoinTransaction,
        snapshot: &WalletSnapshot,
    ) -> Result<(), Failure> {
        for other in Language::ALL {
            let is_asked = self.setup.languages.contains(&other)
                && self.houses[house].is_open(other)
                && other != language;
            if !is_asked {
                continue;
            }
            let side = self.houses[house].side(other, &self.node)?;
            let outputs = outputs(order);
            let planned = side
                .operations
                .plan_transaction(&outputs, order.rate, snapshot);
            let planned = match planned {
                Ok(planned) => planned.transaction,
                // What disturbs the way disturbs both.
                Err(error) if error.kind().is_transport() => continue,
                Err(error) => return Err(error.into()),
            };
            if planned.txid != plain.txid || planned.wtxid != plain.wtxid {
                let message = format!(
                    "{} builds {} where {} builds {}",
                    other.name(),
                    planned.txid,
                    language.name(),
                    plain.txid
                );
                return Err(message.into());
            }
            self.note("built alike by both languages");
        }
        Ok(())
    }
}
