//! An Esplora server as a source, over a private node.

mod limits;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use btc_iface::{BitcoinResult, ErrorKind, Network};
use btc_regtest::{Chain, EsploraServer};
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::Follower as _;
use btc_rust::wallet::source::esplora::{EsploraConfig, EsploraSource};

use crate::secure::front::{self, Identity};
use crate::secure::proxy::{NAME, Proxy};
use crate::setup::{self, TIMEOUT, node, pay, source};
use crate::wallet::Pocket;

const SHORT: Duration = Duration::from_secs(2);

fn connect(server: &EsploraServer) -> EsploraSource {
    setup::esplora(&server.url(), TIMEOUT)
}

fn attempt(
    url: &str,
    cert_file: Option<PathBuf>,
    proxy: Option<SocketAddr>,
) -> BitcoinResult<EsploraSource> {
    EsploraSource::connect(&EsploraConfig {
        timeout: SHORT,
        cert_file,
        proxy: proxy.map(|it| it.to_string()),
        ..EsploraConfig::new(url, Network::Regtest)
    })
}

#[test]
fn the_coins_are_those_of_the_blocks() {
    let node = node();
    let server = EsploraServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let mut pocket = Pocket::new("esplora");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[30]);
    chain.mine(2).expect("blocks");
    pay(&mut chain, &pocket, &[0, 15]);
    chain.mine(1).expect("a block");
    pay(&mut chain, &pocket, &[50]);
    chain.mine(212).expect("blocks");
    let esplora = connect(&server);
    pocket.follow(&esplora).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 4, "{}", pocket.log);
    pocket.assert_agrees(&node);
    assert_eq!(esplora.tip().expect("a tip"), pocket.tip());
    assert_eq!(esplora.peers().expect("the server").len(), 1);

    // From one source to the other and back, with the same books.
    pay(&mut chain, &pocket, &[1]);
    chain.mine(1).expect("a block");
    pocket.follow(&source(&node)).expect("the scan ends");
    pocket.assert_agrees(&node);
    pay(&mut chain, &pocket, &[2]);
    chain.mine(1).expect("a block");
    pocket.follow(&esplora).expect("the scan ends");
    pocket.assert_agrees(&node);
}

#[test]
fn a_history_of_many_pages_is_read_to_its_end() {
    let node = node();
    let server = EsploraServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 2).expect("a chain");
    let mut pocket = Pocket::new("pages");
    pocket.birthday = 100;
    chain.mine(105).expect("blocks");
    for _ in 0..20 {
        for _ in 0..3 {
            pay(&mut chain, &pocket, &[7]);
        }
        chain.mine(1).expect("a block");
    }
    pay(&mut chain, &pocket, &[7]);
    pocket.follow(&connect(&server)).expect("the scan ends");
    assert_eq!(pocket.coins().len(), 61, "{}", pocket.log);
    pocket.assert_agrees(&node);
}

#[test]
fn unconfirmed_transactions_come_and_go() {
    let node = node();
    let server = EsploraServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 3).expect("a chain");
    let mut pocket = Pocket::new("mempool");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0]);
    chain.mine(1).expect("a block");
    let esplora = connect(&server);
    pocket.follow(&esplora).expect("the scan ends");
    let incoming = chain
        .pay(&[(pocket.script(1), bitcoin::Amount::from_sat(70_000))], 2)
        .expect("the node takes it");
    pocket.follow(&esplora).expect("the scan ends");
    assert!(pocket.counts(incoming));

    let coins = pocket.coins();
    let (coin, _) = coins.iter().find(|(_, it)| it.1).expect("a confirmed coin");
    let own = pocket.spend(*coin, pocket.script(2), 500);
    esplora.broadcast(&own).expect("the node takes it");
    esplora.broadcast(&own).expect("it is known");
    pocket.follow(&esplora).expect("the scan ends");
    assert!(pocket.counts(own.compute_txid()));

    // The same keys elsewhere replace it.
    let rival = pocket.spend(*coin, Pocket::new("elsewhere").script(0), 5_000);
    esplora.broadcast(&rival).expect("the node takes it");
    pocket.follow(&esplora).expect("the scan ends");
    assert!(!pocket.counts(own.compute_txid()));
    assert!(pocket.counts(incoming) && pocket.counts(rival.compute_txid()));
    chain.mine(1).expect("a block");
    pocket.follow(&esplora).expect("the scan ends");
    assert!(pocket.unconfirmed().is_empty());
    pocket.assert_agrees(&node);
    esplora.broadcast(&rival).expect("it is in a block");
    let error = esplora.broadcast(&own).expect_err("its coin is spent");
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    let reason = error.context().iter().find(|(key, _)| *key == "reason");
    assert!(
        reason.is_some_and(|(_, reason)| reason.contains("bad-txns")),
        "{error}"
    );
}

