//! Planning and shipping: facts, plan, then what is due.

mod execute;

use std::collections::{BTreeMap, BTreeSet};

use shipper_oci::{Digest, Extent, ProgressSink, Repository, Selector};
use shipper_plan::{Existing, Origin, PlatformFacts, Service, ServiceFacts};
use shipper_report::{Action, Event, ExitCode, Name, Phase, PlannedService, ShippedImage};
use tokio::task::JoinSet;

use crate::bases::Bases;
use crate::facts::{FactsOverrides, facts_for_names};
use crate::gather::{Gathered, gather, selection};
use crate::git::{self, Head};
use crate::naming::{Due, Naming};
use crate::outdated::{self, LockedBase};
use crate::record::estimates;
use crate::registries::{self, Opened};
use crate::run::{Ending, OwnedStop, Running, Stop, recorded, tell};
use crate::trust::Trust;
use crate::uploads::Uploads;
use crate::{Error, Events, Project, images, probe};

/// What to plan or ship.
#[derive(Debug, Clone, Default)]
pub struct ShipOptions {
    /// Services; all where empty.
    pub services: Vec<String>,
    /// Build even what exists, and compare.
    pub force: bool,
    /// Refuse base images that `shipper.lock` does not have.
    pub locked: bool,
    /// Build, but write nothing to the registry: what is built lies in private layouts.
    pub no_push: bool,
    /// What is known better about the run than the CI system tells.
    pub facts: FactsOverrides,
    /// Load the images into the container engine of this machine too.
    pub load: bool,
    /// Services that get another identity from now on, by a salt in `shipper.lock`; they belong to the run. [`plan`]
    /// leaves them as they are.
    pub refresh: Vec<String>,
}

/// A plan and what it was made from.
pub struct Planned {
    /// The services, needs first.
    pub services: Vec<PlannedService>,
    /// What is checked out.
    pub head: Head,
    /// Base images whose reference means another image than `shipper.lock` says; only for [`plan`], and as far as
    /// their registries answered in time.
    pub outdated: Vec<LockedBase>,
    gathered: BTreeMap<String, Gathered>,
    estimates: BTreeMap<String, u64>,
    repositories: BTreeMap<String, Repository>,
    /// Where the image of a service was found, if not in its repository.
    elsewhere: BTreeMap<String, Repository>,
    /// For a run that is not trusted: where trusted runs put the images of each service.
    trusted: BTreeMap<String, Repository>,
    naming: BTreeMap<String, Naming>,
    /// Whose images the run takes from where it writes.
    trust: Trust,
}

impl Planned {
    /// What was found out about a service.
    pub(crate) fn gathered(&self, service: &str) -> Option<&Gathered> {
        self.gathered.get(service)
    }

    /// Whether nothing is to be built.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.iter().all(|service| service.action == Action::Reuse)
    }

    /// Where the image of a service of the plan is.
    pub(crate) fn repository(&self, service: &str) -> &Repository {
        self.elsewhere.get(service).unwrap_or(&self.repositories[service])
    }

    /// Sum of the recorded build times of what is reused, in milliseconds.
    #[must_use]
    pub fn saved_ms(&self) -> u64 {
        let reused = self.services.iter().filter(|service| service.action != Action::Build);
        reused.filter_map(|service| self.estimates.get(&service.service)).sum()
    }
}

/// What a run ended with.
#[derive(Debug)]
pub struct Shipped {
    /// Images by service, of those that did not fail.
    pub images: BTreeMap<String, ShippedImage>,
    /// What failed, in the order in which it did.
    pub failures: Vec<Error>,
    /// Whether the run was asked to stop before it was done.
    pub interrupted: bool,
}

impl Shipped {
    /// What the process returns: that of an interruption, else the code of the first failure.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.interrupted {
            return ExitCode::Interrupted;
        }
        self.failures.first().map_or(ExitCode::Done, Error::exit_code)
    }
}

/// Gathers the facts and plans. Writes nothing but private caches; `shipper.lock` only for [`ship`].
///
/// # Errors
/// Whatever keeps the facts from being known; the plan is then not made at all.
pub async fn plan(project: &Project, options: &ShipOptions, events: &Events) -> Result<Planned, Error> {
    planning(project, options, events).await
}

fn planning<'a>(project: &'a Project, options: &'a ShipOptions, events: &'a Events) -> Running<'a, Planned> {
    Box::pin(planned(project, options, events, Purpose::Plan))
}

/// What a plan is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be read: nothing is written, and it says more than is needed to act.
    Plan,
    /// To be executed.
    Ship,
    /// To find images: nothing is written.
    Look,
}

