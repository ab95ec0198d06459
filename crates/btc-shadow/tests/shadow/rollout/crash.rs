//! Several processes at the state file, and the end of one at any moment.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use btc_shadow::rollout::{Consent, State, StateFile};

use super::Place;

const FILE: &str = "BTC_TEST_STATE_FILE";
const NAME: &str = "BTC_TEST_NAME";
const CHANGES: &str = "BTC_TEST_CHANGES";

/// Not a test: what the others start as a process of its own.
#[test]
#[ignore = "started by the other tests"]
fn changes_the_state() {
    let Ok(path) = env::var(FILE) else {
        return;
    };
    let (name, changes) = (env::var(NAME), env::var(CHANGES));
    let (name, changes) = (name.expect("set"), changes.expect("set"));
    let changes: u32 = changes.parse().expect("a number");
    let file = StateFile::new(path);
    for number in 0..changes {
        let reason = format!("{name} {number}");
        let turn = |state: &mut State| {
            let percent = u8::from(state.percent == 0);
            state.set(percent, Consent::default(), &reason)
        };
        file.update(turn).expect("it waits for its turn");
        if number == 0 {
            println!("\nchanging");
        }
    }
}

fn start(place: &Place, name: &str, changes: u32) -> Child {
    let program = env::current_exe().expect("this program has a path");
    Command::new(program)
        .args(["rollout::crash::changes_the_state", "--exact"])
        .args(["--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, place.file.path())
        .env(NAME, name)
        .env(CHANGES, changes.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it is this program")
}

/// The generations of the history lead to the state's without a gap.
fn assert_sound(state: &State) {
    let generations = state.history.iter().rev().map(|change| change.generation);
    assert!(
        generations.eq((0..=state.generation).rev().take(state.history.len())),
        "{state:?}"
    );
    for pair in state.history.windows(2) {
        assert_eq!(pair[0].to_percent, pair[1].from_percent, "{state:?}");
    }
    let last = state.last_change().expect("at least the first one");
    assert_eq!(
        (last.to_percent, &last.reason),
        (state.percent, &state.reason)
    );
}

#[test]
fn a_killed_writer_leaves_the_state_before_or_after_its_change() {
    const ROUNDS: u64 = 25;
    let place = Place::at(0);
    let mut generation = 0;
    for round in 0..ROUNDS {
        let mut child = start(&place, "killed", u32::MAX);
        let stdout = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(stdout).lines();
        let is_changing = lines.any(|line| line.is_ok_and(|line| line == "changing"));
        assert!(is_changing, "it began");
        // Each round ends it at another moment of its loop.
        thread::sleep(Duration::from_micros(round * 377 % 5000));
        child.kill().expect("it runs until then");
        child.wait().expect("our own child");
        let state = place.file.read().expect("whole");
        assert_sound(&state);
        assert!(state.generation > generation, "nothing is undone");
        generation = state.generation;
    }
    // The lock went with its owner.
    place.file.roll_back("done").expect("free");
}

#[test]
fn two_processes_lose_nothing_of_each_other() {
    const CHANGES: u32 = 45;
    let place = Place::at(0);
    let children = ["one", "two"].map(|name| start(&place, name, CHANGES));
    for child in children {
        let output = child.wait_with_output().expect("our own child");
        assert!(output.status.success(), "{output:?}");
    }
    let state = place.file.read().expect("whole");
    assert_sound(&state);
    assert_eq!(state.generation, 1 + 2 * u64::from(CHANGES));
    for name in ["one", "two"] {
        for number in 0..CHANGES {
            let reason = format!("{name} {number}");
            let found = state.history.iter().filter(|it| it.reason == reason);
            assert_eq!(found.count(), 1, "{reason}");
        }
    }
}
