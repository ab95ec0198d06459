//! `KnownTip`: whether the chain is another one than when a call was answered.

use btc_iface::BlockRef;

/// What was known of the tip at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownTip {
    pub(crate) height: u32,
    /// Which block of that height it was, if that was known too.
    pub(crate) block: Option<BlockRef>,
}

/// Whether the chain is another one than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Yes,
    No,
    /// Which block one of them is, is not known: two blocks of one height are two chains.
    Perhaps,
}

impl From<BlockRef> for KnownTip {
    fn from(tip: BlockRef) -> Self {
        Self {
            height: tip.height,
            block: Some(tip),
        }
    }
}

impl KnownTip {
    pub(super) fn has_moved(self, now: Option<BlockRef>) -> Moved {
        let Some(now) = now else {
            return Moved::Perhaps;
        };
        match self.block {
            Some(block) if block == now => Moved::No,
            None if self.height == now.height => Moved::Perhaps,
            _ => Moved::Yes,
        }
    }
}
