//! Why a call to AWS gave no answer. None of these means that something does not exist.

use std::error::Error as StdError;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use crate::login::{LoginNeeded, LoginUnread, ProfileMissing};

/// Why a call gave no answer. Texts fit after "cannot ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No credentials were found.
    #[error("call {action}: no credentials were found: {detail}")]
    NoCredentials {
        /// `service:Operation`, as in policies.
        action: &'static str,
        /// What the chain said.
        detail: String,
    },
    /// The profile that was named is not defined, or has no credentials.
    #[error("call {action}: profile `{profile}` is not defined, or has no credentials")]
    ProfileMissing {
        /// `service:Operation`.
        action: &'static str,
        /// The profile.
        profile: String,
    },
    /// The login of the profile was made by `aws login`, which is not read.
    #[error("call {action}: the login of profile `{profile}` is one of `aws login`, which is not read")]
    LoginUnread {
        /// `service:Operation`.
        action: &'static str,
        /// The profile.
        profile: String,
    },
    /// There is no login of IAM Identity Center (SSO) for the profile, or it is over.
    #[error("call {action}: profile `{profile}` is not logged in: {detail}")]
    LoginNeeded {
        /// `service:Operation`.
        action: &'static str,
        /// The profile that has the login, as the user's configuration names it.
        profile: String,
        /// What the chain said.
        detail: String,
    },
    /// AWS does not accept the credentials, or they have expired.
    #[error("call {action}: the credentials are not accepted ({code})")]
    CredentialsRefused {
        /// `service:Operation`.
        action: &'static str,
        /// The error's code.
        code: String,
    },
    /// The credentials are good, but not for this.
    #[error("call {action}: access is denied")]
    Denied {
        /// `service:Operation`: what a policy has to allow.
        action: &'static str,
    },
    /// AWS was asked too often, also after pauses.
    #[error("call {action}: requests are throttled")]
    Throttled {
        /// `service:Operation`.
        action: &'static str,
    },
    /// No answer within the deadline.
    #[error("call {action}: no answer within the deadline")]
    Timeout {
        /// `service:Operation`.
        action: &'static str,
    },
    /// There is no way to the service.
    #[error("call {action}: {detail}")]
    Unreachable {
        /// `service:Operation`.
        action: &'static str,
        /// What happened.
        detail: String,
    },
    /// The request can not be made: an endpoint that is no URL, a value that no header can hold.
    #[error("make the request for {action}: {detail}")]
    Request {
        /// `service:Operation`.
        action: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// No region is configured.
    #[error("call {action}: no region is configured")]
    NoRegion {
        /// `service:Operation`.
        action: &'static str,
    },
    /// Any other answer than the expected.
    #[error("call {action}: {code}: {message}")]
    Service {
        /// `service:Operation`.
        action: &'static str,
        /// The error's code; `unknown` where the answer has none.
        code: String,
        /// The service's words.
        message: String,
    },
}

/// Codes by what they mean (AWS General Reference, "Common errors"; the SDK's retry specification for throttling).
const THROTTLING: &[&str] = &[
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
];
const DENIED: &[&str] =
    &["AccessDenied", "AccessDeniedException", "NotAuthorized", "OptInRequired", "UnauthorizedOperation"];
const REFUSED: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

impl Error {
    /// The action as policies name it.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::NoCredentials { action, .. }
            | Self::ProfileMissing { action, .. }
            | Self::LoginUnread { action, .. }
            | Self::LoginNeeded { action, .. }
            | Self::CredentialsRefused { action, .. }
            | Self::Denied { action }
            | Self::Throttled { action }
            | Self::Timeout { action }
            | Self::Unreachable { action, .. }
            | Self::Request { action, .. }
            | Self::NoRegion { action }
            | Self::Service { action, .. } => action,
        }
    }

    /// Whether the same call may get an answer later, without anything being changed by the user.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Timeout { .. } | Self::Unreachable { .. })
    }

    /// The code of an unexpected answer.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Service { code, .. } | Self::CredentialsRefused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCredentials { .. } => {
                "set AWS_PROFILE, run `aws sso login`, or pass a role to the job (`AWS_ROLE_ARN`)".to_owned()
            }
            Self::ProfileMissing { profile, .. } => {
                format!(
                    "run `aws configure --profile {profile}`; on a runner with a role, write `role_arn` and \
                     `credential_source = Environment` into `[profile {profile}]`"
                )
            }
            Self::LoginUnread { profile, .. } => {
                format!("run `eval \"$(aws configure export-credentials --profile {profile} --format env)\"` before")
            }
            Self::LoginNeeded { profile, .. } => format!("run `aws sso login --profile {profile}`"),
            Self::CredentialsRefused { .. } => {
                "log in again; the credentials are expired or of another place".to_owned()
            }
            Self::Denied { action } => format!("allow `{action}` in the policy of the role that this runs as"),
            Self::Throttled { .. } => "wait and run again".to_owned(),
            Self::NoRegion { .. } => "set AWS_REGION, or name the repository by its URI".to_owned(),
            Self::Request { .. } => "mend `AWS_ENDPOINT_URL` or `endpoint_url` of the profile".to_owned(),
            Self::Timeout { .. } | Self::Unreachable { .. } | Self::Service { .. } => return None,
        })
    }
}

impl<E, R> From<(&'static str, SdkError<E, R>)> for Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    /// Classifies what the SDK says of a call to `action`.
    fn from((action, error): (&'static str, SdkError<E, R>)) -> Self {
        match &error {
            SdkError::ServiceError(service) => {
                let meta = service.err().meta();
                of_code(action, meta.code().unwrap_or("unknown"), meta.message().unwrap_or_default())
            }
            SdkError::TimeoutError(_) => Self::Timeout { action },
            _ => {
                if let Some(cause) = cause_of::<CredentialsError>(&error) {
                    return of_credentials(action, cause);
                }
                let detail = chain(&error);
                match &error {
                    SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::Timeout { action },
                    // The SDK has no type for it: an endpoint without a region, or a signature without one.
                    _ if detail.contains("missing signing region") || detail.contains("Missing Region") => {
                        Self::NoRegion { action }
                    }
                    _ => Self::Unreachable { action, detail },
                }
            }
        }
    }
}

pub(crate) fn of_code(action: &'static str, code: &str, message: &str) -> Error {
    match code {
        _ if THROTTLING.contains(&code) => Error::Throttled { action },
        _ if DENIED.contains(&code) => Error::Denied { action },
        _ if REFUSED.contains(&code) => Error::CredentialsRefused { action, code: code.to_owned() },
        _ => Error::Service { action, code: code.to_owned(), message: message.to_owned() },
    }
}

/// What a credential provider that failed means for the call.
pub(crate) fn of_credentials(action: &'static str, error: &CredentialsError) -> Error {
    if let Some(login) = cause_of::<LoginNeeded>(error) {
        let LoginNeeded { profile, detail } = login.clone();
        return Error::LoginNeeded { action, profile, detail };
    }
    if let Some(LoginUnread { profile }) = cause_of(error) {
        return Error::LoginUnread { action, profile: profile.clone() };
    }
    if let Some(ProfileMissing { profile }) = cause_of(error) {
        return Error::ProfileMissing { action, profile: profile.clone() };
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            Error::NoCredentials { action, detail: "the chain of providers is at its end".to_owned() }
        }
        other => Error::NoCredentials { action, detail: chain(other) },
    }
}

/// The first of an error and its sources that is a `T`.
pub(crate) fn cause_of<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its sources on one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}
