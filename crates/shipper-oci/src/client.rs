//! One registry as a peer: requests with authentication, repetition and the proof of absence.
//!
//! Invariants:
//! - a request refused with 401 is sent once more with a renewed header, and not a third time;
//! - "is not there" is said only after a 404 that means it: in a session that the registry authenticated or accepted
//!   without credentials, with an error code of absence or none at all, by a server that answers `/v2/` as a registry does or
//!   gave a stranger a manifest of the same repository.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

use crate::auth::{Authenticator, Refused, Scopes};
use crate::error::{is_retryable_status, shown};
use crate::http::{Body, BodyStream, Call, Http};
use crate::pace::{Limits, Pace, Turn};
use crate::quirks::{self, Action, Quirks};
use crate::reply::Reply;
use crate::retry::{Budget, Tries, retry_after};
use crate::{Access, ClientOptions, Error, RegistryHost, RepositoryName, Result, Stats};

/// Longest error answer that is read, in bytes.
const MAX_ERROR: usize = 64 * 1024;

/// A connection to one registry, shared by its repositories.
#[derive(Debug)]
pub(crate) struct Client {
    host: RegistryHost,
    base: Url,
    options: Arc<ClientOptions>,
    http: Http,
    auth: Authenticator,
    budget: Budget,
    pace: Pace,
    limits: Limits,
    quirks: Quirks,
    api: tokio::sync::OnceCell<Api>,
    /// Repositories of which a stranger was given a manifest.
    open: Mutex<BTreeSet<RepositoryName>>,
}

/// How `/v2/` answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    /// 200 without credentials.
    Open,
    /// 401 with a challenge.
    Challenged,
}

/// The body of a request that can be made anew for each try.
pub(crate) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    /// Opens a stream of so many bytes.
    Blob(&'a (dyn OpenBlob + 'a), u64),
}

/// A source of bytes that can be opened more than once.
pub(crate) trait OpenBlob: Send + Sync {
    fn open(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<BodyStream>> + Send + '_>>;
}

/// A request before authentication.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload<'a>,
    pub(crate) what: String,
    pub(crate) repository: &'a RepositoryName,
    pub(crate) scopes: Scopes,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(
        method: Method,
        url: Url,
        what: impl Into<String>,
        repository: &'a RepositoryName,
        scopes: Scopes,
    ) -> Ask<'a> {
        Ask { method, url, headers: HeaderMap::new(), payload: Payload::Empty, what: what.into(), repository, scopes }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Ask<'a> {
        self.headers.insert(name, value);
        self
    }

    /// What the request does to its repository; `None` where that has no name, or the address is not below it.
    fn action(&self, base: &Url) -> Option<Action> {
        let rest =
            self.url.path().strip_prefix(base.path())?.strip_prefix(self.repository.as_str())?.strip_prefix('/')?;
        Action::of(&self.method, rest)
    }

    async fn call(&self, authorization: Option<&HeaderValue>) -> Result<Call> {
        let mut call = Call::new(self.method.clone(), self.url.clone(), self.what.clone());
        call.headers = self.headers.clone();
        if let Some(authorization) = authorization {
            call.headers.insert(AUTHORIZATION, authorization.clone());
        }
        call.body = match &self.payload {
            Payload::Empty => Body::Empty,
            Payload::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Payload::Blob(source, length) => Body::Stream { stream: source.open().await?, length: *length },
        };
        Ok(call)
    }
}

/// An answer, and whether the registry knew who asked.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) authorized: bool,
}

impl Client {
    pub(crate) fn new(host: RegistryHost, options: ClientOptions) -> Result<Client> {
        let quirks = quirks::of(&host);
        Client::with(host, options, quirks)
    }

