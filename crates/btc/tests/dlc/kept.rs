//! Seeds that are not the store's.

use btc::ErrorKind;
use btc::discreet::Seed;
use btc::dlc::DlcInterface;

use crate::hostile::STAKE;
use crate::support::{Party, World, toss};

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
