//! Credentials for a job of GitHub Actions: its identity token, exchanged for a role.
//!
//! Source: GitHub documentation, "OpenID Connect reference" (request URL and token in the environment, `audience`), STS
//! API, `AssumeRoleWithWebIdentity` (needs no credentials).
//!
//! Invariants: the request token goes to the URL that came with it, over TLS (or to this machine), and follows no
//! redirect; neither it nor the identity token is in a text of an error.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::byte_stream::ByteStream;
use serde::Deserialize;
use url::Url;

use crate::{error, http};

/// The audience that STS accepts.
const AUDIENCE: &str = "sts.amazonaws.com";
/// Longest answer with a token, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How long GitHub may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A job that may ask for an identity, and the role that it is to have.
#[derive(Clone)]
pub(crate) struct GithubJob {
    url: String,
    token: String,
    role: String,
    session: String,
    config: SdkConfig,
}

impl std::fmt::Debug for GithubJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GithubJob").field("role", &self.role).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    value: String,
}

impl GithubJob {
    /// The job that the environment tells of; `None` outside a job that may ask for an identity, without a role, and
    /// where the environment has credentials that the standard chain takes first.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>, config: &SdkConfig) -> Option<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if set("AWS_ACCESS_KEY_ID").is_some() || set("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            return None;
        }
        Some(Self {
            url: set("ACTIONS_ID_TOKEN_REQUEST_URL")?,
            token: set("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?,
            role: set("AWS_ROLE_ARN")?,
            session: set("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "shipper".to_owned()),
            config: config.clone(),
        })
    }

    async fn identity(&self) -> Result<String, CredentialsError> {
        let failed = |text: String| CredentialsError::provider_error(format!("GitHub's identity token: {text}"));
        let mut url: Url = self.url.parse().map_err(|_| failed("ACTIONS_ID_TOKEN_REQUEST_URL is no URL".to_owned()))?;
        let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
            return Err(failed("ACTIONS_ID_TOKEN_REQUEST_URL is not https".to_owned()));
        }
        url.query_pairs_mut().append_pair("audience", AUDIENCE);
        let answered = tokio::time::timeout(DEADLINE, self.ask(&url)).await;
        let body = answered.unwrap_or_else(|_| Err("no answer within the deadline".to_owned())).map_err(failed)?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| failed("the answer holds no token".to_owned()))?;
        Ok(answer.value)
    }

    /// What GitHub answers. The error is a text without the URL, which is signed.
    async fn ask(&self, url: &Url) -> Result<Vec<u8>, String> {
        let mut request = HttpRequest::get(url).map_err(|_| "ACTIONS_ID_TOKEN_REQUEST_URL is no URL".to_owned())?;
        let set = request.headers_mut().try_insert("authorization", format!("Bearer {}", self.token));
        set.map_err(|_| "ACTIONS_ID_TOKEN_REQUEST_TOKEN is no token".to_owned())?;
        let answer = http::single().call(request).await.map_err(|error| error::chain(&error))?;
        if !answer.status().is_success() {
            return Err(format!("status {}; does the job have `id-token: write`?", answer.status().as_u16()));
        }
        let (mut parts, mut body) = (ByteStream::new(answer.into_body()), Vec::new());
        while let Some(part) = parts.next().await {
            body.extend_from_slice(&part.map_err(|error| error::chain(&error))?);
            if body.len() > MAX_ANSWER {
                return Err("the answer is too long".to_owned());
            }
        }
        Ok(body)
    }

    async fn assume(&self) -> Result<Credentials, CredentialsError> {
        let identity = self.identity().await?;
        let request = aws_sdk_sts::Client::new(&self.config).assume_role_with_web_identity();
        let request = request.role_arn(&self.role).role_session_name(&self.session).web_identity_token(identity);
        let answer = request.send().await.map_err(|error| {
            let error = crate::Error::from(("sts:AssumeRoleWithWebIdentity", error));
            CredentialsError::provider_error(format!("cannot {error}"))
        })?;
        let found = answer.credentials().ok_or_else(|| CredentialsError::provider_error("STS gave no credentials"))?;
        Ok(Credentials::new(
            found.access_key_id(),
            found.secret_access_key(),
            Some(found.session_token().to_owned()),
            std::time::SystemTime::try_from(*found.expiration()).ok(),
            "GitHub Actions",
        ))
    }
}

impl ProvideCredentials for GithubJob {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}
