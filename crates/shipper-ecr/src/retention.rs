//! From families of tags to a lifecycle policy and mutability filters: one value drives both, so that what is named,
//! what is protected and what is deleted can not disagree.
//!
//! Source of the order: a rule protects what it is about from all later rules (ECR user guide, evaluation rules), so the
//! rules that must never lose an image come first.

use std::fmt;

use crate::lifecycle::{Action, Count, LifecyclePolicy, Rule, StorageClass, TagGlob, TagSelection, Violation};

/// How much of a family is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    Forever,
    /// So many of the youngest images.
    Images(u32),
    /// Images for so many days after their push.
    Days(u32),
}

/// What the tags of a family are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FamilyRole {
    /// In use, incoming or wanted for a rollback: never deleted.
    Pin,
    /// The family's immutable tags.
    Anchor,
    /// Names made of build keys; on every image.
    Identity,
    /// Layer caches: no images.
    Cache,
}

/// A family of tags, as far as retention is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionFamily {
    /// For descriptions.
    pub name: String,
    /// What its tags are for.
    pub role: FamilyRole,
    /// The one glob that all its anchors match and no other family's tags.
    pub glob: String,
    /// Its moving tags that are plain texts, such as `latest`; those made of values share the family's glob.
    pub aliases: Vec<String>,
    /// How much of it is kept; not looked at for pins.
    pub keep: Keep,
    /// Whether the glob matches immutable tags only, so that the registry can be told to lock them.
    pub is_separable: bool,
}

/// Why families give no policy. Texts fit after "cannot ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// The glob of one family matches an alias of another, so that its rule would decide on it.
    #[error("derive retention: the alias `{alias}` of `{family}` is matched by `{glob}` of `{other}`")]
    AliasTaken {
        /// The alias.
        alias: String,
        /// Its family.
        family: String,
        /// The glob.
        glob: String,
        /// The glob's family.
        other: String,
    },
    /// ECR would refuse the policy.
    #[error("derive retention: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Violation>),
}

/// More images than a family of pins ever has; a count that is not reached protects.
const ALL: u32 = 9999;
/// Exclusion filters of a repository, and wildcards in each (ECR API, `ImageTagMutabilityExclusionFilter`).
const MAX_FILTERS: usize = 5;
const MAX_FILTER_WILDCARDS: usize = 2;
/// Internal names that are written once.
const INTERNAL: &str = "m-*";

/// The lifecycle policy that keeps what `families` ask for, and deletes untagged images after `untagged_days`.
///
/// Families come in the order in which they protect: where an image has tags of two, the earlier one decides. Pins,
/// aliases and families that are kept for ever are moved to the front, identities, caches and untagged images to the end.
///
/// # Errors
/// [`RetentionError`].
pub fn lifecycle(families: &[RetentionFamily], untagged_days: Option<u32>) -> Result<LifecyclePolicy, RetentionError> {
    let mut rules = Draft::default();
    let of = |role: FamilyRole| families.iter().filter(move |family| family.role == role);
    for family in of(FamilyRole::Pin) {
        rules.add(&family.glob, Count::MoreThan(ALL), format!("{}: in use", family.name));
    }
    for family in families {
        for alias in &family.aliases {
            taken(alias, family, families)?;
            // One image has the tag, and it is the youngest that has.
            rules.add(alias, Count::MoreThan(1), format!("{}: alias", family.name));
        }
    }
    let is_kept = |family: &&RetentionFamily| family.keep == Keep::Forever;
    for family in of(FamilyRole::Anchor).filter(is_kept) {
        rules.add(&family.glob, Count::MoreThan(ALL), format!("{}: kept for ever", family.name));
    }
    let last = [FamilyRole::Anchor, FamilyRole::Identity, FamilyRole::Cache];
    for family in last.into_iter().flat_map(of).filter(|family| family.role != FamilyRole::Anchor || !is_kept(family)) {
        let (count, text) = match family.keep {
            Keep::Forever => (Count::MoreThan(ALL), "kept for ever".to_owned()),
            Keep::Images(images) => (Count::MoreThan(images), format!("the youngest {images}")),
            Keep::Days(days) => (Count::DaysSincePushed(days), format!("for {days} days")),
        };
        rules.add(&family.glob, count, format!("{}: {text}", family.name));
    }
    if let Some(days) = untagged_days {
        rules.push(TagSelection::Untagged, Count::DaysSincePushed(days), format!("untagged: for {days} days"));
    }
    LifecyclePolicy::new(rules.0).map_err(RetentionError::Refused)
}

