//! Retention in ECR: a policy is put only after it was evaluated on what is there and on what is in use; images are
//! deleted in two phases.
//!
//! Invariants: no image that is in use, nor a part or an index of one, is in what a policy may delete or a plan deletes;
//! *uncertain* counts as deleted; a plan is checked again before it is carried out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shipper_aws::{AccountId, EcrRegistry, EcrRepository, Session, SessionOptions, is_repository_name};
use shipper_ecr::{Children, Ecr, Fate, ImageFacts, LifecyclePolicy, Simulation, TagGlob, simulate};

use crate::lifecycle::{PolicySource, time};
use crate::{Error, SimulatedImage};

/// What is said to be in use.
#[derive(Debug, Clone, Default)]
pub struct InUse {
    /// References: `repository:tag`, `repository@sha256:..`, with or without a registry's host.
    pub references: Vec<String>,
    /// A file with a JSON list of such references.
    pub file: Option<PathBuf>,
    /// Patterns of tags whose images are in use.
    pub tags: Vec<String>,
}

/// Tags of images that are deployed.
const PINS: &str = "env-*";
/// How long an image is left alone after its push by `gc`: what it belongs to may still be on its way.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// A repository that was asked for by its name or URI.
struct Target {
    ecr: Ecr,
    name: String,
}

impl Target {
    async fn open(text: &str) -> Result<Self, Error> {
        let uri: Option<EcrRepository> = text.parse().ok();
        let host = text.split('/').next().unwrap_or_default();
        if uri.is_none() && (!is_repository_name(text) || host.parse::<EcrRegistry>().is_ok()) {
            return Err(Error::RepositoryName { text: text.to_owned() });
        }
        let mut options = SessionOptions::default();
        options.region = uri.as_ref().map(|uri| uri.registry.region.clone());
        let account: Option<AccountId> = uri.as_ref().map(|uri| uri.registry.account.clone());
        let ecr = Ecr::new(&Session::open(&options).await, account);
        Ok(Self { ecr, name: uri.map_or_else(|| text.to_owned(), |uri| uri.name) })
    }

    fn failed(&self, action: &str) -> impl FnOnce(shipper_aws::Error) -> Error + use<> {
        let action = format!("{action} `{}`", self.name);
        move |source| Error::Aws { action, source }
    }

    async fn images(&self) -> Result<Vec<ImageFacts>, Error> {
        self.ecr.images(&self.name).await.map_err(self.failed("list the images of"))
    }
}

impl InUse {
    fn references(&self, directory: &Path) -> Result<Vec<String>, Error> {
        let mut references = self.references.clone();
        if let Some(file) = &self.file {
            let path = directory.join(file);
            let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let listed: Vec<String> =
                serde_json::from_str(&text).map_err(|error| Error::InUseFile { path, problem: error.to_string() })?;
            references.extend(listed);
        }
        Ok(references)
    }

    /// Which images are in use, by index, with why; and the references that name no image of this repository.
    fn find(
        &self,
        directory: &Path,
        repository: &str,
        images: &[ImageFacts],
    ) -> Result<(BTreeMap<usize, String>, Vec<String>), Error> {
        let by_digest: HashMap<&str, usize> =
            images.iter().enumerate().map(|(at, image)| (image.digest.as_str(), at)).collect();
        let by_tag: HashMap<&str, usize> = images
            .iter()
            .enumerate()
            .flat_map(|(at, image)| image.tags.iter().map(move |tag| (tag.as_str(), at)))
            .collect();
        let (mut used, mut unknown) = (BTreeMap::new(), Vec::new());
        for reference in self.references(directory)? {
            let (name, digest) = match reference.split_once('@') {
                Some((name, digest)) => (name, Some(digest)),
                None => (reference.as_str(), None),
            };
            // The host may have a port; a tag has no slash.
            let (path, tag) = match name.rsplit_once(':') {
                Some((path, tag)) if !tag.contains('/') => (path, tag),
                _ => (name, "latest"),
            };
            if path != repository && !path.ends_with(&format!("/{repository}")) {
                continue;
            }
            let found = digest.map_or_else(|| by_tag.get(tag), |digest| by_digest.get(digest));
            match found {
                Some(&at) => {
                    used.insert(at, reference.clone());
                }
                None => unknown.push(reference),
            }
        }
        let pins: Vec<TagGlob> = self.tags.iter().map(String::as_str).chain([PINS]).map(TagGlob::pattern).collect();
        for (at, image) in images.iter().enumerate() {
            if let Some(tag) = image.tags.iter().find(|tag| pins.iter().any(|pin| pin.matches(tag))) {
                used.entry(at).or_insert_with(|| format!("{repository}:{tag}"));
            }
        }
        Ok((with_relatives(images, &by_digest, used), unknown))
    }
}

