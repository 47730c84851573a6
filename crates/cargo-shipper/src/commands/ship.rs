//! `shipper ship`.

use std::sync::Arc;

use shipper_engine::{Events, ExitCode, Project, ShipOptions};

use crate::cli::{Global, ShipArgs};
use crate::commands::tags::overrides;
use crate::commands::{block_on, service_options};
use crate::failure::Failure;
use crate::github::with_github;
use crate::signals::interrupted;
use crate::terminal::{ShipView, Terminal, sink};

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
    let (sink, written) = sink(global.json, terminal, &view);
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
            match shipped.exit_code() {
                ExitCode::Done => written().map(|()| ExitCode::Done).map_err(Failure::from),
                code => Ok(code),
            }
        }
        // The view has shown it.
        Err(error) => Err(Failure::told(error.exit_code())),
    }
}
