//! What changes between two policies, in what they do rather than in how they are written.

use std::collections::BTreeSet;
use std::fmt;

use super::glob::TagGlob;
use super::model::{Action, Count, LifecyclePolicy, Rule, StorageClass, TagSelection};

/// A difference between two policies that can make a difference to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyChange {
    /// A rule that only the second has.
    Added(Rule),
    /// A rule that only the first has.
    Removed(Rule),
    /// A rule about the same images that does something else.
    Changed {
        /// In the first policy.
        before: Rule,
        /// In the second policy.
        after: Rule,
    },
    /// A rule that both have, in another order among the others.
    Moved(Rule),
}

impl fmt::Display for PolicyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(rule) => write!(f, "+ {}: {rule}", rule.priority),
            Self::Removed(rule) => write!(f, "- {}: {rule}", rule.priority),
            Self::Changed { before, after } => write!(f, "~ {}: {before} -> {after}", after.priority),
            Self::Moved(rule) => write!(f, "> {}: {rule}", rule.priority),
        }
    }
}

/// `pr-*: expire beyond 20 images`, without priority and description.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tags {
            TagSelection::Any => f.write_str("any image")?,
            TagSelection::Untagged => f.write_str("untagged")?,
            TagSelection::Patterns(entries) => f.write_str(&entries.join(" and "))?,
            TagSelection::Prefixes(entries) => {
                let globs: Vec<String> = entries.iter().map(|prefix| format!("{prefix}*")).collect();
                f.write_str(&globs.join(" and "))?;
            }
        }
        let verb = match self.action {
            Action::Expire => "expire",
            Action::Archive => "archive",
        };
        match self.count {
            Count::MoreThan(images) => write!(f, ": {verb} beyond {images} images"),
            Count::DaysSincePushed(days) => write!(f, ": {verb} {days} days after the push"),
            Count::DaysSincePulled(days) => write!(f, ": {verb} {days} days after the last pull"),
            Count::DaysSinceTransitioned(days) => write!(f, ": {verb} {days} days after archiving"),
        }
    }
}

/// Which images a rule is about; the prefix `p` is the pattern `p*`.
#[derive(PartialEq, Eq)]
enum About {
    Any,
    Untagged,
    Tags(BTreeSet<TagGlob>),
}

#[derive(PartialEq, Eq)]
struct Meaning {
    about: About,
    storage: StorageClass,
    count: Count,
    action: Action,
}

impl Meaning {
    fn of(rule: &Rule) -> Self {
        let about = match &rule.tags {
            TagSelection::Any => About::Any,
            TagSelection::Untagged => About::Untagged,
            tags => About::Tags(tags.globs().into_iter().collect()),
        };
        Self { about, storage: rule.storage, count: rule.count, action: rule.action }
    }
}

impl LifecyclePolicy {
    /// What changes from `self` to `other`, in the order of `other`'s rules, removed rules last. Empty where both do the
    /// same, whatever the priority numbers, descriptions and spelling of lists.
    #[must_use]
    pub fn changes_to(&self, other: &Self) -> Vec<PolicyChange> {
        let (before, after) = (self.rules(), other.rules());
        let old: Vec<Meaning> = before.iter().map(Meaning::of).collect();
        let new: Vec<Meaning> = after.iter().map(Meaning::of).collect();
        let mut free: Vec<bool> = vec![true; old.len()];
        let mut take = |accepts: &dyn Fn(&Meaning) -> bool| {
            let at = old.iter().enumerate().position(|(at, meaning)| free[at] && accepts(meaning))?;
            free[at] = false;
            Some(at)
        };
        let equal: Vec<Option<usize>> = new.iter().map(|meaning| take(&|old| old == meaning)).collect();
        let stays = longest_rising(&equal);
        let mut changes = Vec::new();
        for (at, rule) in after.iter().enumerate() {
            let about_the_same = |old: &Meaning| old.about == new[at].about && old.storage == new[at].storage;
            match equal[at] {
                Some(_) if stays[at] => (),
                Some(_) => changes.push(PolicyChange::Moved(rule.clone())),
                None => changes.push(match take(&about_the_same) {
                    Some(old) => PolicyChange::Changed { before: before[old].clone(), after: rule.clone() },
                    None => PolicyChange::Added(rule.clone()),
                }),
            }
        }
        let removed = before.iter().zip(&free).filter(|(_, free)| **free);
        changes.extend(removed.map(|(rule, _)| PolicyChange::Removed(rule.clone())));
        changes
    }
}

/// Marks the members of a longest rising subsequence of the positions; the others have moved.
fn longest_rising(positions: &[Option<usize>]) -> Vec<bool> {
    let known: Vec<(usize, usize)> =
        positions.iter().enumerate().filter_map(|(at, old)| old.map(|old| (at, old))).collect();
    // A policy has at most 50 rules.
    let mut best: Vec<(usize, Option<usize>)> = Vec::with_capacity(known.len());
    for (this, &(_, old)) in known.iter().enumerate() {
        let before = (0..this).filter(|&prior| known[prior].1 < old).max_by_key(|&prior| best[prior].0);
        best.push((before.map_or(1, |prior| best[prior].0 + 1), before));
    }
    let mut stays = vec![false; positions.len()];
    let mut next = (0..known.len()).max_by_key(|&at| best[at].0);
    while let Some(at) = next {
        stays[known[at].0] = true;
        next = best[at].1;
    }
    stays
}
