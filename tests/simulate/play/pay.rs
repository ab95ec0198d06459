//! Addresses given out, payments built and handed over.

use std::collections::BTreeSet;

use btc::bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use btc::{
    AddressType, BitcoinAddress, BitcoinError, BitcoinResult, BitcoinTransaction, Chain, ErrorKind,
    WalletSnapshot,
};
use btc_regtest::sim::{Fate, Moment, SimError, coins};
use btc_tests::to_plain;

use crate::Failure;
use crate::check::{AGAIN_MS, Expected};
use crate::house::{Language, Side};
use crate::identity::{Place, RANGE};
use crate::payments::{Payment, Phase, Standing};
use crate::stage::{Given, Stage, who};
use crate::step::Step;
use crate::truth::Bucket;

/// What a payment is to be.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) recipients: Vec<(ScriptBuf, String, u64)>,
    pub(crate) rate: u64,
}

/// Whether the way to the node is disturbed while a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Clear,
    Disturbed,
}

impl Stage {
    pub(super) fn give(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let address_type = AddressType::ALL[step.pick(2, AddressType::ALL.len())];
        if self.next_index(house, language, address_type) + 10 >= RANGE / 2 {
            return self.idle("enough addresses were given out");
        }
        let address = side.operations.generate_address(address_type)?;
        self.note_given(house, language, address)
    }

    /// The index that comes next.
    fn next_index(&self, house: usize, language: Language, address_type: AddressType) -> u32 {
        let keychain = (address_type, Chain::Receive);
        let house = &self.houses[house];
        let used = house.used.get(&language).and_then(|it| it.get(&keychain));
        let promised = house.next.get(&keychain).copied().unwrap_or(0);
        promised.max(used.map_or(0, |highest| highest + 1))
    }

    /// Takes down an address that was given out: the right one, and for the first time.
    pub(crate) fn note_given(
        &mut self,
        house: usize,
        language: Language,
        address: BitcoinAddress,
    ) -> Result<(), Failure> {
        let wanted = self.next_index(house, language, address.address_type);
        let index = address.index.ok_or("an address without an index")?;
        let place = Place {
            keychain: (address.address_type, Chain::Receive),
            index,
        };
        self.say(format!(
            "{} gives out {place:?} in {}",
            who(house),
            language.name()
        ));
        if self.identity.place(&address.script_pubkey) != Some(place) {
            return Err(format!("{} is not the address of {place:?}", address.address).into());
        }
        if !self.promised.insert((house, place)) {
            return Err(format!("{place:?} was given out twice").into());
        }
        if index != wanted {
            return Err(format!("{place:?} was given out; {wanted} is next").into());
        }
        self.houses[house].next.insert(place.keychain, index + 1);
        self.given.push(Given { place, address });
        Ok(())
    }

