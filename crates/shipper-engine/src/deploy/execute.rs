//! Carrying a deployment out: intent, pins, targets, observation, record.
//!
//! Invariants: the intent is in the registry before anything else is changed; of two deployments that begin at the same
//! time at least one sees the other and steps back; each state is written when it is reached, and a process that is killed
//! in between leaves what the next deployment needs to bring it to its end; one that was taken over runs no further step and
//! writes neither pins nor what it did.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use shipper_build::{BuildLog, CheckFailure, Environment as Variables};
use shipper_deploy::{
    Deployment, FORMAT, Given, Handover, Holder, Hook, Image, Kind, Ledger, Listing, Path, Pins, Record, RecordId,
    State, Step, StepOutcome, Success, prove,
};
use shipper_oci::Digest;
use shipper_report::{Event, Outcome, PlannedStep};
use tokio::task::JoinSet;

use super::wanted::Wanted;
use super::{Places, WhileHeld, native};
use crate::events::now;
use crate::run::Stop;
use crate::{Error, Events, Project};

/// Between two looks at another deployment, or at a target that does not run its image yet.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a target is watched after its command returned.
const WATCH: Duration = Duration::from_secs(10 * 60);
/// How long pins and records may take.
const SLACK: Duration = Duration::from_secs(10 * 60);

/// What the records say before anything is done.
pub(crate) struct Standing {
    /// Everything that was in the registry.
    pub(crate) listing: Listing,
    /// The last deployment's record.
    pub(crate) base: Option<Record>,
    /// The record of the last one that was observed.
    pub(crate) running: Option<Record>,
}

/// The wall clock in milliseconds since the Unix epoch.
pub(crate) fn clock() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// Reads what was done last; waits for a deployment that goes on where that is wished. `None` where the run was asked to
/// stop meanwhile.
///
/// # Errors
/// [`shipper_deploy::Error::Held`]; where the records could not be read.
pub(crate) async fn standing(
    ledger: &Ledger,
    environment: &str,
    lock: WhileHeld,
    events: &Events,
    mut stop: Stop<'_>,
) -> Result<Option<Standing>, Error> {
    let mut told = false;
    loop {
        let listing = ledger.list().await?;
        let newest = listing.of(environment).next();
        let Some(newest) = newest else { return Ok(Some(Standing { listing, base: None, running: None })) };
        let base = ledger.read(&newest).await?;
        let is_alive = !newest.state.is_final() && !base.released && base.holder.may_be_alive(clock());
        if !is_alive || lock == WhileHeld::TakeOver {
            let observed = listing.of(environment).find(|one| one.state == State::Observed);
            let running = match observed {
                Some(observed) if observed == newest => Some(base.clone()),
                Some(observed) => Some(ledger.read(&observed).await?),
                None => None,
            };
            return Ok(Some(Standing { listing, base: Some(base), running }));
        }
        if lock == WhileHeld::Stop {
            let held = shipper_deploy::Error::Held {
                environment: environment.to_owned(),
                left_s: base.holder.left_ms(clock()) / 1000,
                actor: base.actor.clone().unwrap_or_else(|| "somebody".to_owned()),
                id: Box::new(base.id),
            };
            return Err(held.into());
        }
        if !std::mem::replace(&mut told, true) {
            events.warn(None, format!("waiting for {}", base.id));
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE.mul_f64(0.5 + fastrand::f64())) => {}
            () = stop.as_mut() => return Ok(None),
        }
    }
}

/// What is to be done.
pub(crate) struct Begun<'a> {
    pub(crate) environment: &'a str,
    pub(crate) kind: Kind,
    pub(crate) path: Path,
    pub(crate) restores: Option<RecordId>,
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) steps: Vec<Step>,
    /// How long what comes before the steps may take.
    pub(crate) before_steps: Duration,
}

/// How it ended, if not with an error.
pub(crate) enum Finish {
    Done(Box<Record>),
    /// Another deployment was faster, and nothing was changed.
    Contended,
}

/// What a step has done when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// All.
    Done,
    /// It was begun and goes on by itself, because nobody waits.
    Begun,
}

