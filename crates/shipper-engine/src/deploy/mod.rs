//! `deploy`: the environment is there or is set up by proof; what is due is shipped; targets get digests; what they run is
//! written down.
//!
//! Invariants: a failing ship or target never leads to `bootstrap`; nothing is changed before every image that is handed
//! over was proven to be whole, and before the intent is in the registry; success is said after the record was read back.

mod due;
mod execute;
#[cfg(feature = "aws")]
mod findings;
#[cfg(not(feature = "aws"))]
#[path = "findings_without_aws.rs"]
mod findings;
mod gate;
#[cfg(feature = "aws")]
mod native;
#[cfg(not(feature = "aws"))]
#[path = "native_without_aws.rs"]
mod native;
mod notify;
mod observe;
mod path;
mod ready;
mod records;
mod rollback;
mod sources;
mod undeploy;
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "targets that look into images are those of AWS"))]
mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use shipper_deploy::{Image, Kind, Ledger, Path, Record, State};
use shipper_oci::Repository;
use shipper_plan::Environment;
use shipper_report::{DeployResult, Event, ExitCode, PlannedImage};
use shipper_tag::Facts;

use crate::facts::{FactsOverrides, facts_for_names};
use crate::gather::selection;
use crate::run::{Ending, OwnedStop, Running, Stop, recorded};
use crate::{Error, Events, Project, registries};

#[cfg(feature = "aws")]
pub(crate) use execute::visible;
pub(crate) use execute::{Begun, Finish, Work};
pub(crate) use path::Approach;
pub use records::{EnvironmentStatus, Found, TargetStatus, history, status, where_is};
use rollback::rollback;
pub use rollback::{RollbackOptions, rollback_until};
pub(crate) use sources::{Located, observed, store_of};
use undeploy::undeploy;
pub use undeploy::{UndeployOptions, undeploy_until};

/// The way that a deployment takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeployPath {
    /// What is proven.
    #[default]
    Auto,
    /// The environment is there.
    Fast,
    /// The environment is set up first.
    Bootstrap,
    /// Targets get no images and build by themselves.
    Inline,
}

/// Which images are deployed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ImageSource {
    /// Those of the checkout; what is due is built.
    #[default]
    Ship,
    /// Those of the checkout, which must be there.
    Existing,
    /// Those with this tag.
    Tag(String),
    /// These, by service; those of other services stay.
    Images(BTreeMap<String, String>),
    /// Those that ran last in this environment.
    Environment(String),
}

/// What to deploy, where and how.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// The environment.
    pub environment: String,
    /// Services whose images are brought out; all where empty.
    pub services: Vec<String>,
    /// The way.
    pub path: DeployPath,
    /// The images.
    pub source: ImageSource,
    /// Refuse base images that `shipper.lock` does not have.
    pub locked: bool,
    /// Run every target, whatever the last record says.
    pub force: bool,
    /// Change targets that go on by themselves and do not wait until they run their images.
    pub no_wait: bool,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// What is done where another deployment is not done.
    pub lock: WhileHeld,
    /// What is known better about the run than the CI system tells.
    pub facts: FactsOverrides,
}

/// What is done where another deployment of the environment is not done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhileHeld {
    /// Stop.
    #[default]
    Stop,
    /// Wait for it.
    Wait,
    /// Take it for gone.
    TakeOver,
}

/// A deployment that did not fail.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// How it ended.
    pub result: DeployResult,
    /// Name of its record; where nothing was done, of the last one.
    pub record: Option<String>,
    /// `repository@digest` by service.
    pub images: BTreeMap<String, String>,
    /// Whether the deployment before it had failed.
    pub recovered: bool,
}

impl Deployed {
    /// What the process returns.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        if self.result == DeployResult::Interrupted { ExitCode::Interrupted } else { ExitCode::Done }
    }
}

/// Deploys until `stop` is ready: a command that runs then is ended, and the record says so.
///
/// # Errors
/// What keeps it from being begun; [`Error::Step`] for a command that failed; [`Error::Ship`] where an image could not be
/// built. The record says what was done.
pub async fn deploy_until(
    project: &Project,
    options: &DeployOptions,
    events: &Events,
    stop: impl Future<Output = ()> + Send,
) -> Result<Deployed, Error> {
    changing(project, Change::Deploy(options), events, Box::pin(stop)).await
}

