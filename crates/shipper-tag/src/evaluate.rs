//! A policy and the facts of a run give the names of an image, each with its reason, and a reason for each rule that
//! gives none.

use std::collections::BTreeSet;

use semver::Version;
use serde::Serialize;

use crate::condition::{Breadth, Met};
use crate::policy::Rule;
use crate::reason::{NotNamed, Why};
use crate::template::{Placeholder, Template, Unrendered};
use crate::{Error, Facts, Family, Policy, Role, Tag, Trigger};

/// What must hold when a name is written, and still after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "precondition", rename_all = "kebab-case")]
pub enum Precondition {
    /// The name is not there, or names this image already.
    AbsentOrSameDigest,
    /// No image of the family has a newer version among those that the alias is for.
    ForwardOnly {
        /// The version of this image.
        version: Version,
        /// Among which versions it must be the newest.
        scope: Scope,
    },
    /// Nothing: the name moves to whatever was built last.
    Movable,
}

/// Which versions an alias is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All: `latest`.
    All,
    /// Those with the same first number: `v1`.
    Major,
    /// Those with the same first two numbers: `v1.2`.
    Minor,
}

impl Scope {
    /// The newest of `versions` that keeps an alias from moving to `version`: in scope, newer, and no pre-release.
    #[must_use]
    pub fn newer<'a>(self, version: &Version, versions: impl IntoIterator<Item = &'a Version>) -> Option<&'a Version> {
        versions
            .into_iter()
            .filter(|other| other.pre.is_empty() && other.cmp_precedence(version).is_gt())
            .filter(|other| match self {
                Self::All => true,
                Self::Major => other.major == version.major,
                Self::Minor => (other.major, other.minor) == (version.major, version.minor),
            })
            .max()
    }
}

/// A name for the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedTag {
    /// The name.
    pub tag: Tag,
    /// What it is for.
    pub role: Role,
    /// The family.
    pub family: String,
    /// The template that gave it.
    pub rule: String,
    /// What must hold when it is written.
    #[serde(flatten)]
    pub precondition: Precondition,
    /// Why the image gets it.
    pub why: Why,
}

/// A rule that gives no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NotApplied {
    /// The family.
    pub family: String,
    /// The template.
    pub rule: String,
    /// Why it gives none.
    pub reason: NotNamed,
}

/// The names of an image, in the order in which they are written: identity, anchors, aliases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TagPlan {
    /// The names.
    pub tags: Vec<PlannedTag>,
    /// Every other rule of the policy, in the order of the policy, an anchor before its aliases.
    pub not_applied: Vec<NotApplied>,
}

/// Evaluates a policy. Equal arguments give equal results; nothing else is looked at.
///
/// ```
/// use shipper_tag::{Facts, Policy, PolicyConfig, Trigger, evaluate};
/// let policy = Policy::new(&PolicyConfig::default())?;
/// let mut facts = Facts::new("github", Trigger::PullRequest);
/// facts.pull_request = Some(shipper_tag::PullRequest { number: 12, head: None, base: None, fork: false });
/// facts.commit = Some("abc1234567890123456789012345678901234567".parse()?);
/// let plan = evaluate(&policy, &facts)?;
/// let tags: Vec<&str> = plan.tags.iter().map(|planned| planned.tag.as_str()).collect();
/// assert_eq!(tags, ["pr-12-abc1234", "pr-12"]);
/// # Ok::<(), shipper_tag::Error>(())
/// ```
///
/// # Errors
/// [`Error::Tag`] where a template gives what is no tag, for example one over 128 bytes; [`Error::Facts`] for facts of
/// another format.
pub fn evaluate(policy: &Policy, facts: &Facts) -> Result<TagPlan, Error> {
    if facts.format.split('.').next() != Some("1") {
        return Err(Error::Facts { problem: format!("format {:?} is not 1.x", facts.format) });
    }
    let mut evaluation = Evaluation { policy, facts, plan: TagPlan::default(), claimed: None };
    evaluation.identity()?;
    for family in policy.families() {
        if let Some(rule) = family.rule() {
            evaluation.family(family, rule)?;
        }
    }
    // Within a role the order of the policy stays.
    evaluation.plan.tags.sort_by_key(|planned| planned.role);
    Ok(evaluation.plan)
}

impl Policy {
    /// Whether aliases of this run depend on which versions there are; [`Policy::versions`] then tells those that are
    /// among an image's tags.
    #[must_use]
    pub fn needs_versions(&self, facts: &Facts) -> bool {
        self.versioned(facts).any(|family| !family.aliases().is_empty())
    }

