//! Which node is configured, where it is, and how to log in.

use std::path::Path;

use btc::{Credentials, ErrorKind, Network, NodeConfig};

use crate::sources::{environment, printed, read, refused};

fn node(variables: &[(&str, &str)]) -> NodeConfig {
    environment(variables).node.expect("a node")
}

#[test]
fn a_network_alone_is_a_node_on_this_machine_at_cores_port() {
    for (name, network, port) in [
        ("mainnet", Network::Bitcoin, 8332),
        ("testnet3", Network::Testnet, 18332),
        ("testnet4", Network::Testnet4, 48332),
        ("signet", Network::Signet, 38332),
        ("regtest", Network::Regtest, 18443),
    ] {
        let node = node(&[("BITCOIN_NETWORK", name)]);
        assert_eq!(node.network, network);
        assert_eq!(node.url, format!("http://127.0.0.1:{port}"));
        assert_eq!(node.credentials, Credentials::None);
    }
}

#[test]
fn a_node_needs_its_network() {
    for (name, value) in [
        ("BITCOIN_RPC_URL", "http://127.0.0.1:18443"),
        ("BITCOIN_RPC_USER", "alice"),
        ("BITCOIN_RPC_PASSWORD", "hunter2"),
        ("BITCOIN_RPC_COOKIE_FILE", "/cookie"),
    ] {
        let text = printed(&refused(&[(name, value)]));
        assert!(text.contains("BITCOIN_NETWORK"), "{text}");
        assert!(
            text.contains("testnet4") && !text.contains("hunter2"),
            "{text}"
        );
    }
    // How long a request may take names no node.
    let config = environment(&[("BITCOIN_RPC_TIMEOUT_SECS", "5")]);
    assert_eq!(config.node, None);
}

#[test]
fn a_url_is_http_with_host_and_port_and_nothing_else() {
    let with = |url| [("BITCOIN_NETWORK", "regtest"), ("BITCOIN_RPC_URL", url)];
    for url in [
        "http://127.0.0.1:18443",
        "http://[::1]:1",
        "http://node:65535/",
    ] {
        assert_eq!(node(&with(url)).url, url);
    }
    for (url, said) in [
        ("https://node:1", "http://"),
        ("node:1", "http://"),
        ("HTTP://node:1", "http://"),
        ("http://alice:hunter2@node:1", "credentials"),
        ("http://node:1/wallet/hot", "path"),
        ("http://node:1?a", "path"),
        ("http://node", "port"),
        ("http://node:0", "port"),
        ("http://node:65536", "port"),
        ("http://:1", "host"),
    ] {
        let error = refused(&with(url));
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = printed(&error);
        assert!(
            text.contains("BITCOIN_RPC_URL") && text.contains(said),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_default_cookie_is_cores_own_for_a_node_on_this_machine() {
    let with = |network: &str, url: &str| {
        let variables = [
            ("HOME", "/home/a"),
            ("BITCOIN_NETWORK", network),
            ("BITCOIN_RPC_URL", url),
        ];
        node(&variables).credentials
    };
    for (network, path) in [
        ("mainnet", "/home/a/.bitcoin/.cookie"),
        ("testnet3", "/home/a/.bitcoin/testnet3/.cookie"),
        ("testnet4", "/home/a/.bitcoin/testnet4/.cookie"),
        ("signet", "/home/a/.bitcoin/signet/.cookie"),
        ("regtest", "/home/a/.bitcoin/regtest/.cookie"),
    ] {
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            let Credentials::CookieFile(found) = with(network, &format!("http://{host}:1")) else {
                unreachable!("{network} on {host} has no cookie");
            };
            assert_eq!(found, Path::new(path));
        }
        assert_eq!(with(network, ""), Credentials::CookieFile(path.into()));
        // Another machine's cookie is not here.
        assert_eq!(with(network, "http://10.0.0.1:1"), Credentials::None);
    }
}

#[test]
fn user_and_password_belong_together_and_exclude_a_cookie() {
    let base = ("BITCOIN_NETWORK", "regtest");
    let user = ("BITCOIN_RPC_USER", "alice");
    let password = ("BITCOIN_RPC_PASSWORD", "hunter2");
    let cookie = ("BITCOIN_RPC_COOKIE_FILE", "/cookie");
    let Credentials::UserPassword {
        user: named,
        password: secret,
    } = node(&[base, user, password]).credentials
    else {
        unreachable!("user and password are set");
    };
    assert_eq!((named.as_str(), secret.expose()), ("alice", "hunter2"));
    let named = node(&[base, cookie, ("HOME", "/home/a")]).credentials;
    assert_eq!(named, Credentials::CookieFile("/cookie".into()));
    for (wrong, said) in [
        (vec![base, user], "BITCOIN_RPC_PASSWORD"),
        (vec![base, password], "BITCOIN_RPC_USER"),
        (
            vec![base, user, password, cookie],
            "BITCOIN_RPC_COOKIE_FILE",
        ),
        (vec![base, user, cookie], "BITCOIN_RPC_COOKIE_FILE"),
        (vec![base, password, cookie], "BITCOIN_RPC_COOKIE_FILE"),
    ] {
        let error = refused(&wrong);
        assert_eq!(error.kind(), ErrorKind::Configuration);
        let text = printed(&error);
        assert!(text.contains(said) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_password_of_the_environment_completes_the_user_of_the_file() {
    let text = "bitcoin_network = 'regtest'\nbitcoin_rpc_user = 'alice'\n";
    let config = read(&[("BITCOIN_RPC_PASSWORD", "hunter2")], Some(text)).expect("allowed");
    assert!(!format!("{config:?}").contains("hunter2"));
    let node = config.node.expect("a node");
    assert!(matches!(node.credentials, Credentials::UserPassword { .. }));
}
