//! What a wallet must not promise twice: the coins and the change address of a transaction, and an
//! address that was given out.
//!
//! The secondary plans on what the primary names, so it finds no fault in what the primary leaves
//! out. Both share one list of what is promised, so the secondary's own snapshot tells.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use btc_iface::{AddressType, BitcoinTransaction, Chain, Operation, WalletSnapshot, WalletTwin};

use super::Twins;
use crate::compare::{Compare, Difference, Differences};
use crate::shadow::observation::guard;

/// How many addresses are remembered.
const MAX_GIVEN: usize = 1 << 17;

/// The addresses that were given out in this run.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<HashSet<(AddressType, u32)>>);

impl Given {
    /// Remembers an index; false if it was given out before.
    pub(crate) fn is_new(&self, address_type: AddressType, index: u32) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= MAX_GIVEN {
            given.clear();
        }
        given.insert((address_type, index))
    }
}

/// Where an address was promised that had been used: given out in this run before, or with coins
/// on it that the secondary knows.
pub(super) fn of_address(
    twins: &Twins,
    given: &Given,
    address_type: AddressType,
    index: u32,
) -> Vec<Difference> {
    let mut found = Differences::default();
    if !given.is_new(address_type, index) {
        found.at(".index", |here| here.add(index, "given out before", false));
        return found.into_vec();
    }
    let snapshot = guard(Operation::GenerateAddress, || twins.secondary.snapshot());
    let has_coin = snapshot.is_ok_and(|snapshot| {
        snapshot.coins.iter().any(|coin| {
            let place = (coin.address_type, coin.chain, coin.index);
            place == (address_type, Chain::Receive, index)
        })
    });
    if has_coin {
        found.at(".index", |here| here.add(index, "used, with coins", false));
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
