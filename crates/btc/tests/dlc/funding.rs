//! Coins: every kind that fits, none twice, none of a kind that does not fit.

use btc::dlc::{ContractState, DlcInterface, OracleInterface};
use btc::{AddressType, ErrorKind, WalletInterface};

use crate::support::{Party, World, fund, newest, settle_down, toss};

const STAKE: u64 = 400_000;

#[test]
fn nested_and_taproot_coins_fund_a_contract() {
    let world = World::new();
    let (alice, bob) = (Party::new(&world), Party::new(&world));
    alice.receive(&world, AddressType::P2shP2wpkh);
    bob.receive(&world, AddressType::P2tr);
    world.mine(100);
    alice.wallet.sync().expect("a sync");
    bob.wallet.sync().expect("a sync");
    let oracle = world.oracle();
    let id = fund(
        &world,
        &alice,
        &bob,
        &toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE),
    );
    let attestation = oracle.attest("toss", "heads").expect("one");
    world.mine_past(world.now());
    alice.dlc.execute(id, &[attestation]).expect("a settlement");
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.state(id), ContractState::Claimed);
}

#[test]
fn coins_of_the_oldest_kind_and_unconfirmed_ones_are_left_alone() {
    let world = World::new();
    let alice = Party::new(&world);
    alice.receive(&world, AddressType::P2pkh);
    world.mine(100);
    alice.wallet.sync().expect("a sync");
    let oracle = world.oracle();
    let offer = alice
        .dlc
        .offer(&toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE));
    let failure = offer.expect_err("no coin that fits");
    assert_eq!(failure.kind(), ErrorKind::Rejected);
    assert!(
        failure
            .context()
            .iter()
            .any(|(name, _)| name == "missing_sat")
    );
    assert!(alice.dlc.list().expect("a list").is_empty());
}

#[test]
fn two_offers_at_once_never_share_a_coin() {
    let world = World::new();
    let alice = Party::new(&world);
    for _ in 0..4 {
        alice.receive(&world, AddressType::P2wpkh);
    }
    world.mine(100);
    alice.wallet.sync().expect("a sync");
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| alice.dlc.offer(&terms).expect("an offer")))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert_eq!(offers.len(), 4);
    assert_eq!(alice.reserved(), 4);
    let failure = alice.dlc.offer(&terms).expect_err("no coin is left");
    assert_eq!(failure.kind(), ErrorKind::Rejected);
    for contract in alice.dlc.list().expect("a list") {
        alice.dlc.cancel(contract.id).expect("a cancellation");
    }
    assert_eq!(alice.reserved(), 0);
}

#[test]
fn a_coin_that_was_spent_meanwhile_refuses_the_signature() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    // The owner frees the coin by hand and uses it for something else.
    let coin = alice.wallet.unspent().expect("coins")[0].outpoint;
    assert!(alice.wallet.unlock(coin).expect("reserved"));
    alice.wallet.hold(&[coin], "rent", None).expect("free");
    let failure = alice.dlc.sign(&accept).expect_err("the coin is taken");
    assert_eq!(failure.kind(), ErrorKind::InvalidInput);
    assert_eq!(alice.state(newest(&alice)), ContractState::Offered);
}
