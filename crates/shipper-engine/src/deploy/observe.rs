//! The end of a deployment: what runs is pinned and written down. Also of one that was not waited for, by whoever looks next.

use shipper_deploy::{Pins, Record, State, StepOutcome};

use super::execute::digest;
use super::wanted::Wanted;
use super::{Places, Work, native};
use crate::Error;

/// What a target runs.
pub(super) struct Seen {
    /// Its image, as it names it.
    pub(super) image: String,
    /// What is between it and the image that it should run; `None` where it runs that, and nothing else.
    pub(super) change: Option<String>,
    /// Whether it is on its way to another state.
    pub(super) is_changing: bool,
}

impl Work<'_> {
    /// Writes down that the images of a deployment run: pins first, then the record.
    pub(super) async fn settle(&self, record: &mut Record, places: &Places) -> Result<(), Error> {
        record.observe();
        self.ledger.held(&record.id).await?;
        for (service, repository) in places {
            if let (Some(digests), true) = (record.observed.get(service), record.images.contains_key(service)) {
                let digests = digests.iter().map(|text| digest(text)).collect::<Result<Vec<_>, _>>()?;
                Pins::new(repository, record.id.environment()).settle(&digests).await?;
            }
        }
        self.reach(record, State::Observed).await
    }

    /// Finds out what became of a deployment that was not waited for, and writes that down; `false` where it still goes on.
    ///
    /// # Errors
    /// [`Error::Target`] where a target does not say; what keeps pins or records from being written.
    pub(super) async fn find_out(&self, record: &mut Record, places: &Places) -> Result<bool, Error> {
        let mut failed = None;
        for at in 0..record.steps.len() {
            let step = &record.steps[at];
            let (StepOutcome::Ok, Some(target), Some(service)) = (step.outcome, &step.target, step.services.first())
            else {
                continue;
            };
            let wanted = record.images.get(service).map(|image| Wanted::new(service, image, places));
            let seen = native::look(step, target, wanted.as_ref()).await?;
            match seen.change {
                None => {}
                Some(_) if seen.is_changing => return Ok(false),
                Some(change) => {
                    let problem = format!("it does not run its image: {change}");
                    failed.get_or_insert_with(|| format!("cannot deploy to `{}`: {problem}", step.name));
                    record.steps[at].outcome = StepOutcome::Failed;
                    record.steps[at].problem = Some(problem);
                }
            }
        }
        match failed {
            None => self.settle(record, places).await?,
            Some(failure) => {
                self.events.warn(None, format!("{}: {failure}", record.id));
                record.failure = vec![failure];
                self.reach(record, State::Failed).await?;
            }
        }
        Ok(true)
    }
}

/// Whether a deployment changed its targets and was then left alone, so that nobody has said yet what became of it.
pub(super) fn is_open(record: &Record) -> bool {
    record.released && record.state == State::Applied
}
