//! Locked base images against what their registries say now: `base outdated`, `base update`, and the note of a plan.
//!
//! Nothing here makes a service due by itself: a moved base counts when the lock takes it.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::bases::{Resolved, located, resolve};
use crate::lock::Lock;
use crate::{Error, Project};

/// How long a plan waits for registries that it does not need.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a locked reference means now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BaseState {
    /// What the lock says.
    Current,
    /// Another image.
    Moved {
        /// Digest of the platform's image manifest now.
        digest: String,
    },
    /// No image, or none for the platform any more. The locked digest may still be there.
    Gone,
}

/// One entry of `shipper.lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockedBase {
    /// The reference as the configuration or a Dockerfile writes it.
    pub reference: String,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// The locked digest.
    pub locked: String,
    /// What the registry says.
    #[serde(flatten)]
    pub state: BaseState,
}

/// Every entry of `shipper.lock` with what its registry says now, sorted by reference and platform.
///
/// # Errors
/// [`Error::Lock`] for a lock that can not be read, [`Error::Locked`] for an entry that is no reference,
/// [`Error::Store`] where a registry could not tell.
pub async fn base_outdated(project: &Project) -> Result<Vec<LockedBase>, Error> {
    states(project, &Lock::read(&project.root)?, |_| true).await.into_iter().collect()
}

/// Writes the digests of now to `shipper.lock`: those of `references`, of all where it is empty. Returns every entry
/// that was looked at, with the state that it had. Nothing is written unless all of them could be told.
///
/// # Errors
/// As [`base_outdated`], and [`Error::Locked`] for a reference that the lock does not have.
pub async fn base_update(project: &Project, references: &[String]) -> Result<Vec<LockedBase>, Error> {
    let lock = Lock::read(&project.root)?;
    if let Some(unknown) = references.iter().find(|wanted| !lock.entries().any(|(have, ..)| have == *wanted)) {
        let known: Vec<&str> = lock.entries().map(|(reference, ..)| reference).collect();
        return Err(Error::Locked {
            reference: unknown.clone(),
            problem: "shipper.lock has no such entry".to_owned(),
            hint: Some(known_entries(known)),
        });
    }
    let wanted = |reference: &str| references.is_empty() || references.iter().any(|wanted| wanted == reference);
    let found: Vec<LockedBase> = states(project, &lock, wanted).await.into_iter().collect::<Result<_, _>>()?;
    Lock::update(&project.root, |lock| {
        for base in &found {
            if let BaseState::Moved { digest } = &base.state {
                lock.set(&base.reference, &base.platform, digest);
            }
        }
    })?;
    Ok(found)
}

/// The moved and vanished ones among the locked bases that `is_used` tells, as far as registries say so in time: what
/// can not be asked now is left out, because a plan does not depend on it.
pub(crate) async fn noticed(project: &Project, lock: &Lock, is_used: impl Fn(&str) -> bool) -> Vec<LockedBase> {
    let states = tokio::time::timeout(PATIENCE, states(project, lock, is_used)).await;
    let told = states.unwrap_or_default().into_iter().flatten();
    told.filter(|base| base.state != BaseState::Current).collect()
}

/// One lookup for each entry of the lock that is wanted, all at the same time; in the order of the lock.
async fn states(project: &Project, lock: &Lock, wanted: impl Fn(&str) -> bool) -> Vec<Result<LockedBase, Error>> {
    let mut lookups = JoinSet::new();
    for (position, (reference, platform, locked)) in
        lock.entries().filter(|(reference, ..)| wanted(reference)).enumerate()
    {
        let place = located(&project.environment, &project.logins, reference);
        let (reference, platform, locked) = (reference.to_owned(), platform.to_owned(), locked.to_owned());
        let lookup = async move {
            let (repository, selector) = place.map_err(|source| Error::Locked {
                reference: reference.clone(),
                problem: source.to_string(),
                hint: None,
            })?;
            let failed = |source| Error::Store { action: format!("read the base image `{reference}`"), source };
            let state = match resolve(&repository, &selector, &platform).await.map_err(failed)? {
                Resolved::Image(manifest) if manifest.digest().to_string() == locked => BaseState::Current,
                Resolved::Image(manifest) => BaseState::Moved { digest: manifest.digest().to_string() },
                Resolved::Gone | Resolved::Others(_) => BaseState::Gone,
            };
            Ok(LockedBase { reference, platform, locked, state })
        };
        lookups.spawn(async move { (position, lookup.await) });
    }
    let mut found = lookups.join_all().await;
    found.sort_by_key(|(position, _)| *position);
    found.into_iter().map(|(_, base)| base).collect()
}

/// What the lock has, for somebody who named something else.
fn known_entries(mut known: Vec<&str>) -> String {
    known.dedup();
    match known.as_slice() {
        [] => "`shipper ship` writes an entry for each base image that it uses".to_owned(),
        some => format!("the lock has {}", some.join(", ")),
    }
}
