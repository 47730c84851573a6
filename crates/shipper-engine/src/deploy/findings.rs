//! What ECR's scanners say about an image, waited for and counted.

use std::collections::BTreeMap;
use std::time::Duration;

use shipper_aws::EcrRegistry;
use shipper_deploy::Image;
use shipper_ecr::{Ecr, Scan};
use shipper_oci::Reference;
use shipper_plan::{Environment, Severity};
use tokio::time::Instant;

use super::Work;
use super::execute::StepLog;
use super::gate::{Asked, SCAN};
use super::wanted::Wanted;
use crate::{Error, amazon};

/// The first pause between two looks; it grows to the longest.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

impl Work<'_> {
    pub(super) async fn findings(&self, asked: Asked<'_>, environment: &Environment) -> Result<(), Error> {
        let Asked { severity, registry, service, image, places } = asked;
        let reference = &image.reference;
        // A layout's is none.
        let named: Option<Reference> = reference.parse().ok();
        let of_image = named.as_ref().and_then(|named| named.registry.as_str().parse::<EcrRegistry>().ok());
        let configured = || registry.split('/').next()?.parse::<EcrRegistry>().ok();
        let (Some(named), Some(registry)) = (named, of_image.or_else(configured)) else {
            return Err(shipper_plan::Error::Invalid {
                key: format!("env.{}.scan", environment.name),
                problem: format!("ECR knows nothing of {reference}"),
                hint: Some(
                    "write a command: `scan = [\"trivy\", \"image\", \"--exit-code\", \"1\", \"{image}\"]`".to_owned(),
                ),
            }
            .into());
        };
        let session = amazon::session(Some(registry.region.clone()), environment.profile.clone()).await;
        let ecr = Ecr::new(&session, Some(registry.account));
        let log = StepLog::new(self.events, SCAN);
        let deadline = Instant::now() + environment.timeout;
        // ECR scans single images, so that an index has what its parts have.
        let parts = Wanted::new(service, image, places).parts().await?;
        if parts.is_empty() {
            let problem = "there is no image in it that could be scanned".to_owned();
            return Err(Error::GateUnknown { image: reference.clone(), problem, tail: Vec::new() });
        }
        for digest in parts {
            let counts = self.counts(&ecr, named.repository.as_str(), &digest, deadline, image).await?;
            let told = in_words(&counts, |_| true);
            let told = if told.is_empty() { "no findings".to_owned() } else { told };
            shipper_build::BuildLog::line(&log, &format!("{service}: {told} ({digest})"));
            let refused = in_words(&counts, |word| rank(word) >= Some(severity));
            if !refused.is_empty() {
                return Err(Error::Gate {
                    image: reference.clone(),
                    problem: format!("it has {refused}, and `scan` of `{}` is `{}`", environment.name, severity.word()),
                    tail: Vec::new(),
                });
            }
        }
        Ok(())
    }

    /// Findings by severity of one image, when it is scanned.
    async fn counts(
        &self,
        ecr: &Ecr,
        name: &str,
        digest: &str,
        deadline: Instant,
        image: &Image,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let failed =
            |source| Error::Aws { action: format!("tell which vulnerabilities {} has", image.reference), source };
        let (mut pause, mut is_asked) = (SHORTEST, false);
        let unknown =
            |problem: String| Error::GateUnknown { image: image.reference.clone(), problem, tail: Vec::new() };
        loop {
            match ecr.scan(name, digest).await.map_err(failed)? {
                Scan::Done(counts) => return Ok(counts),
                Scan::Unknown(problem) => return Err(unknown(problem)),
                Scan::Absent if !is_asked => {
                    ecr.start_scan(name, digest).await.map_err(failed)?;
                    is_asked = true;
                }
                Scan::Absent | Scan::Going => {}
            }
            if Instant::now() + pause >= deadline {
                return Err(unknown("its scan is not done in time".to_owned()));
            }
            tokio::time::sleep(pause).await;
            pause = pause.mul_f64(1.5).min(LONGEST);
        }
    }
}

/// How bad findings of a severity are, in ECR's words; `None` for those that nobody has judged, and for information.
fn rank(word: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.word().eq_ignore_ascii_case(word))
}

/// `2 critical, 1 high`: the worst first, those without a rank last.
fn in_words(counts: &BTreeMap<String, u64>, is_wanted: impl Fn(&str) -> bool) -> String {
    let mut counts: Vec<_> = counts.iter().filter(|(word, count)| **count > 0 && is_wanted(word)).collect();
    counts.sort_by_key(|(word, _)| std::cmp::Reverse(rank(word)));
    let texts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {}", word.to_lowercase())).collect();
    texts.join(", ")
}
