//! Encryption, where a certificate is given.
use crate::error::Error;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// TLS 1.2 and 1.3 with this certificate (a chain, the server's first) and its key, both PEM.
pub(super) fn acceptor([certificate, key]: [&Path; 2]) -> Result<TlsAcceptor, Error> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| Error::Host(format!("TLS: {}: {why}", path.display()));
    let chain = CertificateDer::pem_file_iter(certificate).and_then(|chain| chain.collect::<Result<Vec<_>, _>>());
    let chain = chain.map_err(|why| failed(certificate, &why))?;
    if chain.is_empty() {
        return Err(failed(certificate, &"no certificate in it"));
    }
    let own = PrivateKeyDer::from_pem_file(key).map_err(|why| failed(key, &why))?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| failed(certificate, &why))?
        .with_no_client_auth()
        .with_single_cert(chain, own)
        .map_err(|why| failed(key, &why))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
