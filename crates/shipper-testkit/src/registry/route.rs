//! Splits a request path into what it addresses, with the grammar of the distribution specification.
//!
//! Invariant: a `Route` carries only names that fit the grammar; what does not fit is `Route::Invalid` with its cause.

/// What a path addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Ping,
    Catalog,
    Tags(String),
    Manifest(String, Reference),
    Blob(String, String),
    Upload(String, String),
    Referrers(String, String),
    Invalid(Invalid),
    Unknown,
}

/// Tag or digest of a manifest path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(String),
    Digest(String),
}

/// Which part of a path breaks the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Name,
    Tag,
    Digest,
}

impl Route {
    pub(super) fn parse(path: &str) -> Self {
        if path == "/v2" || path == "/v2/" {
            return Self::Ping;
        }
        let Some(rest) = path.strip_prefix("/v2/") else {
            return Self::Unknown;
        };
        if rest == "_catalog" {
            return Self::Catalog;
        }
        let (name, last) = if let Some(name) = rest.strip_suffix("/tags/list") {
            (name, Self::Tags(name.to_owned()))
        } else if let Some((name, id)) = rest.rsplit_once("/blobs/uploads/") {
            (name, Self::Upload(name.to_owned(), id.to_owned()))
        } else if let Some((name, digest)) = rest.rsplit_once("/blobs/") {
            (name, digest_route(name, digest, Self::Blob))
        } else if let Some((name, digest)) = rest.rsplit_once("/referrers/") {
            (name, digest_route(name, digest, Self::Referrers))
        } else if let Some((name, reference)) = rest.rsplit_once("/manifests/") {
            (name, manifest_route(name, reference))
        } else {
            return Self::Unknown;
        };
        if is_name(name) { last } else { Self::Invalid(Invalid::Name) }
    }

    /// The repository that the route names.
    pub(super) fn repository(&self) -> Option<&str> {
        match self {
            Self::Tags(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => Some(name),
            Self::Ping | Self::Catalog | Self::Invalid(_) | Self::Unknown => None,
        }
    }
}

fn digest_route(name: &str, digest: &str, route: fn(String, String) -> Route) -> Route {
    if is_digest(digest) { route(name.to_owned(), digest.to_owned()) } else { Route::Invalid(Invalid::Digest) }
}

fn manifest_route(name: &str, reference: &str) -> Route {
    if is_digest(reference) {
        Route::Manifest(name.to_owned(), Reference::Digest(reference.to_owned()))
    } else if reference.contains(':') {
        Route::Invalid(Invalid::Digest)
    } else if is_tag(reference) {
        Route::Manifest(name.to_owned(), Reference::Tag(reference.to_owned()))
    } else {
        Route::Invalid(Invalid::Tag)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*` (distribution specification, "Pulling manifests").
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 255 && name.split('/').all(is_component)
}

fn is_component(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !word(*first) || !word(*last) {
        return false;
    }
    bytes
        .split(|byte| word(*byte))
        .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-'))
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(super) fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= 128 && bytes.next().is_some_and(word) && bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// `sha256:` with 64 or `sha512:` with 128 lower-case hexadecimal digits.
pub(super) fn is_digest(digest: &str) -> bool {
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match digest.split_once(':') {
        Some(("sha256", text)) => hex(text, 64),
        Some(("sha512", text)) => hex(text, 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_from_the_right() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let cases = [
            ("/v2/", Route::Ping),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/a/b/tags/list", Route::Tags("a/b".into())),
            ("/v2/a/manifests/v1.0", Route::Manifest("a".into(), Reference::Tag("v1.0".into()))),
            ("/v2/a/manifests/manifests/x", Route::Manifest("a/manifests".into(), Reference::Tag("x".into()))),
            ("/v2/a/blobs/uploads/", Route::Upload("a".into(), String::new())),
            ("/v2/a/blobs/uploads/7", Route::Upload("a".into(), "7".into())),
            ("/v2/A/tags/list", Route::Invalid(Invalid::Name)),
            ("/v2/a//b/tags/list", Route::Invalid(Invalid::Name)),
            ("/v2/a/manifests/-x", Route::Invalid(Invalid::Tag)),
            ("/v2/a/blobs/sha256:zz", Route::Invalid(Invalid::Digest)),
            ("/other", Route::Unknown),
        ];
        for (path, expected) in cases {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
        let manifest = Route::parse(&format!("/v2/a/manifests/{digest}"));
        assert_eq!(manifest, Route::Manifest("a".into(), Reference::Digest(digest.clone())));
        assert_eq!(Route::parse(&format!("/v2/a/referrers/{digest}")), Route::Referrers("a".into(), digest));
    }

    #[test]
    fn names_follow_the_specification() {
        for name in ["a", "a/b-c", "a__b", "a---b", "0.1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "/", "a/", "a___b", "a..b", "-a", "a_", "a b", "Ä"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
