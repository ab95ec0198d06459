//! What must hold after each step: coins, balance, reservations and payments are as the rules say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use btc::bitcoin::{OutPoint, Txid};
use btc::{PaymentState, WalletBalance, WalletInterface, WalletSnapshot, WalletState};

use crate::Failure;
use crate::house::{House, Language};
use crate::identity::{Place, Shape};
use crate::payments::{Payments, Phase, Standing};
use crate::stage::{BASE_BLOCKS, Stage, who};
use crate::truth::{Bucket, Owned, Truth, balance};

/// How long a payment waits until it is sent again, as this program sets it, in milliseconds.
pub(crate) const AGAIN_MS: i64 = 30 * 60_000;
/// Within which a wallet draws that time.
const DRAWN_MS: std::ops::RangeInclusive<u64> = 10 * 60_000..=50 * 60_000;

impl Stage {
    /// Checks every open side, and what belongs to no side.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        let now_ms = self.now_ms;
        for house in &mut self.houses {
            house.payments.expire(now_ms);
        }
        for house in 0..self.houses.len() {
            self.check_rows(house)?;
            for language in Language::ALL {
                if self.houses[house].is_open(language) {
                    self.check_side(house, language)?;
                }
            }
        }
        self.check_payments()
    }

    /// What a side expects to see: its coins, and which of them it may spend.
    pub(crate) fn expected(&mut self, house: usize, language: Language) -> Expected {
        let truth = self.truth();
        let gap = self.setup.gap_limit;
        let paid = truth.paid_indices(&self.identity);
        let house = &mut self.houses[house];
        // What a payment pays is used from the moment it is handed over.
        let promised: Vec<Place> = house
            .payments
            .all
            .iter()
            .filter(|payment| payment.was_handed_over())
            .flat_map(|payment| &payment.transaction.output)
            .filter_map(|output| self.identity.place(&output.script_pubkey))
            .collect();
        let used = house.used.entry(language).or_default();
        for place in promised {
            let highest = used.entry(place.keychain).or_insert(place.index);
            *highest = place.index.max(*highest);
        }
        let windows = Truth::windows(&paid, gap, &house.next, used);
        let coins = truth.coins(&self.identity, &windows);
        Expected::new(&truth, &house.payments, coins)
    }

    /// That a side says what is expected; it has followed the chain after this.
    pub(crate) fn check_side(&mut self, house: usize, language: Language) -> Result<(), Failure> {
        let side = self.houses[house].side(language, &self.node)?;
        let name = format!("{} in {}", who(house), language.name());
        if self.node.is_loaded() {
            let expected = self.expected(house, language);
            let state = side.operations.wallet_state()?;
            if let Err(error) = expected.check_state(&name, &state) {
                // Whether it is only late says where to look.
                let again = side.operations.wallet_state()?;
                let late = expected.check_state(&name, &again).is_ok();
                let note = if late {
                    "\n      right when asked again"
                } else {
                    ""
                };
                return Err(format!("{error}{note}").into());
            }
            expected.check_spendable(&name, &side.operations.snapshot()?)?;
            if let Some(wallet) = &side.wallet {
                self.check_history(house, &name, &**wallet)?;
            }
        }
        Ok(())
    }

    /// That the shared file has the payments that were handed over and were not refused, and no
    /// others; sets when they are sent again.
    fn check_rows(&mut self, house: usize) -> Result<(), Failure> {
        let rows = self.houses[house].rows()?;
        let now_ms = unix_ms();
        let mut due = Vec::new();
        for payment in &self.houses[house].payments.all {
            let row = rows.get(&payment.txid);
            let name = format!("the payment {} of {}", payment.txid, who(house));
            match (payment.phase, row) {
                (Phase::Built { .. } | Phase::LetGo, Some(_)) => {
                    return Err(format!("{name} is written down and was not handed over").into());
                }
                (Phase::Open { .. } | Phase::Abandoned { .. }, None) => {
                    return Err(format!("{name} was handed over and is not written down").into());
                }
                (Phase::Open { .. }, Some((true, _))) => {
                    return Err(format!("{name} is given up, by no user").into());
                }
                (Phase::Abandoned { .. }, Some((false, _))) => {
                    return Err(format!("{name} is not given up any more").into());
                }
                (Phase::Open { due_ms } | Phase::Abandoned { due_ms }, Some((_, at_ms))) => {
                    let wanted = now_ms.saturating_add_signed(due_ms - self.now_ms);
                    due.push((payment.txid, *at_ms, wanted));
                }
                (_, None) => {}
            }
        }
        // A time that this program did not set was drawn in the last step.
        let mut set = Vec::new();
        for (txid, at_ms, wanted_ms) in due {
            if at_ms.abs_diff(wanted_ms) > SLACK_MS && !is_drawn(at_ms, now_ms) {
                let ahead_ms = at_ms.cast_signed() - now_ms.cast_signed();
                return Err(format!("{txid} is sent again in {ahead_ms} ms").into());
            }
            set.push((txid, wanted_ms));
        }
        self.houses[house].set_due(&set)
    }

    /// Whether the wallet has set a new time to send this payment again since the last check.
    pub(crate) fn was_drawn(&self, due_ms: i64, at_ms: u64) -> bool {
        let now_ms = unix_ms();
        let wanted_ms = now_ms.saturating_add_signed(due_ms - self.now_ms);
        at_ms.abs_diff(wanted_ms) > SLACK_MS && is_drawn(at_ms, now_ms)
    }

    /// That history lists each payment with its state, once.
    fn check_history(
        &self,
        house: usize,
        name: &str,
        wallet: &dyn WalletInterface,
    ) -> Result<(), Failure> {
        let truth = self.truth();
        let payments = &self.houses[house].payments;
        let mut listed: HashMap<Txid, PaymentState> = HashMap::new();
        for entry in wallet.history()? {
            if listed.insert(entry.txid, entry.state).is_some() {
                return Err(format!("{name} lists {} twice", entry.txid).into());
            }
        }
        for payment in &payments.all {
            let standing = payments.standing(&truth, payment);
            let wanted = match standing {
                Standing::Built | Standing::LetGo => None,
                Standing::InMempool => Some(PaymentState::InMempool),
                Standing::Missing => Some(PaymentState::Missing),
                Standing::Confirmed => Some(PaymentState::Confirmed),
                Standing::Abandoned => {
                    let is_replaced = payments.is_replaced(&truth, payment);
                    (!is_replaced).then_some(PaymentState::Abandoned)
                }
                // One that another payment replaced is listed only when that one came to nothing.
                Standing::Replaced | Standing::Conflicted => continue,
            };
            let found = listed.get(&payment.txid).copied();
            if found != wanted {
                let message = format!(
                    "{name} lists the payment {} as {found:?}; it is {standing:?}",
                    payment.txid
                );
                return Err(message.into());
            }
        }
        Ok(())
    }

    /// That no recipient is paid twice, and none by a transaction that the wallet did not build.
    fn check_payments(&self) -> Result<(), Failure> {
        let truth = self.truth();
        for house in &self.houses {
            for payment in &house.payments.all {
                for (script, _) in &payment.recipients {
                    if self.identity.place(script).is_some() {
                        continue;
                    }
                    let paid = truth.payments_to(script);
                    if paid.len() > 1 {
                        return Err(format!("one recipient is paid by {paid:?}").into());
                    }
                }
            }
        }
        Ok(())
    }

    /// That a wallet restored from the words sees the same; in every language of this history.
    pub(crate) fn check_restored(&mut self) -> Result<(), Failure> {
        if !self.node.is_loaded() {
            return Ok(());
        }
        let truth = self.truth();
        let paid = truth.paid_indices(&self.identity);
        let gap_limit = self.gap_to_find(&paid);
        let shape = Shape {
            gap_limit,
            birthday: BASE_BLOCKS + 1,
            ..self.houses[0].shape
        };
        let mut used = HashMap::new();
        let windows = Truth::windows(&paid, gap_limit, &HashMap::new(), &mut used);
        let coins = truth.coins(&self.identity, &windows);
        let expected = Expected::new(&truth, &Payments::default(), coins);
        let running = self.expected(0, Language::Rust);
        if expected.coins == running.coins {
            self.note("restored and equal to the running wallet");
        } else {
            // Others paid an index beyond what a running wallet looks at.
            self.note("restored with another window");
        }
        let mut restored = House::new(shape)?;
        for language in self.setup.languages.clone() {
            let side = restored.side(language, &self.node)?;
            let name = format!("a wallet restored in {}", language.name());
            expected.check_state(&name, &side.operations.wallet_state()?)?;
        }
        Ok(())
    }

    /// The gap limit with which a restored wallet finds everything that was paid to an address
    /// that was given out.
    fn gap_to_find(&self, paid: &HashSet<Place>) -> u32 {
        let wanted: Vec<Place> = paid
            .iter()
            .copied()
            .filter(|place| self.promised.iter().any(|(_, it)| it == place))
            .collect();
        let mut gap = self.setup.gap_limit;
        loop {
            let windows = Truth::windows(paid, gap, &HashMap::new(), &mut HashMap::new());
            let finds = |place: &Place| place.index < windows[&place.keychain];
            if wanted.iter().all(finds) || gap > 200 {
                return gap;
            }
            gap += self.setup.gap_limit;
        }
    }
}