/// With what it is done.
pub(crate) struct Work<'a> {
    pub(crate) ledger: &'a Ledger,
    /// Where commands run.
    pub(crate) directory: PathBuf,
    /// The caller's variables.
    pub(crate) variables: Variables,
    pub(crate) commit: Option<String>,
    /// Whether targets that go on by themselves are waited for.
    pub(crate) wait: bool,
    pub(crate) events: &'a Events,
}

impl<'a> Work<'a> {
    /// Work of the checkout.
    pub(crate) fn new(project: &Project, ledger: &'a Ledger, events: &'a Events) -> Self {
        Self {
            ledger,
            directory: project.root.clone(),
            variables: project.environment.iter().collect(),
            commit: crate::git::head(&project.root).commit,
            wait: true,
            events,
        }
    }

    /// Asks the targets that have a `check` and are not due whether they run their images.
    ///
    /// # Errors
    /// [`Error::CheckUnknown`] where one does not say yes or no.
    pub(crate) async fn ask(
        &self,
        environment: &str,
        images: &BTreeMap<String, Image>,
        steps: &mut [(Step, PlannedStep)],
    ) -> Result<(), Error> {
        let handover = self.handover(environment, images)?;
        for (step, planned) in steps.iter_mut().filter(|(step, planned)| !step.check.is_empty() && !planned.due) {
            match self.hook(step, &step.check, &handover)?.run(&shipper_build::NoLog).await {
                Ok(()) => {}
                Err(CheckFailure { code: Some(1), .. }) => {
                    step.outcome = StepOutcome::Pending;
                    planned.due = true;
                    "its check says that it runs something else".clone_into(&mut planned.why);
                }
                Err(failure) => {
                    return Err(Error::CheckUnknown {
                        step: step.name.clone(),
                        problem: failure.problem,
                        tail: failure.tail,
                    });
                }
            }
        }
        Ok(())
    }

    /// Asks the targets that are no commands what they run, whether or not they are due: one that runs something else is.
    ///
    /// # Errors
    /// [`Error::Target`], [`Error::NoPlatform`]; [`Error::Store`] where an image could not be read.
    pub(crate) async fn survey(
        &self,
        images: &BTreeMap<String, Image>,
        places: &Places,
        steps: &mut [(Step, PlannedStep)],
    ) -> Result<(), Error> {
        for (step, planned) in steps {
            let (Some(target), Some(service)) = (&step.target, step.services.first()) else { continue };
            let wanted = images.get(service).map(|image| Wanted::new(service, image, places));
            if wanted.is_none() && !planned.due {
                continue;
            }
            let Some(change) = native::look(step, target, wanted.as_ref()).await?.change else { continue };
            planned.changes.push(change);
            if !std::mem::replace(&mut planned.due, true) {
                step.outcome = StepOutcome::Pending;
                "it runs something else".clone_into(&mut planned.why);
            }
        }
        Ok(())
    }

    /// Carries it out.
    ///
    /// # Errors
    /// [`Error::Step`], [`Error::Interrupted`], and what keeps images, pins or records from being read or written.
    pub(crate) async fn run(
        &self,
        begun: Begun<'_>,
        standing: &Standing,
        places: &Places,
        stop: Stop<'_>,
    ) -> Result<Finish, Error> {
        let handover = self.handover(begun.environment, &begun.images)?;
        // Whatever a command lacks is known before anything is changed.
        for step in begun.steps.iter().filter(|step| step.outcome == StepOutcome::Pending && step.target.is_none()) {
            self.hook(step, &step.run, &handover)?;
            if !step.check.is_empty() {
                self.hook(step, &step.check, &handover)?;
            }
        }
        self.prove(&begun.images, places).await?;
        let intent = self.intent(begun, standing);
        self.ledger.append(&intent).await?;
        let Some(mut record) = self.alone(intent, standing).await? else { return Ok(Finish::Contended) };
        self.started(&record);
        match self.change(&mut record, places, &handover, stop).await {
            Ok(()) => Ok(Finish::Done(Box::new(record))),
            Err(error) => Err(self.failed(record, error).await),
        }
    }

    /// Tells that it begins.
    pub(super) fn started(&self, record: &Record) {
        self.events.emit(Event::DeployStarted {
            environment: record.id.environment().to_owned(),
            record: record.id.to_string(),
            previous: record.previous.as_ref().map(ToString::to_string),
        });
    }

