//! The chain turns: reorganisations, double spends, a node that forgot.

use btc::TransactionRequest;
use btc::dlc::{Cancellation, ContractState, DlcInterface, OracleInterface};
use btc::{BitcoinInterface, ErrorKind, FeeRate, WalletInterface};
use serde_json::{Value, json};

use crate::refusal::refused;
use crate::support::{World, fund, newest, settle_down, toss};

const STAKE: u64 = 400_000;

pub(crate) fn invalidate(world: &World, blocks: u64) {
    let tip: u64 = world.call("getblockcount", &[]);
    let hash: String = world.call("getblockhash", &[json!(tip + 1 - blocks)]);
    let _: Value = world.call("invalidateblock", &[json!(hash)]);
    // A block like the one before is known as invalid: the next one has another time.
    world.set_clock(world.now() + 1_000);
}

#[test]
fn a_reorganisation_takes_back_the_confirmation_and_the_settlement() {
    let world = World::new();
    let (alice, bob) = world.parties();
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
    // The settlement's block goes, then the funding's with it.
    invalidate(&world, 1);
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(id), ContractState::Confirmed);
    invalidate(&world, 13);
    for party in [&alice, &bob] {
        party.dlc.sync().expect("a sync");
        assert_eq!(party.state(id), ContractState::Broadcast);
    }
    // Everything comes back by itself, with the same transactions.
    let txid = alice.dlc.get(id).expect("it").funding_txid.expect("known");
    assert!(world.mempool().contains(&txid));
    world.mine(1);
    alice.dlc.sync().expect("a sync");
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.state(id), ContractState::Claimed);
    assert_eq!(bob.state(id), ContractState::RemoteClaimed);
}

#[test]
fn a_funding_that_the_node_forgot_is_handed_over_again_until_it_is_seen() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    let txid = bob.dlc.finalize(&sign).expect("a funding");
    // The offering side keeps the complete transaction once it has seen it.
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(newest(&alice)), ContractState::Broadcast);
    for party in [&bob, &alice] {
        world.node.stop().expect("stopped");
        let kept = world.node.datadir().join("regtest/mempool.dat");
        std::fs::remove_file(kept).expect("a mempool that was kept");
        world.node.restart().expect("a node again");
        world.set_clock(world.now());
        assert!(world.mempool().is_empty());
        assert_eq!(party.dlc.sync().expect("a sync"), []);
        assert_eq!(world.mempool(), [txid]);
    }
}

#[test]
fn a_counterparty_that_double_spends_its_input_makes_the_contract_fail_and_frees_the_coins() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    alice.dlc.sign(&accept).expect("a sign message");
    let id = newest(&alice);
    // Bob spends the coin that he brought, which his wallet would not do by itself.
    let coin = bob.wallet.unspent().expect("coins")[0].outpoint;
    bob.dlc.cancel(id).expect("before his signature");
    let address = bob
        .bitcoin
        .generate_address(btc::AddressType::P2wpkh)
        .expect("one");
    let request = TransactionRequest {
        drain_to: Some(address.address),
        fee_rate: FeeRate::from_sat_per_vb(5),
        coins: vec![coin],
        only_coins: true,
        ..TransactionRequest::default()
    };
    let mut psbt = bob.wallet.create_psbt(&request).expect("a payment");
    bob.wallet.sign_psbt(&mut psbt).expect("signed");
    bob.wallet.finalize_psbt(&mut psbt).expect("final");
    let spend = bob
        .wallet
        .extract_psbt(&psbt, false)
        .expect("a transaction");
    bob.bitcoin.broadcast_transaction(&spend).expect("sent");
    // Not in a block: nothing has failed yet.
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(id), ContractState::Signed);
    world.mine(1);
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(id), ContractState::Failed);
    assert_eq!(
        alice.reserved(),
        1,
        "a reorganisation could still bring the funding"
    );
    world.mine(5);
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.reserved(), 0);
    assert!(alice.dlc.execute(id, &[]).is_err());
}

#[test]
fn a_cancellation_after_signing_spends_an_own_input_elsewhere_and_says_so() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let id = newest(&alice);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    let Cancellation::SpentElsewhere { txid } = alice.dlc.cancel(id).expect("a cancellation")
    else {
        unreachable!("the own signature had left");
    };
    assert_eq!(world.mempool(), [txid]);
    // Until it is in a block, the state says what it is.
    assert_eq!(alice.state(id), ContractState::Signed);
    world.mine(1);
    refused(bob.dlc.finalize(&sign), "funding_inputs");
    assert!(world.mempool().is_empty());
    world.mine(6);
    for party in [&alice, &bob] {
        party.dlc.sync().expect("a sync");
        assert_eq!(party.state(id), ContractState::Failed);
        party.wallet.sync().expect("a sync");
        assert_eq!(party.reserved(), 0);
    }
}

