//! What a comparison log says: counts, compatibility, times and errors per operation, and whether
//! it is evidence enough to let the second implementation take over.
//!
//! [`Analysis`] reads logs into a [`Report`], in memory that does not grow with their length.
//! [`Gate`] judges a report: go, hold or no. [`Format`] says how an [`Assessment`] is written down.

mod analyst;
mod gate;
mod gathering;
mod output;
mod reading;
mod report;

pub use self::analyst::Analysis;
pub use self::gate::{
    Allowance, Assessment, Criterion, Decision, Gate, Judgement, OperationGate, Outcome,
    lower_bound, upper_bound,
};
pub use self::gathering::{Bucket, MemoryPoint, VerdictTimeline};
pub use self::output::{Format, render_html, render_table};
pub use self::reading::Problem;
pub use self::report::{
    Conclusion, ErrorCount, FieldPath, GroupReport, LatencyCurve, MemoryReport, OperationReport,
    Pictures, ReasonCount, Report, Times,
};