    /// Writes down that it failed, and gives the error with the record's name.
    pub(super) async fn failed(&self, mut record: Record, error: Error) -> Error {
        let id = record.id.to_string();
        // Who took over has said so already, and what this one knows is not true any more.
        if matches!(&error, Error::Deploy(shipper_deploy::Error::TakenOver { .. })) {
            return error;
        }
        record.failure = error.chain();
        for step in record.steps.iter_mut().filter(|step| step.outcome == StepOutcome::Pending) {
            step.outcome = StepOutcome::Skipped;
        }
        // The error that led here is what the user has to know; the record says it where it can be written.
        if let Err(unwritten) = self.reach(&mut record, State::Failed).await {
            self.events.warn(None, unwritten.chain().join(": "));
        }
        error.with_record(id)
    }

    /// Every image is whole, before anything is changed.
    async fn prove(&self, images: &BTreeMap<String, Image>, places: &Places) -> Result<(), Error> {
        let mut proofs = JoinSet::new();
        for (service, image) in images {
            let Some(repository) = places.get(service).cloned() else { continue };
            let digest = digest(&image.digest)?;
            proofs.spawn(async move { prove(&repository, &digest).await });
        }
        while let Some(proof) = proofs.join_next().await {
            proof.expect("because a proof does not panic and is not cancelled")?;
        }
        Ok(())
    }

    /// What is about to be done. Nothing is written.
    pub(super) fn intent(&self, begun: Begun<'_>, standing: &Standing) -> Record {
        let at = clock();
        let lease = begun.steps.iter().filter(|step| step.outcome == StepOutcome::Pending).map(|step| {
            let watched = if step.check.is_empty() { Duration::ZERO } else { WATCH };
            Duration::from_millis(step.timeout_ms) + watched
        });
        let base = standing.base.as_ref();
        Record {
            format: FORMAT.to_owned(),
            id: RecordId::after(standing.listing.newest(begun.environment), begun.environment, at),
            state: State::Intent,
            previous: base.map(|base| base.id.clone()),
            kind: begun.kind,
            path: begun.path,
            began: now(),
            written: now(),
            actor: actor(&self.variables),
            commit: self.commit.clone(),
            branch: crate::git::head(&self.directory).branch,
            restores: begun.restores,
            released: false,
            holder: Holder::this(at, lease.sum::<Duration>() + begun.before_steps + SLACK),
            images: begun.images,
            steps: begun.steps,
            observed: base.map(|base| base.observed.clone()).unwrap_or_default(),
            failure: Vec::new(),
        }
    }

    /// Looks around after the intent was written; `None`, and the intent is withdrawn, where another deployment was begun or
    /// done since `standing`.
    pub(super) async fn alone(&self, mut record: Record, standing: &Standing) -> Result<Option<Record>, Error> {
        let environment = record.id.environment();
        let before: Vec<Deployment> = standing.listing.of(environment).collect();
        let seen: Vec<Deployment> =
            self.ledger.list().await?.of(environment).filter(|seen| seen.id != record.id).collect();
        if seen != before {
            // It saw this one, or it did not: whoever sees another steps back, so that at most one goes on.
            self.reach(&mut record, State::Withdrawn).await?;
            tokio::time::sleep(PAUSE.mul_f64(fastrand::f64())).await;
            return Ok(None);
        }
        if let Some(base) = standing.base.as_ref().filter(|base| !base.state.is_final()) {
            let mut gone = base.clone();
            let why = if gone.released { "nobody waited for it" } else { "it was interrupted" };
            gone.failure = vec![format!("cannot finish: {why}, and {} took over", record.id)];
            self.reach(&mut gone, State::Failed).await?;
        }
        Ok(Some(record))
    }

    /// Writes the next state. One that says what was done is not written by a deployment that another one took over.
    pub(super) async fn reach(&self, record: &mut Record, state: State) -> Result<(), Error> {
        if matches!(state, State::Applied | State::Observed) {
            self.ledger.held(&record.id).await?;
        }
        record.state = state;
        record.written = now();
        Ok(self.ledger.append(record).await?)
    }

