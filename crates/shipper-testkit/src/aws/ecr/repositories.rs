//! Repositories: create, describe, settings, tags, policies, creation templates.

use serde_json::{Map, Value, json};

use super::super::{Answer, REGION, lock, refused};
use super::Call;
use crate::registry::Mutability;

impl Call<'_> {
    fn described(&self, name: &str) -> Option<Value> {
        let store = self.inner.registry.store();
        let (mutability, filters) = match &store.repository(name)?.mutability {
            Mutability::Mutable => ("MUTABLE", Vec::new()),
            Mutability::Immutable => ("IMMUTABLE", Vec::new()),
            Mutability::ImmutableExcept(filters) => ("IMMUTABLE_WITH_EXCLUSION", filters.clone()),
            Mutability::MutableExcept(filters) => ("MUTABLE_WITH_EXCLUSION", filters.clone()),
        };
        drop(store);
        let filters: Vec<Value> =
            filters.into_iter().map(|filter| json!({"filterType": "WILDCARD", "filter": filter})).collect();
        let mut state = lock(&self.inner.ecr);
        let about = state.about(name);
        let mut described = json!({
            "repositoryName": name,
            "repositoryArn": self.arn(name),
            "registryId": self.account,
            "repositoryUri": format!("{}.dkr.ecr.{REGION}.amazonaws.com/{name}", self.account),
            "createdAt": 1_767_225_600,
            "imageTagMutability": mutability,
            "imageScanningConfiguration": {"scanOnPush": about.scan_on_push},
            "encryptionConfiguration": about.encryption.clone().unwrap_or_else(|| json!({"encryptionType": "AES256"})),
        });
        if !filters.is_empty() {
            described["imageTagMutabilityExclusionFilters"] = Value::Array(filters);
        }
        Some(described)
    }

    pub(super) fn describe_repositories(&self) -> Answer {
        let named: Vec<&str> =
            self.parameters["repositoryNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let all: Vec<String> = if named.is_empty() {
            self.inner.registry.store().repositories.keys().cloned().collect()
        } else {
            named.into_iter().map(str::to_owned).collect()
        };
        let (names, next) = self.page(&all, 1000);
        let mut found = Vec::new();
        for name in names {
            match self.described(name) {
                Some(described) => found.push(described),
                None => return self.no_repository(name),
            }
        }
        Answer::Json(json!({"repositories": found, "nextToken": next}))
    }

    /// The mutability that the parameters ask for (ECR API: filters are needed with, and only with, an exclusion).
    fn asked_mutability(&self) -> Result<Mutability, Answer> {
        let listed = self.parameters["imageTagMutabilityExclusionFilters"].as_array();
        let filters: Vec<String> =
            listed.into_iter().flatten().filter_map(|filter| filter["filter"].as_str()).map(str::to_owned).collect();
        let is_bad = |filter: &String| {
            filter.matches('*').count() > 2
                || filter.is_empty()
                || filter.len() > 128
                || !filter.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'*' | b'-'))
        };
        let mutability = match self.text("imageTagMutability") {
            "MUTABLE" | "" => Mutability::Mutable,
            "IMMUTABLE" => Mutability::Immutable,
            "IMMUTABLE_WITH_EXCLUSION" => Mutability::ImmutableExcept(filters.clone()),
            "MUTABLE_WITH_EXCLUSION" => Mutability::MutableExcept(filters.clone()),
            other => return Err(refused("InvalidParameterException", format!("imageTagMutability {other}"))),
        };
        let excludes = matches!(mutability, Mutability::ImmutableExcept(_) | Mutability::MutableExcept(_));
        let counted = if excludes { (1..=5).contains(&filters.len()) } else { filters.is_empty() };
        if !counted || filters.iter().any(is_bad) {
            return Err(refused("InvalidParameterException", "imageTagMutabilityExclusionFilters"));
        }
        Ok(mutability)
    }

    pub(super) fn create_repository(&self) -> Answer {
        let name = self.repository().to_owned();
        if self.exists().is_ok() {
            return refused("RepositoryAlreadyExistsException", format!("The repository with name '{name}' exists"));
        }
        let mutability = match self.asked_mutability() {
            Ok(mutability) => mutability,
            Err(answer) => return answer,
        };
        self.inner.registry.store().repository_mut(&name).mutability = mutability;
        {
            let mut state = lock(&self.inner.ecr);
            let about = state.about(&name);
            about.scan_on_push = self.parameters["imageScanningConfiguration"]["scanOnPush"] == true;
            about.encryption = self.parameters.get("encryptionConfiguration").cloned();
        }
        self.add_tags(&name);
        Answer::Json(json!({"repository": self.described(&name)}))
    }

    fn add_tags(&self, name: &str) {
        let mut state = lock(&self.inner.ecr);
        for tag in self.parameters["tags"].as_array().into_iter().flatten() {
            if let (Some(key), Some(value)) = (tag["Key"].as_str(), tag["Value"].as_str()) {
                state.about(name).tags.insert(key.to_owned(), value.to_owned());
            }
        }
    }

    pub(super) fn put_mutability(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        match self.asked_mutability() {
            Ok(mutability) => {
                self.inner.registry.store().repository_mut(self.repository()).mutability = mutability;
                Answer::Json(json!({"repositoryName": self.repository()}))
            }
            Err(answer) => answer,
        }
    }

    pub(super) fn put_scanning(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let scans = self.parameters["imageScanningConfiguration"]["scanOnPush"] == true;
        lock(&self.inner.ecr).about(self.repository()).scan_on_push = scans;
        Answer::Json(json!({"repositoryName": self.repository()}))
    }

    /// The name in `resourceArn`.
    fn resource(&self) -> Result<String, Answer> {
        let name = self.text("resourceArn").rsplit_once(":repository/").map_or("", |(_, name)| name).to_owned();
        let exists = self.inner.registry.store().repository(&name).is_some();
        if exists { Ok(name) } else { Err(self.no_repository(&name)) }
    }

    pub(super) fn list_tags(&self) -> Answer {
        let name = match self.resource() {
            Ok(name) => name,
            Err(answer) => return answer,
        };
        let mut state = lock(&self.inner.ecr);
        let tags: Vec<Value> =
            state.about(&name).tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        Answer::Json(json!({"tags": tags}))
    }

    pub(super) fn tag_resource(&self) -> Answer {
        match self.resource() {
            Ok(name) => {
                self.add_tags(&name);
                Answer::Json(Value::Object(Map::new()))
            }
            Err(answer) => answer,
        }
    }

    pub(super) fn repository_policy(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        match &lock(&self.inner.ecr).about(self.repository()).policy {
            Some(text) => Answer::Json(json!({"repositoryName": self.repository(), "policyText": text})),
            None => refused("RepositoryPolicyNotFoundException", "Repository policy does not exist"),
        }
    }

    pub(super) fn set_repository_policy(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let text = self.text("policyText").to_owned();
        if serde_json::from_str::<Value>(&text).is_err() {
            return refused("InvalidParameterException", "Invalid parameter at 'PolicyText'");
        }
        lock(&self.inner.ecr).about(self.repository()).policy = Some(text);
        Answer::Json(json!({"repositoryName": self.repository()}))
    }

    pub(super) fn templates(&self) -> Answer {
        let state = lock(&self.inner.ecr);
        let wanted: Vec<&str> =
            self.parameters["prefixes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let found: Vec<&Value> = state
            .templates
            .iter()
            .filter(|(prefix, _)| wanted.is_empty() || wanted.contains(&prefix.as_str()))
            .map(|(_, template)| template)
            .collect();
        Answer::Json(json!({"repositoryCreationTemplates": found}))
    }

    pub(super) fn create_template(&self) -> Answer {
        let prefix = self.text("prefix").to_owned();
        let mut state = lock(&self.inner.ecr);
        if state.templates.contains_key(&prefix) {
            return refused("TemplateAlreadyExistsException", prefix);
        }
        state.templates.insert(prefix, self.parameters.clone());
        Answer::Json(json!({"repositoryCreationTemplate": self.parameters}))
    }
}
