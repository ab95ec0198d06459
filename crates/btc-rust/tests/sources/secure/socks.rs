//! A real Electrum server through a SOCKS5 proxy.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use btc_iface::{BitcoinResult, ErrorKind, Network};
use btc_regtest::{Chain, ElectrumServer};
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::electrum::{ElectrumConfig, ElectrumSource};

use super::front::{self, Identity};
use super::proxy::{NAME, Proxy};
use crate::lies::scene::node;
use crate::setup::pay;
use crate::wallet::Pocket;

const SHORT: Duration = Duration::from_secs(5);

fn connect(
    url: &str,
    proxy: SocketAddr,
    cert_file: Option<PathBuf>,
) -> BitcoinResult<ElectrumSource> {
    ElectrumSource::connect(&ElectrumConfig {
        timeout: SHORT,
        cert_file,
        proxy: Some(proxy.to_string()),
        ..ElectrumConfig::new(url, Network::Regtest)
    })
}

fn address_of(server: &ElectrumServer) -> SocketAddr {
    let address = server.url().replace("tcp://", "");
    address.parse().expect("an address")
}

#[test]
fn a_server_is_followed_through_a_proxy_that_looks_up_its_name() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let mut pocket = Pocket::new("socks");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[2]);
    chain.mine(1).expect("a block");
    let server = ElectrumServer::start(&node).expect("a server");
    let proxy = Proxy::to(address_of(&server));
    let source = connect(&format!("tcp://{NAME}:50001"), proxy.address, None);
    let source = source.expect("the proxy knows the name");
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&node);
    // The name has come as a name: it was not looked up before.
    assert_eq!(proxy.asked(), [format!("{NAME}:50001")]);
    // A broadcast goes the same way, and a lost connection is made anew.
    let transaction = chain.spend_one().expect("a transaction");
    source.broadcast(&transaction).expect("the node takes it");
    server.restart().expect("it starts again");
    pocket.follow(&source).expect("over a new connection");
    assert_eq!(proxy.asked().len(), 3);
}

#[test]
fn tls_through_a_proxy_is_with_the_server_by_its_name() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    for (name, is_right) in [(NAME, true), ("localhost", false)] {
        let (identity, authority) = Identity::signed(name, false);
        let proxy = Proxy::to(front::before(&server, &identity));
        let (_folder, file) = front::file(&authority.pem);
        let url = format!("ssl://{NAME}:50002");
        let outcome = connect(&url, proxy.address, Some(file));
        assert_eq!(outcome.is_ok(), is_right, "{name}");
        assert_eq!(proxy.asked(), [format!("{NAME}:50002")]);
    }
}

#[test]
fn proxies_that_do_not_help_are_told() {
    let proxy = Proxy::to((Ipv4Addr::LOCALHOST, 1).into());
    for url in [
        format!("tcp://{NAME}:50001"),
        "tcp://127.0.0.1:1".to_owned(),
    ] {
        let error = connect(&url, proxy.address, None).err().expect("no way");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.message().contains("ELECTRUM_PROXY"), "{error}");
    }
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = gone.local_addr().expect("bound");
    drop(gone);
    let url = format!("tcp://{NAME}:50001");
    let error = connect(&url, address, None).err().expect("no proxy");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // One that says nothing, and one that says something else.
    for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.write_all(answer);
                let _ = client.read_to_end(&mut Vec::new());
            }
        });
        let error = connect(&url, address, None).err().expect("no proxy");
        assert!(error.kind().is_transport(), "{error}");
    }
    let url = "tcp://127.0.0.1:50001";
    let error = ElectrumSource::connect(&ElectrumConfig {
        proxy: Some("socks5://127.0.0.1".to_owned()),
        ..ElectrumConfig::new(url, Network::Regtest)
    });
    let error = error.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}
