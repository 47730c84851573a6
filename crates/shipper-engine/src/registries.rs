//! Where images go, and with which credentials: layouts, registries, and the registry of a stack's repository.
//!
//! Invariant: nothing of AWS is started for a registry that is not one of ECR.

use std::collections::BTreeMap;
use std::path::PathBuf;

use shipper_oci::{CredentialSources, ProgressSink, Store};

use crate::project::client_options;
use crate::{Error, Project, amazon};

/// A project's store, and the name of the repository that a stack named, if one did.
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) repository: Option<String>,
}

/// Opens the store that a project's images go to; `progress` is told how uploads go on.
///
/// # Errors
/// [`Error::Store`] where the setting is neither a layout nor a registry, [`Error::NotReady`] and [`Error::NoVerdict`]
/// where a stack has no repository or nobody says so.
pub(crate) async fn open(project: &Project, progress: Option<ProgressSink>) -> Result<Opened, Error> {
    let mut options = client_options(&project.environment);
    options.progress = progress;
    let registry = &project.settings.registry;
    let failed =
        |source| Error::Store { action: format!("use registry `{}` ({})", registry.value, registry.origin), source };
    if let Some(directory) = registry.value.strip_prefix("oci:") {
        // A relative layout lies in the project, wherever the command was called.
        let text = format!("oci:{}", project.root.join(directory).display());
        let store = Store::parse(&text, options).map_err(failed)?;
        return Ok(Opened { store, repository: None });
    }
    let of_stack = match &project.settings.stack {
        Some(stack) => Some(amazon::repository_of_stack(project, stack).await?),
        None => None,
    };
    let text = of_stack.as_ref().map_or(registry.value.as_str(), |found| &found.registry);
    let store = match amazon::moved(text, &project.environment).await? {
        Some((endpoint, credentials)) => {
            options.credentials = credentials;
            Store::parse(&endpoint, options)
        }
        None => Store::parse(text, options),
    };
    Ok(Opened { store: store.map_err(failed)?, repository: of_stack.map(|found| found.name) })
}

/// The credentials that the user keeps for Docker and podman.
pub(crate) fn credential_files(environment: &BTreeMap<String, String>) -> CredentialSources {
    let home = environment.get("HOME").or_else(|| environment.get("USERPROFILE")).map(PathBuf::from);
    let variables = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    CredentialSources::from_environment(variables, home.as_deref())
}
