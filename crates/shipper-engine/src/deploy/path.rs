//! Which way applies: whether the environment is there, by proof; and its `bootstrap` where it is proven not to be.

use std::pin::Pin;

use shipper_build::Environment as Variables;
use shipper_deploy::{Handover, Hook, Path};
use shipper_plan::Environment;
use shipper_report::{Event, Outcome};

use super::execute::{StepLog, visible};
use super::ready::{Answer, ask};
use super::{DeployOptions, DeployPath};
use crate::{Error, Events, Project};

/// What was found out.
pub(crate) enum Approach {
    /// Images can be pushed and deployed.
    Ready(Path),
    /// A dry run would have to set the environment up.
    WouldBootstrap,
    /// The run was asked to stop.
    Interrupted,
}

/// The name of the command that sets an environment up, in events and errors.
const BOOTSTRAP: &str = "bootstrap";

pub(super) async fn approach(
    project: &Project,
    environment: &Environment,
    options: &DeployOptions,
    events: &Events,
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Approach, Error> {
    match options.path {
        DeployPath::Inline => return Ok(Approach::Ready(Path::Inline)),
        DeployPath::Fast => return Ok(Approach::Ready(Path::Fast)),
        DeployPath::Bootstrap => {}
        DeployPath::Auto => match ask(project, environment).await? {
            Answer::Ready => return Ok(Approach::Ready(Path::Fast)),
            Answer::NotReady(reason) if environment.bootstrap.is_empty() => {
                return Err(Error::NoBootstrap { environment: environment.name.clone(), reason });
            }
            Answer::NotReady(_) => {}
        },
    }
    if environment.bootstrap.is_empty() {
        let reason = "`--path bootstrap` asks for it".to_owned();
        return Err(Error::NoBootstrap { environment: environment.name.clone(), reason });
    }
    if options.dry_run {
        return Ok(Approach::WouldBootstrap);
    }
    if !bootstrap(project, environment, events, stop).await? {
        return Ok(Approach::Interrupted);
    }
    match ask(project, environment).await? {
        Answer::Ready => Ok(Approach::Ready(Path::Bootstrap)),
        Answer::NotReady(reason) => Err(Error::StillNotReady { environment: environment.name.clone(), reason }),
    }
}

/// Runs the command; `false` where the run was asked to stop.
async fn bootstrap(
    project: &Project,
    environment: &Environment,
    events: &Events,
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<bool, Error> {
    let failed = |source| Error::Write { path: std::env::temp_dir(), source };
    let handover = Handover::new(&environment.name, std::collections::BTreeMap::new(), None).map_err(failed)?;
    let variables: Variables = project.environment.iter().collect();
    let mut argv = Vec::with_capacity(environment.bootstrap.len());
    for word in &environment.bootstrap {
        argv.push(handover.expand(word)?);
    }
    let mut seen = visible(&variables, &environment.pass_env);
    handover.variables().iter().for_each(|(name, value)| seen.set(name, value));
    let hook = Hook { argv, directory: project.root.clone(), environment: seen, timeout: environment.timeout };
    events.emit(Event::StepStarted { step: BOOTSTRAP.to_owned() });
    let began = events.elapsed_ms();
    let log = StepLog::new(events, BOOTSTRAP);
    let result = tokio::select! {
        result = hook.run(&log) => Some(result),
        () = stop => None,
    };
    let outcome = if matches!(result, Some(Ok(()))) { Outcome::Ok } else { Outcome::Failed };
    let duration_ms = events.elapsed_ms().saturating_sub(began);
    events.emit(Event::StepFinished { step: BOOTSTRAP.to_owned(), outcome, duration_ms });
    match result {
        None => Ok(false),
        Some(Ok(())) => Ok(true),
        Some(Err(failure)) => {
            Err(Error::Step { step: BOOTSTRAP.to_owned(), problem: failure.problem, tail: failure.tail, record: None })
        }
    }
}
