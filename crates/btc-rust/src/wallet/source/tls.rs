//! TLS to servers: which certificates count, and what computes.

use std::path::Path;
use std::sync::Arc;

use btc_iface::{BitcoinError, BitcoinResult, ErrorKind, Operation};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The certificates that count: those of the file, or else those that the system trusts.
///
/// # Errors
/// `Configuration`: the file cannot be read or has no certificate.
pub(super) fn trusted(file: Option<&Path>) -> BitcoinResult<Vec<CertificateDer<'static>>> {
    let Some(path) = file else {
        // Some that cannot be read are no reason to trust none.
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let wrong = |message: &str| {
        BitcoinError::new(ErrorKind::Configuration, Operation::Connect, message)
            .with_context("path", path.display())
    };
    let bytes = std::fs::read(path)
        .map_err(|cause| wrong("the certificate file cannot be read").with_source(cause))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates
        .map_err(|cause| wrong("the certificate file is not PEM").with_source(cause))?;
    if certificates.is_empty() {
        return Err(wrong("the certificate file holds no certificate in PEM"));
    }
    Ok(certificates)
}

/// The arithmetic of TLS.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