async fn planned(
    project: &Project,
    options: &ShipOptions,
    events: &Events,
    purpose: Purpose,
) -> Result<Planned, Error> {
    let mut wanted = options.services.clone();
    if !wanted.is_empty() {
        wanted.extend(options.refresh.iter().cloned());
    }
    let order = selection(project, &wanted)?;
    if project.services.is_empty() {
        let place = project.root.display();
        events.warn(
            None,
            format!("{place} has no services: no `[service.NAME]`, and no Cargo binary or Dockerfile that can be read"),
        );
    }
    let head = git::head(&project.root);
    let services =
        project.services.values().map(|service| (service.repository.clone(), service.name.clone())).collect();
    let progress = ProgressSink::new(Uploads::new(events.clone(), services));
    let (run, warnings) = facts_for_names(project, &options.facts)?;
    for warning in warnings {
        events.warn(None, warning);
    }
    let trusted_keys = Trust::of(project)?;
    let trust = trusted_keys.where_written(&run);
    let opened = registries::open_for(project, &run, Some(progress)).await?;
    let tree = project.tree()?;
    let mut bases = Bases::new(project, options.locked)?;
    if purpose == Purpose::Ship {
        selection(project, &options.refresh)?;
        bases.refresh(&options.refresh);
    }
    let gathered = gather(project, &tree, &order, &mut bases, events).await?;
    if let Err(error) = tree.save_cache() {
        events.warn(None, format!("the stat cache was not written: {error}"));
    }
    if purpose == Purpose::Ship {
        bases.save()?;
    }
    let estimates = estimates(&project.directories.local);
    let mut repositories = BTreeMap::new();
    let mut trusted_places = BTreeMap::new();
    let mut lookups = JoinSet::new();
    for (position, one) in gathered.iter().enumerate() {
        let repository = repository(project, &opened, one)?;
        repositories.insert(one.service.name.clone(), repository.clone());
        let trusted = opened.trusted.as_ref().map(|trusted| self::repository(project, trusted, one)).transpose()?;
        trusted_places.extend(trusted.clone().map(|place| (one.service.name.clone(), place)));
        let (one, head, forced) = (one.clone(), head.clone(), options.force);
        let (policy, run, events) = (project.policy.clone(), run.clone(), events.clone());
        let estimate = estimates.get(&one.service.name).copied();
        let (trust, trusted_keys) = (trust.clone(), trusted_keys.clone());
        lookups.spawn(async move {
            let naming = Naming::new(&policy, &run, &one.service.name, &one.key, &repository).await?;
            let trusted = trusted.as_ref().map(|place| (place, &trusted_keys));
            let places = Places { own: (&repository, &trust), trusted };
            let (facts, found) = facts(places, &one, &head, &naming, forced, estimate, &events).await?;
            Ok::<_, Error>((position, facts, naming, found.cloned()))
        });
    }
    let outdated = match purpose {
        Purpose::Plan => {
            let used: BTreeSet<&str> = gathered.iter().flat_map(Gathered::bases).collect();
            outdated::noticed(project, bases.lock(), |reference| used.contains(reference)).await
        }
        Purpose::Ship | Purpose::Look => Vec::new(),
    };
    let mut naming = BTreeMap::new();
    let mut elsewhere = BTreeMap::new();
    let mut facts: BTreeMap<usize, ServiceFacts> = BTreeMap::new();
    while let Some(found) = lookups.join_next().await {
        let (position, found, names, place) = found.expect("a lookup does not panic and is not cancelled")?;
        elsewhere.extend(place.map(|place| (found.name.clone(), place)));
        naming.insert(found.name.clone(), names);
        facts.insert(position, found);
    }
    let facts: Vec<ServiceFacts> = facts.into_values().collect();
    let services = shipper_plan::plan(&facts);
    events.emit(Event::PlanReady { services: services.clone() });
    let gathered = gathered.into_iter().map(|one| (one.service.name.clone(), one)).collect();
    Ok(Planned {
        services,
        head,
        outdated,
        gathered,
        estimates,
        repositories,
        elsewhere,
        trusted: trusted_places,
        naming,
        trust,
    })
}

/// The repository of a service: its own, the template's, or the only service's the one that the stack names.
pub(crate) fn repository(project: &Project, opened: &Opened, gathered: &Gathered) -> Result<Repository, Error> {
    repository_of(project, opened, &gathered.service)
}

/// As [`repository`], for a service that need not have been gathered.
pub(crate) fn repository_of(project: &Project, opened: &Opened, service: &Service) -> Result<Repository, Error> {
    let is_unnamed = project.settings.repository.origin == Origin::Default && project.services.len() == 1;
    let is_unnamed = is_unnamed && project.config.service.values().all(|service| service.repository.is_none());
    let of_stack = opened.repository.as_ref().filter(|_| is_unnamed);
    let name = of_stack.unwrap_or(&service.repository);
    let name = name.parse().map_err(|source| Error::Store {
        action: format!("use `{name}` as repository of `{}`", service.name),
        source,
    })?;
    Ok(opened.store.repository(&name))
}

