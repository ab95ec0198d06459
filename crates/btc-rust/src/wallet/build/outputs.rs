//! Outputs: addresses to scripts, amounts that are no dust.

use std::str::FromStr;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Amount, Script, ScriptBuf, TxOut};
use btc_iface::types::network;
use btc_iface::{AddressType, BitcoinResult, Network};

use super::{MAX_MONEY_SAT, wrong};

/// Reads an address and returns the script that pays to it.
///
/// # Errors
/// `InvalidInput`: not an address, or of another network.
pub fn parse_address(network: Network, text: &str) -> BitcoinResult<ScriptBuf> {
    let address = Address::<NetworkUnchecked>::from_str(text).map_err(|cause| {
        wrong("not a bitcoin address; check it, characters may be missing or swapped")
            .with_context("address", text)
            .with_source(cause)
    })?;
    let address = address.require_network(network).map_err(|cause| {
        let name = network::name(network);
        wrong(format!(
            "the address is of another network; use one of {name}"
        ))
        .with_context("address", text)
        .with_source(cause)
    })?;
    Ok(address.script_pubkey())
}

/// The smallest amount in satoshi that nodes relay in an output with this script: what spending it
/// would cost at 3 sat/vB (Bitcoin Core, `GetDustThreshold`).
pub fn dust_limit_sat(script_pubkey: &Script) -> u64 {
    script_pubkey.minimal_non_dust().to_sat()
}

/// The same for an output of the wallet's own.
pub(super) const fn change_dust_limit_sat(address_type: AddressType) -> u64 {
    match address_type {
        AddressType::P2shP2wpkh => 540,
        AddressType::P2wpkh => 294,
        AddressType::P2tr => 330,
        _ => 546,
    }
}

/// Reads and checks the outputs, each an address and an amount in satoshi, in their order.
///
/// # Errors
/// `InvalidInput`: an address as in [`parse_address`], an amount below the dust limit, amounts
/// that are more than 21,000,000 BTC together.
pub(super) fn parse_outputs<'a>(
    network: Network,
    outputs: impl IntoIterator<Item = (&'a str, u64)>,
) -> BitcoinResult<Vec<TxOut>> {
    let mut parsed = Vec::new();
    let mut sum_sat = 0_u64;
    for (address, value_sat) in outputs {
        let script_pubkey = parse_address(network, address)?;
        let limit_sat = dust_limit_sat(&script_pubkey);
        if value_sat < limit_sat {
            let message = format!("{value_sat} sat is dust; send {limit_sat} sat at least");
            return Err(wrong(message).with_context("address", address));
        }
        sum_sat = sum_sat.saturating_add(value_sat);
        parsed.push(TxOut {
            value: Amount::from_sat(value_sat),
            script_pubkey,
        });
    }
    if sum_sat > MAX_MONEY_SAT {
        return Err(wrong(
            "the outputs are worth more than the 21,000,000 BTC there can be",
        ));
    }
    Ok(parsed)
}

/// The sum of outputs that [`parse_outputs`] has checked, in satoshi.
pub(super) fn sum_sat(outputs: &[TxOut]) -> u64 {
    outputs
        .iter()
        .fold(0, |sum, it| sum.saturating_add(it.value.to_sat()))
}

#[cfg(test)]
mod tests {
    use btc_iface::ErrorKind;

    use super::*;

    fn limit(hex: &str) -> u64 {
        dust_limit_sat(&ScriptBuf::from_hex(hex).expect("a literal"))
    }

    #[test]
    fn dust_limits_are_those_of_the_nodes() {
        let hash = "11".repeat(20);
        let key = "11".repeat(32);
        for (address_type, script) in [
            (AddressType::P2pkh, format!("76a914{hash}88ac")),
            (AddressType::P2shP2wpkh, format!("a914{hash}87")),
            (AddressType::P2wpkh, format!("0014{hash}")),
            (AddressType::P2tr, format!("5120{key}")),
        ] {
            assert_eq!(limit(&script), change_dust_limit_sat(address_type));
        }
        assert_eq!(limit(&format!("76a914{hash}88ac")), 546);
        assert_eq!(limit(&format!("a914{hash}87")), 540);
        assert_eq!(limit(&format!("0014{hash}")), 294);
        assert_eq!(limit(&format!("0020{key}")), 330);
        assert_eq!(limit(&format!("5120{key}")), 330);
        assert_eq!(limit("51024e73"), 240);
        assert_eq!(limit(&format!("5228{key}1111111111111111")), 354);
    }

    #[test]
    fn addresses_stay_on_their_network() {
        let ours = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        assert!(parse_address(Network::Regtest, ours).is_ok());
        for (text, said) in [
            (
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                "another network",
            ),
            (
                "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt081",
                "not a bitcoin address",
            ),
            ("", "not a bitcoin address"),
        ] {
            let error = parse_address(Network::Regtest, text).expect_err(said);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.message().contains(said), "{error}");
        }
    }
}
