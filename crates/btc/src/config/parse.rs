//! Texts to typed values; an error says which values are allowed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use btc_iface::types::network;
use btc_iface::{BitcoinImplementationType, CoinSelection, FeeRate, Network};

use super::Limit;

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("use true or false".to_owned()),
    }
}

pub(super) fn implementation(text: &str) -> Result<BitcoinImplementationType, String> {
    match text {
        "python" => Ok(BitcoinImplementationType::Python),
        "rust" => Ok(BitcoinImplementationType::Rust),
        _ => Err("use python or rust".to_owned()),
    }
}

pub(super) fn is_worker(text: &str) -> Result<bool, String> {
    match text {
        "embedded" => Ok(false),
        "worker" => Ok(true),
        _ => Err("use embedded or worker".to_owned()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for all parsers")]
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(text.into())
}

pub(super) fn network(text: &str) -> Result<Network, String> {
    // The cause repeats the value, which the caller shows in part only.
    network::parse(text)
        .map_err(|_| "use mainnet, testnet3, testnet4, signet or regtest".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for all parsers")]
pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(super) fn python_class(text: &str) -> Result<String, String> {
    let is_name = |part: &str| {
        part.split('.').all(|name| {
            !name.is_empty()
                && name.chars().all(|c| c == '_' || c.is_alphanumeric())
                && !name.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    match text.split_once(':') {
        Some((module, class)) if is_name(module) && is_name(class) => Ok(text.to_owned()),
        _ => Err("use module:Class, as in btc_legacy.backend:LegacyBackend".to_owned()),
    }
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(secs @ 1..=3600) => Ok(Duration::from_secs(secs)),
        _ => Err("use whole seconds from 1 to 3600".to_owned()),
    }
}

/// A whole number within bounds, both included.
fn number(text: &str, low: u64, high: u64) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| format!("use a whole number from {low} to {high}"))
}

fn small_number(text: &str, low: u32, high: u32) -> Result<u32, String> {
    let number = number(text, low.into(), high.into())?;
    Ok(u32::try_from(number).unwrap_or(high))
}

pub(super) fn workers(text: &str) -> Result<u32, String> {
    small_number(text, 1, 64)
}

pub(super) fn queue(text: &str) -> Result<u32, String> {
    small_number(text, 1, 1 << 24)
}

pub(super) fn files(text: &str) -> Result<u32, String> {
    small_number(text, 2, 1_000)
}

pub(super) fn megabytes(text: &str) -> Result<u64, String> {
    Ok(number(text, 1, 1 << 20)? << 20)
}

pub(super) fn window(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(secs @ 1..=86_400) => Ok(Duration::from_secs(secs)),
        _ => Err("use whole seconds from 1 to 86400".to_owned()),
    }
}

pub(super) fn pending_hours(text: &str) -> Result<Option<Duration>, String> {
    let hours = number(text, 0, 336)?;
    Ok((hours > 0).then(|| Duration::from_secs(3_600 * hours)))
}

pub(super) fn calls(text: &str) -> Result<u64, String> {
    number(text, 1, 1_000_000)
}

/// A share in percent, to a tenth, as thousandths.
pub(super) fn per_mille(text: &str) -> Result<u32, String> {
    let parse = || {
        let number = text.strip_suffix('%')?;
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = is_digits(whole) && is_digits(tenth) && tenth.len() == 1;
        let whole: u32 = whole.parse().ok().filter(|_| is_number)?;
        let per_mille = whole.checked_mul(10)?.checked_add(tenth.parse().ok()?)?;
        (per_mille <= 1_000).then_some(per_mille)
    };
    parse().ok_or_else(|| "use a share from 0% to 100%, as in 1% or 0.5%".to_owned())
}

/// A ratio in percent, of at least one to one.
pub(super) fn ratio(text: &str) -> Result<u32, String> {
    let percent = text.strip_suffix('%').unwrap_or_default();
    small_number(percent, 100, 10_000)
        .map_err(|_| "use whole percent from 100% to 10000%, as in 150%".to_owned())
}

pub(super) fn waits(text: &str) -> Result<Vec<u64>, String> {
    let waits: Result<Vec<u64>, _> = text
        .split(',')
        .map(|wait| number(wait.trim(), 0, 600_000))
        .collect();
    waits
        .ok()
        .filter(|waits| waits.len() <= 10)
        .ok_or_else(|| "use up to ten numbers of milliseconds, as in 500,2000,10000".to_owned())
}

/// Shares of operations; which operations there are is for shadow mode to say.
pub(super) fn sampling(text: &str) -> Result<String, String> {
    let is_share = |part: &str| part.trim().ends_with('%');
    if text.split(',').all(is_share) {
        Ok(text.to_owned())
    } else {
        Err("use shares as in 10%, or get_block=10%,get_transaction=50%".to_owned())
    }
}

pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback())
        .ok_or_else(|| "use an address of this machine, as in 127.0.0.1:9332".to_owned())
}

pub(super) fn limit(text: &str) -> Result<Limit, String> {
    match text.parse() {
        Ok(0) => Ok(Limit::None),
        Ok(secs @ 1..=86_400) => Ok(Limit::After(Duration::from_secs(secs))),
        _ => Err("use whole seconds up to 86400, or 0 for no limit".to_owned()),
    }
}

pub(super) fn selection(text: &str) -> Result<CoinSelection, String> {
    text.parse().map_err(|_| {
        "use branch-and-bound, largest-first, oldest-first or single-random-draw".to_owned()
    })
}

/// A fee rate in whole sat/vB.
pub(super) fn fee_rate(text: &str) -> Result<FeeRate, String> {
    number(text, 1, 100_000_000).map(FeeRate::from_sat_per_vb)
}

pub(super) fn source(text: &str) -> Result<&'static str, String> {
    ["core", "p2p", "electrum", "esplora"]
        .into_iter()
        .find(|name| *name == text)
        .ok_or_else(|| "use core, p2p, electrum or esplora".to_owned())
}

pub(super) fn peers(text: &str) -> Result<Vec<String>, String> {
    let peers: Vec<String> = text.split(',').map(|peer| peer.trim().to_owned()).collect();
    if peers.iter().all(|peer| is_authority(peer)) {
        Ok(peers)
    } else {
        Err("use host:port, several separated by commas".to_owned())
    }
}

pub(super) fn electrum_url(text: &str) -> Result<String, String> {
    let authority = text
        .strip_prefix("tcp://")
        .or_else(|| text.strip_prefix("ssl://"));
    match authority {
        Some(authority) if is_authority(authority) => Ok(text.to_owned()),
        _ => Err("use ssl://host:port or tcp://host:port".to_owned()),
    }
}

pub(super) fn esplora_url(text: &str) -> Result<String, String> {
    let place = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match place {
        Some(place) if !place.is_empty() && !place.contains(['@', '?', '#', ' ']) => {
            Ok(text.to_owned())
        }
        _ => Err("use https://host/path".to_owned()),
    }
}

pub(super) fn authority(text: &str) -> Result<String, String> {
    if is_authority(text) {
        Ok(text.to_owned())
    } else {
        Err("use host:port".to_owned())
    }
}

fn is_authority(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(['/', '@', ' '])
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}