/// An alias has a rule of its own; a pin's or an everlasting family's glob in front of it does no harm.
fn taken(alias: &str, family: &RetentionFamily, families: &[RetentionFamily]) -> Result<(), RetentionError> {
    let other = families.iter().find(|other| other.name != family.name && TagGlob::pattern(&other.glob).matches(alias));
    match other {
        None => Ok(()),
        Some(other) => Err(RetentionError::AliasTaken {
            alias: alias.to_owned(),
            family: family.name.clone(),
            glob: other.glob.clone(),
            other: other.name.clone(),
        }),
    }
}

#[derive(Default)]
struct Draft(Vec<Rule>);

impl Draft {
    fn add(&mut self, glob: &str, count: Count, description: String) {
        self.push(TagSelection::Patterns(vec![glob.to_owned()]), count, description);
    }

    fn push(&mut self, tags: TagSelection, count: Count, description: String) {
        // Gaps leave room for rules by hand.
        let priority = u32::try_from(self.0.len()).unwrap_or(u32::MAX - 1).saturating_add(1).saturating_mul(10);
        let rule = Rule {
            priority,
            description: Some(description),
            tags,
            storage: StorageClass::Standard,
            count,
            action: Action::Expire,
        };
        self.0.push(rule);
    }
}

/// Which tags a repository refuses to move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagLocks {
    /// Filters of `MUTABLE_WITH_EXCLUSION`: tags that match one of them are immutable. At most five.
    pub filters: Vec<String>,
    /// Globs of immutable tags that the registry can not be told; a move of such a tag is only detected.
    pub detected_only: Vec<String>,
}

impl fmt::Display for TagLocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "locked: {}", self.filters.join(", "))?;
        if !self.detected_only.is_empty() {
            write!(f, "; detected only: {}", self.detected_only.join(", "))?;
        }
        Ok(())
    }
}

