//! The patterns of `inputs`, `exclude` and explicit file sets.
//!
//! Relative to the tree's root and anchored there: `*.md` names files at the top only, `**/*.md` names them anywhere.
//! `?`, `*`, `[..]` stay within a part, `**` as a whole part stands for any number of parts, `\` makes the next byte
//! ordinary. A pattern that matches a directory names everything below it; a `/` at its end is allowed and says so.

use crate::Error;
use crate::glob::{Glob, Malformed};
use crate::path::escape;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    glob: Glob,
    /// The first part, if it is free of wildcards.
    first: Option<Vec<u8>>,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        // Shown as it was written, but for what could fool a terminal.
        let shown = || if text.contains(char::is_control) { escape(text.as_bytes()) } else { text.to_owned() };
        let invalid = |reason| Error::Pattern { pattern: shown(), reason };
        let pattern = text.strip_suffix('/').unwrap_or(text);
        if text.starts_with('!') {
            return Err(invalid("negation is not supported; use `exclude`"));
        }
        if text.starts_with('/') {
            return Err(invalid("patterns are relative to the top directory; leave out the `/` at the beginning"));
        }
        for part in pattern.split('/') {
            match part {
                "" => return Err(invalid("it has an empty part")),
                "." | ".." => return Err(invalid("`.` and `..` are not supported")),
                _ => {}
            }
        }
        let glob = Glob::parse(pattern.as_bytes(), false).map_err(|malformed| match malformed {
            Malformed::Bracket => invalid("a `[` has no matching `]`, or its class is unknown"),
            Malformed::Backslash => invalid("it ends in `\\`"),
        })?;
        let first = pattern.split('/').next().filter(|part| !part.contains(['*', '?', '[', '\\']));
        let first = first.map(|part| part.as_bytes().to_vec());
        Ok(Self { text: text.to_owned(), glob, first })
    }

    pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Self>, Error> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    /// Whether `path` itself matches; the caller carries a match of a directory to what is below it.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.glob.matches(path)
    }

    /// Whether something below `directory` could match.
    pub(crate) fn may_match_below(&self, directory: &[u8]) -> bool {
        self.glob.may_match_below(directory)
    }

    /// Whether the pattern names `part` at the top by its letters, not by a wildcard.
    pub(crate) fn names_first(&self, part: &[u8]) -> bool {
        self.first.as_deref() == Some(part)
    }
}
