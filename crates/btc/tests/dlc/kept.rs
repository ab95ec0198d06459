//! Copies of a store that are older than the contract's funding, and seeds that are not the store's.

use btc::ErrorKind;
use btc::discreet::Seed;
use btc::dlc::{ContractState, DlcInterface, OracleInterface};

use crate::hostile::STAKE;
use crate::support::{Party, World, newest, settle_down, toss};

#[test]
fn a_copy_from_before_the_funding_settles_once_it_is_given_the_message_again() {
    for is_offerer in [true, false] {
        let world = World::new();
        let (mut alice, mut bob) = world.parties();
        let oracle = world.oracle();
        let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
        let offer = alice.dlc.offer(&terms).expect("an offer");
        let of_alice = alice.backup();
        let accept = bob.dlc.accept(&offer).expect("an accept message");
        let of_bob = bob.backup();
        let sign = alice.dlc.sign(&accept).expect("a sign message");
        let txid = bob.dlc.finalize(&sign).expect("a funding");
        let id = newest(&alice);
        settle_down(&world, &alice, &bob);
        let outcome = if is_offerer { "heads" } else { "tails" };
        let attestation = oracle.attest("toss", outcome).expect("one");
        world.set_clock(world.now() + 86_401);
        world.mine(12);
        let winner = if is_offerer {
            alice.restore(&of_alice);
            alice.dlc.sync().expect("a sync");
            for _ in 0..2 {
                let told = alice.dlc.sign(&accept).expect_err("signed already");
                assert_eq!(told.kind(), ErrorKind::Unsupported, "{told}");
            }
            &alice
        } else {
            bob.restore(&of_bob);
            bob.dlc.sync().expect("a sync");
            assert_eq!(bob.dlc.finalize(&sign).expect("once more"), txid);
            &bob
        };
        winner.dlc.sync().expect("a sync");
        assert_eq!(winner.state(id), ContractState::Confirmed);
        winner
            .dlc
            .execute(id, &[attestation])
            .expect("a settlement");
        settle_down(&world, &alice, &bob);
        assert_eq!(winner.state(id), ContractState::Claimed);
        let payout = winner.dlc.get(id).expect("it").own_payout_sat;
        assert_eq!(payout, Some(2 * STAKE));
    }
}

#[test]
fn another_seed_than_the_stores_is_refused() {
    let world = World::new();
    let (alice, _) = world.parties();
    let seed = alice.folder().join("seed");
    std::fs::remove_file(&seed).expect("there");
    let fresh = Seed::open_or_create(&seed).expect("a seed");
    let opened = alice.open_with_seed(fresh);
    let failure = opened.err().expect("another seed");
    assert_eq!(failure.kind(), ErrorKind::Configuration, "{failure}");
    assert!(failure.to_string().contains("seed"), "{failure}");
}

#[test]
fn a_key_that_is_not_the_contracts_signs_nothing() {
    let world = World::new();
    let (mut alice, mut bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let wrong = Seed::from_bytes([7; 32]);
    // A store from before it was bound to its seed is not bound to one that is not its contract's.
    let bound = |party: &Party, fingerprint: Option<&str>| {
        let file = party.folder().join("contracts.sqlite");
        let connection = rusqlite::Connection::open(file).expect("a database");
        let sql = "DELETE FROM meta WHERE key = 'seed'";
        connection.execute(sql, ()).expect("a change");
        let sql = "INSERT INTO meta VALUES ('seed', ?1)";
        if let Some(fingerprint) = fingerprint {
            connection.execute(sql, [fingerprint]).expect("a change");
        }
    };
    for party in [&mut alice, &mut bob] {
        bound(party, None);
        let failure = party.open_with_seed(wrong.clone()).err();
        let failure = failure.expect("another seed");
        assert_eq!(failure.kind(), ErrorKind::Configuration, "{failure}");
        party.restart();
    }
    // Bound wrongly all the same, it signs nothing.
    let fingerprint = "0f3cf5f8d6859e46";
    let is_wrong = |result: Result<(), btc::BitcoinError>| {
        let failure = result.expect_err("another key");
        assert_eq!(failure.kind(), ErrorKind::Configuration, "{failure}");
    };
    bound(&alice, Some(fingerprint));
    let dlc = alice.open_with_seed(wrong.clone()).expect("bound to it");
    is_wrong(dlc.sign(&accept).map(|_| ()));
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    bound(&bob, Some(fingerprint));
    let dlc = bob.open_with_seed(wrong).expect("bound to it");
    is_wrong(dlc.finalize(&sign).map(|_| ()));
    assert!(world.mempool().is_empty());
    bob.dlc.finalize(&sign).expect("a funding");
}
