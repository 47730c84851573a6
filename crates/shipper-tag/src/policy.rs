//! A policy: families of names, proved to be apart.
//!
//! Every family has an immutable anchor and names that move. A moving name never travels without its family's anchor, so
//! one pattern for each family, the anchor's, tells all its images, and retention and mutability follow from it. This
//! holds only if no tag of one family is matched by the pattern of another; [`Policy::new`] proves it or names a tag
//! that breaks it.

use serde::{Deserialize, Serialize};

use crate::config::{FamilyConfig, Keep, PolicyConfig, Preset};
use crate::language::{Glob, Language};
use crate::template::{Placeholder, Template};
use crate::{Condition, Error, SlugMode, nearest};

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The key of what was built; written once.
    Identity,
    /// A family's immutable name.
    Anchor,
    /// A name that moves.
    Alias,
    /// In use, incoming, or to be rolled back to; never expired.
    Pin,
    /// A layer cache; never an image.
    Cache,
}

/// Pattern of identities.
pub const IDENTITY: &str = "h-*";
/// Pattern of pins.
pub const PINS: &str = "env-*";
/// Pattern of caches.
pub const CACHES: &str = "cache-*";
/// Patterns of shipper's own names and of digests that stand as tags, with what they are.
const INTERNAL: [(&str, &str); 5] = [
    ("m-*", "inputs artifacts"),
    ("c-*", "announcements"),
    ("t-*", "tags of runs"),
    ("last-*", "hints"),
    ("sha256-*", "digests as tags"),
];

/// Names that belong together: kept, and guarded, by one pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    id: String,
    role: Role,
    glob: Glob,
    keep: Keep,
    rule: Option<Rule>,
    aliases: Vec<Template>,
}

/// When a family gives names, and its anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) on: Condition,
    pub(crate) tag: Template,
}

impl Family {
    /// The family's name in the configuration; `identity`, `pin` and `cache` for those that are always there.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What its pattern matches: [`Role::Identity`], [`Role::Anchor`], [`Role::Pin`] or [`Role::Cache`].
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The one pattern that matches its immutable names and no name of another family.
    #[must_use]
    pub fn glob(&self) -> &Glob {
        &self.glob
    }

    /// How long its images are kept.
    #[must_use]
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// Its names that move, as written; [`Template::glob`] gives the pattern of each.
    #[must_use]
    pub fn aliases(&self) -> &[Template] {
        &self.aliases
    }

    /// The anchor's template, for families that the configuration can change.
    #[must_use]
    pub fn anchor(&self) -> Option<&Template> {
        self.rule.as_ref().map(|rule| &rule.tag)
    }

    /// On which runs it gives names, for families that the configuration can change.
    #[must_use]
    pub fn condition(&self) -> Option<&Condition> {
        self.rule.as_ref().map(|rule| &rule.on)
    }

    pub(crate) fn rule(&self) -> Option<&Rule> {
        self.rule.as_ref()
    }

    /// Whether the pattern tells its immutable names from its moving ones, so that a registry can guard the former
    /// alone.
    #[must_use]
    pub fn is_separable(&self, slugs: SlugMode) -> bool {
        let glob = self.glob.language();
        self.aliases.iter().all(|alias| alias.language(slugs).witness(&glob).is_none())
    }
}

/// Which names images get, for how long they are kept, and in which families.
///
/// ```
/// use shipper_tag::{Policy, PolicyConfig, Role};
/// let policy = Policy::new(&PolicyConfig::default())?;
/// let globs: Vec<(&str, &str)> = policy.families().map(|family| (family.id(), family.glob().as_str())).collect();
/// assert_eq!(globs, [
///     ("identity", "h-*"), ("release", "v*.*.*"), ("main", "main-*"), ("nightly", "nightly-*-*"), ("pr", "pr-*-*"),
///     ("branch", "b-*.*"), ("pin", "env-*"), ("cache", "cache-*"),
/// ]);
/// assert!(policy.families().filter(|family| family.role() == Role::Anchor).all(|family| family.is_separable(policy.slugs())));
/// # Ok::<(), shipper_tag::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    identity: Family,
    families: Vec<Family>,
    pin: Family,
    cache: Family,
    untagged: Option<Keep>,
    slugs: SlugMode,
    short_sha: usize,
    default_branch: Option<String>,
}