/// What a side must say.
pub(crate) struct Expected {
    state: (btc::BlockRef, WalletBalance),
    pub(crate) coins: BTreeMap<OutPoint, Owned>,
    /// Those that the next payment may take.
    pub(crate) spendable: BTreeMap<OutPoint, Owned>,
    /// Whether the chain stood still, so that it is known which coins were pending.
    pub(crate) is_exact: bool,
}

impl Expected {
    fn new(truth: &Truth, payments: &Payments, coins: BTreeMap<OutPoint, Owned>) -> Self {
        let held = payments.held(truth);
        let reserved = payments.reserved();
        let mut sums = balance(&coins);
        let held_coins = coins.iter().filter(|(outpoint, _)| held.contains(outpoint));
        sums.held_by_missing_sat = held_coins.map(|(_, coin)| coin.value_sat).sum();
        let is_free = |outpoint: &OutPoint, coin: &Owned| {
            matches!(coin.bucket, Bucket::Confirmed | Bucket::Trusted)
                && !held.contains(outpoint)
                && !reserved.contains_key(outpoint)
        };
        Self {
            state: (truth.tip, sums),
            spendable: coins
                .iter()
                .filter(|(outpoint, coin)| is_free(outpoint, coin))
                .map(|(outpoint, coin)| (*outpoint, *coin))
                .collect(),
            coins,
            is_exact: true,
        }
    }

