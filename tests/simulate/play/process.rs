//! Sides that are closed, killed, overtaken by each other, and clocks.

use std::sync::{Arc, Mutex, PoisonError};

use btc::bitcoin::Txid;
use btc::rust::wallet::reservations::{self, Reservations};
use btc::{AddressType, BitcoinAddress, BitcoinResult, BitcoinTransaction, Chain, WalletSnapshot};
use btc_regtest::sim::{Fate, Moment, coins};

use super::handover::Way;
use super::order::{Order, create};
use crate::Failure;
use crate::check::AGAIN_MS;
use crate::house::{Language, Side};
use crate::identity::copy;
use crate::payments::{Payment, Phase, Stray};
use crate::stage::{Stage, who};
use crate::step::Step;

/// What the node answers to a process that is dead.
const DEAD: &str = "the process was killed";

type Built = BitcoinResult<(BitcoinTransaction, WalletSnapshot)>;

/// What the other side did in the middle of a call.
enum Done {
    Built(Box<Built>),
    Given(BitcoinResult<BitcoinAddress>),
    Nothing,
}

impl Stage {
    pub(super) fn close(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language) = (self.which_house(step), self.which_language(step));
        if !self.houses[house].is_open(language) {
            return self.idle("it is not open");
        }
        self.say(format!("{} closes {}", who(house), language.name()));
        self.houses[house].close(language);
        Ok(())
    }

    /// The process dies at a request that it makes, before or after the node has done what it
    /// asks for. What was on disk at that moment is what the next life finds.
    pub(super) fn kill(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let (from, to) = (self.houses[house].dir(), self.houses[house].next_life());
        let at = step.pick(0, 8);
        let moment = if step.once_in(1, 2) {
            Moment::After
        } else {
            Moment::Before
        };
        let seen: Arc<Mutex<Option<String>>> = Arc::default();
        let said = Arc::clone(&seen);
        let target = to.clone();
        let mut count = 0;
        self.node.set_tap(Some(Box::new(move |call, now| {
            let mut seen = said.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.is_some() {
                return Fate::Refuse(-28, DEAD.to_owned());
            }
            if now != moment {
                return Fate::Proceed;
            }
            count += 1;
            if count <= at {
                return Fate::Proceed;
            }
            // A copy that fails shows when the next life begins.
            let _ = copy(&from, &target);
            *seen = Some(call.name.clone());
            match now {
                Moment::Before => Fate::Refuse(-28, DEAD.to_owned()),
                Moment::After => Fate::Drop,
            }
        })));
        let before = (
            self.houses[house].payments.clone(),
            self.houses[house].next.clone(),
            self.promised.clone(),
            self.given.len(),
        );
        let ended = self.last_call(step, house, language, &side);
        self.node.set_tap(None);
        let died_at = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(side);
        if died_at.is_none() {
            // It made no further request: the process dies after the call.
            copy(&self.houses[house].dir(), &to)?;
        }
        self.say(format!("the process dies at {died_at:?}"));
        self.houses[house].go_on_with(&to)?;
        let (sent, given) = ended?;
        let Some(died_at) = died_at else {
            return Ok(());
        };
        let phase_after = sent.and_then(|txid| self.houses[house].payments.get(txid));
        let is_refused = phase_after.is_some_and(|it| it.phase == Phase::LetGo);
        // What the call said after that moment no one has heard.
        let given_before = before.3;
        (
            self.houses[house].payments,
            self.houses[house].next,
            self.promised,
        ) = (before.0, before.1, before.2);
        self.given.truncate(given_before);
        self.find_strays(house)?;
        if let Some(txid) = sent {
            let is_written = self.houses[house].rows()?.contains_key(&txid);
            if died_at == "sendrawtransaction" && !is_written && self.has_a_coin(house, txid) {
                return Err(format!("{txid} was handed over and is not written down").into());
            }
            if let Some(payment) = self.houses[house].payments.get_mut(txid)
                && is_written
            {
                payment.phase = Phase::Open {
                    due_ms: self.now_ms + AGAIN_MS,
                };
            }
            if is_refused {
                self.let_go_if_released(house, txid)?;
            }
        }
        if let Some(address_type) = given {
            // An index that no one was told may be lost.
            let keychain = (address_type, Chain::Receive);
            let reservations = Reservations::open(&self.houses[house].dir())?;
            let next = reservations.next_index(keychain)?;
            let before = self.houses[house].next.get(&keychain).copied().unwrap_or(0);
            if next < before {
                return Err(format!("{next} is next, and {before} was before").into());
            }
            self.houses[house].next.insert(keychain, next);
        }
        self.after_sync_if_sent(house)
    }

    /// A payment that the node had refused before the process died: its coins may be free already.
    fn let_go_if_released(&mut self, house: usize, txid: Txid) -> Result<(), Failure> {
        let reserved = self.houses[house].reserved_rows()?;
        if let Some(payment) = self.houses[house].payments.get_mut(txid) {
            let token = reservations::token(&payment.transaction).to_string();
            let is_built = matches!(payment.phase, Phase::Built { .. });
            if is_built && reserved.iter().all(|(_, reason)| *reason != token) {
                payment.phase = Phase::LetGo;
                payment.replaces.clear();
            }
        }
        Ok(())
    }

    /// Whether a coin that a payment spends is one to a wallet that was opened just now. One that
    /// others took back is not unless it is reserved for it, and what spends it is no payment of
    /// that wallet.
    fn has_a_coin(&self, house: usize, txid: Txid) -> bool {
        let payments = &self.houses[house].payments;
        let payment = payments.get(txid);
        payment.is_some_and(|payment| {
            if matches!(payment.phase, Phase::Built { .. }) {
                return true;
            }
            payment.inputs().any(|it| {
                let parent = payments.get(it.txid);
                self.node.is_waiting(it.txid)
                    || self.node.height_of(it.txid).is_some()
                    || parent.is_some_and(Payment::was_handed_over)
            })
        })
    }

    /// Takes down what is reserved for payments that no one was told of.
    fn find_strays(&mut self, house: usize) -> Result<(), Failure> {
        let known = self.houses[house].payments.reserved();
        for (outpoint, reason) in self.houses[house].reserved_rows()? {
            if reason != "locked" && !known.contains_key(&outpoint) {
                let stray = Stray {
                    coin: outpoint,
                    since_ms: self.now_ms,
                    token: reason,
                };
                self.houses[house].payments.strays.push(stray);
            }
        }
        Ok(())
    }

    /// The call in which the process dies: what was handed over, or of which type an address was
    /// asked for.
    fn last_call(
        &mut self,
        step: &Step,
        house: usize,
        language: Language,
        side: &Side,
    ) -> Result<(Option<Txid>, Option<AddressType>), Failure> {
        match step.pick(2, 5) {
            0 => {
                let address_type = AddressType::ALL[step.pick(3, AddressType::ALL.len())];
                if let Ok(address) = side.operations.generate_address(address_type)
                    && address.index.is_some_and(|index| index < 60)
                {
                    self.note_given(house, language, address)?;
                }
                Ok((None, Some(address_type)))
            }
            1 => {
                // Its answer does not matter.
                let _ = side.operations.get_balance();
                self.after_sync_if_sent(house)?;
                Ok((None, None))
            }
            2 => {
                self.build(step, Way::Disturbed)?;
                Ok((None, None))
            }
            _ => {
                let handed: Vec<Txid> = self.houses[house]
                    .payments
                    .all
                    .iter()
                    .filter(|it| !matches!(it.phase, Phase::Abandoned { .. }))
                    .map(|it| it.txid)
                    .collect();
                let Some(txid) = step.one_of(3, &handed).copied() else {
                    self.build(step, Way::Disturbed)?;
                    return Ok((None, None));
                };
                let payments = &self.houses[house].payments;
                let payment = payments.get(txid).ok_or("it is known")?.clone();
                if payments.refusal(&self.truth(), &payment).is_some() {
                    return Ok((None, None));
                }
                self.hand_over(house, language, side, txid, Way::Disturbed)?;
                Ok((Some(txid), None))
            }
        }
    }

    /// After a call that was cut off: which missing payments were sent again shows in the file.
    pub(crate) fn after_sync_if_sent(&mut self, house: usize) -> Result<(), Failure> {
        let rows = self.houses[house].rows()?;
        let mut sent = Vec::new();
        for payment in &self.houses[house].payments.all {
            if let (Phase::Open { due_ms }, Some((_, at_ms))) =
                (payment.phase, rows.get(&payment.txid))
                && self.was_drawn(due_ms, *at_ms)
            {
                sent.push(payment.txid);
            }
        }
        for txid in sent {
            let due_ms = self.now_ms + AGAIN_MS;
            if let Some(payment) = self.houses[house].payments.get_mut(txid) {
                payment.phase = Phase::Open { due_ms };
            }
        }
        Ok(())
    }

    /// One side acts while the other is in the middle of a call.
    pub(super) fn meanwhile(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let other = self
            .setup
            .languages
            .iter()
            .copied()
            .find(|it| *it != language);
        let (there, other) = match other {
            Some(other) => (house, other),
            None if self.houses.len() > 1 => (1 - house, language),
            None => return self.idle("there is no other side"),
        };
        let helper = self.open(there, other)?;
        let mine = self.expected(house, language);
        let theirs = self.expected(there, other);
        let first = self.order(step, &mine);
        let second = self.order(step, &theirs);
        let at = step.pick(0, 6);
        let address_type = AddressType::ALL[step.pick(3, AddressType::ALL.len())];
        let done: Arc<Mutex<Option<Done>>> = Arc::default();
        let result = Arc::clone(&done);
        let node = Arc::clone(&self.node);
        let what = step.pick(1, 4);
        let order = second.clone();
        let mut count = 0;
        self.node.set_tap(Some(Box::new(move |_, moment| {
            if moment == Moment::Before {
                count += 1;
            }
            let mut done = result.lock().unwrap_or_else(PoisonError::into_inner);
            if done.is_none() && moment == Moment::Before && count > at {
                *done = Some(act(what, &helper, &order, address_type, &node));
            }
            Fate::Proceed
        })));
        let asks_address = step.once_in(4, 4);
        let (mut built, mut given) = (None, None);
        if asks_address {
            given = Some(side.operations.generate_address(address_type));
        } else {
            built = Some(create(&side, &first));
        }
        self.node.set_tap(None);
        let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.say(format!(
            "in the middle of a call, {} in {} {}",
            who(there),
            other.name(),
            match done {
                Some(Done::Built(_)) => "builds a payment",
                Some(Done::Given(_)) => "gives out an address",
                Some(Done::Nothing) => "does nothing, and a block comes",
                None => "has no time to act",
            }
        ));
        match done {
            Some(Done::Built(theirs_built)) => {
                self.note("built in the middle of a call");
                self.after_sync_if_sent(there)?;
                // What was sent again in the middle of the call may be built on.
                let theirs = self.expected(there, other);
                self.note_built(there, other, &second, &theirs, *theirs_built, Way::Clear)?;
            }
            Some(Done::Given(address)) => self.note_given(there, other, address?)?,
            Some(Done::Nothing) | None => {}
        }
        self.after_sync_if_sent(house)?;
        if let Some(address) = given {
            self.note_given(house, language, address?)?;
        }
        if let Some(built) = built {
            // What the other has taken meanwhile is not free any more.
            let mut expected = self.expected(house, language);
            expected.is_exact = what != 3;
            self.note_built(house, language, &first, &expected, built, Way::Clear)?;
        }
        Ok(())
    }

    /// The clock goes on, or is set back.
    pub(super) fn pass_time(&mut self, step: &Step) -> Result<(), Failure> {
        const MINUTE_MS: i64 = 60_000;
        let minutes = [11, 1, 70, 9, -3, 11, 1_600, -200][step.pick(0, 8)];
        for house in &self.houses {
            house.pass_time(minutes * MINUTE_MS)?;
        }
        self.now_ms += minutes * MINUTE_MS;
        self.say(format!("the clock goes on by {minutes} minutes"));
        Ok(())
    }
}

/// What the other side does, from within the node.
fn act(
    what: usize,
    side: &Side,
    order: &Order,
    address_type: AddressType,
    node: &btc_regtest::SimNode,
) -> Done {
    match what {
        0 | 1 => Done::Built(Box::new(create(side, order))),
        2 => Done::Given(side.operations.generate_address(address_type)),
        _ => {
            // A block that fails to come is none.
            let _ = node.mine(coins::script(1));
            Done::Nothing
        }
    }
}
