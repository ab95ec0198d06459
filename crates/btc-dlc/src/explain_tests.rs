//! Explanations: the worst outcome is never among what is left out.

use btc_iface::dlc::{ContractTerms, Event, EventKind, OracleInterface, Oracles, Payout, Role};

use crate::check;
use crate::deal_tests::{STAKE, numeric, offer, oracle};
use crate::explain::explain;

#[test]
fn the_worst_number_is_told_and_drawn_however_narrow_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    // One number of 4,096, between two that are drawn.
    let points = [
        (0, 2 * STAKE),
        (2_000, 18_000_000),
        (2_001, 500),
        (2_002, 18_000_000),
        (4_095, STAKE),
    ];
    let offer = offer(&numeric(&oracle(&folder), 12, &points, 1));
    let checked = check::contract_info(&offer.contract_info).expect("a contract");
    let meaning = explain(&offer, &checked, Role::Offerer);
    let text = meaning.sentences.join("\n");
    assert!(text.contains("At worst, 2001: you get 500 sat"), "{text}");
    assert!(text.contains("too small to be sent"), "{text}");
    assert!(text.contains("are left out"), "{text}");
    let lines = &meaning.outcomes[0];
    assert!(lines.len() <= 1_000, "{}", lines.len());
    assert!(lines.iter().any(|line| line.from == Some(2_001)));
    assert_eq!(lines.last().expect("one").to, Some(4_095));
    assert!(lines.is_sorted_by_key(|line| line.from));
    // The other side's best is the same number.
    let meaning = explain(&offer, &checked, Role::Accepter);
    let text = meaning.sentences.join("\n");
    assert!(
        text.contains("At best, 2001: you get 19999500 sat"),
        "{text}"
    );
}

#[test]
fn the_worst_name_is_told_however_many_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<String> = (0..1_200).map(|number| format!("name {number}")).collect();
    let event = Event {
        name: "many".to_owned(),
        maturity_time: 1_900_000_000,
        outcomes: EventKind::Enumerated {
            names: names.clone(),
        },
    };
    let announcement = oracle(&folder).announce(&event).expect("an announcement");
    let pays = |number: usize| if number == 1_100 { 0 } else { STAKE };
    let outcomes = names.iter().enumerate();
    let payout = Payout::enumerated(outcomes.map(|(number, name)| (name.as_str(), pays(number))));
    let terms = ContractTerms::new(STAKE, STAKE, 2).branch(Oracles::one(announcement), payout);
    let offer = offer(&terms);
    let checked = check::contract_info(&offer.contract_info).expect("a contract");
    let meaning = explain(&offer, &checked, Role::Offerer);
    let text = meaning.sentences.join("\n");
    assert!(
        text.contains("At worst, name 1100: you get 0 sat"),
        "{text}"
    );
    let lines = &meaning.outcomes[0];
    assert!(lines.iter().any(|line| line.outcome == "name 1100"));
}
