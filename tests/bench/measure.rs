//! Two sides in turn: the median over the rounds of each, so that a busy moment hits both.

use std::time::{Duration, Instant};

use crate::Outcome;

/// How long a measurement goes on, and how large its subject is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    per_side: Duration,
    /// Rounds of work that takes seconds.
    pub(crate) long_rounds: usize,
    /// The heights at which the memory of a sync is looked at; syncs are timed at the last one.
    pub(crate) heights: [u32; 3],
    pub(crate) full_blocks: u32,
    pub(crate) full_block_transactions: u32,
    pub(crate) coins: usize,
    /// Sizes of wallets whose cost must be in proportion, the smallest first.
    pub(crate) many_coins: [usize; 3],
    /// Calls timed one by one.
    pub(crate) calls: usize,
    /// Comparisons worked off.
    pub(crate) comparisons: usize,
    /// Lines written to a log and read.
    pub(crate) lines: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        rounds: 31,
        per_side: Duration::from_millis(100),
        long_rounds: 7,
        heights: [1_000, 3_000, 6_000],
        full_blocks: 16,
        full_block_transactions: 2_100,
        coins: 10_000,
        many_coins: [1_000, 10_000, 100_000],
        calls: 200_000,
        comparisons: 10_000_000,
        lines: 3_000_000,
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 7,
        per_side: Duration::from_millis(20),
        long_rounds: 3,
        heights: [200, 400, 600],
        full_blocks: 4,
        full_block_transactions: 300,
        coins: 1_000,
        many_coins: [500, 1_000, 2_000],
        calls: 20_000,
        comparisons: 500_000,
        lines: 200_000,
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

impl Pair {
    pub(crate) fn of(rounds: &[(Duration, Duration)]) -> Self {
        let ratio = |(a, b): &(Duration, Duration)| nanos(*a) * 1000 / nanos(*b).max(1);
        Self {
            ours: median(rounds.iter().map(|round| round.0)),
            theirs: median(rounds.iter().map(|round| round.1)),
            ratio_milli: median(rounds.iter().map(ratio)),
        }
    }
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
    Ok(Pair::of(&rounds))
}

/// Work that says itself how long it took, so that it can prepare and tidy up outside of that.
pub(crate) type Timed<'a> = &'a mut dyn FnMut() -> Outcome<Duration>;

/// Measures several sides in turn, each once a round, and returns the first against each of the
/// others.
pub(crate) fn turns<const N: usize>(
    rounds: usize,
    ours: Timed<'_>,
    theirs: [Timed<'_>; N],
) -> Outcome<[Pair; N]> {
    let mut measured: [Vec<_>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    let mut theirs = theirs;
    for round in 0..rounds.max(1) {
        // Whoever comes second may find warmer caches: take turns.
        let is_first = round % 2 == 0;
        let mut took = if is_first { ours()? } else { Duration::ZERO };
        let mut others = [Duration::ZERO; N];
        for (other, work) in others.iter_mut().zip(&mut theirs) {
            *other = work()?;
        }
        if !is_first {
            took = ours()?;
        }
        for (list, other) in measured.iter_mut().zip(others) {
            list.push((took, other));
        }
    }
    Ok(measured.map(|rounds| Pair::of(&rounds)))
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
