//! AWS in this process, for tests: the control plane of ECR over the store of a [`FakeRegistry`], CloudFormation with
//! scripted states, services of ECS, functions of Lambda, STS, and the logins of IAM Identity Center, on one free loopback port (`AWS_ENDPOINT_URL`).
//!
//! Invariants: digests are those of the stored bytes; what ECR refuses is refused; the clock is the test's; every call
//! is in the log, also one that a fault hits.

mod cloudformation;
mod ecr;
mod ecs;
mod fault;
mod lambda;
mod query;
mod sso;
mod sts;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub use fault::ApiFault;
pub use sso::SSO_SECRETS;
pub use sts::GITHUB_IDENTITY;

use crate::registry::{FakeRegistry, Shared};

/// The account of a [`FakeAws`], unless a test sets another.
pub const ACCOUNT: &str = "123456789012";
/// The region of a [`FakeAws`].
pub const REGION: &str = "eu-west-1";

/// A call as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `ecr:PutImage`: service and operation as policies name them.
    pub action: String,
    /// The parameters: the JSON of a call to ECR, an object of texts for the others.
    pub parameters: Value,
    /// Path and query of the request, which name what calls to Lambda are about.
    pub path: String,
    /// Region and service that the signature is for.
    pub scope: String,
    /// Id of the access key that it is made with.
    pub key: String,
}

