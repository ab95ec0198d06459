//! Any sequence of bookings, locks and releases, against the rules in their plainest form.

use std::collections::HashMap;

use bitcoin::{OutPoint, Txid};
use btc_rust::wallet::reservations::{LOCKED, Reservation};
use proptest::prelude::*;

use crate::reservations::{LATER, coin, open, txid};
use crate::support::{RECEIVE, plain_wallet};

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        coins: Vec<u8>,
        minutes: u64,
        by: u8,
    },
    Lock(u8),
    Release(u8),
    ReleaseFor(u8),
    Take(u32),
    Wait(u64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let coin = || 0..6_u8;
    let step = prop_oneof![
        (proptest::collection::vec(coin(), 1..4), 1..4_u64, 1..4_u8)
            .prop_map(|(coins, minutes, by)| Step::Reserve { coins, minutes, by }),
        coin().prop_map(Step::Lock),
        coin().prop_map(Step::Release),
        (1..4_u8).prop_map(Step::ReleaseFor),
        (0..20_u32).prop_map(Step::Take),
        (0..3_u64).prop_map(Step::Wait),
        Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..25)
}

/// What the reservations should be, in the plainest form.
#[derive(Default)]
struct Model {
    now: u64,
    next: u32,
    reserved: HashMap<OutPoint, Reservation>,
}

impl Model {
    fn expire(&mut self) {
        let now = self.now;
        self.reserved
            .retain(|_, it| it.until_ms.is_none_or(|until| until > now));
    }

    /// Reserves all or, if one is somebody else's, none.
    fn reserve(&mut self, coins: &[OutPoint], until: u64, by: Txid) -> bool {
        let reason = by.to_string();
        let is_free = |coin: &OutPoint| {
            let found = self.reserved.get(coin);
            found.is_none_or(|it| it.is_lock() || it.reason == reason)
        };
        if !coins.iter().all(is_free) {
            return false;
        }
        for coin in coins {
            let is_locked = self.reserved.get(coin).is_some_and(Reservation::is_lock);
            if !is_locked {
                let until_ms = Some(until);
                let reason = reason.clone();
                self.reserved
                    .insert(*coin, Reservation { until_ms, reason });
            }
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn the_file_does_what_the_rules_say(steps in steps()) {
        const MINUTE: u64 = 60_000;
        let (_parent, dir) = plain_wallet();
        let mut reservations = open(&dir);
        // From a start in the future on, so that the clock's own expiry stays out of it.
        let mut model = Model { now: LATER, ..Model::default() };
        for step in steps {
            match step {
                Step::Reserve { coins, minutes, by } => {
                    let coins: Vec<_> = coins.into_iter().map(coin).collect();
                    let until = model.now + minutes * MINUTE;
                    let booking = reservations.begin(model.now).expect("free");
                    let done = booking.reserve(&coins, until, txid(by));
                    let done = done.and_then(|()| booking.commit());
                    model.expire();
                    prop_assert_eq!(done.is_ok(), model.reserve(&coins, until, txid(by)));
                }
                Step::Lock(number) => {
                    reservations.lock(coin(number)).expect("sound");
                    let lock = Reservation { until_ms: None, reason: LOCKED.to_owned() };
                    model.reserved.insert(coin(number), lock);
                }
                Step::Release(number) => {
                    let was = reservations.release(coin(number)).expect("sound");
                    prop_assert_eq!(was, model.reserved.remove(&coin(number)).is_some());
                }
                Step::ReleaseFor(by) => {
                    let before = model.reserved.len();
                    let reason = txid(by).to_string();
                    model.reserved.retain(|_, it| it.reason != reason);
                    let count = reservations.release_for(txid(by)).expect("sound");
                    prop_assert_eq!(count, before - model.reserved.len());
                }
                Step::Take(at_least) => {
                    let index = reservations.take_index(RECEIVE, at_least).expect("sound");
                    prop_assert_eq!(index, model.next.max(at_least));
                    model.next = index + 1;
                }
                Step::Wait(minutes) => {
                    model.now += minutes * MINUTE;
                    model.expire();
                    // Deletes what is over, as any writer does.
                    let booking = reservations.begin(model.now).expect("free");
                    booking.commit().expect("sound");
                }
                Step::Reopen => {
                    drop(reservations);
                    reservations = open(&dir);
                }
            }
            let found = reservations.reserved(model.now).expect("sound");
            prop_assert_eq!(&found, &model.reserved);
            prop_assert_eq!(reservations.next_index(RECEIVE).expect("sound"), model.next);
        }
    }
}
