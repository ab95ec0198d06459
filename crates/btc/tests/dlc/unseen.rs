//! Coins that no chain has, and a funding that the network does not have in time.

use btc::dlc::{
    Cancellation, ContractId, ContractState, DlcEvent, DlcInterface, DlcMessage, OracleInterface,
};
use btc::{AddressType, ErrorKind, WalletInterface};
use serde_json::json;

use crate::hostile::{STAKE, altered, assert_untouched, offered};
use crate::refusal::refused;
use crate::support::{Party, World, fund, newest, settle_down, toss};

/// The same message, but the first coin is of a transaction that was never made.
fn invented(message: &DlcMessage) -> DlcMessage {
    altered(message, |it| {
        let place = &mut it["fundingInputs"][0]["prevTx"];
        let digits = place.as_str().expect("digits").to_owned();
        // Another lock time makes another txid.
        let kept = &digits[..digits.len() - 8];
        *place = json!(format!("{kept}63000000"));
    })
}

fn problem(events: &[DlcEvent], id: ContractId) -> String {
    let event = events.iter().find(|event| event.id == id);
    event
        .and_then(|event| event.error.clone())
        .unwrap_or_default()
}

#[test]
fn a_coin_that_the_node_does_not_know_is_refused_from_either_side() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    refused(bob.dlc.accept(&invented(&offer)), "funding_inputs");
    assert_untouched(&world, &bob);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    refused(alice.dlc.sign(&invented(&accept)), "funding_inputs");
    assert_eq!(alice.state(newest(&alice)), ContractState::Offered);
    alice.dlc.sign(&accept).expect("the message itself");
}

#[test]
fn a_coin_that_is_spent_or_in_no_block_is_refused() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    let id = newest(&alice);
    alice.dlc.cancel(id).expect("an escape");
    // The escape is in no block, and yet the coin is spent.
    refused(bob.dlc.finalize(&sign), "funding_inputs");
    assert_eq!(bob.state(id), ContractState::Accepted);
    world.mine(1);
    refused(bob.dlc.finalize(&sign), "funding_inputs");
    // What has failed is not finalized, whatever the chain says now.
    bob.dlc.sync().expect("a sync");
    assert_eq!(bob.state(id), ContractState::Failed);
    let failure = bob.dlc.finalize(&sign).expect_err("failed");
    assert!(failure.to_string().contains("is failed"), "{failure}");
    // Nothing is kept for ever: what was reserved has its end as before.
    let coins = bob.wallet.unspent().expect("coins");
    let held = coins.iter().find(|coin| coin.reserved_for.is_some());
    assert!(held.is_some_and(|coin| coin.reserved_until_ms.is_some()));
}

/// A contract whose funding the node refused, since it takes more for a transaction.
fn refused_funding(world: &World) -> (Party, Party, ContractId, String, DlcMessage) {
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    let failure = bob.dlc.finalize(&sign).expect_err("too low a fee");
    assert_eq!(failure.kind(), ErrorKind::Rejected, "{failure}");
    let id = newest(&bob);
    let txid = bob.dlc.get(id).expect("it").funding_txid.expect("known");
    (alice, bob, id, txid.to_string(), sign)
}

#[test]
fn a_funding_that_was_never_seen_is_not_handed_over_once_the_event_can_be_known() {
    let world = World::with(&["-minrelaytxfee=0.00005"]);
    let (_alice, bob, id, txid, sign) = refused_funding(&world);
    assert!(problem(&bob.dlc.sync().expect("a sync"), id).contains("fee"));
    // From now on the node would take it, and so would the side that the event favours.
    world.favour(&txid);
    world.set_clock(world.now() + 86_401);
    let events = bob.dlc.sync().expect("a sync");
    assert!(world.mempool().is_empty());
    assert!(problem(&events, id).contains("cancel"), "{events:?}");
    let note = bob.dlc.get(id).expect("it").note.expect("a note");
    assert!(note.contains("cancel"), "{note}");
    refused(bob.dlc.finalize(&sign), "event_maturity_epoch");
    assert!(world.mempool().is_empty());
    // The accepting side, too, can spend its coin elsewhere.
    let Cancellation::SpentElsewhere { txid } = bob.dlc.cancel(id).expect("a cancellation") else {
        unreachable!("the funding is complete on disk");
    };
    assert_eq!(world.mempool(), [txid]);
    assert!(bob.dlc.finalize(&sign).is_err());
    for _ in 0..6 {
        world.mine(1);
        bob.dlc.sync().expect("a sync");
    }
    assert_eq!(bob.state(id), ContractState::Failed);
    bob.wallet.sync().expect("a sync");
    assert_eq!(bob.reserved(), 0);
}

