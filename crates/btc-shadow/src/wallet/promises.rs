//! What a wallet must not promise twice: the coins and the change address of a transaction, and an
//! address that was given out.
//!
//! The secondary plans on what the primary names, so it finds no fault in what the primary leaves
//! out. Both share one list of what is promised, so the secondary's own snapshot tells.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use btc_iface::{AddressType, BitcoinTransaction, Chain, Operation, WalletSnapshot, WalletTwin};

use super::Twins;
use crate::compare::{Compare, Difference, Differences};
use crate::shadow::observation::guard;

/// How many addresses are remembered.
const MAX_GIVEN: usize = 1 << 17;
/// How many of the looks at the used addresses of a type are remembered. The first one stays, so
/// that what was used before the run is known however many calls wait to be compared.
const MAX_LOOKS: usize = 64;

/// What is known about the addresses of a run.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Those that were given out.
    given: HashSet<(AddressType, u32)>,
    /// The highest index with a coin on it, as it rose by and by.
    used: HashMap<AddressType, VecDeque<Look>>,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    index: u32,
}

impl Given {
    /// Remembers an index; false if it was given out before.
    fn is_new(&self, address_type: AddressType, index: u32) -> bool {
        let mut known = self.known();
        if known.given.len() >= MAX_GIVEN {
            known.given.clear();
        }
        known.given.insert((address_type, index))
    }

    /// The highest index of this type with a coin on it that was known before this moment.
    fn used_before(&self, address_type: AddressType, moment: Instant) -> Option<u32> {
        let known = self.known();
        let mut looks = known.used.get(&address_type)?.iter().rev();
        looks.find(|look| look.at < moment).map(|look| look.index)
    }

