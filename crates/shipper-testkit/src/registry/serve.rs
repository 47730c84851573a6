//! One request from its head to its answer: log, faults, credentials, handler, faults again.
//!
//! Invariants: nothing takes effect before the body was read whole; a fault that says "without effect" has none;
//! every request is in the log, whatever happens to it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::auth::{Guard, Names, needed};
use super::fault::{Fault, Script};
use super::log::{Entry, Host, Journal, Request};
use super::profile::{BadPath, Profile, Quirks};
use super::reply::Reply;
use super::route::{Invalid, Route};
use super::store::Store;
use super::wire::{Caller, Connection, body};
use super::{blobs, listing, manifests};

/// Everything that the listeners of one server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) profile: Profile,
    pub(super) quirks: Quirks,
    pub(super) guard: Mutex<Guard>,
    pub(super) store: Mutex<Store>,
    pub(super) journal: Journal,
    pub(super) script: Script,
    pub(crate) registry: String,
    pub(super) token: String,
    pub(super) storage: String,
    pub(super) signature: String,
    pub(super) latency: Duration,
    pub(super) page: Option<usize>,
    pub(crate) mounting: AtomicBool,
}

impl Shared {
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Names {
        Names {
            registry: self.registry.clone(),
            realm: format!("http://{}/token", self.token),
            insufficient: self.quirks.insufficient,
            ecr: self.profile == Profile::Ecr,
        }
    }
}

/// A request with its whole body, as handlers see it.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) method: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Call<'_> {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A listener's role and the state it shares with the others.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) host: Host,
    pub(super) shared: Arc<Shared>,
}

/// Handles one request.
pub(super) async fn handle(
    State(desk): State<Desk>,
    ConnectInfo(Caller(connection)): ConnectInfo<Caller>,
    request: axum::extract::Request,
) -> Response<Body> {
    let shared = &desk.shared;
    let (parts, incoming) = request.into_parts();
    let head = head_of(desk.host, connection.number, &parts.method, &parts.uri, &parts.headers);
    let entry = shared.journal.begin(head.clone());
    let faults = shared.script.strikes(&head);
    for fault in &faults {
        entry.faulted(fault.label());
    }
    if !shared.latency.is_zero() {
        tokio::time::sleep(shared.latency).await;
    }
    let limit = faults.iter().find_map(|fault| match fault {
        Fault::ResetReading(limit) => Some(*limit),
        _ => None,
    });
    let Some(received) = read_body(incoming, limit, &entry).await else {
        connection.kill();
        return Response::new(Body::empty());
    };
    let call = Call {
        shared,
        method: parts.method.as_str(),
        headers: &parts.headers,
        query: url::form_urlencoded::parse(head.query.as_bytes()).into_owned().collect(),
        body: received,
    };
    let Some(reply) = answer(&call, &head, &faults, &connection).await else {
        return Response::new(Body::empty());
    };
    if reply.drop {
        connection.hang_up();
        return Response::new(Body::empty());
    }
    send(reply, call.method, &faults, entry, connection)
}

/// The answer after faults that come before or instead of it; `None` if the connection was reset instead.
async fn answer(call: &Call<'_>, head: &Request, faults: &[Fault], connection: &Connection) -> Option<Reply> {
    for fault in faults {
        match fault {
            Fault::Delay(time) => tokio::time::sleep(*time).await,
            Fault::Hang => std::future::pending().await,
            Fault::Reset => {
                connection.kill();
                return None;
            }
            Fault::Status { code, headers, body } => {
                let mut reply = Reply::new(*code).body(body.clone());
                for (name, value) in headers {
                    put_header(&mut reply.headers, name, value);
                }
                return Some(reply);
            }
            _ => {}
        }
    }
    let reply = match head.host {
        Host::Registry => registry(call, &head.path),
        Host::Token => token(call),
        Host::Storage => blobs::storage(call, &head.path),
    };
    if faults.iter().any(|fault| matches!(fault, Fault::LoseReply)) {
        connection.kill();
        return None;
    }
    Some(reply)
}

