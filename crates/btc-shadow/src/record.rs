//! The lines of the comparison log: JSON, one object a line, each with its version.
//!
//! A run writes a `start` line, a `comparison` line for each call that is logged, and `totals`
//! lines with the counts since its start, the last of which holds.

use btc_iface::{BitcoinImplementationType, ErrorKind, Operation};
use serde::{Deserialize, Serialize};

use crate::books::Counts;
use crate::compare::{Difference, Verdict};

/// The version of the lines written here.
pub const VERSION: u32 = 1;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The format's version.
    pub version: u32,
    /// Which run wrote it: eight hexadecimal digits.
    pub run: String,
    /// What it says.
    #[serde(flatten)]
    pub event: Event,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    Start(Start),
    /// A call was judged.
    Comparison(Comparison),
    /// The counts since the run's start.
    Totals(Totals),
}

/// The beginning of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whose answers are returned.
    pub primary: Build,
    /// Who is compared with it.
    pub secondary: Build,
    /// Whether matches have lines of their own.
    pub log_all: bool,
}

/// An implementation and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Which implementation.
    pub implementation: BitcoinImplementationType,
    /// Its version.
    pub build: String,
}

/// One judged call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// The call's number within the run, from 1, without gaps when all calls are logged.
    pub sequence: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The operation.
    pub operation: Operation,
    /// The verdict.
    pub verdict: Verdict,
    /// A digest of the input: equal inputs have equal digests.
    pub input: String,
    /// The primary's side.
    pub primary: Side,
    /// The secondary's side; none when it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary: Option<Side>,
    /// Where the two differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Why nothing was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
