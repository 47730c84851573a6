//! Manifests and tags (distribution specification, "Pulling manifests", "Pushing manifests", "Deleting manifests").

use super::blobs::unknown_repository;
use super::profile::DeleteTag;
use super::reply::Reply;
use super::route::Reference;
use super::serve::Call;
use super::store::{References, Repository, StoredManifest, digest_like};

/// Largest manifest that is taken, in bytes (distribution specification: at least 4 MiB must be supported).
const LARGEST: usize = 4 << 20;

/// A request for one manifest.
pub(super) fn handle(call: &Call<'_>, name: &str, reference: &Reference) -> Reply {
    match call.method {
        "GET" | "HEAD" => fetch(call, name, reference),
        "PUT" => store(call, name, reference),
        "DELETE" => delete(call, name, reference),
        _ if call.shared.quirks.etag => Reply::text(405, "Method not allowed\n"),
        _ => Reply::error(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn unknown() -> Reply {
    Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown")
}

fn find<'a>(repository: &'a Repository, reference: &Reference) -> Option<&'a StoredManifest> {
    let digest = match reference {
        Reference::Digest(digest) => digest,
        Reference::Tag(tag) => repository.tags.get(tag)?,
    };
    repository.manifests.get(digest)
}

fn fetch(call: &Call<'_>, name: &str, reference: &Reference) -> Reply {
    let quirks = call.shared.quirks;
    let store = call.shared.store();
    let Some(repository) = store.repository(name) else {
        return if quirks.creates_repositories { unknown() } else { unknown_repository(name) };
    };
    let Some(found) = find(repository, reference) else {
        return unknown();
    };
    if quirks.needs_accept && found.media_type.starts_with("application/vnd.oci.") && !accepts(call, &found.media_type)
    {
        let message = "OCI manifest found, but accept header does not support it";
        return Reply::error(404, "MANIFEST_UNKNOWN", message);
    }
    if quirks.etag && call.header("if-none-match").is_some_and(|etag| etag.trim_matches('"') == found.digest) {
        return Reply::new(304);
    }
    let reply = Reply::new(200)
        .body(found.bytes.clone())
        .header("content-length", &found.bytes.len().to_string())
        .header("content-type", &found.media_type)
        .header("docker-content-digest", &found.digest);
    if quirks.etag { reply.header("etag", &format!("\"{}\"", found.digest)) } else { reply }
}

/// Whether one of the `Accept` headers names the media type literally, as Distribution asks for.
fn accepts(call: &Call<'_>, media_type: &str) -> bool {
    call.headers
        .get_all("accept")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.split(';').next().is_some_and(|name| name.trim() == media_type))
}

fn store(call: &Call<'_>, name: &str, reference: &Reference) -> Reply {
    let quirks = call.shared.quirks;
    let mut store = call.shared.store();
    if !quirks.creates_repositories && store.repository(name).is_none() {
        return unknown_repository(name);
    }
    let (status, code) = quirks.manifest_invalid;
    if call.body.len() > LARGEST {
        return Reply::error(413, "MANIFEST_INVALID", "manifest too large");
    }
    let media_type = call.header("content-type").unwrap_or_default();
    let references = References::of(&call.body).filter(|_| media_type.starts_with("application/vnd."));
    let Some(references) = references else {
        return Reply::error(status, code, "manifest invalid");
    };
    let repository = store.repository_mut(name);
    if let Some(absent) = absent(repository, &references) {
        let mut reply = Reply::error(quirks.missing_blob, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
        reply.body = String::from_utf8_lossy(&reply.body).replace("{}", &format!("{absent:?}")).into();
        return reply;
    }
    let digest = match reference {
        Reference::Digest(digest) => digest_like(digest, &call.body),
        Reference::Tag(_) => digest_like("", &call.body),
    };
    match reference {
        Reference::Digest(wanted) if *wanted != digest => {
            return Reply::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
        }
        Reference::Tag(tag) if repository.is_locked(tag) => {
            let message = format!(
                "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the repository is immutable."
            );
            return Reply::error(400, "TAG_INVALID", &message);
        }
        Reference::Tag(tag) => repository.set_tag(tag, &digest),
        Reference::Digest(_) => {}
    }
    let manifest =
        StoredManifest { media_type: media_type.to_owned(), digest: digest.clone(), bytes: call.body.clone() };
    repository.manifests.insert(digest.clone(), manifest);
    let mut reply = Reply::new(201).header("docker-content-digest", &digest);
    if quirks.manifest_location {
        reply = reply.header("location", &location(call, name, &digest));
    }
    match references.subject {
        Some(subject) if quirks.referrers => reply.header("oci-subject", &subject),
        _ => reply,
    }
}

fn location(call: &Call<'_>, name: &str, digest: &str) -> String {
    let path = format!("/v2/{name}/manifests/{digest}");
    if call.shared.quirks.etag {
        format!("http://{}{path}", call.header("host").unwrap_or(&call.shared.registry))
    } else {
        path
    }
}

/// The first digest that the manifest names and the repository lacks. A subject may be missing.
fn absent(repository: &Repository, references: &References) -> Option<String> {
    let blob = references.blobs.iter().find(|digest| !repository.blobs.contains_key(*digest));
    let child = references.manifests.iter().find(|digest| !repository.manifests.contains_key(*digest));
    blob.or(child).cloned()
}

fn delete(call: &Call<'_>, name: &str, reference: &Reference) -> Reply {
    let quirks = call.shared.quirks;
    let mut store = call.shared.store();
    let Some(repository) = store.repositories.get_mut(name) else {
        return if quirks.creates_repositories { unknown() } else { unknown_repository(name) };
    };
    match (reference, quirks.delete_tag) {
        (Reference::Tag(_), DeleteTag::DigestInvalid) => {
            Reply::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        }
        (Reference::Tag(tag), DeleteTag::Removes) if repository.tags.remove(tag).is_some() => Reply::new(202),
        (Reference::Digest(_), _) if !quirks.deletes_manifests => {
            Reply::error(405, "UNSUPPORTED", "the operation is unsupported")
        }
        (Reference::Digest(digest), _) if repository.remove_manifest(digest) => Reply::new(202),
        (Reference::Tag(_), DeleteTag::Unsupported) => Reply::error(405, "UNSUPPORTED", "the operation is unsupported"),
        _ => unknown(),
    }
}
