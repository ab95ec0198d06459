//! Connecting: the right network, or a failure that says what to correct.

use std::net::TcpListener;

use btc_iface::{BitcoinInterface, ErrorKind, Network, NodeConfig, Operation};
use btc_rust::RustBitcoin;
use serde_json::json;

use crate::server::{Reply, Server};

fn refused(config: &NodeConfig) -> btc_iface::BitcoinError {
    let error = RustBitcoin::connect(config)
        .err()
        .expect("it cannot connect");
    assert_eq!(error.operation(), Operation::Connect);
    error
}

#[test]
fn each_network_is_known_by_cores_name() {
    for (network, chain) in [
        (Network::Bitcoin, "main"),
        (Network::Testnet, "test"),
        (Network::Testnet4, "testnet4"),
        (Network::Signet, "signet"),
        (Network::Regtest, "regtest"),
    ] {
        let server = Server::start(move |request, _| {
            (request.name == "getblockchaininfo")
                .then(|| Reply::Result(json!({ "chain": chain, "blocks": 1 })))
        });
        let right = NodeConfig {
            network,
            ..server.config()
        };
        let bitcoin = RustBitcoin::connect(&right).expect(chain);
        assert_eq!(
            bitcoin.implementation_type(),
            btc_iface::BitcoinImplementationType::Rust
        );
        let wrong = NodeConfig {
            network: match network {
                Network::Regtest => Network::Bitcoin,
                _ => Network::Regtest,
            },
            ..right
        };
        let error = refused(&wrong);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains(chain), "{error}");
        assert!(error.message().contains("BITCOIN_NETWORK"), "{error}");
    }
}

#[test]
fn a_chain_that_nobody_knows_is_refused() {
    for answer in [
        json!({ "chain": "liquid" }),
        json!({}),
        json!({ "chain": 1 }),
    ] {
        let server = Server::start(move |request, _| {
            (request.name == "getblockchaininfo").then(|| Reply::Result(answer.clone()))
        });
        let kind = refused(&server.config()).kind();
        assert!(
            matches!(kind, ErrorKind::Configuration | ErrorKind::InvalidResponse),
            "{kind}"
        );
    }
}

#[test]
fn a_url_that_cannot_be_used_is_an_error_of_configuration() {
    for url in [
        "",
        "https://node:1",
        "http://node",
        "http://a:b@node:1",
        "http://node:1/x",
    ] {
        let config = NodeConfig {
            url: url.to_owned(),
            ..NodeConfig::new(Network::Regtest)
        };
        assert_eq!(refused(&config).kind(), ErrorKind::Configuration, "{url}");
    }
}

#[test]
fn nobody_at_the_port_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let config = NodeConfig {
        url: format!("http://{free}"),
        ..NodeConfig::new(Network::Regtest)
    };
    let error = refused(&config);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("BITCOIN_RPC_URL"), "{error}");
}

#[test]
fn a_stranger_at_the_port_is_an_invalid_response() {
    let server = Server::start(|_, _| Some(Reply::Http(200, b"<html></html>".to_vec())));
    assert_eq!(refused(&server.config()).kind(), ErrorKind::InvalidResponse);
}
