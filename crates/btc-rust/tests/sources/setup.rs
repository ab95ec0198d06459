//! Nodes, and sources over them.

use std::time::Duration;

use bitcoin::{Amount, ScriptBuf};
use btc_iface::{BitcoinResult, Network};
use btc_regtest::{Chain, Node};
use btc_rust::wallet::source::electrum::{ElectrumConfig, ElectrumSource};
use btc_rust::wallet::source::esplora::{EsploraConfig, EsploraSource};
use btc_rust::wallet::source::p2p::{P2pConfig, P2pSource};
use serde_json::json;

use crate::scripted::Scripted;
use crate::wallet::Pocket;

/// How long a peer may be silent: long, since the machine may be busy.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A node that serves filters.
pub(crate) fn node() -> Node {
    let builder = Node::builder().listen(true).block_filters(true);
    builder.start().expect("a node starts")
}

/// Where its peers connect.
pub(crate) fn peer(node: &Node) -> String {
    node.p2p_address().expect("it listens").to_string()
}

pub(crate) fn config(peers: Vec<String>) -> P2pConfig {
    P2pConfig {
        peers,
        timeout: TIMEOUT,
        ..P2pConfig::new(Network::Regtest)
    }
}

/// How long a peer may be silent where that is what is tested.
pub(crate) const SHORT: Duration = Duration::from_millis(1_500);

/// A source over scripted peers, in this order.
pub(crate) fn over(peers: &[&Scripted], required_peers: u8) -> P2pSource {
    over_within(SHORT, peers, required_peers)
}

/// The same, with peers that may be silent for so long.
pub(crate) fn over_within(timeout: Duration, peers: &[&Scripted], required_peers: u8) -> P2pSource {
    let config = P2pConfig {
        timeout,
        required_peers,
        ..config(peers.iter().map(|peer| peer.host()).collect())
    };
    P2pSource::start(config).expect("a right configuration")
}

pub(crate) fn source(node: &Node) -> P2pSource {
    P2pSource::start(config(vec![peer(node)])).expect("a right configuration")
}

/// Connects to an Electrum server without TLS and proxy.
pub(crate) fn electrum(
    url: &str,
    network: Network,
    timeout: Duration,
) -> BitcoinResult<ElectrumSource> {
    ElectrumSource::connect(&ElectrumConfig {
        timeout,
        ..ElectrumConfig::new(url, network)
    })
}

/// Connects to an Esplora server of regtest without TLS and proxy.
pub(crate) fn esplora(url: &str, timeout: Duration) -> EsploraSource {
    let config = EsploraConfig {
        timeout,
        ..EsploraConfig::new(url, Network::Regtest)
    };
    EsploraSource::connect(&config).expect("it answers")
}

/// Pays scripts of the wallet, at these indices, in one transaction.
pub(crate) fn pay(chain: &mut Chain<'_>, pocket: &Pocket<'_>, indices: &[u32]) {
    let outputs: Vec<(ScriptBuf, Amount)> = indices
        .iter()
        .map(|index| {
            (
                pocket.script(*index),
                Amount::from_sat(100_000 + u64::from(*index)),
            )
        })
        .collect();
    chain.pay(&outputs, 2).expect("the node takes it");
}

/// Connects two nodes, and waits until the second has the chain of the first.
pub(crate) fn connect(first: &Node, second: &Node) {
    let arguments = [json!(peer(first)), json!("add")];
    // An error says that it is connected already.
    let _ = second.call::<()>("addnode", &arguments);
    let best: String = first.call("getbestblockhash", &[]).expect("it answers");
    wait_until("the second node has the chain", || {
        second
            .call::<String>("getbestblockhash", &[])
            .expect("it answers")
            == best
    });
}

/// Waits for something that must happen; how long it takes is not the test's business.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let is_so_soon = (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        is_so()
    });
    assert!(is_so_soon, "not within a minute: {what}");
}
