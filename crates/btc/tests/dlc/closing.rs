//! Closings by agreement that the node refuses: they stand in the way of nothing.

use btc::ErrorKind;
use btc::dlc::{ContractId, ContractState, DlcInterface, OracleInterface};

use crate::chain::invalidate;
use crate::hostile::STAKE;
use crate::support::{Party, World, fund, newest, settle_down, toss};

/// A contract in a block, and a closing of it with two outputs that the node refuses for its fee.
/// Settlements and the refund have one output: the node takes them.
fn refused_closing(world: &World) -> (Party, Party, ContractId, u64, impl OracleInterface) {
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let mut terms = toss(world.coin_toss(&oracle, "toss"), STAKE, 0);
    let refund_time = world.now() + 3 * 86_400;
    terms.refund_time = Some(u32::try_from(refund_time).expect("a time"));
    let offer = alice.dlc.offer(&terms).expect("an offer");
    let accept = bob.dlc.accept(&offer).expect("an accept message");
    let sign = alice.dlc.sign(&accept).expect("a sign message");
    bob.dlc.finalize(&sign).expect_err("too low a fee");
    let id = newest(&bob);
    let txid = bob.dlc.get(id).expect("it").funding_txid.expect("known");
    world.favour(&txid.to_string());
    bob.dlc.sync().expect("a sync");
    settle_down(world, &alice, &bob);
    assert_eq!(alice.state(id), ContractState::Confirmed);
    let proposal = bob.dlc.propose_close(id, 100_000).expect("a proposal");
    let refusal = alice
        .dlc
        .accept_close(&proposal, 300_000)
        .expect_err("too low a fee");
    assert_eq!(refusal.kind(), ErrorKind::Rejected, "{refusal}");
    (alice, bob, id, refund_time, oracle)
}

/// The store as it was when a closing by agreement stood in the place of a settlement.
fn as_of_old(party: &Party, id: ContractId) {
    let file = party.folder().join("contracts.sqlite");
    let connection = rusqlite::Connection::open(file).expect("a database");
    let sql = "UPDATE contracts SET facts = json_remove(json_set(facts, '$.closing',
               json_extract(facts, '$.agreed'), '$.proposals', json('[]')), '$.agreed')
               WHERE id = ?1 AND json_extract(facts, '$.agreed.ending') = 'close'";
    assert_eq!(connection.execute(sql, [id.0]).expect("a change"), 1);
}

fn world() -> World {
    World::with(&["-minrelaytxfee=0.000033"])
}

#[test]
fn a_closing_that_the_node_refuses_does_not_stand_in_the_way_of_the_refund() {
    let world = world();
    let (mut alice, bob, id, refund_time, _oracle) = refused_closing(&world);
    as_of_old(&alice, id);
    alice.restart();
    // Until the refund is due, the refusal is told.
    let events = alice.dlc.sync().expect("a sync");
    assert!(events.iter().any(|event| event.error.is_some()));
    world.mine_past(refund_time);
    alice.dlc.sync().expect("a sync");
    assert_eq!(world.mempool().len(), 1);
    settle_down(&world, &alice, &bob);
    for party in [&alice, &bob] {
        assert_eq!(party.state(id), ContractState::Refunded);
    }
}

#[test]
fn a_closing_that_the_node_refuses_does_not_stand_in_the_way_of_an_attestation() {
    let world = world();
    let (alice, bob, id, _, oracle) = refused_closing(&world);
    let attestation = oracle.attest("toss", "heads").expect("one");
    world.mine_past(world.now());
    alice.dlc.sync_before_settling().expect("a sync");
    assert_eq!(alice.dlc.awaits_attestation().expect("a list"), [id]);
    alice.dlc.execute(id, &[attestation]).expect("a settlement");
    assert_eq!(alice.dlc.awaits_attestation().expect("a list"), []);
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.state(id), ContractState::Claimed);
}

#[test]
fn a_closing_that_the_node_took_is_waited_for() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let id = fund(&world, &alice, &bob, &terms);
    assert_eq!(alice.dlc.awaits_attestation().expect("a list"), [id]);
    let proposal = bob.dlc.propose_close(id, 100_000).expect("a proposal");
    alice
        .dlc
        .accept_close(&proposal, 700_000)
        .expect("a closing");
    assert_eq!(alice.dlc.awaits_attestation().expect("a list"), []);
    // A settlement that comes too late changes nothing of what the block says.
    let attestation = oracle.attest("toss", "heads").expect("one");
    world.mine_past(world.now() - 1);
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(id), ContractState::Closed);
    alice
        .dlc
        .execute(id, &[attestation])
        .expect_err("it has ended");
}

#[test]
fn a_refund_that_the_network_lost_gives_way_to_an_attestation() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let mut terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let refund_time = world.now() + 3 * 86_400;
    terms.refund_time = Some(u32::try_from(refund_time).expect("a time"));
    let id = fund(&world, &alice, &bob, &terms);
    world.mine_past(refund_time);
    let refund = alice.dlc.refund(id).expect("a refund");
    assert_eq!(world.mempool(), [refund]);
    // With the blocks whose time it needs, it leaves the mempool.
    invalidate(&world, 12);
    assert!(world.mempool().is_empty());
    world.mine_past(world.now());
    let attestation = oracle.attest("toss", "heads").expect("one");
    alice.dlc.sync_before_settling().expect("a sync");
    assert!(world.mempool().is_empty());
    let settled = alice.dlc.settle_attested(&[attestation]).expect("a round");
    assert!(matches!(settled.as_slice(), [(settled, Ok(_))] if *settled == id));
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.state(id), ContractState::Claimed);
}