/// What is done to an environment.
#[derive(Clone, Copy)]
enum Change<'a> {
    Deploy(&'a DeployOptions),
    Rollback(&'a RollbackOptions),
    Undeploy(&'a UndeployOptions),
}

/// Makes a change as a recorded run whose end is told as that of a deployment, to the webhook too where it is no dry run.
fn changing<'a>(
    project: &'a Project,
    change: Change<'a>,
    events: &'a Events,
    mut stop: OwnedStop<'a>,
) -> Running<'a, Deployed> {
    let (command, environment, dry_run) = match change {
        Change::Deploy(options) => ("deploy", &options.environment, options.dry_run),
        Change::Rollback(options) => ("rollback", &options.environment, options.dry_run),
        Change::Undeploy(options) => ("undeploy", &options.environment, options.dry_run),
    };
    Box::pin(recorded(project, command, events, async move |events| {
        let mut saved_ms = 0;
        let stop = stop.as_mut();
        let ended = match change {
            Change::Deploy(options) => deploy(project, options, &events, stop, &mut saved_ms).await,
            Change::Rollback(options) => rollback(project, options, &events, stop).await,
            Change::Undeploy(options) => undeploy(project, options, &events, stop).await,
        };
        if !dry_run {
            notify::notify(project, command, environment, &ended, &events).await;
        }
        let (code, result, record, images) = match &ended {
            Ok(deployed) => (deployed.exit_code(), deployed.result, deployed.record.clone(), deployed.images.clone()),
            Err(error) => (error.exit_code(), DeployResult::Failed, error.record().map(str::to_owned), BTreeMap::new()),
        };
        events.emit(Event::DeployFinished { environment: environment.clone(), result, record, images });
        (ended, Ending { code, images: BTreeMap::new(), saved_ms })
    }))
}

/// Refuses runs that nobody vouches for, where the environment does not admit them.
fn admitted(run: &Facts, environment: &str, admits_untrusted: bool) -> Result<(), Error> {
    if registries::is_untrusted(run) && !admits_untrusted {
        return Err(Error::Untrusted { environment: environment.to_owned() });
    }
    Ok(())
}

/// How often a deployment begins again because another one was faster.
const ROUNDS: usize = 20;

async fn deploy(
    project: &Project,
    options: &DeployOptions,
    events: &Events,
    mut stop: Stop<'_>,
    saved_ms: &mut u64,
) -> Result<Deployed, Error> {
    project.config.notify()?;
    let environment = project.config.environment(&options.environment)?;
    selection(project, &options.services)?;
    let (run, warnings) = facts_for_names(project, &options.facts)?;
    for warning in warnings {
        events.warn(None, warning);
    }
    admitted(&run, &environment.name, environment.admits_untrusted)?;
    let way = path::Way { project, environment: &environment, options, run: &run, events };
    let way = match way.approach(stop.as_mut()).await? {
        Approach::Ready(way) => way,
        Approach::WouldBootstrap => return Ok(ended(DeployResult::Planned, None, BTreeMap::new())),
        Approach::Interrupted => return Ok(ended(DeployResult::Interrupted, None, BTreeMap::new())),
    };
    let located = match way {
        Path::Inline => Located::default(),
        Path::Fast | Path::Bootstrap => {
            let found = sources::locate(project, options, events, stop.as_mut()).await?;
            let Some(found) = found else { return Ok(ended(DeployResult::Interrupted, None, BTreeMap::new())) };
            found
        }
    };
    *saved_ms = located.saved_ms;
    let store = store_of(project, &environment, &run).await?;
    let ledger = Ledger::new(&store);
    let own = sources::bring(&store, &located, options.dry_run, events).await?;
    let places = sources::places(project, &store, &own);
    let fingerprints = due::fingerprints(project, &environment, events)?;
    for _ in 0..ROUNDS {
        // Who changes nothing is in nobody's way.
        let lock = match options.lock {
            _ if options.dry_run => WhileHeld::TakeOver,
            // Who has set the environment up does not leave it to one that came in between.
            WhileHeld::Stop if way == Path::Bootstrap => WhileHeld::Wait,
            lock => lock,
        };
        let standing = execute::standing(&ledger, &environment.name, lock, events, stop.as_mut()).await?;
        let Some(standing) = standing else { return Ok(ended(DeployResult::Interrupted, None, BTreeMap::new())) };
        let work = Work { wait: !options.no_wait, ..Work::new(project, &ledger, events) };
        if let Some(mut open) = standing.base.clone().filter(|base| observe::is_open(base) && !options.dry_run) {
            let places = sources::places(project, &store, &open.images);
            if work.find_out(&mut open, &places).await? {
                continue;
            }
        }
        let base = standing.base.as_ref();
        let mut images = merged(standing.running.as_ref(), &own, way);
        images.retain(|service, _| !located.unbuilt.contains(service));
        let context = due::Context {
            environment: &environment,
            registry: environment.registry.as_ref().unwrap_or(&project.settings.registry.value),
            images: &images,
            unbuilt: &located.unbuilt,
            fingerprints: &fingerprints,
            base,
            forced: forced(options, way),
        };
        let mut steps = due::steps(&context)?;
        work.survey(&images, &places, &mut steps).await?;
        if forced(options, way).is_none() && base.is_some() {
            work.ask(&environment.name, &images, &mut steps).await?;
        }
        events.emit(Event::DeployPlanned {
            environment: environment.name.clone(),
            images: planned_images(base, &images, &located.unbuilt),
            steps: steps.iter().map(|(_, planned)| planned.clone()).collect(),
        });
        let references = references(&images);
        let is_due = steps.iter().any(|(_, planned)| planned.due);
        let is_settled = base.is_some_and(|base| base.state == State::Observed);
        if options.dry_run {
            return Ok(ended(DeployResult::Planned, base, references));
        }
        if !is_due && is_settled {
            return Ok(ended(DeployResult::Unchanged, base, references));
        }
        let registry = context.registry;
        work.gate(&environment, registry, standing.running.as_ref(), &images, &places).await?;
        let steps = steps.into_iter().map(|(step, _)| step).collect();
        let begun = Begun {
            environment: &environment.name,
            kind: Kind::Deploy,
            path: way,
            restores: None,
            images,
            steps,
            before_steps: std::time::Duration::ZERO,
        };
        match work.run(begun, &standing, &places, stop.as_mut()).await? {
            Finish::Done(record) => {
                let recovered = has_failed(base) && !record.released;
                let deployed = ended(reached(&record, DeployResult::Deployed), Some(&record), references);
                return Ok(Deployed { recovered, ..deployed });
            }
            // Another deployment was faster: what is due is found out anew.
            Finish::Contended => {}
        }
    }
    Err(Error::Contended { environment: environment.name })
}

