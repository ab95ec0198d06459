//! Servers that flood or keep waiting, inside TLS.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use btc_iface::{BitcoinError, ErrorKind, Network};
use btc_regtest::ElectrumServer;
use btc_rust::wallet::source::electrum::{ElectrumConfig, ElectrumSource};
use serde_json::json;

use super::front::{self, Identity, Secured, secured};
use crate::lies::scene::node;

const SHORT: Duration = Duration::from_secs(2);

fn refused(url: &str, identity: &Identity) -> BitcoinError {
    let (_folder, file) = front::file(&identity.pem);
    let outcome = ElectrumSource::connect(&ElectrumConfig {
        timeout: SHORT,
        cert_file: Some(file),
        ..ElectrumConfig::new(url, Network::Regtest)
    });
    outcome.err().expect("no server")
}

fn url(address: SocketAddr) -> String {
    format!("ssl://{address}")
}

#[test]
fn a_line_or_an_answer_without_end_is_refused() {
    let identity = Identity::own("localhost", false);
    let endless =
        |text: &'static [u8]| move |mut client: Secured| while client.write_all(text).is_ok() {};
    for text in [&[b'['; 16_384], &[0xff; 16_384]] {
        let error = refused(&url(secured(&identity, endless(text))), &identity);
        assert_eq!(error.kind(), ErrorKind::InvalidResponse, "{error}");
    }
}

#[test]
fn a_server_that_keeps_talking_without_an_answer_is_left() {
    let identity = Identity::own("localhost", false);
    let news = json!({"jsonrpc": "2.0", "method": "news", "params": []});
    let chatty = secured(&identity, move |mut client| {
        while writeln!(client, "{news}")
            .and_then(|()| client.flush())
            .is_ok()
        {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    // New keys again and again, each of which makes the client write.
    let restless = secured(&identity, |mut client| {
        let _ = client.read(&mut [0; 1024]);
        while client.conn.refresh_traffic_keys().is_ok() && client.flush().is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            client
                .sock
                .set_read_timeout(Some(Duration::from_millis(5)))
                .expect("a socket");
            let _ = client.read(&mut [0; 1024]);
        }
    });
    // One record, a byte at a time.
    let dripping = secured(&identity, |mut client| {
        let _ = client.read(&mut [0; 1024]);
        let mut record = vec![0x17, 3, 3, 0x40, 0];
        record.resize(record.len() + 0x4000, 7);
        for byte in record {
            std::thread::sleep(Duration::from_millis(50));
            if client.sock.write_all(&[byte]).is_err() {
                break;
            }
        }
    });
    let mute = secured(&identity, |mut client| {
        let _ = client.read(&mut [0; 1024]);
        std::thread::sleep(SHORT * 3);
    });
    for (name, address, kind) in [
        ("chatty", chatty, ErrorKind::Timeout),
        // The library has had enough of it first.
        ("restless", restless, ErrorKind::InvalidResponse),
        ("dripping", dripping, ErrorKind::Timeout),
        ("mute", mute, ErrorKind::Timeout),
    ] {
        let begun = Instant::now();
        let error = refused(&url(address), &identity);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(begun.elapsed() < SHORT * 5, "{name}: {:?}", begun.elapsed());
    }
}

#[test]
fn a_server_without_tls_is_told_from_one_with_it() {
    let node = node();
    let server = ElectrumServer::start(&node).expect("a server");
    let identity = Identity::own("localhost", false);
    let plain = server.url().replace("tcp://", "ssl://");
    let error = refused(&plain, &identity);
    let expected = [
        ErrorKind::InvalidResponse,
        ErrorKind::Timeout,
        ErrorKind::Unavailable,
    ];
    assert!(expected.contains(&error.kind()), "{error}");
    let address = front::before(&server, &identity);
    let error = refused(&format!("tcp://{address}"), &identity);
    assert!(expected.contains(&error.kind()), "{error}");
}
