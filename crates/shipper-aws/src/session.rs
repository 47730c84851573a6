//! A session: credentials, region, endpoints and deadlines, from the places that every AWS tool reads.

use std::fmt;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::service_config::ServiceConfigKey;

use crate::github::GithubJob;
use crate::login::Chain;
use crate::{AccountId, Error, Region, http};

/// What a session is to use instead of the environment's values.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The region; `AWS_REGION` or the profile's where it is absent.
    pub region: Option<Region>,
    /// The region where neither this nor the environment names one.
    pub fallback_region: Option<Region>,
    /// The profile, whose credentials alone are used: those of the environment may be of another account. Where it is absent,
    /// the standard chain decides, `AWS_PROFILE` among it.
    pub profile: Option<String>,
    /// How long one call may take, retries included.
    pub deadline: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { region: None, fallback_region: None, profile: None, deadline: Duration::from_secs(30) }
    }
}

/// Credentials, region, endpoints and deadlines. Cheap to clone; credentials are fetched at the first call, once.
#[derive(Clone)]
pub struct Session {
    config: SdkConfig,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("region", &self.config.region()).finish_non_exhaustive()
    }
}

impl Session {
    /// Reads the environment and the AWS configuration files. Nothing is sent.
    pub async fn open(options: &SessionOptions) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(options.deadline)
            .operation_attempt_timeout(options.deadline)
            .read_timeout(options.deadline)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::client())
            .timeout_config(timeouts.clone())
            .retry_config(RetryConfig::standard());
        if let Some(region) = &options.region {
            loader = loader.region(aws_config::Region::new(region.as_str().to_owned()));
        }
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        let mut config = loader.load().await;
        if let (None, Some(region)) = (config.region(), &options.fallback_region) {
            config = config.into_builder().region(aws_config::Region::new(region.as_str().to_owned())).build();
        }
        if let Some(profile) = &options.profile {
            let settings = ProviderConfig::without_region()
                .with_region(config.region().cloned())
                .with_http_client(http::client())
                .with_retry_config(RetryConfig::standard())
                .with_timeout_config(timeouts);
            let alone = ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&settings).build();
            let provider = SharedCredentialsProvider::new(alone);
            config = config.into_builder().credentials_provider(provider).build();
        }
        if let Some(chain) = config.credentials_provider() {
            let provider = SharedCredentialsProvider::new(Chain::new(chain, options.profile.clone()));
            config = config.into_builder().credentials_provider(provider).build();
        }
        // The standard chain knows a token in a file only; GitHub hands one out on request.
        let job = GithubJob::from_environment(|name| std::env::var(name).ok(), &config);
        if let Some(job) = job.filter(|_| options.profile.is_none()) {
            let provider = SharedCredentialsProvider::new(job);
            config = config.into_builder().credentials_provider(provider).build();
        }
        Self { config }
    }

    /// The region that calls go to; absent where none is configured.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        self.config.region()?.as_ref().parse().ok()
    }

    /// Whether the environment or the profile sends the calls to a service to a place of the user's choice; `id` is the
    /// service's name in `AWS_ENDPOINT_URL_<ID>`.
    #[must_use]
    pub fn is_redirected(&self, id: &str) -> bool {
        let key = ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
        let of_service = || self.config.service_config()?.load_config(key.ok()?);
        self.config.endpoint_url().is_some() || of_service().is_some()
    }

    /// The account that the credentials are of.
    ///
    /// # Errors
    /// [`Error`] where STS does not say; no permission is needed for it.
    pub async fn account(&self) -> Result<AccountId, Error> {
        const ACTION: &str = "sts:GetCallerIdentity";
        let answer = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| Error::from((ACTION, error)))?;
        let account = answer.account().unwrap_or_default();
        account.parse().map_err(|_| Error::Service {
            action: ACTION,
            code: "unknown".to_owned(),
            message: format!("`{account}` is no account"),
        })
    }
}

impl From<&Session> for SdkConfig {
    /// The configuration that clients of single services are made of.
    fn from(session: &Session) -> Self {
        session.config.clone()
    }
}
