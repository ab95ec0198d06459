//! The comparison log's lines: JSON, one object a line, with a version.
//!
//! A run is told apart from the others by its number. It begins with a `start` line, and so does
//! each file of it, so that a file says on its own who was compared in which builds. `totals`
//! lines repeat the counts since the run's start, the last of which holds. What else happens in a
//! run (memory, breaker, gaps, steps of a roll-out, calls that failed over) has lines of its own.

use std::borrow::Cow;

use btc_iface::{BitcoinImplementationType, ErrorKind, Operation};
use serde::{Deserialize, Serialize};

pub use self::id::{Digest, RunId};
use crate::books::Counts;
use crate::compare::{Difference, Verdict};

mod id;
pub(crate) mod wire;

/// The version of the lines written here.
pub const VERSION: u32 = 3;
/// The oldest version that is read: it says everything of each side, where a line of today says
/// once what both share.
pub const OLDEST_VERSION: u32 = 2;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The format's version.
    pub version: u32,
    /// Which run wrote it.
    pub run: RunId,
    /// What it says.
    #[serde(flatten)]
    pub event: Event,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A run begins, or goes on in a new file.
    Start(Start),
    /// A call was judged.
    Comparison(Comparison),
    /// The counts since the run's start.
    Totals(Totals),
    /// How much memory a process takes.
    Memory(Memory),
    /// The breaker opened or closed.
    Breaker(Breaker),
    /// Lines were lost before this one.
    Gap(Gap),
    /// The share of calls that Rust answers changed.
    Rollout(Rollout),
    /// A read that one implementation could not answer went to the other.
    Fallback(Fallback),
}

/// The beginning of a run, repeated at the top of each of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When the run began, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whose answers are returned.
    pub primary: Build,
    /// Who is compared with it.
    pub secondary: Build,
    /// Whether matches have lines of their own.
    pub log_all: bool,
    /// The version of the rules by which answers compare, [`compare::RULES`].
    ///
    /// [`compare::RULES`]: crate::compare::RULES
    pub rules: u32,
    /// The number of the run's file that this line opens, from 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub part: u32,
}

/// An implementation and its build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Build {
    /// Which implementation.
    pub implementation: BitcoinImplementationType,
    /// Its version, and for Python the class behind it.
    pub build: String,
}

/// One judged call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "wire::Read")]
pub struct Comparison {
    /// The call's number within the run, from 1, without gaps when all calls are logged. Lines
    /// stand in the order in which the comparisons ended.
    pub sequence: u64,
    /// When the comparison ended, in milliseconds since 1970.
    pub time_ms: u64,
    /// The operation.
    pub operation: Operation,
    /// The verdict.
    pub verdict: Verdict,
    /// What was asked: equal questions have equal digests. An answer that depends on the moment
    /// is another question each second.
    pub input: Digest,
    /// The primary's side.
    pub primary: Side,
    /// The secondary's side; none when it was not asked.
    pub secondary: Option<Side>,
    /// How often both sides were asked again.
    pub rechecks: u32,
    /// Where the two differ.
    pub differences: Vec<Difference>,
    /// Why nothing was compared.
    pub reason: Option<Cow<'static, str>>,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Which implementation.
    pub implementation: BitcoinImplementationType,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
    /// The kind of its error, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorKind>,
    /// The height of the tip that was known before and after it was asked; none if no tip was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tips: Option<[u32; 2]>,
}

/// The counts since a run's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whether the run ended with it. Without such a line the run was killed, and the calls since
    /// the last line are unknown.
    #[serde(default)]
    pub is_final: bool,
    /// The counts.
    pub counts: Counts,
}

/// How much memory a process takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// When, in milliseconds since 1970 when the run began, and evenly from there: a trend must
    /// not follow a clock that is set.
    pub time_ms: u64,
    /// Whose process it is: the one implementation that runs in it, or none for the process that
    /// compares both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<BitcoinImplementationType>,
    /// Resident memory now, in bytes.
    pub rss_bytes: u64,
    /// The most there was, in bytes.
    pub peak_rss_bytes: u64,
    /// Calls that were offered up to now; for an implementation alone, calls that it answered.
    pub calls: u64,
}

/// The breaker opened or closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whether the secondary is left alone from now on.
    pub is_open: bool,
    /// Why.
    pub reason: Cow<'static, str>,
}

/// Lines that the log could not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When the log took lines again, in milliseconds since 1970.
    pub time_ms: u64,
    /// How many lines were lost.
    pub lost_lines: u64,
    /// Why, as the system says it.
    pub reason: Cow<'static, str>,
}

/// A change of the share of calls that Rust answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The share before, in percent.
    pub from_percent: u8,
    /// The share now, in percent.
    pub to_percent: u8,
    /// Whether nobody asked for it: what was seen made it necessary.
    pub is_automatic: bool,
    /// Why.
    pub reason: String,
}

/// A read that failed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The operation.
    pub operation: Operation,
    /// Who could not answer.
    pub failed: BitcoinImplementationType,
    /// The kind of its error.
    pub error: ErrorKind,
    /// Whether the other implementation answered.
    pub is_answered: bool,
}

const fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_one(part: &u32) -> bool {
    *part == 1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
