//! Why a service was not brought to an image. Texts fit after "cannot ".

use std::time::Duration;

/// Why a service does not run an image, or nobody knows whether it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// AWS gave no answer.
    #[error(transparent)]
    Aws(#[from] shipper_aws::Error),
    /// There is no such thing.
    #[error("find {what}")]
    Absent {
        /// What was looked for.
        what: String,
    },
    /// Something else than ECS carries the deployments of a service out.
    #[error("update service `{service}`: its deployments are carried out by {controller}")]
    Controller {
        /// The service.
        service: String,
        /// As ECS calls it: `CODE_DEPLOY`, `EXTERNAL`.
        controller: String,
    },
    /// A task definition has no container of a name.
    #[error("find container `{container}` in {definition}")]
    NoContainer {
        /// The container.
        container: String,
        /// The task definition.
        definition: String,
        /// The containers that it has.
        known: Vec<String>,
    },
    /// A function is a package of code.
    #[error("bring function `{function}` to an image: it is a package of code")]
    NoImage {
        /// The function.
        function: String,
    },
    /// An answer does not hold what it has to.
    #[error("read what {action} says: it has no `{field}`")]
    Answer {
        /// `service:Operation`.
        action: &'static str,
        /// What is missing.
        field: &'static str,
    },
    /// A service runs what it ran before, because its deployment failed.
    #[error("bring `{service}` to another image: it was rolled back: {reason}")]
    RolledBack {
        /// The service.
        service: String,
        /// What AWS says.
        reason: String,
    },
    /// A deployment ended otherwise than with success.
    #[error("bring `{service}` to another image: its deployment is {status}: {reason}")]
    Ended {
        /// The service.
        service: String,
        /// In words: `stopped`, `rollback failed`.
        status: String,
        /// What AWS says.
        reason: String,
    },
    /// A deployment was not done in time. It goes on.
    #[error("bring `{service}` to another image within {} s: {status}", after.as_secs())]
    Slow {
        /// The service.
        service: String,
        /// How far it had come, in words.
        status: String,
        /// How long it was waited for.
        after: Duration,
        /// Name of the deployment, where it is known.
        deployment: Option<String>,
    },
}

impl Error {
    /// Whether nothing is known of the service: it may run the image or not.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Aws(_) | Self::Answer { .. })
    }

    /// Whether the service runs what it ran before.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        matches!(self, Self::RolledBack { .. })
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error) => error.hint(),
            Self::Absent { .. } => Some("create it first; a deployment only changes its image".to_owned()),
            Self::Controller { .. } => {
                Some("deploy it by its own tool: a target `run` that is given the image by its digest".to_owned())
            }
            Self::NoImage { .. } => Some("create a function whose package type is `Image`".to_owned()),
            Self::NoContainer { known, .. } => Some(format!("it has {}", known.join(", "))),
            Self::Slow { deployment: Some(deployment), .. } => Some(format!(
                "it goes on; `aws ecs stop-service-deployment --stop-type ROLLBACK --service-deployment-arn {deployment}` ends it"
            )),
            Self::Slow { deployment: None, .. } => Some("it goes on".to_owned()),
            Self::RolledBack { .. } => Some("the events of the service say why its tasks did not stay".to_owned()),
            Self::Answer { .. } | Self::Ended { .. } => None,
        }
    }
}