#[test]
fn a_cancellation_before_signing_is_safe_and_frees_the_coins() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let id = newest(&alice);
    for party in [&alice, &bob] {
        let coins = party.wallet.unspent().expect("coins");
        let held = coins.iter().find(|coin| coin.reserved_for.is_some());
        let held = held.expect("a reserved coin").clone();
        assert_eq!(party.dlc.cancel(id).expect("one"), Cancellation::Safe);
        assert_eq!(party.reserved(), 0);
        // As if the process had died before the coins were released: once more releases them.
        let reason = held.reserved_for.expect("reserved");
        let reason = reason.trim_start_matches("hold:");
        party
            .wallet
            .hold(&[held.outpoint], reason, None)
            .expect("free");
        assert_eq!(party.reserved(), 1);
        assert_eq!(party.dlc.cancel(id).expect("one"), Cancellation::Safe);
        assert_eq!(party.state(id), ContractState::Cancelled);
        assert_eq!(party.reserved(), 0);
    }
    assert!(alice.dlc.sign(&accept).is_err());
    // After the funding has left, there is nothing to cancel.
    let id = fund(&world, &alice, &bob, &terms);
    let late = alice.dlc.cancel(id).expect_err("funded");
    assert_eq!(late.kind(), ErrorKind::InvalidInput);
}

#[test]
fn one_bad_contract_never_stops_a_sync() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let id = fund(
        &world,
        &alice,
        &bob,
        &toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE),
    );
    let second = {
        alice.balance();
        bob.balance();
        fund(
            &world,
            &alice,
            &bob,
            &toss(world.coin_toss(&oracle, "two"), STAKE, STAKE),
        )
    };
    // The store of the first is damaged: its offer cannot be read.
    let file = alice.folder().join("contracts.sqlite");
    let connection = rusqlite_open(&file);
    connection
        .execute(
            "UPDATE contracts SET offer = x'a71a00' WHERE id = ?1",
            [id.0],
        )
        .expect("a change");
    let one = oracle.attest("toss", "heads").expect("one");
    let two = oracle.attest("two", "heads").expect("one");
    world.mine_past(world.now());
    assert!(alice.dlc.execute(id, &[one]).is_err());
    alice.dlc.execute(second, &[two]).expect("a settlement");
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.state(second), ContractState::Claimed);
    assert_eq!(alice.state(id), ContractState::Confirmed);
}

#[test]
fn contracts_that_cannot_be_read_never_stop_a_round_of_watching() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let names = ["one", "two", "three"];
    let ids = names.map(|name| {
        alice.balance();
        bob.balance();
        let terms = toss(world.coin_toss(&oracle, name), STAKE, STAKE);
        fund(&world, &alice, &bob, &terms)
    });
    let attestations = names.map(|name| oracle.attest(name, "heads").expect("one"));
    let connection = rusqlite_open(&alice.folder().join("contracts.sqlite"));
    // Of the newest nothing can be read, of the one before its offer cannot.
    let offer = "UPDATE contracts SET offer = x'a71a00' WHERE id = ?1";
    connection.execute(offer, [ids[1].0]).expect("a change");
    let facts = "UPDATE contracts SET facts = '{}' WHERE id = ?1";
    connection.execute(facts, [ids[2].0]).expect("a change");
    world.mine_past(world.now());
    let events = alice.dlc.sync_before_settling().expect("a sync");
    let bad = events.iter().find(|event| event.id == ids[2]);
    let bad = bad.expect("the newest is reported");
    assert!(bad.error.is_some());
    assert_eq!(bad.state, None);
    let settled = alice.dlc.settle_attested(&attestations).expect("a round");
    let of = |id| settled.iter().find(|(settled, _)| *settled == id);
    assert!(of(ids[0]).is_some_and(|(_, answer)| answer.is_ok()));
    assert!(of(ids[1]).is_some_and(|(_, answer)| answer.is_err()));
    world.mine(1);
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(ids[0]), ContractState::Claimed);
    // A block that leaves the chain is taken back for those that can be read.
    invalidate(&world, 1);
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(ids[0]), ContractState::Confirmed);
    assert_eq!(alice.dlc.list().expect("a list").len(), 2);
    alice.dlc.get(ids[2]).expect_err("it cannot be read");
}

fn rusqlite_open(path: &std::path::Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).expect("a database")
}
