//! What can be wrong with a document or a call.

use crate::lifecycle::Violation;

/// Why a document can not be used, or a call failed. Texts fit after "cannot ".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A document is not the JSON that is expected.
    #[error("read {0}")]
    Syntax(Syntax),
    /// A lifecycle policy that ECR would refuse; at least one violation, by rule.
    #[error("use the lifecycle policy: {}", listed(.0))]
    Policy(Vec<Violation>),
    /// A listing of images that is not whole, or not of one repository.
    #[error("use the listing of images: {problem}")]
    Listing {
        /// What is wrong.
        problem: String,
        /// What to do instead.
        hint: &'static str,
    },
}

/// One violation on the line, several below it.
fn listed(violations: &[Violation]) -> String {
    match violations {
        [one] => one.to_string(),
        many => many.iter().map(|violation| format!("\n    {violation}")).collect(),
    }
}

impl Error {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax(syntax) => syntax.hint.clone(),
            Self::Policy(violations) => {
                violations.iter().find_map(|violation| violation.problem.hint()).map(str::to_owned)
            }
            Self::Listing { hint, .. } => Some((*hint).to_owned()),
        }
    }
}

/// The place where a document stops being the one that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl std::fmt::Display for Syntax {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Syntax {
    /// The place and message of the parser; `otherwise` is the hint where no nearest name is known.
    pub(crate) fn new(error: &serde_json::Error, otherwise: &str) -> Self {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        let nearest = nearest(&message).map(|name| format!("did you mean `{name}`?"));
        Self {
            line: error.line(),
            column: error.column(),
            hint: nearest.or_else(|| Some(otherwise.to_owned())),
            message,
        }
    }

    /// Moves a place within rule `rule`, which begins at `start`, to its place in the document.
    pub(crate) fn below(mut self, rule: usize, start: (usize, usize)) -> Self {
        if self.line == 1 {
            self.column += start.1 - 1;
        }
        self.line += start.0 - 1;
        self.message = format!("rules[{rule}]: {}", self.message);
        self
    }
}

/// The nearest of the names that serde lists: "unknown field `a`, expected one of `b`, `c`".
fn nearest(message: &str) -> Option<&str> {
    let listed = message.strip_prefix("unknown field").or_else(|| message.strip_prefix("unknown variant"))?;
    let mut quoted = listed.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let closeness = |name: &str| strsim::jaro_winkler(&unknown.to_lowercase(), &name.to_lowercase());
    quoted
        .map(|name| (closeness(name), name))
        .filter(|(near, _)| *near > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