/// An answer of a service.
enum Answer {
    Json(Value),
    /// With a status.
    Plain(u16, Value),
    Xml(String),
    /// Status, code, message.
    Refused(u16, &'static str, String),
}

/// A refusal with status 400, as almost all are.
fn refused(code: &'static str, message: impl Into<String>) -> Answer {
    Answer::Refused(400, code, message.into())
}

struct Inner {
    registry: Arc<Shared>,
    url: String,
    account: Mutex<String>,
    ecr: Mutex<ecr::State>,
    ecs: Mutex<ecs::Ecs>,
    functions: Mutex<lambda::Functions>,
    stacks: Mutex<cloudformation::Stacks>,
    logins: Mutex<sso::Logins>,
    script: fault::Script,
    calls: Mutex<Vec<Call>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// AWS in this process.
///
/// ```
/// use shipper_testkit::{FakeAws, FakeRegistry, Profile};
/// let registry = FakeRegistry::builder().profile(Profile::Ecr).start();
/// let aws = FakeAws::over(&registry);
/// registry.create_repository("shop/api");
/// aws.set_stack("ShopStack", &["CREATE_IN_PROGRESS", "CREATE_COMPLETE"], &[("Uri", &aws.repository_uri("shop/api"))]);
/// // .. run a program with AWS_ENDPOINT_URL set to aws.url() ..
/// assert!(aws.calls().is_empty());
/// ```
pub struct FakeAws {
    inner: Arc<Inner>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for FakeAws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeAws").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl FakeAws {
    /// Starts the services over the repositories of `registry`; they answer when this returns.
    ///
    /// # Panics
    /// If no loopback port can be opened or no thread started.
    #[must_use]
    pub fn over(registry: &FakeRegistry) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("cannot open a loopback port");
        let address = listener.local_addr().expect("because the socket is bound");
        let inner = Arc::new(Inner {
            registry: registry.shared(),
            url: format!("http://{address}"),
            account: Mutex::new(ACCOUNT.to_owned()),
            ecr: Mutex::default(),
            ecs: Mutex::default(),
            functions: Mutex::default(),
            stacks: Mutex::default(),
            logins: Mutex::default(),
            script: fault::Script::default(),
            calls: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let served = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("fake-aws".to_owned())
            .spawn(move || run(listener, served, stopped, &ready))
            .expect("cannot start a thread");
        is_ready.recv().expect("the fake services could not start");
        Self { inner, stop: Some(stop), thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.inner.url.clone()
    }

    /// What a program needs in its environment to use these services and nothing else of AWS.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_ACCESS_KEY_ID", "AKIDTESTKIT".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testkit-secret".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ]
    }

    /// The URI of a repository of this account, whether it exists or not.
    #[must_use]
    pub fn repository_uri(&self, name: &str) -> String {
        format!("{}.dkr.ecr.{REGION}.amazonaws.com/{name}", lock(&self.inner.account))
    }

    /// Makes the credentials those of another account.
    pub fn set_account(&self, account: &str) {
        account.clone_into(&mut lock(&self.inner.account));
    }

    /// Creates a stack or changes it. Each description of it uses up one state, the last one stays.
    pub fn set_stack(&self, name: &str, states: &[&str], outputs: &[(&str, &str)]) {
        lock(&self.inner.stacks).set(name, states, outputs);
    }

    /// Adds an export.
    pub fn add_export(&self, name: &str, value: &str) {
        lock(&self.inner.stacks).exports.push((name.to_owned(), value.to_owned()));
    }

    /// Makes `access_token` that of a login of IAM Identity Center.
    pub fn add_login(&self, access_token: &str) {
        lock(&self.inner.logins).tokens.insert(access_token.to_owned());
    }

    /// Lets `refresh_token` be exchanged for `access_token`, which is one of a login from then on.
    pub fn add_refresh(&self, refresh_token: &str, access_token: &str) {
        lock(&self.inner.logins).refreshes.insert(refresh_token.to_owned(), access_token.to_owned());
    }

    /// Stops the clock of ECR at so many seconds since the Unix epoch. It runs with the machine's until then.
    pub fn set_time(&self, seconds: i64) {
        lock(&self.inner.ecr).clock = Some(seconds);
    }

    /// Says when an image was pushed, in seconds since the Unix epoch.
    pub fn set_pushed_at(&self, repository: &str, digest: &str, seconds: i64) {
        lock(&self.inner.ecr).pushed.insert((repository.to_owned(), digest.to_owned()), seconds);
    }

    /// Gives a repository a tag, as CloudFormation does for those it owns.
    pub fn tag_repository(&self, repository: &str, key: &str, value: &str) {
        let mut state = lock(&self.inner.ecr);
        state.about(repository).tags.insert(key.to_owned(), value.to_owned());
    }

    /// The lifecycle policy of a repository.
    #[must_use]
    pub fn lifecycle_policy(&self, repository: &str) -> Option<String> {
        lock(&self.inner.ecr).about(repository).lifecycle.clone()
    }

    /// Gives a repository a lifecycle policy.
    pub fn set_lifecycle_policy(&self, repository: &str, text: &str) {
        lock(&self.inner.ecr).about(repository).lifecycle = Some(text.to_owned());
    }

    /// The policy on who may do what in a repository.
    #[must_use]
    pub fn repository_policy(&self, repository: &str) -> Option<String> {
        lock(&self.inner.ecr).about(repository).policy.clone()
    }

    /// Makes a service of ECS with this task definition, and gives its ARN.
    pub fn set_service(&self, cluster: &str, service: &str, definition: &Value) -> String {
        lock(&self.inner.ecs).set(cluster, service, definition)
    }

    /// Registers a task definition in ECS, and gives its ARN.
    pub fn set_definition(&self, definition: &Value) -> String {
        lock(&self.inner.ecs).define(definition)
    }

    /// Runs a task of ECS that belongs to no service.
    pub fn run_task(&self, cluster: &str, definition: &str, image: &str, digest: &str) {
        lock(&self.inner.ecs).run_task(cluster, definition, image, digest);
    }

    /// Says what carries the deployments of a service out: `ECS`, `CODE_DEPLOY` or `EXTERNAL`.
    pub fn set_controller(&self, cluster: &str, service: &str, controller: &str) {
        lock(&self.inner.ecs).set_controller(cluster, service, controller);
    }

    /// Sets what deployments to come go through, one state for each description: `STATUS` or `STATUS/LIFECYCLE_STAGE`. The last
    /// one stays.
    pub fn script_deployments(&self, states: &[&str]) {
        lock(&self.inner.ecs).script = states.iter().map(|state| (*state).to_owned()).collect();
    }

    /// Ends the deployments of ECS that are under way with success.
    pub fn finish_deployments(&self) {
        lock(&self.inner.ecs).finish();
    }

    /// Lets ECS take the last deployment of each service back.
    pub fn roll_back_deployments(&self) {
        lock(&self.inner.ecs).roll_back();
    }

    /// The task definition that a service of ECS has.
    #[must_use]
    pub fn task_definition(&self, cluster: &str, service: &str) -> Option<Value> {
        lock(&self.inner.ecs).of_service(cluster, service)
    }

    /// Makes a function of Lambda (`x86_64` or `arm64`) with version 1 of an image and an alias of it.
    pub fn set_function(&self, name: &str, architecture: &str, image: &str, alias: &str) {
        lock(&self.inner.functions).set(name, architecture, image, alias);
    }

    /// Sets what updates of functions to come go through: statuses such as `InProgress`, `Successful`, `Failed/ImageAccessDenied`.
    pub fn script_updates(&self, states: &[&str]) {
        lock(&self.inner.functions).script = states.iter().map(|state| (*state).to_owned()).collect();
    }

    /// Sends a tenth of the calls of an alias to another version.
    pub fn split_alias(&self, name: &str, alias: &str, version: &str) {
        lock(&self.inner.functions).split(name, alias, version);
    }

    /// The image that callers of an alias get.
    #[must_use]
    pub fn image_of_alias(&self, name: &str, alias: &str) -> Option<String> {
        lock(&self.inner.functions).image_of_alias(name, alias)
    }

    /// Adds a fault; the first that fits a call strikes.
    pub fn fault(&self, fault: ApiFault) {
        self.inner.script.add(fault);
    }

    /// Sets what ECR says of scans to come: a status for each look, and how many findings there are of each severity at the end.
    pub fn script_scans(&self, statuses: &[&str], counts: &Value) {
        lock(&self.inner.ecr).scans = statuses.iter().map(|status| ((*status).to_owned(), counts.clone())).collect();
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.inner.script.clear();
    }

    /// All calls so far, in order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.inner.calls).clone()
    }