#[test]
fn reorganisations_are_followed() {
    let node = node();
    let server = EsploraServer::start(&node).expect("a server");
    let mut chain = Chain::new(&node, 4).expect("a chain");
    let mut pocket = Pocket::new("reorganisations");
    chain.mine(110).expect("blocks");
    for index in 0..22 {
        pay(&mut chain, &pocket, &[index % 20]);
        chain.mine(1).expect("a block");
    }
    let esplora = connect(&server);
    pocket.follow(&esplora).expect("the scan ends");
    chain.reorg_empty(1).expect("a reorganisation");
    let before = pocket.confirmed();
    pocket.follow(&esplora).expect("the scan ends");
    assert!(pocket.confirmed() < before, "the last is unconfirmed again");
    pocket.assert_agrees(&node);
    for depth in [1, 2, 5, 12, 20] {
        chain.reorg(depth).expect("a reorganisation");
        pocket.follow(&esplora).expect("the scan ends");
        pocket.assert_agrees(&node);
    }
}

#[test]
fn a_server_that_was_away_is_used_again() {
    let node = node();
    let mut chain = Chain::new(&node, 5).expect("a chain");
    let mut pocket = Pocket::new("away");
    chain.mine(105).expect("blocks");
    let server = EsploraServer::start(&node).expect("a server");
    let esplora = connect(&server);
    pocket.follow(&esplora).expect("the scan ends");
    let address = server.address();
    drop(server);
    let transaction = chain.spend_one().expect("a transaction");
    let error = esplora
        .broadcast(&transaction)
        .expect_err("no server is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error} at {address}");
    let error = attempt(&format!("http://{address}"), None, None).err();
    let error = error.expect("no server is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // The node behind a server is away, and back.
    let server = EsploraServer::start(&node).expect("a server");
    let esplora = connect(&server);
    node.stop().expect("it stops");
    let error = pocket.follow(&esplora).expect_err("it cannot serve");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    node.restart().expect("it starts again");
    let server = EsploraServer::start(&node).expect("a server");
    pocket.follow(&connect(&server)).expect("the scan ends");
}

#[test]
fn a_server_is_followed_over_https_and_through_a_proxy() {
    let node = node();
    let mut chain = Chain::new(&node, 6).expect("a chain");
    let mut pocket = Pocket::new("https");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0, 3]);
    chain.mine(1).expect("a block");
    let server = EsploraServer::start(&node).expect("a server");
    let inner = server.address();
    let (identity, authority) = Identity::signed(NAME, false);
    let outer = front::secured(&identity, move |client| tunnel(client, inner));
    let proxy = Proxy::to(outer);
    let (_folder, file) = front::file(&authority.pem);
    let url = format!("https://{NAME}:8443");
    let esplora = attempt(&url, Some(file.clone()), Some(proxy.address));
    let esplora = esplora.expect("the proxy knows the name");
    pocket.follow(&esplora).expect("the scan ends");
    pocket.assert_agrees(&node);
    // The name has come as a name: it was not looked up before.
    assert!(
        proxy
            .asked()
            .iter()
            .all(|asked| *asked == format!("{NAME}:8443"))
    );
    // Another name, and another certificate.
    let other = format!("https://localhost:{}", outer.port());
    let error = attempt(&other, Some(file), None).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    let (_folder, stranger) = front::file(&Identity::own(NAME, false).pem);
    let error = attempt(&url, Some(stranger), Some(proxy.address));
    let error = error.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.message().contains("ESPLORA_CERT_FILE"), "{error}");
}

/// Hands requests on; each has its head alone, and its answer the length in its head.
fn tunnel(client: front::Secured, inner: SocketAddr) {
    let relay = || -> std::io::Result<()> {
        let server = TcpStream::connect(inner)?;
        let mut answers = BufReader::new(&server);
        let mut client = BufReader::new(client);
        let mut line = String::new();
        while client.read_line(&mut line)? > 0 {
            (&server).write_all(line.as_bytes())?;
            if line == "\r\n" {
                let (mut head, mut length) = (String::new(), 0);
                while answers.read_line(&mut head)? > 2 {
                    let last = head.lines().last().unwrap_or_default();
                    if let Some(text) = last.strip_prefix("Content-Length: ") {
                        length = text.trim().parse().expect("a number");
                    }
                }
                let mut body = vec![0; length];
                answers.read_exact(&mut body)?;
                let client = client.get_mut();
                client.write_all(&[head.as_bytes(), &body].concat())?;
                client.flush()?;
            }
            line.clear();
        }
        Ok(())
    };
    let _ = relay();
}
