//! The control plane of ECR over the store of the fake registry.
//!
//! Source: ECR API reference; which error is answered in which case follows the documented errors of each operation.

mod images;
mod lifecycle;
mod repositories;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Answer, Inner, REGION, lock, refused};

/// What ECR knows beyond the store.
#[derive(Default)]
pub(super) struct State {
    /// Seconds since the Unix epoch; the machine's clock where it is not set.
    pub(super) clock: Option<i64>,
    /// When each image was pushed: the time at which it was first seen here, unless a test says otherwise.
    pub(super) pushed: BTreeMap<(String, String), i64>,
    /// What scans of images say, one state for each look, the last one stays: status and counts.
    pub(super) scans: Vec<(String, Value)>,
    /// By digest: how many looks there were since the scan began.
    scanned: BTreeMap<String, usize>,
    abouts: BTreeMap<String, About>,
    templates: BTreeMap<String, Value>,
}

/// What ECR knows of a repository.
#[derive(Default)]
pub(super) struct About {
    pub(super) tags: BTreeMap<String, String>,
    pub(super) lifecycle: Option<String>,
    pub(super) policy: Option<String>,
    scan_on_push: bool,
    encryption: Option<Value>,
    preview: Option<Value>,
}

impl State {
    pub(super) fn about(&mut self, repository: &str) -> &mut About {
        self.abouts.entry(repository.to_owned()).or_default()
    }

    fn now(&self) -> i64 {
        let machine = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.clock.unwrap_or_else(|| i64::try_from(machine()).unwrap_or(i64::MAX))
    }

    fn pushed_at(&mut self, repository: &str, digest: &str) -> i64 {
        let now = self.now();
        *self.pushed.entry((repository.to_owned(), digest.to_owned())).or_insert(now)
    }
}

/// Most ids in one call.
const MOST_IDS: usize = 100;
/// Life of a password.
const LIFE: i64 = 12 * 3600;

pub(super) fn answer(inner: &Inner, operation: &str, parameters: &Value) -> Answer {
    let account = lock(&inner.account).clone();
    if parameters["registryId"].as_str().is_some_and(|registry| registry != account) {
        return refused("AccessDeniedException", "another account's registry");
    }
    let call = Call { inner, account: &account, parameters };
    match operation {
        "GetAuthorizationToken" => call.token(),
        "DescribeRepositories" => call.describe_repositories(),
        "CreateRepository" => call.create_repository(),
        "PutImageTagMutability" => call.put_mutability(),
        "PutImageScanningConfiguration" => call.put_scanning(),
        "ListTagsForResource" => call.list_tags(),
        "TagResource" => call.tag_resource(),
        "GetRepositoryPolicy" => call.repository_policy(),
        "SetRepositoryPolicy" => call.set_repository_policy(),
        "DescribeRepositoryCreationTemplates" => call.templates(),
        "CreateRepositoryCreationTemplate" => call.create_template(),
        "GetLifecyclePolicy" => call.lifecycle_policy(),
        "PutLifecyclePolicy" => call.put_lifecycle_policy(),
        "StartLifecyclePolicyPreview" => call.start_preview(),
        "GetLifecyclePolicyPreview" => call.preview(),
        "GetAccountSetting" => call.account_setting(),
        "DescribeImages" => call.describe_images(),
        "ListImages" => call.list_images(),
        "BatchGetImage" => call.batch_get(),
        "PutImage" => call.put_image(),
        "BatchDeleteImage" => call.batch_delete(),
        "DescribeImageScanFindings" => call.scan(),
        "StartImageScan" => call.start_scan(),
        _ => refused("UnknownOperationException", operation),
    }
}

struct Call<'a> {
    inner: &'a Inner,
    account: &'a str,
    parameters: &'a Value,
}

impl Call<'_> {
    fn text(&self, name: &str) -> &str {
        self.parameters[name].as_str().unwrap_or_default()
    }

    fn repository(&self) -> &str {
        self.text("repositoryName")
    }

    fn exists(&self) -> Result<(), Answer> {
        let name = self.repository();
        if self.inner.registry.store().repository(name).is_some() { Ok(()) } else { Err(self.no_repository(name)) }
    }

    fn no_repository(&self, name: &str) -> Answer {
        let account = self.account;
        refused(
            "RepositoryNotFoundException",
            format!("The repository with name '{name}' does not exist in the registry with id '{account}'"),
        )
    }

    /// One page of `all`: the items, and the token of the next page.
    fn page<'v, T>(&self, all: &'v [T], most: usize) -> (&'v [T], Option<String>) {
        let wanted = self.parameters["maxResults"].as_u64().and_then(|wanted| usize::try_from(wanted).ok());
        let size = wanted.unwrap_or(100).clamp(1, most);
        let from = self.text("nextToken").parse().unwrap_or(0).min(all.len());
        let until = (from + size).min(all.len());
        (&all[from..until], (until < all.len()).then(|| until.to_string()))
    }

    fn token(&self) -> Answer {
        use base64::Engine as _;
        let (user, password) = self.inner.registry.guard().login().unwrap_or_default();
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let expires = lock(&self.inner.ecr).now() + LIFE;
        Answer::Json(json!({"authorizationData": [{
            "authorizationToken": token,
            "expiresAt": expires,
            "proxyEndpoint": format!("http://{}", self.inner.registry.registry),
        }]}))
    }

    fn account_setting(&self) -> Answer {
        if self.text("name") != "BLOB_MOUNTING" {
            return refused("InvalidParameterException", "no such setting");
        }
        let value = if self.inner.registry.mounting.load(std::sync::atomic::Ordering::Relaxed) {
            "ENABLED"
        } else {
            "DISABLED"
        };
        Answer::Json(json!({"name": "BLOB_MOUNTING", "value": value}))
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:ecr:{REGION}:{}:repository/{name}", self.account)
    }
}
