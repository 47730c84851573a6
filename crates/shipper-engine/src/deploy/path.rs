//! Which way applies: whether the environment is there, by proof; and its `bootstrap` where it is proven not to be.
//!
//! Invariants: `bootstrap` runs only with the reason for which the environment is not there; where the environment's registry
//! can hold records before it, it runs under an intent as every deployment does, and each of its ends is written down.

use std::collections::BTreeMap;

use shipper_build::Environment as Variables;
use shipper_deploy::{Handover, Hook, Kind, Ledger, Listing, Path, Record, State};
use shipper_plan::Environment;
use shipper_report::{Event, Outcome, PlannedStep};
use shipper_tag::Facts;

use super::execute::{Standing, StepLog, standing, visible};
use super::ready::{Answer, ask};
use super::{Begun, DeployOptions, DeployPath, ROUNDS, WhileHeld, Work, hands, store_of};
use crate::run::Stop;
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

/// An environment on the way to be deployed to.
pub(super) struct Way<'a> {
    pub(super) project: &'a Project,
    pub(super) environment: &'a Environment,
    pub(super) options: &'a DeployOptions,
    pub(super) run: &'a Facts,
    pub(super) events: &'a Events,
}

impl Way<'_> {
    /// Finds the way, and sets the environment up where it is proven not to be there.
    ///
    /// # Errors
    /// [`Error::NoBootstrap`], [`Error::NoVerdict`]; [`Error::Step`] and [`Error::StillNotReady`] where setting it up failed;
    /// [`shipper_deploy::Error::Held`] where another deployment is not done.
    pub(super) async fn approach(&self, mut stop: Stop<'_>) -> Result<Approach, Error> {
        match self.options.path {
            DeployPath::Inline => return Ok(Approach::Ready(Path::Inline)),
            DeployPath::Fast => return Ok(Approach::Ready(Path::Fast)),
            DeployPath::Bootstrap | DeployPath::Auto => {}
        }
        for _ in 0..ROUNDS {
            let Some(reason) = self.missing().await? else { return Ok(Approach::Ready(Path::Fast)) };
            if self.environment.bootstrap.is_empty() {
                return Err(Error::NoBootstrap { environment: self.environment.name.clone(), reason });
            }
            if self.options.dry_run {
                self.tell(reason);
                return Ok(Approach::WouldBootstrap);
            }
            let Some(ledger) = self.ledger().await? else { return self.unlocked(&reason, stop).await };
            let name = &self.environment.name;
            let standing = standing(&ledger, name, self.options.lock, self.events, stop.as_mut()).await?;
            let Some(standing) = standing else { return Ok(Approach::Interrupted) };
            // It may have been set up while this one waited.
            if self.missing().await?.is_none() {
                continue;
            }
            let work = Work::new(self.project, &ledger, self.events);
            let intent = work.intent(self.begun(&standing), &standing);
            match ledger.append(&intent).await {
                Ok(()) => {}
                // A registry that has no place for records yet has never had one. Where there are some it is an error.
                Err(error) if standing.listing == Listing::default() => {
                    return self.unlocked(&Error::from(error).chain().join(": "), stop).await;
                }
                Err(error) => return Err(error.into()),
            }
            if let Some(record) = work.alone(intent, &standing).await? {
                return self.locked(&work, record, stop).await;
            }
        }
        Err(Error::Contended { environment: self.environment.name.clone() })
    }

    /// Why the environment has to be set up; `None` where it is there.
    async fn missing(&self) -> Result<Option<String>, Error> {
        if self.options.path == DeployPath::Bootstrap {
            return Ok(Some("`--path bootstrap` asks for it".to_owned()));
        }
        Ok(match ask(self.project, self.environment).await? {
            Answer::Ready => None,
            Answer::NotReady(reason) => Some(reason),
        })
    }

    /// The records, where their registry is there before the environment is.
    async fn ledger(&self) -> Result<Option<Ledger>, Error> {
        match store_of(self.project, self.environment, self.run).await {
            Ok(store) => Ok(Some(Ledger::new(&store))),
            Err(Error::NotReady { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is about to be done. It has no steps: whatever ran before is not known to run in an environment that was set up.
    fn begun(&self, standing: &Standing) -> Begun<'_> {
        Begun {
            environment: &self.environment.name,
            kind: Kind::Bootstrap,
            path: Path::Bootstrap,
            restores: None,
            images: standing.running.as_ref().map(|running| running.images.clone()).unwrap_or_default(),
            steps: Vec::new(),
            before_steps: self.environment.timeout,
        }
    }

    /// Sets it up under an intent that is in the registry.
    async fn locked(&self, work: &Work<'_>, mut record: Record, stop: Stop<'_>) -> Result<Approach, Error> {
        work.started(&record);
        let result = match self.set_up(work.commit.as_deref(), stop).await {
            Ok(true) => work.reach(&mut record, State::Observed).await,
            Ok(false) => Err(Error::Interrupted { step: BOOTSTRAP.to_owned(), record: record.id.to_string() }),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => Ok(Approach::Ready(Path::Bootstrap)),
            Err(error) => Err(work.failed(record, error).await),
        }
    }

    /// Sets it up without one, because there is no place for it yet. If it fails and there is one then, that is written down.
    async fn unlocked(&self, why: &str, stop: Stop<'_>) -> Result<Approach, Error> {
        self.events.warn(None, format!("nothing keeps another deployment away while `{BOOTSTRAP}` runs: {why}"));
        let commit = crate::git::head(&self.project.root).commit;
        match self.set_up(commit.as_deref(), stop).await {
            Ok(true) => Ok(Approach::Ready(Path::Bootstrap)),
            Ok(false) => Ok(Approach::Interrupted),
            Err(error) => Err(self.written_down(error).await),
        }
    }

    /// Writes a failure down that had no intent.
    async fn written_down(&self, error: Error) -> Error {
        let write = async {
            let Some(ledger) = self.ledger().await? else { return Ok(None) };
            // What is there is read and nothing is waited for.
            let (name, lock) = (&self.environment.name, WhileHeld::TakeOver);
            let standing = standing(&ledger, name, lock, self.events, std::pin::pin!(std::future::pending())).await?;
            let Some(standing) = standing else { return Ok(None) };
            let work = Work::new(self.project, &ledger, self.events);
            let mut record = work.intent(self.begun(&standing), &standing);
            record.failure = error.chain();
            record.state = State::Failed;
            ledger.append(&record).await?;
            Ok::<_, Error>(Some(record.id.to_string()))
        };
        match write.await {
            Ok(Some(record)) => error.with_record(record),
            Ok(None) => error,
            Err(unwritten) => {
                self.events.warn(None, unwritten.chain().join(": "));
                error
            }
        }
    }

    /// Runs the command and asks again; `false` where the run was asked to stop.
    async fn set_up(&self, commit: Option<&str>, stop: Stop<'_>) -> Result<bool, Error> {
        let environment = self.environment;
        let failed = |source| Error::Write { path: std::env::temp_dir(), source };
        let handover = Handover::new(&environment.name, BTreeMap::new(), commit).map_err(failed)?;
        let variables: Variables = self.project.environment.iter().collect();
        let mut argv = Vec::with_capacity(environment.bootstrap.len());
        for word in &environment.bootstrap {
            argv.push(handover.expand(word)?);
        }
        let mut seen = visible(&variables, &environment.pass_env);
        handover.variables().iter().for_each(|(name, value)| seen.set(name, value));
        let hook = Hook { argv, directory: self.project.root.clone(), environment: seen, timeout: environment.timeout };
        self.events.emit(Event::StepStarted { step: BOOTSTRAP.to_owned() });
        let began = self.events.elapsed_ms();
        let log = StepLog::new(self.events, BOOTSTRAP);
        let result = tokio::select! {
            result = hook.run(&log) => Some(result),
            () = stop => None,
        };
        let outcome = if matches!(result, Some(Ok(()))) { Outcome::Ok } else { Outcome::Failed };
        let duration_ms = self.events.elapsed_ms().saturating_sub(began);
        self.events.emit(Event::StepFinished { step: BOOTSTRAP.to_owned(), outcome, duration_ms });
        match result {
            None => return Ok(false),
            Some(Ok(())) => {}
            Some(Err(failure)) => {
                return Err(Error::Step {
                    step: BOOTSTRAP.to_owned(),
                    problem: failure.problem,
                    tail: failure.tail,
                    record: None,
                });
            }
        }
        match ask(self.project, environment).await? {
            Answer::Ready => Ok(true),
            Answer::NotReady(reason) => {
                Err(Error::StillNotReady { environment: environment.name.clone(), reason, record: None })
            }
        }
    }

    /// What a dry run would do first, and why. Images and what is due are found out when that is done.
    fn tell(&self, reason: String) {
        let first = PlannedStep::new(BOOTSTRAP, true, reason);
        let rest =
            hands(self.environment).map(|hand| PlannedStep::new(&hand.name, true, format!("after `{BOOTSTRAP}`")));
        self.events.emit(Event::DeployPlanned {
            environment: self.environment.name.clone(),
            images: BTreeMap::new(),
            steps: std::iter::once(first).chain(rest).collect(),
        });
    }
}
