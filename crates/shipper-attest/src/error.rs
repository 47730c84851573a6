//! Everything that can be wrong with what this crate is given.

/// Why a document can not be read, signed or believed. Texts fit after "cannot ".
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A lock file is not one, or is of a format that is not known.
    #[error("read it as {format}: {reason}")]
    LockFile {
        /// The format that its name promises.
        format: &'static str,
        /// What is wrong, with the place where one is known.
        reason: String,
    },
    /// A key is none, or none that can be used.
    #[error("use the key: {reason}")]
    Key {
        /// What is wrong. Never any part of the key.
        reason: &'static str,
    },
    /// A key is of another kind than is needed: private for signing, public for verifying.
    #[error("use the key: it is a {found} key, and a {needed} key is needed")]
    KeyRole {
        /// `private` or `public`.
        found: &'static str,
        /// `private` or `public`.
        needed: &'static str,
    },
    /// A signature could not be made.
    #[error("sign: the cryptographic library refuses")]
    Signing,
    /// A bundle, an envelope or a statement is not one.
    #[error("read it as {what}: {reason}")]
    Document {
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// None of an envelope's signatures was made by the key for these bytes.
    #[error("verify the signature: it was not made with this key, or not for this content")]
    Signature,
    /// A statement is about something else.
    #[error("take the statement for one about {wanted}: it is about {stated}")]
    OtherSubject {
        /// Digest of what was looked at.
        wanted: String,
        /// Digests that the statement names.
        stated: String,
    },
}

impl Error {
    /// Whether the key is at fault, and not what it was to be used on.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::KeyRole { .. })
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Key { .. } => Some(
                "`openssl genpkey -algorithm ed25519` and `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` \
                 write private keys, `openssl pkey -pubout` the public half",
            ),
            Self::KeyRole { needed: "public", .. } => Some("`openssl pkey -in KEY -pubout` writes the public half"),
            Self::KeyRole { .. } => Some("sign with the private half of the key"),
            Self::LockFile { .. } => Some("`exclude` keeps a file out of the context"),
            _ => None,
        }
    }
}

/// What the functions of this crate return.
pub type Result<T> = std::result::Result<T, Error>;
