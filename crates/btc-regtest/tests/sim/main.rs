//! The simulated node beside Bitcoin Core: the same calls, and the same answers field by field.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and the message says why"
)]

mod blocks;
mod faults;
mod mempool;
mod packages;
mod pair;
mod random;
mod refusals;
mod reorganisations;

use std::collections::BTreeSet;

/// How many kinds of calls and answers are compared at the least.
const MIN_KINDS: usize = 60;

#[test]
fn sixty_kinds_of_calls_are_compared() {
    let parts = [
        blocks::blocks_are_told_as_core_tells_them,
        blocks::what_is_not_there_is_refused_as_core_refuses_it,
        mempool::a_family_of_transactions_is_told_as_core_tells_it,
        mempool::estimates_are_those_of_a_node_that_knows_nothing,
        refusals::what_is_wrong_with_a_transaction_alone,
        refusals::bytes_that_are_no_transaction,
        refusals::what_is_known_already,
        packages::a_child_pays_for_its_parent,
    ];
    for part in parts {
        part();
    }
    let kinds: BTreeSet<String> = pair::seen();
    println!("{} kinds: {kinds:#?}", kinds.len());
    assert!(kinds.len() >= MIN_KINDS, "{} kinds", kinds.len());
}
