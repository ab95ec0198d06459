//! Several oracles, several events, and oracles that must not sign twice.

use btc::ErrorKind;
use btc::discreet::{Oracle, Seed};
use btc::dlc::{
    AllowedDifference, ContractState, ContractTerms, DlcInterface, Event, EventKind,
    OracleInterface, Oracles, Payout,
};

use crate::refusal::refused;
use crate::support::{RATE, World, fund, settle_down, toss};

const TOTAL: u64 = 800_000;

fn names() -> EventKind {
    EventKind::Enumerated {
        names: vec!["yes".to_owned(), "no".to_owned()],
    }
}

#[test]
fn two_of_three_oracles_decide_with_one_missing_and_unequal_maturities() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracles = [world.oracle(), world.oracle(), world.oracle()];
    let announcements = oracles.iter().zip(0_u32..).map(|(oracle, number)| {
        let event = Event {
            name: "rain".to_owned(),
            maturity_time: u32::try_from(world.now()).expect("a time") + 86_400 + 600 * number,
            outcomes: names(),
        };
        oracle.announce(&event).expect("an announcement")
    });
    let payout = Payout::enumerated([("yes", TOTAL), ("no", 0)]);
    let terms = ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE)
        .branch(Oracles::any_of(announcements, 2), payout);
    let id = fund(&world, &alice, &bob, &terms);
    let attest = |index: usize, outcome: &str| oracles[index].attest("rain", outcome).expect("one");
    let (third, first) = (attest(2, "no"), attest(0, "no"));
    world.mine_past(world.now());
    // One alone does not suffice, and counted twice it is still one.
    refused(
        bob.dlc.execute(id, std::slice::from_ref(&third)),
        "attestations",
    );
    refused(
        bob.dlc.execute(id, &[third.clone(), third.clone()]),
        "attestations",
    );
    bob.dlc.execute(id, &[third, first]).expect("a settlement");
    settle_down(&world, &alice, &bob);
    assert_eq!(bob.state(id), ContractState::Claimed);
    assert_eq!(bob.dlc.get(id).expect("it").own_payout_sat, Some(TOTAL));
}

#[test]
fn oracles_that_disagree_decide_nothing_and_a_third_one_decides() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracles = [world.oracle(), world.oracle(), world.oracle()];
    let announcements = oracles.iter().map(|oracle| world.coin_toss(oracle, "toss"));
    let payout = Payout::enumerated([("heads", TOTAL), ("tails", 0)]);
    let terms = ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE)
        .branch(Oracles::any_of(announcements, 2), payout);
    let id = fund(&world, &alice, &bob, &terms);
    let heads = oracles[0].attest("toss", "heads").expect("one");
    let tails = oracles[1].attest("toss", "tails").expect("one");
    world.mine_past(world.now());
    refused(
        alice.dlc.execute(id, &[heads.clone(), tails.clone()]),
        "attestations",
    );
    let third = oracles[2].attest("toss", "heads").expect("one");
    alice
        .dlc
        .execute(id, &[heads, tails, third])
        .expect("a settlement");
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.dlc.get(id).expect("it").own_payout_sat, Some(TOTAL));
}

#[test]
fn numbers_within_the_allowed_difference_settle() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracles = [world.oracle(), world.oracle()];
    let announcements = oracles
        .iter()
        .map(|oracle| world.number(oracle, "price", 8));
    let difference = AllowedDifference {
        settles_below_exponent: 2,
        fails_above_exponent: 4,
        maximize_coverage: false,
    };
    let points = [(0, 0), (100, 0), (150, TOTAL), (255, TOTAL)];
    let terms = ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE).branch(
        Oracles::any_of(announcements, 2).with_difference(difference),
        Payout::lines(&points, 50_000),
    );
    let id = fund(&world, &alice, &bob, &terms);
    let one = oracles[0].attest("price", "200").expect("one");
    let other = oracles[1].attest("price", "203").expect("one");
    world.mine_past(world.now());
    alice.dlc.execute(id, &[one, other]).expect("a settlement");
    settle_down(&world, &alice, &bob);
    assert_eq!(alice.dlc.get(id).expect("it").own_payout_sat, Some(TOTAL));
}

