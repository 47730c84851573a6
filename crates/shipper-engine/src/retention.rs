//! Retention in ECR: a policy is put only after it was evaluated on what is there and on what is in use; images are
//! deleted in two phases.
//!
//! Invariants: no image that is in use, nor a part or an index of one, is in what a policy may delete or a plan deletes;
//! *uncertain* counts as deleted; a plan is checked again before it is carried out.

mod in_use;
mod listing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shipper_aws::{AccountId, EcrRegistry, EcrRepository, Session, is_repository_name};
use shipper_deploy::Ledger;
use shipper_ecr::{Children, Ecr, Fate, ImageFacts, LifecyclePolicy, Simulation, simulate};
use shipper_oci::{Credentials, RegistryHost, Store};

use in_use::Found;
pub use in_use::InUse;
pub use listing::{ImageEntry, ImageFate, ImageListing, ListingOptions, list_images};

use crate::amazon::Logins;
use crate::lifecycle::{PolicySource, time};
use crate::project::client_options;
use crate::{Error, Project, SimulatedImage, amazon};

/// How long an image is left alone after its push by `gc`: what it belongs to may still be on its way.
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// A repository that was asked for by its name or URI.
struct Target {
    session: Session,
    ecr: Ecr,
    name: String,
}

impl Target {
    /// With the profile that `project` names for the registry, where the URI names one.
    async fn open(text: &str, project: Option<&Project>) -> Result<Self, Error> {
        let uri: Option<EcrRepository> = text.parse().ok();
        let host = text.split('/').next().unwrap_or_default();
        if uri.is_none() && (!is_repository_name(text) || host.parse::<EcrRegistry>().is_ok()) {
            return Err(Error::RepositoryName { text: text.to_owned() });
        }
        let profile = match (&uri, project) {
            (Some(uri), Some(project)) => project.config.profiles()?.remove(uri.registry.host()),
            _ => None,
        };
        let account: Option<AccountId> = uri.as_ref().map(|uri| uri.registry.account.clone());
        let session = amazon::session(uri.as_ref().map(|uri| uri.registry.region.clone()), profile).await;
        let ecr = Ecr::new(&session, account);
        Ok(Self { session, ecr, name: uri.map_or_else(|| text.to_owned(), |uri| uri.name) })
    }

    fn failed(&self, action: &str) -> impl FnOnce(shipper_aws::Error) -> Error + use<> {
        let action = format!("{action} `{}`", self.name);
        move |source| Error::Aws { action, source }
    }

    async fn images(&self) -> Result<Vec<ImageFacts>, Error> {
        self.ecr.images(&self.name).await.map_err(self.failed("list the images of"))
    }

    /// What is in use of these images, the deployment records of the same registry among it.
    async fn in_use(&self, in_use: &InUse, directory: &Path, images: &[ImageFacts]) -> Result<Found, Error> {
        let login = self.ecr.login().await.map_err(self.failed("log in to the registry of"))?;
        let host = login.endpoint.split_once("://").map_or(login.endpoint.as_str(), |(_, host)| host);
        let host = host.trim_end_matches('/');
        let failed = |source| Error::Store { action: format!("use registry `{host}`"), source };
        let mut options =
            client_options(&in_use.environment, &Logins::new(&in_use.environment, BTreeMap::new())).map_err(failed)?;
        let registry: RegistryHost = host.parse().map_err(failed)?;
        options.credentials = Credentials::fixed([(registry.clone(), amazon::credential(&login))].into());
        let store = Store::registry(&registry, None, options).map_err(failed)?;
        in_use.find(directory, &self.name, images, &Ledger::new(&store), &self.session).await
    }
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
    let target = Target::open(&options.repository, options.in_use.project.as_ref()).await?;
    let images = target.images().await?;
    let Found { used, unknown } = target.in_use(&options.in_use, &options.directory, &images).await?;
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
pub async fn diff_remote_lifecycle(
    source: &PolicySource,
    repository: &str,
    project: Option<&Project>,
) -> Result<Vec<String>, Error> {
    let policy = source.load()?;
    let target = Target::open(repository, project).await?;
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
/// stays, and those of the last 24 hours. Nothing is deleted. With it, what is said to be in use and is not there.
///
/// # Errors
/// As [`apply_lifecycle`].
pub async fn plan_gc(options: &RetentionOptions) -> Result<(GcPlan, Vec<String>), Error> {
    let policy = options.policy.load()?;
    let now = time(options.now.as_deref())?;
    let target = Target::open(&options.repository, options.in_use.project.as_ref()).await?;
    let images = target.images().await?;
    let Found { used, unknown } = target.in_use(&options.in_use, &options.directory, &images).await?;
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
    let plan = GcPlan {
        format: shipper_report::FORMAT.to_owned(),
        repository: options.repository.clone(),
        time: now,
        keep: images.len() - doomed.len(),
        delete: delete.into_iter().map(image).collect(),
    };
    Ok((plan, unknown))
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
    /// References that name no image of the repository.
    pub unknown: Vec<String>,
}

/// Carries out a plan after it was checked against what is there and in use now.
///
/// # Errors
/// [`Error::InUse`] where a planned image is in use, [`Error::PlanOutdated`] where it has another tag than planned or
/// belongs to an image that stays; nothing is deleted then. [`Error::GcFile`], [`Error::Read`], [`Error::RepositoryName`];
/// [`Error::Aws`].
pub async fn apply_gc(directory: &Path, path: &Path, in_use: &InUse) -> Result<Collected, Error> {
    let path = directory.join(path);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let plan: GcPlan =
        serde_json::from_str(&text).map_err(|error| Error::GcFile { path, problem: error.to_string() })?;
    let target = Target::open(&plan.repository, in_use.project.as_ref()).await?;
    let images = target.images().await?;
    let Found { used, unknown } = target.in_use(in_use, directory, &images).await?;
    let mut digests = Vec::new();
    let mut doomed = BTreeSet::new();
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
            return Err(Error::PlanOutdated { image: planned.digest.clone(), change: "has other tags" });
        }
        doomed.insert(at);
        digests.push(planned.digest.clone());
    }
    // An index that came since may refer to what was planned, and a subject may stay that was planned too.
    let planned = doomed.clone();
    release(&images, &mut doomed);
    if let Some(&at) = planned.difference(&doomed).next() {
        let image = images[at].digest.clone();
        return Err(Error::PlanOutdated { image, change: "belongs to an image that stays" });
    }
    let kept = target.ecr.delete_images(&target.name, &digests).await.map_err(target.failed("delete images of"))?;
    digests.retain(|digest| !kept.contains_key(digest));
    Ok(Collected { deleted: digests, kept, unknown })
}
