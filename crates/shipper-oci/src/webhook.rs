//! A place that is told something in JSON, whose whole URL is a secret.
//!
//! Invariants: as of the module of HTTP, whose request this is; sent once, to the host of the URL alone, and no redirect is
//! followed; path and query are in no log.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use url::Url;

use crate::http::{Body, Call, Http};
use crate::{ClientOptions, Error, RegistryHost, Result};

/// A webhook. Its `Debug` form has the host alone.
pub struct Webhook {
    http: Http,
    url: Url,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Webhook {
    /// The webhook at a URL. Plain http is for this machine only.
    ///
    /// # Errors
    /// [`Error::Options`] for what is no URL, and as [`ClientOptions`] are refused. The URL is not in them.
    pub fn new(url: &str, options: ClientOptions) -> Result<Self> {
        let refused = || Error::Options { reason: "the URL of the webhook is no http or https URL".to_owned() };
        let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(refused)?;
        let host = url.host_str().unwrap_or_default();
        let host: RegistryHost = match url.port() {
            Some(port) => format!("{host}:{port}").parse().map_err(|_| refused())?,
            None => host.parse().map_err(|_| refused())?,
        };
        Ok(Self { http: Http::new(host, Arc::new(options))?, url })
    }

    /// Sends a document, and gives the status of the answer.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn post(&self, document: Vec<u8>) -> Result<u16> {
        let mut call = Call::new(Method::POST, self.url.clone(), "tell the webhook");
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        call.body = Body::Bytes(document.into());
        call.is_secret = true;
        Ok(self.http.send(call).await?.status.as_u16())
    }
}
