//! Why a service is built or not: typed, serialisable, and readable as one phrase.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the plan decided for a service or for one platform of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The image is built.
    Build,
    /// The image is there; a name is moved to it.
    Retag,
    /// The image is there and nothing is written.
    Reuse,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Build => "build",
            Self::Retag => "retag",
            Self::Reuse => "reuse",
        })
    }
}

/// One file of a context that differs from the run compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Path relative to the project's root, escaped where it is not UTF-8; of a renamed file, the new one.
    pub path: String,
    /// `added`, `removed`, `content`, `mode`, `kind` or `renamed`.
    pub change: String,
    /// The old path of a renamed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl fmt::Display for FileChange {
    /// The path, of a renamed file both.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Some(from) => write!(f, "{from} -> {}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// One named value that differs: an argument, a part of the recipe, a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueChange {
    /// The value's name: an argument, `profile`, `user`, a base reference.
    pub name: String,
    /// What it was; absent where it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is; absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Why an action was chosen. The `code` is stable; see the reference for the whole list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// No image of this service was found to compare with.
    NeverBuilt,
    /// Files of the context differ from the image compared with.
    InputsChanged {
        /// The files, sorted by path.
        files: Vec<FileChange>,
    },
    /// The recipe differs: Dockerfile, package, profile, compiler, image options, platforms.
    RecipeChanged {
        /// The values, sorted by name.
        values: Vec<ValueChange>,
    },
    /// Build arguments differ. Their values are not told, only their names.
    ArgsChanged {
        /// Names, sorted.
        names: Vec<String>,
    },
    /// A base image's locked digest differs.
    BaseMoved {
        /// References with the digest before and now.
        bases: Vec<ValueChange>,
    },
    /// A service that this one is built on has another key.
    DependencyRebuilt {
        /// Names of those services, sorted.
        services: Vec<String>,
    },
    /// The key was built before, but the image is gone.
    ImageMissing {
        /// What was missing: the identity tag, or a platform's manifest.
        what: String,
    },
    /// The image is archived in the registry and can not be pulled.
    ImageArchived,
    /// The image was keyed by another version of the scheme.
    SchemeChanged,
    /// An image is there, but the trust rule does not allow it.
    Untrusted {
        /// Why.
        why: String,
    },
    /// Asked for by `--force`.
    Forced,
    /// The identity is there, fetched and verified in this run.
    ImageExists,
    /// The same inputs were built under another name.
    SameInputsOtherTag {
        /// That name.
        tag: String,
    },
}

impl Reason {
    /// The stable code, as it stands in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NeverBuilt => "never-built",
            Self::InputsChanged { .. } => "inputs-changed",
            Self::RecipeChanged { .. } => "recipe-changed",
            Self::ArgsChanged { .. } => "args-changed",
            Self::BaseMoved { .. } => "base-moved",
            Self::DependencyRebuilt { .. } => "dependency-rebuilt",
            Self::ImageMissing { .. } => "image-missing",
            Self::ImageArchived => "image-archived",
            Self::SchemeChanged => "scheme-changed",
            Self::Untrusted { .. } => "untrusted",
            Self::Forced => "forced",
            Self::ImageExists => "image-exists",
            Self::SameInputsOtherTag { .. } => "same-inputs-other-tag",
        }
    }

    /// The reason as lines that name every file and value, for `-v` and `why`.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        let value = |change: &ValueChange| match (&change.from, &change.to) {
            (Some(from), Some(to)) => format!("{}: {from} -> {to}", change.name),
            (None, Some(to)) => format!("{}: {to} (new)", change.name),
            (Some(from), None) => format!("{}: {from} (gone)", change.name),
            (None, None) => change.name.clone(),
        };
        match self {
            Self::InputsChanged { files } => files.iter().map(|file| format!("{:<8} {file}", file.change)).collect(),
            Self::RecipeChanged { values } => values.iter().map(value).collect(),
            Self::BaseMoved { bases } => bases.iter().map(value).collect(),
            Self::ArgsChanged { names } => names.clone(),
            Self::DependencyRebuilt { services } => services.clone(),
            _ => Vec::new(),
        }
    }
}

/// The first of `all`, and how many more there are.
fn first_of(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one}, {two}"),
        [one, two, rest @ ..] => format!("{one}, {two}, +{}", rest.len()),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |changes: &[ValueChange]| first_of(&changes.iter().map(|c| c.name.clone()).collect::<Vec<_>>());
        match self {
            Self::NeverBuilt => f.write_str("never built"),
            Self::InputsChanged { files } => {
                let paths: Vec<String> = files.iter().map(ToString::to_string).collect();
                let noun = if files.len() == 1 { "input" } else { "inputs" };
                write!(f, "{} {noun} changed: {}", files.len(), first_of(&paths))
            }
            Self::RecipeChanged { values } => write!(f, "recipe changed: {}", names(values)),
            Self::ArgsChanged { names } => write!(f, "arguments changed: {}", first_of(names)),
            Self::BaseMoved { bases } => {
                let has_moved = bases.iter().all(|base| base.from.is_some() && base.to.is_some());
                write!(f, "base {}: {}", if has_moved { "moved" } else { "changed" }, names(bases))
            }
            Self::DependencyRebuilt { services } => write!(f, "built on {}", first_of(services)),
            Self::ImageMissing { what } => write!(f, "image missing: {what}"),
            Self::ImageArchived => f.write_str("image is archived"),
            Self::SchemeChanged => f.write_str("key scheme changed"),
            Self::Untrusted { why } => write!(f, "not trusted: {why}"),
            Self::Forced => f.write_str("forced"),
            Self::ImageExists => f.write_str("image exists"),
            Self::SameInputsOtherTag { tag } => write!(f, "same inputs built as {tag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> FileChange {
        FileChange { path: path.to_owned(), change: "content".to_owned(), from: None }
    }

    #[test]
    fn the_code_is_the_one_in_json() {
        let reasons = [
            Reason::NeverBuilt,
            Reason::InputsChanged { files: vec![file("a")] },
            Reason::RecipeChanged { values: vec![] },
            Reason::ArgsChanged { names: vec![] },
            Reason::BaseMoved { bases: vec![] },
            Reason::DependencyRebuilt { services: vec![] },
            Reason::ImageMissing { what: "h-1".to_owned() },
            Reason::ImageArchived,
            Reason::SchemeChanged,
            Reason::Untrusted { why: "w".to_owned() },
            Reason::Forced,
            Reason::ImageExists,
            Reason::SameInputsOtherTag { tag: "t".to_owned() },
        ];
        for reason in reasons {
            let json = serde_json::to_value(&reason).expect("serialises");
            assert_eq!(json["code"], reason.code());
            assert_eq!(serde_json::from_value::<Reason>(json).expect("reads back"), reason);
        }
    }

    #[test]
    fn many_files_are_counted_after_the_second() {
        let check = |paths: &[&str], expected: &str| {
            let reason = Reason::InputsChanged { files: paths.iter().map(|p| file(p)).collect() };
            assert_eq!(reason.to_string(), expected);
        };
        check(&["a"], "1 input changed: a");
        check(&["a", "b"], "2 inputs changed: a, b");
        check(&["a", "b", "c", "d"], "4 inputs changed: a, b, +2");
        let renamed = FileChange { change: "renamed".to_owned(), from: Some("old".to_owned()), ..file("new") };
        assert_eq!(Reason::InputsChanged { files: vec![renamed] }.to_string(), "1 input changed: old -> new");
    }
}
