//! `shipper deploy`.

use std::io::Write as _;
use std::sync::Arc;

use shipper_engine::{
    DeployOptions, DeployResult, EventSink, Events, ExitCode, ImageSource, Options, Overrides, Project,
};

use crate::cli::{DeployArgs, Global};
use crate::commands::ship::interrupted;
use crate::commands::tags::overrides;
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::{JsonLines, ShipView, Terminal};

pub(crate) fn run(global: &Global, args: &DeployArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let opened = Options {
        overrides: Overrides { registry: args.registry.clone(), concurrency: args.concurrency },
        ..options(global)
    };
    let project = Project::open(&opened)?;
    let source = match &args.tag {
        Some(tag) => ImageSource::Tag(tag.clone()),
        None if !args.image.is_empty() => ImageSource::Images(args.image.iter().cloned().collect()),
        None if args.no_build => ImageSource::Existing,
        None => ImageSource::Ship,
    };
    let options = DeployOptions {
        environment: args.environment.clone(),
        services: args.services.clone(),
        path: args.path.into(),
        source,
        locked: args.locked,
        force: args.force,
        dry_run: args.dry_run,
        wait_lock: args.lock.wait_lock,
        take_over: args.lock.take_over,
        facts: overrides(&args.run),
    };
    let view = Arc::new(ShipView::new(terminal).of_deployment(args.dry_run));
    let sink: Arc<dyn EventSink> =
        if global.json { Arc::new(JsonLines::new(terminal)) } else { Arc::clone(&view) as Arc<dyn EventSink> };
    let events = Events::new(sink);
    let deployed = block_on(async {
        tokio::select! {
            deployed = shipper_engine::deploy_until(&project, &options, &events, interrupted()) => deployed,
            () = view.heartbeat() => unreachable!("the heartbeat goes on for ever"),
        }
    })?;
    view.close();
    match deployed {
        Ok(deployed) => {
            if let (DeployResult::Deployed, Some(record), false) = (deployed.result, &deployed.record, global.json) {
                writeln!(terminal.stdout(), "{record}")?;
            }
            Ok(deployed.exit_code())
        }
        // The view has shown it.
        Err(error) => Err(Failure::told(error.exit_code())),
    }
}
