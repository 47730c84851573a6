//! How a registry client behaves: hosts, limits of time, retries, credentials, progress.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Credentials, Digest, RepositoryName};

/// Options of [`crate::Store::registry`]. Change the fields of [`ClientOptions::default`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Where user names and passwords come from; by default nowhere.
    pub credentials: Credentials,
    /// Hosts (`host` or `host:port`) that are spoken to over plain http although they are not this machine. Passwords
    /// then cross the network in the clear.
    pub insecure_hosts: BTreeSet<String>,
    /// Hosts (`host` or `host:port`) on this machine that speak TLS all the same. Port 443 always does.
    pub tls_hosts: BTreeSet<String>,
    /// Further hosts to which the registry may send this client: token servers that share no domain with it (they receive
    /// the password), and private addresses as targets of redirects (they receive no credentials).
    pub trusted_hosts: BTreeSet<String>,
    /// Additional certificate authorities, each a PEM file's bytes.
    pub root_certificates: Vec<Vec<u8>>,
    /// Through which proxies registries are reached; by default none. A registry on this machine never goes through one.
    pub proxies: Proxies,
    /// Limits of time.
    pub timeouts: Timeouts,
    /// How often and how fast failed steps are repeated.
    pub retry: RetryPolicy,
    /// `User-Agent` of all requests.
    pub user_agent: String,
    /// Told about blob uploads.
    pub progress: Option<ProgressSink>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            credentials: Credentials::anonymous(),
            insecure_hosts: BTreeSet::new(),
            tls_hosts: BTreeSet::new(),
            trusted_hosts: BTreeSet::new(),
            root_certificates: Vec::new(),
            proxies: Proxies::default(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            user_agent: concat!("shipper/", env!("CARGO_PKG_VERSION")).to_owned(),
            progress: None,
        }
    }
}

impl ClientOptions {
    /// Default options with the credentials and proxies of the user who runs this process.
    #[must_use]
    pub fn from_env() -> ClientOptions {
        let proxies = Proxies::from_variables(|name| std::env::var(name).ok());
        ClientOptions { credentials: Credentials::from_env(), proxies, ..ClientOptions::default() }
    }
}

/// Proxies by the scheme of what is reached through them. A URL may hold user and password for its proxy, which alone gets
/// them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For https, by `CONNECT`: the proxy sees names and no content.
    pub https: Option<String>,
    /// For plain http.
    pub http: Option<String>,
    /// Hosts that are reached directly, as `NO_PROXY` lists them: names with their subdomains, addresses, networks, `*`.
    pub except: Option<String>,
}

impl Proxies {
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in lower case first, as curl reads them. A program
    /// that was started by a web server (`REQUEST_METHOD` is set) ignores `HTTP_PROXY`, which is then a header of a request
    /// (CVE-2016-5385).
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let either = |name: &str| set(&name.to_ascii_lowercase()).or_else(|| set(name));
        let all = either("ALL_PROXY");
        let http = set("http_proxy").or_else(|| set("HTTP_PROXY").filter(|_| set("REQUEST_METHOD").is_none()));
        Proxies { https: either("HTTPS_PROXY").or_else(|| all.clone()), http: http.or(all), except: either("NO_PROXY") }
    }
}

impl fmt::Debug for Proxies {
    /// Without the URLs, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (https, http) = (self.https.is_some(), self.http.is_some());
        f.debug_struct("Proxies").field("https", &https).field("http", &http).field("except", &self.except).finish()
    }
}

/// Limits of time for one request. There is no limit on the whole of a long transfer, only on silence in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Name resolution, TCP and TLS handshakes together.
    pub connect: Duration,
    /// From the end of the request to the end of the answer's header. After an upload the registry gets one more second
    /// for every 16 MiB, because it hashes or moves them.
    pub header: Duration,
    /// In an answer's body, [`Timeouts::STALL_BYTES`] must arrive within this time. An upload may rest three times as
    /// long, because only whole pieces of 128 KiB are seen to leave.
    pub stall: Duration,
}

impl Timeouts {
    /// The least progress within [`Timeouts::stall`].
    pub const STALL_BYTES: u64 = 1024;
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { connect: Duration::from_secs(5), header: Duration::from_secs(30), stall: Duration::from_secs(20) }
    }
}

/// Repetition of failed steps: full jitter, a random time up to `base * 2^n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries of one step, the first included.
    pub tries: u32,
    /// Upper bound of the pause after the first failure; doubles with each.
    pub base: Duration,
    /// Upper bound of any pause that the registry did not ask for.
    pub cap: Duration,
    /// Upper bound of a pause that the registry asked for (`Retry-After`).
    pub retry_after_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            tries: 5,
            base: Duration::from_millis(200),
            cap: Duration::from_secs(10),
            retry_after_cap: Duration::from_secs(60),
        }
    }
}

/// Is told how blob uploads go on. Called often, from any thread; must not block.
pub trait Progress: Send + Sync {
    /// `done` of `total` bytes of a blob were handed to the network. `done` falls back to 0 when an upload is repeated.
    fn upload(&self, repository: &RepositoryName, blob: &Digest, done: u64, total: u64);
}

/// A shared [`Progress`], with the `Debug` that options need.
#[derive(Clone)]
pub struct ProgressSink(Arc<dyn Progress>);

impl ProgressSink {
    /// Wraps a receiver.
    pub fn new(progress: impl Progress + 'static) -> ProgressSink {
        ProgressSink(Arc::new(progress))
    }

    pub(crate) fn upload(&self, repository: &RepositoryName, blob: &Digest, done: u64, total: u64) {
        self.0.upload(repository, blob, done, total);
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressSink")
    }
}

impl<F: Fn(&RepositoryName, &Digest, u64, u64) + Send + Sync> Progress for F {
    fn upload(&self, repository: &RepositoryName, blob: &Digest, done: u64, total: u64) {
        self(repository, blob, done, total);
    }
}

/// What a client has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests sent, those to token servers and redirect targets included.
    pub requests: u64,
    /// Steps that were repeated after a failure.
    pub retries: u64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of answer bodies.
    pub bytes_received: u64,
}
