//! The request log: what arrived, what was answered, how many bytes each way.
//!
//! Invariants: a request is listed as soon as its head was read, so one that hangs is seen; byte counts are those of
//! bodies and grow before the client can have read them, so a client that is done finds them complete.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::secret::{self, Form};

/// Bytes of each request body that are kept for the search for secrets.
const KEPT_BODY: usize = 1 << 20;

/// Which of the stand-in's listeners took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The registry itself.
    Registry,
    /// The token server that a `Bearer` challenge names.
    Token,
    /// The host that blobs are redirected to.
    Storage,
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which listener took it.
    pub host: Host,
    /// Number of the connection, counted over all listeners: equal numbers mean that the connection was kept.
    pub connection: u64,
    /// Upper case, such as `GET`.
    pub method: String,
    /// Without the query, percent-encoding as received.
    pub path: String,
    /// Without the question mark; empty if there was none.
    pub query: String,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// At most the first MiB of the body.
    pub body: Bytes,
    /// Bytes of the request body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes_out: u64,
    /// `None` while no answer was given, and for requests that a fault ended without one.
    pub status: Option<u16>,
    /// The faults that were applied, empty for none.
    pub faults: Vec<String>,
}

impl Request {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the method can change something: everything but `GET` and `HEAD`.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.map_or_else(|| "---".to_owned(), |status| status.to_string());
        write!(out, "{:?} #{} {} {}", self.host, self.connection, self.method, self.path)?;
        if !self.query.is_empty() {
            write!(out, "?{}", self.query)?;
        }
        write!(out, " -> {status} ({} in, {} out)", self.bytes_in, self.bytes_out)?;
        for fault in &self.faults {
            write!(out, " [{fault}]")?;
        }
        Ok(())
    }
}

/// Where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Position in the log.
    pub request: usize,
    /// Which listener received it.
    pub host: Host,
    /// `path`, `query`, `body` or `header NAME`.
    pub place: String,
    /// How it was written.
    pub form: Form,
}

/// A copy of the log at one moment, in order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// All requests.
    pub requests: Vec<Request>,
}

impl Log {
    /// Requests with this method (`*` for any) whose path contains `part`, in order.
    #[must_use]
    pub fn matching(&self, method: &str, part: &str) -> Vec<&Request> {
        self.requests
            .iter()
            .filter(|request| (method == "*" || request.method == method) && request.path.contains(part))
            .collect()
    }

    /// Number of requests with this method (`*` for any) whose path contains `part`.
    #[must_use]
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.matching(method, part).len()
    }

    /// Requests to the registry that can change something. Tokens fetched by `POST` are not counted.
    #[must_use]
    pub fn writes(&self) -> Vec<&Request> {
        self.requests.iter().filter(|request| request.host == Host::Registry && request.is_write()).collect()
    }

    /// Body bytes received by the registry.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.requests.iter().filter(|request| request.host == Host::Registry).map(|request| request.bytes_in).sum()
    }

    /// Body bytes of all answers, the storage host's included.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.requests.iter().map(|request| request.bytes_out).sum()
    }

    /// Number of different connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        let mut numbers: Vec<u64> = self.requests.iter().map(|request| request.connection).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len()
    }

    /// # Panics
    /// If the number of matching requests differs; the message holds the whole log.
    #[track_caller]
    pub fn assert_count(&self, method: &str, part: &str, expected: usize) {
        let found = self.count(method, part);
        assert!(found == expected, "{found} requests `{method} ..{part}..`, expected {expected}:\n{self}");
    }

    /// # Panics
    /// If the log does not hold exactly `expected` requests; the message holds the whole log.
    #[track_caller]
    pub fn assert_len(&self, expected: usize) {
        let found = self.requests.len();
        assert!(found == expected, "{found} requests, expected {expected}:\n{self}");
    }

    /// # Panics
    /// If the registry received a request that can change something; the message holds the whole log.
    #[track_caller]
    pub fn assert_no_writes(&self) {
        let found = self.writes().len();
        assert!(found == 0, "{found} writes, expected none:\n{self}");
    }

    /// Where `secret` was sent: as it is, in base64, URL-encoded or in hexadecimal, in any part of a request.
    #[must_use]
    pub fn exposures(&self, secret: &str) -> Vec<Exposure> {
        let mut found = Vec::new();
        for (index, request) in self.requests.iter().enumerate() {
            let mut search = |place: String, bytes: &[u8]| {
                for form in secret::forms_in(bytes, secret) {
                    found.push(Exposure { request: index, host: request.host, place: place.clone(), form });
                }
            };
            search("path".to_owned(), request.path.as_bytes());
            search("query".to_owned(), request.query.as_bytes());
            search("body".to_owned(), &request.body);
            for (name, value) in &request.headers {
                search(format!("header {name}"), value.as_bytes());
            }
        }
        found
    }
}

impl fmt::Display for Log {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, request) in self.requests.iter().enumerate() {
            writeln!(out, "{index:4} {request}")?;
        }
        Ok(())
    }
}

/// A line of the log while its request is handled.
#[derive(Debug)]
pub(super) struct Entry {
    head: Request,
    progress: Mutex<Progress>,
    bytes_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Progress {
    body: Vec<u8>,
    bytes_in: u64,
    status: Option<u16>,
    faults: Vec<String>,
}

impl Entry {
    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn received(&self, chunk: &[u8]) {
        let mut progress = self.progress();
        progress.bytes_in += chunk.len() as u64;
        let room = KEPT_BODY.saturating_sub(progress.body.len());
        progress.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    pub(super) fn answered(&self, status: u16) {
        self.progress().status = Some(status);
    }

    pub(super) fn faulted(&self, fault: String) {
        self.progress().faults.push(fault);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Request {
        let progress = self.progress();
        Request {
            body: Bytes::copy_from_slice(&progress.body),
            bytes_in: progress.bytes_in,
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            status: progress.status,
            faults: progress.faults.clone(),
            ..self.head.clone()
        }
    }
}

/// The log as the server fills it.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Mutex<Vec<Arc<Entry>>>,
}

impl Journal {
    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, head: Request) -> Arc<Entry> {
        let entry = Arc::new(Entry { head, progress: Mutex::default(), bytes_out: AtomicU64::new(0) });
        self.entries().push(Arc::clone(&entry));
        entry
    }

    pub(super) fn snapshot(&self) -> Log {
        let requests = self.entries().iter().map(|entry| entry.snapshot()).collect();
        Log { requests }
    }

    pub(super) fn clear(&self) {
        self.entries().clear();
    }
}