    /// The versions among `tags`, by the families that give names on this run; `None` where their names do not tell
    /// versions.
    #[must_use]
    pub fn versions<'t>(&self, facts: &Facts, tags: impl IntoIterator<Item = &'t Tag>) -> Option<BTreeSet<Version>> {
        let evaluation = Evaluation { policy: self, facts, plan: TagPlan::default(), claimed: None };
        let around = |family: &Family| {
            family.anchor()?.around_version(|placeholder, width| evaluation.value(placeholder, width, None))
        };
        let around: Vec<(String, String)> = self.versioned(facts).map(around).collect::<Option<_>>()?;
        if around.is_empty() {
            return None;
        }
        let version = |tag: &Tag, (before, after): &(String, String)| {
            let version = tag.as_str().strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
            Version::parse(&version.replace('_', "+")).ok()
        };
        Some(tags.into_iter().flat_map(|tag| around.iter().filter_map(move |sides| version(tag, sides))).collect())
    }

    /// Families that read a version from what this run is about.
    fn versioned<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Family> {
        let default = facts.default_branch.as_deref().or(self.default_branch());
        self.families().filter(move |family| {
            let met = family.rule().map(|rule| rule.on.met(facts, default));
            matches!(met, Some(Met::Yes { version: Some(_), .. }))
        })
    }
}

struct Evaluation<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    plan: TagPlan,
    /// The family that named the branch first.
    claimed: Option<&'a str>,
}

impl<'a> Evaluation<'a> {
    fn identity(&mut self) -> Result<(), Error> {
        let template: Template = "h-{hash}".parse().expect("this template is right");
        match self.render(&template, None) {
            Ok(tag) => self.plan.tags.push(PlannedTag {
                tag,
                role: Role::Identity,
                family: "identity".to_owned(),
                rule: template.to_string(),
                precondition: Precondition::AbsentOrSameDigest,
                why: Why::Key,
            }),
            Err(unrendered) => {
                let reason = not_rendered(unrendered)?;
                self.skip("identity", &template, reason);
            }
        }
        Ok(())
    }

    fn family(&mut self, family: &'a Family, rule: &Rule) -> Result<(), Error> {
        let version = match self.applies(family, rule) {
            Ok(version) => version,
            Err(reason) => {
                for template in [&rule.tag].into_iter().chain(family.aliases()) {
                    self.skip(family.id(), template, reason.clone());
                }
                return Ok(());
            }
        };
        let why = Why::Met { condition: rule.on.to_string(), run: self.facts.describe() };
        let named = |tag, role, rule: &Template, precondition| PlannedTag {
            tag,
            role,
            family: family.id().to_owned(),
            rule: rule.to_string(),
            precondition,
            why: why.clone(),
        };
        match self.render(&rule.tag, version.as_ref()) {
            Ok(tag) => {
                self.plan.tags.push(named(tag, Role::Anchor, &rule.tag, Precondition::AbsentOrSameDigest));
            }
            Err(unrendered) => {
                let reason = not_rendered(unrendered)?;
                self.skip(family.id(), &rule.tag, reason);
                for alias in family.aliases() {
                    self.skip(family.id(), alias, NotNamed::NoAnchor);
                }
                return Ok(());
            }
        }
        let anchors = rule.tag.language(self.policy.slugs());
        for alias in family.aliases() {
            let precondition = match self.precondition(alias, version.as_ref()) {
                Ok(precondition) => precondition,
                Err(reason) => {
                    self.skip(family.id(), alias, reason);
                    continue;
                }
            };
            match self.render(alias, version.as_ref()) {
                Ok(tag) if anchors.contains(tag.as_str()) => {
                    self.skip(family.id(), alias, NotNamed::LooksLikeAnchor { tag: tag.to_string() });
                }
                Ok(tag) if self.plan.tags.iter().any(|planned| planned.tag == tag) => {
                    self.skip(family.id(), alias, NotNamed::Twice { tag: tag.to_string() });
                }
                Ok(tag) => self.plan.tags.push(named(tag, Role::Alias, alias, precondition)),
                Err(unrendered) => {
                    let reason = not_rendered(unrendered)?;
                    self.skip(family.id(), alias, reason);
                }
            }
        }
        Ok(())
    }

