//! `Front`: TLS before an Electrum server, with certificates made for the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use btc_regtest::ElectrumServer;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

/// A connection on which TLS is spoken.
pub(crate) type Secured = StreamOwned<ServerConnection, TcpStream>;

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) pem: String,
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    /// One that vouches for itself.
    pub(crate) fn own(name: &str, has_expired: bool) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(name, has_expired).self_signed(&key);
        Self::of(&certificate.expect("a certificate"), key)
    }

    /// One that another has signed; returns the other as well.
    pub(crate) fn signed(name: &str, has_expired: bool) -> (Self, Self) {
        let mut authority = params("authority.test", false);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("a key");
        let issued_by = authority
            .self_signed(&authority_key)
            .expect("a certificate");
        let issuer = Issuer::from_params(&authority, &authority_key);
        let key = KeyPair::generate().expect("a key");
        let certificate = params(name, has_expired).signed_by(&key, &issuer);
        let signed = Self::of(&certificate.expect("a certificate"), key);
        (signed, Self::of(&issued_by, authority_key))
    }

    fn of(certificate: &rcgen::Certificate, key: KeyPair) -> Self {
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        }
    }
}

fn params(name: &str, has_expired: bool) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(if has_expired { 2002 } else { 4000 }, 1, 1);
    params
}

/// Speaks TLS to each client and does to the connection what it is told.
pub(crate) fn secured(
    identity: &Identity,
    treat: impl Fn(Secured) + Send + Sync + 'static,
) -> SocketAddr {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.clone()], key);
    let config = Arc::new(config.expect("a certificate with its key"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let treat = Arc::new(treat);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (config, treat) = (Arc::clone(&config), Arc::clone(&treat));
            std::thread::spawn(move || {
                client.set_nodelay(true).expect("a socket");
                let session = ServerConnection::new(config).expect("a session");
                treat(StreamOwned::new(session, client));
            });
        }
    });
    address
}

/// TLS before this server; returns where clients connect.
pub(crate) fn before(server: &ElectrumServer, identity: &Identity) -> SocketAddr {
    let inner = server.url().replace("tcp://", "");
    secured(identity, move |client| {
        let _ = relay(client, &inner);
    })
}

/// One answer for each request; ends with either connection.
fn relay(client: Secured, inner: &str) -> Option<()> {
    let server = TcpStream::connect(inner).ok()?;
    server.set_nodelay(true).ok()?;
    let mut answers = BufReader::new(&server).lines();
    let mut client = BufReader::new(client);
    let mut request = String::new();
    loop {
        request.clear();
        if client.read_line(&mut request).ok()? == 0 {
            return None;
        }
        (&server).write_all(request.as_bytes()).ok()?;
        let asked: Value = serde_json::from_str(&request).ok()?;
        loop {
            let line = answers.next()?.ok()?;
            let answer: Value = serde_json::from_str(&line).ok()?;
            if answer["id"] == asked["id"] {
                let client = client.get_mut();
                client.write_all(format!("{line}\n").as_bytes()).ok()?;
                client.flush().ok()?;
                break;
            }
        }
    }
}

/// A file with this text.
pub(crate) fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("certificate.pem");
    std::fs::write(&path, text).expect("a file");
    (folder, path)
}
