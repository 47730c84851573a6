//! TLS: which certificates are believed, and by which crypto library.
//!
//! Invariant: a client that never speaks TLS loads no roots.

use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use crate::ClientOptions;

/// The provider that the embedding program has chosen for the process, or ring.
fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()))
}

/// A client for https: believes the roots of the system and `extra` ones, and takes HTTP/2 where the peer offers it.
pub(crate) fn secure(
    client: ClientBuilder,
    extra: Vec<CertificateDer<'static>>,
) -> Result<ClientBuilder, rustls::Error> {
    let provider = provider();
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(client.https_only(true).tls_backend_preconfigured(config))
}

/// A client that never speaks TLS: it believes nobody.
pub(crate) fn plain(client: ClientBuilder) -> Result<ClientBuilder, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    Ok(client.http1_only().tls_backend_preconfigured(config))
}

/// The certificates that the options name beside those of the system.
///
/// # Errors
/// A text for people, where a file is no PEM or holds none.
pub(crate) fn extra_roots(options: &ClientOptions) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut all = Vec::new();
    for pem in &options.root_certificates {
        let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| "a root certificate is not PEM".to_owned())?;
        if found.is_empty() {
            return Err("a root certificate file holds no certificate".to_owned());
        }
        all.extend(found);
    }
    Ok(all)
}
