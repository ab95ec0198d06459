//! Following the chain beside callers: one follows, the others answer from the newest finished view.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bitcoin::{OutPoint, ScriptBuf, Transaction, Txid};
use btc_iface::{BitcoinResult, BlockRef};

use super::RustWallet;
use crate::wallet::ledger::{Ledger, View};
use crate::wallet::reservations::{self, Booking};
use crate::wallet::source::{Follower, Piece};

/// The newest finished view.
#[derive(Debug, Clone)]
pub(super) struct Published {
    pub(super) view: Arc<View>,
    /// The number of the follow that it is of.
    number: u64,
    /// When that follow had ended.
    at: Option<Instant>,
}

impl Published {
    pub(super) fn new(view: Arc<View>) -> Self {
        Self {
            view,
            number: 0,
            at: None,
        }
    }
}

/// The books while no one follows the chain: they are those of one moment.
pub(super) struct Settled<'a> {
    // Released first.
    ledger: MutexGuard<'a, Ledger>,
    _following: MutexGuard<'a, ()>,
}

impl Deref for Settled<'_> {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

impl DerefMut for Settled<'_> {
    fn deref_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

impl RustWallet {
    /// Follows the chain to the tip and returns it. While another caller follows, this one waits;
    /// where that follow began after this call did, its result is this call's, too.
    ///
    /// # Errors
    /// Those of the source.
    pub fn follow(&self) -> BitcoinResult<BlockRef> {
        Ok(self.followed()?.tip)
    }

    /// The view after [`follow`](Self::follow).
    pub(super) fn followed(&self) -> BitcoinResult<Arc<View>> {
        let begun = self.begun.load(Ordering::SeqCst);
        let following = self.following();
        let newest = self.published();
        if newest.number > begun {
            return Ok(newest.view);
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.follow_now()?;
        let view = self.publish(&self.ledger(), number, Some(Instant::now()));
        drop(following);
        Ok(view)
    }

    /// The newest finished view while a thread follows in the background and it is not too old;
    /// else the view after [`follow`](Self::follow).
    pub(super) fn followed_lately(&self) -> BitcoinResult<Arc<View>> {
        let max_age = Duration::from_millis(self.max_age_ms.load(Ordering::SeqCst));
        let newest = self.published();
        if newest.at.is_some_and(|at| at.elapsed() < max_age) {
            return Ok(newest.view);
        }
        self.followed()
    }

    /// The newest view of a finished follow, or of what this process has changed since.
    pub(super) fn published(&self) -> Published {
        let lock = self.published.lock();
        lock.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The books, when no one follows: waits for one that does.
    pub(super) fn settled_ledger(&self) -> Settled<'_> {
        let following = self.following();
        Settled {
            ledger: self.ledger(),
            _following: following,
        }
    }

    /// The newest finished view, with what either side has handed over since. `ledger` learns of
    /// that, too.
    pub(super) fn current_view(
        &self,
        ledger: &mut Ledger,
        booking: &Booking<'_>,
    ) -> BitcoinResult<Arc<View>> {
        let rows = booking.payments(ledger.settled_below())?;
        let reach = booking.change_reach()?;
        ledger.set_payments(rows, &reach, |txid| booking.payment_transaction(txid))?;
        let view = self.published().view;
        let since = ledger.held_since(&view);
        if since.is_empty() {
            return Ok(view);
        }
        let mut view = View::clone(&view);
        view.held.extend(since);
        Ok(Arc::new(view))
    }

    /// Makes what this process has changed the newest view, unless a follow is under way, which
    /// does so at its end.
    pub(super) fn publish_change(&self, ledger: &Ledger) {
        match self.following.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            _idle => self.republish(ledger),
        }
    }

    /// [`publish_change`](Self::publish_change) for the holder of the settled books.
    pub(super) fn publish_settled(&self, ledger: &Settled<'_>) {
        self.republish(ledger);
    }

    fn republish(&self, ledger: &Ledger) {
        let Published { number, at, .. } = self.published();
        self.publish(ledger, number, at);
    }

    fn publish(&self, ledger: &Ledger, number: u64, at: Option<Instant>) -> Arc<View> {
        let view = ledger.view();
        let lock = self.published.lock();
        *lock.unwrap_or_else(PoisonError::into_inner) = Published {
            view: Arc::clone(&view),
            number,
            at,
        };
        view
    }

