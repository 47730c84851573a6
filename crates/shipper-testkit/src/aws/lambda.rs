//! Lambda: functions that are images, their versions and aliases, and updates that go through states that a test scripts.
//!
//! Invariants: an index is refused, as Lambda refuses it; nothing can be changed while an update is in progress; each look at a
//! configuration uses up one state, the last one stays.

use std::collections::{BTreeMap, VecDeque};

use axum::http::{Method, Uri};
use serde_json::{Value, json};

use super::{Answer, Inner, lock, refused};

#[derive(Default)]
pub(super) struct Functions {
    functions: BTreeMap<String, Function>,
    /// What updates to come go through: statuses of `LastUpdateStatus`, the last with a reason code after a slash.
    pub(super) script: Vec<String>,
}

struct Function {
    architecture: String,
    image: String,
    states: VecDeque<String>,
    /// Images by version, the first is version 1.
    versions: Vec<String>,
    /// Version and weights of other versions by alias.
    aliases: BTreeMap<String, (String, Value)>,
}

impl Functions {
    /// Makes a function of an image with version 1 and an alias of it.
    pub(super) fn set(&mut self, name: &str, architecture: &str, image: &str, alias: &str) {
        let aliases = BTreeMap::from([(alias.to_owned(), ("1".to_owned(), json!({})))]);
        let function = Function {
            architecture: architecture.to_owned(),
            image: image.to_owned(),
            states: VecDeque::new(),
            versions: vec![image.to_owned()],
            aliases,
        };
        self.functions.insert(name.to_owned(), function);
    }

    pub(super) fn image_of_alias(&self, name: &str, alias: &str) -> Option<String> {
        let function = self.functions.get(name)?;
        function.version(&function.aliases.get(alias)?.0).map(str::to_owned)
    }

    pub(super) fn split(&mut self, name: &str, alias: &str, version: &str) {
        if let Some(alias) = self.functions.get_mut(name).and_then(|function| function.aliases.get_mut(alias)) {
            alias.1 = json!({(version): 0.1});
        }
    }
}

impl Function {
    fn version(&self, version: &str) -> Option<&str> {
        match version {
            "" | "$LATEST" => Some(&self.image),
            _ => self.versions.get(version.parse::<usize>().ok()?.checked_sub(1)?).map(String::as_str),
        }
    }

    /// The configuration of a version; of the unpublished code with the next state of its update.
    fn configuration(&mut self, name: &str, version: &str, looks: bool) -> Option<Value> {
        let image = self.version(version)?.to_owned();
        let mut found = json!({
            "FunctionName": name, "PackageType": "Image", "Architectures": [self.architecture], "CodeSha256": image,
            "Version": if version.is_empty() { "$LATEST" } else { version }, "State": "Active",
        });
        let state = self.states.front().cloned().unwrap_or_else(|| "Successful".to_owned());
        if version.is_empty() {
            let (status, reason) = state.split_once('/').unwrap_or((&state, ""));
            found["LastUpdateStatus"] = status.into();
            if !reason.is_empty() {
                found["LastUpdateStatusReasonCode"] = reason.into();
            }
            if looks && self.states.len() > 1 {
                self.states.pop_front();
            }
        }
        Some(found)
    }

    fn is_busy(&self) -> bool {
        self.states.front().is_some_and(|state| state == "InProgress")
    }
}

/// The action of a request to Lambda; `None` for one to another service.
pub(super) fn action(method: &Method, uri: &Uri) -> Option<&'static str> {
    let rest = uri.path().strip_prefix("/2015-03-31/functions")?;
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    Some(match (method.as_str(), parts.as_slice()) {
        ("GET", [] | [""]) => "lambda:ListFunctions",
        ("GET", [_]) => "lambda:GetFunction",
        ("GET", [_, "configuration"]) => "lambda:GetFunctionConfiguration",
        ("PUT", [_, "code"]) => "lambda:UpdateFunctionCode",
        ("POST", [_, "versions"]) => "lambda:PublishVersion",
        ("GET", [_, "versions"]) => "lambda:ListVersionsByFunction",
        ("GET", [_, "aliases"]) => "lambda:ListAliases",
        ("POST", [_, "aliases"]) => "lambda:CreateAlias",
        ("GET", [_, "aliases", _]) => "lambda:GetAlias",
        ("PUT", [_, "aliases", _]) => "lambda:UpdateAlias",
        _ => "lambda:Unknown",
    })
}

/// Whether an image is one of a single platform, as far as the registry has it.
fn is_index(inner: &Inner, image: &str) -> bool {
    let Some((name, digest)) = image.split_once('@') else { return false };
    let Some((_, repository)) = name.split_once('/') else { return false };
    let store = inner.registry.store();
    let manifest = store.repository(repository).and_then(|repository| repository.manifests.get(digest));
    manifest.is_some_and(|manifest| manifest.media_type.contains("index") || manifest.media_type.contains("list"))
}

