//! Following the chain in the background, so that callers need not.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use btc_iface::{BitcoinError, BitcoinResult, BlockRef, ErrorKind, Operation, WalletBalance};

use super::RustWallet;

/// The longest wait after failures in a row.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// A thread that follows the chain for a wallet, until this is dropped.
#[derive(Debug)]
pub struct BackgroundFollower {
    // Dropped before the thread is joined: it ends the wait.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    wallet: Weak<RustWallet>,
}

impl RustWallet {
    /// Follows the chain every so often on a thread of its own. As long as the result lives,
    /// `get_balance` and `create_transaction` answer on the newest finished view, which is at most
    /// two polls old (a follow that takes long counts); [`follow`](Self::follow) goes to the tip
    /// all the same. Missing payments are sent again without a caller.
    ///
    /// # Errors
    /// `Internal`: no thread can be started.
    ///
    /// # Effects
    /// The chain source is asked once in `every`; less often while it fails, once a minute at
    /// least.
    pub fn follow_in_background(
        self: &Arc<Self>,
        every: Duration,
    ) -> BitcoinResult<BackgroundFollower> {
        let (stop, stopped) = mpsc::channel::<()>();
        let wallet = Arc::downgrade(self);
        let thread = thread::Builder::new().name("btc-follow".to_owned());
        let follow = {
            let wallet = Weak::clone(&wallet);
            move || {
                let mut wait = every;
                loop {
                    // The wallet's last owner is elsewhere: this thread must not be it for long.
                    let Some(wallet) = wallet.upgrade() else {
                        return;
                    };
                    wait = wallet.follow_once(every, wait);
                    drop(wallet);
                    match stopped.recv_timeout(wait) {
                        Err(RecvTimeoutError::Timeout) => {}
                        Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
        };
        let thread = thread.spawn(follow).map_err(|cause| {
            let message = "no thread can be started to follow the chain";
            BitcoinError::new(ErrorKind::Internal, Operation::Sync, message).with_source(cause)
        })?;
        let max_age_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        self.max_age_ms
            .store(max_age_ms.saturating_mul(2).max(1), Ordering::SeqCst);
        Ok(BackgroundFollower {
            stop: Some(stop),
            thread: Some(thread),
            wallet,
        })
    }

    /// The balance of the newest finished view, and the block that it is of. Asks nothing.
    pub fn newest_balance(&self) -> (BlockRef, WalletBalance) {
        let view = self.published().view;
        (view.tip, view.balance)
    }

    /// Follows once; returns how long to wait until the next time.
    fn follow_once(&self, every: Duration, waited: Duration) -> Duration {
        match self.followed() {
            Ok(_) => {
                self.keep_payments();
                every
            }
            Err(error) => {
                if waited <= every {
                    tracing::warn!(%error, "the chain cannot be followed; trying again");
                }
                (waited * 2).clamp(every, MAX_WAIT.max(every))
            }
        }
    }
}

impl Drop for BackgroundFollower {
    fn drop(&mut self) {
        if let Some(wallet) = self.wallet.upgrade() {
            wallet.max_age_ms.store(0, Ordering::SeqCst);
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
