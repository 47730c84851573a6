//! Running a plan: the due services in parallel under a cap, each as soon as what it is built on is there.
//!
//! Invariants: each result is persisted as soon as it exists; a service that fails stops only those that are built on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shipper_oci::Repository;
use shipper_report::{Action, Event, Outcome, PhaseTime, PlannedService};
use tokio::task::JoinSet;

use super::{Planned, ShipOptions, Shipped, digest_in, shipped_image};
use crate::phases::Phases;
use crate::publish::remember;
use crate::run::{Stop, tell};
use crate::sign::Signer;
use crate::{Error, Events, Project, registries, work};

impl Planned {
    /// Whether a trusted run is to build something that is pushed.
    fn pushes(&self, options: &ShipOptions) -> bool {
        let builds = self.services.iter().any(|service| service.action == Action::Build);
        builds && !options.no_push && self.naming.values().all(|naming| !registries::is_untrusted(&naming.facts))
    }
}

/// Runs the due services until `stop`.
///
/// # Errors
/// Where the key that images are signed with can not be used; nothing was built then. What fails afterwards is in
/// [`Shipped::failures`].
pub(super) async fn run(
    project: &Project,
    options: &ShipOptions,
    planned: &Planned,
    events: &Events,
    mut stop: Stop<'_>,
) -> Result<Shipped, Error> {
    // A key that is not there must not cost a build.
    let signer = if planned.pushes(options) { Signer::of(project)? } else { None };
    let mut shipped = Shipped { images: BTreeMap::new(), failures: Vec::new(), interrupted: false };
    let mut waiting: Vec<PlannedService> = Vec::new();
    for service in &planned.services {
        match (&service.image, service.action) {
            (Some(image), Action::Reuse) => {
                if !options.no_push {
                    remember_locally(planned, service, image, events).await;
                }
                let names = planned.naming[&service.service].unchanged();
                shipped.images.insert(service.service.clone(), shipped_image(image, service, names));
            }
            _ => waiting.push(service.clone()),
        }
    }
    let shared = Arc::new(project.clone());
    let builder = Arc::default();
    let mut places = planned.elsewhere.clone();
    let mut failed: BTreeSet<String> = BTreeSet::new();
    let mut running = JoinSet::new();
    loop {
        waiting.retain(|service| {
            let gathered = &planned.gathered[&service.service];
            let Some(need) = gathered.service.needs.values().find(|need| failed.contains(*need)) else { return true };
            let error = Error::Need { service: service.service.clone(), need: need.clone() };
            finished(events, service, Outcome::Skipped, None, Vec::new(), 0);
            failed.insert(service.service.clone());
            shipped.failures.push(error);
            false
        });
        let cap = usize::from(project.settings.concurrency.value);
        while running.len() < cap {
            let ready = waiting.iter().position(|service| {
                let needs = planned.gathered[&service.service].service.needs.values();
                needs.into_iter().all(|need| shipped.images.contains_key(need))
            });
            let Some(ready) = ready else { break };
            let service = waiting.remove(ready);
            let phases = Arc::new(Phases::new(events.clone()));
            let job = work::Job {
                phases: Arc::clone(&phases),
                project: Arc::clone(&shared),
                gathered: planned.gathered[&service.service].clone(),
                planned: service.clone(),
                repository: planned.repositories[&service.service].clone(),
                elsewhere: planned.elsewhere.get(&service.service).cloned(),
                needs: needed(planned, &shipped, &places, &service.service),
                branch: planned.head.branch.clone(),
                default_branch: planned.head.default_branch.clone(),
                trusted: planned.trusted.get(&service.service).cloned(),
                naming: planned.naming[&service.service].clone(),
                trust: planned.trust.clone(),
                signer: signer.clone(),
                force: options.force,
                push: !options.no_push,
                events: events.clone(),
                builder: Arc::clone(&builder),
            };
            running.spawn(async move {
                let began = job.events.elapsed_ms();
                let result = work::run(&job).await;
                (service, began, phases.finish(), result)
            });
        }
        let done = tokio::select! {
            done = running.join_next() => done,
            () = &mut stop => {
                // Dropping a job ends every process that it started.
                running.shutdown().await;
                shipped.interrupted = true;
                break;
            }
        };
        let Some(done) = done else { break };
        let (service, began, phases, result) = done.expect("a job does not panic and is not cancelled");
        let duration = events.elapsed_ms().saturating_sub(began);
        match result {
            Ok(done) => {
                finished(events, &service, Outcome::Ok, Some(&done), phases, duration);
                places.insert(service.service.clone(), done.repository);
                shipped.images.insert(service.service.clone(), shipped_image(&done.reference, &service, done.names));
            }
            Err(error) => {
                finished(events, &service, Outcome::Failed, None, phases, duration);
                tell(events, Some(&service.service), &error);
                failed.insert(service.service.clone());
                shipped.failures.push(error);
            }
        }
    }
    Ok(shipped)
}

/// Notes in a layout that an image which was there is what was shipped last. In a registry that would cost every run a
/// request for each service.
async fn remember_locally(planned: &Planned, service: &PlannedService, image: &str, events: &Events) {
    let repository = &planned.repositories[&service.service];
    let Ok(digest) = digest_in(image) else { return };
    if repository.store().is_remote() || planned.elsewhere.contains_key(&service.service) {
        return;
    }
    if let Err(error) = remember(repository, &digest, planned.head.branch.as_deref()).await {
        let text = format!("the next plan may name more than what changed: {error}");
        events.warn(Some(&service.service), text);
    }
}

/// Where the images are that a service is built on, by the name that it uses for them: where this run put them, else in
/// their repositories.
fn needed(
    planned: &Planned,
    shipped: &Shipped,
    places: &BTreeMap<String, Repository>,
    service: &str,
) -> BTreeMap<String, (Repository, String)> {
    let needs = &planned.gathered[service].service.needs;
    let located = needs.iter().filter_map(|(name, need)| {
        let image = shipped.images.get(need)?;
        let place = places.get(need).unwrap_or(&planned.repositories[need]).clone();
        Some((name.clone(), (place, image.digest.clone())))
    });
    located.collect()
}

fn finished(
    events: &Events,
    service: &PlannedService,
    outcome: Outcome,
    done: Option<&work::Done>,
    phases: Vec<PhaseTime>,
    duration_ms: u64,
) {
    events.emit(Event::ActionFinished {
        service: service.service.clone(),
        action: service.action,
        outcome,
        digest: done.map(|done| done.digest.clone()),
        size: done.map_or(0, |done| done.size),
        uploaded: done.map_or(0, |done| done.uploaded),
        names: done.map(|done| done.names.clone()).unwrap_or_default(),
        blobs: done.map(|done| done.blobs),
        phases,
        duration_ms,
    });
}
