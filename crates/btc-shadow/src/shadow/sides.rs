//! `Sides`: all that may be asked to judge a call, none of which has an effect.

use btc_iface::Operation;

use super::observation::guard;
use super::reader::Reader;
use super::tips::Tips;
use crate::wallet::{Given, Twins};

/// Both sides as far as they can be asked without an effect, by type.
pub(crate) struct Sides {
    pub(crate) primary: Reader,
    pub(crate) secondary: Reader,
    /// The wallet's twins, if there are any.
    pub(crate) twins: Option<Twins>,
    /// The addresses that were given out.
    pub(crate) given: Given,
    /// The tip that was seen last.
    pub(crate) tips: Tips,
}

impl Sides {
    /// Asks the primary for the height of its tip. A failure leaves what is known. Which block it
    /// is, nobody is asked: a wallet would follow the chain for it, and others wait for that.
    pub(crate) fn look_at_tip(&self) {
        let height = guard(Operation::GetBlockHeight, || {
            self.primary.get_block_height()
        });
        if let Ok(height) = height {
            self.tips.see(height);
        }
    }
}