    /// Remembers what a snapshot that came at this moment says about the addresses with coins.
    fn learn(&self, at: Instant, snapshot: &WalletSnapshot) {
        let mut known = self.known();
        for address_type in AddressType::ALL {
            let Some(index) = highest(snapshot, address_type) else {
                continue;
            };
            let looks = known.used.entry(address_type).or_default();
            if looks.back().is_none_or(|last| last.index < index) {
                looks.push_back(Look { at, index });
            }
            if looks.len() > MAX_LOOKS {
                looks.remove(1);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The highest index of this type with a coin on it.
fn highest(snapshot: &WalletSnapshot, address_type: AddressType) -> Option<u32> {
    let coins = snapshot.coins.iter();
    coins
        .filter(|coin| (coin.address_type, coin.chain) == (address_type, Chain::Receive))
        .map(|coin| coin.index)
        .max()
}

/// Where an address was promised that had been used: given out in this run before, or not after
/// those on which the secondary knew coins before the call, and knows them now.
pub(super) fn of_address(
    twins: &Twins,
    given: &Given,
    (address_type, index): (AddressType, u32),
    asked: Instant,
) -> Vec<Difference> {
    let mut found = Differences::default();
    if !given.is_new(address_type, index) {
        found.at(".index", |here| here.add(index, "given out before", false));
    }
    let Ok(snapshot) = guard(Operation::GenerateAddress, || twins.secondary.snapshot()) else {
        return found.into_vec();
    };
    // It took its time, and says what is so at its end.
    given.learn(Instant::now(), &snapshot);
    let before = given.used_before(address_type, asked);
    let used = before.min(highest(&snapshot, address_type));
    if let Some(used) = used.filter(|used| *used >= index) {
        found.at(".index", |here| {
            here.add(index, format_args!("above {used}, which has coins"), false);
        });
    }
    found.into_vec()
}

/// Where the promises of a transaction are not kept, or the primary built on something else than
/// what the secondary would have. All of it may change with the next block, or with the next
/// transaction that is built.
pub(super) fn of_transaction(
    twins: &Twins,
    transaction: &BitcoinTransaction,
    payments: usize,
    built_on: &WalletSnapshot,
) -> Vec<Difference> {
    let operation = Operation::CreateTransaction;
    let ask = |twin: &dyn WalletTwin| guard(operation, || twin.snapshot()).ok();
    // A side that does not tell its coins promises nothing that could be checked.
    let Some(theirs) = ask(&*twins.secondary) else {
        return Vec::new();
    };
    let mut found = Differences::default();
    let here = &mut found;
    let spent: BTreeSet<_> = transaction
        .inputs
        .iter()
        .map(|it| it.previous_output)
        .collect();
    for coin in theirs
        .coins
        .iter()
        .filter(|it| spent.contains(&it.outpoint))
    {
        here.at(format_args!(".snapshot.coins[{}]", coin.outpoint), |here| {
            here.add("spent", "spendable", true);
        });
    }
    let has_change = transaction.outputs.len() > payments;
    let is_same_chain = theirs.change_type == built_on.change_type;
    if has_change && is_same_chain && theirs.change_index <= built_on.change_index {
        here.at(".snapshot.change_index", |here| {
            here.add(built_on.change_index, theirs.change_index, true);
        });
    }
    let mut left = built_on.clone();
    left.coins.retain(|coin| !spent.contains(&coin.outpoint));
    // The index moves on by itself; whether it does is seen above.
    left.change_index = theirs.change_index;
    sort(&mut left);
    let mut sorted = theirs.clone();
    sort(&mut sorted);
    if found.is_empty() && left != sorted {
        // Others build meanwhile: only what the primary says before and after counts.
        let primary = twins.primary.as_ref();
        let ours = primary.and_then(|twin| {
            let before = ask(&**twin)?;
            let between = ask(&*twins.secondary)?;
            (ask(&**twin)? == before).then_some((before, between))
        });
        if let Some((ours, theirs)) = ours {
            ours.compare(&theirs, &mut found);
        } else if primary.is_none() && left.change_type != theirs.change_type {
            let types = [left.change_type, theirs.change_type];
            found.at(".snapshot.change_type", |here| {
                here.add(types[0], types[1], true);
            });
        }
    }
    found.into_vec()
}

fn sort(snapshot: &mut WalletSnapshot) {
    snapshot.coins.sort_unstable_by_key(|coin| coin.outpoint);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use btc_iface::rust_bitcoin::hashes::Hash;
    use btc_iface::rust_bitcoin::{BlockHash, OutPoint};
    use btc_iface::{BlockRef, SnapshotCoin};

    use super::*;

    fn with_a_coin_on(address_type: AddressType, index: u32) -> WalletSnapshot {
        WalletSnapshot {
            tip: BlockRef {
                height: 1,
                hash: BlockHash::all_zeros(),
            },
            coins: vec![SnapshotCoin {
                outpoint: OutPoint::null(),
                value_sat: 1,
                address_type,
                chain: Chain::Receive,
                index,
            }],
            pending: Vec::new(),
            change_type: address_type,
            change_index: 0,
        }
    }

    #[test]
    fn what_is_used_is_still_learned_after_many_looks() {
        let given = Given::default();
        let start = Instant::now();
        let at = |look: u32| start + Duration::from_secs(look.into());
        let [often, once] = [AddressType::P2wpkh, AddressType::P2tr];
        given.learn(at(0), &with_a_coin_on(once, 7));
        for look in 1..=1_000 {
            given.learn(at(look), &with_a_coin_on(often, look));
        }
        assert_eq!(given.used_before(often, at(1_000)), Some(999));
        assert_eq!(given.used_before(often, at(2_000)), Some(1_000));
        // A type that is seldom used is not pushed out by one that often is.
        assert_eq!(given.used_before(once, at(1)), Some(7));
        assert_eq!(given.used_before(once, at(0)), None);
        // Of a time long ago only the first look is left.
        assert_eq!(given.used_before(often, at(500)), Some(1));
        assert_eq!(given.used_before(often, at(1)), None);
    }

    #[test]
    fn a_coin_that_is_spent_leaves_its_address_used() {
        let given = Given::default();
        let now = Instant::now();
        given.learn(now, &with_a_coin_on(AddressType::P2tr, 9));
        given.learn(now, &with_a_coin_on(AddressType::P2tr, 3));
        let later = now + Duration::from_secs(1);
        assert_eq!(given.used_before(AddressType::P2tr, later), Some(9));
    }
}
