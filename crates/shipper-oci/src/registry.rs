//! One repository of a registry: manifests, tags, and reading blobs. [`crate::upload`] has the writing of blobs.
//!
//! Source: OCI distribution specification 1.1. Quirks of real registries are named where they matter.
//!
//! Invariants: every URL is made of validated names; every manifest is hashed by this client before it is used, and a
//! header that claims another digest is an error; a tag that was written is read back, or the registry says in its answer
//! which digest it stored.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use serde::Deserialize;

use crate::atomic::AtomicFile;
use crate::auth::Scopes;
use crate::client::{Ask, Client, Envelope, Payload};
use crate::reply::Reply;
use crate::store::blocking;
use crate::verify::Verifier;
use crate::{Descriptor, Digest, Error, MAX_MANIFEST_BYTES, Manifest, RepositoryName, Result, Selector, Tag};

/// What the registry says the digest is.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The subject that the registry has seen in a stored manifest.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Longest page of tags that is read, in bytes.
const MAX_TAG_PAGE: u64 = 8 * 1024 * 1024;
/// Most pages of tags.
const MAX_TAG_PAGES: usize = 10_000;
/// Tags asked for at once; Amazon ECR refuses more.
const TAG_PAGE: u32 = 1_000;

/// When a tag that was written counts as seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// When it names the manifest in a later answer.
    WhenReadBack,
    /// When the answer to the write names the manifest's digest; when it names none, it is read back. For tags that may
    /// move: another writer may move them right after any look.
    InAnswer,
}

/// What the registry said about a manifest that it took.
pub(crate) struct Stored {
    /// Whether it named the digest, which is then the right one.
    pub(crate) is_named: bool,
    /// The subject whose list of referrers it keeps.
    pub(crate) subject: Option<Digest>,
}

/// A repository on a registry. `name` is the full name there, prefix included.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    pub(crate) client: Arc<Client>,
    pub(crate) name: RepositoryName,
}

