//! What can go wrong with records, pins and hand-over. Texts fit after "cannot ".

use shipper_report::ExitCode;

use crate::RecordId;

/// Why a deployment can not be read, written or begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A registry or layout did not do it, or nothing is known.
    #[error("{action}")]
    Store {
        /// What was tried.
        action: String,
        /// What it said.
        #[source]
        source: shipper_oci::Error,
    },
    /// A text is no name of a record.
    #[error("use `{text}` as the name of a record")]
    NoRecordName {
        /// The text.
        text: String,
    },
    /// A record is damaged or not one of shipper.
    #[error("read record {name}: {problem}")]
    Document {
        /// Its tag.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A record was written by a newer shipper.
    #[error("read record {name}: its format is `{format}`")]
    NewerFormat {
        /// Its tag.
        name: String,
        /// What it says.
        format: String,
    },
    /// Another deployment of the environment is not done.
    #[error("deploy to `{environment}`: {id} is not done")]
    Held {
        /// The environment.
        environment: String,
        /// The other deployment.
        id: Box<RecordId>,
        /// Who began it.
        actor: String,
        /// Until when it may be waited for, in seconds.
        left_s: u64,
    },
    /// Another deployment took this one for gone while it was at work.
    #[error("go on with {id}: another deployment took over")]
    TakenOver {
        /// This one.
        id: Box<RecordId>,
    },
    /// An image, or a part of one, is not there any more.
    #[error("deploy {image}: {what} is gone")]
    Gone {
        /// The image.
        image: String,
        /// The manifest or blob.
        what: String,
    },
    /// The registry does not let a pin move.
    #[error("move pin `{pin}` of {repository}")]
    Pin {
        /// The tag.
        pin: String,
        /// The repository.
        repository: String,
        /// What it said.
        #[source]
        source: Box<shipper_oci::Error>,
    },
    /// A text names a service that the deployment has no image of.
    #[error("expand `{text}`: {problem}")]
    Placeholder {
        /// The text.
        text: String,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// What the process returns for it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Pin { source, .. } if !source.is_conflict() && source.is_unknown() => ExitCode::Unknown,
            Self::Store { .. } | Self::NewerFormat { .. } | Self::Document { .. } => ExitCode::Unknown,
            Self::NoRecordName { .. } | Self::Placeholder { .. } => ExitCode::Usage,
            Self::Held { .. } | Self::TakenOver { .. } | Self::Gone { .. } | Self::Pin { .. } => ExitCode::DeployFailed,
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store { source, .. } => source.hint(),
            Self::NoRecordName { .. } => Some("`shipper history` lists them".to_owned()),
            Self::NewerFormat { .. } => Some("use the shipper that wrote it, or a newer one".to_owned()),
            Self::Held { actor, left_s, .. } => Some(format!(
                "begun by {actor}; `--wait-lock` waits for it; it counts as gone in {left_s} s, or at once with `--take-over`"
            )),
            Self::TakenOver { id } => {
                Some(format!("`shipper history {}` says which; it decides what runs", id.environment()))
            }
            Self::Pin { source, .. } if source.is_conflict() => {
                Some("exclude `env-*` from the tag immutability of the repository".to_owned())
            }
            Self::Pin { source, .. } => source.hint(),
            Self::Gone { .. } => Some("nothing was changed; deploy again, so that it is built".to_owned()),
            Self::Document { .. } | Self::Placeholder { .. } => None,
        }
    }
}
