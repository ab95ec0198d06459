//! Numeric contracts: at the floor, at the cap, on the slope, at every boundary of the rounding.

use btc::dlc::{
    ContractState, ContractTerms, CurvePiece, CurvePoint, DlcInterface, OracleInterface, Oracles,
    Payout, Rounding,
};

use crate::refusal::refused;
use crate::support::{Party, RATE, World, fund, newest, settle_down};

const TOTAL: u64 = 1_000_000;

/// A future over 0 to 1,023: nothing below 300, everything above 700, a line between.
fn future(announcement: &str, step_sat: u64) -> ContractTerms {
    let points = [(0, 0), (300, 0), (700, TOTAL), (1_023, TOTAL)];
    ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE)
        .branch(Oracles::one(announcement), Payout::lines(&points, step_sat))
}

/// Makes a contract on its own and settles it with this number; returns both payouts.
fn settled(world: &World, parties: &(Party, Party), number: u64, step_sat: u64) -> (u64, u64) {
    let (alice, bob) = parties;
    let oracle = world.oracle();
    let announcement = world.number(&oracle, "price", 10);
    let id = fund(world, alice, bob, &future(&announcement, step_sat));
    let attestation = oracle.attest("price", &number.to_string()).expect("one");
    world.mine_past(world.now());
    alice.dlc.execute(id, &[attestation]).expect("a settlement");
    settle_down(world, alice, bob);
    assert_eq!(alice.state(id), ContractState::Claimed);
    // The change is confirmed, so the next contract has coins.
    alice.balance();
    bob.balance();
    let payout = |party: &Party| party.dlc.get(id).expect("it").own_payout_sat.expect("paid");
    (payout(alice), payout(bob))
}

#[test]
fn a_numeric_contract_settles_at_the_floor_at_the_cap_and_on_the_slope() {
    let world = World::new();
    let parties = world.parties();
    for (number, expected) in [
        (0, 0),
        (299, 0),
        (500, 500_000),
        (701, TOTAL),
        (1_023, TOTAL),
    ] {
        let paid = settled(&world, &parties, number, 1_000);
        assert_eq!(paid, (expected, TOTAL - expected), "{number}");
    }
}

#[test]
fn a_numeric_contract_settles_at_each_boundary_of_its_rounding() {
    let world = World::new();
    let parties = world.parties();
    // 2,500 sat a number, steps of 100,000 sat: half of a step is 20 numbers.
    for (number, expected) in [(319, 0), (320, 100_000), (359, 100_000), (360, 200_000)] {
        let paid = settled(&world, &parties, number, 100_000);
        assert_eq!(paid, (expected, TOTAL - expected), "{number}");
    }
}

#[test]
fn a_hyperbola_settles_as_an_inverse_price() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let announcement = world.number(&oracle, "price", 10);
    let point = |at, pays_sat| CurvePoint {
        at,
        pays_sat,
        extra_precision: 0,
    };
    // The offering side keeps the worth of 100 dollars: 100,000,000 sat / price, capped.
    let payout = Payout::Numeric {
        curve: vec![
            CurvePiece::Polynomial {
                points: vec![point(0, TOTAL), point(100, TOTAL)],
            },
            CurvePiece::Hyperbola {
                from: point(100, TOTAL),
                to: point(1_023, 97_751),
                use_positive_piece: true,
                translate_outcome: 0.0,
                translate_payout: 0.0,
                a: 1.0,
                b: 0.0,
                c: 0.0,
                d: 100_000_000.0,
            },
        ],
        rounding: vec![Rounding {
            from: 0,
            step_sat: 1_000,
        }],
    };
    let terms =
        ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE).branch(Oracles::one(announcement), payout);
    let id = fund(&world, &alice, &bob, &terms);
    let attestation = oracle.attest("price", "400").expect("an attestation");
    world.mine_past(world.now());
    bob.dlc.execute(id, &[attestation]).expect("a settlement");
    settle_down(&world, &alice, &bob);
    let paid = alice.dlc.get(id).expect("a contract").own_payout_sat;
    assert_eq!(paid, Some(250_000));
}