impl Registry {
    fn ask(&self, method: Method, rest: &str, what: impl Into<String>, actions: &[&str]) -> Result<Ask<'_>> {
        let scopes = Scopes::repository(&self.name, actions);
        Ok(Ask::new(method, self.client.url(&self.name, rest)?, what, &self.name, scopes))
    }

    pub(crate) fn pull(&self) -> Scopes {
        Scopes::repository(&self.name, &["pull"])
    }

    fn at(&self, selector: &Selector) -> String {
        let separator = if matches!(selector, Selector::Tag(_)) { ':' } else { '@' };
        format!("{}{separator}{selector}", self.name)
    }

    fn manifest_ask(&self, method: Method, selector: &Selector, verb: &str, actions: &[&str]) -> Result<Ask<'_>> {
        let what = format!("{verb} manifest {}", self.at(selector));
        let accept = HeaderValue::from_static(
            "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
             application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json",
        );
        Ok(self.ask(method, &format!("manifests/{selector}"), what, actions)?.header(ACCEPT, accept))
    }

    pub(crate) async fn manifest(&self, selector: &Selector) -> Result<Option<Manifest>> {
        let ask = self.manifest_ask(Method::GET, selector, "read", &["pull"])?;
        let mut tries = self.client.tries();
        loop {
            // Reading the body is part of the step: it may break off.
            let result = match self.client.ask_for_once(&ask).await {
                Ok(None) => return Ok(None),
                Ok(Some(reply)) => self.read_manifest(reply, &ask, selector).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(manifest) => return Ok(Some(manifest)),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    /// The manifest if it is there; `None` for 404 whatever that proves. Only to save work, never to decide.
    pub(crate) async fn peek(&self, tag: &Tag) -> Result<Option<Manifest>> {
        let selector = Selector::Tag(tag.clone());
        let ask = self.manifest_ask(Method::GET, &selector, "read", &["pull", "push"])?;
        let answer = self.client.ask(&ask).await?;
        if answer.reply.status == 404 {
            return Ok(None);
        }
        self.read_manifest(answer.reply, &ask, &selector).await.map(Some)
    }

    async fn read_manifest(&self, mut reply: Reply, ask: &Ask<'_>, selector: &Selector) -> Result<Manifest> {
        if !reply.status.is_success() {
            return Err(self.client.failure(&mut reply, ask).await);
        }
        let served_as = reply.header(&CONTENT_TYPE).map(|kind| reply.clean(kind).into_owned());
        let claimed = digest_header(&reply)?;
        let bytes = reply.bytes(MAX_MANIFEST_BYTES).await?;
        let manifest = match selector {
            Selector::Digest(digest) => Manifest::parse_expecting(digest, served_as.as_deref(), bytes),
            Selector::Tag(_) => Manifest::parse(served_as.as_deref(), bytes),
        };
        let manifest = manifest.map_err(|error| match error {
            // It quotes the document.
            Error::InvalidManifest { digest, reason } => {
                Error::InvalidManifest { digest, reason: reply.clean(&reason).into_owned() }
            }
            error => error,
        })?;
        match claimed {
            Some(claimed) if !claimed.matches(manifest.bytes()) => Err(Error::DigestMismatch {
                what: format!("manifest {}", self.at(selector)),
                expected: claimed,
                found: Digest::of(manifest.bytes()),
            }),
            _ => {
                self.client.gave_manifest(&self.name, &reply);
                Ok(manifest)
            }
        }
    }

    /// Whether a manifest is there. A 404 to HEAD has no text; so absence is asked for again with GET, whose answer says
    /// what is absent.
    pub(crate) async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        let selector = Selector::Digest(digest.clone());
        if self.seems_to_have_manifest(&selector).await? {
            return Ok(true);
        }
        Ok(self.manifest(&selector).await?.is_some())
    }

    /// As [`Registry::has_manifest`], where a wrong "no" only costs work.
    pub(crate) async fn seems_to_have_manifest(&self, selector: &Selector) -> Result<bool> {
        let ask = self.manifest_ask(Method::HEAD, selector, "look for", &["pull"])?;
        let digest = match selector {
            Selector::Digest(digest) => Some(digest),
            Selector::Tag(_) => None,
        };
        self.head(&ask, digest, None).await
    }

    /// Whether a blob is there; asks twice before it says no, as [`Registry::has_manifest`].
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        if self.seems_to_have_blob(digest, None, &["pull"]).await? {
            return Ok(true);
        }
        let what = format!("look for blob {}@{digest}", self.name);
        let ask = self.ask(Method::GET, &format!("blobs/{digest}"), what, &["pull"])?;
        match self.client.ask_for(&ask).await? {
            None => Ok(false),
            Some(reply) if reply.status == 200 => Ok(true),
            Some(mut reply) => Err(self.client.failure(&mut reply, &ask).await),
        }
    }

    /// As [`Registry::has_blob`], where a wrong "no" only costs an upload.
    pub(crate) async fn seems_to_have_blob(
        &self,
        digest: &Digest,
        size: Option<u64>,
        actions: &[&str],
    ) -> Result<bool> {
        let what = format!("look for blob {}@{digest}", self.name);
        let ask = self.ask(Method::HEAD, &format!("blobs/{digest}"), what, actions)?;
        self.head(&ask, Some(digest), size).await
    }

    /// `false` for every 404, whatever it proves.
    async fn head(&self, ask: &Ask<'_>, digest: Option<&Digest>, size: Option<u64>) -> Result<bool> {
        let mut reply = self.client.ask(ask).await?.reply;
        if reply.status == 404 {
            return Ok(false);
        }
        if reply.status != 200 {
            return Err(self.client.failure(&mut reply, ask).await);
        }
        if let Some(claimed) = digest_header(&reply)?
            && let Some(digest) = digest
            && claimed != *digest
            && claimed.algorithm() == digest.algorithm()
        {
            return Err(Error::DigestMismatch { what: ask.what.clone(), expected: digest.clone(), found: claimed });
        }
        match (reply.length(), size) {
            (Some(found), Some(expected)) if found != expected => {
                Err(Error::SizeMismatch { what: ask.what.clone(), expected, found })
            }
            _ => Ok(true),
        }
    }

    /// The answer with a blob's bytes, still to be read and verified.
    pub(crate) async fn open_blob(&self, descriptor: &Descriptor) -> Result<Reply> {
        let mut tries = self.client.tries();
        loop {
            match self.open_blob_once(descriptor).await {
                Ok(reply) => return Ok(reply),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    /// As [`Registry::open_blob`], without repetition: for steps that repeat themselves with all that they read.
    pub(crate) async fn open_blob_once(&self, descriptor: &Descriptor) -> Result<Reply> {
        let digest = &descriptor.digest;
        let ask =
            self.ask(Method::GET, &format!("blobs/{digest}"), format!("read blob {}@{digest}", self.name), &["pull"])?;
        let Some(mut reply) = self.client.ask_for_once(&ask).await? else {
            return Err(Error::NotFound { what: format!("blob {}/{}@{digest}", self.client.host(), self.name) });
        };
        if reply.status != 200 {
            return Err(self.client.failure(&mut reply, &ask).await);
        }
        match reply.length() {
            Some(found) if found != descriptor.size => {
                Err(Error::SizeMismatch { what: format!("blob {digest}"), expected: descriptor.size, found })
            }
            _ => Ok(reply),
        }
    }

    pub(crate) async fn blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if descriptor.size > MAX_MANIFEST_BYTES {
            return Err(Error::TooLarge { what: format!("blob {}", descriptor.digest), limit: MAX_MANIFEST_BYTES });
        }
        let mut tries = self.client.tries();
        loop {
            let mut bytes = Vec::new();
            match self.read_blob(descriptor, |piece: Bytes| bytes.extend_from_slice(&piece)).await {
                Ok(()) => return Ok(bytes),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    /// Reads a blob to its end, verified, and keeps nothing of it.
    pub(crate) async fn check_blob(&self, descriptor: &Descriptor) -> Result<()> {
        let mut tries = self.client.tries();
        loop {
            match self.read_blob(descriptor, drop).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    async fn read_blob(&self, descriptor: &Descriptor, mut take: impl FnMut(Bytes)) -> Result<()> {
        let mut reply = self.open_blob_once(descriptor).await?;
        let mut verifier = Verifier::new(descriptor);
        while let Some(piece) = reply.chunk().await? {
            verifier.update(&piece)?;
            take(piece);
        }
        verifier.finish()
    }

    /// Streams a blob into a file that `start` makes, once per try.
    pub(crate) async fn pull_blob(
        &self,
        descriptor: &Descriptor,
        to: &Path,
        start: impl Fn() -> Result<AtomicFile>,
    ) -> Result<()> {
        let mut tries = self.client.tries();
        loop {
            match self.pull_blob_once(descriptor, to, start()?).await {
                Ok(()) => return Ok(()),
                Err(error) => tries.wait_or(error).await?,
            }
        }
    }

    async fn pull_blob_once(&self, descriptor: &Descriptor, to: &Path, mut file: AtomicFile) -> Result<()> {
        let mut reply = self.open_blob_once(descriptor).await?;
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(16);
        let path = to.to_owned();
        let (expected, target) = (descriptor.clone(), path.clone());
        // Hashing and writing happen beside the network.
        let writer = blocking(move || {
            let mut verifier = Verifier::new(&expected);
            while let Some(piece) = receiver.blocking_recv() {
                verifier.update(&piece)?;
                std::io::Write::write_all(&mut file, &piece).map_err(Error::io("write", &target))?;
            }
            verifier.finish()?;
            Ok(file)
        });
        let reader = async move {
            while let Some(piece) = reply.chunk().await? {
                // The writer has stopped, and says why.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let (read, written) = futures_util::future::join(reader, writer).await;
        match (read, written) {
            (Err(error), _) => Err(error),
            (Ok(()), written) => {
                let file = written?;
                blocking(move || file.commit().map_err(Error::io("write", &path))).await
            }
        }
    }

    pub(crate) async fn put_manifest(&self, manifest: &Manifest, tag: Option<&Tag>, seen: Seen) -> Result<()> {
        let selector = match tag {
            Some(tag) => Selector::Tag(tag.clone()),
            None => Selector::Digest(manifest.digest().clone()),
        };
        let stored = match self.send_manifest(manifest, &selector).await {
            Ok(stored) => stored,
            // Immutable tags: the registry refuses, and what it holds may be this very manifest (Amazon ECR).
            Err(error) if tag.is_some() && may_be_immutable(&error) => {
                return match self.manifest(&selector).await {
                    Ok(Some(existing)) if existing.digest() == manifest.digest() || says_immutable(&error) => {
                        self.compare(manifest, &existing, &selector)
                    }
                    _ => Err(error),
                };
            }
            Err(error) => return Err(error),
        };
        if tag.is_none() || (stored.is_named && seen == Seen::InAnswer) {
            return Ok(());
        }
        match self.manifest(&selector).await? {
            Some(existing) => self.compare(manifest, &existing, &selector),
            None => Err(Error::Protocol {
                host: self.client.host().to_string(),
                what: format!("write manifest {}", self.at(&selector)),
                reason: "it accepted the manifest and does not have it".to_owned(),
            }),
        }
    }

    fn compare(&self, manifest: &Manifest, existing: &Manifest, selector: &Selector) -> Result<()> {
        if existing.digest() == manifest.digest() {
            return Ok(());
        }
        Err(Error::Conflict {
            reference: format!("{}/{}", self.client.host(), self.at(selector)),
            existing: existing.digest().clone(),
            wanted: manifest.digest().clone(),
        })
    }

    pub(crate) async fn send_manifest(&self, manifest: &Manifest, selector: &Selector) -> Result<Stored> {
        let content_type = HeaderValue::from_str(manifest.media_type()).map_err(|_| Error::InvalidManifest {
            digest: manifest.digest().clone(),
            reason: "its media type is not a header value".to_owned(),
        })?;
        let mut ask =
            self.manifest_ask(Method::PUT, selector, "write", &["pull", "push"])?.header(CONTENT_TYPE, content_type);
        ask.payload = Payload::Bytes(manifest.shared_bytes());
        let mut answer = self.client.ask(&ask).await?;
        let status = answer.reply.status.as_u16();
        if !answer.reply.status.is_success() {
            let envelope = Envelope::read(&mut answer.reply).await;
            if envelope.has_code(&["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"]) {
                let what = format!("{}/{}", self.client.host(), self.at(selector));
                return Err(Error::Incomplete { what, missing: envelope.detail() });
            }
            return Err(envelope.error(self.client.host(), &ask.method, &ask.what, status));
        }
        match digest_header(&answer.reply)? {
            Some(found) if !found.matches(manifest.bytes()) => {
                Err(Error::DigestMismatch { what: ask.what, expected: manifest.digest().clone(), found })
            }
            found => {
                let subject = answer.reply.header(&OCI_SUBJECT).and_then(|subject| subject.parse().ok());
                Ok(Stored { is_named: found.is_some(), subject })
            }
        }
    }

    pub(crate) async fn put_immutable(&self, manifest: &Manifest, tag: &Tag) -> Result<()> {
        let selector = Selector::Tag(tag.clone());
        if let Some(existing) = self.manifest(&selector).await? {
            return self.compare(manifest, &existing, &selector);
        }
        self.put_manifest(manifest, Some(tag), Seen::WhenReadBack).await
    }

    pub(crate) async fn tags(&self) -> Result<Vec<Tag>> {
        #[derive(Deserialize)]
        struct Page {
            /// Some registries say `null` for none.
            tags: Option<Vec<String>>,
        }

        let mut url = self.client.url(&self.name, &format!("tags/list?n={TAG_PAGE}"))?;
        let mut seen_urls = BTreeSet::new();
        let (mut tags, mut seen) = (Vec::new(), BTreeSet::new());
        while seen_urls.insert(url.to_string()) {
            let what = format!("list the tags of {}", self.name);
            if seen_urls.len() > MAX_TAG_PAGES {
                return Err(Error::TooLarge { what: format!("{what}: number of pages"), limit: MAX_TAG_PAGES as u64 });
            }
            let ask = Ask::new(Method::GET, url.clone(), what, &self.name, self.pull());
            let Some(mut reply) = self.client.ask_for(&ask).await? else { return Ok(tags) };
            if reply.status != 200 {
                return Err(self.client.failure(&mut reply, &ask).await);
            }
            let next = reply.header(&LINK).and_then(next_link).map(str::to_owned);
            let body = reply.bytes(MAX_TAG_PAGE).await?;
            let page: Page =
                serde_json::from_slice(&body).map_err(|_| reply.protocol("the tag list is not the expected JSON"))?;
            // A name that is no tag cannot be asked for either.
            for tag in page.tags.into_iter().flatten().filter_map(|tag| tag.parse::<Tag>().ok()) {
                if seen.insert(tag.clone()) {
                    tags.push(tag);
                }
            }
            let Some(next) = next else { return Ok(tags) };
            url = self.client.own_url(&url, &next, "next page")?;
        }
        Err(Error::Protocol {
            host: self.client.host().to_string(),
            what: format!("list the tags of {}", self.name),
            reason: "a page of the list leads back to an earlier one".to_owned(),
        })
    }

    pub(crate) async fn delete(&self, selector: &Selector) -> Result<bool> {
        let ask = self.manifest_ask(Method::DELETE, selector, "delete", &["pull", "push", "delete"])?;
        let Some(mut reply) = self.client.ask_for(&ask).await? else { return Ok(false) };
        let status = reply.status.as_u16();
        if reply.status.is_success() {
            return Ok(true);
        }
        let envelope = Envelope::read(&mut reply).await;
        // Docker Distribution 2 deletes by digest only and says 400 DIGEST_INVALID to a tag.
        let by_tag = matches!(selector, Selector::Tag(_))
            && status == 400
            && envelope.has_code(&["DIGEST_INVALID", "UNSUPPORTED"]);
        if by_tag || status == 405 || status == 501 || envelope.has_code(&["UNSUPPORTED"]) {
            let kind = if matches!(selector, Selector::Tag(_)) { "tag" } else { "manifest" };
            return Err(Error::Unsupported {
                what: format!("deleting {kind} {}", self.at(selector)),
                by: self.client.host().to_string(),
            });
        }
        Err(envelope.error(self.client.host(), &ask.method, &ask.what, status))
    }
}

/// Whether a refused write may come from a tag that must not move: registries have no common status for it.
fn may_be_immutable(error: &Error) -> bool {
    matches!(error, Error::Registry { status: 400 | 405 | 409 | 412 | 422, .. } | Error::Denied { .. })
}

/// Whether it says so.
fn says_immutable(error: &Error) -> bool {
    let Error::Registry { status, detail, .. } = error else { return false };
    let detail = detail.to_ascii_lowercase();
    matches!(status, 409 | 412)
        || ["immutable", "already exists", "tag_invalid"].iter().any(|text| detail.contains(text))
}

/// The digest that the registry claims.
fn digest_header(reply: &Reply) -> Result<Option<Digest>> {
    match reply.header(&DOCKER_CONTENT_DIGEST) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(digest) => Ok(Some(digest)),
            Err(_) => Err(reply.protocol("its `Docker-Content-Digest` is not a digest")),
        },
    }
}

/// The target of `Link: <target>; rel="next"` (RFC 8288, as the distribution specification uses it).
pub(crate) fn next_link(header: &str) -> Option<&str> {
    let (target, parameters) = header.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters.split(';').any(|parameter| {
        parameter.trim().split_once('=').is_some_and(|(key, value)| {
            key.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        })
    });
    next.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_links_are_found() {
        for (header, expected) in [
            (r#"</v2/a/tags/list?n=2&last=b>; rel="next""#, Some("/v2/a/tags/list?n=2&last=b")),
            ("<x>;rel=next", Some("x")),
            (r#"<x>; title="a"; REL="Next""#, Some("x")),
            (r#"<x>; rel="prev""#, None),
            ("<x", None),
            ("x; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }
}
