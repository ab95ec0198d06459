//! `Watch`: whether the node is well, from panics of its threads, its store, and the age of its view of the chain.

use std::panic;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use btc_iface::lightning::{Health, LightningErrorKind as Kind, LightningResult};

use crate::error::error;

/// The nodes of this process whose threads may panic.
static WATCHED: Mutex<Vec<Weak<Watch>>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

/// A node's health.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The name of this node's threads.
    thread_name: String,
    failed: OnceLock<String>,
    is_stopped: OnceLock<()>,
    chain: Mutex<View>,
    stale_after: Duration,
    changed: tokio::sync::watch::Sender<()>,
    /// When LDK last said something, or the node was made.
    heard: Mutex<Instant>,
}

/// When the node last saw the chain, by a clock that cannot be set back.
#[derive(Debug)]
struct View {
    stamp: Option<u64>,
    since: Instant,
    cause: String,
}

impl Watch {
    /// Watches the threads of that name from now on.
    pub(crate) fn new(thread_name: String, stale_after: Duration) -> Arc<Self> {
        let watch = Arc::new(Self {
            thread_name,
            failed: OnceLock::new(),
            is_stopped: OnceLock::new(),
            chain: Mutex::new(View {
                stamp: None,
                since: Instant::now(),
                cause: String::new(),
            }),
            stale_after,
            changed: tokio::sync::watch::channel(()).0,
            heard: Mutex::new(Instant::now()),
        });
        let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|other| other.strong_count() > 0);
        watched.push(Arc::downgrade(&watch));
        drop(watched);
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                before(info);
                report(&info.to_string());
            }));
        });
        watch
    }

    /// Says that going on is not safe. The first reason stays.
    pub(crate) fn fail(&self, cause: impl Into<String>) {
        let cause = cause.into();
        if self.failed.set(cause.clone()).is_ok() {
            tracing::error!("the Lightning node stops: {cause}");
            self.changed.send_replace(());
        }
    }

    /// Says that the node was stopped on request.
    pub(crate) fn stop(&self) {
        if self.is_stopped.set(()).is_ok() {
            self.changed.send_replace(());
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_stopped.get().is_some() || self.failed.get().is_some()
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Returns once the node has failed or stopped.
    pub(crate) async fn over(&self) {
        let mut changed = self.changed.subscribe();
        while !self.is_over() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Fails with `Stopped` once the node has failed or stopped.
    pub(crate) fn check(&self) -> LightningResult<()> {
        match (self.failed.get(), self.is_stopped.get()) {
            (Some(cause), _) => Err(error(
                Kind::Stopped,
                format!("the node has stopped: {cause}; start it again when that is mended"),
            )),
            (None, Some(())) => Err(error(Kind::Stopped, "the node was stopped")),
            (None, None) => Ok(()),
        }
    }

    /// Takes note of the time of the last successful look at the chain. It counts when it changes,
    /// not by what it says: clocks may be set back.
    pub(crate) fn saw_chain(&self, stamp: Option<u64>) {
        let mut view = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if view.stamp != stamp {
            view.stamp = stamp;
            view.since = Instant::now();
            view.cause.clear();
        }
    }

    /// Takes note that LDK said something, or begins to.
    pub(crate) fn hear(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long LDK has said nothing.
    pub(crate) fn heard(&self) -> Duration {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    /// Adds why the chain is not followed.
    pub(crate) fn explain_stale(&self, cause: String) {
        let mut view = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        view.cause = cause;
    }

    /// The state now.
    pub(crate) fn health(&self) -> Health {
        if let Some(cause) = self.failed.get() {
            return Health::Failed {
                cause: cause.clone(),
            };
        }
        let view = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let age = view.since.elapsed();
        if age <= self.stale_after {
            return Health::Well;
        }
        Health::ChainStale {
            seconds: age.as_secs(),
            cause: view.cause.clone(),
        }
    }
}

/// Tells the node to whom this thread belongs.
fn report(what: &str) {
    let thread = std::thread::current();
    let Some(name) = thread.name() else { return };
    // A lock that a panicking thread holds must not be waited for.
    let Ok(watched) = WATCHED.try_lock() else {
        return;
    };
    for watch in watched.iter().filter_map(Weak::upgrade) {
        if watch.thread_name == name {
            watch.fail(format!("a background task broke: {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_thread_of_the_node_is_seen_and_others_are_not() {
        let watch = Watch::new("ln-test-1".to_owned(), Duration::from_mins(1));
        let other = Watch::new("ln-test-2".to_owned(), Duration::from_mins(1));
        let thread = std::thread::Builder::new().name("ln-test-1".to_owned());
        let handle = thread
            .spawn(|| assert_eq!(1, 2, "on purpose"))
            .expect("a thread");
        assert!(handle.join().is_err());
        let refused = watch.check().expect_err("it failed");
        assert_eq!(refused.kind(), Kind::Stopped);
        assert!(refused.message().contains("on purpose"), "{refused}");
        assert!(matches!(watch.health(), Health::Failed { .. }));
        assert!(other.check().is_ok());
    }

    #[test]
    fn a_view_of_the_chain_ages_by_its_changes_and_not_by_what_it_says() {
        let watch = Watch::new("ln-test-3".to_owned(), Duration::from_millis(20));
        watch.saw_chain(Some(1_000));
        std::thread::sleep(Duration::from_millis(40));
        watch.saw_chain(Some(1_000));
        assert!(matches!(watch.health(), Health::ChainStale { .. }));
        // The clock was set back, and the chain is followed again.
        watch.saw_chain(Some(10));
        assert_eq!(watch.health(), Health::Well);
    }
}
