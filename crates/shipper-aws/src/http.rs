//! The HTTP client of the SDK, and of the one request that is not the SDK's.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// What the SDK sends its requests with: as its own default client, with the crypto library of this workspace.
pub(crate) fn client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut builder = ConnectorBuilder::default();
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector(builder)
    })
}

/// A client for single requests. It follows no redirect, sends nothing twice, and knows no deadline.
pub(crate) fn single() -> Connector {
    connector(ConnectorBuilder::default())
}

/// Proxies are those of the environment, roots those of the system.
fn connector(mut builder: ConnectorBuilder) -> Connector {
    builder.set_proxy_config(Some(ProxyConfig::from_env()));
    builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
}
