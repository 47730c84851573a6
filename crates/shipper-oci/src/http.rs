//! The one HTTP module: every request of this crate passes here.
//!
//! Invariants:
//! - no request goes over plain http unless its host is this machine or was named insecure;
//! - redirects are followed for GET and HEAD only, at most [`MAX_REDIRECTS`], never from https to http, never into
//!   another [`Zone`], and carry no credentials to another origin;
//! - no answer is read without a limit on its size, and no answer is waited for without a limit on silence;
//! - no URL with its query, which may be signed, enters an error or a log line, and no text of a peer does with a credential
//!   that was sent in it;
//! - the TLS client, whose certificate roots take tens of milliseconds to load, is built at the first https request.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use url::Url;

use crate::address::{Zone, may_connect};
use crate::error::shown;
use crate::reply::{Asked, Reply};
use crate::sent::Sent;
use crate::{ClientOptions, Error, RegistryHost, Result, Stats, Timeouts, tls};

/// Redirects of one request that are followed.
const MAX_REDIRECTS: usize = 3;

/// A body being sent. An error in it aborts the request, so that the peer never sees a complete but wrong body.
pub(crate) type BodyStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// What is sent with a request.
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    /// A stream of exactly `length` bytes.
    Stream {
        stream: BodyStream,
        length: u64,
    },
}

/// One request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// What it is for, as error messages say it.
    pub(crate) what: String,
    /// Whether path and query are for nobody to see.
    pub(crate) is_secret: bool,
}

impl Call {
    pub(crate) fn new(method: Method, url: Url, what: impl Into<String>) -> Call {
        Call { method, url, headers: HeaderMap::new(), body: Body::Empty, what: what.into(), is_secret: false }
    }
}

/// Counts what a client does.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counters {
    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            requests: self.requests.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_received: self.received.load(Ordering::Relaxed),
        }
    }
}

/// The transport of one registry.
pub(crate) struct Http {
    registry: RegistryHost,
    options: Arc<ClientOptions>,
    counters: Arc<Counters>,
    sent: Arc<Sent>,
    plain: OnceLock<Result<reqwest::Client, String>>,
    tls: OnceLock<Result<reqwest::Client, String>>,
}

