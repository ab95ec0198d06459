//! Coins that are kept from being chosen: a user's locks, also by labels, and holds of callers.

use std::collections::HashSet;

use bitcoin::OutPoint;
use btc_iface::{BitcoinResult, Label};

use super::RustWallet;
use super::interface::not_found;
use crate::wallet::ledger::View;
use crate::wallet::reservations::{self, End};
use crate::wallet::{fault, labels};

impl RustWallet {
    /// Makes the books ready for labels, and does what an import left undone that was cut off.
    pub(super) fn prepare_labels(&self) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        labels::init(ledger.store().connection())?;
        drop(ledger);
        self.finish_import()
    }

    fn finish_import(&self) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        if !labels::has_unfinished_import(ledger.store().connection())? {
            return Ok(());
        }
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        let books = ledger.store().connection();
        labels::finish_import(books, booking, |coin| view.held.get(coin).copied())
    }

    /// `WalletInterface::import_labels`.
    pub(super) fn import_with_locks(&self, all: &[Label]) -> BitcoinResult<usize> {
        self.finish_import()?;
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        let books = ledger.store().connection();
        labels::import_with_locks(books, booking, |coin| view.held.get(coin).copied(), all)
    }

    /// `WalletInterface::lock`.
    pub(super) fn lock_coin(&self, coin: OutPoint) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let booking = reservations.begin(reservations::now_ms())?;
        let view = self.current_view(&mut ledger, &booking)?;
        if !view.coins.iter().any(|it| it.outpoint == coin) {
            return Err(not_found("not an unspent output of the wallet").with_context("coin", coin));
        }
        check_not_held(&view, &coin)?;
        booking.lock(coin)?;
        booking.commit()
    }

    /// `WalletInterface::hold`.
    pub(super) fn hold_coins(
        &self,
        coins: &[OutPoint],
        reason: &str,
        until_ms: Option<u64>,
    ) -> BitcoinResult<()> {
        let mut ledger = self.ledger();
        let mut reservations = self.reservations();
        let now_ms = reservations::now_ms();
        let booking = reservations.begin(now_ms)?;
        let view = self.current_view(&mut ledger, &booking)?;
        let unspent: HashSet<OutPoint> = view.coins.iter().map(|coin| coin.outpoint).collect();
        for coin in coins {
            if !unspent.contains(coin) {
                let message = "not an unspent output of the wallet; hold one of its own";
                return Err(fault::invalid(message).with_context("coin", coin));
            }
            check_not_held(&view, coin)?;
        }
        let end = until_ms.map(|until| End::after(now_ms, until.saturating_sub(now_ms)));
        booking.hold(coins, reason, end)?;
        booking.commit()
    }
}

fn check_not_held(view: &View, coin: &OutPoint) -> BitcoinResult<()> {
    let payment = view.held.get(coin);
    payment.map_or(Ok(()), |payment| Err(labels::held_by(coin, *payment)))
}
