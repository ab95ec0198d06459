//! `Chain`: a server's chain, followed from a known block to its tip.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::block::Header;
use bitcoin::{BlockHash, Network};
use btc_iface::{BlockRef, ErrorKind};

use super::run::Run;
use super::{HistoryServer, Memory, Trouble, ask};
use crate::wallet::source::fixed;
use crate::wallet::source::work::{Branch, PERIOD, total_work};

/// Blocks of the wallet that are asked for at once, at first and at most.
const FIRST_ASKED: usize = 1;
const MAX_ASKED: usize = 50;
/// How far below the last verified header a server is looked for again.
const STEPS_BACK: [u32; 4] = [0, 6, 36, 216];

/// Tells how far something has come: done, and all.
pub(super) type Progress<'p> = dyn FnMut(u32, u32) + 'p;

/// A server's chain that contains every fixed block of its network and counts for more than what
/// the wallet has instead. Its headers are in the memory's run.
#[derive(Debug)]
pub(super) struct Chain {
    /// The last block.
    pub(super) tip: BlockRef,
    /// Those of the wallet's blocks that are in it, the newest first.
    pub(super) agreed: Vec<BlockRef>,
    /// The others, which it replaces.
    stale: Vec<BlockRef>,
}

impl Chain {
    /// Follows the headers up to the server's tip. `wallet` has the wallet's blocks, the newest
    /// first.
    pub(super) fn follow<S: HistoryServer>(
        server: &S,
        memory: &mut Memory,
        wallet: &[BlockRef],
        progress: &mut Progress<'_>,
    ) -> Result<Self, Trouble> {
        let (height, header) = ask(server, server.tip())?;
        let tip = BlockRef {
            height,
            hash: header.block_hash(),
        };
        let fixed = fixed::newest(server.network(), u32::MAX);
        if fixed.height > height {
            return Err(behind(server, tip, fixed));
        }
        let (at, mut base) = newest_shared(server, height, wallet)?;
        if fixed.height > base.0.height {
            base = (fixed, header_at(server, fixed.height)?);
            if base.1.block_hash() != fixed.hash {
                let what = format!("no block {} at height {}", fixed.hash, fixed.height);
                return Err(server.lied(what).into());
            }
        }
        let (stale, agreed) = wallet.split_at(at);
        let known = memory.run.take().filter(|run| run.contains(base.0));
        let mut run = known.unwrap_or_else(|| Run::new(base.0.height, base.1));
        let before = (!stale.is_empty()).then(|| run.clone());
        let reached = reach(server, &mut run, (base.0, tip), !stale.is_empty(), progress);
        let judged = reached.and_then(|()| match (&before, stale.first()) {
            (Some(before), Some(newest)) => outweighs(server, before, &mut run, base.0, *newest),
            _ => Ok(()),
        });
        if let Err(trouble) = judged {
            // What was followed so far holds, unless it is another branch than the wallet's.
            memory.run = Some(before.unwrap_or(run));
            return Err(trouble);
        }
        memory.run = Some(run);
        Ok(Self {
            tip,
            agreed: agreed.to_vec(),
            stale: stale.to_vec(),
        })
    }