    async fn change(
        &self,
        record: &mut Record,
        places: &Places,
        handover: &Handover,
        mut stop: Stop<'_>,
    ) -> Result<(), Error> {
        let environment = record.id.environment().to_owned();
        for (service, image) in &record.images {
            let is_new = record.observed.get(service).and_then(|digests| digests.first()) != Some(&image.digest);
            if let Some(repository) = places.get(service).filter(|_| is_new) {
                Pins::new(repository, &environment).incoming(&digest(&image.digest)?).await?;
            }
        }
        for place in 0..record.steps.len() {
            if record.steps[place].outcome == StepOutcome::Pending {
                self.ledger.held(&record.id).await?;
                let effect = self.step(record, place, places, handover, stop.as_mut()).await?;
                record.released |= effect == Effect::Begun;
            }
        }
        self.reach(record, State::Applied).await?;
        if record.released {
            return Ok(());
        }
        for place in 0..record.steps.len() {
            let step = &record.steps[place];
            if step.outcome == StepOutcome::Ok && !step.check.is_empty() {
                self.watch(record, place, handover, stop.as_mut()).await?;
            }
        }
        self.settle(record, places).await
    }

    /// Runs a step.
    pub(super) async fn step(
        &self,
        record: &mut Record,
        place: usize,
        places: &Places,
        handover: &Handover,
        stop: Stop<'_>,
    ) -> Result<Effect, Error> {
        let name = record.steps[place].name.clone();
        self.events.emit(Event::StepStarted { step: name.clone() });
        let began = self.events.elapsed_ms();
        let result = tokio::select! {
            result = self.effect(record, place, places, handover) => Some(result),
            () = stop => None,
        };
        let duration_ms = self.events.elapsed_ms().saturating_sub(began);
        let outcome = if matches!(result, Some(Ok(_))) { Outcome::Ok } else { Outcome::Failed };
        self.events.emit(Event::StepFinished { step: name.clone(), outcome, duration_ms });
        let digests = record.digests();
        let step = &mut record.steps[place];
        step.duration_ms = duration_ms;
        match result {
            Some(Ok(effect)) => {
                let own = digests.into_iter().filter(|(service, _)| step.services.contains(service)).collect();
                step.outcome = StepOutcome::Ok;
                step.success = Some(Success { fingerprint: step.fingerprint.clone(), images: own });
                Ok(effect)
            }
            Some(Err(error)) => {
                step.outcome = StepOutcome::Failed;
                step.problem = Some(match &error {
                    Error::Step { problem, .. } => problem.clone(),
                    other => other.chain().join(": "),
                });
                Err(error.with_record(record.id.to_string()))
            }
            None => {
                step.outcome = StepOutcome::Failed;
                step.problem = Some("was interrupted".to_owned());
                Err(Error::Interrupted { step: name, record: record.id.to_string() })
            }
        }
    }

    /// What a step does to the environment.
    async fn effect(
        &self,
        record: &Record,
        place: usize,
        places: &Places,
        handover: &Handover,
    ) -> Result<Effect, Error> {
        let step = &record.steps[place];
        let log = StepLog::new(self.events, &step.name);
        if let (Some(target), Some(service)) = (&step.target, step.services.first()) {
            let image = record.images.get(service);
            let missing = || Error::NoImageOf { service: service.clone(), step: step.name.clone() };
            let wanted = Wanted::new(service, image.ok_or_else(missing)?, places);
            return native::bring(step, target, &wanted, self.wait, &|line| log.line(line)).await;
        }
        let ran = self.hook(step, &step.run, handover)?.run(&log).await;
        ran.map(|()| Effect::Done).map_err(|failure| Error::Step {
            step: step.name.clone(),
            problem: failure.problem,
            tail: failure.tail,
            record: None,
        })
    }

