//! Puts a configured roll-out and the fallback together, over two implementations connected once.

use std::sync::Arc;

use btc_iface::{
    BitcoinError, BitcoinImplementationType, BitcoinInterface, BitcoinResult, ErrorKind, Operation,
};
use btc_shadow::rollout::{Control, Judge, Limits, StateFile, Tripwire};
use btc_shadow::{Fallback, Journal, Rollout, Watch};

use crate::config::{Config, RolloutConfig, RolloutLimits};
use crate::connect::{Whole, connect_both, shadow_over};
use crate::shadow_mode::{open_log, started};

/// The configured limits, with the defaults for what is not configured.
pub fn rollout_limits(rollout: &RolloutConfig) -> Limits {
    let defaults = Limits::default();
    let RolloutLimits {
        window,
        min_calls,
        max_failures_per_mille,
        max_p99_percent,
    } = &rollout.limits;
    Limits {
        window: window.unwrap_or(defaults.window),
        min_calls: min_calls.unwrap_or(defaults.min_calls),
        max_failures_per_mille: max_failures_per_mille.unwrap_or(defaults.max_failures_per_mille),
        max_p99_percent: max_p99_percent.unwrap_or(defaults.max_p99_percent),
        ..defaults
    }
}

/// Connects through both implementations and hands each call to one of them, as the state file
/// says; the other one shadows it, off the caller's path. A breach of `limits` rolls back;
/// [`rollout_limits`] are the configured ones.
///
/// # Errors
/// `Configuration`: no roll-out or no node is configured, this build lacks an implementation, or
/// the state file or the log cannot be used. `Unavailable`, `Timeout`, `Auth`: the node cannot be
/// asked.
pub fn connect_rollout(config: &Config, limits: Limits) -> BitcoinResult<Rollout> {
    let (Some(rollout), Some(shadow)) = (&config.rollout, &config.shadow) else {
        return Err(BitcoinError::new(
            ErrorKind::Configuration,
            Operation::Connect,
            "no roll-out is configured; set ROLLOUT_FILE, and leave SHADOW_MODE out",
        ));
    };
    // A wallet's folder is opened once, so both routes share what is connected.
    let [python, rust] = connect_both(config, BitcoinImplementationType::Python)?;
    let file = StateFile::new(&rollout.file);
    file.open()?;
    let log = open_log(shadow)?;
    let [python_journal, rust_journal] = [(); 2].map(|()| Arc::new(Journal::new(log.clone())));
    let control = Control::open(file, Some(Arc::clone(&python_journal)))?;
    let judge = Arc::new(Judge::new(Arc::clone(&control), limits));
    let over = |primary: &Arc<dyn Whole>, secondary: &Arc<dyn Whole>, journal: &Arc<Journal>| {
        let sink = Box::new(Arc::clone(journal));
        shadow_over(config, primary, secondary, sink, shadow.log_all)
    };
    let routes = [
        over(&python, &rust, &python_journal),
        over(&rust, &python, &rust_journal),
    ];
    let judge: Arc<dyn Watch> = judge;
    let [python_first, rust_first] = started(shadow, routes, &log, &[judge])?;
    let (python_first, rust_first) = (Arc::new(python_first), Arc::new(rust_first));
    let rust_first = Arc::new(Tripwire::new(rust_first, Arc::clone(&control)));
    Ok(Rollout::new(
        control,
        with_fallback(config, python_first, &rust, python_journal),
        with_fallback(config, rust_first, &python, rust_journal),
        rollout.key.clone().unwrap_or_else(host),
    ))
}

/// Connects through both implementations, the configured one first, in shadow mode if that is on.
pub(crate) fn connect_fallback(config: &Config) -> BitcoinResult<Arc<dyn BitcoinInterface>> {
    let [primary, other] = connect_both(config, config.implementation)?;
    let Some(shadow) = &config.shadow else {
        return Ok(Arc::new(Fallback::new(primary, other)));
    };
    let log = open_log(shadow)?;
    let journal = Arc::new(Journal::new(Arc::clone(&log)));
    let sink = Box::new(Arc::clone(&journal));
    let over = shadow_over(config, &primary, &other, sink, shadow.log_all);
    let [route] = started(shadow, [over], &log, &[])?;
    Ok(with_fallback(config, Arc::new(route), &other, journal))
}

fn with_fallback(
    config: &Config,
    route: Arc<dyn BitcoinInterface>,
    other: &Arc<dyn Whole>,
    journal: Arc<Journal>,
) -> Arc<dyn BitcoinInterface> {
    if !config.fallback {
        return route;
    }
    let other = Arc::clone(other) as Arc<dyn BitcoinInterface>;
    Arc::new(Fallback::new(route, other).noted_in(journal))
}

/// The key of this host, the same for every process on it: the name that the system gives it.
fn host() -> String {
    let system = rustix::system::uname();
    format!("btc@{}", system.nodename().to_string_lossy())
}