    /// Whether a family gives names on this run, and for which version.
    fn applies(&mut self, family: &'a Family, rule: &Rule) -> Result<Option<Version>, NotNamed> {
        let default = self.facts.default_branch.as_deref().or(self.policy.default_branch());
        match rule.on.met(self.facts, default) {
            Met::Yes { unfinished: false, .. } if self.facts.dirty == Some(true) => Err(NotNamed::Dirty),
            Met::Yes { branch: Some(breadth), version, .. } => match self.claimed {
                Some(by) if breadth == Breadth::Wide => Err(NotNamed::Claimed { by: by.to_owned() }),
                _ => {
                    self.claimed.get_or_insert(family.id());
                    Ok(version)
                }
            },
            Met::Yes { version, .. } => Ok(version),
            Met::No => Err(NotNamed::NotMet { condition: rule.on.to_string(), run: self.facts.describe() }),
            Met::NoDefaultBranch => Err(NotNamed::NoDefaultBranch),
            Met::NoVersion => Err(NotNamed::NoVersion { tag: self.facts.tag.clone().unwrap_or_default() }),
        }
    }

    /// On what an alias may move, or why it does not.
    fn precondition(&self, alias: &Template, version: Option<&Version>) -> Result<Precondition, NotNamed> {
        let Some(version) = version else { return Ok(Precondition::Movable) };
        if !version.pre.is_empty() {
            return Err(NotNamed::PreRelease { version: version.clone() });
        }
        let scope = if alias.has(Placeholder::Minor) {
            Scope::Minor
        } else if alias.has(Placeholder::Major) {
            Scope::Major
        } else {
            Scope::All
        };
        if scope == Scope::Major && version.major == 0 {
            return Err(NotNamed::InitialDevelopment { version: version.clone() });
        }
        let versions = self.facts.versions.as_ref().ok_or(NotNamed::VersionsUnknown)?;
        match scope.newer(version, versions) {
            Some(newer) => Err(NotNamed::Newer { version: version.clone(), newer: newer.clone() }),
            None => Ok(Precondition::ForwardOnly { version: version.clone(), scope }),
        }
    }

    fn skip(&mut self, family: &str, rule: &Template, reason: NotNamed) {
        self.plan.not_applied.push(NotApplied { family: family.to_owned(), rule: rule.to_string(), reason });
    }

    fn render(&self, template: &Template, version: Option<&Version>) -> Result<Tag, Unrendered> {
        template.render(self.policy.slugs(), |placeholder, width| self.value(placeholder, width, version))
    }

    fn value(&self, placeholder: Placeholder, width: Option<usize>, version: Option<&Version>) -> Option<String> {
        let facts = self.facts;
        let least = width.unwrap_or(self.policy.short_sha());
        let short = |id: &Option<crate::ObjectId>, least: usize| {
            id.as_ref().map(|id| id.as_str()[..least.min(id.as_str().len())].to_owned())
        };
        let pr = facts.pull_request.as_ref();
        match placeholder {
            Placeholder::Hash => short(&facts.content, width.unwrap_or(32)),
            // Grown until it is unambiguous, where that could be told.
            Placeholder::Sha => {
                short(&facts.commit, least.max(usize::from(facts.unambiguous_digits.unwrap_or_default())))
            }
            Placeholder::Built => short(&facts.built, least),
            Placeholder::Tree => short(&facts.tree, least),
            Placeholder::Pr => pr.map(|pr| pr.number.to_string()),
            Placeholder::Branch if facts.trigger == Trigger::PullRequest => pr?.head.clone(),
            Placeholder::Branch => facts.branch.clone(),
            Placeholder::Base => pr?.base.clone(),
            Placeholder::Tag => facts.tag.clone(),
            // `_` is legal in a tag and in no version, so that no two versions become one tag.
            Placeholder::Version => version.map(|version| version.to_string().replace('+', "_")),
            Placeholder::Major => version.map(|version| version.major.to_string()),
            Placeholder::Minor => version.map(|version| version.minor.to_string()),
            Placeholder::Patch => version.map(|version| version.patch.to_string()),
            Placeholder::Date => facts.now.as_ref().map(crate::UtcTime::day),
            Placeholder::CommitDate => facts.commit_time.as_ref().map(crate::UtcTime::day),
            Placeholder::Service => facts.service.clone(),
        }
    }
}

/// A rule without a value is skipped; a tag that is none stops everything.
fn not_rendered(unrendered: Unrendered) -> Result<NotNamed, Error> {
    match unrendered {
        Unrendered::NoValue(placeholder) => Ok(NotNamed::NoValue { placeholder: placeholder.name() }),
        Unrendered::Invalid(error) => Err(error),
    }
}
