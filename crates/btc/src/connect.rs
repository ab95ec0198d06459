//! Puts the configured parts together.

use std::sync::Arc;

use btc_iface::{
    BitcoinError, BitcoinImplementationType, BitcoinInterface, BitcoinResult, ErrorKind,
    FeeEstimator, NodeConfig, Operation,
};

use crate::config::Config;

/// Connects to the configured node through the configured implementation, in shadow mode if that
/// is on.
///
/// # Errors
/// `Configuration`: no node is configured, this build lacks what is asked for, or the node is on
/// another network. `Unavailable`, `Timeout`, `Auth`: the node cannot be asked.
pub fn connect(config: &Config) -> BitcoinResult<Arc<dyn BitcoinInterface>> {
    match &config.shadow {
        None => connect_to(config, config.implementation),
        #[cfg(feature = "shadow")]
        Some(shadow) => {
            let open_log = || {
                let sink = btc_shadow::sink::FileSink::open(&shadow.log_file)?;
                Ok(Box::new(sink) as Box<dyn btc_shadow::sink::Sink>)
            };
            let shadow = connect_shadow(config, config.implementation, open_log, shadow.log_all)?;
            Ok(Arc::new(shadow))
        }
        #[cfg(not(feature = "shadow"))]
        Some(_) => Err(not_built("shadow mode", "shadow")),
    }
}

/// Connects through one implementation, without shadow mode.
///
/// # Errors
/// As [`connect`].
pub fn connect_to(
    config: &Config,
    implementation: BitcoinImplementationType,
) -> BitcoinResult<Arc<dyn BitcoinInterface>> {
    Ok(connect_whole(config, implementation)?)
}

/// Connects through the configured implementation for fee rates with their source. Shadow mode
/// compares no explanations: with it on, this is its primary, on its own.
///
/// # Errors
/// As [`connect`].
pub fn connect_fees(config: &Config) -> BitcoinResult<Arc<dyn FeeEstimator>> {
    Ok(connect_whole(config, config.implementation)?)
}

/// An implementation with all that it offers.
trait Whole: BitcoinInterface + FeeEstimator {}

impl<T: BitcoinInterface + FeeEstimator> Whole for T {}

fn connect_whole(
    config: &Config,
    implementation: BitcoinImplementationType,
) -> BitcoinResult<Arc<dyn Whole>> {
    let node = node(config)?;
    match implementation {
        #[cfg(feature = "rust-bitcoin")]
        BitcoinImplementationType::Rust => Ok(Arc::new(btc_rust::RustBitcoin::connect(node)?)),
        #[cfg(feature = "python-bitcoin")]
        BitcoinImplementationType::Python => Ok(Arc::new(btc_python::PythonBitcoin::connect(
            &python_config(config, node),
        )?)),
        #[allow(
            unreachable_patterns,
            reason = "reached when a backend is not built in"
        )]
        other => {
            let _ = node;
            Err(not_built(
                &format!("the {other} implementation"),
                &format!("{other}-bitcoin"),
            ))
        }
    }
}

/// Connects through both implementations, in shadow mode with this primary. The log is opened
/// once both are there, so that a failure to connect leaves no empty one.
///
/// # Errors
/// As [`connect`].
#[cfg(feature = "shadow")]
pub fn connect_shadow(
    config: &Config,
    primary: BitcoinImplementationType,
    open_log: impl FnOnce() -> BitcoinResult<Box<dyn btc_shadow::sink::Sink>>,
    log_all: bool,
) -> BitcoinResult<btc_shadow::Shadow> {
    let secondary = match primary {
        BitcoinImplementationType::Python => BitcoinImplementationType::Rust,
        _ => BitcoinImplementationType::Python,
    };
    let policy = btc_shadow::Policy::default();
    let (primary, secondary) = (connect_to(config, primary)?, connect_to(config, secondary)?);
    Ok(btc_shadow::Shadow::new(
        primary,
        secondary,
        policy,
        open_log()?,
        log_all,
    ))
}

fn node(config: &Config) -> BitcoinResult<&NodeConfig> {
    config.node.as_ref().ok_or_else(|| {
        BitcoinError::new(
            ErrorKind::Configuration,
            Operation::Connect,
            "no node is configured; set BITCOIN_NETWORK and BITCOIN_RPC_URL",
        )
    })
}

#[cfg(feature = "python-bitcoin")]
fn python_config(config: &Config, node: &NodeConfig) -> btc_python::PythonConfig {
    use btc_python::{PythonConfig, PythonMode};

    use crate::config::Limit;

    let settings = &config.python;
    let mode = if settings.is_worker {
        PythonMode::Worker
    } else {
        PythonMode::Embedded
    };
    let mut python = PythonConfig::new(node.clone(), mode);
    if let Some(backend) = &settings.backend {
        python.backend.clone_from(backend);
    }
    if let Some(venv) = &settings.venv {
        python.venv.clone_from(venv);
    }
    match settings.timeout {
        Limit::Default => {}
        Limit::None => python.timeout = None,
        Limit::After(limit) => python.timeout = Some(limit),
    }
    python
}

#[allow(dead_code, reason = "not needed in a build with every feature")]
fn not_built(what: &str, feature: &str) -> BitcoinError {
    let message = format!("this build has not {what}; enable the feature `{feature}` of btc");
    BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
}
