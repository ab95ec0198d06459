//! The wallet's operations in shadow mode: what the primary did, beside what the twins say.

mod address;
mod balance;
mod broadcast;
mod create;
mod promises;

use std::sync::Arc;

use btc_iface::{BlockRef, Operation, WalletTwin};

pub(crate) use self::address::Reserved;
pub(crate) use self::broadcast::{KnownTip, Sent};
pub(crate) use self::create::{Built, Payment};
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
    /// The tip that the secondary follows to now; none if it does not say.
    pub(crate) fn tip(&self) -> Option<BlockRef> {
        let state = guard(Operation::GetBalance, || self.secondary.wallet_state());
        state.ok().map(|state| state.tip)
    }
}
