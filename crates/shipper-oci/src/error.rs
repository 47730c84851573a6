//! What can go wrong, one variant for each thing a caller can act on.
//!
//! Invariants: no variant holds a credential, a query string or unescaped text of a peer; every message fits after
//! "cannot ..." and leaves its source to the error chain.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Digest, RegistryHost};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A lower-level error, kept as the source.
pub type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What a request asks a registry for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To tell something.
    Read,
    /// To change something.
    Write,
}

/// Why an operation on references, layouts or registries failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name breaks its grammar.
    #[error("`{input}` is not a valid {what}: {reason}")]
    InvalidReference {
        /// Which kind of name: `tag`, `digest`, `repository name`, ..
        what: &'static str,
        /// The text, shortened and escaped.
        input: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A manifest or index is malformed, ambiguous or of a kind that is not read.
    #[error("manifest {digest} is not usable: {reason}")]
    InvalidManifest {
        /// Digest of the bytes that were read.
        digest: Digest,
        /// What is wrong with them.
        reason: String,
    },
    /// Something that the operation needs is proven not to exist.
    #[error("{what} does not exist")]
    NotFound {
        /// The printable reference.
        what: String,
    },
    /// An index has no image for a platform.
    #[error("{what} has no image for {wanted}, only for {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    NoPlatform {
        /// The printable reference of the index.
        what: String,
        /// The platform that was looked for.
        wanted: String,
        /// Those that are there, in the order of the index.
        known: Vec<String>,
    },
    /// A manifest was not written because something that it names is not there.
    #[error("{what} is incomplete: {missing} is missing")]
    Incomplete {
        /// The printable reference of the manifest.
        what: String,
        /// The digest of the missing blob or manifest, or what the registry said about it.
        missing: String,
    },
    /// The registry wants other credentials than those found, or any at all.
    #[error("{registry} refused the credentials: {detail}")]
    Unauthorized {
        /// The registry.
        registry: RegistryHost,
        /// What it said, and where the credentials came from.
        detail: String,
    },
    /// The credentials are known to the registry but do not allow this.
    #[error("{what}: access denied by {registry}: {detail}")]
    Denied {
        /// The registry.
        registry: RegistryHost,
        /// The operation.
        what: String,
        /// What the registry said.
        detail: String,
        /// What was asked for.
        access: Access,
    },
    /// Credentials could not be read.
    #[error("credentials for {registry} could not be read: {reason}")]
    Credentials {
        /// The registry.
        registry: RegistryHost,
        /// What went wrong, naming the file or helper.
        reason: String,
    },
    /// No connection, or it broke.
    #[error("{host} could not be reached ({what})")]
    Unreachable {
        /// The host that was spoken to.
        host: String,
        /// The operation.
        what: String,
        /// The transport error.
        source: Source,
    },
    /// A peer was silent or too slow.
    #[error("{host} did not answer in time ({what}, limit {}s)", limit.as_secs_f32())]
    Timeout {
        /// The host that was spoken to.
        host: String,
        /// The operation and its phase.
        what: String,
        /// The limit that passed.
        limit: Duration,
    },
    /// The registry asked to slow down until the tries were used up.
    #[error("{registry} limits the request rate ({what})")]
    RateLimited {
        /// The registry.
        registry: RegistryHost,
        /// The operation.
        what: String,
        /// How long it asked to wait, where it did.
        retry_after: Option<Duration>,
    },
    /// The registry answered with a status that this operation has no use for.
    #[error("{registry} answered {status} to {what}: {detail}")]
    Registry {
        /// The registry.
        registry: RegistryHost,
        /// The operation.
        what: String,
        /// HTTP status code.
        status: u16,
        /// Error codes and messages of the answer, shortened and escaped.
        detail: String,
        /// What was asked for.
        access: Access,
    },
    /// A peer broke the protocol.
    #[error("{host} broke the registry protocol ({what}): {reason}")]
    Protocol {
        /// The host that was spoken to.
        host: String,
        /// The operation.
        what: String,
        /// The rule that it broke.
        reason: String,
    },
    /// A peer tried to send this client, or its credentials, elsewhere.
    #[error("{registry} sends this client to a place that is refused ({what}): {reason}")]
    UnsafePeer {
        /// The registry.
        registry: RegistryHost,
        /// The step: token realm, redirect, upload location.
        what: &'static str,
        /// Where to, and which rule forbids it.
        reason: String,
    },
    /// Bytes are not those that were asked for.
    #[error("{what} has digest {found}, not {expected}")]
    DigestMismatch {
        /// What was read.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// Bytes have another length than their descriptor says.
    #[error("{what} is {found} bytes long, not {expected}")]
    SizeMismatch {
        /// What was read.
        what: String,
        /// Size in the descriptor, in bytes.
        expected: u64,
        /// Size found, in bytes; reading stops one byte after `expected`.
        found: u64,
    },
    /// A document is larger than what is read.
    #[error("{what} is larger than the limit of {limit}")]
    TooLarge {
        /// What was read.
        what: String,
        /// The limit, in bytes (in entries for an index).
        limit: u64,
    },
    /// A tag that must not move names something else already.
    #[error("{reference} already names {existing}, not {wanted}")]
    Conflict {
        /// The printable reference of the tag.
        reference: String,
        /// What it names.
        existing: Digest,
        /// What it was to name.
        wanted: Digest,
    },
    /// The registry or layout cannot do this at all.
    #[error("{what} is not supported by {by}")]
    Unsupported {
        /// The operation.
        what: String,
        /// The registry or layout.
        by: String,
    },
    /// A layout directory is damaged or not a layout.
    #[error("{} is not a usable OCI layout: {reason}", path.display())]
    Layout {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tar file holds no image that can be read.
    #[error("{} is not a usable image archive: {reason}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, or what must be said.
        reason: String,
    },
    /// One image was asked for without a name where there are several.
    #[error("{what} holds {} images, and none is named", names.len())]
    Ambiguous {
        /// The layout or archive.
        what: String,
        /// The names of the images: tags, and digests of those without one.
        names: Vec<String>,
    },
    /// A container engine on this machine did not do what was asked.
    #[error("the engine at {host} did not {what}: {reason}")]
    Engine {
        /// Socket or address.
        host: String,
        /// What it was asked to do.
        what: String,
        /// What it said.
        reason: String,
    },
    /// The client options contradict themselves or cannot be used.
    #[error("the registry client cannot be set up: {reason}")]
    Options {
        /// What is wrong.
        reason: String,
    },
    /// A path cannot be in an image.
    #[error("`{path}` cannot be in an image: {reason}")]
    InvalidImagePath {
        /// The path, shortened and escaped.
        path: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Two entries of a layer exclude each other: the same path twice, or a file where a directory is needed.
    #[error("`{path}` and `{other}` cannot both be in an image")]
    LayerConflict {
        /// The path added last.
        path: String,
        /// The path that was there; equal when two different things were added under one path.
        other: String,
    },
    /// A file got longer or shorter while it was read.
    #[error("{} changed while it was read; it was {expected} bytes long", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
        /// Its size in bytes when it was opened.
        expected: u64,
    },
    /// A base image is for another platform than the image built on it.
    #[error("the base image is for {found}, not for {wanted}")]
    BasePlatform {
        /// The platform of the image to be built.
        wanted: String,
        /// The platform in the base's configuration.
        found: String,
    },
    /// A base image contradicts itself or is not an image.
    #[error("the base image is not usable: {reason}")]
    InvalidBase {
        /// What is wrong with it.
        reason: String,
    },
    /// A local file operation failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `lock`, ..
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl From<shipper_tag::InvalidTag> for Error {
    fn from(error: shipper_tag::InvalidTag) -> Error {
        Error::invalid("tag", &error.text, error.reason)
    }
}

impl Error {
    pub(crate) fn invalid(what: &'static str, input: &str, reason: &'static str) -> Error {
        Error::InvalidReference { what, input: shown(&without_user(input)), reason }
    }

    /// A file error with its path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }

    /// The error with its causes, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        crate::http::chain(self)
    }

    /// Whether the answer could not be had (network, credentials, rate limits), so that nothing is known about what was
    /// asked. Never true for a proven absence.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        match self {
            Error::Unauthorized { .. }
            | Error::Credentials { .. }
            | Error::Unreachable { .. }
            | Error::Timeout { .. }
            | Error::RateLimited { .. }
            | Error::Protocol { .. }
            | Error::UnsafePeer { .. } => true,
            Error::Denied { access, .. } => *access == Access::Read,
            Error::Registry { .. } => !self.is_refused_write(),
            _ => false,
        }
    }

    /// Whether a registry that was reached, and knows who asks, did not take what was to be written. Never together with
    /// [`Error::is_unknown`].
    #[must_use]
    pub fn is_refused_write(&self) -> bool {
        match self {
            Error::Denied { access, .. } => *access == Access::Write,
            Error::Registry { status, access, .. } => {
                let is_final = matches!(status, 400..=499) && *status != 401 && !is_retryable_status(*status);
                *access == Access::Write && is_final
            }
            _ => false,
        }
    }

    /// Whether a tag that must not move names something else.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Conflict { .. })
    }

    /// Whether something is proven not to exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound { .. } | Error::NoPlatform { .. })
    }

    /// Whether the same call may succeed a little later. Calls have been retried already when this is returned.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Timeout { .. } | Error::RateLimited { .. } => true,
            Error::Registry { status, .. } => is_retryable_status(*status),
            _ => false,
        }
    }

    /// Whether the content is not what it claims to be: a damaged store or a hostile peer.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        matches!(
            self,
            Error::DigestMismatch { .. }
                | Error::SizeMismatch { .. }
                | Error::InvalidManifest { .. }
                | Error::Layout { .. }
                | Error::Archive { .. }
        )
    }

    /// What the user can do about it, as a sentence fragment.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Unauthorized { registry, .. } => {
                Some(format!("log in with `docker login {registry}` or `skopeo login {registry}`"))
            }
            Error::Denied { registry, .. } => {
                Some(format!("check that the repository exists and that the user logged in at {registry} may do this"))
            }
            Error::Unreachable { host, what, .. }
                if crate::quirks::named(host).drops_uploads_to_missing && what.starts_with("start upload") =>
            {
                Some("Amazon ECR drops the connection when the repository does not exist; create it first".to_owned())
            }
            Error::Unreachable { source, .. } if crate::http::chain(source.as_ref()).contains("certificate") => Some(
                "if this registry is the right one, name the PEM file of its certificate authority (`--ca-file`, or \
                 `root_certificates` of the registry options)"
                    .to_owned(),
            ),
            Error::UnsafePeer { what: "token realm", .. } => Some(
                "if this token server is trusted, name its host in the `trusted_hosts` of the registry options"
                    .to_owned(),
            ),
            Error::Unsupported { what, .. } if what.starts_with("deleting tag") => {
                Some("delete the manifest by digest, or use the registry's own interface".to_owned())
            }
            Error::Layout { .. } => Some("restore the directory, or delete it and ship again".to_owned()),
            Error::Ambiguous { names, .. } => {
                let more = if names.len() > MANY_NAMES { ", .." } else { "" };
                let some: Vec<String> = names.iter().take(MANY_NAMES).map(|name| shown(name)).collect();
                Some(format!("name one of {}{more}", some.join(", ")))
            }
            Error::RateLimited { retry_after: Some(wait), .. } => Some(format!("try again in {}s", wait.as_secs())),
            _ => None,
        }
    }
}

