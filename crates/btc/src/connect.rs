//! Puts the configured parts together.

use std::sync::Arc;

use btc_iface::{
    BitcoinError, BitcoinImplementationType, BitcoinInterface, BitcoinResult, ErrorKind,
    FeeEstimator, NodeConfig, Operation, SnapshotWallet, WalletTwin,
};

use crate::config::Config;

/// Connects to the configured node through the configured implementation, in shadow mode, with a
/// roll-out and with the fallback where those are on. With a call log, every call is recorded.
///
/// # Errors
/// `Configuration`: no node is configured, this build lacks what is asked for, the node is on
/// another network, or the roll-out's state or the call log cannot be used. `Unavailable`,
/// `Timeout`, `Auth`: the node cannot be asked.
pub fn connect(config: &Config) -> BitcoinResult<Arc<dyn BitcoinInterface>> {
    let bitcoin = connect_unrecorded(config)?;
    match &config.call_log {
        None => Ok(bitcoin),
        #[cfg(feature = "shadow")]
        Some(path) => Ok(Arc::new(btc_shadow::replay::CallLog::open(bitcoin, path)?)),
        #[cfg(not(feature = "shadow"))]
        Some(_) => Err(not_built("the call log", "shadow")),
    }
}

fn connect_unrecorded(config: &Config) -> BitcoinResult<Arc<dyn BitcoinInterface>> {
    let rollout = config.rollout.as_ref().filter(|it| !it.is_overruled);
    match (rollout, &config.shadow, config.fallback) {
        (None, None, false) => connect_to(config, config.implementation),
        #[cfg(feature = "shadow")]
        (Some(rollout), _, _) => Ok(Arc::new(crate::rollout::connect_rollout(
            config,
            crate::rollout::rollout_limits(rollout),
        )?)),
        #[cfg(feature = "shadow")]
        (None, _, true) => crate::rollout::connect_fallback(config),
        #[cfg(feature = "shadow")]
        (None, Some(shadow), false) => {
            let [primary, secondary] = connect_both(config, config.implementation)?;
            let log = crate::shadow_mode::open_log(shadow)?;
            let sink = Box::new(Arc::clone(&log));
            let over = shadow_over(config, &primary, &secondary, sink, shadow.log_all);
            let [started] = crate::shadow_mode::started(shadow, [over], &log, &[])?;
            Ok(Arc::new(started))
        }
        #[cfg(not(feature = "shadow"))]
        (Some(_), _, _) => Err(not_built("roll-outs", "shadow")),
        #[cfg(not(feature = "shadow"))]
        (None, Some(_), _) => Err(not_built("shadow mode", "shadow")),
        #[cfg(not(feature = "shadow"))]
        (None, None, true) => Err(not_built("the fallback", "shadow")),
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

/// A wallet that shadow mode can have on either side: one that acts and says what on, and whose
/// twins have no effect.
pub trait ObservedWallet: SnapshotWallet + WalletTwin {}

impl<T: SnapshotWallet + WalletTwin> ObservedWallet for T {}

/// Connects through one implementation, with the wallet that is configured.
///
/// # Errors
/// As [`connect`].
pub fn connect_observed(
    config: &Config,
    implementation: BitcoinImplementationType,
) -> BitcoinResult<Arc<dyn ObservedWallet>> {
    Ok(connect_whole(config, implementation)?)
}

/// An implementation with all that it offers.
pub(crate) trait Whole: ObservedWallet + FeeEstimator {}

impl<T: ObservedWallet + FeeEstimator> Whole for T {}

pub(crate) fn connect_whole(
    config: &Config,
    implementation: BitcoinImplementationType,
) -> BitcoinResult<Arc<dyn Whole>> {
    let node = node(config)?;
    match implementation {
        #[cfg(feature = "rust-bitcoin")]
        BitcoinImplementationType::Rust => {
            #[cfg(not(feature = "wallet"))]
            if config.wallet.is_some() {
                return Err(not_built("the Rust wallet", "wallet"));
            }
            let rust = btc_rust::RustBitcoin::connect(node)?;
            #[cfg(feature = "wallet")]
            let rust = match &config.wallet {
                Some(_) => rust.with_wallet(crate::wallet::connect_wallet(config)?),
                None => rust,
            };
            Ok(Arc::new(rust))
        }
        #[cfg(feature = "python-bitcoin")]
        BitcoinImplementationType::Python => Ok(Arc::new(btc_python::PythonBitcoin::connect(
            &python_config(config, node)?,
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
    let [primary, secondary] = connect_both(config, primary)?;
    Ok(shadow_over(
        config,
        &primary,
        &secondary,
        open_log()?,
        log_all,
    ))
}

/// Connects through both implementations, this one first.
#[cfg(feature = "shadow")]
pub(crate) fn connect_both(
    config: &Config,
    first: BitcoinImplementationType,
) -> BitcoinResult<[Arc<dyn Whole>; 2]> {
    let second = match first {
        BitcoinImplementationType::Python => BitcoinImplementationType::Rust,
        _ => BitcoinImplementationType::Python,
    };
    Ok([
        connect_whole(config, first)?,
        connect_whole(config, second)?,
    ])
}

/// Shadow mode over two implementations that are connected, with the wallet if there is one.
#[cfg(feature = "shadow")]
pub(crate) fn shadow_over(
    config: &Config,
    primary: &Arc<dyn Whole>,
    secondary: &Arc<dyn Whole>,
    sink: Box<dyn btc_shadow::sink::Sink>,
    log_all: bool,
) -> btc_shadow::Shadow {
    let (primary, secondary) = (Arc::clone(primary), Arc::clone(secondary));
    let shadow = btc_shadow::Shadow::new(
        Arc::clone(&primary) as Arc<dyn BitcoinInterface>,
        Arc::clone(&secondary) as Arc<dyn BitcoinInterface>,
        crate::shadow_mode::policy(config),
        sink,
        log_all,
    );
    let shadow = crate::shadow_mode::named(config, shadow);
    if config.wallet.is_none() {
        return shadow;
    }
    let twin = Arc::clone(&primary) as Arc<dyn WalletTwin>;
    shadow.with_wallet(primary, secondary, Some(twin))
}

pub(crate) fn node(config: &Config) -> BitcoinResult<&NodeConfig> {
    config.node.as_ref().ok_or_else(|| {
        BitcoinError::new(
            ErrorKind::Configuration,
            Operation::Connect,
            "no node is configured; set BITCOIN_NETWORK and BITCOIN_RPC_URL",
        )
    })
}

#[cfg(feature = "python-bitcoin")]
fn python_config(config: &Config, node: &NodeConfig) -> BitcoinResult<btc_python::PythonConfig> {
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
        python = python.with_venv(venv);
    }
    match settings.timeout {
        Limit::Default => {}
        Limit::None => python.timeout = None,
        Limit::After(limit) => python.timeout = Some(limit),
    }
    if let Some(wallet) = &config.wallet {
        python.wallet = Some(python_wallet(wallet)?);
        if settings.is_worker {
            // One process may have the wallet open.
            python.max_lanes = 1;
        }
    }
    Ok(python)
}

/// The wallet with its words, when they can be had; else Python watches.
#[cfg(all(feature = "python-bitcoin", feature = "wallet"))]
fn python_wallet(
    settings: &crate::config::WalletSettings,
) -> BitcoinResult<btc_python::PythonWallet> {
    use btc_rust::wallet::{folder::Folder, secret};

    let (file, _) = Folder::peek(&settings.dir)?;
    let passphrase = settings.passphrase.as_ref();
    let can_unlock = passphrase.is_some() || !secret::is_encrypted(&settings.dir);
    let secret = (secret::exists(&settings.dir) && can_unlock)
        .then(|| secret::reveal(&settings.dir, &file, passphrase))
        .transpose()?;
    let (words, passphrase) = secret
        .map(|secret| (secret.words, secret.passphrase))
        .unzip();
    Ok(btc_python::PythonWallet {
        dir: settings.dir.clone(),
        words,
        passphrase,
        max_fee_rate: max_fee_rate(settings),
    })
}

/// The wallet without its words: what decrypts them is part of the Rust wallet. A passphrase
/// that could not be used is an error, since the wallet would only watch.
#[cfg(all(feature = "python-bitcoin", not(feature = "wallet")))]
fn python_wallet(
    settings: &crate::config::WalletSettings,
) -> BitcoinResult<btc_python::PythonWallet> {
    if settings.passphrase.is_some() {
        return Err(not_built(
            "what unlocks a wallet with WALLET_PASSPHRASE or WALLET_PASSPHRASE_FILE",
            "wallet",
        ));
    }
    Ok(btc_python::PythonWallet {
        dir: settings.dir.clone(),
        words: None,
        passphrase: None,
        max_fee_rate: max_fee_rate(settings),
    })
}

/// In whole sat/vB, as the eight operations have it.
#[cfg(feature = "python-bitcoin")]
fn max_fee_rate(settings: &crate::config::WalletSettings) -> Option<u64> {
    settings
        .max_fee_rate
        .map(btc_iface::FeeRate::sat_per_vb_ceil)
}

#[allow(dead_code, reason = "not needed in a build with every feature")]
pub(crate) fn not_built(what: &str, feature: &str) -> BitcoinError {
    let message =
        format!("this build does not include {what}; enable the feature `{feature}` of btc");
    BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
}
