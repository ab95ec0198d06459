//! `BlockSource`: the reads of a range of the chain, as it is now.

use std::collections::VecDeque;

use btc_iface::rust_bitcoin::{BlockHash, Txid};
use btc_iface::{BitcoinResult, ErrorKind};

use super::call::Call;
use super::error;
use super::source::{Item, Source, Tally};
use super::state::{BlocksAt, Input};

/// Says which block is at a height of the active chain now.
pub type ResolveHash = Box<dyn Fn(u32) -> BitcoinResult<BlockHash> + Send>;

/// How many hashes are asked for at once.
const BATCH: u32 = 64;
/// How many blocks are remembered, to find out from where on a reorganisation replaced them. A
/// deeper one is followed for that many.
const REMEMBERED: u32 = 144;

/// Hands out each block of a range, and some or all of its transactions once it was read.
pub struct BlockSource {
    resolve: ResolveHash,
    at: BlocksAt,
    /// The next height to be handed out.
    next: u64,
    /// Hashes from `next` on.
    ahead: VecDeque<BlockHash>,
    /// Blocks that were handed out, the last one at the back.
    behind: VecDeque<(u32, BlockHash)>,
    /// Transactions of blocks that were read.
    transactions: VecDeque<(u32, Txid)>,
}

impl BlockSource {
    /// The blocks from one height to another, both included; of each, so many transactions spread
    /// evenly, or all.
    ///
    /// # Errors
    /// Those of asking for the first hash.
    pub fn new(
        (first, last): (u32, u32),
        transactions: Option<usize>,
        resolve: ResolveHash,
    ) -> BitcoinResult<Self> {
        let at = BlocksAt {
            first,
            last,
            transactions,
            first_hash: resolve(first)?,
            done: 0,
            last_hash: None,
        };
        Ok(Self::at(at, resolve))
    }

    /// Goes on where a replay stopped. What a reorganisation has replaced since then is read again.
    ///
    /// # Errors
    /// `InvalidInput`: it is another chain. Also those of asking for hashes.
    pub fn resume(at: BlocksAt, resolve: ResolveHash) -> BitcoinResult<Self> {
        let is_same = |height, hash| match resolve(height) {
            Ok(found) => Ok(found == hash),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(cause),
        };
        let mut at = at;
        // A reorganisation near the first block replaces that as well.
        let is_young = at.done <= REMEMBERED;
        if !is_same(at.first, at.first_hash)? && !is_young {
            let message = "the replay was begun on another chain; configure its node, or begin \
                           anew with --restart";
            return Err(error(ErrorKind::InvalidInput, message));
        }
        if let (Some(hash), Some(before)) = (at.last_hash, at.done.checked_sub(1))
            && !is_same(at.first.saturating_add(before), hash)?
        {
            at.done = at.done.saturating_sub(REMEMBERED);
            at.last_hash = None;
        }
        at.first_hash = resolve(at.first)?;
        Ok(Self::at(at, resolve))
    }

    /// Whether the whole range was handed out before, and none of it was replaced.
    pub fn is_at_end(&self) -> bool {
        self.next > u64::from(self.at.last)
    }

    fn at(at: BlocksAt, resolve: ResolveHash) -> Self {
        let next = u64::from(at.first) + u64::from(at.done);
        let before = at.done.checked_sub(1).zip(at.last_hash);
        let behind = before.map(|(before, hash)| (at.first.saturating_add(before), hash));
        Self {
            resolve,
            next,
            ahead: VecDeque::new(),
            behind: behind.into_iter().collect(),
            transactions: VecDeque::new(),
            at,
        }
    }

    /// Steps back over blocks that are no longer on the active chain.
    fn follow_reorganisation(&mut self) -> BitcoinResult<()> {
        while let Some((height, hash)) = self.behind.back() {
            match (self.resolve)(*height) {
                Ok(found) if found == *hash => return Ok(()),
                Ok(_) => {}
                Err(cause) if cause.kind() == ErrorKind::NotFound => {}
                Err(cause) => return Err(cause),
            }
            self.next = u64::from(*height);
            self.behind.pop_back();
        }
        Ok(())
    }

