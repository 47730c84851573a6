//! Signed calls to services that have no client of their own here: JSON in, JSON out.
//!
//! The clients of the SDK for ECS and Lambda take as long to compile as everything that shipper needs of them takes to write:
//! a dozen calls, whose documents have to be kept whole anyway, with the fields that are not known.
//!
//! Sources: AWS General Reference, "Signature Version 4"; Smithy specification, "AWS JSON 1.1 protocol" and "AWS restJson1
//! protocol" (where the code of an error is); AWS SDKs and Tools Reference Guide, "Service-specific endpoints" and "Retry
//! behavior" (five attempts at most, full jitter).
//!
//! Invariants: every request is signed anew for each attempt; what was throttled, failed inside the service or did not arrive
//! is tried again, and nothing else; all attempts together end within the session's deadline; an answer longer than
//! [`MOST`] is none.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_types::service_config::ServiceConfigKey;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::error::{chain, of_code, of_credentials};
use crate::{Error, Session, http};

/// The longest answer, in bytes: a task definition has 64 KiB at most, and a page holds a hundred of what is longest.
const MOST: usize = 16 * 1024 * 1024;
/// How often a call is tried.
const ATTEMPTS: u32 = 5;
/// The longest pause before the first repetition; it doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
/// Credentials that end sooner than this are fetched anew.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Its id, as in `AWS_ENDPOINT_URL_<ID>`.
    pub id: &'static str,
    /// Its name in hosts and signatures.
    pub name: &'static str,
    /// What stands before the operation in `X-Amz-Target`; empty for a service of the REST protocol.
    pub target: &'static str,
}

/// A call: what a policy has to allow, and what is sent.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// `service:Operation`, as in policies.
    pub action: &'static str,
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// Path and query, percent-encoded, with the slash at its beginning.
    pub path: &'a str,
    /// The document; nothing is sent where it is absent.
    pub body: Option<&'a Value>,
}

/// A service, called with the credentials, region and endpoints of a session. Clones share connections and credentials.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    config: SdkConfig,
    service: Service,
    connector: Connector,
    credentials: Mutex<Option<Credentials>>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("service", &self.inner.service).finish_non_exhaustive()
    }
}

/// An answer as it arrived.
struct Answer {
    status: u16,
    /// The header `x-amzn-errortype`, where services of the REST protocol put the code of an error.
    error_type: String,
    body: Vec<u8>,
}

