//! The ten lines: ship what is due, deploy exact digests, show what the commands say.

use std::sync::Arc;

use shipper_engine::{DeployOptions, Deployed, Error, Event, Events, Options, Project, Record, blocking};

pub(crate) fn deploy(options: &Options, environment: &str) -> Result<Deployed, Error> {
    let project = Project::open(options)?;
    let options = DeployOptions { environment: environment.to_owned(), ..DeployOptions::default() };
    let events = Events::new(Arc::new(|record: &Record| {
        if let Event::StepOutput { step, line } = &record.event {
            eprintln!("{step} | {line}");
        }
    }));
    blocking::deploy(&project, &options, &events)
}
