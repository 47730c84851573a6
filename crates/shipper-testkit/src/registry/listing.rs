//! Lists: repositories, tags with paging, referrers with filter (distribution specification, "Content Discovery").

use serde_json::{Value, json};

use super::blobs::unknown_repository;
use super::profile::Profile;
use super::reply::Reply;
use super::serve::Call;
use super::store::{References, Repository, StoredManifest};

/// The repositories, sorted.
pub(super) fn catalog(call: &Call<'_>) -> Reply {
    let store = call.shared.store();
    let names: Vec<String> = store.repositories.keys().cloned().collect();
    match page(call, &names) {
        Ok((names, next)) => linked(Reply::json(200, &json!({ "repositories": names })), call, "/v2/_catalog", next),
        Err(reply) => *reply,
    }
}

/// The tags of a repository, sorted bytewise.
pub(super) fn tags(call: &Call<'_>, name: &str) -> Reply {
    let store = call.shared.store();
    let known = store.repository(name).filter(|repository| !needs_manifests(call) || !repository.manifests.is_empty());
    let Some(repository) = known else {
        return unknown_repository(name);
    };
    let tags: Vec<String> = repository.tags.keys().cloned().collect();
    if !call.shared.quirks.pages_tags {
        return Reply::json(200, &json!({ "name": name, "tags": tags }));
    }
    match page(call, &tags) {
        Ok((tags, next)) => {
            let reply = Reply::json(200, &json!({ "name": name, "tags": tags }));
            linked(reply, call, &format!("/v2/{name}/tags/list"), next)
        }
        Err(reply) => *reply,
    }
}

/// Where a push creates the repository, one without manifests is not known yet.
fn needs_manifests(call: &Call<'_>) -> bool {
    call.shared.quirks.creates_repositories
}

type Page = (Vec<String>, Option<(String, usize)>);

/// The page that `n` and `last` ask for, and the `last` and `n` of the next one.
fn page(call: &Call<'_>, all: &[String]) -> Result<Page, Box<Reply>> {
    let asked: Option<usize> = match call.query("n").map(str::parse) {
        None => None,
        Some(Ok(n)) => Some(n),
        Some(Err(_)) => {
            return Err(Box::new(Reply::error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results")));
        }
    };
    if let (Some(n), Some(largest)) = (asked, call.shared.quirks.largest_page)
        && n > largest
    {
        let message = format!("Invalid parameter at 'maxResults': must be less than or equal to {largest}");
        return Err(Box::new(Reply::error(405, "UNSUPPORTED", &message)));
    }
    let size = asked.unwrap_or(usize::MAX).min(call.shared.page.unwrap_or(usize::MAX));
    let last = call.query("last").map(|last| opened(call, last)).unwrap_or_default();
    let rest: Vec<String> = all.iter().filter(|item| last.is_empty() || **item > last).cloned().collect();
    let more = rest.len() > size;
    let part: Vec<String> = rest.into_iter().take(size).collect();
    let next = part.last().filter(|_| more).map(|last| (last.clone(), size));
    Ok((part, next))
}

fn linked(reply: Reply, call: &Call<'_>, path: &str, next: Option<(String, usize)>) -> Reply {
    let Some((last, n)) = next else {
        return reply;
    };
    let last = sealed(call, &last);
    reply.header("link", &format!("<{path}?last={last}&n={n}>; rel=\"next\""))
}

/// ECR continues by an opaque token rather than by the last tag; only a client that follows `Link` gets on.
fn sealed(call: &Call<'_>, last: &str) -> String {
    if call.shared.profile == Profile::Ecr { crate::hex(last.as_bytes()) } else { last.to_owned() }
}

fn opened(call: &Call<'_>, last: &str) -> String {
    if call.shared.profile != Profile::Ecr {
        return last.to_owned();
    }
    let byte = |at: usize| last.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..last.len()).step_by(2).map(byte).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// The manifests whose `subject` is `digest`, sorted by digest, as an image index.
pub(super) fn referrers(call: &Call<'_>, name: &str, digest: &str) -> Reply {
    if !call.shared.quirks.referrers {
        return Reply::no_such_page();
    }
    let store = call.shared.store();
    let wanted = call.query("artifactType");
    let all: Vec<Value> =
        store.repository(name).map(|repository| referring(repository, digest, wanted)).unwrap_or_default();
    let size = call.shared.page.unwrap_or(usize::MAX);
    let skip: usize = call.query("skip").and_then(|skip| skip.parse().ok()).unwrap_or(0);
    let more = all.len() > skip.saturating_add(size);
    let part: Vec<Value> = all.into_iter().skip(skip).take(size).collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": part,
    });
    let mut reply = Reply::json(200, &index).header("content-type", "application/vnd.oci.image.index.v1+json");
    if wanted.is_some() {
        reply = reply.header("oci-filters-applied", "artifactType");
    }
    if more {
        let filter = wanted.map(|kind| {
            let kind: String = url::form_urlencoded::byte_serialize(kind.as_bytes()).collect();
            format!("&artifactType={kind}")
        });
        let query = format!("skip={}{}", skip + size, filter.unwrap_or_default());
        reply = reply.header("link", &format!("</v2/{name}/referrers/{digest}?{query}>; rel=\"next\""));
    }
    reply
}

fn referring(repository: &Repository, digest: &str, wanted: Option<&str>) -> Vec<Value> {
    let describe = |manifest: &StoredManifest| -> Option<Value> {
        let references = References::of(&manifest.bytes)?;
        if references.subject.as_deref() != Some(digest) {
            return None;
        }
        if wanted.is_some() && references.artifact_type.as_deref() != wanted {
            return None;
        }
        let mut descriptor = json!({
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
        });
        if let Some(kind) = references.artifact_type {
            descriptor["artifactType"] = json!(kind);
        }
        if let Some(annotations) = references.annotations {
            descriptor["annotations"] = annotations;
        }
        Some(descriptor)
    };
    repository.manifests.values().filter_map(describe).collect()
}
