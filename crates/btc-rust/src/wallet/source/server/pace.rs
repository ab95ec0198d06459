//! `Pace`: how fast a server must answer over a whole look, however many requests that takes.
//!
//! Each answer has its own limit of time. A server that takes it up each time would keep a wallet
//! with many scripts waiting for hours without an error.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use btc_iface::{BitcoinResult, ErrorKind};

use super::HistoryServer;

/// How many requests there must be, on average, in the time that one may take.
const MIN_RATE: u32 = 20;

/// The time that is left for a look; none while there is no look.
#[derive(Debug, Default)]
pub(in crate::wallet::source) struct Pace(Mutex<Option<Deadline>>);

#[derive(Debug)]
struct Deadline {
    at: Instant,
    each: Duration,
}

/// A look that is under way.
pub(super) struct Look<'p>(&'p Pace);

impl Pace {
    /// A look begins, with a server that may take so long for an answer.
    pub(super) fn begin(&self, timeout: Duration) -> Look<'_> {
        *self.deadline() = Some(Deadline {
            at: Instant::now() + timeout,
            each: timeout / MIN_RATE,
        });
        Look(self)
    }

    /// Adds this number of answered requests.
    ///
    /// # Errors
    /// `Timeout`: over the look, the server is too slow.
    pub(in crate::wallet::source) fn count<S: HistoryServer>(
        &self,
        server: &S,
        requests: usize,
    ) -> BitcoinResult<()> {
        let mut deadline = self.deadline();
        let Some(deadline) = &mut *deadline else {
            return Ok(());
        };
        let earned = u32::try_from(requests).unwrap_or(u32::MAX);
        deadline.at += deadline.each.saturating_mul(earned);
        if Instant::now() <= deadline.at {
            return Ok(());
        }
        let message = format!(
            "the {} answers, but so slowly that following the chain over it does not end; use \
             another one, or allow more time",
            S::KIND
        );
        Err(server.error(ErrorKind::Timeout, message))
    }

    fn deadline(&self) -> MutexGuard<'_, Option<Deadline>> {
        // It is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        *self.0.deadline() = None;
    }
}
