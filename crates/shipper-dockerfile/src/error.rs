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
}
