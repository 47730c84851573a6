//! What ECR refuses, one variant a rule.
//!
//! Sources: ECR user guide, "Lifecycle policy parameters" (combinations of count type, storage class and action, unique
//! priorities and tag lists, `any` last), service quotas (50 rules, 30,720 characters), ECR API (lengths).

use std::collections::BTreeSet;

use super::model::{Action, Count, MAX_CHARACTERS, MAX_RULES, Rule, StorageClass, TagSelection};

/// Most `*` in a pattern.
const MAX_STARS: usize = 4;
/// Most characters of an entry of a tag list.
const MAX_TAG_CHARACTERS: usize = 300;
/// Fewest days in the archive before an image can be expired.
const MIN_ARCHIVE_DAYS: u32 = 90;

/// A rule of ECR that a policy breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Index of the rule in the document, from 0; absent where it is about the whole policy.
    pub rule: Option<usize>,
    /// Line and column, from 1, where that rule begins; absent for rules that were not read from a text.
    pub position: Option<(usize, usize)>,
    /// Which rule of ECR.
    pub problem: Problem,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        if let Some(rule) = self.rule {
            write!(f, "rules[{rule}]: ")?;
        }
        self.problem.fmt(f)
    }
}

impl Violation {
    pub(super) fn at(rule: usize, problem: Problem) -> Self {
        Self { rule: Some(rule), position: None, problem }
    }

    pub(super) fn too_long(characters: usize) -> Self {
        Self { rule: None, position: None, problem: Problem::TooLong { characters } }
    }
}

/// What is wrong with a rule or a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No rule at all.
    #[error("the policy has no rule")]
    NoRules,
    /// More than 50 rules.
    #[error("the policy has {rules} rules, at most {MAX_RULES} are allowed")]
    TooManyRules {
        /// How many.
        rules: usize,
    },
    /// More than 30,720 characters.
    #[error("the policy has {characters} characters, at most {MAX_CHARACTERS} are allowed")]
    TooLong {
        /// How many.
        characters: usize,
    },
    /// `rulePriority` is 0.
    #[error("`rulePriority` is 0, the least is 1")]
    PriorityZero,
    /// Two rules have one priority.
    #[error("`rulePriority` {priority} is that of rules[{other}] already")]
    DuplicatePriority {
        /// The number.
        priority: u32,
        /// The earlier rule's index.
        other: usize,
    },
    /// A rule for `any` has rules of its storage class behind it.
    #[error(
        "a rule for `any` must have the highest `rulePriority` of its storage class, rules[{other}] has a higher one"
    )]
    AnyNotLast {
        /// The later rule's index.
        other: usize,
    },
    /// Two rules for `untagged` in one storage class.
    #[error("only one rule for `untagged` is allowed in a storage class, rules[{other}] is another")]
    SecondUntagged {
        /// The earlier rule's index.
        other: usize,
    },
    /// Two rules of one storage class have the same list.
    #[error("the tag list is that of rules[{other}] already")]
    DuplicateTagList {
        /// The earlier rule's index.
        other: usize,
    },
    /// Both lists are given.
    #[error("`tagPatternList` and `tagPrefixList` exclude each other")]
    BothTagLists,
    /// `tagged` without a list.
    #[error("`tagStatus` is `tagged`, but there is neither `tagPatternList` nor `tagPrefixList`")]
    NoTagList,
    /// A list without `tagged`.
    #[error("a tag list is allowed only with `tagStatus` `tagged`")]
    TagListNotAllowed,
    /// An empty list.
    #[error("the tag list is empty")]
    EmptyTagList,
    /// An entry of a list that is empty or too long.
    #[error("`{entry}` has {characters} characters, an entry of a tag list has 1 to {MAX_TAG_CHARACTERS}")]
    TagLength {
        /// The entry, cut.
        entry: String,
        /// How many.
        characters: usize,
    },
    /// A pattern with more than four stars.
    #[error("`{pattern}` has {stars} wildcards, at most {MAX_STARS} are allowed")]
    TooManyWildcards {
        /// The pattern.
        pattern: String,
        /// How many.
        stars: usize,
    },
    /// `countUnit` is missing.
    #[error("`{count_type}` needs `countUnit` `days`")]
    NoUnit {
        /// The `countType`.
        count_type: &'static str,
    },
    /// `countUnit` with a number of images.
    #[error("`countUnit` is not allowed with `imageCountMoreThan`")]
    UnitNotAllowed,
    /// `countNumber` is 0.
    #[error("`countNumber` is 0, the least is 1")]
    CountZero,
    /// The action can not be combined with the count type.
    #[error("`{count_type}` cannot be combined with the action `{action}`")]
    ActionNotAllowed {
        /// The `countType`.
        count_type: &'static str,
        /// The action.
        action: Action,
    },
    /// The storage class can not be combined with the count type.
    #[error("`storageClass` `archive` is needed with, and only with, `sinceImageTransitioned`")]
    StorageNotAllowed,
    /// Expiry from the archive before 90 days.
    #[error("images can be expired from the archive after {MIN_ARCHIVE_DAYS} days at the earliest, not {days}")]
    ArchiveTooShort {
        /// `countNumber`.
        days: u32,
    },
    /// A transition without a target.
    #[error("the action `transition` needs `targetStorageClass` `archive`")]
    NoTarget,
    /// A target without a transition.
    #[error("`targetStorageClass` is allowed only with the action `transition`")]
    TargetNotAllowed,
    /// A transition to the standard class.
    #[error("`targetStorageClass` can only be `archive`")]
    TargetStandard,
}

