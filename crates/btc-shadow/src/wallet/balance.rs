//! `get_balance`: which buckets and coins are behind two numbers that differ.

use btc_iface::Operation;

use super::Twins;
use crate::compare::{Difference, judge};
use crate::observation::Observation;

impl Twins {
    /// Where the states of both wallets differ; nothing without the primary's twin.
    pub(crate) fn states(&self) -> Vec<Difference> {
        let Some(primary) = &self.primary else {
            return Vec::new();
        };
        let operation = Operation::GetBalance;
        let ours = Observation::guarded(operation, || primary.wallet_state());
        let theirs = Observation::guarded(operation, || self.secondary.wallet_state());
        match (&ours.result, &theirs.result) {
            (Ok(_), Ok(_)) => judge(&ours.result, &theirs.result).1,
            _ => Vec::new(),
        }
    }
}
