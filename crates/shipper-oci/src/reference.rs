//! Image references: `registry/repository[:tag][@digest]`.
//!
//! Invariant: every part of a [`Reference`] is a validated newtype. [`Reference::from_str`] takes only complete
//! references, so that no default registry is guessed; [`Reference::parse_docker`] applies the shorthand rules of the
//! `docker` command line (`ubuntu` is `docker.io/library/ubuntu:latest`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::deserialize_parsed;
use crate::{Digest, Error, RegistryHost, RepositoryName, Tag, without_user};

/// What names a manifest inside one repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// By a name that may move.
    Tag(Tag),
    /// By content.
    Digest(Digest),
}

impl Selector {
    /// What is meant where nothing is named: the tag `latest`.
    #[must_use]
    pub fn latest() -> Selector {
        Selector::Tag("latest".parse().expect("because it keeps to the grammar of tags"))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Tag(tag) => tag.fmt(f),
            Selector::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Tag> for Selector {
    fn from(tag: Tag) -> Selector {
        Selector::Tag(tag)
    }
}

impl From<Digest> for Selector {
    fn from(digest: Digest) -> Selector {
        Selector::Digest(digest)
    }
}

impl FromStr for Selector {
    type Err = Error;

    /// A text with a colon is a digest, anything else a tag.
    fn from_str(input: &str) -> Result<Selector, Error> {
        if input.contains(':') {
            input.parse().map(Selector::Digest)
        } else {
            input.parse().map(Selector::Tag).map_err(Error::from)
        }
    }
}

/// A complete image reference.
///
/// ```
/// use shipper_oci::Reference;
/// let reference: Reference = "ghcr.io/acme/api:v1".parse()?;
/// assert_eq!(reference.registry.as_str(), "ghcr.io");
/// assert_eq!(reference.repository.as_str(), "acme/api");
/// assert_eq!(Reference::parse_docker("ubuntu")?.to_string(), "docker.io/library/ubuntu:latest");
/// # Ok::<(), shipper_oci::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Host and port.
    pub registry: RegistryHost,
    /// Name of the repository on that host.
    pub repository: RepositoryName,
    /// The tag, where one is written.
    pub tag: Option<Tag>,
    /// The digest, where one is written; it wins over the tag.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses as the `docker` command does: a first part without a dot, a colon and not `localhost` belongs to the
    /// repository on Docker Hub; a single name there lies in `library/`; without tag and digest the tag is `latest`.
    ///
    /// # Errors
    /// [`Error::InvalidReference`] when a part breaks its grammar.
    pub fn parse_docker(input: &str) -> Result<Reference, Error> {
        let parts = Parts::split(input)?;
        let (registry, name) = match parts.name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first.parse()?, rest.to_owned())
            }
            _ => (RegistryHost::docker_hub(), parts.name.to_owned()),
        };
        let hub = matches!(registry.as_str(), "docker.io" | "index.docker.io" | "registry-1.docker.io");
        let registry = if hub { RegistryHost::docker_hub() } else { registry };
        let name = if hub && !name.contains('/') { format!("library/{name}") } else { name };
        let mut reference =
            Reference { registry, repository: name.parse()?, tag: parts.tag()?, digest: parts.digest()? };
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some("latest".parse()?);
        }
        Ok(reference)
    }

    /// What the reference selects in its repository: the digest if there is one, else the tag.
    #[must_use]
    pub fn selector(&self) -> Option<Selector> {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Some(Selector::Digest(digest.clone())),
            (None, Some(tag)) => Some(Selector::Tag(tag.clone())),
            (None, None) => None,
        }
    }

    /// The same repository with this tag and no digest.
    #[must_use]
    pub fn with_tag(&self, tag: Tag) -> Reference {
        Reference { tag: Some(tag), digest: None, ..self.clone() }
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }
}

/// The three texts of a reference, not yet validated.
struct Parts<'a> {
    name: &'a str,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn split(input: &'a str) -> Result<Parts<'a>, Error> {
        if input.is_empty() {
            return Err(Error::invalid("reference", input, "it is empty"));
        }
        if input.contains("://") {
            return Err(Error::invalid("reference", input, "it has a URL scheme; leave everything up to `://` away"));
        }
        if without_user(input) != input {
            return Err(Error::invalid("reference", input, "it holds a user name; log in to the registry instead"));
        }
        let (rest, digest) = match input.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (input, None),
        };
        // A colon before the last slash belongs to the port of the host.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        Ok(Parts { name, tag, digest })
    }

    fn tag(&self) -> Result<Option<Tag>, Error> {
        Ok(self.tag.map(str::parse).transpose()?)
    }

    fn digest(&self) -> Result<Option<Digest>, Error> {
        self.digest.map(str::parse).transpose()
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(input: &str) -> Result<Reference, Error> {
        let parts = Parts::split(input)?;
        let (registry, repository) = parts.name.split_once('/').ok_or_else(|| {
            Error::invalid("reference", input, "it needs a registry host and a repository, as in `ghcr.io/acme/api`")
        })?;
        if !registry.contains(['.', ':']) && registry != "localhost" {
            return Err(Error::invalid(
                "reference",
                input,
                "its first part is not a registry host (no dot, no port, not `localhost`)",
            ));
        }
        Ok(Reference {
            registry: registry.parse()?,
            repository: repository.parse()?,
            tag: parts.tag()?,
            digest: parts.digest()?,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        deserialize_parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn complete_references_parse_and_print_alike() {
        for good in [
            "ghcr.io/acme/api".to_owned(),
            "ghcr.io/acme/api:v1".into(),
            "localhost:5000/a:b".into(),
            "localhost/a".into(),
            "[::1]:5000/a/b:c".into(),
            format!("127.0.0.1:5000/a@sha256:{HEX}"),
            format!("ghcr.io/a/b:c@sha256:{HEX}"),
        ] {
            assert_eq!(good.parse::<Reference>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "api",
            "acme/api",
            "ghcr.io/",
            "/a",
            "ghcr.io/a:",
            "ghcr.io/a@",
            "ghcr.io/A",
            "https://ghcr.io/a",
            "ghcr.io/a:b:c",
            "ghcr.io/a@sha256:x",
            "ghcr.io/../a",
            "user@ghcr.io/a",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn docker_shorthand_is_completed() {
        let cases = [
            ("ubuntu", "docker.io/library/ubuntu:latest".to_owned()),
            ("ubuntu:22.04", "docker.io/library/ubuntu:22.04".into()),
            ("acme/api", "docker.io/acme/api:latest".into()),
            ("docker.io/ubuntu", "docker.io/library/ubuntu:latest".into()),
            ("index.docker.io/library/ubuntu", "docker.io/library/ubuntu:latest".into()),
            ("localhost/a", "localhost/a:latest".into()),
            ("localhost:5000/a:b", "localhost:5000/a:b".into()),
            ("gcr.io/distroless/static:nonroot", "gcr.io/distroless/static:nonroot".into()),
        ];
        for (input, expected) in cases {
            assert_eq!(Reference::parse_docker(input).unwrap().to_string(), expected);
        }
        let pinned = format!("ubuntu@sha256:{HEX}");
        assert_eq!(Reference::parse_docker(&pinned).unwrap().to_string(), format!("docker.io/library/{pinned}"));
        for bad in ["", "Ubuntu", "a b", "ubuntu:", "ubuntu@", "-a"] {
            assert!(Reference::parse_docker(bad).is_err(), "{bad:?}");
        }
    }
}
