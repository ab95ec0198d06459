//! `WalletBalance`: what a wallet owns, by how sure it is.

use serde::{Deserialize, Serialize};

/// A wallet's coins in satoshi, each in one bucket. Reservations and locks do not change it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WalletBalance {
    /// Confirmed, without immature coinbase outputs.
    pub confirmed_sat: u64,
    /// Unconfirmed, from transactions that spend only confirmed or trusted coins of this wallet.
    pub trusted_pending_sat: u64,
    /// Unconfirmed, from anybody else.
    pub untrusted_pending_sat: u64,
    /// Coinbase outputs with fewer than 100 confirmations.
    pub immature_sat: u64,
    /// The part of the sums above that missing payments of the wallet hold: it is not chosen for
    /// other payments. No bucket of its own.
    #[serde(default)]
    pub held_by_missing_sat: u64,
}

impl WalletBalance {
    /// Confirmed plus trusted pending, as `BitcoinInterface::get_balance` answers; saturates,
    /// which no amount of real coins reaches.
    pub fn spendable_sat(&self) -> u64 {
        self.confirmed_sat.saturating_add(self.trusted_pending_sat)
    }
}