impl Problem {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::DuplicatePriority { .. } => "give each rule a number of its own; gaps are allowed",
            Self::AnyNotLast { .. } => "give the rule for `any` the highest number",
            Self::SecondUntagged { .. } => "keep the shorter of the two rules for `untagged`",
            Self::BothTagLists => "write prefixes as patterns: the prefix `pr-` is the pattern `pr-*`",
            Self::NoTagList => "add `tagPatternList`, or use `any`",
            Self::ActionNotAllowed { count_type: "sinceImagePulled", .. } => {
                "ECR expires by age of the push only; images not pulled for long can be archived: action `transition`"
            }
            Self::ActionNotAllowed { .. } => "images in the archive can only be expired",
            Self::StorageNotAllowed => "leave `storageClass` out, or count by `sinceImageTransitioned`",
            Self::NoTarget => "write {\"type\":\"transition\",\"targetStorageClass\":\"archive\"}",
            Self::NoUnit { .. } => "add \"countUnit\":\"days\"",
            Self::UnitNotAllowed => "remove `countUnit`",
            _ => return None,
        })
    }
}

/// Everything that is wrong with `rules`, by index, and by rule of ECR in a fixed order.
pub(super) fn violations(rules: &[Rule]) -> Vec<Violation> {
    let mut found = Vec::new();
    if rules.is_empty() {
        found.push(Violation { rule: None, position: None, problem: Problem::NoRules });
    }
    if rules.len() > MAX_RULES {
        let problem = Problem::TooManyRules { rules: rules.len() };
        found.push(Violation { rule: None, position: None, problem });
    }
    for (at, rule) in rules.iter().enumerate() {
        let mut add = |problem| found.push(Violation::at(at, problem));
        alone(rule, &mut add);
        among(at, rule, rules, &mut add);
    }
    found
}

/// What is wrong with a rule whatever the others are.
fn alone(rule: &Rule, add: &mut impl FnMut(Problem)) {
    if rule.priority == 0 {
        add(Problem::PriorityZero);
    }
    if let TagSelection::Patterns(entries) | TagSelection::Prefixes(entries) = &rule.tags {
        if entries.is_empty() {
            add(Problem::EmptyTagList);
        }
        for entry in entries {
            let characters = entry.chars().count();
            if !(1..=MAX_TAG_CHARACTERS).contains(&characters) {
                add(Problem::TagLength { entry: entry.chars().take(40).collect(), characters });
            }
            let stars = entry.matches('*').count();
            if stars > MAX_STARS {
                add(Problem::TooManyWildcards { pattern: entry.clone(), stars });
            }
        }
    }
    if rule.count.number() == 0 {
        add(Problem::CountZero);
    }
    let is_archived = matches!(rule.count, Count::DaysSinceTransitioned(_));
    if is_archived != (rule.storage == StorageClass::Archive) {
        add(Problem::StorageNotAllowed);
    }
    match (rule.count, rule.action) {
        (Count::DaysSincePulled(_), Action::Expire) | (Count::DaysSinceTransitioned(_), Action::Archive) => {
            add(Problem::ActionNotAllowed { count_type: rule.count.type_name(), action: rule.action });
        }
        (Count::DaysSinceTransitioned(days), Action::Expire) if (1..MIN_ARCHIVE_DAYS).contains(&days) => {
            add(Problem::ArchiveTooShort { days });
        }
        _ => (),
    }
}

/// What is wrong with a rule because of the others.
fn among(at: usize, rule: &Rule, rules: &[Rule], add: &mut impl FnMut(Problem)) {
    let earlier = &rules[..at];
    if let Some(other) = earlier.iter().position(|other| other.priority == rule.priority) {
        add(Problem::DuplicatePriority { priority: rule.priority, other });
    }
    let same_class = |other: &Rule| other.storage == rule.storage;
    match &rule.tags {
        TagSelection::Any => {
            let behind = rules.iter().position(|other| same_class(other) && other.priority > rule.priority);
            if let Some(other) = behind {
                add(Problem::AnyNotLast { other });
            }
        }
        TagSelection::Untagged => {
            let is_second = |other: &Rule| same_class(other) && other.tags == TagSelection::Untagged;
            if let Some(other) = earlier.iter().position(is_second) {
                add(Problem::SecondUntagged { other });
            }
        }
        tags => {
            if let Some(other) = earlier.iter().position(|other| same_class(other) && same_list(&other.tags, tags)) {
                add(Problem::DuplicateTagList { other });
            }
        }
    }
}

/// Whether two lists of one kind have the same entries, in any order.
fn same_list(a: &TagSelection, b: &TagSelection) -> bool {
    let set = |entries: &[String]| entries.iter().cloned().collect::<BTreeSet<_>>();
    match (a, b) {
        (TagSelection::Patterns(a), TagSelection::Patterns(b))
        | (TagSelection::Prefixes(a), TagSelection::Prefixes(b)) => set(a) == set(b),
        _ => false,
    }
}
