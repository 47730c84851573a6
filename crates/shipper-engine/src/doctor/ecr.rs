//! Amazon ECR: whether repositories are there, and as the tag policy needs them.

use std::collections::BTreeSet;

use shipper_aws::EcrRegistry;
use shipper_ecr::{Ecr, RepositoryGoal};

use super::registry::Place;
use super::{Check, CheckVerdict};
use crate::{Error, Project, amazon, derive_lifecycle};

/// What ECR says of the repositories of a registry, where it is one of ECR.
pub(super) async fn checks(project: &Project, place: &Place) -> Vec<Check> {
    let (host, prefix) =
        place.text.split_once('/').map_or((place.text.as_str(), None), |(host, rest)| (host, Some(rest)));
    // A stack's repository is known by the store alone.
    let registry = host.parse::<EcrRegistry>().ok();
    let Some(registry) = registry.or_else(|| place.store.host()?.as_str().parse().ok()) else { return Vec::new() };
    let profile = project.config.profiles().ok().and_then(|mut profiles| profiles.remove(registry.host()));
    let session = amazon::session(Some(registry.region.clone()), profile).await;
    let ecr = Ecr::new(&session, Some(registry.account.clone()));
    let names: BTreeSet<String> = place
        .repositories
        .iter()
        .map(|name| prefix.map_or_else(|| name.to_string(), |prefix| format!("{prefix}/{name}")))
        .collect();
    let mut checks = Vec::new();
    for name in &names {
        checks.extend(Look { project, ecr: &ecr, registry: &registry, name }.checks().await);
    }
    if names.len() > 1 {
        checks.push(mounting(&ecr, &registry).await);
    }
    checks
}

/// One repository.
struct Look<'a> {
    project: &'a Project,
    ecr: &'a Ecr,
    registry: &'a EcrRegistry,
    name: &'a str,
}

impl Look<'_> {
    async fn checks(&self) -> Vec<Check> {
        match self.ecr.repository_settings(self.name).await {
            Ok(Some(state)) => {
                let mut checks = vec![self.check("repository", CheckVerdict::Fine, "it exists".to_owned())];
                checks.extend(self.mutability(&state));
                checks.push(self.lifecycle().await);
                checks
            }
            Ok(None) => vec![self.missing().await],
            Err(error) => vec![self.unknown("repository", error)],
        }
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.registry.host(), self.name)
    }

    fn check(&self, code: &'static str, verdict: CheckVerdict, message: String) -> Check {
        Check::new(self.subject(), code, verdict, message)
    }

    fn unknown(&self, code: &'static str, source: shipper_aws::Error) -> Check {
        Check::failed(self.subject(), code, &Error::Aws { action: format!("look at {}", self.subject()), source })
    }

    async fn missing(&self) -> Check {
        match self.ecr.creates_on_push(self.name).await {
            Ok(true) => {
                let message = "it does not exist; a creation template lets the first push create it";
                self.check("repository", CheckVerdict::Fine, message.to_owned())
            }
            Ok(false) => self
                .check("repository", CheckVerdict::Broken, "it does not exist, and no push creates it".to_owned())
                .cured_by("`shipper ecr ensure` creates it".to_owned()),
            Err(error) => self.unknown("repository", error),
        }
    }

    /// Whether the tags that the policy calls immutable are.
    fn mutability(&self, state: &shipper_ecr::RepositoryState) -> Option<Check> {
        let locks = match derive_lifecycle(self.project) {
            Ok((_, locks)) => locks,
            Err(error) => return Some(Check::failed(self.subject(), "mutability", &error)),
        };
        let goal = RepositoryGoal { locks: Some(locks.filters), ..RepositoryGoal::default() };
        let changes = goal.changes(self.name, Some(state)).ok()?;
        Some(match changes.first() {
            None => {
                let message = format!("tags are {} as the tag policy says", state.mutability);
                self.check("mutability", CheckVerdict::Fine, message)
            }
            Some(change) => {
                let message = format!("tags are {}; the tag policy says: {change}", state.mutability);
                let cure = "`shipper ecr ensure --lock-tags`, or the same in the stack that owns it".to_owned();
                self.check("mutability", CheckVerdict::Note, message).cured_by(cure)
            }
        })
    }

    async fn lifecycle(&self) -> Check {
        let check = |verdict, message: String| self.check("lifecycle", verdict, message);
        match self.ecr.lifecycle_state(self.name).await {
            Ok(None) => check(CheckVerdict::Note, "it has no lifecycle policy: nothing is ever deleted".to_owned())
                .cured_by(format!("`shipper ecr lifecycle apply --repository {}`", self.subject())),
            Ok(Some(state)) => match state.evaluated.and_then(|at| jiff::Timestamp::from_second(at).ok()) {
                Some(at) => check(CheckVerdict::Fine, format!("its lifecycle policy was last evaluated at {at}")),
                None => {
                    let message = "its lifecycle policy was never evaluated; ECR does so within 24 hours";
                    check(CheckVerdict::Note, message.to_owned())
                }
            },
            Err(error) => self.unknown("lifecycle", error),
        }
    }
}

/// Whether layers that repositories share are uploaded once.
async fn mounting(ecr: &Ecr, registry: &EcrRegistry) -> Check {
    let check = |verdict, message: &str| Check::new(registry.host(), "mounting", verdict, message);
    match ecr.is_blob_mounting_on().await {
        Ok(true) => check(CheckVerdict::Fine, "layers are taken from one repository into another"),
        Ok(false) => check(CheckVerdict::Note, "layers that several repositories have are uploaded to each")
            .cured_by("`aws ecr put-account-setting --name BLOB_MOUNTING --value ENABLED`".to_owned()),
        Err(source) => {
            let error = Error::Aws { action: format!("read the settings of {}", registry.host()), source };
            Check::failed(registry.host(), "mounting", &error)
        }
    }
}
