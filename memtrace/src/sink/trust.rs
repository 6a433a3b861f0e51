//! What the servers that memtrace asks are trusted by: certificates out of one PEM file.
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A client of TLS 1.2 and 1.3 that asks for the protocol `alpn`. What is wrong with the file is said with its name.
pub(super) fn client(ca_file: &Path, alpn: &[u8]) -> Result<ClientConfig, String> {
    let refused = |why: String| format!("ca_file {}: {why}", ca_file.display());
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(ca_file).map_err(|why| refused(why.to_string()))?;
    roots.add_parsable_certificates(read.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(refused("there are no certificates in it".to_owned()));
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.map_err(|why| why.to_string())?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}