    /// The actions of all calls so far.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.action).collect()
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        lock(&self.inner.calls).clear();
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(listener: TcpListener, inner: Arc<Inner>, stopped: oneshot::Receiver<()>, ready: &mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("cannot start a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("cannot prepare a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("cannot register a socket");
        let app = Router::new().fallback(handle).with_state(inner);
        tokio::spawn(async move { axum::serve(listener, app).await });
        // The starter may be gone already; then there is nobody to tell.
        let _ = ready.send(());
        let _ = stopped.await;
    });
    // Ends open connections, hanging ones included.
    runtime.shutdown_background();
}

/// What a job shows GitHub to get its identity token.
pub const GITHUB_REQUEST_TOKEN: &str = "canary-request-token-of-a-job";

/// GitHub's answer to a job that asks for its identity token.
async fn github(inner: &Inner, uri: &Uri, authorization: &str) -> Answer {
    let call = Call {
        action: "github:IdToken".to_owned(),
        parameters: json!({"query": uri.query().unwrap_or_default()}),
        path: uri.to_string(),
        scope: String::new(),
        key: String::new(),
    };
    lock(&inner.calls).push(call);
    match struck(inner, "github:IdToken").await {
        Some(answer) => answer,
        None if authorization == format!("Bearer {GITHUB_REQUEST_TOKEN}") => {
            Answer::Json(json!({"count": 1, "value": GITHUB_IDENTITY}))
        }
        None => Answer::Refused(401, "Unauthorized", String::new()),
    }
}

/// The answer of a fault, where one strikes; of one that hangs none ever comes.
async fn struck(inner: &Inner, action: &str) -> Option<Answer> {
    match inner.script.strike(action)? {
        ApiFault::Hang { .. } => std::future::pending().await,
        fault => Some(fault.answer(action)),
    }
}

/// Services of the JSON protocol, and what stands before the operation in `X-Amz-Target`.
const JSON_SERVICES: &[(&str, &str)] =
    &[("ecr", "AmazonEC2ContainerRegistry_V20150921"), ("ecs", "AmazonEC2ContainerServiceV20141113")];

async fn handle(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if uri.path() == "/github" {
        return respond(github(&inner, &uri, header("authorization")).await, true);
    }
    if let Some((action, parameters)) = sso::parse(&method, &uri, header("x-amz-sso_bearer_token"), &body) {
        let call = Call {
            action: action.to_owned(),
            parameters: parameters.clone(),
            path: uri.to_string(),
            scope: String::new(),
            key: String::new(),
        };
        lock(&inner.calls).push(call);
        let answer = match struck(&inner, action).await {
            Some(answer) => answer,
            None => sso::answer(&mut lock(&inner.logins), action, &parameters),
        };
        return respond(answer, true);
    }
    if let Some(action) = lambda::action(&method, &uri) {
        let (key, scope) = query::signed(header("authorization"));
        let parameters: Value = serde_json::from_slice(&body).unwrap_or_default();
        let is_signed = scope == format!("{REGION}/lambda") && !header("x-amz-date").is_empty();
        let call =
            Call { action: action.to_owned(), parameters: parameters.clone(), path: uri.to_string(), scope, key };
        lock(&inner.calls).push(call);
        let answer = match struck(&inner, action).await {
            Some(answer) => answer,
            None if !is_signed => Answer::Refused(403, "MissingAuthenticationTokenException", String::new()),
            None => lambda::answer(&inner, action, &uri, &parameters),
        };
        return respond_rest(answer);
    }
    let target = header("x-amz-target");
    let of_json = JSON_SERVICES.iter().find_map(|(service, prefix)| {
        let operation = target.strip_prefix(prefix)?.strip_prefix('.')?;
        Some((format!("{service}:{operation}"), serde_json::from_slice(&body).unwrap_or_default()))
    });
    let is_json = of_json.is_some();
    let (action, parameters) = of_json.unwrap_or_else(|| query::parse(&body));
    let (key, scope) = query::signed(header("authorization"));
    let is_signed = header("authorization")
        .contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=")
        && !header("x-amz-date").is_empty()
        && scope == format!("{REGION}/ecs");
    let call = Call { action: action.clone(), parameters: parameters.clone(), path: uri.to_string(), scope, key };
    lock(&inner.calls).push(call);
    let answer = match struck(&inner, &action).await {
        Some(answer) => answer,
        None => match action.split_once(':') {
            Some(("ecs", _)) if !is_signed => {
                refused("MissingAuthenticationTokenException", "Missing Authentication Token")
            }
            Some(("ecs", operation)) => ecs::answer(&mut lock(&inner.ecs), operation, &parameters),
            Some(("ecr", operation)) => ecr::answer(&inner, operation, &parameters),
            Some(("cloudformation", operation)) => cloudformation::answer(&inner, operation, &parameters),
            Some(("sts", operation)) => sts::answer(&inner, operation, &parameters),
            _ => refused("InvalidAction", action),
        },
    };
    respond(answer, is_json)
}

/// As services of the REST protocol answer: the code of an error is in a header.
fn respond_rest(answer: Answer) -> Response<Body> {
    let code = if let Answer::Refused(_, code, _) = &answer { *code } else { "" };
    let answer = match answer {
        Answer::Refused(status, _, message) => Answer::Plain(status, json!({"Type": "User", "Message": message})),
        answer => answer,
    };
    let mut response = respond(answer, true);
    if !code.is_empty() {
        response.headers_mut().insert("x-amzn-errortype", code.parse().expect("because codes are plain"));
    }
    response
}

fn respond(answer: Answer, is_json: bool) -> Response<Body> {
    let (status, kind, body) = match answer {
        Answer::Plain(status, body) => (status, "application/json", body.to_string()),
        Answer::Json(body) => (200, "application/x-amz-json-1.1", body.to_string()),
        Answer::Xml(body) => (200, "text/xml", body),
        Answer::Refused(status, code, message) if is_json => {
            (status, "application/x-amz-json-1.1", json!({"__type": code, "message": message}).to_string())
        }
        Answer::Refused(status, code, message) => (status, "text/xml", query::error(code, &message)),
    };
    Response::builder()
        .status(StatusCode::from_u16(status).expect("because statuses are constants"))
        .header("content-type", kind)
        .body(Body::from(body))
        .expect("because the headers are constants")
}
