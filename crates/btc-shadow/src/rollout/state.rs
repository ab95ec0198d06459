//! `State`: the share of calls that Rust answers, who changed it and why, and what may follow.

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use serde::{Deserialize, Serialize};

use super::key::Salt;
use crate::clock::now_ms;

/// The version of the state that this build writes and reads.
pub const VERSION: u32 = 1;

/// The usual steps of a roll-out, in percent.
pub const LADDER: [u8; 5] = [1, 5, 25, 50, 100];

/// How many changes are kept.
const MAX_HISTORY: usize = 100;
/// The longest reason kept, in characters.
const MAX_REASON_CHARS: usize = 500;

/// What the state file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The format's version.
    pub version: u32,
    /// The share of calls that Rust answers, in percent.
    pub percent: u8,
    /// Whether the share is frozen; a rollback works all the same.
    pub is_held: bool,
    /// Whether the last word was an automatic rollback that nobody has acknowledged.
    pub is_rolled_back: bool,
    /// What the keys are mixed with; another one draws the lots anew.
    pub salt: Salt,
    /// How often the state was changed, from 1.
    pub generation: u64,
    /// Why it was changed last.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub changed_at_ms: u64,
    /// The last 100 changes, the newest last.
    pub history: Vec<Change>,
}

/// A change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The state's generation after it.
    pub generation: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What was done.
    pub action: Action,
    /// The share before, in percent.
    pub from_percent: u8,
    /// The share after, in percent.
    pub to_percent: u8,
    /// Why.
    pub reason: String,
}

/// What was done to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// It was made, with a share of 0 %.
    Created,
    /// The share was set.
    Set,
    /// The share was frozen.
    Hold,
    /// It was released.
    Resume,
    /// Somebody had Python answer everything.
    Rollback,
    /// What was seen made a rollback necessary.
    AutomaticRollback,
}

impl Action {
    /// The stable name, as in the file and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Set => "set",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
            Self::AutomaticRollback => "automatic_rollback",
        }
    }
}

/// What [`State::set`] is told beside the share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consent {
    /// To leave out steps of the [`LADDER`].
    pub to_jump: bool,
    /// To raise the share again although it was rolled back automatically.
    pub after_rollback: bool,
}

impl State {
    /// A new one: Rust answers nothing.
    pub(crate) fn new(reason: &str) -> Self {
        let mut state = Self {
            version: VERSION,
            percent: 0,
            is_held: false,
            is_rolled_back: false,
            salt: Salt::random(),
            generation: 0,
            reason: String::new(),
            changed_at_ms: 0,
            history: Vec::new(),
        };
        state.change(Action::Created, 0, reason);
        state
    }

    /// Reads a state.
    ///
    /// # Errors
    /// `Unsupported`: of a newer version. `InvalidResponse`: not a state.
    pub(crate) fn parse(text: &[u8]) -> BitcoinResult<Self> {
        /// The one field that every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }

        let broken = |why: String| error(ErrorKind::InvalidResponse, why);
        let versioned: Versioned =
            serde_json::from_slice(text).map_err(|cause| broken(cause.to_string()))?;
        if versioned.version > VERSION {
            let message = format!(
                "version {} is newer than {VERSION}, which this build reads",
                versioned.version
            );
            return Err(error(ErrorKind::Unsupported, message));
        }
        let state: Self =
            serde_json::from_slice(text).map_err(|cause| broken(cause.to_string()))?;
        if state.version != VERSION {
            return Err(broken(format!("there is no version {}", state.version)));
        }
        if state.percent > 100 {
            return Err(broken(format!("{} % is more than all", state.percent)));
        }
        Ok(state)
    }

    /// The next step of the ladder above the share; 100 at its end.
    pub fn next_step(&self) -> u8 {
        let above = LADDER.into_iter().find(|step| *step > self.percent);
        above.unwrap_or(100)
    }