#[test]
fn the_offering_side_hears_of_a_funding_that_does_not_come_before_the_event() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    let id = newest(&alice);
    assert_eq!(alice.dlc.sync().expect("a sync"), []);
    // The event is near: the other side may wait for its outcome, at no cost.
    world.set_clock(world.now() + 86_400 - 3 * 3_600);
    for _ in 0..2 {
        let events = alice.dlc.sync().expect("a sync");
        let told = problem(&events, id);
        assert!(
            told.contains("cancel") && told.contains("funding"),
            "{told}"
        );
        assert_eq!(alice.dlc.get(id).expect("it").note, Some(told));
    }
    // In the mempool it is not safe yet: either side can still replace it. In a block it is.
    bob.dlc.finalize(&sign).expect("a funding");
    for party in [&alice, &bob] {
        let told = problem(&party.dlc.sync().expect("a sync"), id);
        assert!(told.contains("cancel") && told.contains("block"), "{told}");
        assert_eq!(party.state(id), ContractState::Broadcast);
        assert_eq!(party.dlc.get(id).expect("it").note, Some(told));
    }
    world.mine(1);
    for party in [&alice, &bob] {
        let events = party.dlc.sync().expect("a sync");
        assert_eq!(problem(&events, id), "");
        assert_eq!(party.state(id), ContractState::Confirmed);
        assert_eq!(party.dlc.get(id).expect("it").note, None);
    }
    oracle.attest("toss", "heads").expect("one");
}

#[test]
fn a_funding_that_no_block_has_taken_is_replaced_when_a_side_gives_up() {
    for is_offerer in [true, false] {
        let world = World::new();
        let (alice, bob) = (Party::new(&world), Party::new(&world));
        alice.receive(&world, AddressType::P2shP2wpkh);
        bob.receive(&world, AddressType::P2tr);
        world.mine(100);
        for party in [&alice, &bob] {
            party.wallet.sync().expect("a sync");
        }
        let offer = offered(&world, &alice);
        let accept = bob.dlc.accept(&offer).expect("an accept message");
        let sign = alice.dlc.sign(&accept).expect("a sign message");
        let funding = bob.dlc.finalize(&sign).expect("a funding");
        let id = newest(&alice);
        alice.dlc.sync().expect("a sync");
        assert_eq!(alice.state(id), ContractState::Broadcast);
        world.set_clock(world.now() + 86_400 - 3 * 3_600);
        let party = if is_offerer { &alice } else { &bob };
        let told = problem(&party.dlc.sync().expect("a sync"), id);
        assert!(told.contains("cancel"), "{told}");
        assert_eq!(world.mempool(), [funding]);
        let Cancellation::SpentElsewhere { txid } = party.dlc.cancel(id).expect("a cancellation")
        else {
            unreachable!("the own signature had left");
        };
        assert_eq!(world.mempool(), [txid]);
        let again = party.dlc.cancel(id).expect("again");
        assert_eq!(again, Cancellation::SpentElsewhere { txid });
        for _ in 0..6 {
            settle_down(&world, &alice, &bob);
        }
        for party in [&alice, &bob] {
            assert_eq!(party.state(id), ContractState::Failed);
            party.wallet.sync().expect("a sync");
            assert_eq!(party.reserved(), 0);
        }
    }
}

#[test]
fn a_funding_that_was_lost_is_not_sent_again_once_the_event_can_be_known() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let offer = offered(&world, &alice);
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    bob.dlc.finalize(&sign).expect("a funding");
    let id = newest(&alice);
    alice.dlc.sync().expect("a sync");
    world.node.stop().expect("stopped");
    let kept = world.node.datadir().join("regtest/mempool.dat");
    std::fs::remove_file(kept).expect("a mempool that was kept");
    world.node.restart().expect("a node again");
    world.set_clock(world.now() + 86_401);
    for party in [&alice, &bob] {
        let told = problem(&party.dlc.sync().expect("a sync"), id);
        assert!(told.contains("cancel"), "{told}");
        assert!(world.mempool().is_empty());
    }
    refused(bob.dlc.finalize(&sign), "event_maturity_epoch");
    assert!(world.mempool().is_empty());
}

#[test]
fn an_attestation_comes_before_the_refund_and_a_forged_one_does_not_stand_in_its_way() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let mut terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let refund_time = world.now() + 3 * 86_400;
    terms.refund_time = Some(u32::try_from(refund_time).expect("a time"));
    let id = fund(&world, &alice, &bob, &terms);
    let genuine = oracle.attest("toss", "heads").expect("one");
    // Of the same oracle and event, with one digit of the signature changed.
    let other = if genuine.ends_with('0') { "1" } else { "0" };
    let at = genuine.len() - 20;
    let forged = format!("{}{other}{}", &genuine[..at], &genuine[at + 1..]);
    let folder = [
        forged,
        "nothing".to_owned(),
        genuine.clone(),
        genuine.clone(),
    ];
    world.mine_past(refund_time);
    alice.dlc.sync_before_settling().expect("a sync");
    assert!(world.mempool().is_empty());
    let own = alice.dlc.belonging(id, &folder).expect("a contract");
    assert_eq!(own, [genuine]);
    alice.dlc.execute(id, &own).expect("a settlement");
    alice.dlc.sync().expect("a sync");
    assert_eq!(world.mempool().len(), 1);
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.state(id), ContractState::Claimed);
}

#[test]
fn a_refund_sooner_than_a_day_after_the_event_is_refused() {
    let world = World::new();
    let (alice, _) = world.parties();
    let oracle = world.oracle();
    let mut terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    terms.refund_time = Some(u32::try_from(world.now() + 86_400 + 7_200).expect("a time"));
    refused(alice.dlc.offer(&terms), "refund_locktime");
}
