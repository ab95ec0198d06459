//! TLS to an Electrum server: most of them have certificates that vouch for themselves.

use std::path::Path;
use std::sync::Arc;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::wallet::source::tls;

/// How a client does TLS: with a server whose certificate is in the file, or signed by one in it;
/// without a file, signed by one that the system trusts.
///
/// # Errors
/// `Configuration`: as [`tls::trusted`], or the system trusts none.
pub(super) fn client(file: Option<&Path>) -> BitcoinResult<Arc<ClientConfig>> {
    let failed =
        |message: &str| BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message);
    let certificates = tls::trusted(file)?;
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
    if usable == 0 {
        return Err(failed(
            "there is no certificate to check a server's by; install the system's (the package \
             ca-certificates), or name the server's own in a file",
        ));
    }
    let provider = tls::provider();
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|cause| failed("the certificates cannot be used").with_source(cause))?;
    let verifier = Pinned {
        certificates: file.map_or_else(Vec::new, |_| certificates),
        chain,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| failed("TLS cannot be used").with_source(cause))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Accepts a certificate that is known byte by byte, whatever name and dates it has; and else what
/// the web's rules accept. The server proves in both cases that the certificate's key is its own.
#[derive(Debug)]
struct Pinned {
    certificates: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificates.iter().any(|known| known == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.chain
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
