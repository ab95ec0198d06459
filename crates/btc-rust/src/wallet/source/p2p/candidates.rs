//! `Candidates`: the peers that are known, in the order in which they are asked, and what is held
//! against each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use btc_iface::BlockRef;

use super::failure::Failure;

/// How long a peer that took the whole timeout is asked after the others only.
const SLOW: Duration = Duration::from_mins(10);
/// How long a peer that lied is not asked.
const LIED: Duration = Duration::from_hours(24);

/// The peers, in the order in which they are asked.
#[derive(Default)]
pub(super) struct Candidates(Mutex<Vec<Candidate>>);

pub(super) struct Candidate {
    pub(super) address: String,
    /// Whether it served the last time.
    pub(super) has_served: bool,
    blame: Option<Blame>,
    /// Until when it is not asked about transactions.
    mute_until: Option<Instant>,
    /// The end of its chain when it was last waited for in vain.
    late_at: Option<BlockRef>,
}

struct Blame {
    until: Instant,
    failure: Arc<Failure>,
}

impl Candidates {
    pub(super) fn new(addresses: impl Iterator<Item = String>) -> Self {
        Self(Mutex::new(addresses.map(Candidate::new).collect()))
    }

    /// Holds a failure against a peer, so that others are asked before it. After a lie it is not
    /// asked at all.
    pub(super) fn blame(&self, address: &str, failure: Failure) -> Arc<Failure> {
        tracing::debug!(peer = address, %failure, "a peer fails");
        let failure = Arc::new(failure);
        let time = if failure.is_lie() { LIED } else { SLOW };
        if !failure.is_lie() && !failure.is_slow() {
            return failure;
        }
        let mut candidates = self.list();
        if let Some(at) = candidates.iter().position(|it| it.address == address) {
            let mut candidate = candidates.remove(at);
            // A lie is not forgotten for being slow afterwards.
            if !candidate.has_lied(Instant::now()) {
                candidate.blame = Some(Blame {
                    until: Instant::now() + time,
                    failure: Arc::clone(&failure),
                });
            }
            candidates.push(candidate);
        }
        failure
    }

    /// All that may be asked, the best first.
    pub(super) fn in_order(&self) -> Vec<String> {
        self.pick(|_, _| true)
    }

    /// All that may be asked about transactions, the best first.
    pub(super) fn not_mute(&self) -> Vec<String> {
        self.pick(|it, now| it.mute_until.is_none_or(|until| until <= now))
    }

    fn pick(&self, is_right: impl Fn(&Candidate, Instant) -> bool) -> Vec<String> {
        let now = Instant::now();
        let candidates = self.list();
        let usable = candidates.iter().filter(|it| !it.has_lied(now));
        let usable = usable.filter(|it| is_right(it, now));
        let (good, slow): (Vec<_>, Vec<_>) = usable.partition(|it| !it.is_blamed(now));
        good.into_iter()
            .chain(slow)
            .map(|it| it.address.clone())
            .collect()
    }

    /// Says that the peer was asked about transactions and did not answer.
    pub(super) fn note_mute(&self, address: &str) {
        tracing::debug!(peer = address, "a peer is silent about transactions");
        let until = Some(Instant::now() + SLOW);
        self.change(address, |it| it.mute_until = until);
    }

    /// Says that the peer was waited for, and that its chain ends here all the same.
    pub(super) fn note_late(&self, address: &str, tip: BlockRef) {
        self.change(address, |it| it.late_at = Some(tip));
    }

    /// Whether the peer was waited for before, and has nothing more since.
    pub(super) fn is_late(&self, address: &str, tip: BlockRef) -> bool {
        let candidates = self.list();
        let mut candidates = candidates.iter();
        candidates.any(|it| it.address == address && it.late_at == Some(tip))
    }

    /// Those that serve are asked first next time, and nothing but a lie is held against them.
    pub(super) fn prefer(&self, serves: impl Fn(&str) -> bool) {
        let now = Instant::now();
        for candidate in self.list().iter_mut() {
            candidate.has_served = serves(&candidate.address);
            if candidate.has_served && !candidate.has_lied(now) {
                candidate.blame = None;
            }
        }
    }

    fn change(&self, address: &str, change: impl FnOnce(&mut Candidate)) {
        let mut candidates = self.list();
        if let Some(candidate) = candidates.iter_mut().find(|it| it.address == address) {
            change(candidate);
        }
    }

    pub(super) fn list(&self) -> MutexGuard<'_, Vec<Candidate>> {
        // Each change leaves a list of sound entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Candidate {
    pub(super) const fn new(address: String) -> Self {
        Self {
            address,
            has_served: false,
            blame: None,
            mute_until: None,
            late_at: None,
        }
    }

    /// What is held against it now.
    pub(super) fn blamed_for(&self, now: Instant) -> Option<Arc<Failure>> {
        let blame = self.blame.as_ref().filter(|blame| blame.until > now);
        blame.map(|blame| Arc::clone(&blame.failure))
    }

    pub(super) fn is_blamed(&self, now: Instant) -> bool {
        self.blamed_for(now).is_some()
    }

    pub(super) fn has_lied(&self, now: Instant) -> bool {
        self.blamed_for(now).is_some_and(|failure| failure.is_lie())
    }
}
