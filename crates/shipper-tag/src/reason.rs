//! Why an image gets a name, and why a rule gives none: typed, and readable as one phrase.

use std::fmt;

use semver::Version;
use serde::{Serialize, Serializer};

/// Why an image gets a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is its key.
    Key,
    /// The family's condition holds.
    Met {
        /// The condition.
        condition: String,
        /// The run.
        run: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("the key of its inputs"),
            Self::Met { condition, run } => write!(f, "{run} meets `{condition}`"),
        }
    }
}

/// Why a rule gives no name. The code is stable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotNamed {
    /// The condition does not hold.
    NotMet {
        /// The condition.
        condition: String,
        /// The run.
        run: String,
    },
    /// An earlier family has the branch, and the pattern of this one is for all others.
    Claimed {
        /// That family.
        by: String,
    },
    /// The files are not those of the commit that would be named.
    Dirty,
    /// A placeholder has no value on this run.
    NoValue {
        /// Its name.
        placeholder: &'static str,
    },
    /// The family's anchor is not given, and an alias never stands alone.
    NoAnchor,
    /// The default branch is not known.
    NoDefaultBranch,
    /// The git tag has no semantic version where one is expected.
    NoVersion {
        /// The git tag.
        tag: String,
    },
    /// A pre-release has no alias.
    PreRelease {
        /// The version.
        version: Version,
    },
    /// Versions `0.x` promise nothing to each other, so that `v0` would mean nothing.
    InitialDevelopment {
        /// The version.
        version: Version,
    },
    /// A newer version is known: an alias only moves forward.
    Newer {
        /// This version.
        version: Version,
        /// The newer one.
        newer: Version,
    },
    /// It is not known which versions there are, so that moving the alias could move it back.
    VersionsUnknown,
    /// The name could be an anchor of the same family, which never moves.
    LooksLikeAnchor {
        /// The name.
        tag: String,
    },
    /// Another rule gives the same name.
    Twice {
        /// The name.
        tag: String,
    },
}

impl NotNamed {
    /// The stable code, as it stands in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotMet { .. } => "not-met",
            Self::Claimed { .. } => "claimed",
            Self::Dirty => "dirty",
            Self::NoValue { .. } => "no-value",
            Self::NoAnchor => "no-anchor",
            Self::NoDefaultBranch => "no-default-branch",
            Self::NoVersion { .. } => "no-version",
            Self::PreRelease { .. } => "pre-release",
            Self::InitialDevelopment { .. } => "initial-development",
            Self::Newer { .. } => "newer-version",
            Self::VersionsUnknown => "versions-unknown",
            Self::LooksLikeAnchor { .. } => "looks-like-anchor",
            Self::Twice { .. } => "twice",
        }
    }
}

impl fmt::Display for NotNamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMet { condition, run } => write!(f, "{run} does not meet `{condition}`"),
            Self::Claimed { by } => write!(f, "the branch belongs to `{by}`"),
            Self::Dirty => f.write_str("the files are not those of the commit"),
            Self::NoValue { placeholder } => write!(f, "`{{{placeholder}}}` has no value"),
            Self::NoAnchor => f.write_str("its family's tag is not given"),
            Self::NoDefaultBranch => f.write_str("the default branch is not known"),
            Self::NoVersion { tag } => write!(f, "the tag `{tag}` has no semantic version"),
            Self::PreRelease { version } => write!(f, "{version} is a pre-release, which has no alias"),
            Self::InitialDevelopment { version } => write!(f, "{version} is initial development, no `0` is promised"),
            Self::Newer { version, newer } => write!(f, "{newer} is newer than {version}"),
            Self::VersionsUnknown => f.write_str("it is not known whether a newer version exists"),
            Self::LooksLikeAnchor { tag } => write!(f, "`{tag}` could be a tag that never moves"),
            Self::Twice { tag } => write!(f, "another rule gives `{tag}`"),
        }
    }
}

impl Serialize for Why {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for NotNamed {
    /// `{"code":..,"text":..}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut object = serializer.serialize_struct("NotNamed", 2)?;
        object.serialize_field("code", self.code())?;
        object.serialize_field("text", &self.to_string())?;
        object.end()
    }
}