impl Policy {
    /// The policy that a configuration means.
    ///
    /// The families that the configuration names come first, in its order, then those of the preset that it does not
    /// name. The preset `release`:
    ///
    /// | family | on | tag | alias | keep |
    /// |---|---|---|---|---|
    /// | `release` | `tag:v{semver}` | `v{version}` | `v{major}.{minor}`, `v{major}`, `latest` | forever |
    /// | `main` | `branch:{default}` | `main-{sha}` | `edge` | 10 |
    /// | `nightly` | `schedule` | `nightly-{date}-{sha}` | `nightly` | 7 |
    /// | `pr` | `pr` | `pr-{pr}-{sha}` | `pr-{pr}` | 20 |
    /// | `branch` | `branch:*` | `b-{branch}.{sha}` | `b-{branch}` | 10 |
    ///
    /// `latest-on-main` moves `latest` from `release` to `main`.
    ///
    /// # Errors
    /// [`Error::Family`] for a family that can never give a name or has a reserved one, [`Error::Overlap`] where two
    /// families share a tag.
    pub fn new(config: &PolicyConfig) -> Result<Self, Error> {
        let preset = preset(config.preset.unwrap_or_default());
        let mut families = Vec::new();
        for (id, family) in &config.families {
            match family {
                Some(family) => families.push(Family::from_config(id, family)?),
                None if preset.iter().any(|(name, _)| name == id) => {}
                None => {
                    return Err(Error::Family {
                        family: id.clone(),
                        problem: "the preset has no such family to remove".to_owned(),
                        nearest: nearest(id, preset.iter().map(|(name, _)| *name)).map(str::to_owned),
                    });
                }
            }
        }
        for (id, family) in &preset {
            if !config.families.iter().any(|(name, _)| name == id) {
                families.push(Family::from_config(id, family)?);
            }
        }
        let fixed = |id: &str, role, glob, keep| Family {
            id: id.to_owned(),
            role,
            glob: Glob::new(glob),
            keep,
            rule: None,
            aliases: Vec::new(),
        };
        let kept = |written: Option<crate::config::KeepConfig>, default| written.map_or(default, |config| config.keep);
        let policy = Self {
            identity: fixed("identity", Role::Identity, IDENTITY, kept(config.identity, Keep::Count(100))),
            families,
            pin: fixed("pin", Role::Pin, PINS, Keep::Forever),
            cache: fixed("cache", Role::Cache, CACHES, kept(config.cache, Keep::Count(30))),
            untagged: Some(config.untagged.unwrap_or(Keep::Days(1))).filter(|keep| *keep != Keep::Forever),
            slugs: config.slug.unwrap_or_default(),
            short_sha: usize::from(config.short_sha.unwrap_or(7)),
            default_branch: config.default_branch.clone(),
        };
        if !(4..=64).contains(&policy.short_sha) {
            return Err(Error::Family {
                family: "short-sha".to_owned(),
                problem: format!("{} is no number from 4 to 64", policy.short_sha),
                nearest: None,
            });
        }
        policy.prove_apart()?;
        Ok(policy)
    }

    /// Every family: identities, those of the configuration in order, pins, caches.
    pub fn families(&self) -> impl Iterator<Item = &Family> {
        [&self.identity].into_iter().chain(&self.families).chain([&self.pin, &self.cache])
    }

    /// How long images without any name are kept; `None`: for ever.
    #[must_use]
    pub fn untagged(&self) -> Option<Keep> {
        self.untagged
    }

    /// How branches become parts of tags.
    #[must_use]
    pub fn slugs(&self) -> SlugMode {
        self.slugs
    }

    /// The least number of digits of a short commit.
    #[must_use]
    pub fn short_sha(&self) -> usize {
        self.short_sha
    }

    /// The default branch, where the configuration names it.
    #[must_use]
    pub fn default_branch(&self) -> Option<&str> {
        self.default_branch.as_deref()
    }

    /// Whether a run on somebody's machine can get names from a family of the configuration.
    #[must_use]
    pub fn names_local_runs(&self) -> bool {
        self.families.iter().any(|family| family.condition().is_some_and(Condition::is_for_local))
    }

    /// What else is never a family's: patterns of names that shipper writes for itself, with what they are.
    pub fn internal() -> impl Iterator<Item = (Glob, &'static str)> {
        INTERNAL.into_iter().map(|(glob, what)| (Glob::new(glob), what))
    }