/// Where a service's images are looked for.
#[derive(Clone, Copy)]
struct Places<'a> {
    /// Where the run writes, and whose images it takes from there.
    own: (&'a Repository, &'a Trust),
    /// For a run that is not trusted: the same of trusted runs.
    trusted: Option<(&'a Repository, &'a Trust)>,
}

/// What the stores know about one service, and where its image was found if not in its own repository.
async fn facts<'a>(
    places: Places<'a>,
    gathered: &Gathered,
    head: &Head,
    naming: &Naming,
    forced: bool,
    estimate_ms: Option<u64>,
    events: &Events,
) -> Result<(ServiceFacts, Option<&'a Repository>), Error> {
    let (repository, trust) = places.own;
    let names = &gathered.service.platforms;
    let mut existing = probe::existing(repository, trust, &gathered.key, names).await?;
    let mut elsewhere = None;
    if let Some((trusted, keys)) = places.trusted.filter(|_| !matches!(existing, Existing::Verified { .. })) {
        match probe::existing(trusted, keys, &gathered.key, names).await {
            Ok(found @ Existing::Verified { .. }) => (existing, elsewhere) = (found, Some(trusted)),
            Ok(Existing::Absent | Existing::Untrusted { .. } | Existing::Incomplete { .. }) => {}
            // It may only save work: a run that may not read there builds.
            Err(error) => events.warn(Some(&gathered.service.name), error.chain().join(": ")),
        }
    }
    let found = matches!(existing, Existing::Verified { .. });
    let due = match &existing {
        Existing::Verified { reference } => naming.due(repository, &digest_in(reference)?).await?,
        Existing::Absent | Existing::Untrusted { .. } | Existing::Incomplete { .. } => {
            Due { names: Vec::new(), taken: naming.taken(repository, &gathered.key).await? }
        }
    };
    for taken in &due.taken {
        events.warn(Some(&gathered.service.name), taken.warning());
    }
    let mut platforms = Vec::with_capacity(gathered.platforms.len());
    for platform in &gathered.platforms {
        let own = match gathered.platforms.len() {
            1 => existing.clone(),
            _ if found => existing.clone(),
            _ => {
                let name = std::slice::from_ref(&platform.inputs.platform);
                probe::existing(repository, trust, &platform.inputs.key(), name).await?
            }
        };
        let manifest = platform.context.manifest().clone();
        platforms.push(PlatformFacts { inputs: platform.inputs.clone(), manifest, existing: own });
    }
    let previous = match places.trusted {
        _ if found || forced => None,
        None => probe::previous(repository, head).await,
        Some((trusted, _)) => match probe::previous(repository, head).await {
            None => probe::previous(trusted, head).await,
            previous => previous,
        },
    };
    let facts = ServiceFacts {
        name: gathered.service.name.clone(),
        key: gathered.key,
        platforms,
        existing,
        previous,
        names: naming.names().map(|planned| planned.tag.to_string()).collect(),
        names_due: due.names,
        needs: gathered.service.needs.values().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        forced,
        estimate_ms,
    };
    Ok((facts, elsewhere))
}

/// Plans, and builds and pushes what is due. As [`ship_until`] without an end.
///
/// # Errors
/// As [`ship_until`].
pub async fn ship(project: &Project, options: &ShipOptions, events: &Events) -> Result<Shipped, Error> {
    ship_until(project, options, events, std::future::pending()).await
}

/// Plans, and builds and pushes what is due, until `stop` is ready: what runs then is ended, what was finished is kept.
///
/// Events go to `events` and, as a record of the run, to `.shipper/runs`. The last event is
/// [`Event::RunFinished`], whatever happened.
///
/// # Errors
/// What keeps the plan from being made. What fails afterwards is in [`Shipped::failures`].
pub async fn ship_until(
    project: &Project,
    options: &ShipOptions,
    events: &Events,
    stop: impl Future<Output = ()> + Send,
) -> Result<Shipped, Error> {
    shipping(project, options, events, Box::pin(stop)).await
}

fn shipping<'a>(
    project: &'a Project,
    options: &'a ShipOptions,
    events: &'a Events,
    mut stop: OwnedStop<'a>,
) -> Running<'a, Shipped> {
    Box::pin(async move {
        recorded(project, "ship", events, async |events| {
            match shipped(project, options, &events, stop.as_mut()).await {
                Ok((shipped, _, saved_ms)) => {
                    let (code, images) = (shipped.exit_code(), shipped.images.clone());
                    (Ok(shipped), Ending { code, images, saved_ms })
                }
                Err(error) => {
                    let code = error.exit_code();
                    (Err(error), Ending { code, images: BTreeMap::new(), saved_ms: 0 })
                }
            }
        })
        .await
    })
}

