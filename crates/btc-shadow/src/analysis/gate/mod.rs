//! The gate: what a report must show before Rust may take over.

mod bound;
mod criteria;
mod file;
mod judge;
mod latency;

use std::collections::BTreeMap;

use btc_iface::Operation;
use serde::{Deserialize, Serialize};

pub use self::bound::{lower_bound, upper_bound};
use super::report::Report;

/// The limits by which a report is judged. The defaults are those of docs/analysis.md.
///
/// Shares are in percent and bounds are probabilities. A bound on a rate is one-sided, exact, and
/// shares its risk among [`families`](Self::families) operations (Bonferroni), so that all bounds
/// hold together with [`confidence`](Self::confidence).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// How sure all bounds together are, below 1.
    pub confidence: f64,
    /// Among how many operations the risk is shared.
    pub families: u32,
    /// The most calls about which nothing can be said.
    pub inconclusive_percent: f64,
    /// The most calls that are dropped for want of room or time.
    pub dropped_percent: f64,
    /// The most by which Rust may fail more often than Python, in percentage points.
    pub error_rate_difference_percent: f64,
    /// The most that Rust's median duration may be, as a multiple of Python's.
    pub p50_ratio: f64,
    /// The same of the 99th percentile.
    pub p99_ratio: f64,
    /// The logged calls without which durations prove nothing.
    pub latency_calls: u64,
    /// The readings without which memory proves nothing.
    pub memory_readings: usize,
    /// The most that memory may grow over a run after its first quarter, unless by chance.
    pub memory_growth_percent: f64,
    /// The limits of each operation, by its name; what is not named keeps its default.
    #[serde(deserialize_with = "file::operations")]
    pub operations: BTreeMap<Operation, OperationGate>,
}

/// The limits of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperationGate {
    /// Whether it is judged at all; false for what will not move.
    pub is_required: bool,
    /// Different inputs without which agreement proves nothing.
    pub distinct_inputs: usize,
    /// The most that the rate of mismatches may be, by its upper bound.
    pub mismatch_bound: f64,
    /// Which mismatches are allowed.
    pub allowance: Allowance,
    /// Calls that both must have refused alike, without which the error paths are not seen.
    pub agreed_errors: u64,
}

/// Which mismatches an operation may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// None.
    #[default]
    None,
    /// As many as there are calls whose answers changed while both sides were asked, and the
    /// [`mismatch_bound`](OperationGate::mismatch_bound) more.
    Noise,
}

/// What a report comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The evidence is enough, and nothing speaks against it.
    Go,
    /// The evidence is thin or missing, and nothing speaks against it so far.
    Hold,
    /// Something speaks against it.
    No,
}

/// What one criterion comes to.
pub type Outcome = Decision;

/// One thing that the gate asks for.
#[derive(Debug, Clone, Serialize)]
pub struct Criterion {
    /// Its name, such as `distinct_inputs`.
    pub name: &'static str,
    /// The operation; none for what is asked of all together.
    pub operation: Option<Operation>,
    /// Whether it is met.
    pub outcome: Outcome,
    /// What was found and what is asked for, in one sentence.
    pub sentence: String,
}

/// A report, judged.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement {
    /// The decision: the worst outcome of any criterion.
    pub decision: Decision,
    /// The decision in one sentence.
    pub headline: String,
    /// What was asked for, in order; the ones that are not met are not sorted first.
    pub criteria: Vec<Criterion>,
    /// The upper bound of the rate of mismatches by operation, as a probability.
    pub mismatch_bounds: BTreeMap<Operation, f64>,
    /// The limits that were applied.
    pub gate: Gate,
}

/// A report with its judgement, ready to be written down.
#[derive(Debug, Clone, Serialize)]
pub struct Assessment {
    /// The judgement.
    pub judgement: Judgement,
    /// The report.
    #[serde(flatten)]
    pub report: Report,
}

impl Judgement {
    /// The criteria that are not met: what speaks against it first, and of that wrong answers,
    /// which outweigh slow ones.
    pub fn unmet(&self) -> impl Iterator<Item = &Criterion> {
        let weight = |criterion: &&Criterion| {
            let is_wrong = criterion.name == "mismatches";
            std::cmp::Reverse((criterion.outcome, is_wrong))
        };
        let unmet = self
            .criteria
            .iter()
            .filter(|one| one.outcome != Outcome::Go);
        let mut unmet: Vec<_> = unmet.collect();
        unmet.sort_by_key(weight);
        unmet.into_iter()
    }
}

impl Decision {
    /// The word that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::Hold => "HOLD",
            Self::No => "NO",
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        let default = |operation| (operation, OperationGate::of(operation));
        Self {
            confidence: 0.95,
            families: 8,
            inconclusive_percent: 1.0,
            dropped_percent: 0.1,
            error_rate_difference_percent: 0.1,
            p50_ratio: 1.10,
            p99_ratio: 1.10,
            latency_calls: 1_000,
            memory_readings: 20,
            memory_growth_percent: 5.0,
            operations: Operation::CALLS.into_iter().map(default).collect(),
        }
    }
}

impl OperationGate {
    /// The default limits of an operation.
    pub fn of(operation: Operation) -> Self {
        let (distinct_inputs, mismatch_bound) = match operation {
            Operation::GetTransaction | Operation::GetBlock | Operation::GetBalance => {
                (50_750, 1e-4)
            }
            _ => (5_073, 1e-3),
        };
        Self {
            is_required: true,
            distinct_inputs,
            mismatch_bound,
            allowance: match operation {
                Operation::EstimateFee => Allowance::Noise,
                _ => Allowance::None,
            },
            // The others refuse nothing that is asked in earnest.
            agreed_errors: match operation {
                Operation::GetTransaction
                | Operation::GetBlock
                | Operation::CreateTransaction
                | Operation::BroadcastTransaction => 1,
                _ => 0,
            },
        }
    }
}

impl Gate {
    /// Judges a report.
    pub fn judge(&self, report: Report) -> Assessment {
        Assessment {
            judgement: judge::judge(self, &report),
            report,
        }
    }

    /// The risk of each bound.
    fn risk(&self) -> f64 {
        (1.0 - self.confidence) / f64::from(self.families)
    }
}
