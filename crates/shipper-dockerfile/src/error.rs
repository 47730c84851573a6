//! The errors of this crate: each names the line it is about, and a hint where the user can act.

/// Why a `.dockerignore` file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreError {
    /// A line is longer than Docker reads.
    #[error("read the ignore file: line {line} has {length} bytes, more than 65535")]
    LineTooLong {
        /// 1-based line.
        line: usize,
        /// Length of the line in bytes, without its newline.
        length: usize,
    },
    /// A line is a `!` without a pattern.
    #[error("read the ignore file: line {line} is a `!` without a pattern")]
    LoneExclamation {
        /// 1-based line.
        line: usize,
    },
    /// A pattern that Docker rejects, or that uses a class which is not supported.
    #[error("read the ignore file: the pattern `{pattern}` in line {line} {reason}")]
    BadPattern {
        /// 1-based line.
        line: usize,
        /// The pattern after cleaning, without its `!`.
        pattern: String,
        /// What is wrong, as a fragment that follows the pattern.
        reason: &'static str,
    },
}

impl IgnoreError {
    /// The 1-based line of the ignore file.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            IgnoreError::LineTooLong { line, .. }
            | IgnoreError::LoneExclamation { line }
            | IgnoreError::BadPattern { line, .. } => *line,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            IgnoreError::LineTooLong { .. } => None,
            IgnoreError::LoneExclamation { .. } => Some("write the pattern to take back in after the `!`".to_owned()),
            IgnoreError::BadPattern { .. } => {
                Some("put a `\\` before a `[`, `{`, `|` or `\\` that stands for itself".to_owned())
            }
        }
    }
}

/// Why a Dockerfile cannot be analysed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The Dockerfile does not parse.
    #[error("read the Dockerfile: line {line}: {message}")]
    Syntax {
        /// 1-based line.
        line: usize,
        /// What is wrong, a lower-case fragment.
        message: String,
    },
    /// The Dockerfile has no `FROM`.
    #[error("read the Dockerfile: it has no `FROM`")]
    NoStages,
    /// The Dockerfile is larger than what is analysed.
    #[error("read the Dockerfile: it has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// The stage to build does not exist.
    #[error("find the stage `{target}` in the Dockerfile")]
    UnknownTarget {
        /// The name that was asked for.
        target: String,
        /// The names of all stages that have one, in the order of the file.
        known: Vec<String>,
    },
    /// A `--from` that cannot be followed.
    #[error("read the Dockerfile: line {line}: `{from}` {reason}")]
    BadFrom {
        /// 1-based line.
        line: usize,
        /// The text of `--from` or `from=`.
        from: String,
        /// What is wrong, as a fragment that follows the text.
        reason: &'static str,
    },
    /// A word whose variables cannot be expanded.
    #[error("expand `{word}` in line {line} of the Dockerfile: {reason}")]
    Expansion {
        /// 1-based line.
        line: usize,
        /// The word as it is written.
        word: String,
        /// What is wrong, a lower-case fragment.
        reason: String,
    },
    /// A `FROM` whose image is empty after expansion.
    #[error("read the Dockerfile: line {line}: the image `{reference}` is empty after expansion")]
    BlankBase {
        /// 1-based line.
        line: usize,
        /// The image as it is written.
        reference: String,
    },
    /// A `FROM` whose image depends on what is not known before the build.
    #[error("tell which image `FROM {reference}` in line {line} means: the value of `{variable}` is not known")]
    UnresolvedBase {
        /// 1-based line.
        line: usize,
        /// The image as it is written.
        reference: String,
        /// The variable without a known value.
        variable: String,
    },
}

impl Error {
    /// The 1-based line of the Dockerfile, if one is to blame.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        match self {
            Error::Syntax { line, .. }
            | Error::BadFrom { line, .. }
            | Error::Expansion { line, .. }
            | Error::BlankBase { line, .. }
            | Error::UnresolvedBase { line, .. } => Some(*line),
            Error::NoStages | Error::TooLarge { .. } | Error::UnknownTarget { .. } => None,
        }
    }

    /// Whether the Dockerfile is fine but the stage to build is not in it.
    #[must_use]
    pub fn is_unknown_target(&self) -> bool {
        matches!(self, Error::UnknownTarget { .. })
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::UnknownTarget { known, .. } if known.is_empty() => {
                Some("no stage has a name; give one with `FROM .. AS name`".to_owned())
            }
            Error::UnknownTarget { known, .. } => Some(format!("the stages are {}", list(known))),
            Error::BadFrom { reason, .. } if reason.contains("expanded") => {
                Some("define a stage with `FROM` and a global `ARG`, and name that stage".to_owned())
            }
            Error::BlankBase { .. } => Some("give the `ARG` before the first `FROM` a default value".to_owned()),
            Error::UnresolvedBase { variable, .. } => {
                Some(format!("set the platform, or the build argument `{variable}`"))
            }
            _ => None,
        }
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
