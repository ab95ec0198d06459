//! Work of a branch of headers: which `bits` its network allows there, and what it has cost.
//!
//! Pure functions for the sources that are told headers by strangers. A source feeds the headers
//! above a block that it knows to a [`Branch`] and undoes nothing of the wallet's before the new
//! branch has the greater [`Branch::work`].
//!
//! # What is checked
//! - Each header names the one before it (`prev_blockhash`) and meets its own target.
//! - `bits` is the value that Bitcoin Core's `GetNextWorkRequired` gives: on mainnet and signet
//!   one value for the 2,016 blocks of a period; on testnet3 and testnet4 also the lowest
//!   difficulty, for a block more than 20 minutes after the one before it, but on testnet4 not
//!   for the first of a period (BIP94); on regtest always the same.
//! - A new period's `bits` is computed exactly when the period before is known from its first
//!   header on (from the branch itself, or by [`Branch::with_period`]). Otherwise it may be
//!   within the factor 4 that a retarget allows.
//!
//! # What is not
//! - Times: neither the median of the 11 blocks before nor the two hours ahead of now. Their only
//!   effect here is on retargets, whose every period costs its work first.
//! - On testnet3 and testnet4, as long as all headers known of the period have the lowest
//!   difficulty, the first that has another sets the period's.
//! - Signet's signatures, which are in the blocks: there a branch is worth its work alone.
//! - Everything that takes a block to know.

use bitcoin::block::Header;
use bitcoin::pow::{CompactTarget, Target, Work};
use btc_iface::{BlockRef, Network};

/// Blocks between two retargets, on every network that has them.
pub const PERIOD: u32 = 2016;
/// On testnet3 and testnet4, the seconds without a block after which one may have the lowest
/// difficulty.
const LATE_SECS: u32 = 20 * 60;

/// Why headers are not a branch of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The header is not that of the block it is given for.
    #[error("another header than that of block {0}")]
    OtherHeader(u32),
    /// The header does not name the one before it.
    #[error("header {0} does not connect to the one before it")]
    Unconnected(u32),
    /// The hash is above the header's own target.
    #[error("header {0} has no proof of work")]
    NoWork(u32),
    /// The target is not the one that the network allows at this place.
    #[error("header {height} has the bits {bits:08x}, which its network does not allow there")]
    WrongBits {
        /// The header's height.
        height: u32,
        /// Its `bits`.
        bits: u32,
    },
}

/// Headers above a known block, checked one by one; the memory it takes does not grow with them.
#[derive(Debug, Clone)]
pub struct Branch {
    network: Network,
    tip: BlockRef,
    last: Header,
    period: Period,
    work: Work,
}

/// What is known of the period that the last header is in.
#[derive(Debug, Clone, Copy)]
struct Period {
    /// The time of its first block.
    start: Option<u32>,
    /// Its difficulty: the `bits` of its first block, and of every other that is not an exception.
    bits: Option<CompactTarget>,
}

impl Branch {
    /// An empty branch above this block, whose header is trusted once it has the block's hash.
    ///
    /// # Errors
    /// [`Flaw::OtherHeader`]: the header has another hash. [`Flaw::WrongBits`]: no block of the
    /// network has its `bits`.
    pub fn above(network: Network, block: BlockRef, header: &Header) -> Result<Self, Flaw> {
        if header.block_hash() != block.hash {
            return Err(Flaw::OtherHeader(block.height));
        }
        let mut branch = Self {
            network,
            tip: block,
            last: *header,
            period: Period {
                start: None,
                bits: None,
            },
            work: zero(),
        };
        if !branch.is_possible(header) {
            return Err(wrong_bits(block.height, header));
        }
        branch.note(block.height, header);
        Ok(branch)
    }

    /// With the first header of the period that the block is in, at the height
    /// `height - height % PERIOD`, so that the next retarget is computed and not only bounded.
    /// The caller vouches for it.
    #[must_use]
    pub fn with_period(mut self, first: &Header) -> Self {
        self.period = Period {
            start: Some(first.time),
            bits: Some(first.bits),
        };
        self
    }

    /// Takes the next header.
    ///
    /// # Errors
    /// What is wrong with it. The branch is as it was.
    pub fn push(&mut self, header: &Header) -> Result<(), Flaw> {
        if !header.target().is_met_by(header.block_hash()) {
            return Err(Flaw::NoWork(self.tip.height.saturating_add(1)));
        }
        self.append(header)
    }