/// Also the parts of an index in use, and the indexes of a part: either may be what is pulled.
fn with_relatives(
    images: &[ImageFacts],
    by_digest: &HashMap<&str, usize>,
    mut used: BTreeMap<usize, String>,
) -> BTreeMap<usize, String> {
    for _ in 0..images.len() {
        let mut more = Vec::new();
        for (at, image) in images.iter().enumerate() {
            let Children::Known(children) = &image.children else { continue };
            for &child in children.iter().filter_map(|child| by_digest.get(child.as_str())) {
                match (used.get(&at), used.get(&child)) {
                    (Some(why), None) => more.push((child, why.clone())),
                    (None, Some(why)) => more.push((at, why.clone())),
                    _ => (),
                }
            }
        }
        if more.is_empty() {
            break;
        }
        used.extend(more);
    }
    used
}

/// What is asked of [`apply_lifecycle`] and [`plan_gc`].
#[derive(Debug, Clone)]
pub struct RetentionOptions {
    /// Relative paths lie here.
    pub directory: PathBuf,
    /// Name or URI of the repository.
    pub repository: String,
    /// The policy.
    pub policy: PolicySource,
    /// What must stay.
    pub in_use: InUse,
    /// The time of the evaluation; the clock's where it is absent.
    pub now: Option<String>,
    /// Whether ECR's own preview has to agree.
    pub verify_remote: bool,
    /// Whether the policy is written.
    pub dry_run: bool,
}

/// What [`apply_lifecycle`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedLifecycle {
    /// Lines as of a diff, from the policy before to this one; all rules where there was none.
    pub changes: Vec<String>,
    /// How many images it deletes now.
    pub expire: usize,
    /// How many it may delete.
    pub uncertain: usize,
    /// How many are in use.
    pub in_use: usize,
    /// Whether it was written.
    pub written: bool,
    /// References that name no image of the repository.
    pub unknown: Vec<String>,
}

/// Puts a lifecycle policy, unless it could delete what is in use.
///
/// # Errors
/// [`Error::InUse`] with the image; [`Error::Disagreement`] where ECR's preview says something else; [`Error::Document`],
/// [`Error::Read`], [`Error::Time`], [`Error::RepositoryName`]; [`Error::Aws`].
pub async fn apply_lifecycle(options: &RetentionOptions) -> Result<AppliedLifecycle, Error> {
    let policy = options.policy.load()?;
    let now = time(options.now.as_deref())?;
    let target = Target::open(&options.repository).await?;
    let images = target.images().await?;
    let (used, unknown) = options.in_use.find(&options.directory, &target.name, &images)?;
    let simulation = simulate(&policy, &images, now);
    refuse_in_use(&images, &simulation, &used)?;
    let text = policy.canonical_json();
    if options.verify_remote {
        verify(&target, &text, &images, &simulation).await?;
    }
    let before = target.ecr.lifecycle_policy(&target.name).await.map_err(target.failed("read the policy of"))?;
    let changes = changes(before.as_deref(), &policy);
    let written = !changes.is_empty() && !options.dry_run;
    if written {
        target.ecr.put_lifecycle_policy(&target.name, &text).await.map_err(target.failed("write the policy of"))?;
        let after = target.ecr.lifecycle_policy(&target.name).await.map_err(target.failed("read the policy of"))?;
        let is_there = after.and_then(|text| LifecyclePolicy::parse(&text).ok());
        if !is_there.is_some_and(|after| after.changes_to(&policy).is_empty()) {
            return Err(Error::NotKept { repository: target.name });
        }
    }
    let count = |wanted: fn(&Fate) -> bool| simulation.verdicts.iter().filter(|verdict| wanted(&verdict.fate)).count();
    Ok(AppliedLifecycle {
        changes,
        expire: count(|fate| matches!(fate, Fate::Expire(_))),
        uncertain: count(|fate| matches!(fate, Fate::Uncertain(_))),
        in_use: used.len(),
        written,
        unknown,
    })
}

