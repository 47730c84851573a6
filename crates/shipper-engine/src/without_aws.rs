//! Stands in for `amazon` in builds without the feature `aws`: the credentials that the user keeps for Docker and podman
//! are all there are, and no stack can be asked.

use std::collections::BTreeMap;

use shipper_oci::Credentials;
use shipper_plan::StackConfig;

use crate::registries::credential_files;
use crate::{Error, Project};

/// A repository that a stack names.
pub(crate) struct OfStack {
    /// Host of the registry.
    pub(crate) registry: String,
    pub(crate) name: String,
}

/// Always [`Error::WithoutAws`].
pub(crate) async fn repository_of_stack(_: &Project, stack: &StackConfig) -> Result<OfStack, Error> {
    Err(Error::WithoutAws { action: format!("ask for the outputs of stack `{}`", stack.stack) })
}

/// Credentials from files and helpers.
pub(crate) fn credentials(environment: &BTreeMap<String, String>) -> Credentials {
    Credentials::new(credential_files(environment))
}

/// Nothing is moved.
pub(crate) async fn moved(_: &str, _: &BTreeMap<String, String>) -> Result<Option<(String, Credentials)>, Error> {
    Ok(None)
}