    /// The headers of this chain at these heights, verified by the headers up to a known block.
    pub(super) fn headers<S: HistoryServer>(
        &self,
        server: &S,
        memory: &Memory,
        heights: &BTreeSet<u32>,
        progress: &mut Progress<'_>,
    ) -> Result<BTreeMap<u32, Header>, Trouble> {
        let Some(run) = &memory.run else {
            return Err(Trouble::Moved);
        };
        if heights
            .last()
            .is_some_and(|height| *height > self.tip.height)
        {
            return Err(server.lied("a confirmation above the tip").into());
        }
        let mut found: BTreeMap<u32, Header> = heights
            .iter()
            .filter_map(|height| Some((*height, *run.header(*height)?)))
            .collect();
        let fixed = fixed::blocks(server.network());
        let known: BTreeMap<u32, BlockHash> = fixed
            .chain(self.agreed.iter().copied())
            .map(|block| (block.height, block.hash))
            .filter(|(height, _)| *height < run.first())
            .chain(
                run.header(run.first())
                    .map(|it| (run.first(), it.block_hash())),
            )
            .collect();
        let mut rest = heights.range(..run.first()).copied();
        let mut next = rest.next();
        while let Some(start) = next {
            let Some((&end, hash)) = known.range(start..).next() else {
                return Err(Trouble::Moved);
            };
            let mut wanted = Vec::new();
            while let Some(height) = next.filter(|height| *height <= end) {
                wanted.push(height);
                next = rest.next();
            }
            let mut last: Option<Header> = None;
            up_to(server, (start, end), progress, |height, header| {
                let previous = last.replace(header);
                if previous.is_some_and(|it| it.block_hash() != header.prev_blockhash) {
                    return Err(server.lied("headers that do not connect").into());
                }
                if wanted.binary_search(&height).is_ok() {
                    found.insert(height, header);
                }
                Ok(())
            })?;
            if last.map(|header| header.block_hash()) != Some(*hash) {
                return Err(server
                    .lied("headers that do not lead to a known block")
                    .into());
            }
        }
        Ok(found)
    }

    /// Heights at which the wallet has another block than this chain.
    pub(super) fn replaced(&self) -> impl Iterator<Item = u32> {
        let heights = self.stale.iter().map(|block| block.height);
        heights.filter(|height| *height <= self.tip.height)
    }
}

/// The index of the newest of the wallet's blocks that the server has, and that block with its
/// header.
fn newest_shared<S: HistoryServer>(
    server: &S,
    tip: u32,
    wallet: &[BlockRef],
) -> Result<(usize, (BlockRef, Header)), Trouble> {
    let mut at = wallet.iter().take_while(|block| block.height > tip).count();
    let mut count = FIRST_ASKED;
    while at < wallet.len() {
        let some = &wallet[at..wallet.len().min(at + count)];
        let heights: Vec<u32> = some.iter().map(|block| block.height).collect();
        let headers = ask(server, server.headers_at(&heights))?;
        for (block, header) in some.iter().zip(headers) {
            if header.block_hash() == block.hash {
                return Ok((at, (*block, header)));
            }
            at += 1;
        }
        count = (count * 4).min(MAX_ASKED);
    }
    Err(server.lied("no block in common with the wallet").into())
}

/// Brings the run, which may hold blocks of another branch above `base`, to the server's tip.
fn reach<S: HistoryServer>(
    server: &S,
    run: &mut Run,
    (base, tip): (BlockRef, BlockRef),
    is_reorganisation: bool,
    progress: &mut Progress<'_>,
) -> Result<(), Trouble> {
    let mut is_shared = false;
    for back in STEPS_BACK {
        let height = run.tip().height.saturating_sub(back);
        if height <= base.height {
            break;
        }
        if height <= tip.height {
            run.truncate(height);
            is_shared = header_at(server, height)?.block_hash() == run.tip().hash;
        }
        if is_shared {
            break;
        }
    }
    if !is_shared {
        run.truncate(base.height);
    }
    let start = run.tip();
    if start == tip {
        return Ok(());
    }
    let mut branch =
        Branch::above(server.network(), start, run.last()).map_err(|flaw| server.lied(flaw))?;
    if needs_period::<S>(
        server.network(),
        start.height,
        tip.height,
        is_reorganisation,
    ) {
        branch = branch.with_period(&period_start(server, run, start.height)?);
    }
    if start.height < tip.height {
        up_to(
            server,
            (start.height + 1, tip.height),
            progress,
            |_, header| {
                branch.push(&header).map_err(|flaw| server.lied(flaw))?;
                run.push(header);
                Ok(())
            },
        )?;
    }
    if run.tip() == tip {
        Ok(())
    } else {
        Err(Trouble::Moved)
    }
}

