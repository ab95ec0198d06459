//! What a running process makes of its file: followed, mistrusted, and rolled back in any case.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use btc_iface::ErrorKind;
use btc_shadow::Journal;
use btc_shadow::record::{self, Event};
use btc_shadow::rollout::{Consent, Control, StateFile, Trouble};
use btc_shadow::sink::{MemorySink, Sink};

use super::{JUMP, Place};
use crate::samples::{line, start};

#[test]
fn a_changed_file_is_followed_without_a_word() {
    let place = Place::at(5);
    let control = place.control();
    assert_eq!(control.percent(), 5);
    place.set(25);
    let waited = Instant::now();
    while control.percent() != 25 {
        assert!(waited.elapsed() < Duration::from_mins(1), "never followed");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(control.status().state, place.file.read().expect("sound"));
}

#[test]
fn a_change_is_a_line_of_the_log() {
    let place = Place::at(5);
    let sink = Arc::new(MemorySink::default());
    let journal = Arc::new(Journal::new(sink.clone()));
    let control = Control::open(place.file.clone(), Some(journal.clone())).expect("sound");
    let begin = line("00c0ffee", start(true));
    journal.write(&begin).expect("taken");
    place.set(25);
    control.refresh();
    control.refresh();
    // Freezing the share is none.
    let hold = place.file.update(|state| {
        state.hold("later");
        Ok(())
    });
    hold.expect("allowed");
    control.refresh();
    control.roll_back("mismatch in get_block at txid");
    control.roll_back("another one");
    let lines = sink.lines().into_iter().skip(1);
    let events: Vec<_> = lines.map(|line| line.event).collect();
    let changes: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Rollout(record::Rollout {
                from_percent,
                to_percent,
                is_automatic,
                reason,
                ..
            }) => (*from_percent, *to_percent, *is_automatic, reason.as_str()),
            other => unreachable!("{other:?}"),
        })
        .collect();
    assert_eq!(
        changes,
        [
            (5, 25, false, "the test wants it"),
            (25, 0, true, "mismatch in get_block at txid")
        ]
    );
}

#[test]
fn a_rollback_of_one_process_is_followed_by_the_others() {
    let place = Place::at(50);
    let (one, other) = (place.control(), place.control());
    let salt = one.status().state.salt;
    one.roll_back("mismatch in get_balance at balance");
    // At once here, before anybody looks at the file; next time anybody looks, there.
    assert_eq!(one.percent(), 0);
    let state = place.file.read().expect("written");
    assert_eq!(state.reason, "mismatch in get_balance at balance");
    other.refresh();
    assert_eq!(other.percent(), 0);
    assert_eq!(other.status().state, state);
    // Its own reason comes too late.
    other.roll_back("mismatch in get_block at txid");
    assert_eq!(place.file.read().expect("sound"), state);
    // The same lots are drawn again later.
    assert_eq!(other.status().state.salt, salt);
}

#[test]
fn while_the_file_cannot_be_followed_the_share_stands() {
    let place = Place::at(25);
    let control = place.control();
    let good = fs::read(place.file.path()).expect("readable");
    let newer = br#"{"version": 2, "percent": 100}"#;
    for (bad, word) in [(&b"{"[..], "EOF"), (b"", "EOF"), (newer, "newer")] {
        fs::write(place.file.path(), bad).expect("writable");
        control.refresh();
        let status = control.status();
        assert_eq!(status.percent, 25);
        let Some(Trouble::Unreadable(why)) = status.trouble else {
            unreachable!("{status:?}");
        };
        assert!(why.contains(word), "{why}");
    }
    fs::remove_file(place.file.path()).expect("there");
    control.refresh();
    assert_eq!(control.percent(), 25);
    assert_eq!(control.status().trouble, Some(Trouble::Gone));
    fs::write(place.file.path(), good).expect("writable");
    control.refresh();
    assert_eq!(control.status().trouble, None);
    place.set(50);
    control.refresh();
    assert_eq!(control.percent(), 50);
}

#[test]
fn an_old_copy_may_lower_the_share_and_not_raise_it() {
    let place = Place::at(50);
    let high = fs::read(place.file.path()).expect("readable");
    place.set(5);
    let control = place.control();
    fs::write(place.file.path(), &high).expect("writable");
    control.refresh();
    assert_eq!(control.percent(), 5);
    assert_eq!(control.status().trouble, Some(Trouble::Stale));
    // Edited by hand.
    let text = String::from_utf8(high).expect("JSON");
    let edited = |percent: u8| text.replace("\"percent\": 50", &format!("\"percent\": {percent}"));
    fs::write(place.file.path(), edited(100)).expect("writable");
    control.refresh();
    assert_eq!(control.percent(), 5);
    fs::write(place.file.path(), edited(2)).expect("writable");
    control.refresh();
    assert_eq!((control.percent(), control.status().trouble), (2, None));
    // From there on the file counts.
    place.set(25);
    control.refresh();
    assert_eq!(control.percent(), 25);
}

