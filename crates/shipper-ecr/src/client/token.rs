//! Passwords for the registry.
//!
//! Source: ECR API, `GetAuthorizationToken`: base64 of `AWS:password`, good for twelve hours, with the endpoint that it is
//! for.

use std::fmt;
use std::time::{Duration, SystemTime};

use shipper_aws::Error as AwsError;

use super::Ecr;

/// User name and password for a registry. The password is in no log and no `Debug` text.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    username: String,
    password: String,
    /// URL of the registry that it is for.
    pub endpoint: String,
    /// How long it is good for, counted from when it was asked for.
    pub life: Duration,
}

impl RegistryLogin {
    /// The user name: `AWS`.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password. Give it to the registry at [`endpoint`](Self::endpoint) and to nobody else.
    #[must_use]
    pub fn expose_password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Ecr {
    /// A password for the registries that the caller may use.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn login(&self) -> Result<RegistryLogin, AwsError> {
        const ACTION: &str = "ecr:GetAuthorizationToken";
        let malformed = || AwsError::Service {
            action: ACTION,
            code: "unknown".to_owned(),
            message: "the answer holds no token".to_owned(),
        };
        let answer = self.client.get_authorization_token().send().await;
        let answer = answer.map_err(|error| AwsError::from((ACTION, error)))?;
        let data = answer.authorization_data().first().ok_or_else(malformed)?;
        let token = data.authorization_token().and_then(base64).ok_or_else(malformed)?;
        let (username, password) = token.split_once(':').ok_or_else(malformed)?;
        let expires = data.expires_at().and_then(|at| SystemTime::try_from(*at).ok());
        Ok(RegistryLogin {
            username: username.to_owned(),
            password: password.to_owned(),
            endpoint: data.proxy_endpoint().unwrap_or_default().to_owned(),
            life: expires.and_then(|at| at.duration_since(SystemTime::now()).ok()).unwrap_or_default(),
        })
    }
}

fn base64(text: &str) -> Option<String> {
    use base64::Engine as _;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}
