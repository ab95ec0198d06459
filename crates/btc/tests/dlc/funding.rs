//! Coins: every kind that fits, none twice, none of a kind that does not fit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use btc::discreet::{Dlc, DlcConfig, Parts, Seed, StagedFunding};
use btc::dlc::{ContractState, DlcInterface, OracleInterface};
use btc::rust::RustBitcoin;
use btc::{AddressType, ErrorKind, Network, WalletInterface};

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

/// A side whose wallet can pay and make addresses, and nothing more.
struct Plain {
    dlc: Dlc,
    funding: Arc<StagedFunding>,
    party: Party,
}

fn plain(world: &World) -> Plain {
    let party = Party::new(world);
    party.receive(world, AddressType::P2pkh);
    world.mine(100);
    party.wallet.sync().expect("a sync");
    let folder = party.home.path().join("plain");
    std::fs::create_dir_all(&folder).expect("a folder");
    let seed = Seed::open_or_create(&folder.join("seed")).expect("a seed");
    let file = folder.join("staged.sqlite");
    let bitcoin = Arc::clone(&party.bitcoin) as _;
    let bare = Arc::new(RustBitcoin::connect(&world.config()).expect("a node"));
    let index = Arc::clone(&bare) as _;
    let funding = StagedFunding::open(bitcoin, index, Network::Regtest, seed.clone(), &file);
    let funding = Arc::new(funding.expect("a file"));
    let with = Parts {
        network: Network::Regtest,
        index: Arc::clone(&bare) as _,
        node: bare,
        funding: Arc::clone(&funding) as _,
    };
    let clock = Arc::clone(&world.clock);
    let terms = DlcConfig {
        now: Arc::new(move || clock.load(Ordering::SeqCst)),
        ..DlcConfig::default()
    };
    Plain {
        dlc: Dlc::open(&folder, seed, with, terms).expect("a store"),
        funding,
        party,
    }
}

#[test]
fn a_wallet_that_only_pays_funds_through_a_staged_key() {
    let world = World::new();
    let (alice, _) = world.parties();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    // One payment to the staging key leaves, and nothing else, until that is in a block.
    for _ in 0..2 {
        let failure = bob.dlc.accept(&offer).expect_err("no coin in a block");
        assert_eq!(failure.kind(), ErrorKind::Unavailable, "{failure}");
        assert_eq!(world.mempool().len(), 1);
    }
    world.mine(1);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    assert!(world.mempool().is_empty());
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    bob.dlc.finalize(&sign).expect("a funding");
    world.mine(1);
    bob.dlc.sync().expect("a sync");
    alice.dlc.sync().expect("a sync");
    let id = newest(&alice);
    assert_eq!(bob.dlc.get(id).expect("it").state, ContractState::Confirmed);
    let attestation = oracle.attest("toss", "tails").expect("one");
    world.mine_past(world.now());
    bob.dlc.execute(id, &[attestation]).expect("a settlement");
    world.mine(1);
    bob.dlc.sync().expect("a sync");
    assert_eq!(bob.dlc.get(id).expect("it").state, ContractState::Claimed);
    // The staged coin is spent: nothing is sent back, and nothing is brought twice.
    assert!(bob.funding.send_back(2).expect("nothing to do").is_empty());
}

#[test]
fn a_staged_coin_that_no_contract_used_is_sent_back() {
    let world = World::new();
    let bob = plain(&world);
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let before = bob.party.balance();
    bob.dlc.offer(&terms).expect_err("a coin in no block");
    world.mine(1);
    bob.dlc.offer(&terms).expect("an offer");
    assert!(bob.funding.send_back(2).expect("reserved").is_empty());
    let id = bob.dlc.list().expect("a list")[0].id;
    bob.dlc.cancel(id).expect("a cancellation");
    // The next offer brings the same coin; then it goes home.
    bob.dlc.offer(&terms).expect("an offer");
    assert!(world.mempool().is_empty());
    let id = bob.dlc.list().expect("a list")[0].id;
    bob.dlc.cancel(id).expect("a cancellation");
    assert_eq!(bob.funding.send_back(2).expect("sent").len(), 1);
    world.mine(1);
    let lost = before - bob.party.balance();
    assert!(lost < 2_000, "{lost}");
}
