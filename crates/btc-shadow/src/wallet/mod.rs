//! The wallet's operations in shadow mode: what the primary did, beside what the twins say.

mod address;
mod balance;
mod broadcast;
mod create;
mod moved;
mod promises;

use std::sync::Arc;

use btc_iface::{BlockRef, Operation, WalletTwin};

pub(crate) use self::address::Reserved;
pub(crate) use self::broadcast::Sent;
pub(crate) use self::create::{Built, Payment};
pub(crate) use self::moved::KnownTip;
pub(crate) use self::promises::Given;
use crate::shadow::observation::guard;

/// What may be asked about the wallet of each side. Nothing of it has an effect, by type, and
/// nothing of it asks the decorator or the primary's own operations.
#[derive(Clone)]
pub(crate) struct Twins {
    pub(crate) secondary: Arc<dyn WalletTwin>,
    pub(crate) primary: Option<Arc<dyn WalletTwin>>,
}

impl Twins {
    /// The tip of the secondary's node now; none if it does not say.
    pub(crate) fn tip(&self) -> Option<BlockRef> {
        guard(Operation::GetBlockHeight, || self.secondary.tip()).ok()
    }
}
