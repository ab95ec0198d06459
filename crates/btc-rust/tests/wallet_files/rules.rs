//! Any sequence of bookings, locks and releases, against the rules in their plainest form.

use std::collections::HashMap;

use bitcoin::{OutPoint, Txid};
use btc_rust::wallet::reservations::{End, LOCKED, Reservation};
use proptest::prelude::*;

use crate::reservations::{coin, open, txid};
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
    SetBack(u64),
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
        (1..3_u64).prop_map(Step::SetBack),
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
            .retain(|_, it| match (it.until_ms, it.span_ms) {
                (Some(until), Some(span)) => until > now && until - span <= now + 60_000,
                _ => true,
            });
    }

    /// Reserves all or, if one is somebody else's, none.
    fn reserve(&mut self, coins: &[OutPoint], span: u64, by: Txid) -> bool {
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
                let reservation = Reservation {
                    until_ms: Some(self.now + span),
                    span_ms: Some(span),
                    reason: reason.clone(),
                };
                self.reserved.insert(*coin, reservation);
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
        let mut model = Model { now: 1_000 * MINUTE, ..Model::default() };
        for step in steps {
            match step {
                Step::Reserve { coins, minutes, by } => {
                    let coins: Vec<_> = coins.into_iter().map(coin).collect();
                    let span = minutes * MINUTE;
                    let booking = reservations.begin(model.now).expect("free");
                    let done = booking.reserve(&coins, End::after(model.now, span), txid(by));
                    let done = done.and_then(|()| booking.commit());
                    model.expire();
                    prop_assert_eq!(done.is_ok(), model.reserve(&coins, span, txid(by)));
                }
                Step::Lock(number) => {
                    let booking = reservations.begin(model.now).expect("free");
                    let done = booking.lock(coin(number)).and_then(|()| booking.commit());
                    model.expire();
                    let found = model.reserved.get(&coin(number));
                    let is_free = found.is_none_or(Reservation::is_lock);
                    prop_assert_eq!(done.is_ok(), is_free);
                    if is_free {
                        let lock = Reservation {
                            until_ms: None,
                            span_ms: None,
                            reason: LOCKED.to_owned(),
                        };
                        model.reserved.insert(coin(number), lock);
                    }
                }
                Step::Release(number) => {
                    let booking = reservations.begin(model.now).expect("free");
                    let was = booking.release(coin(number)).expect("sound");
                    booking.commit().expect("sound");
                    prop_assert_eq!(was, model.reserved.remove(&coin(number)).is_some());
                }
                Step::ReleaseFor(by) => {
                    let before = model.reserved.len();
                    let reason = txid(by).to_string();
                    model.reserved.retain(|_, it| it.reason != reason);
                    let booking = reservations.begin(model.now).expect("free");
                    let count = booking.release_for(txid(by)).expect("sound");
                    booking.commit().expect("sound");
                    prop_assert_eq!(count, before - model.reserved.len());
                }
                Step::Take(at_least) => {
                    let booking = reservations.begin(model.now).expect("free");
                    let index = booking.next_index(RECEIVE).expect("sound").max(at_least);
                    booking.set_next(RECEIVE, index + 1).expect("sound");
                    booking.commit().expect("sound");
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
                Step::SetBack(minutes) => {
                    model.now -= minutes * MINUTE;
                    model.expire();
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