    /// The hashes of the next blocks; none at the end of the range.
    fn look_ahead(&mut self) -> BitcoinResult<()> {
        self.follow_reorganisation()?;
        let Some(first) = u32::try_from(self.next)
            .ok()
            .filter(|next| *next <= self.at.last)
        else {
            return Ok(());
        };
        let last = first.saturating_add(BATCH - 1).min(self.at.last);
        let resolve = || -> BitcoinResult<VecDeque<BlockHash>> {
            (first..=last)
                .map(|height| (self.resolve)(height))
                .collect()
        };
        let mut hashes = resolve()?;
        loop {
            // Asked for one by one, they may be of two chains; asked for twice alike, they are of
            // one.
            let again = resolve()?;
            if again == hashes {
                break;
            }
            hashes = again;
        }
        self.ahead = hashes;
        Ok(())
    }

    fn next_block(&mut self) -> BitcoinResult<Option<(u32, BlockHash)>> {
        if self.ahead.is_empty() {
            self.look_ahead()?;
        }
        let Some(hash) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let Ok(height) = u32::try_from(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        self.behind.push_back((height, hash));
        if self.behind.len() > REMEMBERED as usize {
            self.behind.pop_front();
        }
        Ok(Some((height, hash)))
    }

    /// The lowest height of which something is left to be done.
    fn undone(&self) -> u64 {
        let waiting = self
            .transactions
            .iter()
            .map(|(height, _)| u64::from(*height));
        waiting.min().unwrap_or(self.next).min(self.next)
    }
}

impl Source for BlockSource {
    fn next_call(&mut self, tally: &mut Tally) -> BitcoinResult<Option<Item>> {
        if let Some((height, txid)) = self.transactions.pop_front() {
            return Ok(Some(Item {
                call: Call::GetTransaction {
                    txid: txid.to_string(),
                },
                place: height.into(),
            }));
        }
        let block = self.next_block()?;
        Ok(block.map(|(height, hash)| {
            tally.read += 1;
            Item {
                call: Call::GetBlock {
                    hash: hash.to_string(),
                },
                place: height.into(),
            }
        }))
    }

    fn answered(&mut self, item: &Item, txids: &mut dyn Iterator<Item = Txid>) {
        let Ok(height) = u32::try_from(item.place) else {
            return;
        };
        // Bitcoin Core does not tell of the genesis block's transaction.
        if height == 0 || !matches!(item.call, Call::GetBlock { .. }) {
            return;
        }
        let all: Vec<Txid> = txids.collect();
        let wanted = self.at.transactions.unwrap_or(all.len());
        let chosen = spread(all.len(), wanted).into_iter();
        let chosen = chosen.filter_map(|index| Some((height, *all.get(index)?)));
        self.transactions.extend(chosen);
    }

    fn failed(&mut self, _: &Item, kind: ErrorKind, tally: &mut Tally) {
        *tally.unread.entry(kind).or_default() += 1;
    }

    fn position(&self) -> Input {
        let done = self.undone().saturating_sub(self.at.first.into());
        let done = u32::try_from(done).unwrap_or(u32::MAX);
        let last = done
            .checked_sub(1)
            .map(|it| self.at.first.saturating_add(it));
        let last_hash = last.and_then(|last| {
            let mut behind = self.behind.iter();
            Some(behind.find(|(height, _)| *height == last)?.1)
        });
        Input::Blocks(BlocksAt {
            done,
            last_hash,
            ..self.at.clone()
        })
    }

    fn done(&self) -> u64 {
        self.undone().saturating_sub(self.at.first.into())
    }
}

/// Up to `wanted` indices spread evenly over `count`, the first and the last among them.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    match wanted {
        _ if count <= wanted => (0..count).collect(),
        0 => Vec::new(),
        1 => vec![0],
        _ => (0..wanted)
            .map(|step| step * (count - 1) / (wanted - 1))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use btc_iface::rust_bitcoin::hashes::{Hash, sha256d};

    use super::*;

    type Chain = Arc<Mutex<Vec<BlockHash>>>;

    fn hash(height: u32, branch: u32) -> BlockHash {
        let text = format!("{height} {branch}");
        BlockHash::from_raw_hash(sha256d::Hash::hash(text.as_bytes()))
    }

    fn resolve(chain: &Chain) -> ResolveHash {
        let chain = Arc::clone(chain);
        Box::new(move |height| {
            let chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
            let found = chain.get(height as usize).copied();
            found.ok_or_else(|| error(ErrorKind::NotFound, "no block at this height"))
        })
    }

