//! `Run`: verified headers without a gap, from a known block on.

use bitcoin::block::Header;
use btc_iface::BlockRef;

/// Headers from a height on, each connected to the one before it. There is at least one.
#[derive(Debug, Clone)]
pub(super) struct Run {
    first: u32,
    headers: Vec<Header>,
}

impl Run {
    /// A known block's header, above which others are to come.
    pub(super) fn new(height: u32, header: Header) -> Self {
        Self {
            first: height,
            headers: vec![header],
        }
    }

    /// The lowest height.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// The highest block.
    pub(super) fn tip(&self) -> BlockRef {
        let above = u32::try_from(self.headers.len() - 1).unwrap_or(u32::MAX);
        BlockRef {
            height: self.first.saturating_add(above),
            hash: self.last().block_hash(),
        }
    }

    /// The highest block's header.
    pub(super) fn last(&self) -> &Header {
        self.headers.last().expect("there is at least one")
    }

    pub(super) fn header(&self, height: u32) -> Option<&Header> {
        let above = height.checked_sub(self.first)?;
        self.headers.get(above as usize)
    }

    /// Whether this block is in the run.
    pub(super) fn contains(&self, block: BlockRef) -> bool {
        let header = self.header(block.height);
        header.is_some_and(|header| header.block_hash() == block.hash)
    }

    /// The headers above this height.
    pub(super) fn above(&self, height: u32) -> &[Header] {
        let from = (height + 1).saturating_sub(self.first) as usize;
        self.headers.get(from..).unwrap_or_default()
    }

    /// Adds a header that was checked to be the next one.
    pub(super) fn push(&mut self, header: Header) {
        self.headers.push(header);
    }

    /// Adds headers below; false when they do not connect.
    pub(super) fn prepend(&mut self, below: Vec<Header>) -> bool {
        let whole = [below.as_slice(), &self.headers[..1]].concat();
        let is_connected = connect(&whole);
        let count = u32::try_from(below.len()).ok();
        match count.and_then(|count| self.first.checked_sub(count)) {
            Some(first) if is_connected => {
                self.headers.splice(..0, below);
                self.first = first;
                true
            }
            _ => false,
        }
    }

    /// Forgets the headers above this height, which is not below the first.
    pub(super) fn truncate(&mut self, height: u32) {
        let count = height.saturating_sub(self.first) as usize + 1;
        self.headers.truncate(count);
    }

    /// Forgets all but the last ones.
    pub(super) fn keep_last(&mut self, count: u32) {
        let superfluous = self.headers.len().saturating_sub(count.max(1) as usize);
        self.headers.drain(..superfluous);
        self.first = self
            .first
            .saturating_add(u32::try_from(superfluous).unwrap_or(u32::MAX));
    }
}

/// Whether each header names the one before it.
pub(super) fn connect(headers: &[Header]) -> bool {
    headers
        .windows(2)
        .all(|pair| pair[1].prev_blockhash == pair[0].block_hash())
}
