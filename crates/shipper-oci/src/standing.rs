//! What the user who is logged in may do in a repository, asked without changing it.
//!
//! Invariant: nothing is created. Whether writing is allowed is asked by sending no bytes to an upload that nobody started: a
//! registry says who may write before it looks for the upload. Sources: OCI distribution specification 1.1, "Pushing a blob
//! in chunks" and "Error Codes" (`BLOB_UPLOAD_UNKNOWN`, `BLOB_UPLOAD_INVALID`, `NAME_UNKNOWN`).

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderValue};

use crate::auth::Scopes;
use crate::client::{Ask, Envelope};
use crate::registry::Registry;
use crate::store::Target;
use crate::{Error, Repository, Result};

/// A tag that no family of names has.
const NO_TAG: &str = "shipper.doctor.looks-for-nothing";
/// An upload that nobody started.
const NO_UPLOAD: &str = "blobs/uploads/00000000-0000-0000-0000-000000000000";

/// How a registry treats the user in one repository.
#[derive(Debug)]
#[non_exhaustive]
pub struct Standing {
    /// `false` where the registry says that the repository does not exist; many say so of none.
    pub exists: bool,
    /// Whether blobs may be uploaded.
    pub push: PushRight,
    /// The clock of the registry, as its header `Date` has it (RFC 9110, section 6.6.1).
    pub date: Option<String>,
}

/// Whether something may be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum PushRight {
    /// It may.
    Allowed,
    /// The registry, which knows who asks, says no: why.
    Refused(String),
    /// It can not be told: why.
    Unknown(String),
}

impl Repository {
    /// What the user may do here: two requests to a registry, none that changes something. `None` for a layout, which has no
    /// users.
    ///
    /// # Errors
    /// As [`Repository::manifest`], where even reading is refused or fails.
    pub async fn standing(&self) -> Result<Option<Standing>> {
        match &self.target {
            Target::Layout(_) => Ok(None),
            Target::Registry(registry) => registry.standing().await.map(Some),
            Target::Refused => Err(self.refused()),
        }
    }
}

impl Registry {
    async fn standing(&self) -> Result<Standing> {
        let url = self.client.url(&self.name, &format!("manifests/{NO_TAG}"))?;
        let ask = Ask::new(Method::GET, url, format!("read {}", self.name), &self.name, self.pull());
        let mut reply = self.client.ask(&ask).await?.reply;
        let date = reply.header(&DATE).map(str::to_owned);
        let exists = match reply.status.as_u16() {
            404 => !Envelope::read(&mut reply).await.has_code(&["NAME_UNKNOWN"]),
            200..=299 => true,
            _ => return Err(self.client.failure(&mut reply, &ask).await),
        };
        Ok(Standing { exists, push: self.push_right().await, date })
    }

    async fn push_right(&self) -> PushRight {
        let scopes = Scopes::repository(&self.name, &["pull", "push"]);
        let ask = match self.client.url(&self.name, NO_UPLOAD) {
            Ok(url) => Ask::new(Method::PATCH, url, format!("write to {}", self.name), &self.name, scopes),
            Err(error) => return PushRight::Unknown(error.chain()),
        };
        let ask = ask.header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        match self.client.ask(&ask).await {
            Ok(mut answer) => {
                let status = answer.reply.status.as_u16();
                let envelope = Envelope::read(&mut answer.reply).await;
                match status {
                    400..=499 if envelope.has_code(&["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"]) => {
                        PushRight::Allowed
                    }
                    405 => PushRight::Refused(envelope.detail()),
                    _ => PushRight::Unknown(envelope.error(self.client.host(), &ask.method, &ask.what, status).chain()),
                }
            }
            // It let the same user read.
            Err(error @ (Error::Unauthorized { .. } | Error::Denied { .. })) => PushRight::Refused(error.chain()),
            Err(error) => PushRight::Unknown(error.chain()),
        }
    }
}

#[cfg(test)]
mod tests {
    use shipper_testkit::{Auth, DockerRegistry, FakeRegistry, Profile, need};

    use super::*;
    use crate::{ClientOptions, Store};

    async fn standing(host: &str) -> Result<Standing> {
        let store = Store::parse(host, ClientOptions::default()).unwrap();
        store.repository(&"shop/api".parse().unwrap()).standing().await.map(|found| found.expect("a registry"))
    }

    #[tokio::test]
    async fn a_registry_that_takes_everything_says_so_and_has_nothing_afterwards() {
        let registry = need!(DockerRegistry::start());
        let found = standing(registry.host()).await.unwrap();
        assert!(matches!(found.push, PushRight::Allowed), "{found:?}");
        assert!(found.exists && found.date.is_some_and(|date| date.ends_with("GMT")));
        let below = registry.data().join("docker/registry/v2/repositories/shop");
        assert!(!below.exists(), "nothing was created");
    }

    #[tokio::test]
    async fn a_repository_that_does_not_exist_and_one_that_takes_nothing_are_told_apart() {
        let registry = FakeRegistry::builder().profile(Profile::Ecr).start();
        assert!(!standing(registry.host()).await.unwrap().exists);
        registry.create_repository("shop/api");
        let found = standing(registry.host()).await.unwrap();
        assert!(found.exists && matches!(found.push, PushRight::Allowed), "{found:?}");
        let reader = FakeRegistry::start();
        reader.create_repository("shop/api");
        reader.fault(shipper_testkit::Rule::new(shipper_testkit::Fault::status(403)).method("PATCH"));
        let found = standing(reader.host()).await.unwrap();
        assert!(matches!(found.push, PushRight::Refused(_)), "{found:?}");
        reader.clear_faults();
        reader.fault(shipper_testkit::Rule::new(shipper_testkit::Fault::status(418)).method("PATCH"));
        let found = standing(reader.host()).await.unwrap();
        assert!(matches!(found.push, PushRight::Unknown(_)), "{found:?}");
        assert!(registry.repositories() == ["shop/api"] && registry.tags("shop/api").is_empty());
    }

    #[tokio::test]
    async fn a_stranger_is_told_nothing() {
        let registry = FakeRegistry::builder().auth(Auth::basic("user", "password")).start();
        assert!(standing(registry.host()).await.unwrap_err().is_unknown());
    }
}
