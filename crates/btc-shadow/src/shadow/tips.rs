//! `Tips`: the height of the tip that was seen last, to be read at no cost.

use std::sync::atomic::{AtomicU64, Ordering};

/// The last known height of the tip. Nobody waits for it, and nobody is asked for it: it comes
/// from the answers that pass by, and off the caller's path from a look now and then.
#[derive(Debug, Default)]
pub(crate) struct Tips {
    /// The height plus one; 0 when none is known.
    next: AtomicU64,
}

impl Tips {
    pub(crate) fn see(&self, height: u32) {
        self.next.store(u64::from(height) + 1, Ordering::Relaxed);
    }

    pub(crate) fn height(&self) -> Option<u32> {
        let height = self.next.load(Ordering::Relaxed).checked_sub(1)?;
        u32::try_from(height).ok()
    }
}
