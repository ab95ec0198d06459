//! Peers that cannot serve: each gives its own error, and none a hang.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bitcoin::consensus::serialize;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Address, ServiceFlags};
use btc_iface::{BitcoinError, ErrorKind, Network};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource, handshake};

use crate::setup::{config, node, peer, source, wait_until};
use crate::wallet::Pocket;

const SHORT: Duration = Duration::from_secs(2);

fn refused(config: P2pConfig) -> BitcoinError {
    let source = P2pSource::start(config).expect("a right configuration");
    let mut pocket = Pocket::new("refused");
    pocket.follow(&source).expect_err("the peer cannot serve")
}

/// A peer that does to each connection what it is told, until the test ends.
fn fake(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let treat = std::sync::Arc::new(treat);
        for stream in listener.incoming().flatten() {
            let treat = std::sync::Arc::clone(&treat);
            std::thread::spawn(move || treat(stream));
        }
    });
    address
}

fn short(address: SocketAddr) -> P2pConfig {
    P2pConfig {
        timeout: SHORT,
        ..config(vec![address.to_string()])
    }
}

fn message(payload: NetworkMessage) -> Vec<u8> {
    serialize(&RawNetworkMessage::new(Network::Regtest.magic(), payload))
}

fn version(user_agent: &str) -> NetworkMessage {
    let nobody = Address::new(&([127, 0, 0, 1], 1).into(), ServiceFlags::NONE);
    let mut version = VersionMessage::new(
        ServiceFlags::NETWORK | ServiceFlags::COMPACT_FILTERS,
        0,
        nobody.clone(),
        nobody,
        1,
        user_agent.to_owned(),
        7,
    );
    version.version = 70016;
    NetworkMessage::Version(version)
}

#[test]
fn a_wrong_configuration_is_told_at_once() {
    let wrong = [
        config(Vec::new()),
        P2pConfig {
            required_peers: 0,
            ..config(vec!["127.0.0.1:1".to_owned()])
        },
        P2pConfig {
            required_peers: 2,
            ..config(vec!["127.0.0.1:1".to_owned()])
        },
    ];
    for config in wrong {
        let error = P2pSource::start(config).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
}

#[test]
fn nobody_at_the_address() {
    let node = node();
    let config = config(vec![peer(&node)]);
    node.stop().expect("it stops");
    let error = refused(config);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("-peerblockfilters=1"), "{error}");
}

#[test]
fn a_node_that_dies_between_two_calls() {
    let node = node();
    let mut pocket = Pocket::new("dies");
    Chain::new(&node, 1)
        .expect("a chain")
        .mine(3)
        .expect("blocks");
    let source = source(&node);
    pocket.follow(&source).expect("the scan ends");
    node.kill9().expect("it runs");
    for _ in 0..2 {
        let error = pocket.follow(&source).expect_err("nobody serves");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert!(source.tip().is_err());
    assert!(source.peers().expect("an empty list").is_empty());
    node.restart().expect("it starts again");
    // What it had not written is gone, so that it needs more blocks than the wallet knows.
    Chain::new(&node, 2)
        .expect("a chain")
        .mine(4)
        .expect("blocks");
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&node);
}

#[test]
fn a_node_without_filters() {
    let node = Node::builder().listen(true).start().expect("a node starts");
    Chain::new(&node, 1)
        .expect("a chain")
        .mine(3)
        .expect("blocks");
    let error = refused(config(vec![peer(&node)]));
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.message().contains("-blockfilterindex=1"), "{error}");
}

#[test]
fn fewer_peers_than_required() {
    let (first, second) = (node(), node());
    let peers = vec![peer(&first), peer(&second)];
    second.stop().expect("it stops");
    let error = refused(P2pConfig {
        required_peers: 2,
        ..config(peers)
    });
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().starts_with("1 of 2"), "{error}");
}

#[test]
fn a_node_on_another_network() {
    let node = node();
    let error = refused(P2pConfig {
        network: Network::Signet,
        ..config(vec![peer(&node)])
    });
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("is on regtest"), "{error}");
    let error = handshake(&peer(&node), Network::Bitcoin, SHORT).expect_err("another network");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

#[test]
fn the_port_of_the_rpc() {
    let node = node();
    let error = refused(short(([127, 0, 0, 1], node.rpc_port()).into()));
    // It waits for the end of a request, or complains about what came.
    let expected = [ErrorKind::Timeout, ErrorKind::InvalidResponse];
    assert!(expected.contains(&error.kind()), "{error}");
    assert!(error.message().contains("not that of its RPC"), "{error}");
}

#[test]
fn a_frozen_node() {
    let node = node();
    node.pause().expect("it runs");
    let address = node.p2p_address().expect("it listens");
    let error = refused(short(address));
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    node.resume().expect("it runs");
}

#[test]
fn a_node_that_freezes_between_two_calls() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    chain.mine(3).expect("blocks");
    let mut pocket = Pocket::new("freezes");
    let address = node.p2p_address().expect("it listens");
    let source = P2pSource::start(short(address)).expect("a right configuration");
    pocket.follow(&source).expect("the scan ends");
    node.pause().expect("it runs");
    let error = pocket.follow(&source).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    node.resume().expect("it runs");
    chain.mine(3).expect("blocks");
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&node);
}

#[test]
fn peers_that_talk_nonsense() {
    let noise = fake(|mut stream| {
        let _ = stream.write_all(&[0x5a; 4096]);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let endless = fake(|mut stream| {
        let mut head = message(NetworkMessage::Verack);
        head[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        let _ = stream.write_all(&head);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let garbled = fake(|mut stream| {
        let mut bytes = message(version("/garbled/"));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let _ = stream.write_all(&bytes);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let chatty = fake(|mut stream| {
        let ping = message(NetworkMessage::SendHeaders);
        while stream.write_all(&ping).is_ok() {}
    });
    for address in [noise, endless, garbled, chatty] {
        let error = refused(short(address));
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    }
    let dripping = fake(|mut stream| {
        for byte in message(version("/drip/")) {
            std::thread::sleep(Duration::from_millis(200));
            if stream.write_all(&[byte]).is_err() {
                break;
            }
        }
    });
    let error = refused(short(dripping));
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[test]
fn a_peer_that_promises_and_does_not_serve() {
    let mute = fake(|mut stream| {
        let _ = stream.write_all(&message(version("/mute\n/")));
        let _ = stream.write_all(&message(NetworkMessage::Verack));
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let peer = handshake(&mute.to_string(), Network::Regtest, SHORT).expect("it says hello");
    assert_eq!(peer.user_agent.as_deref(), Some("/mute/"));
    let error = refused(short(mute));
    assert!(error.kind().is_transport(), "{error}");
}

#[test]
fn a_handshake_tells_who_the_peer_is() {
    let node = node();
    Chain::new(&node, 1)
        .expect("a chain")
        .mine(4)
        .expect("blocks");
    let hello = || handshake(&peer(&node), Network::Regtest, SHORT).expect("it answers");
    wait_until("the node tells its height", || {
        hello().start_height == Some(4)
    });
    let found = hello();
    assert_eq!(found.address, peer(&node));
    assert!(found.user_agent.expect("an agent").starts_with("/Satoshi:"));
    let info: serde_json::Value = node.call("getnetworkinfo", &[]).expect("it answers");
    assert_eq!(info["localservices"], serde_json::json!(found.services));
    assert_eq!(
        source(&node).peers().expect("one")[0].services,
        found.services
    );
}
