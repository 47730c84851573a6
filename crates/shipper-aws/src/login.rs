//! The providers of credentials, which say in words of their own when a login of IAM Identity Center (SSO) is over, and when a
//! profile that was named is not there.
//!
//! Source: AWS SDKs and Tools Reference Guide, "IAM Identity Center credential provider": a profile with `sso_session` or
//! `sso_start_url` is logged in by `aws sso login --profile NAME`; one with `source_profile` has its login there.
//!
//! Invariant: the configuration files are read a second time only after the chain has failed.

use std::borrow::Cow;

use aws_config::profile::ProfileSet;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::{CredentialsError, TokenError};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sso::operation::get_role_credentials::GetRoleCredentialsError;
use aws_types::os_shim_internal::{Env, Fs};

use crate::error::{cause_of, chain};

/// How many profiles one may be made of.
const MOST_SOURCES: usize = 16;

/// A profile whose login is missing or over.
#[derive(Debug, Clone, thiserror::Error)]
#[error("profile `{profile}` is not logged in: {detail}")]
pub(crate) struct LoginNeeded {
    pub(crate) profile: String,
    pub(crate) detail: String,
}

/// A profile that was named outright, and is not there or has no credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[error("profile `{profile}` is not defined, or has no credentials")]
pub(crate) struct ProfileMissing {
    pub(crate) profile: String,
}

/// A profile whose login was made by `aws login`, which takes a part of the SDK that is not linked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the login of profile `{profile}` is one of `aws login`, which is not read")]
pub(crate) struct LoginUnread {
    pub(crate) profile: String,
}

/// The standard chain, or one profile alone.
#[derive(Debug)]
pub(crate) struct Chain {
    inner: SharedCredentialsProvider,
    /// The profile that is used alone; absent for the standard chain.
    profile: Option<String>,
}

impl Chain {
    pub(crate) fn new(inner: SharedCredentialsProvider, profile: Option<String>) -> Self {
        Self { inner, profile }
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let error = match self.inner.provide_credentials().await {
            Ok(credentials) => return Ok(credentials),
            Err(error) => error,
        };
        if let (CredentialsError::CredentialsNotLoaded(_), Some(profile)) = (&error, &self.profile) {
            return Err(CredentialsError::provider_error(ProfileMissing { profile: profile.clone() }));
        }
        // The SDK names the part of it that is missing, and has no type for that.
        let is_unread = chain(&error).contains("credentials-login");
        if !is_unread && !is_of_login(&error) {
            return Err(error);
        }
        let selected = self.profile.clone().map(Cow::Owned);
        let read = aws_config::profile::load(&Fs::real(), &Env::real(), &Default::default(), selected).await;
        let keys: &[&str] = if is_unread { &["login_session"] } else { &["sso_session", "sso_start_url"] };
        let Some(profile) = read.ok().and_then(|profiles| with_any(&profiles, keys)) else { return Err(error) };
        if is_unread {
            return Err(CredentialsError::provider_error(LoginUnread { profile }));
        }
        Err(CredentialsError::provider_error(LoginNeeded { profile, detail: chain(&error) }))
    }
}

/// Whether another login would help: the token is missing, over, or refused.
fn is_of_login(error: &CredentialsError) -> bool {
    let refused = cause_of::<GetRoleCredentialsError>(error);
    cause_of::<TokenError>(error).is_some()
        || refused.is_some_and(GetRoleCredentialsError::is_unauthorized_exception)
        // Profiles without `sso_session`: the SDK keeps the type of this error to itself.
        || (refused.is_none() && chain(error).contains(".aws/sso/cache"))
}

/// The selected profile, or that of its sources which has one of these keys.
fn with_any(profiles: &ProfileSet, keys: &[&str]) -> Option<String> {
    let mut name = profiles.selected_profile();
    for _ in 0..MOST_SOURCES {
        let profile = profiles.get_profile(name)?;
        if keys.iter().any(|key| profile.get(key).is_some()) {
            return Some(name.to_owned());
        }
        name = profile.get("source_profile")?;
    }
    None
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.inner.fallback_on_interrupt()
    }
}
