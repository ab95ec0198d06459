//! `btc rollout`: shows and changes the share of calls that Rust answers.

use std::time::{SystemTime, UNIX_EPOCH};

use btc::shadow::rollout::{Change, Consent, State, StateFile};
use btc::{BitcoinError, BitcoinResult, Config, ErrorKind};
use serde_json::json;

use super::Done;
use crate::exit::{Code, Failure};
use crate::flags::{RolloutVerb, Set};
use crate::output::{BAD, GOOD, LABEL, Output, fields, note};
use crate::tame;

/// How many of the last changes are shown as text; as JSON, all that are kept.
const SHOWN: usize = 10;

pub(super) fn run(output: Output, verb: Option<&RolloutVerb>) -> Done {
    let file = file()?;
    let mut is_anew = false;
    let (before, after) = match verb.unwrap_or(&RolloutVerb::Status) {
        RolloutVerb::Status => return status(output, &file),
        RolloutVerb::Set(set) => update(&file, |state| apply(set, state))?,
        RolloutVerb::Hold(why) => update(&file, |state| {
            state.hold(&why.reason);
            Ok(())
        })?,
        RolloutVerb::Resume(why) => update(&file, |state| {
            state.resume(&why.reason);
            Ok(())
        })?,
        // It works on a file that is gone or damaged, too.
        RolloutVerb::Rollback(why) => {
            let found = file.read();
            let states = file.roll_back(&why.reason).map_err(not_there)?;
            if let Err(error) = found {
                is_anew = true;
                note(match error.kind() {
                    ErrorKind::InvalidResponse => {
                        "the roll-out's state was damaged: it is kept as NAME.damaged, and made anew"
                    }
                    _ => "the roll-out had no state: it is made anew",
                });
            }
            states
        }
    };
    changed(output, &file, &before, &after, is_anew)
}

fn apply(set: &Set, state: &mut State) -> BitcoinResult<()> {
    let consent = Consent {
        to_jump: set.jump,
        after_rollback: set.after_rollback,
    };
    state.set(set.percent, consent, &set.why.reason)
}

fn update(
    file: &StateFile,
    change: impl FnOnce(&mut State) -> BitcoinResult<()>,
) -> Result<(State, State), Failure> {
    Ok(file.update(change).map_err(not_there)?)
}

/// The configured file. An overruled roll-out has one too.
fn file() -> Result<StateFile, Failure> {
    let config = Config::load()?;
    let Some(rollout) = config.rollout else {
        let message = "no roll-out is configured; set ROLLOUT_FILE".to_owned();
        return Err(Failure::Other(Code::Configuration, message));
    };
    if rollout.is_overruled {
        note(
            "here PRIMARY_IMPL or USE_RUST_BITCOIN names Python, which overrules the file; programs \
             that run with the same variables do not follow it",
        );
    }
    Ok(StateFile::new(rollout.file))
}

/// A file that cannot be used is a wrong configuration, for the exit code.
pub(super) fn not_there(error: BitcoinError) -> BitcoinError {
    let message = match error.kind() {
        ErrorKind::NotFound => {
            "the roll-out has no state yet; it is made when a program starts with ROLLOUT_FILE, \
             which may name another file here"
        }
        ErrorKind::InvalidResponse => {
            "the roll-out's state is damaged, and running programs keep the share they know; put a \
             copy of it back, or begin again at 0 % (`btc rollout rollback`)"
        }
        ErrorKind::Unsupported => {
            "the roll-out's state was written by a newer version; use that version"
        }
        _ => return error,
    };
    BitcoinError::new(ErrorKind::Configuration, error.operation(), message).with_source(error)
}

fn status(output: Output, file: &StateFile) -> Done {
    let state = file.read().map_err(not_there)?;
    let value = json!({"file": file.path(), "state": &state, "next_step": state.next_step()});
    output.show(&value, || {
        let mut rows = vec![
            ("share", share(&state)),
            (
                "since",
                format!(
                    "{}: {}",
                    ago(state.changed_at_ms),
                    tame::inline(&state.reason)
                ),
            ),
            ("generation", state.generation.to_string()),
            ("file", file.path().display().to_string()),
        ];
        if state.is_held {
            rows.insert(
                1,
                ("held", "yes; `btc rollout resume` releases it".to_owned()),
            );
        }
        if state.is_rolled_back {
            let text = format!(
                "{BAD}rolled back automatically{BAD:#}; `btc rollout set PERCENT --after-rollback` \
                 once the reason is understood"
            );
            rows.insert(1, ("attention", text));
        }
        let changes = state.history.iter().rev().take(SHOWN).map(line);
        format!("{}\n{}", fields(&rows), changes.collect::<String>())
    })?;
    Ok(Code::Ok)
}

/// Of a state that was made anew, nobody knows what running programs had before.
fn changed(output: Output, file: &StateFile, before: &State, after: &State, is_anew: bool) -> Done {
    let is_changed = is_anew || before.generation != after.generation;
    let value = json!({
        "file": file.path(),
        "from_percent": before.percent,
        "to_percent": after.percent,
        "is_changed": is_changed,
        "state": after,
    });
    output.show(&value, || {
        let held = match (before.is_held, after.is_held) {
            (_, true) => ", held",
            (true, false) => ", released",
            (false, false) => "",
        };
        let (from, to) = (before.percent, after.percent);
        if !is_changed {
            return format!("{to} %{held}, as before");
        }
        let from = if from == to {
            String::new()
        } else {
            format!("{from} % → ")
        };
        format!(
            "{from}{to} %{held}; running programs follow within a second\n{}",
            share(after)
        )
    })?;
    Ok(Code::Ok)
}

pub(super) fn share(state: &State) -> String {
    match state.percent {
        0 => "Python answers everything".to_owned(),
        100 => format!("{GOOD}Rust answers everything{GOOD:#}"),
        percent => format!("Rust answers {percent} % of the calls, Python the others"),
    }
}

fn line(change: &Change) -> String {
    format!(
        "{LABEL}{:>5}  {:<16}{LABEL:#}  {:<18}  {:>3} % → {:>3} %  {}\n",
        change.generation,
        ago(change.time_ms),
        change.action.as_str(),
        change.from_percent,
        change.to_percent,
        tame::inline(&change.reason)
    )
}

/// How long ago a moment was, in its largest unit.
pub(super) fn ago(time_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = now
        .unwrap_or_default()
        .as_secs()
        .saturating_sub(time_ms / 1000);
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let (count, unit) = units
        .into_iter()
        .find(|(secs, _)| since >= *secs)
        .map_or((since, "second"), |(secs, unit)| (since / secs, unit));
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}