#[test]
fn numbers_beyond_the_allowed_difference_settle_nothing() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracles = [world.oracle(), world.oracle()];
    let announcements = oracles
        .iter()
        .map(|oracle| world.number(oracle, "price", 8));
    let difference = AllowedDifference {
        settles_below_exponent: 2,
        fails_above_exponent: 4,
        maximize_coverage: false,
    };
    let terms = ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE).branch(
        Oracles::any_of(announcements, 2).with_difference(difference),
        Payout::lines(&[(0, 0), (128, 0), (255, TOTAL)], 100_000),
    );
    let id = fund(&world, &alice, &bob, &terms);
    let one = oracles[0].attest("price", "10").expect("one");
    let other = oracles[1].attest("price", "240").expect("one");
    world.mine_past(world.now());
    refused(alice.dlc.execute(id, &[one, other]), "attestations");
    assert_eq!(alice.state(id), ContractState::Confirmed);
}

#[test]
fn a_union_settles_on_its_second_event_from_both_sides() {
    for is_offerer in [true, false] {
        let world = World::new();
        let (alice, bob) = world.parties();
        let (first, second) = (world.oracle(), world.oracle());
        let terms = toss(world.coin_toss(&first, "toss"), TOTAL / 2, TOTAL / 2).branch(
            Oracles::one(world.number(&second, "price", 8)),
            Payout::lines(&[(0, 0), (100, 100_000), (255, TOTAL)], 100_000),
        );
        let id = fund(&world, &alice, &bob, &terms);
        let attestation = second.attest("price", "255").expect("one");
        world.mine_past(world.now());
        let settling = if is_offerer { &alice } else { &bob };
        settling
            .dlc
            .execute(id, &[attestation])
            .expect("a settlement");
        settle_down(&world, &alice, &bob);
        assert_eq!(settling.state(id), ContractState::Claimed);
        assert_eq!(alice.dlc.get(id).expect("it").own_payout_sat, Some(TOTAL));
    }
}

#[test]
fn one_event_in_two_branches_is_refused() {
    let world = World::new();
    let (alice, _) = world.parties();
    let (oracle, other) = (world.oracle(), world.oracle());
    let announcement = world.coin_toss(&oracle, "toss");
    let payout = |heads| Payout::enumerated([("heads", heads), ("tails", TOTAL - heads)]);
    let terms = toss(announcement.clone(), TOTAL / 2, TOTAL / 2)
        .branch(Oracles::one(announcement.clone()), payout(0));
    refused(alice.dlc.offer(&terms), "oracle_announcements");
    // Also among several oracles.
    let several = [announcement, world.coin_toss(&other, "toss")];
    let terms = toss(several[0].clone(), TOTAL / 2, TOTAL / 2)
        .branch(Oracles::any_of(several, 1), payout(0));
    refused(alice.dlc.offer(&terms), "oracle_announcements");
    assert_eq!(alice.reserved(), 0);
}

#[test]
fn of_two_events_that_are_attested_the_one_that_pays_more_settles() {
    for is_offerer in [true, false] {
        let world = World::new();
        let (alice, bob) = world.parties();
        let (first, second) = (world.oracle(), world.oracle());
        let payout = Payout::enumerated([("heads", 0), ("tails", TOTAL)]);
        let terms = toss(world.coin_toss(&first, "one"), TOTAL / 2, TOTAL / 2)
            .branch(Oracles::one(world.coin_toss(&second, "two")), payout);
        let id = fund(&world, &alice, &bob, &terms);
        let attestations = [
            first.attest("one", "heads").expect("one"),
            second.attest("two", "heads").expect("one"),
        ];
        world.mine_past(world.now());
        let settling = if is_offerer { &alice } else { &bob };
        settling
            .dlc
            .execute(id, &attestations)
            .expect("a settlement");
        settle_down(&world, &alice, &bob);
        assert_eq!(settling.state(id), ContractState::Claimed);
        let payout = settling.dlc.get(id).expect("it").own_payout_sat;
        assert_eq!(payout, Some(TOTAL));
    }
}