    /// Takes several headers, the lowest first.
    ///
    /// # Errors
    /// What is wrong with the first that is not right. Those before it are in the branch.
    pub fn extend<'h>(
        &mut self,
        headers: impl IntoIterator<Item = &'h Header>,
    ) -> Result<(), Flaw> {
        headers.into_iter().try_for_each(|header| self.push(header))
    }

    /// The last block, at first the one below the branch.
    pub const fn tip(&self) -> BlockRef {
        self.tip
    }

    /// The header of [`tip`](Self::tip).
    pub const fn last(&self) -> &Header {
        &self.last
    }

    /// The sum of the work of the headers taken.
    pub const fn work(&self) -> Work {
        self.work
    }

    /// The most work that this many blocks above the last header can have had, at the highest
    /// difficulty that the network could have demanded of them. `None`: what it demands now is not
    /// known, on testnet3 or testnet4.
    pub fn most_work(&self, blocks: u32) -> Option<Work> {
        let params = self.network.params();
        let mut bits = if params.no_pow_retargeting {
            self.limit().to_compact_lossy()
        } else {
            self.period.bits?
        };
        let mut work = zero();
        for above in 1..=blocks {
            if self.tip.height.saturating_add(above).is_multiple_of(PERIOD) {
                bits = CompactTarget::from_next_work_required(bits, 0, params);
            }
            work = sum(work, Target::from(bits).to_work());
        }
        Some(work)
    }

    /// All but the proof of work.
    fn append(&mut self, header: &Header) -> Result<(), Flaw> {
        let height = self.tip.height.saturating_add(1);
        if header.prev_blockhash != self.tip.hash {
            return Err(Flaw::Unconnected(height));
        }
        if !self.is_possible(header) || !self.allows(height, header) {
            return Err(wrong_bits(height, header));
        }
        self.note(height, header);
        self.work = sum(self.work, header.work());
        self.last = *header;
        self.tip = BlockRef {
            height,
            hash: header.block_hash(),
        };
        Ok(())
    }

    /// Whether the network allows these `bits` above the last header.
    fn allows(&self, height: u32, header: &Header) -> bool {
        let params = self.network.params();
        if params.no_pow_retargeting {
            return header.bits == self.limit().to_compact_lossy();
        }
        if height.is_multiple_of(PERIOD) {
            return self.allows_retarget(header.bits);
        }
        let is_late = header.time > self.last.time.saturating_add(LATE_SECS);
        if params.allow_min_difficulty_blocks && is_late {
            return header.bits == self.limit().to_compact_lossy();
        }
        // Without exceptions the last header tells it, so that it is known.
        self.period.bits.is_none_or(|bits| bits == header.bits)
    }

    fn allows_retarget(&self, bits: CompactTarget) -> bool {
        // BIP94: an exception at the end of a period does not lower the next one.
        let old = match self.network {
            Network::Testnet4 => self.period.bits,
            _ => Some(self.last.bits),
        };
        let Some(old) = old else {
            return true;
        };
        let next = |timespan: u64| {
            CompactTarget::from_next_work_required(old, timespan, self.network.params())
        };
        if let Some(start) = self.period.start {
            // A negative span counts as the shortest, as zero does.
            return bits == next(self.last.time.saturating_sub(start).into());
        }
        let (hardest, easiest) = (next(0), next(u64::MAX));
        (Target::from(hardest)..=Target::from(easiest)).contains(&Target::from(bits))
    }

    /// Learns from a header, which is allowed, what it says about its period.
    fn note(&mut self, height: u32, header: &Header) {
        if height.is_multiple_of(PERIOD) {
            self.period = Period {
                start: Some(header.time),
                bits: Some(header.bits),
            };
            return;
        }
        let may_be_exception = self.network.params().allow_min_difficulty_blocks
            && header.bits == self.limit().to_compact_lossy();
        if self.period.bits.is_none() && !may_be_exception {
            self.period.bits = Some(header.bits);
        }
    }

    /// Whether the network may have these `bits` anywhere, written as Bitcoin Core writes them.
    fn is_possible(&self, header: &Header) -> bool {
        header.target() <= self.limit() && header.target().to_compact_lossy() == header.bits
    }

    /// The highest target of the network.
    const fn limit(&self) -> Target {
        self.network.params().max_attainable_target
    }
}

fn wrong_bits(height: u32, header: &Header) -> Flaw {
    Flaw::WrongBits {
        height,
        bits: header.bits.to_consensus(),
    }
}

/// The work of headers above this block, which are all checked as [`Branch`] says.
///
/// # Errors
/// What is wrong with the first that is not right.
pub fn check_bits(
    network: Network,
    below: BlockRef,
    header: &Header,
    headers: &[Header],
) -> Result<Work, Flaw> {
    let mut branch = Branch::above(network, below, header)?;
    branch.extend(headers)?;
    Ok(branch.work())
}

/// The sum of the work that headers claim by their `bits`, which the caller has checked before.
pub fn total_work<'h>(headers: impl IntoIterator<Item = &'h Header>) -> Work {
    // Zero is what a broken `bits` comes to; no hash meets it.
    let headers = headers.into_iter();
    let works = headers
        .filter(|header| header.target() != Target::ZERO)
        .map(Header::work);
    works.fold(zero(), sum)
}

fn zero() -> Work {
    Work::from_be_bytes([0; 32])
}

/// The sum of two amounts of work, or the greatest amount when it is beyond that.
pub fn sum(a: Work, b: Work) -> Work {
    let most = Work::from_be_bytes([u8::MAX; 32]);
    if b > most - a { most } else { a + b }
}

#[cfg(test)]
mod tests;