pub(super) fn answer(inner: &Inner, action: &str, uri: &Uri, parameters: &Value) -> Answer {
    let text = |name: &str| parameters[name].as_str().unwrap_or_default().to_owned();
    let path = uri.path().trim_start_matches("/2015-03-31/functions").to_owned();
    let mut parts = path.split('/').skip(1).map(|part| part.replace("%3A", ":"));
    let (name, _, place) = (parts.next().unwrap_or_default(), parts.next(), parts.next().unwrap_or_default());
    let qualifier = uri.query().and_then(|query| query.strip_prefix("Qualifier=")).unwrap_or_default();
    let missing = || Answer::Refused(404, "ResourceNotFoundException", format!("Function not found: {path}"));
    if action == "lambda:UpdateFunctionCode" && is_index(inner, &text("ImageUri")) {
        let message = "The image manifest, config or layer media type for the source image is not supported.";
        return refused("InvalidParameterValueException", message);
    }
    let mut functions = lock(&inner.functions);
    if action == "lambda:ListFunctions" {
        let all: Vec<Value> = functions
            .functions
            .iter()
            .flat_map(|(name, function)| {
                let versions = (1..=function.versions.len()).map(|version| version.to_string());
                let all = std::iter::once("$LATEST".to_owned()).chain(versions);
                all.map(move |version| json!({"FunctionName": name, "PackageType": "Image", "Version": version}))
            })
            .collect();
        let marker =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).find(|(name, _)| name == "Marker");
        let at: usize = marker.and_then(|(_, at)| at.trim_start_matches("a+b/=").parse().ok()).unwrap_or(0);
        let mut answer = json!({"Functions": all.iter().skip(at).take(2).collect::<Vec<_>>()});
        if at + 2 < all.len() {
            answer["NextMarker"] = format!("a+b/={}", at + 2).into();
        }
        return Answer::Json(answer);
    }
    let script = functions.script.iter().cloned().collect();
    let Some(function) = functions.functions.get_mut(&name) else { return missing() };
    let is_change = ["Update", "Publish", "Create"].iter().any(|verb| action[7..].starts_with(verb));
    if is_change && function.is_busy() {
        return Answer::Refused(409, "ResourceConflictException", "An update is in progress for resource".to_owned());
    }
    let alias = |name: &str, (version, weights): &(String, Value)| json!({"Name": name, "FunctionVersion": version, "RoutingConfig": {"AdditionalVersionWeights": weights}});
    match action {
        "lambda:GetFunction" => match function.configuration(&name, qualifier, false) {
            Some(configuration) => {
                let image = function.version(qualifier).unwrap_or_default();
                let code = json!({"RepositoryType": "ECR", "ImageUri": image, "ResolvedImageUri": image});
                Answer::Json(json!({"Configuration": configuration, "Code": code}))
            }
            None => missing(),
        },
        "lambda:GetFunctionConfiguration" => {
            function.configuration(&name, qualifier, true).map_or_else(missing, Answer::Json)
        }
        "lambda:UpdateFunctionCode" => {
            function.image = text("ImageUri");
            function.states = script;
            function.configuration(&name, "", false).map_or_else(missing, Answer::Json)
        }
        "lambda:PublishVersion" => {
            if text("CodeSha256") != function.image {
                return refused("InvalidParameterValueException", "CodeSHA256 does not match");
            }
            if function.versions.last() != Some(&function.image) {
                function.versions.push(function.image.clone());
            }
            let version = function.versions.len().to_string();
            function.configuration(&name, &version, false).map_or_else(missing, Answer::Json)
        }
        "lambda:ListVersionsByFunction" => {
            let versions = (1..=function.versions.len()).map(|version| json!({"Version": version.to_string()}));
            let all = std::iter::once(json!({"Version": "$LATEST"})).chain(versions).collect::<Vec<_>>();
            Answer::Json(json!({"Versions": all}))
        }
        "lambda:ListAliases" => {
            let all = function.aliases.iter().map(|(name, at)| alias(name, at)).collect::<Vec<_>>();
            Answer::Json(json!({"Aliases": all}))
        }
        "lambda:GetAlias" => match function.aliases.get(&place) {
            Some(at) => Answer::Json(alias(&place, at)),
            None => missing(),
        },
        "lambda:CreateAlias" | "lambda:UpdateAlias" => {
            let place = if action == "lambda:CreateAlias" { text("Name") } else { place };
            if function.version(&text("FunctionVersion")).is_none() {
                return missing();
            }
            function.aliases.insert(place.clone(), (text("FunctionVersion"), json!({})));
            Answer::Json(alias(&place, &function.aliases[&place]))
        }
        _ => Answer::Refused(404, "UnknownOperationException", action.to_owned()),
    }
}