    /// No tag of a family is matched by the pattern of another, or is a tag of another.
    fn prove_apart(&self) -> Result<(), Error> {
        let mut all: Vec<Described> = self
            .families()
            .map(|family| {
                let templates = family.anchor().into_iter().chain(&family.aliases);
                Described {
                    name: &family.id,
                    tags: templates.map(|one| (format!("`{one}`"), one.language(self.slugs))).collect(),
                    pattern: (format!("pattern `{}`", family.glob), family.glob.language()),
                }
            })
            .collect();
        all.extend(INTERNAL.iter().map(|(glob, what)| Described {
            name: what,
            tags: Vec::new(),
            pattern: (format!("pattern `{glob}`"), Glob::new(*glob).language()),
        }));
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                one.prove_apart(other)?;
            }
        }
        Ok(())
    }
}

/// A family as sets of tags, with the text of what gives each.
struct Described<'a> {
    name: &'a str,
    /// Empty for names that templates do not give; the pattern stands for them.
    tags: Vec<(String, Language)>,
    pattern: (String, Language),
}

impl Described<'_> {
    fn prove_apart(&self, other: &Self) -> Result<(), Error> {
        let pattern = |of: &Self| [of.pattern.clone()];
        let (mine, theirs) = (pattern(self), pattern(other));
        let pairs: [(&[_], &[_]); 4] = [
            (&self.tags, &other.tags),
            (&mine, &other.tags),
            (&self.tags, &theirs),
            // Two patterns may meet where neither family has a tag, if their tags are known.
            if self.tags.is_empty() || other.tags.is_empty() { (&mine, &theirs) } else { (&[], &[]) },
        ];
        for (ones, others) in pairs {
            for (one_rule, language) in ones {
                for (other_rule, other_language) in others {
                    if let Some(witness) = language.witness(other_language) {
                        return Err(Error::Overlap {
                            one: self.name.to_owned(),
                            other: other.name.to_owned(),
                            one_rule: one_rule.clone(),
                            other_rule: other_rule.clone(),
                            witness,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

impl Family {
    fn from_config(id: &str, config: &FamilyConfig) -> Result<Self, Error> {
        let invalid = |problem: String| Err(Error::Family { family: id.to_owned(), problem, nearest: None });
        if matches!(id, "pin" | "identity" | "cache" | "untagged") {
            return invalid("this name is shipper's own".to_owned());
        }
        let has_version = config.on.has_version();
        for template in [&config.tag].into_iter().chain(&config.alias) {
            if !has_version && let Some(placeholder) = template.placeholders().find(|one| one.is_version()) {
                return invalid(format!(
                    "`{{{}}}` of `{template}` never has a value: `{}` reads no `{{semver}}`",
                    placeholder.name(),
                    config.on
                ));
            }
        }
        if config.tag.placeholders().next().is_none() {
            return invalid(format!("the tag `{}` is the same for every image: it belongs into `alias`", config.tag));
        }
        if let Some(alias) = config.alias.iter().find(|alias| **alias == config.tag) {
            return invalid(format!("`{alias}` is both its tag, which never moves, and an alias, which does"));
        }
        if let Some(alias) = config.alias.iter().find(|alias| alias.has(Placeholder::Hash)) {
            return invalid(format!("the alias `{alias}` would never move: `{{hash}}` is another for every image"));
        }
        Ok(Self {
            id: id.to_owned(),
            role: Role::Anchor,
            glob: config.tag.glob(),
            keep: config.keep.unwrap_or(Keep::Forever),
            rule: Some(Rule { on: config.on.clone(), tag: config.tag.clone() }),
            aliases: config.alias.clone(),
        })
    }
}

/// The families of a preset, in order.
fn preset(preset: Preset) -> Vec<(&'static str, FamilyConfig)> {
    let latest = |here: Preset| (here == preset).then_some("latest");
    let family = |on: &str, tag: &str, alias: &[&str], keep| {
        let template = |text: &&str| text.parse().expect("templates of presets are right");
        let on = on.parse().expect("conditions of presets are right");
        FamilyConfig { on, tag: template(&tag), alias: alias.iter().map(template).collect(), keep: Some(keep) }
    };
    let release: Vec<&str> = ["v{major}.{minor}", "v{major}"].into_iter().chain(latest(Preset::Release)).collect();
    let main: Vec<&str> = ["edge"].into_iter().chain(latest(Preset::LatestOnMain)).collect();
    vec![
        ("release", family("tag:v{semver}", "v{version}", &release, Keep::Forever)),
        ("main", family("branch:{default}", "main-{sha}", &main, Keep::Count(10))),
        ("nightly", family("schedule", "nightly-{date}-{sha}", &["nightly"], Keep::Count(7))),
        ("pr", family("pr", "pr-{pr}-{sha}", &["pr-{pr}"], Keep::Count(20))),
        ("branch", family("branch:*", "b-{branch}.{sha}", &["b-{branch}"], Keep::Count(10))),
    ]
}