#[test]
fn a_curve_that_leaves_a_number_out_or_pays_too_much_is_refused_before_any_work() {
    let world = World::new();
    let (alice, _) = world.parties();
    let oracle = world.oracle();
    let announcement = world.number(&oracle, "price", 10);
    let offer = |points: &[(u64, u64)]| {
        let terms = ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE).branch(
            Oracles::one(announcement.as_str()),
            Payout::lines(points, 1),
        );
        alice.dlc.offer(&terms)
    };
    refused(offer(&[(0, 0), (1_022, TOTAL)]), "payout_function");
    refused(offer(&[(1, 0), (1_023, TOTAL)]), "payout_function");
    refused(offer(&[(0, 0), (1_023, TOTAL + 1)]), "outcome_payout");
    refused(
        offer(&[(0, 0), (500, 0), (500, 0), (1_023, 0)]),
        "payout_points",
    );
    // A parabola whose ends are allowed and whose middle is not (rust-dlc #101, dlcspecs #207).
    let curve = [(0, 0), (511, TOTAL), (1_023, 900_000)].map(|(at, pays_sat)| CurvePoint {
        at,
        pays_sat,
        extra_precision: 0,
    });
    let payout = Payout::Numeric {
        curve: vec![CurvePiece::Polynomial {
            points: curve.to_vec(),
        }],
        rounding: vec![Rounding {
            from: 0,
            step_sat: 1,
        }],
    };
    let terms = ContractTerms::new(TOTAL / 2, TOTAL / 2, RATE)
        .branch(Oracles::one(announcement.as_str()), payout);
    refused(alice.dlc.offer(&terms), "payout_function");
    assert!(alice.dlc.list().expect("a list").is_empty());
    assert_eq!(alice.reserved(), 0);
}

#[test]
fn a_contract_with_too_many_signatures_is_refused_before_any_work() {
    let world = World::new();
    let (alice, _) = world.parties();
    let oracle = world.oracle();
    let announcement = world.number(&oracle, "price", 21);
    let points = [(0, 0), ((1 << 21) - 1, 100_000_000)];
    let terms = ContractTerms::new(50_000_000, 50_000_000, RATE)
        .branch(Oracles::one(announcement), Payout::lines(&points, 1));
    let started = std::time::Instant::now();
    refused(alice.dlc.offer(&terms), "contract_info");
    assert!(started.elapsed().as_secs() < 60, "work before the refusal");
    assert_eq!(alice.reserved(), 0);
}

#[test]
fn what_a_contract_means_is_said_in_words_and_numbers() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let oracle = world.oracle();
    let announcement = world.number(&oracle, "price", 10);
    let offer = alice
        .dlc
        .offer(&future(&announcement, 1_000))
        .expect("an offer");
    let told = bob.dlc.explain(&offer).expect("an explanation");
    let text = told.sentences.join("\n");
    for words in [
        "You put in 500000 sat",
        "1000000 sat are at stake",
        "One oracle decides alone",
        "At best, 0 to 300: you get 1000000 sat (a gain of 500000 sat)",
        "At worst, 700 to 1023: you get 0 sat (a loss of 500000 sat)",
        "each side gets back what it put in",
    ] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    let lines = &told.outcomes[0];
    let picture = btc::discreet::draw::terminal(lines).expect("a curve");
    assert!(
        picture.lines().count() > 10 && picture.contains("1000000"),
        "{picture}"
    );
    let svg = btc::discreet::draw::svg(lines).expect("a curve");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    // For the other side it is the other way round.
    let own = alice.dlc.show(newest(&alice)).expect("an explanation");
    assert_eq!(own.outcomes[0][0].own_payout_sat, 0);
    assert_eq!(told.outcomes[0][0].own_payout_sat, TOTAL);
}
