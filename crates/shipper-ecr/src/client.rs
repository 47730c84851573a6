//! Calls to ECR.

mod described;
mod ensure;
mod findings;
mod images;
mod listing;
mod policy;
mod repositories;
mod token;

pub use described::DescribedImages;
pub use ensure::{Drift, RepositoryChange, RepositoryGoal, RepositoryState, TemplateState};
pub use findings::Scan;
pub use images::ImagePresence;
pub use listing::ListedImage;
pub use policy::LifecycleState;
pub use repositories::RepositoryFacts;
pub use token::RegistryLogin;

use aws_sdk_ecr::Client;
use shipper_aws::{AccountId, Error as AwsError, Session};

/// The registry of one account in one region.
#[derive(Debug, Clone)]
pub struct Ecr {
    client: Client,
    account: Option<AccountId>,
}

impl Ecr {
    /// The registry that a session leads to, or that of another account in the same region.
    #[must_use]
    pub fn new(session: &Session, account: Option<AccountId>) -> Self {
        Self { client: Client::new(&aws_config::SdkConfig::from(session)), account }
    }

    fn registry_id(&self) -> Option<String> {
        self.account.as_ref().map(ToString::to_string)
    }
}

/// Whether AWS answered with this code.
fn has_code(error: &AwsError, code: &str) -> bool {
    error.code() == Some(code)
}