/// Why everything is due, whatever the records say.
fn forced(options: &DeployOptions, way: Path) -> Option<&'static str> {
    match way {
        Path::Bootstrap => Some("the environment was set up"),
        Path::Inline => Some("forced"),
        Path::Fast => options.force.then_some("forced"),
    }
}

/// Whether the last deployment failed, so that one that does not is worth a word.
fn has_failed(base: Option<&Record>) -> bool {
    base.is_some_and(|base| base.state == State::Failed)
}

/// What a deployment that did not fail ended with: `done`, unless nobody waited for it.
fn reached(record: &Record, done: DeployResult) -> DeployResult {
    if record.released { DeployResult::Begun } else { done }
}

fn ended(result: DeployResult, record: Option<&Record>, images: BTreeMap<String, String>) -> Deployed {
    Deployed { result, record: record.map(|record| record.id.to_string()), images, recovered: false }
}

/// The images of the environment: those that are brought out, and of all other services those that ran last. What a
/// deployment that failed would have brought out is not brought out by one that does not name it.
fn merged(running: Option<&Record>, own: &BTreeMap<String, Image>, way: Path) -> BTreeMap<String, Image> {
    if way == Path::Inline {
        return BTreeMap::new();
    }
    let mut images = running.map(|running| running.images.clone()).unwrap_or_default();
    images.extend(own.clone());
    images
}

fn references(images: &BTreeMap<String, Image>) -> BTreeMap<String, String> {
    images.iter().map(|(service, image)| (service.clone(), image.reference.clone())).collect()
}

fn planned_images(
    base: Option<&Record>,
    images: &BTreeMap<String, Image>,
    unbuilt: &BTreeSet<String>,
) -> BTreeMap<String, PlannedImage> {
    let was = |service: &String| base.and_then(|base| base.images.get(service)).map(|image| image.digest.clone());
    let known = images.iter().map(|(service, image)| {
        let was = was(service).filter(|was| *was != image.digest);
        (service.clone(), PlannedImage { image: Some(image.reference.clone()), was })
    });
    let unknown = unbuilt.iter().map(|service| (service.clone(), PlannedImage { image: None, was: was(service) }));
    known.chain(unknown).collect()
}

/// Repositories by service.
pub(crate) type Places = BTreeMap<String, Repository>;

/// What is deployed from the checkout is deployed to an environment of the configuration.
pub(crate) fn hands(environment: &Environment) -> impl Iterator<Item = &shipper_plan::Hand> {
    environment.targets.iter().chain(&environment.after)
}