#[test]
fn forged_foreign_and_altered_attestations_are_refused() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let (oracle, stranger) = (world.oracle(), world.oracle());
    let id = fund(
        &world,
        &alice,
        &bob,
        &toss(world.coin_toss(&oracle, "toss"), TOTAL / 2, TOTAL / 2),
    );
    world.coin_toss(&oracle, "another");
    world.coin_toss(&stranger, "toss");
    let foreign = stranger.attest("toss", "heads").expect("one");
    let other_event = oracle.attest("another", "heads").expect("one");
    let right = oracle.attest("toss", "tails").expect("one");
    world.mine_past(world.now());
    refused(alice.dlc.execute(id, &[foreign]), "attestation");
    refused(
        alice.dlc.execute(id, std::slice::from_ref(&other_event)),
        "attestation",
    );
    // Under the name of this event, the nonce is still another.
    let renamed = other_event.replace(&hex("another"), &hex("toss"));
    refused(alice.dlc.execute(id, &[renamed]), "attestation");
    // Every byte counts.
    for place in 0..right.len() / 2 {
        let mut bytes = right.clone().into_bytes();
        let digit = &mut bytes[2 * place + 1];
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        let forged = String::from_utf8(bytes).expect("digits");
        let failure = alice.dlc.execute(id, &[forged]).expect_err("forged");
        assert_eq!(
            failure.kind(),
            ErrorKind::InvalidInput,
            "{place}: {failure}"
        );
    }
    assert!(world.mempool().is_empty());
    assert_eq!(alice.state(id), ContractState::Confirmed);
    bob.dlc.execute(id, &[right]).expect("the right one");
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_forged_announcement_is_refused() {
    let world = World::new();
    let (alice, _) = world.parties();
    let oracle = world.oracle();
    let announcement = world.coin_toss(&oracle, "toss");
    for place in 0..announcement.len() / 2 {
        let mut bytes = announcement.clone().into_bytes();
        let digit = &mut bytes[2 * place + 1];
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        let forged = String::from_utf8(bytes).expect("digits");
        let offer = alice.dlc.offer(&toss(forged, TOTAL / 2, TOTAL / 2));
        let failure = offer.expect_err("a forged announcement");
        assert_eq!(
            failure.kind(),
            ErrorKind::InvalidInput,
            "{place}: {failure}"
        );
    }
    assert_eq!(alice.reserved(), 0);
}

#[test]
fn an_oracle_never_signs_twice_with_one_nonce_across_restarts_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("oracle.sqlite");
    let open = || Oracle::open(&path, &Seed::from_bytes([9; 32])).expect("an oracle");
    let event = Event {
        name: "rain".to_owned(),
        maturity_time: 1_900_000_000,
        outcomes: names(),
    };
    let announcement = open().announce(&event).expect("an announcement");
    assert_eq!(open().announce(&event).expect("again"), announcement);
    let attestation = open().attest("rain", "yes").expect("an attestation");
    assert_eq!(open().attest("rain", "yes").expect("again"), attestation);
    let other = open().attest("rain", "no").expect_err("another outcome");
    assert_eq!(other.kind(), ErrorKind::InvalidInput);
    assert!(!other.to_string().contains(&attestation));
    let changed = Event {
        maturity_time: 1_900_000_001,
        ..event
    };
    refused(open().announce(&changed), "name");
    refused(open().attest("rain", "snow").map(|_| ()), "outcome");
    let missing = open().attest("snow", "yes").expect_err("no event");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}