    fn chain(length: u32) -> Chain {
        Arc::new(Mutex::new(
            (0..length).map(|height| hash(height, 0)).collect(),
        ))
    }

    fn reorganise(chain: &Chain, from: u32, branch: u32) {
        let mut chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
        for height in from..u32::try_from(chain.len()).expect("short") {
            chain[height as usize] = hash(height, branch);
        }
    }

    fn take(source: &mut BlockSource, count: usize) -> Vec<(u64, String)> {
        let mut tally = Tally::default();
        let next = || source.next_call(&mut tally).expect("it resolves");
        let items = std::iter::from_fn(next).take(count);
        items
            .map(|item| match item.call {
                Call::GetBlock { hash } | Call::GetTransaction { txid: hash } => (item.place, hash),
                _ => (item.place, String::new()),
            })
            .collect()
    }

    #[test]
    fn a_reorganisation_is_followed_back_to_the_fork() {
        let chain = chain(300);
        let mut source = BlockSource::new((10, 299), None, resolve(&chain)).expect("a chain");
        // Two batches are handed out when the blocks from 120 on are replaced.
        assert_eq!(take(&mut source, 128).last().expect("some").0, 137);
        reorganise(&chain, 120, 1);
        let rest = take(&mut source, 1000);
        let heights: Vec<u64> = rest.iter().map(|(height, _)| *height).collect();
        assert_eq!(heights, (120..300).collect::<Vec<u64>>());
        assert_eq!(rest[0].1, hash(120, 1).to_string());
        // Once more at the very end.
        reorganise(&chain, 298, 2);
        assert_eq!(take(&mut source, 1000).len(), 2);
        assert!(take(&mut source, 1000).is_empty());
    }

    #[test]
    fn a_position_is_where_nothing_before_is_left() {
        let chain = chain(50);
        let mut source = BlockSource::new((5, 40), Some(2), resolve(&chain)).expect("a chain");
        let done = |source: &BlockSource| match source.position() {
            Input::Blocks(at) => (at.done, at.last_hash),
            Input::Files(_) => unreachable!("blocks"),
        };
        let mut tally = Tally::default();
        let mut items = Vec::new();
        for _ in 0..3 {
            items.push(
                source
                    .next_call(&mut tally)
                    .expect("it resolves")
                    .expect("more"),
            );
        }
        assert_eq!(done(&source), (3, Some(hash(7, 0))));
        let txid = |number: u32| Txid::from_raw_hash(hash(number, 9).to_raw_hash());
        source.answered(&items[1], &mut (0..100).map(txid));
        assert_eq!(done(&source), (1, Some(hash(5, 0))));
        let found = take(&mut source, 2);
        assert_eq!(found, [(6, txid(0).to_string()), (6, txid(99).to_string())]);
        assert_eq!(done(&source), (3, Some(hash(7, 0))));
    }

    #[test]
    fn a_resume_reads_again_what_was_replaced_and_refuses_another_chain() {
        let first = chain(600);
        let mut source = BlockSource::new((0, 599), None, resolve(&first)).expect("a chain");
        take(&mut source, 500);
        let Input::Blocks(at) = source.position() else {
            unreachable!("blocks");
        };
        let mut same = BlockSource::resume(at.clone(), resolve(&first)).expect("the same");
        assert_eq!(take(&mut same, 1)[0].0, 500);
        reorganise(&first, 499, 1);
        let mut moved = BlockSource::resume(at.clone(), resolve(&first)).expect("the same");
        assert_eq!(take(&mut moved, 1)[0].0, 500 - u64::from(REMEMBERED));
        reorganise(&first, 0, 2);
        let refused = BlockSource::resume(at, resolve(&first)).err();
        assert_eq!(refused.expect("another").kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_spread_has_both_ends_and_no_index_twice() {
        assert_eq!(spread(3, 20), [0, 1, 2]);
        assert_eq!(spread(101, 3), [0, 50, 100]);
        assert_eq!(spread(10, 1), [0]);
        assert!(spread(10, 0).is_empty() && spread(0, 5).is_empty());
        assert!(spread(2001, 200).windows(2).all(|pair| pair[0] < pair[1]));
    }
}
