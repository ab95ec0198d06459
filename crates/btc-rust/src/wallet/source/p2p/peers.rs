//! The peers that may be used: named by the user or found by DNS, and what is held against them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::Txid;
use btc_iface::{BitcoinResult, BlockRef, Network};

use super::claim::Serving;
use super::errors::shortage;
use super::failure::Failure;
use super::probe;
use super::seeds::{Seeds, group};
use super::wire::Conversation;
use crate::wallet::source::Peer;

/// When two have answered, how long the others may take.
const GRACE: Duration = Duration::from_secs(1);
/// How many are asked at once.
const AT_ONCE: usize = 8;
/// How many found by DNS are asked before the search is given up.
const MAX_ASKED: usize = 64;
/// How many found by DNS are kept in mind.
const MAX_FOUND: usize = 1_000;
/// How long a peer that took the whole timeout is asked after the others only.
const SLOW: Duration = Duration::from_mins(10);
/// How long a peer that lied is not asked.
const LIED: Duration = Duration::from_hours(24);

/// The peers, in the order in which they are asked.
pub(super) struct Peers {
    network: Network,
    timeout: Duration,
    /// Where more come from; none when the user named them.
    seeds: Option<Seeds>,
    candidates: Mutex<Vec<Candidate>>,
}

struct Candidate {
    address: String,
    /// Whether it served the last time.
    has_served: bool,
    blame: Option<Blame>,
}

struct Blame {
    until: Instant,
    failure: Arc<Failure>,
}

/// What asking one peer came to.
type Answer = (String, Result<Serving, Failure>);

impl Peers {
    pub(super) fn named(network: Network, timeout: Duration, addresses: &[String]) -> Self {
        Self::new(network, timeout, None, addresses.iter().cloned())
    }

    pub(super) fn found(network: Network, timeout: Duration, seeds: Seeds) -> Self {
        Self::new(network, timeout, Some(seeds), std::iter::empty())
    }

    fn new(
        network: Network,
        timeout: Duration,
        seeds: Option<Seeds>,
        addresses: impl Iterator<Item = String>,
    ) -> Self {
        let mut seen = HashSet::new();
        let candidates = addresses
            .filter(|address| seen.insert(address.clone()))
            .map(|address| Candidate {
                address,
                has_served: false,
                blame: None,
            });
        Self {
            network,
            timeout,
            seeds,
            candidates: Mutex::new(candidates.collect()),
        }
    }

    /// Those that serve, with their claims, in the order of preference: all that were named and
    /// answer, or as many found by DNS as are needed. They have the filters of their own tips.
    ///
    /// # Errors
    /// Fewer than needed. `Configuration`: a peer is on another network, or serves no filters.
    /// `Unavailable`: none can be reached. `Timeout`: they connect and are silent.
    /// `InvalidResponse`: they do not speak the protocol, or lie.
    pub(super) fn survey(&self, known: &[BlockRef], need: usize) -> BitcoinResult<Vec<Serving>> {
        let mut serving: Vec<Serving> = Vec::new();
        let mut failures = Vec::new();
        let mut asked = HashSet::new();
        while let Some(batch) = self.next_batch(&mut asked, &serving, need) {
            for (address, answer) in self.ask(batch, known, serving.len(), need) {
                match answer {
                    Ok(peer) => serving.push(peer),
                    Err(failure) => {
                        let failure = self.blame(&address, failure);
                        failures.push((address, failure));
                    }
                }
            }
        }
        if serving.len() < need {
            self.add_blamed(&mut failures);
            return Err(shortage(self.network, serving.len(), need, &failures));
        }
        self.prefer(&serving);
        Ok(serving)
    }

