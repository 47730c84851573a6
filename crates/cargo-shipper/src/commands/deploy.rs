//! `shipper deploy`, `shipper rollback` and `shipper undeploy`.

use std::io::Write as _;
use std::sync::Arc;

use shipper_engine::{
    DeployOptions, DeployResult, Deployed, Error, Events, ExitCode, ImageSource, Project, RollbackOptions,
    UndeployOptions, WhileHeld,
};

use crate::cli::{DeployArgs, Global, Lock, OnEnvironment, PromoteArgs, RollbackArgs};
use crate::commands::tags::overrides;
use crate::commands::{block_on, options, options_at};
use crate::failure::Failure;
use crate::github::with_github;
use crate::signals::interrupted;
use crate::terminal::{ShipView, Terminal, sink};

pub(crate) fn run(global: &Global, args: &DeployArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.on.place, args.concurrency))?;
    let source = match &args.tag {
        Some(tag) => ImageSource::Tag(tag.clone()),
        None if !args.image.is_empty() => ImageSource::Images(args.image.iter().cloned().collect()),
        None if args.no_build => ImageSource::Existing,
        None => ImageSource::Ship,
    };
    let options = DeployOptions {
        environment: args.on.environment.clone(),
        services: args.services.clone(),
        path: args.path.into(),
        source,
        locked: args.locked,
        force: args.force,
        no_wait: args.wait.no_wait,
        dry_run: args.on.dry_run,
        lock: lock(args.on.lock),
        facts: overrides(&args.run),
    };
    shown(global, terminal, args.on.dry_run, async |events| {
        shipper_engine::deploy_until(&project, &options, &events, interrupted()).await
    })
}

/// `shipper rollback`.
pub(crate) fn rollback(global: &Global, args: &RollbackArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.on.place, None))?;
    let options = RollbackOptions {
        environment: args.on.environment.clone(),
        to: args.to.clone(),
        no_wait: args.wait.no_wait,
        dry_run: args.on.dry_run,
        lock: lock(args.on.lock),
    };
    shown(global, terminal, args.on.dry_run, async |events| {
        shipper_engine::rollback_until(&project, &options, &events, interrupted()).await
    })
}

/// `shipper promote ENV --to-env ENV`.
pub(crate) fn promote(
    global: &Global,
    args: &PromoteArgs,
    environment: &str,
    terminal: &Terminal,
) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    let options = DeployOptions {
        environment: environment.to_owned(),
        source: ImageSource::Environment(args.source.clone()),
        no_wait: args.wait.no_wait,
        dry_run: args.dry_run,
        lock: lock(args.lock),
        ..DeployOptions::default()
    };
    shown(global, terminal, args.dry_run, async |events| {
        shipper_engine::deploy_until(&project, &options, &events, interrupted()).await
    })
}

/// `shipper undeploy`.
pub(crate) fn undeploy(global: &Global, args: &OnEnvironment, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options_at(global, &args.place, None))?;
    let options =
        UndeployOptions { environment: args.environment.clone(), dry_run: args.dry_run, lock: lock(args.lock) };
    shown(global, terminal, args.dry_run, async |events| {
        shipper_engine::undeploy_until(&project, &options, &events, interrupted()).await
    })
}

/// What is done about another deployment.
fn lock(lock: Lock) -> WhileHeld {
    match lock {
        Lock { wait_lock: true, .. } => WhileHeld::Wait,
        Lock { take_over: true, .. } => WhileHeld::TakeOver,
        Lock { .. } => WhileHeld::Stop,
    }
}

/// Shows the events of `work`, and prints the name of its record.
fn shown(
    global: &Global,
    terminal: &Terminal,
    dry_run: bool,
    work: impl AsyncFnOnce(Events) -> Result<Deployed, Error>,
) -> Result<ExitCode, Failure> {
    let view = Arc::new(ShipView::new(terminal).of_deployment(dry_run));
    let (sink, written) = sink(global.json, terminal, &view);
    let events = Events::new(with_github(sink, terminal));
    let deployed = block_on(async {
        tokio::select! {
            deployed = work(events) => deployed,
            () = view.heartbeat() => unreachable!("the heartbeat goes on for ever"),
        }
    })?;
    view.close();
    match deployed {
        Ok(deployed) => {
            let is_new = matches!(
                deployed.result,
                DeployResult::Deployed | DeployResult::Begun | DeployResult::RolledBack | DeployResult::Removed
            );
            if let Some(record) = deployed.record.as_ref().filter(|_| is_new && !global.json) {
                writeln!(terminal.stdout(), "{record}")?;
            }
            match deployed.exit_code() {
                ExitCode::Done => written().map(|()| ExitCode::Done).map_err(Failure::from),
                code => Ok(code),
            }
        }
        // The view has shown it.
        Err(error) => Err(Failure::told(error.exit_code())),
    }
}