    /// Confirmed plus trusted pending.
    pub(crate) fn balance_sat(&self) -> u64 {
        self.state.1.spendable_sat()
    }

    pub(crate) fn check_state(&self, name: &str, state: &WalletState) -> Result<(), Failure> {
        let (tip, balance) = &self.state;
        let wanted: BTreeSet<_> = self
            .coins
            .iter()
            .map(|(outpoint, coin)| (*outpoint, coin.value_sat))
            .collect();
        let found: BTreeSet<_> = state.coins.iter().copied().collect();
        if state.tip == *tip && state.balance == *balance && found == wanted {
            return Ok(());
        }
        let missing: Vec<_> = wanted.difference(&found).collect();
        let surplus: Vec<_> = found.difference(&wanted).collect();
        let message = format!(
            "{name} is wrong about what it owns\n      says {:?} {:?}\n      is   {tip:?} \
             {balance:?}\n      missing {missing:?}\n      surplus {surplus:?}",
            state.tip, state.balance
        );
        Err(message.into())
    }

    pub(crate) fn check_spendable(
        &self,
        name: &str,
        snapshot: &WalletSnapshot,
    ) -> Result<(), Failure> {
        let wanted: BTreeSet<_> = self
            .spendable
            .iter()
            .map(|(outpoint, coin)| (*outpoint, coin.value_sat))
            .collect();
        let found = snapshot.coins.iter();
        let found: BTreeSet<_> = found.map(|it| (it.outpoint, it.value_sat)).collect();
        if found == wanted {
            return Ok(());
        }
        let held: Vec<_> = wanted.difference(&found).collect();
        let freed: Vec<_> = found.difference(&wanted).collect();
        let message = format!(
            "{name} is wrong about which coins are free\n      keeps {held:?}\n      would take \
             {freed:?}"
        );
        Err(message.into())
    }
}

/// How far apart two times may be that are meant to be the same.
const SLACK_MS: u64 = 120_000;

fn is_drawn(at_ms: u64, now_ms: u64) -> bool {
    let earliest = now_ms + DRAWN_MS.start() - SLACK_MS;
    (earliest..=now_ms + DRAWN_MS.end()).contains(&at_ms)
}

/// The time of this machine's clock.
pub(crate) fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
