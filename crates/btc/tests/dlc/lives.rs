//! Whole lives of enumerated contracts: settled by each side, refunded, closed by agreement.

use btc::ErrorKind;
use btc::dlc::{ContractState, DlcInterface, OracleInterface};

use crate::refusal::refused;
use crate::support::{World, fund, settle_down, toss};

const STAKE: u64 = 400_000;

#[test]
fn an_enumerated_contract_is_settled_by_the_offering_side() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let before = (alice.balance(), bob.balance());
    let id = fund(&world, &alice, &bob, &terms);
    let attestation = oracle.attest("toss", "heads").expect("an attestation");
    world.mine_past(world.now());
    let txid = alice.dlc.execute(id, &[attestation]).expect("a settlement");
    assert_eq!(world.mempool(), [txid]);
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.state(id), ContractState::Claimed);
    assert_eq!(bob.state(id), ContractState::RemoteClaimed);
    let contract = alice.dlc.get(id).expect("a contract");
    assert_eq!(contract.own_payout_sat, Some(2 * STAKE));
    assert_eq!(bob.dlc.get(id).expect("it").own_payout_sat, Some(0));
    // The winner has the other's stake, and both have paid their share of the fees.
    let (won, lost) = (alice.balance() - before.0, before.1 - bob.balance());
    assert!((STAKE - 2_000..STAKE).contains(&won), "{won}");
    assert!((STAKE..STAKE + 2_000).contains(&lost), "{lost}");
    assert_eq!((alice.reserved(), bob.reserved()), (0, 0));
}

#[test]
fn an_enumerated_contract_is_settled_by_the_accepting_side() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE / 2);
    let id = fund(&world, &alice, &bob, &terms);
    let attestation = oracle.attest("toss", "tails").expect("an attestation");
    world.mine_past(world.now());
    bob.dlc
        .execute(id, std::slice::from_ref(&attestation))
        .expect("a settlement");
    settle_down(&world, &alice, &bob);
    assert_eq!(bob.state(id), ContractState::Claimed);
    assert_eq!(alice.state(id), ContractState::RemoteClaimed);
    let payout = bob.dlc.get(id).expect("a contract").own_payout_sat;
    assert_eq!(payout, Some(STAKE + STAKE / 2));
    // What has ended is not settled again.
    let again = alice.dlc.execute(id, &[attestation]).expect_err("ended");
    assert_eq!(again.kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_refund_is_refused_before_its_time_and_taken_after_it() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let mut terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE / 2);
    let refund_time = world.now() + 3 * 86_400;
    terms.refund_time = Some(u32::try_from(refund_time).expect("a time"));
    let id = fund(&world, &alice, &bob, &terms);
    let early = bob.dlc.refund(id).expect_err("too early");
    assert_eq!(early.kind(), ErrorKind::Rejected, "{early}");
    assert!(early.to_string().contains("not valid yet"), "{early}");
    // The clock has passed it; the median of the last blocks has not.
    world.set_clock(refund_time + 1);
    world.mine(1);
    alice.dlc.sync().expect("a sync");
    assert_eq!(alice.state(id), ContractState::Confirmed);
    assert!(world.mempool().is_empty());
    world.mine_past(refund_time);
    // The sync alone takes it.
    alice.dlc.sync().expect("a sync");
    assert_eq!(world.mempool().len(), 1);
    settle_down(&world, &alice, &bob);
    for (party, stake) in [(&alice, STAKE), (&bob, STAKE / 2)] {
        assert_eq!(party.state(id), ContractState::Refunded);
        let payout = party.dlc.get(id).expect("a contract").own_payout_sat;
        assert_eq!(payout, Some(stake));
    }
}

#[test]
fn a_contract_is_closed_by_agreement() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, STAKE);
    let id = fund(&world, &alice, &bob, &terms);
    let proposal = alice.dlc.propose_close(id, 500_000).expect("a proposal");
    refused(bob.dlc.accept_close(&proposal, 300_001), "accept_payout");
    assert!(world.mempool().is_empty());
    bob.dlc.accept_close(&proposal, 300_000).expect("a closing");
    settle_down(&world, &alice, &bob);
    for (party, payout) in [(&alice, 500_000), (&bob, 300_000)] {
        assert_eq!(party.state(id), ContractState::Closed);
        let paid = party.dlc.get(id).expect("a contract").own_payout_sat;
        let paid = paid.expect("paid");
        assert!(paid.abs_diff(payout) < 500, "{paid}");
    }
}

#[test]
fn one_side_funds_alone() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let terms = toss(world.coin_toss(&oracle, "toss"), STAKE, 0);
    let id = fund(&world, &alice, &bob, &terms);
    let attestation = oracle.attest("toss", "tails").expect("an attestation");
    world.mine_past(world.now());
    let before = bob.balance();
    bob.dlc.execute(id, &[attestation]).expect("a settlement");
    settle_down(&world, &alice, &bob);
    assert_eq!(bob.state(id), ContractState::Claimed);
    assert_eq!(bob.balance(), before + STAKE);
}