    /// Connects to one of them.
    pub(super) fn open(&self, address: &str) -> Result<Conversation, Failure> {
        Conversation::open(address, self.network, self.timeout)
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
        let mut candidates = self.candidates();
        if let Some(at) = candidates.iter().position(|it| it.address == address) {
            let mut candidate = candidates.remove(at);
            // A lie is not forgotten for being slow afterwards.
            let has_lied = candidate
                .blame
                .as_ref()
                .is_some_and(|blame| blame.failure.is_lie() && blame.until > Instant::now());
            if !has_lied {
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
        let now = Instant::now();
        let candidates = self.candidates();
        let usable = candidates.iter().filter(|it| !it.has_lied(now));
        let (good, slow): (Vec<_>, Vec<_>) = usable.partition(|it| !it.is_blamed(now));
        good.into_iter()
            .chain(slow)
            .map(|it| it.address.clone())
            .collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.candidates().len()
    }

    /// Those of the transactions that no peer has any more. When none can be asked, nothing is
    /// missing; peers that the user did not name are not asked, since it would tell them whose the
    /// transactions are.
    pub(super) fn lacking(&self, txids: &[Txid]) -> Vec<Txid> {
        let mut lacking = txids.to_vec();
        let mut answers = 0;
        for address in self.in_order() {
            if lacking.is_empty() || self.are_found() {
                break;
            }
            let open = self.open(&address).ok().filter(|open| open.hello.relays);
            let answer = open.and_then(|mut open| open.lacking(&lacking).ok());
            if let Some(answer) = answer {
                answers += 1;
                lacking = answer;
            }
        }
        if answers == 0 { Vec::new() } else { lacking }
    }

    pub(super) const fn are_found(&self) -> bool {
        self.seeds.is_some()
    }

    /// Those of these that answer a handshake.
    pub(super) fn list(&self, addresses: &[String]) -> Vec<Peer> {
        probe::list(addresses, self.network, self.timeout)
    }

    /// Who is asked next, if more are needed.
    fn next_batch(
        &self,
        asked: &mut HashSet<String>,
        serving: &[Serving],
        need: usize,
    ) -> Option<Vec<String>> {
        let is_enough = serving.len() >= need;
        if self.are_found() && (is_enough || asked.len() >= MAX_ASKED) {
            return None;
        }
        if self.are_found() {
            self.find_more(asked);
        }
        let now = Instant::now();
        let mut groups: HashSet<_> = serving.iter().filter_map(|it| group(&it.address)).collect();
        let candidates = self.candidates();
        let is_known = |it: &&Candidate| it.has_served && !it.is_blamed(now);
        let has_friends = candidates.iter().filter(is_known).count() >= need;
        let only_friends = self.are_found() && asked.is_empty() && has_friends;
        let pick = |is_blamed: bool, groups: &mut HashSet<_>| -> Vec<String> {
            candidates
                .iter()
                .filter(|it| it.has_served || !only_friends)
                .filter(|it| it.is_blamed(now) == is_blamed && !it.has_lied(now))
                .filter(|it| !asked.contains(&it.address))
                // Neighbours may belong to one owner.
                .filter(|it| {
                    !self.are_found() || group(&it.address).is_none_or(|it| groups.insert(it))
                })
                .map(|it| it.address.clone())
                .take(if self.are_found() {
                    AT_ONCE
                } else {
                    usize::MAX
                })
                .collect()
        };
        let mut batch = pick(false, &mut groups);
        if batch.is_empty() && !is_enough {
            batch = pick(true, &mut groups);
        }
        drop(candidates);
        asked.extend(batch.iter().cloned());
        (!batch.is_empty()).then_some(batch)
    }

    /// Asks DNS when those that are known are used up.
    fn find_more(&self, asked: &HashSet<String>) {
        let Some(seeds) = &self.seeds else {
            return;
        };
        let now = Instant::now();
        let is_fresh = |it: &Candidate| !it.is_blamed(now) && !asked.contains(&it.address);
        if self.candidates().iter().any(is_fresh) {
            return;
        }
        let found = seeds.look_up(self.network, self.timeout);
        let mut candidates = self.candidates();
        for address in found.into_iter().map(|address| address.to_string()) {
            if candidates.len() >= MAX_FOUND {
                break;
            }
            if candidates.iter().all(|it| it.address != address) {
                candidates.push(Candidate {
                    address,
                    has_served: false,
                    blame: None,
                });
            }
        }
    }

    /// Asks several at once. Returns when all have answered, or when enough have and the others
    /// take longer.
    fn ask(
        &self,
        batch: Vec<String>,
        known: &[BlockRef],
        serving: usize,
        need: usize,
    ) -> Vec<Answer> {
        let (answer, answers) = mpsc::channel();
        let known: Arc<[BlockRef]> = known.into();
        let order = batch.clone();
        for address in batch {
            let (answer, known) = (answer.clone(), Arc::clone(&known));
            let (network, timeout) = (self.network, self.timeout);
            thread::spawn(move || {
                let found = probe::serve(&address, network, timeout, &known);
                // The receiver may have enough.
                let _ = answer.send((address, found));
            });
        }
        drop(answer);
        let (mut told, mut good) = (Vec::new(), serving);
        // One answer alone is no comparison, if there may be another.
        let enough = if self.are_found() { need } else { need.max(2) };
        let mut grace = None;
        loop {
            let left = match grace {
                Some(end) => Instant::saturating_duration_since(&end, Instant::now()),
                // Each ends by itself, a handshake on another network after two timeouts or more.
                None => self.timeout.saturating_mul(20),
            };
            let Ok((address, found)) = answers.recv_timeout(left) else {
                break;
            };
            good += usize::from(found.is_ok());
            told.push((address, found));
            if good >= enough && grace.is_none() {
                let grace_time = if self.are_found() {
                    Duration::ZERO
                } else {
                    GRACE
                };
                grace = Some(Instant::now() + grace_time);
            }
        }
        if !self.are_found() {
            let has_told = |address: &&String| told.iter().any(|(it, _)| it == *address);
            for address in order.iter().filter(|address| !has_told(address)) {
                self.blame(address, Failure::Silent);
            }
        }
        told.sort_by_key(|(address, _)| order.iter().position(|it| it == address));
        told
    }

    /// Those that were not even asked, for what they did before.
    fn add_blamed(&self, failures: &mut Vec<(String, Arc<Failure>)>) {
        let now = Instant::now();
        for candidate in self.candidates().iter().filter(|it| it.is_blamed(now)) {
            let is_told = failures.iter().any(|(it, _)| *it == candidate.address);
            if let (false, Some(blame)) = (is_told, &candidate.blame) {
                failures.push((candidate.address.clone(), Arc::clone(&blame.failure)));
            }
        }
    }

    /// Those that serve are asked first next time, and nothing but a lie is held against them.
    fn prefer(&self, serving: &[Serving]) {
        let now = Instant::now();
        let mut candidates = self.candidates();
        for candidate in candidates.iter_mut() {
            let serves = serving.iter().any(|it| it.address == candidate.address);
            candidate.has_served = serves;
            if serves && !candidate.has_lied(now) {
                candidate.blame = None;
            }
        }
    }

    fn candidates(&self) -> MutexGuard<'_, Vec<Candidate>> {
        // Each change leaves a list of sound entries.
        self.candidates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Candidate {
    fn is_blamed(&self, now: Instant) -> bool {
        self.blame.as_ref().is_some_and(|blame| blame.until > now)
    }

    fn has_lied(&self, now: Instant) -> bool {
        let blame = self.blame.as_ref();
        blame.is_some_and(|blame| blame.until > now && blame.failure.is_lie())
    }
}
