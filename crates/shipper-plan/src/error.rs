//! What can be wrong with a configuration.

/// Why a configuration can not be used or a plan can not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not the TOML that is expected; the message shows the place.
    #[error("parse {file}\n{message}")]
    Syntax {
        /// The file, as the caller named it.
        file: String,
        /// The parser's message with the line it is about.
        message: String,
        /// The nearest known key, where an unknown one was found.
        nearest: Option<String>,
    },
    /// A value is well-formed but makes no sense.
    #[error("use `{key}`: {problem}")]
    Invalid {
        /// Dotted key, such as `service.api.base`.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What to write instead.
        hint: Option<String>,
    },
    /// A service was named that the configuration does not have.
    #[error("find service `{name}`")]
    NoSuchService {
        /// As it was written.
        name: String,
        /// The services there are, sorted.
        known: Vec<String>,
    },
    /// An environment was named that the configuration does not have.
    #[error("find environment `{name}`")]
    NoSuchEnvironment {
        /// As it was written.
        name: String,
        /// The environments there are, sorted.
        known: Vec<String>,
    },
    /// Services are built on each other in a circle.
    #[error("order the services: {} is a cycle", cycle.join(" -> "))]
    Cycle {
        /// The services in the order of their needs; the first is repeated at the end.
        cycle: Vec<String>,
    },
    /// The policy of names can not be used.
    #[error(transparent)]
    Tags(#[from] shipper_tag::Error),
    /// A stored inputs document is not one that this version reads.
    #[error("read an inputs document: {0}")]
    Inputs(String),
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { nearest, .. } => nearest.as_ref().map(|name| format!("did you mean `{name}`?")),
            Self::Invalid { hint, .. } => hint.clone(),
            Self::NoSuchService { name, known } => Some(match nearest(name, known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None if known.is_empty() => "no service is configured; `shipper init` writes what it finds".to_owned(),
                None => format!("the services are {}", known.join(", ")),
            }),
            Self::NoSuchEnvironment { name, known } => Some(match nearest(name, known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None if known.is_empty() => format!("add `[[env.{name}.deploy]]` to shipper.toml"),
                None => format!("the environments are {}", known.join(", ")),
            }),
            Self::Cycle { .. } => Some("remove one of the `needs`".to_owned()),
            Self::Tags(error) => error.hint(),
            Self::Inputs(_) => None,
        }
    }

    pub(crate) fn invalid(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { key: key.into(), problem: problem.into(), hint: None }
    }

    pub(crate) fn invalid_with(key: impl Into<String>, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { key: key.into(), problem: problem.into(), hint: Some(hint.into()) }
    }
}

/// The known name that is most like `name`, if one is like it at all.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate)
}
