//! Puts shadow mode together as it is configured: the log, the threads, the builds, the metrics.

use std::sync::Arc;

use btc_iface::{BitcoinError, BitcoinImplementationType, BitcoinResult, ErrorKind, Operation};
use btc_shadow::metrics::{BREAKER_OPEN, LOG_LOST_LINES, Metrics, QUEUE_DEPTH, serve};
use btc_shadow::sink::{FileSink, Rotation, Sink};
use btc_shadow::{OffPath, Policy, Sampling, Shadow, Status, Watch};

use crate::config::{Config, ShadowConfig};

/// Opens the configured log, rotated as configured.
///
/// # Errors
/// `Configuration`: it cannot be written.
pub fn open_log(shadow: &ShadowConfig) -> BitcoinResult<Arc<dyn Sink>> {
    let defaults = Rotation::default();
    let rotation = Rotation {
        max_file_bytes: shadow.log_max_bytes.unwrap_or(defaults.max_file_bytes),
        max_files: shadow.log_max_files.unwrap_or(defaults.max_files),
        compress: shadow.log_compress,
    };
    Ok(Arc::new(FileSink::with(&shadow.log_file, rotation)?))
}

/// How patiently is compared: as configured, or as in line where shadow mode is not configured.
pub(crate) fn policy(config: &Config) -> Policy {
    match &config.shadow {
        Some(shadow) if !shadow.is_inline => Policy {
            recheck_after_ms: shadow.recheck_after_ms.clone(),
        },
        _ => Policy::default(),
    }
}

/// The configured bounds of comparisons off the caller's path.
///
/// # Errors
/// `Configuration`: `SHADOW_SAMPLING` names no operation, or no share.
pub fn off_path(shadow: &ShadowConfig) -> BitcoinResult<OffPath> {
    let defaults = OffPath::default();
    let sampling = match &shadow.sampling {
        None => defaults.sampling.clone(),
        Some(text) => Sampling::parse(text).map_err(|cause| {
            let message = "SHADOW_SAMPLING is not allowed; use shares as in 10%, or \
                           get_block=10%,get_transaction=50%";
            BitcoinError::new(ErrorKind::Configuration, Operation::Configure, message)
                .with_source(cause)
        })?,
    };
    Ok(OffPath {
        workers: count(shadow.workers, defaults.workers),
        queue_calls: count(shadow.queue, defaults.queue_calls),
        timeout: shadow.timeout.unwrap_or(defaults.timeout),
        sampling,
        ..defaults
    })
}

fn count(set: Option<u32>, default: usize) -> usize {
    set.map_or(default, |count| usize::try_from(count).unwrap_or(default))
}

/// Names the builds of a shadow.
pub(crate) fn named(config: &Config, shadow: Shadow) -> Shadow {
    let [primary, secondary] = shadow.implementations().map(|side| build(config, side));
    shadow.with_builds(primary, secondary)
}

/// What an implementation's build is called: its version, for Python its class and the packages
/// that this stands on, and what the operator calls it.
fn build(config: &Config, implementation: BitcoinImplementationType) -> String {
    let mut name = env!("CARGO_PKG_VERSION").to_owned();
    if implementation == BitcoinImplementationType::Python {
        let class = config.python.backend.as_deref();
        name = format!(
            "{name} {}",
            class.unwrap_or("btc_legacy.backend:LegacyBackend")
        );
        #[cfg(feature = "python-bitcoin")]
        {
            let venv = config.python.venv.clone();
            let venv = venv.unwrap_or_else(btc_python::PythonConfig::default_venv);
            let packages = btc_python::installed_packages(&venv);
            if !packages.is_empty() {
                name = format!("{name} {packages}");
            }
        }
    }
    match config
        .shadow
        .as_ref()
        .and_then(|shadow| shadow.build_id.as_deref())
    {
        Some(id) => format!("{name} {id}"),
        None => name,
    }
}

/// Starts shadows as configured: off the caller's path unless said otherwise, with metrics over
/// all of them if they are to be served, which the last one keeps.
pub(crate) fn started<const N: usize>(
    config: &ShadowConfig,
    shadows: [Shadow; N],
    log: &Arc<dyn Sink>,
    watchers: &[Arc<dyn Watch>],
) -> BitcoinResult<[Shadow; N]> {
    let books = shadows.iter().map(Shadow::books).collect();
    let metrics = config
        .metrics
        .map(|at| (at, Arc::new(Metrics::of_runs(books))));
    let mut watchers = watchers.to_vec();
    if let Some((_, metrics)) = &metrics {
        watchers.push(Arc::clone(metrics) as Arc<dyn Watch>);
    }
    let off_path = off_path(config)?;
    let start = |shadow: Shadow| {
        let shadow = shadow.watched_by(watchers.clone());
        if config.is_inline {
            Ok(shadow)
        } else {
            shadow.off_path(off_path.clone())
        }
    };
    let started: BitcoinResult<Vec<_>> = shadows.into_iter().map(start).collect();
    let mut started = started?;
    if let Some((address, metrics)) = metrics {
        add_gauges(&metrics, &started, log)?;
        let server = serve(address, metrics)?;
        if let Some(last) = started.pop() {
            started.push(last.along_with(server));
        }
    }
    started.try_into().map_err(|_| {
        let message = "a shadow was lost while it was started; this is a defect of btc";
        BitcoinError::new(ErrorKind::Internal, Operation::Connect, message)
    })
}

fn add_gauges(metrics: &Metrics, shadows: &[Shadow], log: &Arc<dyn Sink>) -> BitcoinResult<()> {
    let handles: Vec<_> = shadows.iter().map(Shadow::watch_status).collect();
    let sum = |of: fn(Status) -> usize| {
        let handles = handles.clone();
        let read = move || -> usize {
            let statuses = handles.iter().filter_map(|status| status());
            statuses.map(of).sum()
        };
        Box::new(move || gauge(read()))
    };
    metrics.gauge(
        QUEUE_DEPTH,
        "Calls that wait to be compared.",
        sum(|status| status.queued),
    )?;
    metrics.gauge(
        BREAKER_OPEN,
        "How many routes leave their secondary alone.",
        sum(|status| usize::from(status.is_breaker_open)),
    )?;
    let log = Arc::clone(log);
    metrics.gauge(
        LOG_LOST_LINES,
        "Lines that the log took and lost afterwards.",
        Box::new(move || gauge(usize::try_from(log.lost_lines()).unwrap_or(usize::MAX))),
    )
}

/// A count as Prometheus takes it.
fn gauge(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
