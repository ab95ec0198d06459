//! Two sides in turn: the median over the rounds of each, so that a busy moment hits both.

use std::time::{Duration, Instant};

use crate::Outcome;

/// How long a measurement goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    per_side: Duration,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        rounds: 31,
        per_side: Duration::from_millis(100),
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 7,
        per_side: Duration::from_millis(20),
    };
}

/// The times of two sides for the same work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) ours: Duration,
    pub(crate) theirs: Duration,
    /// The median of the rounds' own ratios, ours divided by theirs, in thousandths.
    pub(crate) ratio_milli: u64,
}

/// Measures both sides in turn. Each closure does the work once.
pub(crate) fn pair(
    effort: Effort,
    mut ours: impl FnMut() -> Outcome<()>,
    mut theirs: impl FnMut() -> Outcome<()>,
) -> Outcome<Pair> {
    // Warm connections, caches and the branch predictor, and learn how long one takes.
    let per_batch_ours = batch_size(effort, &mut ours)?;
    let per_batch_theirs = batch_size(effort, &mut theirs)?;
    let mut rounds = Vec::with_capacity(effort.rounds);
    for round in 0..effort.rounds {
        // Whoever comes second may find warmer caches: take turns.
        let (a, b);
        if round % 2 == 0 {
            a = batch(effort, per_batch_ours, &mut ours)?;
            b = batch(effort, per_batch_theirs, &mut theirs)?;
        } else {
            b = batch(effort, per_batch_theirs, &mut theirs)?;
            a = batch(effort, per_batch_ours, &mut ours)?;
        }
        rounds.push((a, b));
    }
    let ratio = |(a, b): (Duration, Duration)| nanos(a) * 1000 / nanos(b).max(1);
    Ok(Pair {
        ours: median(rounds.iter().map(|round| round.0)),
        theirs: median(rounds.iter().map(|round| round.1)),
        ratio_milli: median(rounds.into_iter().map(ratio)),
    })
}

fn batch_size(effort: Effort, work: &mut impl FnMut() -> Outcome<()>) -> Outcome<u32> {
    work()?;
    let once = batch(effort, 3, work)?;
    let fitting = nanos(effort.per_side) / nanos(once).max(1);
    Ok(u32::try_from(fitting.clamp(1, 100_000))?)
}

/// The time of one, out of so many; out of fewer when the machine has become slower.
fn batch(effort: Effort, count: u32, work: &mut impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let started = Instant::now();
    for done in 1..=count {
        work()?;
        if started.elapsed() > effort.per_side * 2 {
            return Ok(started.elapsed() / done);
        }
    }
    Ok(started.elapsed() / count)
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values[values.len() / 2]
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