/// The tags of `families` that a repository can be told to lock: identities, the internal names, then as many separable
/// families as there is room for, in their order.
#[must_use]
pub fn tag_locks(families: &[RetentionFamily]) -> TagLocks {
    let identities = families.iter().filter(|family| family.role == FamilyRole::Identity);
    let mut locks = TagLocks::default();
    locks.filters.extend(identities.map(|family| family.glob.clone()));
    locks.filters.push(INTERNAL.to_owned());
    for family in families.iter().filter(|family| family.role == FamilyRole::Anchor) {
        let fits = family.is_separable
            && family.glob.matches('*').count() <= MAX_FILTER_WILDCARDS
            && !family.aliases.iter().any(|alias| TagGlob::pattern(&family.glob).matches(alias));
        let list =
            if fits && locks.filters.len() < MAX_FILTERS { &mut locks.filters } else { &mut locks.detected_only };
        list.push(family.glob.clone());
    }
    locks
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::lifecycle::{Children, Fate, ImageFacts, Lint, lints, simulate};

    fn family(name: &str, role: FamilyRole, glob: &str, aliases: &[&str], keep: Keep) -> RetentionFamily {
        RetentionFamily {
            name: name.to_owned(),
            role,
            glob: glob.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            keep,
            is_separable: !glob.starts_with("pr-"),
        }
    }

    /// The preset `release`, in the order in which families protect.
    fn release(keep: u32) -> Vec<RetentionFamily> {
        vec![
            family("release", FamilyRole::Anchor, "v*", &["latest"], Keep::Forever),
            family("main", FamilyRole::Anchor, "main-*", &["edge"], Keep::Images(keep)),
            family("nightly", FamilyRole::Anchor, "nightly-*", &["nightly"], Keep::Days(7)),
            family("pr", FamilyRole::Anchor, "pr-*", &[], Keep::Images(keep + 1)),
            family("pin", FamilyRole::Pin, "env-*", &[], Keep::Forever),
            family("identity", FamilyRole::Identity, "h-*", &[], Keep::Images(keep)),
            family("cache", FamilyRole::Cache, "cache-*", &[], Keep::Images(keep)),
        ]
    }

    #[test]
    fn protection_comes_first_and_each_family_has_one_rule() {
        let policy = lifecycle(&release(10), Some(1)).expect("a policy");
        let shown: Vec<String> = policy.rules().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "env-*: expire beyond 9999 images",
                "latest: expire beyond 1 images",
                "edge: expire beyond 1 images",
                "nightly: expire beyond 1 images",
                "v*: expire beyond 9999 images",
                "main-*: expire beyond 10 images",
                "nightly-*: expire 7 days after the push",
                "pr-*: expire beyond 11 images",
                "h-*: expire beyond 10 images",
                "cache-*: expire beyond 10 images",
                "untagged: expire 1 days after the push",
            ]
        );
        let latest = ImageFacts {
            digest: "d".to_owned(),
            tags: vec!["latest".to_owned()],
            pushed_at: Timestamp::UNIX_EPOCH,
            pulled_at: None,
            archived_at: None,
            activated_at: None,
            storage: StorageClass::Standard,
            children: Children::None,
            subject: None,
        };
        let found = lints(&policy, &[latest]);
        assert_eq!(found, Vec::<Lint>::new());
    }

    #[test]
    fn an_alias_that_another_family_matches_is_refused() {
        let mut families = release(3);
        families[1].aliases.push("pr-latest".to_owned());
        assert!(matches!(lifecycle(&families, None), Err(RetentionError::AliasTaken { other, .. }) if other == "pr"));
    }

    #[test]
    fn five_filters_lock_what_can_be_told_apart() {
        let locks = tag_locks(&release(3));
        assert_eq!(locks.filters, ["h-*", "m-*", "v*", "main-*", "nightly-*"]);
        assert_eq!(locks.detected_only, ["pr-*"]);
    }

    /// One thing that happens in a project.
    #[derive(Debug, Clone)]
    enum Step {
        /// A pull request is built, or its image built before is named again.
        Pr(u8, bool),
        Main(bool),
        Release(bool),
        Nightly,
        /// An image that exists is deployed: pins shift.
        Deploy(prop::sample::Index),
        /// Days go by without a change.
        Rest(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0u8..4, any::<bool>()).prop_map(|(pr, reuse)| Step::Pr(pr, reuse)),
            any::<bool>().prop_map(Step::Main),
            any::<bool>().prop_map(Step::Release),
            Just(Step::Nightly),
            any::<prop::sample::Index>().prop_map(Step::Deploy),
            (1u8..90).prop_map(Step::Rest),
        ];
        proptest::collection::vec(step, 1..60)
    }

    /// A repository as shipper fills it: identity at the build, anchor with each alias, pins at deployments.
    #[derive(Default)]
    struct History {
        hours: i64,
        count: usize,
        images: Vec<(usize, i64)>,
        tags: BTreeMap<String, usize>,
    }

    impl History {
        fn name(&mut self, reuse: bool, tags: &[String]) {
            if !reuse || self.images.is_empty() {
                self.count += 1;
                self.images.push((self.count, self.hours));
                self.tags.insert(format!("h-{:032x}", self.count), self.count);
            }
            let image = self.images.last().expect("one was pushed").0;
            self.tags.extend(tags.iter().map(|tag| (tag.clone(), image)));
        }

        fn take(&mut self, step: &Step) {
            self.hours += 1;
            let at = self.hours;
            match step {
                Step::Pr(pr, reuse) => self.name(*reuse, &[format!("pr-{pr}-{at:07x}"), format!("pr-{pr}")]),
                Step::Main(reuse) => self.name(*reuse, &[format!("main-{at:07x}"), "edge".to_owned()]),
                Step::Release(reuse) => {
                    self.name(*reuse, &[format!("v1.{at}.0"), "v1".to_owned(), "latest".to_owned()]);
                }
                Step::Nightly => self.name(false, &[format!("nightly-{at}"), "nightly".to_owned()]),
                Step::Deploy(index) if !self.images.is_empty() => {
                    let image = self.images[index.index(self.images.len())].0;
                    for (to, from) in [("env-prod.2", "env-prod.1"), ("env-prod.1", "env-prod")] {
                        if let Some(&before) = self.tags.get(from) {
                            self.tags.insert(to.to_owned(), before);
                        }
                    }
                    self.tags.insert("env-prod".to_owned(), image);
                }
                Step::Deploy(_) => (),
                Step::Rest(days) => self.hours += 24 * i64::from(*days),
            }
        }

        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + SignedDuration::from_hours(self.hours)
        }

        fn facts(&self) -> Vec<ImageFacts> {
            let of = |image: usize| -> Vec<String> {
                self.tags.iter().filter(|(_, target)| **target == image).map(|(tag, _)| tag.clone()).collect()
            };
            let facts = |&(image, hours): &(usize, i64)| ImageFacts {
                digest: image.to_string(),
                tags: of(image),
                pushed_at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours),
                pulled_at: None,
                archived_at: None,
                activated_at: None,
                storage: StorageClass::Standard,
                children: Children::None,
                subject: None,
            };
            self.images.iter().map(facts).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// Whatever happened, and however long nothing did: what is pinned, what an alias of a plain text names, and what
        /// is kept for ever stays. What is deleted is deleted, so that the next step sees the world that is left.
        #[test]
        fn nothing_pinned_and_no_target_of_an_alias_is_ever_expired(steps in steps(), keep in 1u32..4) {
            let policy = lifecycle(&release(keep), Some(1)).expect("a policy");
            let mut history = History::default();
            for step in &steps {
                history.take(step);
                let images = history.facts();
                let simulation = simulate(&policy, &images, history.now());
                let protected = |tag: &String| tag.starts_with("env-") || tag.starts_with('v') || ["latest", "edge", "nightly"].contains(&tag.as_str());
                for at in simulation.endangered() {
                    prop_assert!(!images[at].tags.iter().any(protected), "{:?} after {step:?}", images[at].tags);
                }
                let gone: BTreeSet<usize> = simulation.verdicts.iter().zip(&history.images)
                    .filter(|(verdict, _)| matches!(verdict.fate, Fate::Expire(_))).map(|(_, image)| image.0).collect();
                history.images.retain(|(image, _)| !gone.contains(image));
                history.tags.retain(|_, image| !gone.contains(image));
            }
        }

        /// The policy does delete: a project that only builds keeps no more than it asked for.
        #[test]
        fn families_shrink_to_what_they_keep(builds in 1usize..30, keep in 1u32..5) {
            let policy = lifecycle(&release(keep), Some(1)).expect("a policy");
            let mut history = History::default();
            for _ in 0..builds {
                history.take(&Step::Main(false));
            }
            let images = history.facts();
            let kept = simulate(&policy, &images, history.now()).verdicts.iter().filter(|verdict| verdict.fate == Fate::Keep).count();
            prop_assert_eq!(kept, builds.min(keep as usize));
        }
    }
}