impl Http {
    /// Checks the options; builds no client yet.
    pub(crate) fn new(registry: RegistryHost, options: Arc<ClientOptions>) -> Result<Http> {
        tls::extra_roots(&options).map_err(|reason| Error::Options { reason })?;
        proxies(&options).map_err(|reason| Error::Options { reason })?;
        HeaderValue::from_str(&options.user_agent).map_err(|_| Error::Options {
            reason: "the user agent has characters that a header cannot hold".to_owned(),
        })?;
        let (counters, sent) = (Arc::default(), Arc::default());
        Ok(Http { registry, options, counters, sent, plain: OnceLock::new(), tls: OnceLock::new() })
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The credentials that went out with requests.
    pub(crate) fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Whether plain http is spoken to the registry.
    pub(crate) fn is_plain(&self) -> bool {
        is_plain(&self.registry, &self.options)
    }

    /// Sends one request and follows redirects of GET and HEAD.
    pub(crate) async fn fetch(&self, mut call: Call) -> Result<Reply> {
        for _ in 0..=MAX_REDIRECTS {
            let next = Call {
                method: call.method.clone(),
                url: call.url.clone(),
                headers: call.headers.clone(),
                body: Body::Empty,
                what: call.what.clone(),
                is_secret: call.is_secret,
            };
            let reply = self.send(call).await?;
            if !matches!(reply.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(reply);
            }
            let target = self.redirect_target(&next.url, reply.header(&LOCATION))?;
            call = next;
            if origin(&target) != origin(&call.url) {
                call.headers.remove(AUTHORIZATION);
            }
            call.url = target;
        }
        Err(self.unsafe_redirect(&format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn redirect_target(&self, from: &Url, location: Option<&str>) -> Result<Url> {
        let location = location.ok_or_else(|| self.unsafe_redirect("it names no target"))?;
        let mut target = from.join(location).map_err(|_| self.unsafe_redirect("its target is not a URL"))?;
        target.set_fragment(None);
        let place = place(&target);
        let refuse = |rule: &str| self.unsafe_redirect(&format!("{place}: {rule}"));
        if !target.username().is_empty() || target.password().is_some() {
            return Err(refuse("the target holds a user name"));
        }
        let Some(host) = target.host_str() else { return Err(refuse("the target has no host")) };
        let trusted = self.is_trusted(&target);
        match target.scheme() {
            "https" => {}
            "http" if from.scheme() == "http" => {}
            _ => return Err(refuse("only https is followed")),
        }
        if !trusted && !Zone::of_host(self.registry.name()).may_send_to(Zone::of_host(host)) {
            return Err(refuse("the target is a private address"));
        }
        Ok(target)
    }

    /// Whether the user named this host as trusted.
    pub(crate) fn is_trusted(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let with_port = url.port().map(|port| format!("{host}:{port}"));
        self.options.trusted_hosts.iter().any(|trusted| {
            trusted.eq_ignore_ascii_case(host)
                || with_port.as_ref().is_some_and(|host| trusted.eq_ignore_ascii_case(host))
        })
    }

    fn unsafe_redirect(&self, reason: &str) -> Error {
        Error::UnsafePeer { registry: self.registry.clone(), what: "redirect", reason: shown(&self.sent.clean(reason)) }
    }

    /// Sends one request; redirects are answers like any other.
    pub(crate) async fn send(&self, call: Call) -> Result<Reply> {
        let Call { method, url, mut headers, body, what, is_secret } = call;
        let client = self.client(&url)?;
        let (host, place) = (self.sent.clean(&host_of(&url)).into_owned(), place(&url));
        let activity = Arc::new(Activity::new());
        if let Some(authorization) = headers.get_mut(AUTHORIZATION) {
            authorization.set_sensitive(true);
            self.sent.remember_header(authorization);
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        // A registry names the place of the next step, with whatever it likes in it.
        let path = if is_secret { "..".to_owned() } else { self.sent.clean(url.path()).into_owned() };
        let mut request = client.request(method.clone(), url).headers(headers);
        let mut limit = self.options.timeouts.header;
        match body {
            Body::Empty => activity.finish(),
            Body::Bytes(bytes) => {
                self.counters.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                request = request.body(bytes);
                activity.finish();
            }
            Body::Stream { stream, length } => {
                limit += Duration::from_secs(length >> 24);
                let watched = Watched {
                    stream,
                    left: length,
                    activity: Arc::clone(&activity),
                    counters: Arc::clone(&self.counters),
                };
                if length == 0 {
                    activity.finish();
                }
                request =
                    request.header(reqwest::header::CONTENT_LENGTH, length).body(reqwest::Body::wrap_stream(watched));
            }
        }
        let started = Instant::now();
        let response = self.await_header(request.send(), &activity, limit, &host, &what).await?;
        let elapsed = started.elapsed().as_millis();
        tracing::debug!(%method, host, path = shown(&path), status = response.status().as_u16(), elapsed, "answered");
        let (counters, sent) = (Arc::clone(&self.counters), Arc::clone(&self.sent));
        let asked = Asked { place, host, what, timeouts: self.options.timeouts, counters, sent };
        let reply = Reply::new(response, asked);
        match reply.header(&CONTENT_ENCODING) {
            Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
                Err(reply.protocol("it answered with a content encoding that was not asked for"))
            }
            _ => Ok(reply),
        }
    }

    /// Waits for the header of the answer: while the body goes out it must move on, afterwards `limit` runs.
    async fn await_header(
        &self,
        sending: impl Future<Output = reqwest::Result<reqwest::Response>>,
        activity: &Activity,
        limit: Duration,
        host: &str,
        what: &str,
    ) -> Result<reqwest::Response> {
        let rest = self.options.timeouts.stall * 3;
        tokio::pin!(sending);
        loop {
            let (since, allowed, phase) = match activity.state() {
                State::Sending(since) => (since, rest, "upload stalled"),
                State::Sent(since) => (since, limit, "waiting for the answer"),
            };
            let elapsed = since.elapsed();
            if elapsed >= allowed {
                return Err(Error::Timeout { host: host.to_owned(), what: format!("{what}: {phase}"), limit: allowed });
            }
            tokio::select! {
                answer = &mut sending => return answer.map_err(|error| transport_error(error, host, what, self.options.timeouts)),
                () = tokio::time::sleep(allowed - elapsed) => {}
            }
        }
    }

    fn client(&self, url: &Url) -> Result<&reqwest::Client> {
        let cell = match url.scheme() {
            "https" => &self.tls,
            "http" if is_plain_url(url, &self.registry, &self.options) => &self.plain,
            _ => {
                let reason = format!("{} is not https", self.sent.clean(&place(url)));
                return Err(Error::UnsafePeer { registry: self.registry.clone(), what: "plain http", reason });
            }
        };
        let secure = url.scheme() == "https";
        cell.get_or_init(|| self.build(secure)).as_ref().map_err(|reason| Error::Options { reason: reason.clone() })
    }

    fn build(&self, secure: bool) -> Result<reqwest::Client, String> {
        let (proxies, hosts) = proxies(&self.options)?;
        let resolver = Resolver { registry: self.registry.name().into(), proxies: hosts };
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.options.timeouts.connect)
            .user_agent(&self.options.user_agent)
            .dns_resolver(Arc::new(resolver))
            .pool_idle_timeout(Duration::from_secs(20));
        builder = if secure { tls::secure(builder, tls::extra_roots(&self.options)?) } else { tls::plain(builder) }
            .map_err(|error| error.to_string())?;
        builder = builder.no_proxy();
        if !self.registry.is_loopback() {
            builder = proxies.into_iter().fold(builder, reqwest::ClientBuilder::proxy);
        }
        builder.build().map_err(|error| shown(&chain(&error)))
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// A client for an engine that this machine's user named: over a socket, or over TCP without TLS.
pub(crate) fn engine(socket: Option<&std::path::Path>, connect: Duration) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(connect)
        .no_proxy();
    let builder = tls::plain(builder).map_err(|error| Error::Options { reason: error.to_string() })?;
    #[cfg(unix)]
    let builder = match socket {
        Some(socket) => builder.unix_socket(socket),
        None => builder,
    };
    #[cfg(not(unix))]
    if socket.is_some() {
        return Err(Error::Options { reason: "this system has no Unix sockets; set DOCKER_HOST=tcp://..".to_owned() });
    }
    builder.build().map_err(|error| Error::Options { reason: shown(&chain(&error)) })
}

/// The proxies, and the names of their hosts. What cannot be used is an error: going without would go another way than the
/// user said.
fn proxies(options: &ClientOptions) -> Result<(Vec<reqwest::Proxy>, Vec<String>), String> {
    let except = options.proxies.except.as_deref().and_then(reqwest::NoProxy::from_string);
    let (mut proxies, mut hosts) = (Vec::new(), Vec::new());
    for (scheme, url) in [("https", &options.proxies.https), ("http", &options.proxies.http)] {
        let Some(text) = url else { continue };
        // As curl has it, a proxy without scheme is one of plain http.
        let text = if text.contains("://") { text.clone() } else { format!("http://{text}") };
        // The text may hold a password.
        let unusable = || format!("the proxy for {scheme} is not an `http://` or `https://` URL with a host");
        let url = Url::parse(&text).map_err(|_| unusable())?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(unusable)?;
        hosts.push(host.to_owned());
        let proxy = if scheme == "https" { reqwest::Proxy::https(text) } else { reqwest::Proxy::http(text) };
        proxies.push(proxy.map_err(|_| unusable())?.no_proxy(except.clone()));
    }
    Ok((proxies, hosts))
}

fn is_plain(registry: &RegistryHost, options: &ClientOptions) -> bool {
    let named = |hosts: &BTreeSet<String>| {
        hosts
            .iter()
            .any(|host| host.eq_ignore_ascii_case(registry.as_str()) || host.eq_ignore_ascii_case(registry.name()))
    };
    if named(&options.insecure_hosts) {
        return true;
    }
    registry.is_loopback() && registry.port() != Some(443) && !named(&options.tls_hosts)
}

/// Whether plain http may be spoken to this URL's host: that of a plain registry, this machine for such a one, and what
/// the user named.
fn is_plain_url(url: &Url, registry: &RegistryHost, options: &ClientOptions) -> bool {
    let Some(host) = url.host_str() else { return false };
    let port = url.port().map(|port| format!("{host}:{port}"));
    let named = options.insecure_hosts.iter().any(|named| {
        named.eq_ignore_ascii_case(host) || port.as_ref().is_some_and(|host| named.eq_ignore_ascii_case(host))
    });
    let own = host.trim_start_matches('[').trim_end_matches(']') == registry.name();
    named || (is_plain(registry, options) && (own || (registry.is_loopback() && Zone::of_host(host) == Zone::Loopback)))
}

/// Scheme, host and port.
fn origin(url: &Url) -> (&str, Option<&str>, Option<u16>) {
    (url.scheme(), url.host_str(), url.port_or_known_default())
}

/// A URL without its path and query.
pub(crate) fn place(url: &Url) -> String {
    format!("{}://{}", url.scheme(), host_of(url))
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("nowhere");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An error with its sources on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

pub(crate) fn transport_error(error: reqwest::Error, host: &str, what: &str, timeouts: Timeouts) -> Error {
    if error.is_timeout() {
        return Error::Timeout { host: host.to_owned(), what: format!("{what}: connecting"), limit: timeouts.connect };
    }
    // The URL may hold a signed query.
    Error::Unreachable { host: host.to_owned(), what: what.to_owned(), source: Box::new(error.without_url()) }
}

/// Resolves names, leaving out addresses that no peer may send this client to.
struct Resolver {
    registry: Box<str>,
    /// Hosts that the user named as proxies: they may be anywhere.
    proxies: Vec<String>,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let is_proxy = self.proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(name.as_str()));
        let registry = self.registry.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> =
                found.iter().copied().filter(|at| is_proxy || may_connect(name.as_str(), &registry, *at)).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err("the name resolves to this machine or a metadata service, which is refused".into());
            }
            Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

/// When the last piece of a body left.
struct Activity(Mutex<State>);

#[derive(Clone, Copy)]
enum State {
    Sending(Instant),
    Sent(Instant),
}

impl Activity {
    fn new() -> Activity {
        Activity(Mutex::new(State::Sending(Instant::now())))
    }

    fn moved(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Sending(Instant::now());
    }

    fn finish(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Sent(Instant::now());
    }

    fn state(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body whose progress is seen, and which fails rather than being longer or shorter than announced.
struct Watched {
    stream: BodyStream,
    left: u64,
    activity: Arc<Activity>,
    counters: Arc<Counters>,
}

impl Stream for Watched {
    type Item = std::io::Result<Bytes>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        use std::task::Poll;

        let next = std::task::ready!(self.stream.as_mut().poll_next(context));
        Poll::Ready(match next {
            Some(Ok(bytes)) => {
                let length = bytes.len() as u64;
                let Some(left) = self.left.checked_sub(length) else {
                    return Poll::Ready(Some(Err(std::io::Error::other("the body is longer than announced"))));
                };
                self.left = left;
                self.counters.sent.fetch_add(length, Ordering::Relaxed);
                if left == 0 {
                    self.activity.finish();
                } else {
                    self.activity.moved();
                }
                Some(Ok(bytes))
            }
            None if self.left > 0 => Some(Err(std::io::Error::other("the body is shorter than announced"))),
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(registry: &str) -> Http {
        let mut options = ClientOptions::default();
        options.insecure_hosts.insert("plain.test:80".to_owned());
        options.tls_hosts.insert("localhost:8443".to_owned());
        options.trusted_hosts.insert("10.0.0.7".to_owned());
        Http::new(registry.parse().unwrap(), Arc::new(options)).unwrap()
    }

    #[test]
    fn plain_http_is_for_this_machine_and_named_hosts() {
        for (registry, url, allowed) in [
            ("ghcr.io", "http://ghcr.io/", false),
            ("ghcr.io", "http://localhost/", false),
            ("ghcr.io", "http://plain.test/", false),
            ("plain.test:80", "http://plain.test:80/", true),
            ("plain.test:80", "http://other.test/", false),
            ("plain.test:80", "http://localhost/", false),
            ("localhost:5000", "http://localhost:5000/", true),
            ("localhost:5000", "http://127.0.0.1:9/", true),
            ("localhost:5000", "http://example.com/", false),
            ("localhost:443", "http://localhost/", false),
            ("localhost:8443", "http://localhost:8443/", false),
            ("[::1]:5000", "http://[::1]:5000/", true),
            ("ghcr.io", "ftp://ghcr.io/", false),
        ] {
            assert_eq!(http(registry).client(&url.parse().unwrap()).is_ok(), allowed, "{registry} {url}");
        }
    }

    /// N2 and N15 for a public registry, which no test can be.
    #[test]
    fn redirects_of_a_public_registry_stay_public_and_encrypted() {
        let from: Url = "https://ghcr.io/v2/a/blobs/b".parse().unwrap();
        for (location, allowed) in [
            ("https://cdn.example.com/x?sig=1", true),
            ("/v2/other", true),
            ("//cdn.example.com/x", true),
            ("https://10.0.0.7/x", true),
            ("http://cdn.example.com/x", false),
            ("https://127.0.0.1/x", false),
            ("https://localhost/x", false),
            ("https://[::1]/x", false),
            ("https://[::ffff:10.0.0.1]/x", false),
            ("https://10.0.0.8/x", false),
            ("https://169.254.169.254/x", false),
            ("https://0x7f000001/x", false),
            ("https://2130706433/x", false),
            ("https://user@cdn.example.com/x", false),
            ("javascript:x", false),
        ] {
            assert_eq!(http("ghcr.io").redirect_target(&from, Some(location)).is_ok(), allowed, "{location}");
        }
        assert!(http("ghcr.io").redirect_target(&from, None).is_err());
    }

    #[test]
    fn errors_do_not_print_queries() {
        let url: Url = "https://user:secret@cdn.example.com:444/path?X-Signature=secret".parse().unwrap();
        assert_eq!(place(&url), "https://cdn.example.com:444");
    }
}
