//! The peers that may be used: named by the user or found by DNS, and what is held against them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{self, SendError};
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::Txid;
use btc_iface::{BitcoinResult, BlockRef, Network};

use super::candidates::{Candidate, Candidates};
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
/// The peers, in the order in which they are asked.
pub(super) struct Peers {
    network: Network,
    timeout: Duration,
    /// Where more come from; none when the user named them.
    seeds: Option<Seeds>,
    pub(super) candidates: Arc<Candidates>,
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
        let addresses = addresses.filter(|address| seen.insert(address.clone()));
        Self {
            network,
            timeout,
            seeds,
            candidates: Arc::new(Candidates::new(addresses)),
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
        let serves = |address: &str| serving.iter().any(|it| it.address == address);
        self.candidates.prefer(serves);
        Ok(serving)
    }

    /// Connects to one of them.
    pub(super) fn open(&self, address: &str) -> Result<Conversation, Failure> {
        Conversation::open(address, self.network, self.timeout)
    }

    /// Holds a failure against a peer, so that others are asked before it. After a lie it is not
    /// asked at all.
    pub(super) fn blame(&self, address: &str, failure: Failure) -> Arc<Failure> {
        self.candidates.blame(address, failure)
    }

    /// All that may be asked, the best first.
    pub(super) fn in_order(&self) -> Vec<String> {
        self.candidates.in_order()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.candidates.list().len()
    }

    /// Those of the transactions that a peer has in its mempool. `None`: none could be asked; peers
    /// that the user did not name are not, since it would tell them whose the transactions are. One
    /// that does not answer is not asked again for some time.
    pub(super) fn present(&self, txids: &[Txid]) -> Option<HashSet<Txid>> {
        let mut lacking = txids.to_vec();
        let mut is_asked = false;
        for address in self.candidates.not_mute() {
            if self.are_found() || (is_asked && lacking.is_empty()) {
                break;
            }
            let Some(mut open) = self.open(&address).ok().filter(|open| open.hello.relays) else {
                continue;
            };
            match open.lacking(&lacking) {
                Ok(answer) => {
                    is_asked = true;
                    lacking = answer;
                }
                Err(Failure::Silent | Failure::Nonsense(_)) => self.candidates.note_mute(&address),
                Err(_) => {}
            }
        }
        let all = txids.iter().copied();
        is_asked.then(|| all.filter(|txid| !lacking.contains(txid)).collect())
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
        let candidates = self.candidates.list();
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
        if self.candidates.list().iter().any(is_fresh) {
            return;
        }
        let found = seeds.look_up(self.network, self.timeout);
        let mut candidates = self.candidates.list();
        for address in found.into_iter().map(|address| address.to_string()) {
            if candidates.len() >= MAX_FOUND {
                break;
            }
            if candidates.iter().all(|it| it.address != address) {
                candidates.push(Candidate::new(address));
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
            let candidates = Arc::clone(&self.candidates);
            thread::spawn(move || {
                let found = probe::serve(&address, network, timeout, &known);
                // When it was not waited for, being late is nothing against it, and failing is.
                if let Err(SendError((address, Err(failure)))) = answer.send((address, found)) {
                    candidates.blame(&address, failure);
                }
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
        told.sort_by_key(|(address, _)| order.iter().position(|it| it == address));
        told
    }

    /// Those that were not even asked, for what they did before.
    fn add_blamed(&self, failures: &mut Vec<(String, Arc<Failure>)>) {
        let now = Instant::now();
        for candidate in self.candidates.list().iter() {
            let is_told = failures.iter().any(|(it, _)| *it == candidate.address);
            if let (false, Some(failure)) = (is_told, candidate.blamed_for(now)) {
                failures.push((candidate.address.clone(), failure));
            }
        }
    }
}
