//! What the stand-in holds: repositories with blobs, manifests, tags and open upload sessions.
//!
//! Invariants: a blob or manifest is filed under the digest of its own bytes (unless a test corrupts it on purpose);
//! a tag names a manifest that is present; every value that a tag ever had is kept, in order.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

/// A manifest as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The `Content-Type` it was pushed with.
    pub media_type: String,
    /// `sha256:..` of the bytes, or the digest it was pushed under.
    pub digest: String,
    /// The exact bytes.
    pub bytes: Bytes,
}

/// Which tags of a repository can be written a second time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mutability {
    /// Each tag can be moved.
    #[default]
    Mutable,
    /// No tag can be written twice, not even with equal bytes.
    Immutable,
    /// As `Immutable`, except for tags that match one of these patterns (`*` stands for any text).
    ImmutableExcept(Vec<String>),
    /// As `Mutable`, except for tags that match one of these patterns.
    MutableExcept(Vec<String>),
}

impl Mutability {
    pub(crate) fn locks(&self, tag: &str) -> bool {
        let listed = |patterns: &[String]| patterns.iter().any(|pattern| wildcard(pattern, tag));
        match self {
            Self::Mutable => false,
            Self::Immutable => true,
            Self::ImmutableExcept(patterns) => !listed(patterns),
            Self::MutableExcept(patterns) => listed(patterns),
        }
    }
}

/// `*` matches any text, everything else itself.
fn wildcard(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|tail| (0..=tail.len()).any(|at| tail.is_char_boundary(at) && wildcard(rest, &tail[at..]))),
    }
}

#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) blobs: BTreeMap<String, Bytes>,
    pub(crate) manifests: BTreeMap<String, StoredManifest>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) history: Vec<(String, String)>,
    pub(crate) mutability: Mutability,
}

impl Repository {
    /// Whether `tag` exists and may not be written again.
    pub(crate) fn is_locked(&self, tag: &str) -> bool {
        self.tags.contains_key(tag) && self.mutability.locks(tag)
    }

    pub(crate) fn set_tag(&mut self, tag: &str, digest: &str) {
        self.tags.insert(tag.to_owned(), digest.to_owned());
        self.history.push((tag.to_owned(), digest.to_owned()));
    }

    /// Removes a manifest and the tags that name it.
    pub(crate) fn remove_manifest(&mut self, digest: &str) -> bool {
        let found = self.manifests.remove(digest).is_some();
        if found {
            self.tags.retain(|_, target| target != digest);
        }
        found
    }

    /// Whether a manifest of this repository refers to the blob.
    pub(crate) fn refers_to(&self, digest: &str) -> bool {
        self.manifests.values().any(|manifest| {
            References::of(&manifest.bytes).is_some_and(|found| found.blobs.iter().any(|blob| blob == digest))
        })
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) repository: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) patches: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) repositories: BTreeMap<String, Repository>,
    pub(crate) sessions: BTreeMap<String, Session>,
    next_session: u64,
}

impl Store {
    pub(crate) fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    pub(crate) fn repository_mut(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    pub(crate) fn open_session(&mut self, repository: &str) -> String {
        self.next_session += 1;
        // The length of a UUID, so that clients cannot rely on short paths.
        let id = format!("00000000-0000-4000-8000-{:012x}", self.next_session);
        let session = Session { repository: repository.to_owned(), bytes: Vec::new(), patches: 0 };
        self.sessions.insert(id.clone(), session);
        id
    }
}

/// What a manifest refers to.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Configuration and layers, without those that carry `urls` (not distributable).
    pub(crate) blobs: Vec<String>,
    /// Children of an index.
    pub(crate) manifests: Vec<String>,
    pub(crate) subject: Option<String>,
    /// `artifactType`, or the media type of the configuration.
    pub(crate) artifact_type: Option<String>,
    pub(crate) annotations: Option<Value>,
}

impl References {
    /// `None` if the bytes are not a manifest of schema version 2.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(bytes).ok()?;
        if document.get("schemaVersion")?.as_u64()? != 2 {
            return None;
        }
        let digest = |descriptor: &Value| descriptor.get("digest").and_then(Value::as_str).map(str::to_owned);
        let list = |key: &str| document.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let config = document.get("config");
        let layers = list("layers").into_iter().filter(|layer| layer.get("urls").is_none());
        let artifact_type = document
            .get("artifactType")
            .or_else(|| config.and_then(|config| config.get("mediaType")))
            .and_then(Value::as_str)
            .map(str::to_owned);
        Some(Self {
            blobs: config
                .into_iter()
                .cloned()
                .chain(layers)
                .map(|descriptor| digest(&descriptor))
                .collect::<Option<_>>()?,
            manifests: list("manifests").iter().map(digest).collect::<Option<_>>()?,
            subject: document.get("subject").and_then(digest),
            artifact_type,
            annotations: document.get("annotations").cloned(),
        })
    }
}

/// The digest of `bytes` by the algorithm that `like` names; `sha256` unless it begins with `sha512:`.
pub(crate) fn digest_like(like: &str, bytes: &[u8]) -> String {
    let (name, value) = if like.starts_with("sha512:") {
        ("sha512", crate::hex(&Sha512::digest(bytes)))
    } else {
        ("sha256", crate::hex(&Sha256::digest(bytes)))
    };
    format!("{name}:{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_a_registry_filter_does() {
        let cases = [
            ("h-*", "h-1", true),
            ("h-*", "ah-1", false),
            ("*-x-*", "a-x-b", true),
            ("*", "", true),
            ("v1", "v1", true),
            ("v1", "v12", false),
        ];
        for (pattern, tag, expected) in cases {
            assert_eq!(wildcard(pattern, tag), expected, "{pattern} {tag}");
        }
    }

    #[test]
    fn references_name_what_a_registry_must_hold() {
        let found = References::of(
            br#"{"schemaVersion":2,"config":{"mediaType":"c","digest":"sha256:1"},"subject":{"digest":"sha256:9"},
                 "layers":[{"digest":"sha256:2"},{"digest":"sha256:3","urls":["https://x"]}]}"#,
        )
        .expect("a manifest");
        assert_eq!(found.blobs, ["sha256:1", "sha256:2"]);
        assert_eq!(found.subject.as_deref(), Some("sha256:9"));
        assert_eq!(found.artifact_type.as_deref(), Some("c"));
        assert!(References::of(b"nope").is_none());
        assert!(References::of(br#"{"schemaVersion":1}"#).is_none());
    }
}