    /// One to three recipients, small amounts and large ones, and too much now and then.
    pub(crate) fn order(&mut self, step: &Step, expected: &Expected) -> Order {
        let total: u64 = expected.spendable.values().map(|coin| coin.value_sat).sum();
        let count = 1 + step.pick(2, 6) / 4;
        let share = match step.pick(3, 12) {
            0 => 2_000,
            1 => total,
            2 => total.saturating_sub(3_000),
            portion => total * portion as u64 / 20,
        };
        let mut recipients = Vec::new();
        for number in 0..count {
            let value = (share / count as u64).max(1_000);
            let to_itself = step.once_in(4, 8) && number == 0;
            let given = self.given.iter().rfind(|it| it.place.index < RANGE);
            if let Some(given) = given.filter(|_| to_itself) {
                let address = &given.address;
                recipients.push((
                    address.script_pubkey.clone(),
                    address.address.clone(),
                    value,
                ));
                continue;
            }
            let number = self.new_recipient();
            let address = coins::address(number).to_string();
            recipients.push((coins::script(number), address, value));
        }
        Order {
            recipients,
            rate: 1 + step.high(4) as u64 % 25,
        }
    }

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
        self.note_built(house, language, &order, &expected, built, way)
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
        if worth > sum + most_vb * order.rate {
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

    pub(super) fn pay(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        match self.build(step, Way::Clear)? {
            Some(txid) => self.hand_over(house, language, &side, txid, Way::Clear),
            None => Ok(()),
        }
    }

    /// A payment is handed over, and the answer does not come: before the node has it, or after.
    pub(super) fn lose_answer(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let Some(txid) = self.build(step, Way::Clear)? else {
            return Ok(());
        };
        let lost = if step.once_in(0, 2) {
            Moment::After
        } else {
            Moment::Before
        };
        self.node.set_tap(Some(Box::new(move |call, moment| {
            let is_it = call.name == "sendrawtransaction" && moment == lost;
            if is_it { Fate::Drop } else { Fate::Proceed }
        })));
        self.say(format!("the answer will be lost, {lost:?} its effect"));
        let sent = self.hand_over(house, language, &side, txid, Way::Disturbed);
        self.node.set_tap(None);
        sent
    }

    pub(super) fn send_built(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let built: Vec<Txid> = self.houses[house]
            .payments
            .all
            .iter()
            .filter(|it| matches!(it.phase, Phase::Built { .. } | Phase::LetGo))
            .map(|it| it.txid)
            .collect();
        match step.one_of(2, &built) {
            Some(txid) => self.hand_over(house, language, &side, *txid, Way::Clear),
            None => self.idle("no payment is built and not handed over"),
        }
    }

    pub(super) fn resend(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let handed: Vec<Txid> = self.houses[house]
            .payments
            .all
            .iter()
            .filter(|it| it.was_handed_over())
            .map(|it| it.txid)
            .collect();
        match step.one_of(2, &handed) {
            Some(txid) => self.hand_over(house, language, &side, *txid, Way::Clear),
            None => self.idle("no payment was handed over"),
        }
    }

    /// Hands a payment over, and checks what becomes of it.
    pub(crate) fn hand_over(
        &mut self,
        house: usize,
        language: Language,
        side: &Side,
        txid: Txid,
        way: Way,
    ) -> Result<(), Failure> {
        let payments = &self.houses[house].payments;
        let payment = payments.get(txid).ok_or("a payment that is known")?.clone();
        let truth = self.truth();
        let refusal = match payment.phase {
            Phase::Open { .. } => None,
            _ => payments.refusal(&truth, &payment),
        };
        let node_says = self.node.would_take(&payment.transaction);
        let knows = truth.height_of(txid).is_some();
        let sent = side
            .operations
            .broadcast_transaction(&to_plain(&payment.transaction, None));
        self.say(format!(
            "{} hands {txid} over in {}: {}",
            who(house),
            language.name(),
            match &sent {
                Ok(_) => "taken".to_owned(),
                Err(error) => format!("{:?}: {}", error.kind(), error.message()),
            }
        ));
        let is_there = self.node.is_waiting(txid) || self.node.height_of(txid).is_some();
        if let Some(reason) = refusal {
            return match sent {
                Err(error)
                    if error.kind() == ErrorKind::Rejected && error.message().contains(reason) =>
                {
                    self.note("refused before the node was asked");
                    Ok(())
                }
                Err(error) if way == Way::Disturbed && error.kind().is_transport() => Ok(()),
                Err(error) => Err(format!("should be refused ({reason}): {error}").into()),
                Ok(_) => Err(format!("{txid} should be refused: {reason}").into()),
            };
        }
        let again = Phase::Open {
            due_ms: self.now_ms + AGAIN_MS,
        };
        let phase = match &sent {
            Ok(_) if is_there => again,
            Ok(_) => return Err(format!("{txid} is said to be sent, and is not there").into()),
            Err(error) if error.kind() == ErrorKind::Rejected => {
                if node_says.is_ok() || knows {
                    return Err(format!("the node would take {txid}: {error}").into());
                }
                self.note("refused by the node");
                match payment.phase {
                    Phase::Built { .. } | Phase::LetGo => Phase::LetGo,
                    _ => again,
                }
            }
            Err(error) if way == Way::Disturbed && error.kind().is_transport() => {
                // What is on disk decides: it is there if the node may have been asked.
                let is_written = self.houses[house].rows()?.contains_key(&txid);
                if is_there && !is_written {
                    return Err(format!("{txid} reached the node and is not written down").into());
                }
                if is_written { again } else { payment.phase }
            }
            Err(error) => return Err(format!("{txid} was not sent: {error}").into()),
        };
        let is_refused = phase == Phase::LetGo;
        if let Some(payment) = self.houses[house].payments.get_mut(txid) {
            payment.phase = phase;
            if is_refused {
                payment.replaces.clear();
            }
        }
        Ok(())
    }

    pub(super) fn ask_balance(&mut self, step: &Step) -> Result<(), Failure> {
        let (house, language, side) = self.side(step)?;
        let before = self.expected(house, language).balance_sat();
        let said = side.operations.get_balance()?;
        self.after_sync(house)?;
        let after = self.expected(house, language).balance_sat();
        self.say(format!(
            "{} has {said} sat in {}",
            who(house),
            language.name()
        ));
        if said != before && said != after {
            return Err(format!("the balance is {after} sat, and {said} was said").into());
        }
        Ok(())
    }

    /// After a call that sends missing payments again whose time has come: none is left that the
    /// node would take.
    pub(crate) fn after_sync(&mut self, house: usize) -> Result<(), Failure> {
        const AN_HOUR_MS: i64 = 3_600_000;
        let now_ms = self.now_ms;
        let truth = self.truth();
        let payments = &self.houses[house].payments;
        let due: Vec<Txid> = payments
            .all
            .iter()
            .filter(|it| match it.phase {
                Phase::Open { due_ms } => due_ms <= now_ms || due_ms - now_ms > AN_HOUR_MS,
                _ => false,
            })
            .map(|it| it.txid)
            .collect();
        for txid in due {
            let Some(payment) = self.houses[house].payments.get(txid).cloned() else {
                continue;
            };
            let standing = self.houses[house].payments.standing(&truth, &payment);
            let rows = self.houses[house].rows()?;
            let at_ms = rows.get(&txid).map_or(0, |(_, at_ms)| *at_ms);
            let was_sent = match payment.phase {
                Phase::Open { due_ms } => self.was_drawn(due_ms, at_ms),
                _ => false,
            };
            if standing == Standing::Missing && self.node.would_take(&payment.transaction).is_ok() {
                return Err(format!("{txid} is missing, and was not sent again").into());
            }
            if !was_sent {
                continue;
            }
            self.note("sent again by itself");
            if let Some(payment) = self.houses[house].payments.get_mut(txid) {
                payment.phase = Phase::Open {
                    due_ms: now_ms + AGAIN_MS,
                };
            }
        }
        Ok(())
    }
}

/// Asks a side to build.
pub(crate) fn create(
    side: &Side,
    order: &Order,
) -> BitcoinResult<(BitcoinTransaction, WalletSnapshot)> {
    side.operations
        .create_transaction_with_snapshot(outputs(order), order.rate)
}

fn outputs(order: &Order) -> Vec<(String, u64)> {
    let recipients = order.recipients.iter();
    recipients
        .map(|(_, address, value)| (address.clone(), *value))
        .collect()
}

/// The transaction of an answer.
pub(crate) fn to_transaction(plain: &BitcoinTransaction) -> Transaction {
    use btc::bitcoin::{Amount, Sequence, TxIn, TxOut, absolute, transaction};
    Transaction {
        version: transaction::Version(plain.version),
        lock_time: absolute::LockTime::from_consensus(plain.lock_time),
        input: plain
            .inputs
            .iter()
            .map(|input| TxIn {
                previous_output: input.previous_output,
                script_sig: input.script_sig.clone(),
                sequence: Sequence(input.sequence),
                witness: input.witness.clone(),
            })
            .collect(),
        output: plain
            .outputs
            .iter()
            .map(|output| TxOut {
                value: Amount::from_sat(output.value_sat),
                script_pubkey: output.script_pubkey.clone(),
            })
            .collect(),
    }
}
