//! The wallet's operations in shadow mode: what the primary did, beside what the twins say.

mod address;
mod balance;
mod broadcast;
mod create;

use std::sync::Arc;

use btc_iface::WalletTwin;

pub(crate) use self::create::Payment;
use crate::policy::Policy;

/// What may be asked about the wallet of each side. Nothing of it has an effect, by type, and
/// nothing of it asks the decorator or the primary's own operations.
pub(crate) struct Twins {
    secondary: Arc<dyn WalletTwin>,
    primary: Option<Arc<dyn WalletTwin>>,
    policy: Policy,
}

impl Twins {
    pub(crate) fn new(
        secondary: Arc<dyn WalletTwin>,
        primary: Option<Arc<dyn WalletTwin>>,
        policy: Policy,
    ) -> Self {
        Self {
            secondary,
            primary,
            policy,
        }
    }
}