impl Api {
    /// Nothing is read or sent.
    #[must_use]
    pub fn new(session: &Session, service: Service) -> Self {
        let inner = Inner { config: session.into(), service, connector: http::single(), credentials: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Calls an operation of a service of the JSON protocol, such as `DescribeServices`.
    ///
    /// # Errors
    /// [`Error`], with the action that a policy has to allow.
    pub async fn operation(&self, action: &'static str, body: &Value) -> Result<Value, Error> {
        self.call(Call { action, method: "POST", path: "/", body: Some(body) }).await
    }

    /// Makes a call, again where that may help, and gives the document of the answer.
    ///
    /// # Errors
    /// As [`operation`](Self::operation).
    pub async fn call(&self, call: Call<'_>) -> Result<Value, Error> {
        let deadline = self.inner.config.timeout_config().and_then(TimeoutConfig::operation_timeout);
        let deadline = deadline.unwrap_or(Duration::from_secs(30));
        let tried = tokio::time::timeout(deadline, self.repeated(call)).await;
        tried.unwrap_or(Err(Error::Timeout { action: call.action }))
    }

    async fn repeated(&self, call: Call<'_>) -> Result<Value, Error> {
        for attempt in 1.. {
            let (error, may_help) = match self.once(call).await {
                Ok(answer) if answer.status < 300 => return document(call.action, &answer.body),
                Ok(answer) => {
                    let error = refused(call.action, &answer);
                    let may_help = answer.status >= 500 || matches!(error, Error::Throttled { .. });
                    (error, may_help)
                }
                Err(error) => {
                    let may_help = matches!(error, Error::Unreachable { .. });
                    (error, may_help)
                }
            };
            if !may_help || attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep((PAUSE * 2_u32.pow(attempt - 1)).mul_f64(fastrand::f64())).await;
        }
        unreachable!("because the last attempt returns")
    }

    async fn once(&self, call: Call<'_>) -> Result<Answer, Error> {
        let action = call.action;
        let unusable = |detail: String| Error::Request { action, detail };
        let unreachable = |detail: String| Error::Unreachable { action, detail };
        let region = self.inner.config.region().ok_or(Error::NoRegion { action })?.as_ref().to_owned();
        let url = format!("{}{}", self.endpoint(&region), call.path);
        let body = call.body.map(Value::to_string).unwrap_or_default();
        let mut request = HttpRequest::new(SdkBody::from(body.clone()));
        request.set_method(call.method).map_err(|error| unusable(chain(&error)))?;
        request.set_uri(url.as_str()).map_err(|error| unusable(format!("{url} is no URL: {}", chain(&error))))?;
        let target = (!self.inner.service.target.is_empty()).then(|| {
            let operation = action.split_once(':').map_or(action, |(_, operation)| operation);
            format!("{}.{operation}", self.inner.service.target)
        });
        let kind = if target.is_some() { "application/x-amz-json-1.1" } else { "application/json" };
        let mut headers = vec![("user-agent", concat!("shipper/", env!("CARGO_PKG_VERSION")).to_owned())];
        headers.extend(call.body.map(|_| ("content-type", kind.to_owned())));
        headers.extend(target.map(|target| ("x-amz-target", target)));
        // A client between here and the service may change what it says of itself.
        let signed = headers.iter().skip(1).map(|(name, value)| (*name, value.as_str()));
        headers.extend(self.signature(call, &region, &url, signed, body.as_bytes()).await?);
        for (name, value) in headers {
            let set = request.headers_mut().try_insert(name, value);
            set.map_err(|error| unusable(chain(&error)))?;
        }
        let answer = self.inner.connector.call(request).await.map_err(|error| unreachable(chain(&error)))?;
        let status = answer.status().as_u16();
        let error_type = answer.headers().get("x-amzn-errortype").unwrap_or_default().to_owned();
        let (mut parts, mut body) = (ByteStream::new(answer.into_body()), Vec::new());
        while let Some(part) = parts.next().await {
            body.extend_from_slice(&part.map_err(|error| unreachable(chain(&error)))?);
            if body.len() > MOST {
                return Err(Error::Service {
                    action,
                    code: "unknown".to_owned(),
                    message: "it says too much".to_owned(),
                });
            }
        }
        Ok(Answer { status, error_type, body })
    }

    /// The headers that sign a request.
    async fn signature<'a>(
        &self,
        call: Call<'_>,
        region: &str,
        url: &'a str,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        body: &'a [u8],
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let action = call.action;
        let identity: Identity = self.credentials(action).await?.into();
        let clock = self.inner.config.time_source();
        let unsigned = |error: &dyn std::error::Error| Error::Request { action, detail: chain(error) };
        let settings = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(self.inner.service.name)
            .time(clock.map_or_else(SystemTime::now, |clock| clock.now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsigned(&error))?
            .into();
        let request = SignableRequest::new(call.method, url, headers, SignableBody::Bytes(body));
        let request = request.map_err(|error| unsigned(&error))?;
        let (instructions, _) = sign(request, &settings).map_err(|error| unsigned(&error))?.into_parts();
        let (headers, _) = instructions.into_parts();
        Ok(headers.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
    }

    async fn credentials(&self, action: &'static str) -> Result<Credentials, Error> {
        let mut kept = self.inner.credentials.lock().await;
        let lasts = |found: &Credentials| found.expiry().is_none_or(|end| end > SystemTime::now() + MARGIN);
        if let Some(found) = kept.as_ref().filter(|found| lasts(found)) {
            return Ok(found.clone());
        }
        let none = || Error::NoCredentials { action, detail: "the chain of providers is at its end".to_owned() };
        let provider = self.inner.config.credentials_provider().ok_or_else(none)?;
        let found = provider.provide_credentials().await.map_err(|error| of_credentials(action, &error))?;
        *kept = Some(found.clone());
        Ok(found)
    }

    /// Where the service is, without a slash at the end: where environment or profile say, else the region's own.
    fn endpoint(&self, region: &str) -> String {
        let Service { id, name, .. } = self.inner.service;
        let config = &self.inner.config;
        let key = ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
        let of_service = || config.service_config()?.load_config(key.ok()?);
        if let Some(url) = of_service().or_else(|| config.endpoint_url().map(str::to_owned)) {
            return url.trim_end_matches('/').to_owned();
        }
        host(name, region, config.use_fips() == Some(true), config.use_dual_stack() == Some(true))
    }
}

/// The endpoint of a service in a region (AWS General Reference, "Service endpoints": FIPS and dual-stack names; the SDK's
/// partitions for domains).
fn host(name: &str, region: &str, is_fips: bool, is_dual_stack: bool) -> String {
    const DOMAINS: &[(&str, &str, &str)] = &[
        ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
        ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ];
    let known = DOMAINS.iter().find(|(beginning, ..)| region.starts_with(beginning));
    let (plain, dual) = known.map_or(("amazonaws.com", "api.aws"), |(_, plain, dual)| (*plain, *dual));
    let domain = if is_dual_stack { dual } else { plain };
    format!("https://{name}{}.{region}.{domain}", if is_fips { "-fips" } else { "" })
}

/// The document of an answer; an empty one is `null`.
fn document(action: &'static str, body: &[u8]) -> Result<Value, Error> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let wrong = |error: serde_json::Error| Error::Service {
        action,
        code: "unknown".to_owned(),
        message: format!("the answer is no JSON: {error}"),
    };
    serde_json::from_slice(body).map_err(wrong)
}

/// What an answer that is no success means.
fn refused(action: &'static str, answer: &Answer) -> Error {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| document[name].as_str().filter(|text| !text.is_empty());
    let code = text("__type").or_else(|| text("code")).or_else(|| text("Code")).unwrap_or(&answer.error_type);
    // `com.amazonaws.ecs#ClientException:http://...`: what is around the name differs from service to service.
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit_once('#').map_or(code, |(_, name)| name);
    let message = text("message").or_else(|| text("Message")).or_else(|| text("errorMessage")).unwrap_or_default();
    if message.contains("iam:PassRole") {
        return Error::Denied { action: "iam:PassRole" };
    }
    if code.is_empty() {
        let message = format!("status {}{}{message}", answer.status, if message.is_empty() { "" } else { ": " });
        return if answer.status == 429 {
            Error::Throttled { action }
        } else {
            Error::Service { action, code: "unknown".to_owned(), message }
        };
    }
    of_code(action, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_the_partition() {
        let check = |region: &str, fips: bool, dual: bool, expected: &str| {
            assert_eq!(host("ecs", region, fips, dual), format!("https://{expected}"));
        };
        check("eu-west-1", false, false, "ecs.eu-west-1.amazonaws.com");
        check("us-gov-west-1", true, false, "ecs-fips.us-gov-west-1.amazonaws.com");
        check("cn-north-1", false, false, "ecs.cn-north-1.amazonaws.com.cn");
        check("eusc-de-east-1", false, false, "ecs.eusc-de-east-1.amazonaws.eu");
        check("us-east-1", true, true, "ecs-fips.us-east-1.api.aws");
    }

    #[test]
    fn the_code_of_an_error_is_found_wherever_it_is() {
        let answer = |status: u16, error_type: &str, body: &str| Answer {
            status,
            error_type: error_type.to_owned(),
            body: body.as_bytes().to_vec(),
        };
        let check = |answer: &Answer, expected: &str| {
            assert_eq!(refused("ecs:UpdateService", answer).to_string(), format!("call {expected}"));
        };
        let ecs = r#"{"__type":"com.amazonaws.ecs#ServiceNotFoundException","message":"gone"}"#;
        check(&answer(400, "", ecs), "ecs:UpdateService: ServiceNotFoundException: gone");
        let lambda = r#"{"Type":"User","Message":"no such function"}"#;
        let code = "ResourceNotFoundException:http://internal.amazon.com/";
        check(&answer(404, code, lambda), "ecs:UpdateService: ResourceNotFoundException: no such function");
        check(&answer(400, "", r#"{"__type":"ThrottlingException"}"#), "ecs:UpdateService: requests are throttled");
        check(&answer(429, "", ""), "ecs:UpdateService: requests are throttled");
        check(&answer(502, "", "<html>"), "ecs:UpdateService: unknown: status 502");
        let pass =
            r#"{"__type":"AccessDeniedException","message":"not authorized to perform: iam:PassRole on resource"}"#;
        check(&answer(400, "", pass), "iam:PassRole: access is denied");
        check(&answer(403, "AccessDeniedException", "{}"), "ecs:UpdateService: access is denied");
    }
}
