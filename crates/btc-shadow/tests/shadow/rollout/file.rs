//! The state file: made, replaced, refused, and what is around it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use btc_iface::ErrorKind;
use btc_shadow::rollout::{Action, StateFile};

use super::{JUMP, Place};

#[test]
fn a_missing_file_is_made_at_0_percent_and_kept() {
    let place = Place::empty();
    let error = place.file.read().expect_err("nothing there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let made = place.file.open().expect("its folder is made too");
    assert_eq!((made.percent, made.generation), (0, 1));
    assert!(!made.is_held && !made.is_rolled_back);
    assert_eq!(made.history[0].action, Action::Created);
    assert_eq!(place.file.open().expect("there now"), made);
    assert_eq!(place.file.read().expect("there now"), made);
}

#[test]
fn two_files_draw_different_lots() {
    let salts = [0; 8].map(|_| Place::at(0).file.read().expect("made").salt.to_string());
    let mut different = salts.to_vec();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), salts.len(), "{salts:?}");
}

#[test]
fn a_change_needs_a_file() {
    let place = Place::empty();
    let error = place
        .file
        .update(|_| Ok(()))
        .expect_err("a path that is wrong");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!place.file.path().exists());
}

#[test]
fn what_is_no_state_is_refused_at_the_start_with_what_to_do() {
    let good = fs::read_to_string(Place::at(5).file.path()).expect("text");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        good.replace(from, to)
    };
    let damaged = [
        String::new(),
        "no JSON".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        good[..good.len() / 2].to_owned(),
        with("\"percent\": 5", "\"percent\": 101"),
        with("\"percent\": 5", "\"percent\": -1"),
        with("\"percent\": 5", "\"percent\": 300"),
        with("\"percent\": 5", "\"percentage\": 5"),
        with("\"version\": 1", "\"version\": 0"),
        with("\"salt\": \"", "\"salt\": \"+"),
        " ".repeat(2_000_000),
    ];
    for text in damaged {
        let place = Place::at(5);
        fs::write(place.file.path(), &text).expect("writable");
        let error = place.file.read().expect_err("no state");
        assert_eq!(error.kind(), ErrorKind::InvalidResponse);
        let error = place.file.open().expect_err("no state");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("rollout rollback"), "{error}");
        let error = place.file.update(|state| state.set(1, JUMP, "no"));
        error.expect_err("no state to change");
        assert_eq!(fs::read_to_string(place.file.path()).expect("kept"), text);
        // What to do works: nothing of the damaged file is lost.
        let (_, state) = place.file.roll_back("begin again").expect("always");
        assert_eq!(state.percent, 0);
        assert_eq!(place.file.open().expect("sound again"), state);
        let kept = format!("{}.damaged", place.file.path().display());
        assert_eq!(fs::read_to_string(kept).expect("kept"), text);
    }
}

#[test]
fn a_newer_version_is_left_alone() {
    let place = Place::at(5);
    let text = "{\"version\": 2, \"share\": [1, 2]}";
    fs::write(place.file.path(), text).expect("writable");
    let error = place.file.open().expect_err("newer");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("newer version"), "{error}");
    let error = place.file.roll_back("no").expect_err("newer");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(fs::read_to_string(place.file.path()).expect("kept"), text);
}

#[test]
fn a_place_where_nothing_can_be_is_the_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let blocked = folder.path().join("a file");
    fs::write(&blocked, "").expect("writable");
    for path in [blocked.join("rollout.json"), folder.path().to_owned()] {
        let error = StateFile::new(path).open().expect_err("no place");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains("ROLLOUT_FILE"), "{error}");
    }
}

#[test]
fn permissions_survive_a_change() {
    let place = Place::at(1);
    let path = place.file.path();
    for mode in [0o600, 0o664] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
        place.set(0);
        place.set(1);
        let found = fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(found & 0o777, mode);
    }
}

#[test]
fn a_link_stays_a_link() {
    let place = Place::at(1);
    let link = place.folder.path().join("link.json");
    symlink(place.file.path(), &link).expect("a link");
    let linked = StateFile::new(&link);
    let set = linked.update(|state| state.set(5, JUMP, "through the link"));
    set.expect("it leads somewhere");
    assert!(link.is_symlink());
    assert_eq!(place.file.read().expect("sound").percent, 5);
}