/// Plans, and builds and pushes what is due, until `stop`: the images, where each of them is, and the build time that was
/// saved in milliseconds.
pub(crate) async fn shipped(
    project: &Project,
    options: &ShipOptions,
    events: &Events,
    mut stop: Stop<'_>,
) -> Result<(Shipped, BTreeMap<String, Repository>, u64), Error> {
    let planned = tokio::select! {
        planned = planned(project, options, events, Purpose::Ship) => planned?,
        () = &mut stop => {
            let shipped = Shipped { images: BTreeMap::new(), failures: Vec::new(), interrupted: true };
            return Ok((shipped, BTreeMap::new(), 0));
        }
    };
    let mut shipped = execute::run(project, options, &planned, events, stop).await?;
    let saved_ms = planned.saved_ms();
    let mut repositories = planned.repositories;
    repositories.extend(planned.elsewhere);
    if options.load && !shipped.interrupted {
        load(project, &repositories, &mut shipped, events).await;
    }
    Ok((shipped, repositories, saved_ms))
}

/// The images that are there.
pub(crate) struct Looked {
    pub(crate) images: BTreeMap<String, ShippedImage>,
    /// Services whose image is not there.
    pub(crate) missing: BTreeSet<String>,
    /// Where each image is, or would be.
    pub(crate) repositories: BTreeMap<String, Repository>,
    /// The build time that was saved, in milliseconds.
    pub(crate) saved_ms: u64,
}

/// Looks for the images. Nothing is built, and nothing is written.
///
/// # Errors
/// What keeps the plan from being made.
pub(crate) async fn existing(project: &Project, options: &ShipOptions, events: &Events) -> Result<Looked, Error> {
    let planned = planned(project, options, events, Purpose::Look).await?;
    let missing = planned.services.iter().filter(|service| service.image.is_none());
    let missing = missing.map(|service| service.service.clone()).collect();
    let saved_ms = planned.saved_ms();
    let named = planned.services.iter().filter_map(|service| {
        let names = planned.naming[&service.service].unchanged();
        Some((service.service.clone(), shipped_image(service.image.as_ref()?, service, names)))
    });
    let images = named.collect();
    let mut repositories = planned.repositories;
    repositories.extend(planned.elsewhere);
    Ok(Looked { images, missing, repositories, saved_ms })
}

/// Loads what was shipped into the container engine, as `<repository>:<identity>` and `<repository>:latest`.
async fn load(project: &Project, repositories: &BTreeMap<String, Repository>, shipped: &mut Shipped, events: &Events) {
    for (service, image) in &shipped.images {
        let name = &project.services[service].repository;
        events.emit(Event::ActionProgress {
            service: service.clone(),
            phase: Phase::Push,
            message: format!("loading {name} into the container engine"),
            done: 0,
            total: 0,
        });
        let result = async {
            let engine = images::engine(&project.environment)?;
            let selector = Selector::Digest(image.digest.parse()?);
            let identity = image.reference.rsplit_once('@').map_or(image.reference.as_str(), |(name, _)| name);
            let mut extent = Extent::Whole;
            for tag in [identity.rsplit_once(':').map_or("latest", |(_, tag)| tag), "latest"] {
                extent = engine.load(&repositories[service], &selector, &format!("{name}:{tag}")).await?.extent;
            }
            Ok(extent)
        };
        match result.await {
            Ok(Extent::Whole) => {}
            Ok(extent) => events.warn(Some(service), format!("the container engine got {extent}")),
            Err(source) => {
                let error = Error::Load { service: service.clone(), source: Box::new(source) };
                tell(events, Some(service), &error);
                shipped.failures.push(error);
            }
        }
    }
}

/// `repository@digest` as an image of the run.
fn shipped_image(reference: &str, service: &PlannedService, names: Vec<Name>) -> ShippedImage {
    let (repository, digest) = reference.rsplit_once('@').unwrap_or((reference, ""));
    ShippedImage {
        reference: format!("{repository}:{}@{digest}", service.tag),
        digest: digest.to_owned(),
        action: service.action,
        names,
    }
}

/// The digest of `repository@digest`.
fn digest_in(reference: &str) -> Result<Digest, Error> {
    let digest = reference.rsplit_once('@').map_or("", |(_, digest)| digest);
    digest.parse().map_err(|source| Error::Store { action: format!("use {reference}"), source })
}
