//! The gate for vulnerabilities: what `scan` of an environment says about an image that is new to it.
//!
//! Invariants: nothing was written down or changed yet; an image whose vulnerabilities are not known does not pass; images that
//! run already, and those that a rollback brings back, are not asked about.

use std::collections::BTreeMap;

use shipper_build::Environment as Variables;
use shipper_deploy::{Hook, Image, Record};
use shipper_plan::{Environment, Scan, Severity};
use shipper_report::{Event, Outcome};

use super::execute::{StepLog, visible};
use super::{Places, Work};
use crate::Error;

/// The name of the gate in events and errors.
pub(super) const SCAN: &str = "scan";

/// What ECR is asked about an image.
#[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "with AWS it is looked at"))]
pub(super) struct Asked<'a> {
    pub(super) severity: Severity,
    /// The registry as it is configured; the image's own name may have a host that stands in for it.
    pub(super) registry: &'a str,
    pub(super) service: &'a str,
    pub(super) image: &'a Image,
    pub(super) places: &'a Places,
}

impl Work<'_> {
    /// Asks about the images that are new.
    ///
    /// # Errors
    /// [`Error::Gate`] for one that may not be deployed; [`Error::GateUnknown`] where nobody knows.
    pub(super) async fn gate(
        &self,
        environment: &Environment,
        registry: &str,
        running: Option<&Record>,
        images: &BTreeMap<String, Image>,
        places: &Places,
    ) -> Result<(), Error> {
        let Some(scan) = &environment.scan else { return Ok(()) };
        let runs =
            |service: &String| running.and_then(|running| running.images.get(service)).map(|image| &image.digest);
        let new: Vec<_> = images.iter().filter(|(service, image)| runs(service) != Some(&image.digest)).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.events.emit(Event::StepStarted { step: SCAN.to_owned() });
        let began = self.events.elapsed_ms();
        let mut result = Ok(());
        for (service, image) in new {
            result = match scan {
                Scan::Findings(severity) => {
                    let of = Asked { severity: *severity, registry, service, image, places };
                    self.findings(of, environment).await
                }
                Scan::Command(argv) => self.scanner(environment, argv, service, image).await,
            };
            if result.is_err() {
                break;
            }
        }
        let outcome = if result.is_ok() { Outcome::Ok } else { Outcome::Failed };
        let duration_ms = self.events.elapsed_ms().saturating_sub(began);
        self.events.emit(Event::StepFinished { step: SCAN.to_owned(), outcome, duration_ms });
        result
    }

    /// A command whose exit code decides.
    async fn scanner(
        &self,
        environment: &Environment,
        argv: &[String],
        service: &str,
        image: &Image,
    ) -> Result<(), Error> {
        let mut seen: Variables = visible(&self.variables, &environment.pass_env);
        seen.set("SHIPPER_ENV", &environment.name);
        seen.set("SHIPPER_SERVICE", service);
        seen.set("SHIPPER_IMAGE", &image.reference);
        seen.set("SHIPPER_DIGEST", &image.digest);
        let program = argv.first().map_or(SCAN, String::as_str);
        let argv = argv.iter().map(|word| word.replace("{image}", &image.reference)).collect();
        let hook = Hook { argv, directory: self.directory.clone(), environment: seen, timeout: environment.timeout };
        let log = StepLog::new(self.events, SCAN);
        hook.run(&log).await.map_err(|failure| match failure.code {
            Some(_) => Error::Gate {
                image: image.reference.clone(),
                problem: format!("`{program}` {}", failure.problem),
                tail: failure.tail,
            },
            None => Error::GateUnknown {
                image: image.reference.clone(),
                problem: format!("`{program}` {}", failure.problem),
                tail: failure.tail,
            },
        })
    }
}
