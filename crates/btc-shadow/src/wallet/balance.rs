//! `get_balance`: which buckets and coins are behind two numbers that differ.

use btc_iface::Operation;

use super::Twins;
use crate::compare::{Difference, judge};
use crate::shadow::observation::guard;

impl Twins {
    /// Where the states of both wallets differ; nothing without the primary's twin.
    pub(crate) fn states(&self) -> Vec<Difference> {
        let Some(primary) = &self.primary else {
            return Vec::new();
        };
        let operation = Operation::GetBalance;
        let ours = guard(operation, || primary.wallet_state());
        let theirs = guard(operation, || self.secondary.wallet_state());
        match (&ours, &theirs) {
            (Ok(_), Ok(_)) => judge(&ours, &theirs).1,
            _ => Vec::new(),
        }
    }
}