    fn with(host: RegistryHost, options: ClientOptions, quirks: Quirks) -> Result<Client> {
        let options = Arc::new(options);
        let http = Http::new(host.clone(), Arc::clone(&options))?;
        let scheme = if http.is_plain() { "http" } else { "https" };
        // Docker Hub's registry has another name than its images.
        let name = if host == RegistryHost::docker_hub() { "registry-1.docker.io" } else { host.as_str() };
        let base = Url::parse(&format!("{scheme}://{name}/v2/"))
            .map_err(|_| Error::invalid("registry host", host.as_str(), "it is not usable in a URL"))?;
        let auth = Authenticator::new(host.clone(), options.credentials.clone());
        Ok(Client {
            host,
            base,
            options,
            http,
            auth,
            budget: Budget::default(),
            pace: Pace::default(),
            limits: Limits::new(quirks.limits),
            quirks,
            api: tokio::sync::OnceCell::new(),
            open: Mutex::default(),
        })
    }

    pub(crate) fn host(&self) -> &RegistryHost {
        &self.host
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    pub(crate) fn stats(&self) -> Stats {
        self.http.counters().stats()
    }

    /// `/v2/<repository>/<rest>`. `rest` must be made of validated names only.
    pub(crate) fn url(&self, repository: &RepositoryName, rest: &str) -> Result<Url> {
        self.base.join(&format!("{repository}/{rest}")).map_err(|_| Error::Options {
            reason: format!("the address of {}/{repository} cannot be formed", self.host),
        })
    }

    /// A place that the registry named for the next step (`Location`, `Link`): on the registry itself, or refused. Behind
    /// a proxy registries name themselves with the wrong scheme; the scheme of this client is kept.
    pub(crate) fn own_url(&self, from: &Url, text: &str, what: &'static str) -> Result<Url> {
        let refuse = |reason: String| Error::UnsafePeer { registry: self.host.clone(), what, reason };
        let mut url = from.join(text).map_err(|_| refuse("it is not a URL".to_owned()))?;
        let place = shown(&self.http.sent().clean(&crate::http::place(&url)));
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse(format!("{place}: it holds a user name")));
        }
        let default_ports = url.port().is_none() && self.base.port().is_none();
        let same = url.host_str() == self.base.host_str()
            && (default_ports || url.port_or_known_default() == self.base.port_or_known_default());
        if !matches!(url.scheme(), "http" | "https") || !same {
            return Err(refuse(format!("{place} is not the registry itself")));
        }
        if url.scheme() != self.base.scheme() {
            let own = self.base.clone();
            let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
            url = own;
            url.set_path(&path);
            url.set_query(query.as_deref());
        }
        url.set_fragment(None);
        Ok(url)
    }

    /// The tries of a step.
    pub(crate) fn tries(&self) -> Tries<'_> {
        Tries::new(self.options.retry, &self.budget, &self.pace, self.http.counters())
    }

    /// Waits until an upload may begin.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        self.pace.turn().await
    }

    /// What is known of this registry beforehand.
    pub(crate) fn quirks(&self) -> Quirks {
        self.quirks
    }

    /// Sends a request that may be repeated, until it has an answer that is not "try again".
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer> {
        let mut tries = self.tries();
        loop {
            match self.ask_once(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    /// As [`Client::ask`], without repetition.
    pub(crate) async fn ask_once(&self, ask: &Ask<'_>) -> Result<Answer> {
        let mut answer = self.exchange(ask).await?;
        let status = answer.reply.status.as_u16();
        if matches!(status, 401 | 403 | 404) && answer.reply.place() != crate::http::place(&self.base) {
            let detail = format!("{}, to which the registry redirects, says so", answer.reply.place());
            // Of another host nobody knows whether it may say so: this is no refusal of the registry.
            let (registry, what) = (self.host.clone(), ask.what.clone());
            return Err(Error::Registry { registry, what, status, detail, access: Access::Read });
        }
        if is_retryable_status(status) || matches!(status, 401 | 403) {
            return Err(self.failure(&mut answer.reply, ask).await);
        }
        self.budget.succeeded();
        Ok(answer)
    }

    async fn exchange(&self, ask: &Ask<'_>) -> Result<Answer> {
        // With credentials at hand, an answer to a stranger is not what is wanted: learn first how to show them.
        if !self.auth.is_challenged() && self.auth.has_credentials(ask.repository).await? {
            self.ping().await?;
        }
        let used = self.auth.header(&self.http, ask.repository, &ask.scopes).await?;
        let sent = std::time::Instant::now();
        let reply = self.send(ask, used.as_ref()).await?;
        // What the target of a redirect thinks of strangers is no challenge of the registry.
        if reply.place() != crate::http::place(&self.base) {
            return Ok(Answer { reply, authorized: used.is_some() });
        }
        let renewed = match reply.status.as_u16() {
            401 => {
                let headers = reply.headers().clone();
                drop(reply);
                self.auth
                    .renew(&self.http, &headers, ask.repository, &ask.scopes, Refused { used: used.as_ref(), sent })
                    .await?
            }
            403 => {
                let Some(used) = &used else { return Ok(Answer { reply, authorized: false }) };
                match self.auth.renew_basic(ask.repository, used).await? {
                    Some(header) => header,
                    None => return Ok(Answer { reply, authorized: true }),
                }
            }
            _ => return Ok(Answer { reply, authorized: used.is_some() }),
        };
        self.http.counters().retried();
        let reply = self.send(ask, Some(&renewed)).await?;
        Ok(Answer { reply, authorized: true })
    }

    async fn send(&self, ask: &Ask<'_>, authorization: Option<&HeaderValue>) -> Result<Reply> {
        // Each try counts, also for the registry.
        if let Some(action) = ask.action(&self.base) {
            self.limits.wait(action).await;
        }
        let call = ask.call(authorization).await?;
        if ask.method == Method::GET || ask.method == Method::HEAD {
            self.http.fetch(call).await
        } else {
            self.http.send(call).await
        }
    }

    /// Asks `/v2/` once, without credentials, and learns from the challenge.
    async fn ping(&self) -> Result<Api> {
        self.api
            .get_or_try_init(|| async {
                let what = "ask for the API version";
                let mut reply = self.http.fetch(Call::new(Method::GET, self.base.clone(), what)).await?;
                match reply.status.as_u16() {
                    200..=299 => Ok(Api::Open),
                    401 => {
                        self.auth.learn(&self.http, reply.headers())?;
                        if self.auth.is_challenged() {
                            Ok(Api::Challenged)
                        } else {
                            Err(reply.protocol("it answers 401 without saying how to authenticate"))
                        }
                    }
                    404 => Err(reply.protocol("it does not answer `/v2/` as a registry does")),
                    _ => Err(self.error_of(&mut reply, &Method::GET, what).await),
                }
            })
            .await
            .copied()
    }

    /// Remembers that the registry itself gave a manifest of a repository, where that was to a stranger: what it says there is
    /// missing is missing, without a question about who is asking.
    pub(crate) fn gave_manifest(&self, repository: &RepositoryName, reply: &Reply) {
        if !self.auth.is_challenged() && reply.place() == crate::http::place(&self.base) {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.clone());
        }
    }

    /// Whether a stranger's 404 in a repository proves absence.
    async fn is_open(&self, repository: &RepositoryName) -> Result<bool> {
        let known = || self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(repository);
        Ok((!self.auth.is_challenged() && known()) || self.ping().await? == Api::Open)
    }

    /// Sends a request whose subject may be absent. `Ok(None)` is proof of absence.
    pub(crate) async fn ask_for(&self, ask: &Ask<'_>) -> Result<Option<Reply>> {
        let mut tries = self.tries();
        loop {
            match self.ask_for_once(ask).await {
                Ok(found) => return Ok(found),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    /// As [`Client::ask_for`], without repetition: for steps that repeat themselves as a whole.
    pub(crate) async fn ask_for_once(&self, ask: &Ask<'_>) -> Result<Option<Reply>> {
        let mut answer = self.ask_once(ask).await?;
        if answer.reply.status != 404 {
            return Ok(Some(answer.reply));
        }
        let envelope = Envelope::read(&mut answer.reply).await;
        if !envelope.may_mean_absence() {
            return Err(envelope.error(&self.host, &ask.method, &ask.what, 404));
        }
        if answer.authorized || self.is_open(ask.repository).await? {
            return Ok(None);
        }
        // The registry told a stranger 404, and does ask for authentication elsewhere: ask again as it wants.
        let mut answer = self.ask_once(ask).await?;
        if answer.reply.status != 404 {
            return Ok(Some(answer.reply));
        }
        let envelope = Envelope::read(&mut answer.reply).await;
        if !envelope.may_mean_absence() {
            return Err(envelope.error(&self.host, &ask.method, &ask.what, 404));
        }
        if !answer.authorized {
            let detail = "it wants credentials, none were found, and the 404 that it gives to strangers proves nothing";
            return Err(Error::Unauthorized { registry: self.host.clone(), detail: detail.to_owned() });
        }
        Ok(None)
    }

    /// The error that an answer means.
    pub(crate) async fn failure(&self, reply: &mut Reply, ask: &Ask<'_>) -> Error {
        self.error_of(reply, &ask.method, &ask.what).await
    }

    async fn error_of(&self, reply: &mut Reply, method: &Method, what: &str) -> Error {
        let status = reply.status.as_u16();
        let retry_after = retry_after(reply.headers());
        if status == 429 || (status == 503 && retry_after.is_some()) {
            return Error::RateLimited { registry: self.host.clone(), what: what.to_owned(), retry_after };
        }
        Envelope::read(reply).await.error(&self.host, method, what, status)
    }
}

/// The error answer of the distribution specification ("Error Codes"), or what is left when it is none.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    errors: Vec<ErrorEntry>,
    /// The answer was JSON of another kind, or text: it is shown, never interpreted.
    text: String,
}

#[derive(Debug, Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
struct ErrorDocument {
    errors: Vec<ErrorEntry>,
}

impl Envelope {
    pub(crate) async fn read(reply: &mut Reply) -> Envelope {
        let body = reply.beginning(MAX_ERROR).await;
        match serde_json::from_slice::<ErrorDocument>(&body) {
            Ok(ErrorDocument { mut errors }) => {
                for error in &mut errors {
                    error.code = reply.clean(&error.code).into_owned();
                    error.message = error.message.as_deref().map(|message| reply.clean(message).into_owned());
                }
                Envelope { errors, text: String::new() }
            }
            Err(_) => {
                let text = String::from_utf8_lossy(&body);
                Envelope { errors: Vec::new(), text: shown(reply.clean(text.trim()).as_ref()) }
            }
        }
    }

    pub(crate) fn has_code(&self, wanted: &[&str]) -> bool {
        self.errors.iter().any(|error| wanted.contains(&error.code.as_str()))
    }

    /// No codes at all (HEAD, plain text), or only codes of absence.
    fn may_mean_absence(&self) -> bool {
        self.errors.iter().all(|error| {
            matches!(error.code.as_str(), "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN" | "NOT_FOUND")
        })
    }

    /// Codes and messages on one line.
    pub(crate) fn detail(&self) -> String {
        let parts: Vec<String> = self
            .errors
            .iter()
            .take(3)
            .map(|error| match error.message.as_deref().filter(|message| !message.is_empty()) {
                Some(message) => format!("{}: {message}", error.code),
                None => error.code.clone(),
            })
            .collect();
        let text = if parts.is_empty() { self.text.clone() } else { shown(&parts.join("; ")) };
        if text.is_empty() { "no details".to_owned() } else { text }
    }

    pub(crate) fn error(&self, registry: &RegistryHost, method: &Method, what: &str, status: u16) -> Error {
        let access = if matches!(*method, Method::GET | Method::HEAD) { Access::Read } else { Access::Write };
        let (registry, what, detail) = (registry.clone(), what.to_owned(), self.detail());
        match status {
            401 => Error::Unauthorized { registry, detail: format!("{what}: {detail}") },
            403 => Error::Denied { registry, what, detail, access },
            _ => Error::Registry { registry, what, status, detail, access },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_steps_stay_on_the_registry_and_keep_its_scheme() {
        let client = Client::new("ghcr.io".parse().unwrap(), ClientOptions::default()).unwrap();
        let from = client.url(&"a/b".parse().unwrap(), "blobs/uploads/").unwrap();
        assert_eq!(from.as_str(), "https://ghcr.io/v2/a/b/blobs/uploads/");
        for (location, expected) in [
            ("/v2/a/b/blobs/uploads/1?s=x%2Fy", Some("https://ghcr.io/v2/a/b/blobs/uploads/1?s=x%2Fy")),
            ("1", Some("https://ghcr.io/v2/a/b/blobs/uploads/1")),
            ("https://ghcr.io/u#frag", Some("https://ghcr.io/u")),
            ("http://ghcr.io/u?q", Some("https://ghcr.io/u?q")),
            ("https://ghcr.io:443/u", Some("https://ghcr.io/u")),
            ("https://ghcr.io:444/u", None),
            ("http://ghcr.io:8080/u", None),
            ("https://evil.example/u", None),
            ("//evil.example/u", None),
            ("https://ghcr.io@evil.example/u", None),
            ("https://user@ghcr.io/u", None),
            ("ftp://ghcr.io/u", None),
            ("https://[", None),
        ] {
            let found = client.own_url(&from, location, "upload location").ok();
            assert_eq!(found.as_ref().map(Url::as_str), expected, "{location}");
        }
    }

    #[test]
    fn docker_hub_is_asked_under_its_other_name() {
        let client = Client::new(RegistryHost::docker_hub(), ClientOptions::default()).unwrap();
        let url = client.url(&"library/ubuntu".parse().unwrap(), "manifests/latest").unwrap();
        assert_eq!(url.as_str(), "https://registry-1.docker.io/v2/library/ubuntu/manifests/latest");
        assert_eq!(client.host().as_str(), "docker.io");
    }

    /// At 20 a second 20 go at once; of ten more, and of their repetitions, the last goes half a second later at the earliest.
    #[tokio::test]
    async fn every_try_of_a_limited_request_waits_for_its_place() {
        let registry = shipper_testkit::FakeRegistry::start();
        registry.fault(shipper_testkit::Rule::new(shipper_testkit::Fault::status(503)).method("PUT").times(5));
        let limits = &[quirks::Limit { action: Action::WriteManifest, per_second: 20 }];
        let host: RegistryHost = registry.host().parse().unwrap();
        let mut options = ClientOptions::default();
        options.retry.base = std::time::Duration::from_millis(1);
        let client = Client::with(host.clone(), options, Quirks { limits, ..quirks::of(&host) }).unwrap();
        let name: RepositoryName = "a/b".parse().unwrap();
        let started = std::time::Instant::now();
        for number in 0..25 {
            let url = client.url(&name, &format!("manifests/{number}")).unwrap();
            let ask = Ask::new(Method::PUT, url, "write", &name, Scopes::repository(&name, &["push"]));
            // What is no manifest is refused: only that it was asked counts.
            assert_eq!(
                client.ask(&ask).await.map(|answer| answer.reply.status.as_u16()).ok(),
                (number > 0).then_some(400)
            );
        }
        registry.log().assert_count("PUT", "/manifests/", 29);
        assert!(started.elapsed().as_millis() >= 440, "{:?}", started.elapsed());
    }
}