    /// Sets the share. Setting what holds already changes nothing.
    ///
    /// # Errors
    /// `InvalidInput`: more than 100, beyond the next step of the [`LADDER`] without the consent
    /// to jump, or up after an automatic rollback without the consent to that. `Rejected`: held.
    pub fn set(&mut self, percent: u8, consent: Consent, reason: &str) -> BitcoinResult<()> {
        let refused = |message: String| Err(error(ErrorKind::InvalidInput, message));
        if percent > 100 {
            return refused(format!("{percent} % is more than all; use 0 to 100"));
        }
        if percent == self.percent && !consent.after_rollback {
            return Ok(());
        }
        if self.is_held {
            let message = format!(
                "the share is held at {} %: {}; release it first (`btc rollout resume`), or have \
                 Python answer everything (`btc rollout rollback`)",
                self.percent, self.reason
            );
            return Err(error(ErrorKind::Rejected, message));
        }
        if percent > 0 && self.is_rolled_back && !consent.after_rollback {
            return refused(format!(
                "it was rolled back automatically: {}; look at that first, then say so \
                 (--after-rollback)",
                self.rollback_reason()
            ));
        }
        if consent.after_rollback && !self.is_rolled_back {
            return refused(
                "nothing was rolled back automatically; leave --after-rollback out".to_owned(),
            );
        }
        if percent > self.next_step() && !consent.to_jump {
            return refused(format!(
                "from {} % the next step is {} %; take it first, or allow a jump (--jump)",
                self.percent,
                self.next_step()
            ));
        }
        if consent.after_rollback {
            self.is_rolled_back = false;
        }
        self.change(Action::Set, percent, reason);
        Ok(())
    }

    /// Freezes the share.
    pub fn hold(&mut self, reason: &str) {
        if !self.is_held {
            self.is_held = true;
            self.change(Action::Hold, self.percent, reason);
        }
    }

    /// Releases the share.
    pub fn resume(&mut self, reason: &str) {
        if self.is_held {
            self.is_held = false;
            self.change(Action::Resume, self.percent, reason);
        }
    }

    /// Has Python answer everything, because somebody says so. It needs no acknowledgement.
    pub fn roll_back(&mut self, reason: &str) {
        if self.percent > 0 {
            self.change(Action::Rollback, 0, reason);
        }
    }

    /// Has Python answer everything, because of what was seen, and asks for an acknowledgement
    /// before Rust answers again. The first reason stands until then.
    pub(crate) fn roll_back_automatically(&mut self, reason: &str) {
        if self.percent > 0 || !self.is_rolled_back {
            self.is_rolled_back = true;
            self.change(Action::AutomaticRollback, 0, reason);
        }
    }

    /// The change that made the state what it is.
    pub fn last_change(&self) -> Option<&Change> {
        self.history.last()
    }

    /// The automatic rollback that nobody has acknowledged, as far as the history knows.
    pub fn last_rollback(&self) -> Option<&Change> {
        let mut changes = self.history.iter().rev();
        let last = changes.find(|change| change.action == Action::AutomaticRollback);
        last.filter(|_| self.is_rolled_back)
    }

    fn rollback_reason(&self) -> &str {
        self.last_rollback()
            .map_or("the history does not say why", |change| &change.reason)
    }

    fn change(&mut self, action: Action, to_percent: u8, reason: &str) {
        let reason = plain(reason);
        let change = Change {
            generation: self.generation.saturating_add(1),
            time_ms: now_ms(),
            action,
            from_percent: self.percent,
            to_percent,
            reason: reason.clone(),
        };
        self.percent = to_percent;
        self.generation = change.generation;
        self.reason = reason;
        self.changed_at_ms = change.time_ms;
        self.history.push(change);
        let surplus = self.history.len().saturating_sub(MAX_HISTORY);
        self.history.drain(..surplus);
    }
}

/// One line of bounded length.
fn plain(reason: &str) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars()
        .filter(|character| !character.is_control())
        .take(MAX_REASON_CHARS)
        .collect()
}

pub(crate) fn error(kind: ErrorKind, message: impl Into<String>) -> BitcoinError {
    BitcoinError::new(kind, Operation::Configure, message)
}
