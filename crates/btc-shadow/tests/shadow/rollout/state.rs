//! The rules for changing the share, and what of it is kept.

use btc_iface::{BitcoinResult, ErrorKind};
use btc_shadow::rollout::{Action, Consent, LADDER, State, VERSION};

use super::{JUMP, Place};

const NONE: Consent = Consent {
    to_jump: false,
    after_rollback: false,
};
const AFTER: Consent = Consent {
    to_jump: false,
    after_rollback: true,
};

fn change(
    place: &Place,
    change: impl FnOnce(&mut State) -> BitcoinResult<()>,
) -> BitcoinResult<State> {
    place.file.update(change).map(|(_, after)| after)
}

fn refused(place: &Place, percent: u8, consent: Consent) -> (ErrorKind, String) {
    let before = place.file.read().expect("it is there");
    let refused = change(place, |state| state.set(percent, consent, "no"));
    let error = refused.expect_err("it is refused");
    assert_eq!(place.file.read().expect("still there"), before);
    (error.kind(), error.message().to_owned())
}

#[test]
fn the_ladder_is_climbed_step_by_step() {
    let place = Place::at(0);
    for (step, beyond) in LADDER.into_iter().zip([5, 25, 50, 100, 0]) {
        if beyond > 0 {
            let (kind, message) = refused(&place, beyond, NONE);
            assert_eq!(kind, ErrorKind::InvalidInput);
            assert!(message.contains(&format!("{step} %")), "{message}");
        }
        let state = change(&place, |state| state.set(step, NONE, "up")).expect("the next step");
        assert_eq!(state.percent, step);
    }
}

#[test]
fn what_lies_between_is_allowed_and_down_always_is() {
    let place = Place::at(0);
    change(&place, |state| state.set(1, NONE, "")).expect("one step");
    change(&place, |state| state.set(3, NONE, "")).expect("below the next step");
    refused(&place, 6, NONE);
    change(&place, |state| state.set(90, JUMP, "")).expect("a jump");
    change(&place, |state| state.set(2, NONE, "")).expect("down");
    let (kind, _) = refused(&place, 101, JUMP);
    assert_eq!(kind, ErrorKind::InvalidInput);
}

#[test]
fn setting_what_holds_changes_nothing() {
    let place = Place::at(5);
    let before = place.file.read().expect("it is there");
    change(&place, |state| state.set(5, NONE, "again")).expect("nothing to do");
    change(&place, |state| {
        state.resume("not held");
        Ok(())
    })
    .expect("nothing to do");
    assert_eq!(place.file.read().expect("it is there"), before);
}

#[test]
fn a_held_share_moves_by_rollback_alone() {
    let place = Place::at(5);
    let hold = |state: &mut State| {
        state.hold("the weekend");
        Ok(())
    };
    let state = change(&place, hold).expect("it can be held");
    assert_eq!((state.percent, state.is_held), (5, true));
    for percent in [0, 4, 6, 25] {
        let (kind, message) = refused(&place, percent, JUMP);
        assert_eq!(kind, ErrorKind::Rejected);
        assert!(message.contains("the weekend"), "{message}");
    }
    let (_, state) = place.file.roll_back("an alarm").expect("always");
    assert_eq!((state.percent, state.is_held), (0, true));
    refused(&place, 1, NONE);
    let state = change(&place, |state| {
        state.resume("monday");
        state.set(1, NONE, "again")
    });
    assert_eq!(state.expect("released").percent, 1);
}

#[test]
fn a_rollback_by_hand_needs_no_acknowledgement() {
    let place = Place::at(50);
    let (before, after) = place.file.roll_back("an alarm").expect("always");
    assert_eq!((before.percent, after.percent), (50, 0));
    assert!(!after.is_rolled_back);
    change(&place, |state| state.set(1, NONE, "again")).expect("as before");
    let (kind, message) = refused(&place, 5, AFTER);
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(message.contains("nothing was rolled back"), "{message}");
}

#[test]
fn after_an_automatic_rollback_somebody_has_to_say_so() {
    let place = Place::at(50);
    place.control().roll_back("mismatch in get_block at txid");
    let state = place.file.read().expect("written");
    assert_eq!((state.percent, state.is_rolled_back), (0, true));
    for consent in [NONE, JUMP] {
        let (kind, message) = refused(&place, 1, consent);
        assert_eq!(kind, ErrorKind::InvalidInput);
        assert!(
            message.contains("mismatch in get_block at txid"),
            "{message}"
        );
    }
    // A hold in between does not hide the reason.
    change(&place, |state| {
        state.hold("later");
        state.resume("now");
        Ok(())
    })
    .expect("allowed");
    let (_, message) = refused(&place, 1, NONE);
    assert!(
        message.contains("mismatch in get_block at txid"),
        "{message}"
    );
    refused(&place, 5, AFTER);
    let state = change(&place, |state| state.set(1, AFTER, "understood")).expect("said so");
    assert_eq!((state.percent, state.is_rolled_back), (1, false));
    change(&place, |state| state.set(5, NONE, "on")).expect("as before");
}

#[test]
fn every_change_is_in_the_history_until_a_hundred_follow() {
    let place = Place::at(1);
    for turn in 0..120_u8 {
        let percent = turn % 2;
        let reason = format!("turn {turn}");
        change(&place, |state| state.set(percent, NONE, &reason)).expect("allowed");
    }
    let state = place.file.read().expect("it is there");
    assert_eq!(state.version, VERSION);
    // Made, set to 1, and the turns.
    assert_eq!(state.generation, 122);
    assert_eq!(state.history.len(), 100);
    for (change, generation) in state.history.iter().zip(23..) {
        assert_eq!(change.generation, generation);
        assert_eq!(change.reason, format!("turn {}", generation - 3));
        assert_eq!(change.action, Action::Set);
        assert_ne!(change.from_percent, change.to_percent);
    }
    let last = state.last_change().expect("a hundred");
    assert_eq!(last.reason, state.reason);
    assert_eq!(last.time_ms, state.changed_at_ms);
    assert!(last.time_ms > 1_600_000_000_000);
}

#[test]
fn a_reason_is_one_short_line() {
    let place = Place::at(0);
    let reason = format!("one\n two\u{1b}[31m\t{}", "x".repeat(2000));
    let state = change(&place, |state| state.set(1, NONE, &reason)).expect("allowed");
    assert!(state.reason.starts_with("one two[31m xxx"), "{state:?}");
    assert_eq!(state.reason.chars().count(), 500);
}
