//! Services other than registries that answer in JSON: an API of a host that the user names, by a token.
//!
//! Invariants: as of the module of HTTP, whose requests these are; the token goes to the host of the API alone; an answer has
//! at most [`MAX_ANSWER`] bytes.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use url::Url;

use crate::http::{Body, Call, Http};
use crate::reply::Reply;
use crate::{ClientOptions, Error, RegistryHost, Result, Secret};

/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// An API.
#[derive(Debug)]
pub struct Api {
    http: Http,
    base: Url,
    headers: HeaderMap,
}

/// What an API answered, whatever its status.
#[derive(Debug, Clone)]
pub struct ApiAnswer {
    /// Status of HTTP.
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
    headers: HeaderMap,
}

impl ApiAnswer {
    /// A header, where it is there and plain text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Api {
    /// The API at an address such as `https://api.github.com`. Plain http is for this machine only.
    ///
    /// # Errors
    /// [`Error::Options`] for what is no address or no token, and as [`ClientOptions`] are refused.
    pub fn new(address: &str, token: &Secret, options: ClientOptions) -> Result<Self> {
        let refused = |reason: &str| Error::Options { reason: reason.to_owned() };
        let base = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| refused("the address of the API is no http or https URL"))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refused("the address of the API has a user name in it"));
        }
        let host = base.host_str().unwrap_or_default();
        let host: RegistryHost = match base.port() {
            Some(port) => format!("{host}:{port}").parse()?,
            None => host.parse()?,
        };
        let authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut authorization =
            authorization.map_err(|_| refused("the token has characters that no header can hold"))?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        Ok(Self { http: Http::new(host, Arc::new(options))?, base, headers })
    }

    /// Asks for what is at a path, with a query; `what` is what an error says.
    ///
    /// # Errors
    /// Where there is no answer, or not a whole one.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)], what: &str) -> Result<ApiAnswer> {
        let mut call = self.call(Method::GET, path, what);
        if !query.is_empty() {
            call.url.query_pairs_mut().extend_pairs(query);
        }
        answer(self.http.fetch(call).await?).await
    }

    /// Changes what is at a path; `document` is JSON.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn patch(&self, path: &[&str], document: Vec<u8>, what: &str) -> Result<ApiAnswer> {
        let mut call = self.call(Method::PATCH, path, what);
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        call.body = Body::Bytes(document.into());
        answer(self.http.send(call).await?).await
    }

    fn call(&self, method: Method, path: &[&str], what: &str) -> Call {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut call = Call::new(method, url, what);
        call.headers = self.headers.clone();
        call
    }
}

async fn answer(mut reply: Reply) -> Result<ApiAnswer> {
    let body = reply.bytes(MAX_ANSWER).await?;
    Ok(ApiAnswer { status: reply.status.as_u16(), headers: reply.headers().clone(), body })
}