#[test]
fn a_rollback_that_cannot_be_written_holds_and_is_written_later() {
    let place = Place::at(50);
    let control = place.control();
    let folder = place.file.path().parent().expect("a folder").to_owned();
    let aside = place.folder.path().join("aside");
    fs::rename(&folder, &aside).expect("movable");
    fs::write(&folder, "in the way").expect("writable");
    control.roll_back("mismatch in get_block at txid");
    for _ in 0..2 {
        let status = control.status();
        assert_eq!(status.percent, 0);
        let reason = status.unwritten_rollback.as_deref();
        assert_eq!(reason, Some("mismatch in get_block at txid"));
        assert!(matches!(
            status.trouble,
            Some(Trouble::Unwritable(_) | Trouble::Unreadable(_))
        ));
        control.refresh();
    }
    fs::remove_file(&folder).expect("ours");
    fs::rename(&aside, &folder).expect("movable");
    // Somebody who cannot know raises the share.
    place.set(100);
    control.refresh();
    let state = place.file.read().expect("sound");
    assert_eq!((state.percent, state.is_rolled_back), (0, true));
    assert_eq!(state.reason, "mismatch in get_block at txid");
    let status = control.status();
    assert_eq!((status.percent, status.trouble), (0, None));
    assert_eq!((status.unwritten_rollback, status.state), (None, state));
}

#[test]
fn what_the_file_says_meanwhile_does_not_undo_a_rollback() {
    let place = Place::at(50);
    let control = place.control();
    // What is written is drafted first.
    let draft = format!("{}.draft", place.file.path().display());
    fs::create_dir(&draft).expect("in the way");
    control.roll_back("mismatch in get_block at txid");
    let elsewhere = StateFile::new(place.folder.path().join("copy.json"));
    fs::copy(place.file.path(), elsewhere.path()).expect("readable");
    for percent in [75, 100] {
        let set = elsewhere.update(|state| state.set(percent, JUMP, "it cannot know"));
        set.expect("allowed");
    }
    fs::copy(elsewhere.path(), place.file.path()).expect("writable");
    control.refresh();
    let status = control.status();
    assert_eq!(status.percent, 0);
    assert!(matches!(status.trouble, Some(Trouble::Unwritable(_))));
    fs::remove_dir(&draft).expect("ours");
    control.refresh();
    assert_eq!(control.percent(), 0);
    let state = place.file.read().expect("sound");
    assert_eq!((state.percent, state.is_rolled_back), (0, true));
}

#[test]
fn a_rollback_that_was_never_written_is_written_at_the_end() {
    let place = Place::at(50);
    let control = place.control();
    let folder = place.file.path().parent().expect("a folder").to_owned();
    let aside = place.folder.path().join("aside");
    fs::rename(&folder, &aside).expect("movable");
    fs::write(&folder, "in the way").expect("writable");
    control.roll_back("mismatch in get_block at txid");
    fs::remove_file(&folder).expect("ours");
    fs::rename(&aside, &folder).expect("movable");
    drop(control);
    assert_eq!(place.file.read().expect("sound").percent, 0);
}

#[test]
fn a_rollback_mends_a_file_that_is_gone_or_damaged() {
    for damage in [None, Some("{")] {
        let place = Place::at(50);
        let control = place.control();
        match damage {
            Some(text) => fs::write(place.file.path(), text).expect("writable"),
            None => fs::remove_file(place.file.path()).expect("there"),
        }
        control.refresh();
        assert_eq!(control.percent(), 50);
        control.roll_back("mismatch in get_block at txid");
        let state = place.file.read().expect("sound");
        assert_eq!((state.percent, state.is_rolled_back), (0, true));
        // The history goes on.
        assert_eq!(state.history.len(), 3);
        control.refresh();
        let status = control.status();
        assert_eq!((status.trouble, status.state), (None, state));
    }
}

#[test]
fn a_rollback_by_hand_reaches_a_process_whose_file_was_gone() {
    let place = Place::at(50);
    let control = place.control();
    fs::remove_file(place.file.path()).expect("there");
    place.file.roll_back("an alarm").expect("always");
    control.refresh();
    assert_eq!((control.percent(), control.status().trouble), (0, None));
    place.set(1);
    control.refresh();
    assert_eq!(control.percent(), 1);
}

#[test]
fn a_newer_file_is_not_written_over_by_a_rollback() {
    let place = Place::at(50);
    let control = place.control();
    let newer = r#"{"version": 2, "percent": 100}"#;
    fs::write(place.file.path(), newer).expect("writable");
    control.roll_back("mismatch in get_block at txid");
    assert_eq!(control.percent(), 0);
    assert!(control.status().unwritten_rollback.is_some());
    drop(control);
    let text = fs::read_to_string(place.file.path()).expect("readable");
    assert_eq!(text, newer);
}

#[test]
fn an_acknowledged_rollback_is_over_for_all() {
    let place = Place::at(1);
    let (one, other) = (place.control(), place.control());
    one.roll_back("mismatch in get_block at txid");
    let after = Consent {
        after_rollback: true,
        ..JUMP
    };
    let set = place.file.update(|state| state.set(1, after, "understood"));
    set.expect("acknowledged");
    for control in [&one, &other] {
        control.refresh();
        assert_eq!(control.percent(), 1);
    }
    // And the next one counts again.
    other.roll_back("mismatch in get_block at version");
    assert_eq!(place.file.read().expect("sound").percent, 0);
}

#[test]
fn a_start_without_a_sound_file_is_refused() {
    let place = Place::at(50);
    fs::write(place.file.path(), "{").expect("writable");
    let error = Control::open(place.file.clone(), None).err();
    assert_eq!(error.expect("refused").kind(), ErrorKind::Configuration);
    let new = Place::empty();
    assert_eq!(new.control().percent(), 0);
    let again = StateFile::new(new.file.path()).read();
    assert_eq!(again.expect("made").percent, 0);
}
