//! Rules as values. Whatever a policy document can say can be said here; [`super::check`] tells what may be said.
//!
//! Source: ECR user guide, "Lifecycle policy parameters" and "Examples of lifecycle policies".

use std::fmt;

use super::check::{self, Violation};
use super::glob::TagGlob;

/// Most rules of a policy (ECR service quotas).
pub const MAX_RULES: usize = 50;
/// Most characters of a policy's text (`LifecyclePolicyText` of the ECR API).
pub const MAX_CHARACTERS: usize = 30_720;

/// Which images a rule is about, by their tags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagSelection {
    /// All images (`any`).
    Any,
    /// Images without a tag.
    Untagged,
    /// Images of which **each** pattern matches at least one tag (`tagPatternList`).
    Patterns(Vec<String>),
    /// Images of which **each** text begins at least one tag (`tagPrefixList`).
    Prefixes(Vec<String>),
}

impl TagSelection {
    /// The entries of the list as globs, in the order of the list; empty for [`Any`](Self::Any) and
    /// [`Untagged`](Self::Untagged).
    #[must_use]
    pub fn globs(&self) -> Vec<TagGlob> {
        match self {
            Self::Any | Self::Untagged => Vec::new(),
            Self::Patterns(patterns) => patterns.iter().map(|text| TagGlob::pattern(text)).collect(),
            Self::Prefixes(prefixes) => prefixes.iter().map(|text| TagGlob::prefix(text)).collect(),
        }
    }
}

/// Where an image is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StorageClass {
    /// Can be pulled.
    Standard,
    /// Has to be restored before it can be pulled.
    Archive,
}

/// When a rule acts on an image that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// When so many younger images match (`imageCountMoreThan`).
    MoreThan(u32),
    /// When it was pushed longer ago than so many days (`sinceImagePushed`).
    DaysSincePushed(u32),
    /// When it was pulled longer ago than so many days (`sinceImagePulled`).
    DaysSincePulled(u32),
    /// When it was archived longer ago than so many days (`sinceImageTransitioned`).
    DaysSinceTransitioned(u32),
}

impl Count {
    /// The number: images or days.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::MoreThan(number)
            | Self::DaysSincePushed(number)
            | Self::DaysSincePulled(number)
            | Self::DaysSinceTransitioned(number) => number,
        }
    }

    /// The value of `countType`.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::MoreThan(_) => "imageCountMoreThan",
            Self::DaysSincePushed(_) => "sinceImagePushed",
            Self::DaysSincePulled(_) => "sinceImagePulled",
            Self::DaysSinceTransitioned(_) => "sinceImageTransitioned",
        }
    }
}

/// What is done with an image that a rule acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is deleted.
    Expire,
    /// It is moved to the archive.
    Archive,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expire => "expire",
            Self::Archive => "transition",
        })
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Rules with lower numbers come first; at least 1, each number once.
    pub priority: u32,
    /// For people.
    pub description: Option<String>,
    /// Which images it is about.
    pub tags: TagSelection,
    /// Of which storage class they are.
    pub storage: StorageClass,
    /// When it acts.
    pub count: Count,
    /// What it does.
    pub action: Action,
}

/// Rules that ECR would accept, sorted by priority.
///
/// ```
/// use shipper_ecr::{Action, Count, LifecyclePolicy, Rule, StorageClass, TagSelection};
/// let rule = Rule {
///     priority: 1,
///     description: None,
///     tags: TagSelection::Untagged,
///     storage: StorageClass::Standard,
///     count: Count::DaysSincePushed(1),
///     action: Action::Expire,
/// };
/// let policy = LifecyclePolicy::new(vec![rule]).expect("a rule that ECR accepts");
/// assert_eq!(LifecyclePolicy::parse(&policy.canonical_json())?, policy);
/// # Ok::<(), shipper_ecr::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecyclePolicy {
    rules: Vec<Rule>,
}

impl LifecyclePolicy {
    /// A policy of these rules, in any order.
    ///
    /// # Errors
    /// Every rule of ECR that is broken, with the index in `rules` of the rule that breaks it.
    pub fn new(mut rules: Vec<Rule>) -> Result<Self, Vec<Violation>> {
        let mut violations = check::violations(&rules);
        rules.sort_by_key(|rule| rule.priority);
        let policy = Self { rules };
        let length = policy.canonical_json().chars().count();
        if length > MAX_CHARACTERS {
            violations.push(Violation::too_long(length));
        }
        if violations.is_empty() { Ok(policy) } else { Err(violations) }
    }

    /// The rules, sorted by priority.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}