/// Most names in a hint.
const MANY_NAMES: usize = 8;

/// Statuses after which the same request may succeed.
pub(crate) fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// A reference or registry as it was given, without a user name and a password: what stands before the `@` of its first part,
/// where no digest follows. They do not belong there, and whoever wrote them there must not find them in a log.
///
/// ```
/// use shipper_oci::without_user;
/// assert_eq!(without_user("user:secret@ghcr.io/acme/api:v1"), "***@ghcr.io/acme/api:v1");
/// assert_eq!(without_user("ghcr.io/acme/api@sha256:00"), "ghcr.io/acme/api@sha256:00");
/// ```
#[must_use]
pub fn without_user(text: &str) -> Cow<'_, str> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    let Some((user, host)) = rest.rsplit_once('@') else { return Cow::Borrowed(text) };
    // A password may have a slash; a port has digits only.
    let first = rest.split('/').next().unwrap_or_default();
    let is_user = first.contains('@') || first.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_err());
    if !is_user || user.is_empty() || host.is_empty() || host.starts_with("sha256") || host.starts_with("sha512") {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{scheme}***@{host}"))
}

/// Foreign text made fit for a terminal and a log: control characters escaped, at most 200 characters.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 200;
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LIMIT {
            shown.push('…');
            break;
        }
        if is_unprintable(character) {
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters and the marks that reorder text on a terminal.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_hidden_and_digests_are_not() {
        for (text, expected) in [
            ("user:secret@ghcr.io/a:1", "***@ghcr.io/a:1"),
            ("https://user:secret@ghcr.io", "https://***@ghcr.io"),
            ("token@ghcr.io/a", "***@ghcr.io/a"),
            ("user:se/cr@et@ghcr.io/a:1", "***@ghcr.io/a:1"),
            ("user:secret@127.0.0.1:5000/a", "***@127.0.0.1:5000/a"),
            ("user:secret@localhost:5000", "***@localhost:5000"),
            ("ubuntu@sha256:ab", "ubuntu@sha256:ab"),
            ("ghcr.io/a@sha256:zz", "ghcr.io/a@sha256:zz"),
            ("ghcr.io/a@", "ghcr.io/a@"),
            ("ghcr.io/a:1@sha256:ab", "ghcr.io/a:1@sha256:ab"),
            ("ghcr.io/a:1@md5:ab", "ghcr.io/a:1@md5:ab"),
            ("127.0.0.1:5000/a@md5:ab", "127.0.0.1:5000/a@md5:ab"),
            ("ghcr.io/a:1", "ghcr.io/a:1"),
        ] {
            assert_eq!(without_user(text), expected, "{text}");
        }
    }

    #[test]
    fn foreign_text_is_escaped_and_shortened() {
        assert_eq!(shown("a\x1b[31m\n"), "a\\u{1b}[31m\\u{a}");
        assert_eq!(shown("\u{202e}x"), "\\u{202e}x");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), 201);
    }

    #[test]
    fn predicates_separate_unknown_from_absent() {
        let absent = Error::NotFound { what: "a:b".into() };
        assert!(absent.is_not_found() && !absent.is_unknown() && !absent.is_retryable());
        let host: RegistryHost = "ghcr.io".parse().unwrap();
        let limited = Error::RateLimited { registry: host.clone(), what: "x".into(), retry_after: None };
        assert!(limited.is_unknown() && limited.is_retryable());
        let status = |status, access| Error::Registry {
            registry: host.clone(),
            what: "x".into(),
            status,
            detail: String::new(),
            access,
        };
        for code in 300..600 {
            // What could not be read is never known; what is not taken is, where trying again can change nothing.
            let (read, write) = (status(code, Access::Read), status(code, Access::Write));
            assert!(read.is_unknown() && !read.is_refused_write(), "{code}");
            assert_ne!(write.is_unknown(), write.is_refused_write(), "{code}");
            assert!(!(write.is_retryable() && write.is_refused_write()), "{code}");
        }
        for (code, is_refused) in
            [(400, true), (401, false), (404, true), (405, true), (413, true), (429, false), (503, false)]
        {
            assert_eq!(status(code, Access::Write).is_refused_write(), is_refused, "{code}");
        }
        assert!(status(503, Access::Read).is_retryable() && !status(400, Access::Read).is_retryable());
    }
}