fn refuse_in_use(images: &[ImageFacts], simulation: &Simulation, used: &BTreeMap<usize, String>) -> Result<(), Error> {
    let Some(at) = simulation.endangered().find(|at| used.contains_key(at)) else { return Ok(()) };
    Err(Error::InUse {
        image: images[at].digest.clone(),
        reference: used[&at].clone(),
        why: simulation.verdicts[at].why.to_string(),
    })
}

fn changes(before: Option<&str>, policy: &LifecyclePolicy) -> Vec<String> {
    // A policy that can not be read is replaced as a whole.
    match before.and_then(|text| LifecyclePolicy::parse(text).ok()) {
        Some(before) => before.changes_to(policy).iter().map(ToString::to_string).collect(),
        None => policy.rules().iter().map(|rule| format!("+ {}: {rule}", rule.priority)).collect(),
    }
}

/// Compares the simulation with what ECR itself would do.
async fn verify(target: &Target, text: &str, images: &[ImageFacts], simulation: &Simulation) -> Result<(), Error> {
    let remote =
        target.ecr.preview_lifecycle(&target.name, text).await.map_err(target.failed("preview the policy of"))?;
    for (image, verdict) in images.iter().zip(&simulation.verdicts) {
        let is_acted_on = remote.contains_key(&image.digest);
        let agrees = match verdict.fate {
            Fate::Uncertain(_) => true,
            Fate::Keep => !is_acted_on,
            Fate::Expire(_) | Fate::Archive(_) => is_acted_on,
        };
        if !agrees {
            let theirs =
                remote.get(&image.digest).map_or_else(|| "keeps it".to_owned(), |rule| format!("acts by rule {rule}"));
            return Err(Error::Disagreement { image: image.digest.clone(), ours: verdict.why.to_string(), theirs });
        }
    }
    Ok(())
}

/// What changes from a repository's policy to this one.
///
/// # Errors
/// As [`apply_lifecycle`].
pub async fn diff_remote_lifecycle(source: &PolicySource, repository: &str) -> Result<Vec<String>, Error> {
    let policy = source.load()?;
    let target = Target::open(repository).await?;
    let before = target.ecr.lifecycle_policy(&target.name).await.map_err(target.failed("read the policy of"))?;
    Ok(changes(before.as_deref(), &policy))
}

/// What `gc` is to delete: a document that can be read before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GcPlan {
    /// Version of this document.
    pub format: String,
    /// Name or URI of the repository.
    pub repository: String,
    /// When it was made.
    pub time: Timestamp,
    /// Images to delete, indexes before their parts.
    pub delete: Vec<SimulatedImage>,
    /// How many images stay.
    pub keep: usize,
}

