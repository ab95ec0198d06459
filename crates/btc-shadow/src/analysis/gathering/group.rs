//! Groups of runs whose evidence adds up: the same builds on both sides, under the same rules.

use btc_iface::{BitcoinImplementationType, ErrorKind, Operation};

use super::memory::Series;
use super::operation::OperationStats;
use super::timeline::Timeline;
use super::{OPERATIONS, VERDICTS, cut};
use crate::record::{Build, Memory, Rollout, RunId, Start};

/// More groups than these are counted with the runs whose start is missing.
const MAX_GROUPS: usize = 64;
/// Of how many groups, the newest, more is kept than when they ran.
const MAX_DETAILED: usize = 4;
const MAX_BUILD_CHARS: usize = 200;
/// Of how many runs and processes memory is kept, the longest.
const MAX_SERIES: usize = 32;
const MAX_ROLLOUTS: usize = 20;
const MAX_FALLBACKS: usize = 64;

/// What makes evidence add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::analysis) struct Key {
    /// Both builds, whichever of them was the primary.
    pub(in crate::analysis) builds: [Build; 2],
    pub(in crate::analysis) rules: u32,
}

/// The groups. The first is of runs whose start is missing.
#[derive(Debug)]
pub(in crate::analysis) struct Groups(Vec<Group>);

/// What is known of one group.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Group {
    pub(in crate::analysis) key: Option<Key>,
    /// When its first and its last run began, in milliseconds since 1970.
    pub(in crate::analysis) first_ms: u64,
    pub(in crate::analysis) last_ms: u64,
    detail: Option<Box<Detail>>,
}

/// What the lines of a group say.
#[derive(Debug, Default)]
pub(in crate::analysis) struct Detail {
    pub(in crate::analysis) operations: [OperationStats; OPERATIONS],
    pub(in crate::analysis) verdicts: Timeline<[u64; VERDICTS]>,
    pub(in crate::analysis) memory: Vec<Series>,
    pub(in crate::analysis) breaker_openings: u64,
    /// Reads that failed over: the operation, who failed and how; how many, and answered ones.
    pub(in crate::analysis) fallbacks: Vec<(Failover, u64, u64)>,
    /// The last changes of the share of calls that Rust answers.
    pub(in crate::analysis) rollouts: Vec<Rollout>,
}

/// A read that failed over.
pub(in crate::analysis) type Failover = (Operation, BitcoinImplementationType, ErrorKind);

impl Default for Groups {
    fn default() -> Self {
        Self(vec![Group::default()])
    }
}

impl Groups {
    /// The group of a run that begins so; none if there are too many.
    pub(in crate::analysis) fn of(&mut self, start: &Start) -> Option<usize> {
        let mut builds = [&start.primary, &start.secondary].map(|build| Build {
            implementation: build.implementation,
            build: cut(&build.build, MAX_BUILD_CHARS),
        });
        builds.sort();
        let key = Some(Key {
            builds,
            rules: start.rules,
        });
        let known = self.0.iter().position(|group| group.key == key);
        let index = match known {
            Some(index) => index,
            None if self.0.len() > MAX_GROUPS => return None,
            None => {
                self.0.push(Group {
                    key,
                    first_ms: start.time_ms,
                    last_ms: start.time_ms,
                    detail: None,
                });
                self.0.len() - 1
            }
        };
        let group = &mut self.0[index];
        group.first_ms = group.first_ms.min(start.time_ms);
        group.last_ms = group.last_ms.max(start.time_ms);
        Some(index)
    }

    /// The details of a group; none for a group that is too old to be judged.
    pub(in crate::analysis) fn detail(&mut self, index: usize) -> Option<&mut Detail> {
        if self.0[index].detail.is_none() {
            let detailed = self.0.iter().filter(|group| group.detail.is_some());
            if detailed.count() >= MAX_DETAILED && !self.forget_older(self.0[index].last_ms) {
                return None;
            }
        }
        let detail = &mut self.0[index].detail;
        Some(detail.get_or_insert_default())
    }

    /// Gives up the details of the oldest group, if it is older than this.
    fn forget_older(&mut self, than_ms: u64) -> bool {
        let detailed = self.0.iter_mut().filter(|group| group.detail.is_some());
        let Some(oldest) = detailed.min_by_key(|group| group.last_ms) else {
            return false;
        };
        let is_older = oldest.last_ms < than_ms;
        if is_older {
            oldest.detail = None;
        }
        is_older
    }

    /// The group that is judged: the one that ran last, or the one without starts if it is alone.
    pub(in crate::analysis) fn newest(&self) -> usize {
        let known = self.0.iter().enumerate().skip(1);
        known
            .max_by_key(|(index, group)| (group.last_ms, *index))
            .map_or(0, |(index, _)| index)
    }

    pub(in crate::analysis) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.iter()
    }

    /// Takes the details of a group; they are empty if no line of it was read.
    pub(in crate::analysis) fn take_detail(&mut self, index: usize) -> Box<Detail> {
        self.0[index].detail.take().unwrap_or_default()
    }

    pub(in crate::analysis) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Detail {
    pub(in crate::analysis) fn memory(&mut self, run: RunId, memory: &Memory) {
        let is_its =
            |series: &&mut Series| series.run == run && series.process == memory.implementation;
        if let Some(series) = self.memory.iter_mut().find(is_its) {
            series.add(memory);
            return;
        }
        if self.memory.len() >= MAX_SERIES {
            let lengths = self.memory.iter().map(|series| series.lines);
            let shortest = lengths.enumerate().min_by_key(|(_, lines)| *lines);
            if let Some((shortest, _)) = shortest {
                self.memory.swap_remove(shortest);
            }
        }
        let mut series = Series::new(run, memory.implementation);
        series.add(memory);
        self.memory.push(series);
    }

    pub(in crate::analysis) fn failed_over(&mut self, failover: Failover, is_answered: bool) {
        let answered = u64::from(is_answered);
        let mut known = self.fallbacks.iter_mut();
        if let Some((_, count, of_them)) = known.find(|(known, ..)| *known == failover) {
            *count += 1;
            *of_them += answered;
        } else if self.fallbacks.len() < MAX_FALLBACKS {
            self.fallbacks.push((failover, 1, answered));
        }
    }

    pub(in crate::analysis) fn rolled_out(&mut self, mut rollout: Rollout) {
        rollout.reason = cut(&rollout.reason, MAX_BUILD_CHARS);
        self.rollouts.push(rollout);
        self.rollouts.sort_by_key(|rollout| rollout.time_ms);
        if self.rollouts.len() > MAX_ROLLOUTS {
            self.rollouts.remove(0);
        }
    }
}