fn registry(call: &Call<'_>, path: &str) -> Reply {
    let shared = call.shared;
    let route = Route::parse(path);
    let from = call.query("from").filter(|_| matches!(route, Route::Upload(..)));
    let scopes = needed(&route, call.method, from);
    if path.starts_with("/v2")
        && let Err(refusal) = shared.guard().check(call.headers, &scopes, &shared.names())
    {
        return dress(shared, *refusal);
    }
    let reply = match &route {
        Route::Ping => Reply::json(200, &serde_json::json!({})),
        Route::Catalog => listing::catalog(call),
        Route::Tags(name) => listing::tags(call, name),
        Route::Referrers(name, digest) => listing::referrers(call, name, digest),
        Route::Manifest(name, reference) => manifests::handle(call, name, reference),
        Route::Blob(name, digest) => blobs::handle(call, name, digest),
        Route::Upload(name, id) => blobs::upload(call, name, id),
        Route::Invalid(part) => invalid(shared.quirks.bad_path, *part),
        Route::Unknown => Reply::no_such_page(),
    };
    dress(shared, reply)
}

fn dress(shared: &Shared, reply: Reply) -> Reply {
    if shared.quirks.api_version { reply.header("docker-distribution-api-version", "registry/2.0") } else { reply }
}

fn invalid(style: BadPath, part: Invalid) -> Reply {
    match (style, part) {
        (BadPath::NoRoute, _) => Reply::no_such_page(),
        (BadPath::Bare, _) => Reply::new(400),
        (BadPath::Envelope, Invalid::Name) => Reply::error(400, "NAME_INVALID", "invalid repository name"),
        (BadPath::Envelope, Invalid::Tag) => Reply::error(400, "TAG_INVALID", "invalid tag name"),
        (BadPath::Envelope, Invalid::Digest) => Reply::error(400, "DIGEST_INVALID", "invalid digest"),
    }
}

fn token(call: &Call<'_>) -> Reply {
    let mut parameters = call.query.clone();
    if call.method == "POST" {
        parameters.extend(url::form_urlencoded::parse(&call.body).into_owned());
    }
    call.shared.guard().token(call.headers, &parameters, call.method)
}

fn send(
    reply: Reply,
    method: &str,
    faults: &[Fault],
    entry: Arc<Entry>,
    connection: Arc<Connection>,
) -> Response<Body> {
    let Reply { status, mut headers, body: mut bytes, .. } = reply;
    if let Some(other) = faults.iter().find_map(|fault| match fault {
        Fault::Body(other) => Some(other),
        _ => None,
    }) {
        bytes = other.clone();
        headers.remove(header::CONTENT_LENGTH);
    }
    if !headers.contains_key(header::CONTENT_LENGTH)
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    for fault in faults {
        match fault {
            Fault::Header(name, value) => put_header(&mut headers, name, value),
            Fault::NoHeader(name) => {
                headers.remove(name.as_str());
            }
            _ => {}
        }
    }
    entry.answered(status.as_u16());
    let bodyless =
        method == Method::HEAD.as_str() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let content = if bodyless { Body::empty() } else { body(bytes, faults, entry, connection) };
    let mut response = Response::new(content);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Replaces a header; what is not a legal header is a mistake of the test.
fn put_header(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("because the test names a legal header");
    let value = HeaderValue::from_bytes(value.as_bytes()).expect("because the test gives a legal header value");
    headers.insert(name, value);
}

/// The whole body, or `None` once more than `limit` bytes arrived or the client went away.
async fn read_body(incoming: Body, limit: Option<u64>, entry: &Entry) -> Option<Bytes> {
    let mut stream = incoming.into_data_stream();
    let mut all: Vec<u8> = Vec::new();
    loop {
        if limit.is_some_and(|limit| all.len() as u64 >= limit) {
            return None;
        }
        match stream.next().await {
            None => return Some(Bytes::from(all)),
            Some(Ok(chunk)) => {
                entry.received(&chunk);
                all.extend_from_slice(&chunk);
            }
            Some(Err(_)) => return None,
        }
    }
}

fn head_of(host: Host, connection: u64, method: &Method, uri: &axum::http::Uri, headers: &HeaderMap) -> Request {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Request {
        host,
        connection,
        method: method.as_str().to_owned(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: Bytes::new(),
        bytes_in: 0,
        bytes_out: 0,
        status: None,
        faults: Vec::new(),
    }
}
