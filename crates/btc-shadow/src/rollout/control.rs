//! `Control`: the share as a running process knows it, followed from the file and rolled back at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind};
use serde::Serialize;

use super::file::{Stamp, StateFile};
use super::gate::Gate;
use super::journal::Journal;
use super::state::{Action, State, error};
use crate::clock::now_ms;
use crate::record::{self, Event};

/// How often a changed file is looked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a running process knows about its roll-out.
///
/// A thread of its own looks for a changed file once a second. It ends with this.
pub struct Control {
    file: StateFile,
    gate: Gate,
    /// Counts the changes that this process has followed or made.
    changes: AtomicU64,
    known: Mutex<Known>,
    journal: Option<Arc<Journal>>,
    follower: OnceLock<Thread>,
}

struct Known {
    state: State,
    /// Of the file that was looked at last.
    stamp: Option<Stamp>,
    trouble: Option<Trouble>,
    /// The reason of a rollback that could not be written yet.
    unwritten: Option<String>,
}

/// Why the file is not followed; the last known share holds meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trouble {
    /// It is gone.
    Gone,
    /// It is damaged, of a newer version, or cannot be read.
    Unreadable(String),
    /// A rollback cannot be written to it.
    Unwritable(String),
    /// Its share is higher and its generation is not: an old copy, or edited by hand.
    Stale,
}

/// A copy of what is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The share of calls that Rust answers now, in percent.
    pub percent: u8,
    /// The last state that was followed.
    pub state: State,
    /// Why the file is not followed, if so.
    pub trouble: Option<Trouble>,
    /// The reason of a rollback that holds in this process and could not be written yet.
    pub unwritten_rollback: Option<String>,
}

impl Control {
    /// Follows the state file; one that is not there is made, with a share of 0 %. Changes of the
    /// share are written to `journal`.
    ///
    /// # Errors
    /// `Configuration`: the file is damaged, of a newer version, or cannot be read or made.
    /// `Internal`: no thread can be started.
    pub fn open(file: StateFile, journal: Option<Arc<Journal>>) -> BitcoinResult<Arc<Self>> {
        let stamp = file.stamp();
        let state = file.open()?;
        let control = Arc::new(Self {
            gate: Gate::new(state.salt, state.percent),
            file,
            changes: AtomicU64::new(0),
            known: Mutex::new(Known {
                state,
                stamp,
                trouble: None,
                unwritten: None,
            }),
            journal,
            follower: OnceLock::new(),
        });
        let weak = Arc::downgrade(&control);
        let follow = move || {
            loop {
                thread::park_timeout(INTERVAL);
                match weak.upgrade() {
                    Some(control) => control.refresh(),
                    None => return,
                }
            }
        };
        let follower = thread::Builder::new()
            .name("btc-rollout".to_owned())
            .spawn(follow)
            .map_err(|cause| {
                error(ErrorKind::Internal, "no thread can be started").with_source(cause)
            })?;
        let _ = control.follower.set(follower.thread().clone());
        Ok(control)
    }

    /// The share of calls that Rust answers now, in percent.
    pub fn percent(&self) -> u8 {
        self.gate.percent()
    }

    /// What is known now.
    pub fn status(&self) -> Status {
        let known = self.known();
        Status {
            percent: self.gate.percent(),
            state: known.state.clone(),
            trouble: known.trouble.clone(),
            unwritten_rollback: known.unwritten.clone(),
        }
    }

    /// Looks at the file now instead of within a second, and writes a rollback that could not be
    /// written yet.
    pub fn refresh(&self) {
        let mut known = self.known();
        self.write_rollback(&mut known);
        let stamp = self.file.stamp();
        if stamp.is_some() && stamp == known.stamp {
            return;
        }
        match self.file.read() {
            Ok(state) => {
                known.stamp = stamp;
                self.follow(&mut known, state);
            }
            Err(cause) => {
                // What cannot be read now may be readable later, without another stamp.
                known.stamp = None;
                let trouble = match cause.kind() {
                    ErrorKind::NotFound => Trouble::Gone,
                    _ => Trouble::Unreadable(explain(&cause)),
                };
                self.complain(&mut known, trouble);
            }
        }
    }