/// Plans to delete the images that a policy certainly deletes, without those in use, those that belong to an image that
/// stays, and those of the last 24 hours. Nothing is deleted.
///
/// # Errors
/// As [`apply_lifecycle`].
pub async fn plan_gc(options: &RetentionOptions) -> Result<GcPlan, Error> {
    let policy = options.policy.load()?;
    let now = time(options.now.as_deref())?;
    let target = Target::open(&options.repository).await?;
    let images = target.images().await?;
    let (used, _) = options.in_use.find(&options.directory, &target.name, &images)?;
    let simulation = simulate(&policy, &images, now);
    let mut doomed: BTreeSet<usize> = (0..images.len())
        .filter(|at| matches!(simulation.verdicts[*at].fate, Fate::Expire(_)))
        .filter(|at| !used.contains_key(at) && now.duration_since(images[*at].pushed_at) > GRACE)
        .collect();
    release(&images, &mut doomed);
    let mut delete: Vec<usize> = doomed.iter().copied().collect();
    delete.sort_by_key(|&at| images[at].children == Children::None);
    let image = |at: usize| SimulatedImage {
        digest: images[at].digest.clone(),
        tags: images[at].tags.clone(),
        rule: match simulation.verdicts[at].fate {
            Fate::Expire(rule) => Some(rule),
            _ => None,
        },
        why: None,
    };
    Ok(GcPlan {
        format: shipper_report::FORMAT.to_owned(),
        repository: options.repository.clone(),
        time: now,
        keep: images.len() - doomed.len(),
        delete: delete.into_iter().map(image).collect(),
    })
}

/// Takes out of `doomed` what an index that stays refers to, and artifacts whose subject stays.
fn release(images: &[ImageFacts], doomed: &mut BTreeSet<usize>) {
    let by_digest: HashMap<&str, usize> =
        images.iter().enumerate().map(|(at, image)| (image.digest.as_str(), at)).collect();
    loop {
        let mut kept = Vec::new();
        for (at, image) in images.iter().enumerate() {
            if let Children::Known(children) = &image.children
                && !doomed.contains(&at)
            {
                kept.extend(children.iter().filter_map(|child| by_digest.get(child.as_str())));
            }
            let subject = image.subject.as_deref().and_then(|subject| by_digest.get(subject));
            if subject.is_some_and(|subject| !doomed.contains(subject)) {
                kept.push(at);
            }
        }
        let before = doomed.len();
        kept.iter().for_each(|at| {
            doomed.remove(at);
        });
        if doomed.len() == before {
            return;
        }
    }
}

/// What [`apply_gc`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Digests that are gone.
    pub deleted: Vec<String>,
    /// Digests that ECR kept, with its reason.
    pub kept: BTreeMap<String, String>,
}

/// Carries out a plan after it was checked against what is there and in use now.
///
/// # Errors
/// [`Error::InUse`] where a planned image is in use, [`Error::PlanOutdated`] where it has another tag than planned;
/// nothing is deleted then. [`Error::GcFile`], [`Error::Read`], [`Error::RepositoryName`]; [`Error::Aws`].
pub async fn apply_gc(directory: &Path, path: &Path, in_use: &InUse) -> Result<Collected, Error> {
    let path = directory.join(path);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let plan: GcPlan =
        serde_json::from_str(&text).map_err(|error| Error::GcFile { path, problem: error.to_string() })?;
    let target = Target::open(&plan.repository).await?;
    let images = target.images().await?;
    let (used, _) = in_use.find(directory, &target.name, &images)?;
    let mut digests = Vec::new();
    for planned in &plan.delete {
        let Some(at) = images.iter().position(|image| image.digest == planned.digest) else { continue };
        if let Some(reference) = used.get(&at) {
            return Err(Error::InUse {
                image: planned.digest.clone(),
                reference: reference.clone(),
                why: "it was planned to be deleted".to_owned(),
            });
        }
        let tags = |tags: &[String]| tags.iter().cloned().collect::<BTreeSet<_>>();
        if tags(&images[at].tags) != tags(&planned.tags) {
            return Err(Error::PlanOutdated { image: planned.digest.clone() });
        }
        digests.push(planned.digest.clone());
    }
    let kept = target.ecr.delete_images(&target.name, &digests).await.map_err(target.failed("delete images of"))?;
    digests.retain(|digest| !kept.contains_key(digest));
    Ok(Collected { deleted: digests, kept })
}