    /// Follows, with the right to: the books are locked for one step at a time.
    fn follow_now(&self) -> BitcoinResult<()> {
        self.read_shared(&mut self.ledger())?;
        let mut follow = Follow::new(self);
        self.source.follow(&mut follow)?;
        if !self.source.sees_mempool() {
            let now_secs = reservations::now_ms() / 1_000;
            self.ledger().assume_in_mempool(now_secs)?;
        }
        let mut ledger = self.ledger();
        if ledger.undone_to().is_some() {
            // Payments that were settled in blocks that are gone.
            self.read_shared(&mut ledger)?;
        }
        Ok(())
    }

    /// Reads what the other implementation may have given out or handed over since.
    pub(super) fn read_shared(&self, ledger: &mut Ledger) -> BitcoinResult<()> {
        let reservations = self.reservations();
        let all_next = reservations.all_next()?;
        let payments = reservations.payments(ledger.settled_below())?;
        let reach = reservations.change_reach()?;
        for (keychain, next) in all_next {
            if self.keyring().descriptor(keychain).is_ok() {
                ledger.set_next(keychain, next)?;
            }
        }
        ledger.set_payments(payments, &reach, |txid| {
            reservations.payment_transaction(txid)
        })
    }

    fn following(&self) -> MutexGuard<'_, ()> {
        // The books of a follow that panicked are those of its last step, as after an error.
        let lock = self.following.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The books as a source sees them, locked for one step at a time.
struct Follow<'a> {
    wallet: &'a RustWallet,
    /// A copy that grows with the books' own list.
    watched: Vec<ScriptBuf>,
    /// Where this pass began, and how many scripts were watched then.
    began_at: Option<BlockRef>,
    began_with: usize,
}

impl<'a> Follow<'a> {
    fn new(wallet: &'a RustWallet) -> Self {
        let ledger = wallet.ledger();
        Self {
            wallet,
            watched: ledger.watched().to_vec(),
            began_at: ledger.scanned(),
            began_with: ledger.watched().len(),
        }
    }

    fn learn(&mut self, ledger: &Ledger) {
        if let Some(new) = ledger.watched().get(self.watched.len()..) {
            self.watched.extend_from_slice(new);
        }
    }
}

impl Follower for Follow<'_> {
    fn checkpoints(&self) -> Vec<BlockRef> {
        self.wallet.ledger().checkpoints()
    }

    fn birthday(&self) -> u32 {
        self.wallet.ledger().birthday()
    }

    fn is_first_scan(&self) -> bool {
        self.wallet.ledger().is_first_scan()
    }

    fn scanned(&self) -> Option<BlockRef> {
        self.wallet.ledger().scanned()
    }

    fn begin_blocks(&mut self) -> BitcoinResult<bool> {
        let mut ledger = self.wallet.ledger();
        let begun = ledger.begin_blocks();
        self.began_at = ledger.scanned();
        self.learn(&ledger);
        begun
    }

    fn begin_filters(&mut self) -> BitcoinResult<()> {
        let mut ledger = self.wallet.ledger();
        let begun = ledger.begin_filters();
        self.began_at = ledger.scanned();
        self.learn(&ledger);
        begun
    }

    fn at_tip(&mut self) -> BitcoinResult<bool> {
        let mut ledger = self.wallet.ledger();
        // What was given out while blocks were fetched may be paid in them.
        self.wallet.read_shared(&mut ledger)?;
        let mut goes_on = ledger.at_tip()?;
        let has_grown = ledger.watched().len() > self.began_with;
        if !goes_on && has_grown {
            ledger.rewind_to(self.began_at)?;
            goes_on = true;
        }
        self.began_with = ledger.watched().len();
        self.learn(&ledger);
        Ok(goes_on)
    }

    fn watched(&self) -> &[ScriptBuf] {
        &self.watched
    }

    fn owned(&self) -> Vec<OutPoint> {
        self.wallet.ledger().owned()
    }

    fn concerns(&self, transaction: &Transaction) -> bool {
        self.wallet.ledger().concerns(transaction)
    }

    fn unconfirmed(&self) -> Vec<Txid> {
        self.wallet.ledger().unconfirmed()
    }

    fn unconfirmed_spends(&self) -> Vec<Txid> {
        self.wallet.ledger().unconfirmed_spends()
    }

    fn confirmed(&self) -> Vec<(Txid, BlockRef)> {
        self.wallet.ledger().confirmed()
    }

    fn take(&mut self, piece: Piece) -> BitcoinResult<()> {
        let mut ledger = self.wallet.ledger();
        let taken = ledger.take(piece);
        self.learn(&ledger);
        taken
    }

    fn progress(&mut self, done: u32, total: u32) {
        self.wallet.ledger().progress(done, total);
    }
}
