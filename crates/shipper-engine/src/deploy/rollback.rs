//! `rollback`: what ran before, from the records alone. No checkout, no builder and no git is needed; the images are proven
//! to be whole before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use shipper_deploy::{Kind, Ledger, Path, Record, RecordId, Role, State, StepOutcome};
use shipper_report::{DeployResult, Event, PlannedStep};

use super::records::store_named;
use super::{
    Begun, Change, Deployed, Finish, ROUNDS, WhileHeld, Work, admitted, changing, due, ended, execute, has_failed,
    planned_images, reached, references,
};
use crate::facts::facts_for_names;
use crate::run::Stop;
use crate::trust::Trust;
use crate::{Error, Events, Project};

/// What to go back to.
#[derive(Debug, Clone, Default)]
pub struct RollbackOptions {
    /// The environment.
    pub environment: String,
    /// Name of the record whose images are brought back, or its last digits; where absent, the last one before the current
    /// that was observed with other images.
    pub to: Option<String>,
    /// Change targets that go on by themselves and do not wait until they run their images.
    pub no_wait: bool,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// What is done where another deployment is not done.
    pub lock: WhileHeld,
}

/// Goes back until `stop` is ready.
///
/// # Errors
/// [`Error::NothingBefore`]; as [`deploy_until`](super::deploy_until).
pub async fn rollback_until(
    project: &Project,
    options: &RollbackOptions,
    events: &Events,
    stop: impl Future<Output = ()> + Send,
) -> Result<Deployed, Error> {
    changing(project, Change::Rollback(options), events, Box::pin(stop)).await
}

pub(super) async fn rollback(
    project: &Project,
    options: &RollbackOptions,
    events: &Events,
    mut stop: Stop<'_>,
) -> Result<Deployed, Error> {
    let name = &options.environment;
    project.config.notify()?;
    let (run, _) = facts_for_names(project, &crate::FactsOverrides::default())?;
    let admits = project.config.has_environment(name) && project.config.environment(name)?.admits_untrusted;
    admitted(&run, name, admits)?;
    let trust = Trust::of(project)?.where_written(&run);
    let store = store_named(project, name, &run).await?;
    let ledger = Ledger::new(&store);
    for _ in 0..ROUNDS {
        let standing = execute::standing(&ledger, name, options.lock, events, stop.as_mut()).await?;
        let Some(standing) = standing else { return Ok(ended(DeployResult::Interrupted, None, BTreeMap::new())) };
        let nothing = || Error::NothingBefore { environment: name.clone(), records: ledger.to_string() };
        let base = standing.base.as_ref().ok_or_else(nothing)?;
        let target = match &options.to {
            Some(text) => named(&ledger, &standing, name, text).await?,
            None => before(&ledger, &standing, base).await?,
        };
        let target = target.ok_or_else(nothing)?;
        let mut places = super::Places::new();
        for (service, image) in &target.images {
            let failed = |source| Error::Store { action: format!("use {}", image.reference), source };
            let repository = store.repository(&image.repository.parse().map_err(failed)?);
            trust.require(&repository, &image.digest.parse().map_err(failed)?).await?;
            places.insert(service.clone(), repository);
        }
        let steps = target.steps.iter().map(|step| {
            let mut step = step.clone();
            // Policies and the like are of a checkout, which may not be there.
            let is_of_checkout = step.role == Role::After && !step.inputs.is_empty();
            step.outcome = if is_of_checkout { StepOutcome::Unchanged } else { StepOutcome::Pending };
            step.success = due::success(Some(base), &step.name);
            (step.duration_ms, step.problem) = (0, None);
            step
        });
        let mut steps: Vec<_> = steps
            .map(|step| {
                let due = step.outcome == StepOutcome::Pending;
                let why =
                    if due { format!("as in {}", target.id) } else { "its files are not of the record".to_owned() };
                let planned = PlannedStep::new(&step.name, due, why);
                (step, planned)
            })
            .collect();
        let (commit, wait) = (target.commit.clone(), !options.no_wait);
        let work = Work { commit, wait, ..Work::new(project, &ledger, events) };
        work.survey(&target.images, &places, &mut steps).await?;
        events.emit(Event::DeployPlanned {
            environment: name.clone(),
            images: planned_images(Some(base), &target.images, &BTreeSet::new()),
            steps: steps.iter().map(|(_, planned)| planned.clone()).collect(),
        });
        let steps: Vec<_> = steps.into_iter().map(|(step, _)| step).collect();
        let references = references(&target.images);
        if options.dry_run {
            return Ok(ended(DeployResult::Planned, Some(&target), references));
        }
        let is_there = base.id == target.id || base.restores.as_ref() == Some(&target.id);
        if is_there && base.state == State::Observed {
            return Ok(ended(DeployResult::Unchanged, Some(base), references));
        }
        let begun = Begun {
            environment: name,
            kind: Kind::Rollback,
            path: Path::Fast,
            restores: Some(target.id.clone()),
            images: target.images.clone(),
            steps,
            before_steps: std::time::Duration::ZERO,
        };
        if let Finish::Done(record) = work.run(begun, &standing, &places, stop.as_mut()).await? {
            let recovered = has_failed(Some(base)) && !record.released;
            let restored = ended(reached(&record, DeployResult::RolledBack), Some(&record), references);
            return Ok(Deployed { recovered, ..restored });
        }
    }
    Err(Error::Contended { environment: name.clone() })
}

/// The observed deployment that a name or its last digits mean.
async fn named(
    ledger: &Ledger,
    standing: &execute::Standing,
    environment: &str,
    text: &str,
) -> Result<Option<Record>, Error> {
    let mut found = standing.listing.of(environment).filter(|deployment| {
        let name = deployment.id.to_string();
        deployment.state == State::Observed && (name == text || text.len() >= 4 && name.ends_with(text))
    });
    let record = match (found.next(), found.next()) {
        (Some(one), None) => Some(ledger.read(&one).await?),
        _ => None,
    };
    let found = record.filter(|record| record.kind.deploys());
    let unknown = || Error::NoSuchRecord { environment: environment.to_owned(), name: text.to_owned() };
    found.map(Some).ok_or_else(unknown)
}

/// The last deployment before `base` that was observed with other images; of a rollback, before what it brought back.
async fn before(ledger: &Ledger, standing: &execute::Standing, base: &Record) -> Result<Option<Record>, Error> {
    let from: &RecordId = match base.state {
        State::Observed => base.restores.as_ref().unwrap_or(&base.id),
        _ => &base.id,
    };
    let older = standing.listing.of(base.id.environment());
    for deployment in older.filter(|one| one.state == State::Observed && one.id < *from) {
        let record = ledger.read(&deployment).await?;
        let is_other = base.state != State::Observed || record.digests() != base.digests();
        // Where an environment was set up or removed nothing was deployed.
        if is_other && !record.images.is_empty() && record.kind.deploys() {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
