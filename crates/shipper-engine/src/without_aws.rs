//! Stands in for `amazon` in builds without the feature `aws`: the credentials that the user keeps for Docker and podman
//! are all there are, and no stack can be asked.

use std::collections::BTreeMap;

use shipper_oci::Credentials;
use shipper_plan::StackConfig;

use crate::registries::{OfStack, credential_files};
use crate::{Error, Project};

/// Always [`Error::WithoutAws`].
pub(crate) async fn repository_of_stack(_: &Project, stack: &StackConfig) -> Result<OfStack, Error> {
    Err(Error::WithoutAws { action: format!("ask for the outputs of stack `{}`", stack.stack) })
}

/// Credentials from files and helpers.
#[derive(Debug, Clone)]
pub(crate) struct Logins(Credentials);

impl Logins {
    /// Nothing is read before a registry is asked for something.
    pub(crate) fn new(environment: &BTreeMap<String, String>, _: BTreeMap<String, String>) -> Self {
        Self(Credentials::new(credential_files(environment)))
    }

    /// As a client for registries takes them.
    pub(crate) fn credentials(&self) -> Credentials {
        self.0.clone()
    }

    /// Nothing is moved.
    #[expect(clippy::unused_async, reason = "with AWS it asks")]
    pub(crate) async fn moved(&self, _: &str) -> Result<Option<String>, Error> {
        Ok(None)
    }
}
