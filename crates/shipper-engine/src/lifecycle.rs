//! Lifecycle policies, in files or derived from the tag policy: canonical text, differences, simulation. Nothing is asked
//! of AWS.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shipper_ecr::{FamilyRole, Fate, ImageFacts, Keep, LifecyclePolicy, RetentionFamily, TagLocks};
use shipper_tag::{Family, Policy, Role, Template};

use crate::{Error, Project};

/// An image and what a policy does to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedImage {
    /// `sha256:..`.
    pub digest: String,
    /// Its tags, in the order of the listing.
    pub tags: Vec<String>,
    /// Priority of the rule that acts on it, or may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<u32>,
    /// Why; filled in where an explanation was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The images of a repository by what a policy does to them, each list in the order of the listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SimulatedImages {
    /// Deleted.
    pub expire: Vec<SimulatedImage>,
    /// Left as they are.
    pub keep: Vec<SimulatedImage>,
    /// Deleted or left: the documentation can be read both ways.
    pub uncertain: Vec<SimulatedImage>,
    /// Moved to the archive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<SimulatedImage>,
    /// Traps in the policy.
    #[serde(skip)]
    pub lints: Vec<String>,
}

/// What differs between two policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleDiff {
    /// One line for each rule that was added (`+`), removed (`-`), changed (`~`) or moved (`>`).
    pub changes: Vec<String>,
    /// Whether the canonical texts differ as well.
    pub spelled_differently: bool,
}

/// Where a lifecycle policy is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicySource {
    /// A document in a file.
    File(PathBuf),
    /// Derived from the tag policy of a project, see [`derive_lifecycle`].
    Derived(LifecyclePolicy),
}

impl PolicySource {
    pub(crate) fn load(&self) -> Result<LifecyclePolicy, Error> {
        match self {
            Self::File(path) => policy(path),
            Self::Derived(policy) => Ok(policy.clone()),
        }
    }
}

/// The lifecycle policy that keeps what the tag policy of a project asks for, and the tags that a repository can be told
/// to lock.
///
/// # Errors
/// [`Error::Retention`] where the families of tags give no policy.
pub fn derive_lifecycle(project: &Project) -> Result<(LifecyclePolicy, TagLocks), Error> {
    let policy = &project.policy;
    let families: Vec<RetentionFamily> = policy.families().filter_map(|family| retained(policy, family)).collect();
    let untagged = match policy.untagged() {
        Some(shipper_tag::Keep::Days(days)) => Some(days),
        // Untagged images have no order of their own that would be worth counting.
        Some(shipper_tag::Keep::Count(_) | shipper_tag::Keep::Forever) | None => None,
    };
    let derived = shipper_ecr::lifecycle(&families, untagged).map_err(Error::Retention)?;
    Ok((derived, shipper_ecr::tag_locks(&families)))
}

/// A family of tags as far as retention is concerned; `None` for aliases, which belong to one.
fn retained(policy: &Policy, family: &Family) -> Option<RetentionFamily> {
    let is_plain = |alias: &&Template| alias.placeholders().next().is_none();
    Some(RetentionFamily {
        name: family.id().to_owned(),
        role: match family.role() {
            Role::Pin => FamilyRole::Pin,
            Role::Anchor => FamilyRole::Anchor,
            Role::Identity => FamilyRole::Identity,
            Role::Cache => FamilyRole::Cache,
            Role::Alias => return None,
        },
        glob: family.glob().as_str().to_owned(),
        aliases: family.aliases().iter().filter(is_plain).map(|alias| alias.as_str().to_owned()).collect(),
        keep: match family.keep() {
            shipper_tag::Keep::Count(images) => Keep::Images(images),
            shipper_tag::Keep::Days(days) => Keep::Days(days),
            shipper_tag::Keep::Forever => Keep::Forever,
        },
        is_separable: family.is_separable(policy.slugs()),
    })
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn policy(path: &Path) -> Result<LifecyclePolicy, Error> {
    LifecyclePolicy::parse(&read(path)?).map_err(|source| Error::Document { path: path.to_owned(), source })
}

/// A time in RFC 3339; the clock's where it is absent.
pub(crate) fn time(text: Option<&str>) -> Result<Timestamp, Error> {
    match text {
        Some(text) => text.parse().map_err(|source| Error::Time { text: text.to_owned(), source }),
        None => Ok(Timestamp::now()),
    }
}

/// The canonical text of a policy, with its traps.
///
/// # Errors
/// [`Error::Read`]; [`Error::Document`] with the place.
pub fn render_lifecycle(source: &PolicySource) -> Result<(String, Vec<String>), Error> {
    let policy = source.load()?;
    let lints = shipper_ecr::lints(&policy, &[]).iter().map(ToString::to_string).collect();
    Ok((policy.canonical_json(), lints))
}

/// What changes from the policy in `before` to that in `after`.
///
/// # Errors
/// As [`render_lifecycle`].
pub fn diff_lifecycle(before: &Path, after: &Path) -> Result<LifecycleDiff, Error> {
    let (before, after) = (policy(before)?, policy(after)?);
    Ok(LifecycleDiff {
        changes: before.changes_to(&after).iter().map(ToString::to_string).collect(),
        spelled_differently: before.canonical_json() != after.canonical_json(),
    })
}

/// What a policy would do to the images in a file, which holds the output of `aws ecr describe-images`.
/// `now` is a time in RFC 3339; the clock's where it is absent.
///
/// # Errors
/// [`Error::Read`]; [`Error::Document`] with the place; [`Error::Time`].
pub fn simulate_lifecycle(
    source: &PolicySource,
    images: &Path,
    now: Option<&str>,
    explained: bool,
) -> Result<SimulatedImages, Error> {
    let now = time(now)?;
    let policy = source.load()?;
    let listed = ImageFacts::parse_describe_images(&read(images)?)
        .map_err(|source| Error::Document { path: images.to_owned(), source })?;
    let simulation = shipper_ecr::simulate(&policy, &listed, now);
    let mut report = SimulatedImages {
        lints: shipper_ecr::lints(&policy, &listed).iter().map(ToString::to_string).collect(),
        ..SimulatedImages::default()
    };
    for (image, verdict) in listed.into_iter().zip(simulation.verdicts) {
        let (list, rule) = match verdict.fate {
            Fate::Keep => (&mut report.keep, None),
            Fate::Expire(rule) => (&mut report.expire, Some(rule)),
            Fate::Archive(rule) => (&mut report.archive, Some(rule)),
            Fate::Uncertain(rule) => (&mut report.uncertain, Some(rule)),
        };
        let why = explained.then(|| verdict.why.to_string());
        list.push(SimulatedImage { digest: image.digest, tags: image.tags, rule, why });
    }
    Ok(report)
}
