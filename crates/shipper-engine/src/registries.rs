//! Where images go, and with which credentials: layouts, registries, and the registry of a stack's repository.
//!
//! Invariants: nothing of AWS is started for a registry that is not one of ECR; a trusted run never opens the registry of
//! runs that are not, so that nothing which was written there can be taken for an image of the project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use shipper_oci::{CredentialSources, ProgressSink, Store};
use shipper_plan::{Setting, StackConfig};
use shipper_tag::{Facts, Trigger};

use crate::project::client_options;
use crate::{Error, Project, amazon};

/// A project's store, and the name of the repository that a stack named, if one did.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) repository: Option<String>,
    /// For a run that is not trusted: where trusted runs put their images. It may read there.
    pub(crate) trusted: Option<Box<Opened>>,
}

/// A repository that a stack names.
pub(crate) struct OfStack {
    /// Host of the registry.
    pub(crate) registry: String,
    pub(crate) name: String,
}

/// Whether what a run builds may be decided by anybody who can propose a change.
pub(crate) fn is_untrusted(facts: &Facts) -> bool {
    facts.trigger == Trigger::PullRequest
}

/// Opens the store that a run's images go to, by whether the run is trusted; `progress` is told how uploads go on.
///
/// # Errors
/// As [`open`], and [`Error::TrustOverlap`] where both kinds of runs would share a repository.
pub(crate) async fn open_for(
    project: &Project,
    facts: &Facts,
    progress: Option<ProgressSink>,
) -> Result<Opened, Error> {
    let Some(untrusted) = project.settings.untrusted.as_ref().filter(|_| is_untrusted(facts)) else {
        return open(project, progress).await;
    };
    let mut opened = open_at(project, untrusted, None, progress).await?;
    let trusted = open(project, None).await?;
    disjoint(project, &opened, &trusted)?;
    opened.trusted = Some(Box::new(trusted));
    Ok(opened)
}

/// No repository of a service may be that of another one on the other side.
fn disjoint(project: &Project, untrusted: &Opened, trusted: &Opened) -> Result<(), Error> {
    let names = |opened: &Opened| -> BTreeSet<String> {
        let services = project.services.values().filter_map(|service| service.repository.parse().ok());
        let all = services.map(|name| opened.store.repository(&name).to_string());
        all.chain(opened.repository.as_ref().map(|name| format!("{}/{name}", opened.store.describe()))).collect()
    };
    match names(untrusted).intersection(&names(trusted)).next() {
        Some(repository) => Err(Error::TrustOverlap { repository: repository.clone() }),
        None => Ok(()),
    }
}

/// Opens the store that a project's images of trusted runs go to; `progress` is told how uploads go on.
///
/// # Errors
/// [`Error::Store`] where the setting is neither a layout nor a registry, [`Error::NotReady`] and [`Error::NoVerdict`]
/// where a stack has no repository or nobody says so.
pub(crate) async fn open(project: &Project, progress: Option<ProgressSink>) -> Result<Opened, Error> {
    open_at(project, &project.settings.registry, project.settings.stack.as_ref(), progress).await
}

/// Opens the store that a setting names.
///
/// # Errors
/// [`Error::Store`] where it names neither a layout nor a registry.
pub(crate) async fn open_named(project: &Project, registry: &Setting<String>) -> Result<Opened, Error> {
    open_at(project, registry, None, None).await
}

async fn open_at(
    project: &Project,
    registry: &Setting<String>,
    stack: Option<&StackConfig>,
    progress: Option<ProgressSink>,
) -> Result<Opened, Error> {
    let failed = |source| {
        let value = shipper_oci::without_user(&registry.value);
        Error::Store { action: format!("use registry `{value}` ({})", registry.origin), source }
    };
    let mut options = client_options(&project.environment, &project.logins).map_err(failed)?;
    options.progress = progress;
    if let Some(directory) = registry.value.strip_prefix("oci:").filter(|directory| !directory.is_empty()) {
        // A relative layout lies in the project, wherever the command was called.
        let text = format!("oci:{}", project.root.join(directory).display());
        let store = Store::parse(&text, options).map_err(failed)?;
        return Ok(Opened { store, repository: None, trusted: None });
    }
    let of_stack = match stack {
        Some(stack) => Some(amazon::repository_of_stack(project, stack).await?),
        None => None,
    };
    let text = of_stack.as_ref().map_or(registry.value.as_str(), |found| &found.registry);
    let moved = project.logins.moved(text).await?;
    let store = Store::parse(moved.as_deref().unwrap_or(text), options).map_err(failed)?;
    Ok(Opened { store, repository: of_stack.map(|found| found.name), trusted: None })
}

/// The credentials that the user keeps for Docker and podman.
pub(crate) fn credential_files(environment: &BTreeMap<String, String>) -> CredentialSources {
    let home = environment.get("HOME").or_else(|| environment.get("USERPROFILE")).map(PathBuf::from);
    let variables = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    CredentialSources::from_environment(variables, home.as_deref())
}