    /// Asks a target until it runs what it was given.
    async fn watch(
        &self,
        record: &mut Record,
        place: usize,
        handover: &Handover,
        mut stop: Stop<'_>,
    ) -> Result<(), Error> {
        let step = &record.steps[place];
        let name = step.name.clone();
        let hook = self.hook(step, &step.check, handover)?;
        let deadline = tokio::time::Instant::now() + WATCH.min(Duration::from_millis(step.timeout_ms));
        let failure = loop {
            let asked = tokio::select! {
                asked = hook.run(&shipper_build::NoLog) => asked,
                () = stop.as_mut() => {
                    record.steps[place].outcome = StepOutcome::Failed;
                    return Err(Error::Interrupted { step: name, record: record.id.to_string() });
                }
            };
            match asked {
                Ok(()) => return Ok(()),
                Err(failure) if tokio::time::Instant::now() >= deadline => break failure,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        let step = &mut record.steps[place];
        step.outcome = StepOutcome::Failed;
        step.problem = Some(format!("its check {}", failure.problem));
        if failure.code == Some(1) {
            let (problem, record) = ("does not run its image".to_owned(), Some(record.id.to_string()));
            return Err(Error::Step { step: name, problem, tail: failure.tail, record });
        }
        Err(Error::CheckUnknown { step: name, problem: failure.problem, tail: failure.tail })
    }

    pub(super) fn handover(&self, environment: &str, images: &BTreeMap<String, Image>) -> Result<Handover, Error> {
        let given = images.iter().map(|(service, image)| {
            let given =
                Given { reference: image.reference.clone(), digest: image.digest.clone(), tag: image.tag.clone() };
            (service.clone(), given)
        });
        let failed = |source| Error::Write { path: std::env::temp_dir(), source };
        Handover::new(environment, given.collect(), self.commit.as_deref()).map_err(failed)
    }

    /// The command of a step with everything that it sees.
    pub(super) fn hook(&self, step: &Step, argv: &[String], handover: &Handover) -> Result<Hook, Error> {
        let mut environment = visible(&self.variables, &step.pass_env);
        handover.variables().iter().for_each(|(name, value)| environment.set(name, value));
        for (name, template) in &step.env {
            // A deployer that is to build by itself is told nothing of images.
            let of_image = handover.is_empty() && shipper_deploy::placeholders(template).next().is_some();
            if !of_image {
                environment.set(name, handover.expand(template)?);
            }
        }
        let argv = argv.iter().map(|word| handover.expand(word)).collect::<Result<Vec<_>, _>>()?;
        let timeout = Duration::from_millis(step.timeout_ms);
        Ok(Hook { argv, directory: self.directory.clone(), environment, timeout })
    }
}

/// What a command sees of the caller's variables: what any tool needs, and what it is passed by name.
pub(crate) fn visible(variables: &Variables, pass: &[String]) -> Variables {
    let passed = |name: &str| {
        pass.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        })
    };
    let mut seen = variables.for_commands();
    seen.extend(variables.pick(passed));
    seen
}

pub(super) fn digest(text: &str) -> Result<Digest, Error> {
    text.parse().map_err(|source| Error::Store { action: format!("use digest {text}"), source })
}

/// Who deploys, for people: the CI system's actor and run, else user and machine.
pub(super) fn actor(variables: &Variables) -> Option<String> {
    let get = |name: &str| variables.get(name).map(|value| value.to_string_lossy().into_owned());
    let known = |name: &str| get(name).filter(|value| !value.is_empty());
    if let (Some(repository), Some(run)) = (known("GITHUB_REPOSITORY"), known("GITHUB_RUN_ID")) {
        let actor = known("GITHUB_ACTOR").map_or_else(String::new, |actor| format!("{actor}, "));
        return Some(format!("{actor}GitHub run {run} of {repository}"));
    }
    if let Some(url) =
        known("CI_JOB_URL").or_else(|| known("BUILDKITE_BUILD_URL")).or_else(|| known("CIRCLE_BUILD_URL"))
    {
        return Some(url);
    }
    known("USER").or_else(|| known("LOGNAME")).or_else(|| known("USERNAME"))
}

/// Tells lines of a step.
pub(super) struct StepLog<'a> {
    events: &'a Events,
    step: &'a str,
}

impl<'a> StepLog<'a> {
    pub(super) fn new(events: &'a Events, step: &'a str) -> Self {
        Self { events, step }
    }
}

impl BuildLog for StepLog<'_> {
    fn line(&self, line: &str) {
        self.events.emit(Event::StepOutput { step: self.step.to_owned(), line: line.to_owned() });
    }
}