    /// Has Python answer everything from now on, because of what was seen: first in this process,
    /// then in the file. A file that cannot be written is tried again every second.
    pub fn roll_back(&self, reason: &str) {
        // Before anything that could wait.
        self.gate.close();
        let mut known = self.known();
        if known.state.is_rolled_back && known.state.percent == 0 {
            return;
        }
        let from_percent = known.state.percent;
        known.state.roll_back_automatically(reason);
        // A look at the file may have come in between.
        self.gate.close();
        known.unwritten = Some(known.state.reason.clone());
        self.changes.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            reason,
            "rolled back from {from_percent} %: Python answers everything"
        );
        self.note(from_percent, &known.state);
        self.write_rollback(&mut known);
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How many changes this process has followed or made.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Takes over a state from the file, unless that would raise the share without a newer
    /// generation, or undo a rollback that is not in the file yet.
    fn follow(&self, known: &mut Known, state: State) {
        if known.unwritten.is_some() {
            return;
        }
        if state.percent > known.state.percent && state.generation <= known.state.generation {
            self.complain(known, Trouble::Stale);
            return;
        }
        if known.trouble.take().is_some() {
            tracing::info!("the roll-out's state is followed again");
        }
        if state == known.state {
            return;
        }
        let from_percent = known.state.percent;
        self.gate.set(state.salt, state.percent);
        known.state = state;
        self.changes.fetch_add(1, Ordering::Relaxed);
        if from_percent != known.state.percent {
            tracing::info!(
                from_percent,
                to_percent = known.state.percent,
                reason = known.state.reason,
                "the share of calls that Rust answers has changed"
            );
            self.note(from_percent, &known.state);
        }
    }

    fn write_rollback(&self, known: &mut Known) {
        let Some(reason) = known.unwritten.clone() else {
            return;
        };
        let base = known.state.clone();
        match self
            .file
            .recover(|| base, |state| state.roll_back_automatically(&reason))
        {
            Ok((_, state)) => {
                known.unwritten = None;
                known.trouble = None;
                known.stamp = None;
                self.gate.set(state.salt, state.percent);
                known.state = state;
            }
            Err(cause) => {
                let trouble = Trouble::Unwritable(explain(&cause));
                self.complain(known, trouble);
            }
        }
    }

    fn complain(&self, known: &mut Known, trouble: Trouble) {
        if known.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(
                file = %self.file.path().display(),
                ?trouble,
                "the roll-out's state is not followed; {} % holds",
                self.gate.percent()
            );
            known.trouble = Some(trouble);
        }
    }

    fn note(&self, from_percent: u8, state: &State) {
        let Some(journal) = &self.journal else {
            return;
        };
        let automatic = Some(Action::AutomaticRollback);
        journal.note(Event::Rollout(record::Rollout {
            time_ms: now_ms(),
            from_percent,
            to_percent: state.percent,
            is_automatic: state.last_change().map(|change| change.action) == automatic,
            reason: state.reason.clone(),
        }));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let known = self.known.get_mut();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &known.unwritten {
            // The last chance that the next start knows about it.
            let base = known.state.clone();
            let written = self
                .file
                .recover(|| base, |state| state.roll_back_automatically(reason));
            if let Err(cause) = written {
                tracing::error!(%cause, reason, "a rollback could not be written to the end");
            }
        }
        if let Some(follower) = self.follower.get() {
            follower.unpark();
        }
    }
}

/// The error with its causes, in one line.
fn explain(error: &BitcoinError) -> String {
    let causes = error.causes().map(ToString::to_string);
    std::iter::once(error.to_string())
        .chain(causes)
        .collect::<Vec<_>>()
        .join(": ")
}
