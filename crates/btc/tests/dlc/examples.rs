//! The examples of the documentation are contracts that can be offered.

use std::path::Path;

use btc::discreet::text::terms_from_toml;
use btc::dlc::{DlcInterface, Event, EventKind, OracleInterface, Payout};

use crate::support::{World, newest};

#[test]
fn every_example_of_the_documentation_can_be_offered_and_explained() {
    let world = World::new();
    let (alice, bob) = world.parties();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dlc");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the examples") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let mut terms = terms_from_toml(&text).expect("terms");
        for branch in &mut terms.branches {
            let outcomes = match &branch.payout {
                Payout::Enumerated { outcomes } => EventKind::Enumerated {
                    names: outcomes.iter().map(|one| one.outcome.clone()).collect(),
                },
                Payout::Numeric { .. } => EventKind::Numeric {
                    base: 2,
                    digits: 17,
                    unit: "usd".to_owned(),
                    precision: 0,
                },
            };
            for name in &mut branch.oracles.announcements {
                let event = Event {
                    name: name.clone(),
                    maturity_time: u32::try_from(world.now() + 86_400).expect("a time"),
                    outcomes: outcomes.clone(),
                };
                *name = world.oracle().announce(&event).expect("an announcement");
            }
        }
        let offer = alice.dlc.offer(&terms);
        let offer = offer.unwrap_or_else(|cause| unreachable!("{}: {cause}", path.display()));
        let meaning = bob.dlc.explain(&offer).expect("an explanation");
        assert!(
            meaning.signatures < 10_000,
            "{}: {}",
            path.display(),
            meaning.signatures
        );
        alice.dlc.cancel(newest(&alice)).expect("a cancellation");
        count += 1;
    }
    assert_eq!(count, 6);
}
