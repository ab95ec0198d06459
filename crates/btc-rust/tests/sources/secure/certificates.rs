//! Which certificates are trusted.

use std::path::Path;

use btc_iface::{BitcoinResult, ErrorKind, Network};
use btc_regtest::{Chain, ElectrumServer};
use btc_rust::wallet::source::ChainSource as _;
use btc_rust::wallet::source::electrum::{ElectrumConfig, ElectrumSource};

use super::front::{self, Identity};
use crate::lies::scene::node;
use crate::setup::{TIMEOUT, pay};
use crate::wallet::Pocket;

fn connect(url: &str, cert_file: Option<&Path>) -> BitcoinResult<ElectrumSource> {
    ElectrumSource::connect(&ElectrumConfig {
        timeout: TIMEOUT,
        cert_file: cert_file.map(Path::to_owned),
        ..ElectrumConfig::new(url, Network::Regtest)
    })
}

#[test]
fn a_server_is_followed_over_tls_with_its_own_certificate() {
    let node = node();
    let mut chain = Chain::new(&node, 1).expect("a chain");
    let mut pocket = Pocket::new("tls");
    chain.mine(105).expect("blocks");
    pay(&mut chain, &pocket, &[0, 3]);
    chain.mine(1).expect("a block");
    let server = ElectrumServer::start(&node).expect("a server");
    // Its name is another one, and its time is over: it is known byte by byte.
    let identity = Identity::own("elsewhere.test", true);
    let address = front::before(&server, &identity);
    let (_folder, file) = front::file(&identity.pem);
    let source = connect(&format!("ssl://{address}"), Some(&file)).expect("it answers");
    pocket.follow(&source).expect("the scan ends");
    pocket.assert_agrees(&node);
    let transaction = chain.spend_one().expect("a transaction");
    source.broadcast(&transaction).expect("the node takes it");
}

#[test]
fn a_certificate_that_is_not_known_is_refused() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let identity = Identity::own("localhost", false);
    let address = front::before(&server, &identity);
    let url = format!("ssl://localhost:{}", address.port());
    let (_other_folder, other) = front::file(&Identity::own("localhost", false).pem);
    for file in [None, Some(other.as_path())] {
        let error = connect(&url, file).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let text = error.to_string();
        // A machine without certificates of its own says that.
        let expected = ["ELECTRUM_CERT_FILE", "ca-certificates"];
        assert!(expected.iter().any(|it| text.contains(it)), "{text}");
    }
}

#[test]
fn a_certificate_that_a_known_one_has_signed_must_have_the_name_and_be_of_today() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    for (name, has_expired, is_right) in [
        ("localhost", false, true),
        ("localhost", true, false),
        ("elsewhere.test", false, false),
    ] {
        let (identity, authority) = Identity::signed(name, has_expired);
        let address = front::before(&server, &identity);
        let url = format!("ssl://localhost:{}", address.port());
        let (_folder, file) = front::file(&authority.pem);
        let outcome = connect(&url, Some(&file));
        if is_right {
            let tip = outcome.expect("it is trusted").tip().expect("a tip");
            assert_eq!(tip.height, 0);
        } else {
            let error = outcome.err().expect("refused");
            assert_eq!(error.kind(), ErrorKind::Configuration, "{name}: {error}");
        }
    }
}

#[test]
fn certificate_files_that_cannot_be_used_are_told() {
    let url = "ssl://localhost:50002";
    let missing = Path::new("/does/not/exist.pem");
    let error = connect(url, Some(missing)).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    for text in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let (_folder, file) = front::file(text);
        let error = connect(url, Some(&file)).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}: {error}");
    }
    for url in [
        "ssl://",
        "ssl://host",
        "ssl://host:0",
        "ssl://a b:1",
        "https://host:1",
    ] {
        let error = connect(url, None).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{url}: {error}");
    }
}