/// Whether the first header of the period matters: before a retarget, and where one block may have
/// another difficulty than its period. There it is left out when it would cost many requests, and
/// nothing is to be undone.
fn needs_period<S: HistoryServer>(
    network: Network,
    start: u32,
    tip: u32,
    is_reorganisation: bool,
) -> bool {
    let params = network.params();
    let has_exceptions = params.allow_min_difficulty_blocks
        && (S::HEADERS >= PERIOD || is_reorganisation)
        && start < tip;
    !params.no_pow_retargeting && (start / PERIOD < tip / PERIOD || has_exceptions)
}

/// The first header of the period of this height, which is in the run.
fn period_start<S: HistoryServer>(
    server: &S,
    run: &mut Run,
    height: u32,
) -> Result<Header, Trouble> {
    let first = height - height % PERIOD;
    if first < run.first() {
        let mut below = Vec::new();
        let bounds = (first, run.first() - 1);
        up_to(server, bounds, &mut |_, _| {}, |_, header| {
            below.push(header);
            Ok(())
        })?;
        if !run.prepend(below) {
            return Err(server
                .lied("headers that do not lead to a known block")
                .into());
        }
    }
    run.header(first).copied().ok_or(Trouble::Moved)
}

/// Hands over the server's headers from a height to another, each with its height.
fn up_to<S: HistoryServer>(
    server: &S,
    (start, end): (u32, u32),
    progress: &mut Progress<'_>,
    mut take: impl FnMut(u32, Header) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let total = end - start + 1;
    let is_long = total > S::HEADERS;
    let mut done = 0;
    while done < total {
        let headers = server.headers(start + done, S::HEADERS.min(total - done));
        let headers = ask(server, headers)?;
        let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        if count == 0 {
            // The chain may have become shorter.
            return Err(Trouble::Behind(server.lied("no headers up to its tip")));
        }
        if count > total - done {
            return Err(server.lied("more headers than asked for").into());
        }
        for (height, header) in (start + done..).zip(headers) {
            take(height, header)?;
        }
        done += count;
        if is_long {
            progress(done, total);
        }
    }
    Ok(())
}

fn header_at<S: HistoryServer>(server: &S, height: u32) -> Result<Header, Trouble> {
    let headers = ask(server, server.headers_at(&[height]))?;
    let header = headers.first().copied();
    header.ok_or_else(|| server.lied("no header").into())
}

/// Checks that the run has more work above `base` than the wallet's blocks up to `newest`, which
/// it would replace. The run of before knows what that is if it has that block.
fn outweighs<S: HistoryServer>(
    server: &S,
    before: &Run,
    run: &mut Run,
    base: BlockRef,
    newest: BlockRef,
) -> Result<(), Trouble> {
    let count = newest.height.saturating_sub(base.height);
    let old = if before.contains(newest) {
        total_work(before.above(base.height).iter().take(count as usize))
    } else {
        let branch = run.header(base.height).ok_or(Trouble::Moved)?;
        let mut branch =
            Branch::above(server.network(), base, branch).map_err(|flaw| server.lied(flaw))?;
        if branch.most_work(count).is_none() {
            branch = branch.with_period(&period_start(server, run, base.height)?);
        }
        branch.most_work(count).ok_or(Trouble::Moved)?
    };
    if total_work(run.above(base.height)) > old {
        Ok(())
    } else {
        Err(behind(server, run.tip(), newest))
    }
}

fn behind<S: HistoryServer>(server: &S, tip: BlockRef, known: BlockRef) -> Trouble {
    let message = if tip.height < known.height {
        format!(
            "the {} is behind: its chain ends at height {}, and block {} is known; wait until it \
             has caught up, or use another one",
            S::KIND,
            tip.height,
            known.height
        )
    } else {
        format!(
            "the {} has another chain than the wallet, and no more work to show for it; ask again \
             after the next block, or use another one",
            S::KIND
        )
    };
    let error = server.error(ErrorKind::Unavailable, message);
    Trouble::Behind(
        error
            .with_context("its tip", tip.hash)
            .with_context("known", known.hash),
    )
}

#[cfg(test)]
mod tests;
