//! Blobs and upload sessions (distribution specification, "Pulling blobs", "Pushing blobs", "Mounting a blob").

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::profile::{Location, Mount, Patch, Quirks};
use super::reply::Reply;
use super::route::{is_digest, is_name};
use super::serve::{Call, Shared};
use super::store::{Store, digest_like};

/// Smallest part that ECR takes unless it is the last one, in bytes.
const ECR_PART: usize = 5 << 20;

/// A request for one blob.
pub(super) fn handle(call: &Call<'_>, name: &str, digest: &str) -> Reply {
    let quirks = call.shared.quirks;
    let mut store = call.shared.store();
    match call.method {
        "GET" | "HEAD" => {
            let Some(bytes) = store.repository(name).and_then(|repository| repository.blobs.get(digest)).cloned()
            else {
                return missing(&store, &quirks, name, Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry"));
            };
            if quirks.redirects_blobs && call.method == "GET" {
                let Shared { storage, signature, .. } = call.shared;
                let location =
                    format!("http://{storage}/{name}/{digest}?X-Amz-Expires=3600&X-Amz-Signature={signature}");
                return Reply::new(307).header("location", &location);
            }
            content(call, digest, bytes)
        }
        "DELETE" => {
            let removed = store.repositories.get_mut(name).and_then(|repository| repository.blobs.remove(digest));
            if removed.is_some() {
                Reply::new(202)
            } else {
                Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry")
            }
        }
        _ => Reply::error(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

/// The host that blobs are redirected to. As S3 does, it refuses a request that is signed and carries credentials.
pub(super) fn storage(call: &Call<'_>, path: &str) -> Reply {
    if call.headers.contains_key("authorization") {
        return Reply::text(400, "Only one auth mechanism allowed");
    }
    if call.query("X-Amz-Signature") != Some(call.shared.signature.as_str()) {
        return Reply::text(403, "SignatureDoesNotMatch");
    }
    let store = call.shared.store();
    let found = path.trim_start_matches('/').rsplit_once('/').and_then(|(name, digest)| {
        let bytes = store.repository(name)?.blobs.get(digest)?;
        Some((digest, bytes.clone()))
    });
    match found {
        Some((digest, bytes)) => content(call, digest, bytes),
        None => Reply::text(404, "NoSuchKey"),
    }
}

fn content(call: &Call<'_>, digest: &str, bytes: Bytes) -> Reply {
    let size = bytes.len();
    let reply = match call.header("range").map(|range| parse_range(range, size)) {
        Some(Some((first, last))) => Reply::new(206)
            .header("content-range", &format!("bytes {first}-{last}/{size}"))
            .body(bytes.slice(first..=last)),
        Some(None) => return Reply::new(416).header("content-range", &format!("bytes */{size}")),
        None => Reply::new(200).body(bytes),
    };
    let length = reply.body.len().to_string();
    let reply = reply
        .header("accept-ranges", "bytes")
        .header("content-length", &length)
        .header("content-type", "application/octet-stream")
        .header("docker-content-digest", digest);
    if call.shared.quirks.etag { reply.header("etag", &format!("\"{digest}\"")) } else { reply }
}

/// `bytes=FIRST-[LAST]` within `size`, both inclusive.
fn parse_range(text: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = if last.is_empty() { size.checked_sub(1)? } else { last.parse().ok()? };
    let last = last.min(size.checked_sub(1)?);
    (first <= last).then_some((first, last))
}

/// `not_found`, unless the whole repository is missing and the registry says so.
fn missing(store: &Store, quirks: &Quirks, name: &str, not_found: Reply) -> Reply {
    if !quirks.creates_repositories && store.repository(name).is_none() {
        return unknown_repository(name);
    }
    not_found
}

pub(super) fn unknown_repository(name: &str) -> Reply {
    let message = format!("The repository with name '{name}' does not exist in the registry");
    Reply::error(404, "NAME_UNKNOWN", &message)
}

/// A request for an upload session; `id` is empty for a new one.
pub(super) fn upload(call: &Call<'_>, name: &str, id: &str) -> Reply {
    if id.is_empty() {
        return match call.method {
            "POST" => start(call, name),
            _ => Reply::error(405, "UNSUPPORTED", "the operation is unsupported"),
        };
    }
    let mut store = call.shared.store();
    let known = store.sessions.get(id).is_some_and(|session| session.repository == name);
    if !known {
        return Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    }
    if call.shared.quirks.upload_location == Location::Stateful && !state_is_current(call, &store, id) {
        return Reply::error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid");
    }
    match call.method {
        "GET" => session_reply(call, &store, name, id, 204),
        "PATCH" => append(call, &mut store, name, id),
        "PUT" => finish(call, &mut store, name, id),
        "DELETE" => {
            store.sessions.remove(id);
            Reply::new(204)
        }
        _ => Reply::error(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn start(call: &Call<'_>, name: &str) -> Reply {
    let quirks = call.shared.quirks;
    let mut store = call.shared.store();
    if !quirks.creates_repositories && store.repository(name).is_none() {
        return if quirks.drops_missing { Reply::dropped() } else { unknown_repository(name) };
    }
    if let (Some(digest), Some(from)) = (call.query("mount"), call.query("from"))
        && let Some(bytes) = mountable(call.shared, &store, name, digest, from)
    {
        store.repository_mut(name).blobs.insert(digest.to_owned(), bytes);
        return created(call, name, digest);
    }
    if let Some(digest) = call.query("digest").filter(|_| quirks.single_post) {
        return store_blob(call, &mut store, name, digest, call.body.clone());
    }
    let id = store.open_session(name);
    session_reply(call, &store, name, &id, 202)
}

/// The blob to mount, if the registry mounts it.
fn mountable(shared: &Shared, store: &Store, name: &str, digest: &str, from: &str) -> Option<Bytes> {
    let source = store.repository(from).filter(|_| is_name(from))?;
    let allowed = match shared.quirks.mount {
        Mount::Present => true,
        Mount::Committed => shared.mounting.load(Ordering::Relaxed) && source.refers_to(digest),
        Mount::SameOwner => name.split('/').next() == from.split('/').next(),
    };
    source.blobs.get(digest).filter(|_| allowed).cloned()
}

fn append(call: &Call<'_>, store: &mut Store, name: &str, id: &str) -> Reply {
    let quirks = call.shared.quirks;
    let session = store.sessions.get_mut(id).expect("because the caller looked it up");
    match quirks.patch {
        Patch::Checked => {
            let first = call.header("content-range").and_then(|range| range.split_once('-')).map(|(first, _)| first);
            if first.is_some_and(|first| first.parse() != Ok(session.bytes.len())) {
                return session_reply(call, store, name, id, 416);
            }
            session.bytes.extend_from_slice(&call.body);
        }
        Patch::Unchecked => session.bytes.extend_from_slice(&call.body),
        Patch::FirstOnly if session.patches == 0 => session.bytes.extend_from_slice(&call.body),
        Patch::FirstOnly if session.bytes.len() < ECR_PART => {
            return Reply::error(400, "BLOB_UPLOAD_INVALID", "layer part is smaller than the minimum of 5242880 bytes");
        }
        // Taken and lost.
        Patch::FirstOnly => {}
        Patch::AtMost(limit) if call.body.len() > limit => return Reply::error(413, "SIZE_INVALID", "chunk too large"),
        Patch::AtMost(_) => session.bytes.extend_from_slice(&call.body),
    }
    session.patches += 1;
    session_reply(call, store, name, id, quirks.patch_status)
}

fn finish(call: &Call<'_>, store: &mut Store, name: &str, id: &str) -> Reply {
    let Some(digest) = call.query("digest") else {
        return Reply::error(400, "DIGEST_INVALID", "digest missing");
    };
    if !is_digest(digest) {
        return Reply::error(400, "DIGEST_INVALID", "digest parsing failed");
    }
    let session = store.sessions.get_mut(id).expect("because the caller looked it up");
    // A digest that differs leaves the session open with the bytes it got (as Distribution 2.8.2 does).
    session.bytes.extend_from_slice(&call.body);
    let bytes = Bytes::from(session.bytes.clone());
    let reply = store_blob(call, store, name, digest, bytes);
    if reply.status.is_success() {
        store.sessions.remove(id);
    }
    reply
}

fn store_blob(call: &Call<'_>, store: &mut Store, name: &str, digest: &str, bytes: Bytes) -> Reply {
    if !is_digest(digest) || digest_like(digest, &bytes) != digest {
        return Reply::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    store.repository_mut(name).blobs.insert(digest.to_owned(), bytes);
    created(call, name, digest)
}

fn created(call: &Call<'_>, name: &str, digest: &str) -> Reply {
    let path = format!("/v2/{name}/blobs/{digest}");
    Reply::new(201).header("location", &located(call, &path)).header("docker-content-digest", digest)
}

/// A path as the registry spells locations.
fn located(call: &Call<'_>, path: &str) -> String {
    match call.shared.quirks.upload_location {
        Location::Relative => path.to_owned(),
        Location::Absolute | Location::Stateful => {
            let host = call.header("host").unwrap_or(&call.shared.registry);
            format!("http://{host}{path}")
        }
    }
}

fn session_reply(call: &Call<'_>, store: &Store, name: &str, id: &str, status: u16) -> Reply {
    let offset = store.sessions.get(id).map_or(0, |session| session.bytes.len());
    let mut location = located(call, &format!("/v2/{name}/blobs/uploads/{id}"));
    if call.shared.quirks.upload_location == Location::Stateful {
        location.push_str(&format!("?_state={}", state(id, offset)));
    }
    Reply::new(status)
        .header("location", &location)
        .header("range", &format!("0-{}", offset.saturating_sub(1)))
        .header("docker-upload-uuid", id)
}

/// The opaque query of a location: bound to the session and its offset, with characters that must be kept encoded.
fn state(id: &str, offset: usize) -> String {
    format!("{}%3D", digest_like("", format!("{id} {offset}").as_bytes()).split_at(39).1)
}

fn state_is_current(call: &Call<'_>, store: &Store, id: &str) -> bool {
    let offset = store.sessions.get(id).map_or(0, |session| session.bytes.len());
    let expected = state(id, offset).replace("%3D", "=");
    call.query("_state") == Some(expected.as_str())
}
