//! The stable names of all enums: as text, in JSON, and read back.

use std::fmt::Debug;

use btc_iface::types::network;
use btc_iface::{
    AddressType, BitcoinAddress, BitcoinImplementationType, ErrorKind, FeeEstimate, FeeSource,
    Network, Operation,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Checks a value's name in JSON in both directions.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, name: &str) {
    let json = serde_json::to_string(value).expect("a unit variant");
    assert_eq!(json, format!("\"{name}\""));
    let back: T = serde_json::from_str(&json).expect("its own output");
    assert_eq!(back, *value);
}

#[test]
fn error_kinds_have_these_names() {
    let names = [
        "not_found",
        "invalid_input",
        "rejected",
        "unavailable",
        "auth",
        "timeout",
        "unsupported",
        "configuration",
        "invalid_response",
        "internal",
    ];
    assert_eq!(ErrorKind::ALL.map(ErrorKind::as_str), names);
    for kind in ErrorKind::ALL {
        check(&kind, kind.as_str());
        assert_eq!(kind.to_string(), kind.as_str());
    }
}

#[test]
fn only_what_never_arrived_is_a_transport_failure() {
    let transport: Vec<_> = ErrorKind::ALL
        .into_iter()
        .filter(|kind| kind.is_transport())
        .collect();
    assert_eq!(transport, [ErrorKind::Unavailable, ErrorKind::Timeout]);
}

#[test]
fn operations_have_these_names() {
    let calls = [
        "get_transaction",
        "get_block",
        "get_block_height",
        "generate_address",
        "create_transaction",
        "broadcast_transaction",
        "get_balance",
        "estimate_fee",
    ];
    assert_eq!(Operation::CALLS.map(Operation::as_str), calls);
    let steps = [Operation::Configure, Operation::Connect, Operation::Log];
    assert_eq!(
        steps.map(Operation::as_str),
        ["configure", "connect", "log"]
    );
    for operation in Operation::CALLS.into_iter().chain(steps) {
        check(&operation, operation.as_str());
        assert_eq!(operation.to_string(), operation.as_str());
    }
}

#[test]
fn implementations_have_these_names() {
    for (implementation, name) in [
        (BitcoinImplementationType::Python, "python"),
        (BitcoinImplementationType::Rust, "rust"),
    ] {
        check(&implementation, name);
        assert_eq!(implementation.as_str(), name);
        assert_eq!(implementation.to_string(), name);
    }
}

#[test]
fn fee_sources_have_these_names_also_inside_an_estimate() {
    let names = ["core", "mempool", "minimum_relay"];
    assert_eq!(FeeSource::ALL.map(FeeSource::as_str), names);
    for source in FeeSource::ALL {
        check(&source, source.as_str());
        assert_eq!(source.to_string(), source.as_str());
    }
    let estimate = FeeEstimate {
        sat_per_vb: 3,
        source: FeeSource::MinimumRelay,
        floor_sat_per_vb: 3,
        target_blocks: 6,
    };
    let json = serde_json::to_value(estimate).expect("plain data");
    let expected = serde_json::json!({
        "sat_per_vb": 3, "source": "minimum_relay", "floor_sat_per_vb": 3, "target_blocks": 6,
    });
    assert_eq!(json, expected);
    let back: FeeEstimate = serde_json::from_value(json).expect("its own output");
    assert_eq!(back, estimate);
}

#[test]
fn address_types_have_these_names_and_no_others_are_read() {
    let names = ["p2pkh", "p2sh-p2wpkh", "p2wpkh", "p2tr"];
    assert_eq!(AddressType::ALL.map(AddressType::as_str), names);
    for address_type in AddressType::ALL {
        check(&address_type, address_type.as_str());
        assert_eq!(address_type.to_string(), address_type.as_str());
        assert_eq!(address_type.as_str().parse(), Ok(address_type));
    }
    for wrong in ["", "P2TR", "p2sh", "p2wsh", " p2tr"] {
        let error = wrong.parse::<AddressType>().expect_err(wrong).to_string();
        assert!(names.iter().all(|name| error.contains(name)), "{error}");
    }
}

#[test]
fn networks_are_written_by_name_in_an_address() {
    for (network, name) in [
        (Network::Bitcoin, "mainnet"),
        (Network::Testnet, "testnet3"),
        (Network::Testnet4, "testnet4"),
        (Network::Signet, "signet"),
        (Network::Regtest, "regtest"),
    ] {
        assert_eq!(network::name(network), name);
        let address = BitcoinAddress {
            address: "an address".to_owned(),
            address_type: AddressType::P2tr,
            network,
            script_pubkey: btc_iface::rust_bitcoin::ScriptBuf::from_bytes(vec![0x51, 0x20]),
            index: None,
        };
        let json = serde_json::to_value(&address).expect("an address is plain data");
        assert_eq!(json["network"], name);
        assert_eq!(json["script_pubkey"], "5120");
        let back: BitcoinAddress = serde_json::from_value(json).expect("its own output");
        assert_eq!(back, address);
    }
}

#[test]
fn an_unknown_name_is_refused_and_the_error_lists_the_known_ones() {
    for (error, known) in [
        (
            serde_json::from_str::<ErrorKind>("\"quantum\"").map(drop),
            "not_found",
        ),
        (
            serde_json::from_str::<Operation>("\"mine\"").map(drop),
            "get_block",
        ),
        (
            serde_json::from_str::<BitcoinImplementationType>("\"Rust\"").map(drop),
            "rust",
        ),
    ] {
        let text = error.expect_err("no such name").to_string();
        assert!(text.contains(known), "{text}");
    }
    let text = network::parse("testnet")
        .expect_err("which one?")
        .to_string();
    assert!(
        text.contains("testnet3") && text.contains("testnet4"),
        "{text}"
    );
}

#[test]
fn each_network_has_cores_port() {
    let ports = [
        (Network::Bitcoin, 8332),
        (Network::Testnet, 18332),
        (Network::Testnet4, 48332),
        (Network::Signet, 38332),
        (Network::Regtest, 18443),
    ];
    for (network, port) in ports {
        assert_eq!(network::default_rpc_port(network), port);
    }
}
