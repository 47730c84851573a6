//! What can be wrong with a policy or with facts.

use crate::InvalidTag;

/// Why a policy can not be used, or facts not be evaluated. Texts fit after "cannot ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A template names what is not known.
    #[error("use the template `{template}`: unknown placeholder `{{{name}}}`")]
    Placeholder {
        /// The template.
        template: String,
        /// As written between the braces.
        name: String,
        /// The known name that is most like it.
        nearest: Option<String>,
    },
    /// A template that can not give tags.
    #[error("use the template `{template}`: {problem}")]
    Template {
        /// The template.
        template: String,
        /// Which rule it breaks.
        problem: String,
    },
    /// A condition that is none.
    #[error("use the condition `{condition}`: {problem}")]
    Condition {
        /// As written.
        condition: String,
        /// What is wrong with it.
        problem: String,
        /// The known word that is most like it.
        nearest: Option<String>,
    },
    /// A value that says how long something is kept, and is none.
    #[error("use {value} for `keep`: neither a number of images, nor days such as `\"3d\"`, nor `\"forever\"`")]
    Keep {
        /// As written.
        value: String,
    },
    /// A family that can not be used.
    #[error("use the family `{family}`: {problem}")]
    Family {
        /// Its name.
        family: String,
        /// What is wrong with it.
        problem: String,
        /// The known name that is most like it.
        nearest: Option<String>,
    },
    /// Two families can give one tag, or a tag of one is matched by the pattern of the other.
    #[error("tell `{one}` from `{other}`: both have the tag `{witness}` ({one_rule} and {other_rule})")]
    Overlap {
        /// The first family.
        one: String,
        /// The second.
        other: String,
        /// What of the first gives or matches the tag.
        one_rule: String,
        /// What of the second gives or matches it.
        other_rule: String,
        /// A tag that both have, the shortest there is.
        witness: String,
    },
    /// A template's tag breaks the grammar.
    #[error("name an image by `{template}`")]
    Tag {
        /// The template.
        template: String,
        /// What is wrong with the tag.
        #[source]
        source: InvalidTag,
    },
    /// A line of docker/metadata-action that can not be used.
    #[error("use line {line} of the metadata-action: {problem}")]
    Metadata {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Facts that contradict themselves.
    #[error("use the facts: {problem}")]
    Facts {
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Placeholder { nearest, .. } => nearest.as_ref().map(|name| format!("did you mean `{{{name}}}`?")),
            Self::Condition { nearest, .. } | Self::Family { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean `{name}`?"))
            }
            Self::Overlap { one, other, .. } => Some(format!(
                "give the tags of `{one}` and `{other}` different beginnings; `{other} = false` removes a family of the \
                 preset"
            )),
            Self::Tag { .. } => Some("shorten the template, or give `{hash}` and `{sha}` a width".to_owned()),
            _ => None,
        }
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
