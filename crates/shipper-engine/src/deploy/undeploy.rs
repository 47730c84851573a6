//! `undeploy`: an environment is removed by its own command. Its pins go, its records stay, and its images are left to
//! retention.

use std::collections::BTreeMap;
use std::time::Duration;

use shipper_deploy::{Handover, Image, Kind, Ledger, Path, Pins, Record, Role, State, Step, StepOutcome};
use shipper_plan::Environment;
use shipper_report::{DeployResult, Event, PlannedStep};

use super::execute::{self, Standing};
use super::{Begun, Change, Deployed, Places, ROUNDS, WhileHeld, Work, admitted, changing, ended, sources, store_of};
use crate::facts::facts_for_names;
use crate::run::Stop;
use crate::{Error, Events, Project};

/// What to remove.
#[derive(Debug, Clone, Default)]
pub struct UndeployOptions {
    /// The environment.
    pub environment: String,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// What is done where another deployment is not done.
    pub lock: WhileHeld,
}

/// The name of the command that removes an environment, in records, events and errors.
const REMOVE: &str = "remove";

/// Removes an environment until `stop` is ready.
///
/// # Errors
/// [`Error::NoRemove`]; as [`deploy_until`](super::deploy_until).
pub async fn undeploy_until(
    project: &Project,
    options: &UndeployOptions,
    events: &Events,
    stop: impl Future<Output = ()> + Send,
) -> Result<Deployed, Error> {
    changing(project, Change::Undeploy(options), events, Box::pin(stop)).await
}

pub(super) async fn undeploy(
    project: &Project,
    options: &UndeployOptions,
    events: &Events,
    mut stop: Stop<'_>,
) -> Result<Deployed, Error> {
    let environment = project.config.environment(&options.environment)?;
    let (run, _) = facts_for_names(project, &crate::FactsOverrides::default())?;
    admitted(&run, &environment.name, environment.admits_untrusted)?;
    if environment.remove.is_empty() {
        return Err(Error::NoRemove { environment: environment.name });
    }
    let store = store_of(project, &environment, &run).await?;
    let ledger = Ledger::new(&store);
    for _ in 0..ROUNDS {
        let lock = if options.dry_run { WhileHeld::TakeOver } else { options.lock };
        let standing = execute::standing(&ledger, &environment.name, lock, events, stop.as_mut()).await?;
        let Some(standing) = standing else { return Ok(ended(DeployResult::Interrupted, None, BTreeMap::new())) };
        let there = standing.base.as_ref().filter(|base| base.kind != Kind::Undeploy || base.state != State::Observed);
        let Some(base) = there else {
            return Ok(ended(DeployResult::Absent, standing.base.as_ref(), BTreeMap::new()));
        };
        let why = format!("{} is the last deployment", base.id);
        events.emit(Event::DeployPlanned {
            environment: environment.name.clone(),
            images: BTreeMap::new(),
            steps: vec![PlannedStep::new(REMOVE, true, why)],
        });
        if options.dry_run {
            return Ok(ended(DeployResult::Planned, Some(base), BTreeMap::new()));
        }
        let images = standing.running.as_ref().unwrap_or(base).images.clone();
        let places = sources::places(project, &store, &images);
        let work = Work::new(project, &ledger, events);
        if let Some(record) = work.remove(&environment, &standing, &images, &places, stop.as_mut()).await? {
            return Ok(ended(DeployResult::Removed, Some(&record), BTreeMap::new()));
        }
    }
    Err(Error::Contended { environment: environment.name })
}

impl Work<'_> {
    /// Removes the environment; `None` where another deployment was faster, and nothing was changed.
    async fn remove(
        &self,
        environment: &Environment,
        standing: &Standing,
        images: &BTreeMap<String, Image>,
        places: &Places,
        stop: Stop<'_>,
    ) -> Result<Option<Record>, Error> {
        let step = step(environment);
        let handover = self.handover(&environment.name, images)?;
        // Whatever the command lacks is known before anything is changed.
        self.hook(&step, &step.run, &handover)?;
        let begun = Begun {
            environment: &environment.name,
            kind: Kind::Undeploy,
            path: Path::Fast,
            restores: None,
            images: BTreeMap::new(),
            steps: vec![step],
            before_steps: Duration::ZERO,
        };
        let intent = self.intent(begun, standing);
        self.ledger.append(&intent).await?;
        let Some(mut record) = self.alone(intent, standing).await? else { return Ok(None) };
        self.started(&record);
        match self.take_away(&mut record, &handover, places, stop).await {
            Ok(()) => Ok(Some(record)),
            Err(error) => Err(self.failed(record, error).await),
        }
    }

    async fn take_away(
        &self,
        record: &mut Record,
        handover: &Handover,
        places: &Places,
        stop: Stop<'_>,
    ) -> Result<(), Error> {
        self.step(record, 0, places, handover, stop).await?;
        self.reach(record, State::Applied).await?;
        let mut left = Vec::new();
        for repository in places.values() {
            if !Pins::new(repository, record.id.environment()).clear().await? {
                left.push(repository.to_string());
            }
        }
        if !left.is_empty() {
            let environment = record.id.environment();
            let text = format!("tags can not be deleted in {}: the pins of {environment} stay", left.join(", "));
            self.events.warn(None, text);
        }
        record.observed.clear();
        self.reach(record, State::Observed).await
    }
}

/// The command as a step of a record.
fn step(environment: &Environment) -> Step {
    Step {
        name: REMOVE.to_owned(),
        role: Role::After,
        run: environment.remove.clone(),
        target: None,
        env: BTreeMap::new(),
        pass_env: environment.pass_env.clone(),
        check: Vec::new(),
        services: Vec::new(),
        inputs: Vec::new(),
        timeout_ms: shipper_report::milliseconds(environment.timeout),
        fingerprint: String::new(),
        outcome: StepOutcome::Pending,
        duration_ms: 0,
        problem: None,
        success: None,
    }
}
