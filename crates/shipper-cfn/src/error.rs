//! What can be wrong with a file, a stack's outputs or a call.

/// Why a stack or its outputs can not be used. Texts fit after "cannot ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not what `cdk deploy --outputs-file` writes.
    #[error("read line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// What was found.
        message: String,
    },
    /// No output is named, and the stack has not exactly one that is a repository.
    #[error("choose the repository among the outputs of stack `{stack}`: {}", found(.repositories))]
    Ambiguous {
        /// The stack.
        stack: String,
        /// Outputs that are URIs or ARNs of repositories.
        repositories: Vec<String>,
    },
    /// The output is something else than a repository.
    #[error("use output `{output}` of stack `{stack}`: `{value}` is neither the URI nor the ARN of an ECR repository")]
    NotARepository {
        /// The stack.
        stack: String,
        /// The output.
        output: String,
        /// Its value, cut.
        value: String,
    },
    /// A call gave no answer.
    #[error(transparent)]
    Aws(#[from] shipper_aws::Error),
}

fn found(repositories: &[String]) -> String {
    if repositories.is_empty() {
        "none is the URI or ARN of a repository".to_owned()
    } else {
        format!("{} are", repositories.join(", "))
    }
}

impl Error {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { .. } => Some(
                "the file is `{\"STACK\": {\"OUTPUT\": \"value\"}}` as `cdk deploy --outputs-file` writes it; write it anew"
                    .to_owned(),
            ),
            Self::Ambiguous { .. } | Self::NotARepository { .. } => Some("name it with `--output`".to_owned()),
            Self::Aws(error) => error.hint(),
        }
    }
}
