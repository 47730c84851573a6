//! `shipper ship`.

use std::sync::Arc;

use shipper_engine::{EventSink, Events, ExitCode, Project, ShipOptions};

use crate::cli::{Global, ShipArgs};
use crate::commands::tags::overrides;
use crate::commands::{block_on, service_options};
use crate::failure::Failure;
use crate::github::with_github;
use crate::signals::interrupted;
use crate::terminal::{JsonLines, ShipView, Terminal};

pub(crate) fn run(global: &Global, args: &ShipArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&service_options(global, &args.services, args.concurrency))?;
    let options = ShipOptions {
        services: args.services.services.clone(),
        force: args.services.force,
        locked: args.services.locked,
        no_push: args.no_push,
        facts: overrides(&args.services.run),
        load: args.load,
        refresh: args.refresh.clone(),
    };
    let view = Arc::new(ShipView::new(terminal));
    let sink: Arc<dyn EventSink> =
        if global.json { Arc::new(JsonLines::new(terminal)) } else { Arc::clone(&view) as Arc<dyn EventSink> };
    let events = Events::new(with_github(sink, terminal));
    let shipped = block_on(async {
        tokio::select! {
            shipped = shipper_engine::ship_until(&project, &options, &events, interrupted()) => shipped,
            () = view.heartbeat() => unreachable!("the heartbeat goes on for ever"),
        }
    })?;
    match shipped {
        Ok(shipped) => {
            if shipped.interrupted {
                view.close();
                terminal.warning("interrupted; what was finished is kept, run again to go on");
            }
            Ok(shipped.exit_code())
        }
        // The view has shown it.
        Err(error) => Err(Failure::told(error.exit_code())),
    }
}
