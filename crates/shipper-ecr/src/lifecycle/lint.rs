//! What ECR accepts and hardly anybody means.

use std::fmt;

use super::images::{Children, ImageFacts};
use super::model::{Action, Count, LifecyclePolicy, Rule, TagSelection};

/// A trap in a policy. Numbers are rule priorities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lint {
    /// Several entries in one list: the image needs a tag for each.
    AllOf {
        /// The rule.
        rule: u32,
        /// The entries.
        entries: Vec<String>,
    },
    /// An earlier rule is about everything that this one is about.
    Unreachable {
        /// The rule that never acts.
        rule: u32,
        /// The earlier rule.
        by: u32,
    },
    /// Images go by age, and no earlier rule protects any.
    AgeWithoutShield {
        /// The rule.
        rule: u32,
    },
    /// An image with the moving tag can be expired because of another tag or its age.
    MovingTag {
        /// The tag.
        tag: String,
        /// The rule.
        rule: u32,
    },
    /// Untagged images expire in a repository with indexes, whose parts are untagged.
    UntaggedWithIndexes {
        /// The rule.
        rule: u32,
    },
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllOf { rule, entries } => write!(
                f,
                "rule {rule} is about images that have a tag for each of `{}`, not for any of them; write one rule for each",
                entries.join("`, `")
            ),
            Self::Unreachable { rule, by } => {
                write!(f, "rule {rule} never acts: rule {by} is about the same images and comes first")
            }
            Self::AgeWithoutShield { rule } => write!(
                f,
                "rule {rule} deletes images by age, running ones too: a tag that is moved does not make an image \
                 younger; put a rule with a large `imageCountMoreThan` for the tags in use before it"
            ),
            Self::MovingTag { tag, rule } => write!(
                f,
                "an image with the tag `{tag}` can be deleted by rule {rule}; put a rule for `{tag}` with \
                 `imageCountMoreThan` before it"
            ),
            Self::UntaggedWithIndexes { rule } => write!(
                f,
                "rule {rule} deletes untagged images, and the parts of an index are untagged; let it be longer than the \
                 rules for the indexes"
            ),
        }
    }
}

/// The traps of `policy`, in the order of its rules; those about certain images only where `images` holds such.
#[must_use]
pub fn lints(policy: &LifecyclePolicy, images: &[ImageFacts]) -> Vec<Lint> {
    let rules = policy.rules();
    let has_latest = images.iter().any(|image| image.tags.iter().any(|tag| tag == "latest"));
    let has_index = images.iter().any(|image| image.children != Children::None);
    let mut found = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let earlier = &rules[..at];
        let priority = rule.priority;
        if let TagSelection::Patterns(entries) | TagSelection::Prefixes(entries) = &rule.tags
            && entries.len() > 1
        {
            found.push(Lint::AllOf { rule: priority, entries: entries.clone() });
        }
        if let Some(by) = earlier.iter().find(|other| is_within(rule, other)) {
            found.push(Lint::Unreachable { rule: priority, by: by.priority });
        }
        let expires = rule.action == Action::Expire && rule.storage == super::StorageClass::Standard;
        let takes_tagged = rule.tags != TagSelection::Untagged;
        let is_shield =
            |other: &&Rule| matches!(other.count, Count::MoreThan(_)) && other.tags != TagSelection::Untagged;
        if expires
            && takes_tagged
            && matches!(rule.count, Count::DaysSincePushed(_))
            && !earlier.iter().any(|other| is_shield(&other))
        {
            found.push(Lint::AgeWithoutShield { rule: priority });
        }
        if expires && !takes_tagged && has_index {
            found.push(Lint::UntaggedWithIndexes { rule: priority });
        }
    }
    if has_latest && let Some(rule) = unshielded(rules, "latest") {
        found.push(Lint::MovingTag { tag: "latest".to_owned(), rule });
    }
    found
}

/// A count that hardly any family of tags reaches: a rule with it is there to protect.
const PROTECTING: u32 = 1000;

/// The first rule that can delete an image with `tag` before one that keeps the youngest with this tag.
fn unshielded(rules: &[Rule], tag: &str) -> Option<u32> {
    for rule in rules {
        let names_it = !matches!(rule.tags, TagSelection::Any | TagSelection::Untagged)
            && rule.tags.globs().iter().all(|glob| glob.matches(tag));
        match (rule.count, rule.action) {
            (Count::MoreThan(_), _) if names_it => return None,
            (Count::MoreThan(count), _) if count >= PROTECTING => (),
            (_, Action::Expire) if rule.tags != TagSelection::Untagged => return Some(rule.priority),
            _ => (),
        }
    }
    None
}

/// Whether every image that `rule` is about is one that `other` is about.
fn is_within(rule: &Rule, other: &Rule) -> bool {
    rule.storage == other.storage
        && match (&rule.tags, &other.tags) {
            (_, TagSelection::Any) | (TagSelection::Untagged, TagSelection::Untagged) => true,
            (TagSelection::Any | TagSelection::Untagged, _) | (_, TagSelection::Untagged) => false,
            (own, others) => {
                let own = own.globs();
                others.globs().iter().all(|outer| own.iter().any(|inner| inner.is_within(outer)))
            }
        }
}
