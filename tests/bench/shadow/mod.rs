//! Shadow mode: what it costs the caller, and how fast comparisons, lines and logs are worked off.

mod caller;
pub(crate) mod comparisons;
mod log;
mod side;

use std::time::Duration;

use btc::BitcoinImplementationType;
use btc::shadow::sink::{Rotation, Sink};
use btc::shadow::{OffPath, Policy, Shadow};

use self::side::Side;
use crate::Outcome;
use crate::measure::Effort;
use crate::report::Results;

/// Measures the caller's cost, the comparisons, the log and the analysis.
pub(crate) fn figures(effort: &Effort, results: &mut Results) -> Outcome<()> {
    caller::figures(effort, results)?;
    comparisons::figures(effort, results)?;
    log::figures(effort, results)
}

fn shadow(hangs: bool, sink: Box<dyn Sink>, settings: OffPath) -> Outcome<Shadow> {
    let shadow = Shadow::new(
        Side::new(BitcoinImplementationType::Python, false),
        Side::new(BitcoinImplementationType::Rust, hangs),
        Policy::default(),
        sink,
        true,
    );
    Ok(shadow.off_path(settings)?)
}

/// One file, however long it gets.
fn rotation() -> Rotation {
    Rotation {
        max_file_bytes: 1 << 40,
        ..Rotation::default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn a_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
