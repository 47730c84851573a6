//! A repository as it should be: what has to change, and the changes.
//!
//! Source: ECR API. Encryption is fixed at creation; mutability, scanning, tags and the policy on access can be changed.
//!
//! Invariants: nothing is changed that is as asked for; a repository that a stack owns is not changed, because the stack
//! would change it back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageScanningConfiguration, ImageTagMutability,
    ImageTagMutabilityExclusionFilter, ImageTagMutabilityExclusionFilterType, RctAppliedFor, Repository, Tag,
};
use serde_json::{Value, json};
use shipper_aws::Error as AwsError;

use super::{Ecr, has_code};

/// How a repository should be. What is absent is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryGoal {
    /// Patterns of immutable tags; all others can be moved. At most five with two wildcards each.
    pub locks: Option<Vec<String>>,
    /// Whether images are scanned when they are pushed.
    pub scan_on_push: Option<bool>,
    /// ARN of the key that layers are encrypted with.
    pub kms_key: Option<String>,
    /// Tags of the repository; others are left alone.
    pub tags: BTreeMap<String, String>,
    /// Whether AWS Lambda may pull.
    pub lambda_pull: bool,
}

/// How a repository is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryState {
    /// Its ARN.
    pub arn: String,
    /// `MUTABLE`, `IMMUTABLE`, and both with exclusions.
    pub mutability: String,
    /// The exclusions, sorted.
    pub filters: Vec<String>,
    /// Whether images are scanned when they are pushed.
    pub scan_on_push: bool,
    /// The kind of encryption and its key.
    pub encryption: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The text of the policy on access.
    pub policy: Option<String>,
}

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepositoryChange {
    /// It does not exist.
    Create,
    /// Which tags are immutable.
    Locks(Vec<String>),
    /// Scanning of what is pushed.
    Scanning(bool),
    /// Tags to set.
    Tags(BTreeMap<String, String>),
    /// The policy on access, with the statement for Lambda.
    Access(String),
}

impl fmt::Display for RepositoryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("create it"),
            Self::Locks(filters) if filters.is_empty() => f.write_str("let every tag be moved"),
            Self::Locks(filters) => write!(f, "make tags immutable that match {}", filters.join(", ")),
            Self::Scanning(true) => f.write_str("scan images when they are pushed"),
            Self::Scanning(false) => f.write_str("do not scan images when they are pushed"),
            Self::Tags(tags) => {
                let pairs: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "tag it with {}", pairs.join(", "))
            }
            Self::Access(_) => f.write_str("let AWS Lambda pull"),
        }
    }
}

/// What can not be changed, or must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Drift {
    /// There is a creation template that says something else.
    #[error("write the creation template of `{prefix}`: there is one that says something else")]
    Template {
        /// The prefix.
        prefix: String,
    },
    /// Encryption differs, and is fixed.
    #[error("change the encryption of `{repository}` from {is} to {wanted}: it is fixed at creation")]
    Encryption {
        /// The repository.
        repository: String,
        /// As it is.
        is: String,
        /// As it should be.
        wanted: String,
    },
}

/// What has to be done about a creation template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateState {
    /// It is there, and as asked for.
    AsAsked,
    /// There is none.
    Missing,
    /// There is one that says something else.
    Different,
}

/// Tag that CloudFormation puts on what it owns.
const OWNER: &str = "aws:cloudformation:stack-name";
/// Name of the statement for Lambda.
const LAMBDA: &str = "LambdaECRImageRetrievalPolicy";

impl RepositoryState {
    /// The stack that owns the repository.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.tags.get(OWNER).map(String::as_str)
    }
}

impl RepositoryGoal {
    /// What has to change in the repository `name`, which is `state`, or does not exist.
    ///
    /// # Errors
    /// [`Drift`] for what can not be changed.
    pub fn changes(&self, name: &str, state: Option<&RepositoryState>) -> Result<Vec<RepositoryChange>, Drift> {
        let mut changes = Vec::new();
        let fresh = RepositoryState { mutability: "MUTABLE".to_owned(), ..RepositoryState::default() };
        let is = state.unwrap_or(&fresh);
        if state.is_none() {
            changes.push(RepositoryChange::Create);
        } else if let Some(key) = self.kms_key.as_ref().filter(|key| is.encryption != format!("KMS {key}")) {
            return Err(Drift::Encryption {
                repository: name.to_owned(),
                is: is.encryption.clone(),
                wanted: format!("KMS {key}"),
            });
        }
        if let Some(locks) = &self.locks {
            let mut filters = locks.clone();
            filters.sort_unstable();
            filters.dedup();
            let mutability = if filters.is_empty() { "MUTABLE" } else { "MUTABLE_WITH_EXCLUSION" };
            if is.mutability != mutability || is.filters != filters {
                changes.push(RepositoryChange::Locks(filters));
            }
        }
        if let Some(scan) = self.scan_on_push.filter(|scan| *scan != is.scan_on_push) {
            changes.push(RepositoryChange::Scanning(scan));
        }
        let differs = |(key, value): &(&String, &String)| is.tags.get(*key) != Some(*value);
        let tags: BTreeMap<String, String> =
            self.tags.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect();
        if !tags.is_empty() {
            changes.push(RepositoryChange::Tags(tags));
        }
        if self.lambda_pull
            && let Some(policy) = with_lambda(is.policy.as_deref())
        {
            changes.push(RepositoryChange::Access(policy));
        }
        Ok(changes)
    }
}

/// The policy with a statement that lets Lambda pull (Lambda developer guide, "Amazon ECR permissions"); `None` where it
/// has one.
fn with_lambda(policy: Option<&str>) -> Option<String> {
    let statement = json!({
        "Sid": LAMBDA,
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    });
    let mut document = policy
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .unwrap_or_else(|| json!({"Version": "2012-10-17", "Statement": []}));
    let statements = document.get_mut("Statement")?;
    if let Value::Object(_) = statements {
        *statements = Value::Array(vec![statements.take()]);
    }
    let statements = statements.as_array_mut()?;
    if statements.iter().any(|other| other["Sid"] == LAMBDA) {
        return None;
    }
    statements.push(statement);
    Some(document.to_string())
}

impl Ecr {
    /// How a repository is, without its tags and its policy on access; `None` where it does not exist.
    ///
    /// # Errors
    /// [`AwsError`] where ECR does not say.
    pub async fn repository_settings(&self, name: &str) -> Result<Option<RepositoryState>, AwsError> {
        let request = self.client.describe_repositories().repository_names(name).set_registry_id(self.registry_id());
        match request.send().await {
            Ok(answer) => Ok(answer.repositories().first().map(described)),
            Err(error) => {
                let error = AwsError::from(("ecr:DescribeRepositories", error));
                if has_code(&error, "RepositoryNotFoundException") { Ok(None) } else { Err(error) }
            }
        }
    }

    /// How a repository is; `None` where it does not exist.
    ///
    /// # Errors
    /// [`AwsError`] where ECR does not say.
    pub async fn repository_state(&self, name: &str) -> Result<Option<RepositoryState>, AwsError> {
        let Some(mut state) = self.repository_settings(name).await? else { return Ok(None) };
        let tags = self.client.list_tags_for_resource().resource_arn(&state.arn).send().await;
        let tags = tags.map_err(|error| AwsError::from(("ecr:ListTagsForResource", error)))?;
        state.tags = tags.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
        let policy = self.client.get_repository_policy().repository_name(name).set_registry_id(self.registry_id());
        state.policy = match policy.send().await {
            Ok(answer) => answer.policy_text().map(str::to_owned),
            Err(error) => {
                let error = AwsError::from(("ecr:GetRepositoryPolicy", error));
                if has_code(&error, "RepositoryPolicyNotFoundException") { None } else { return Err(error) }
            }
        };
        Ok(Some(state))
    }

    /// Makes one change to the repository `name` with the ARN `arn`, which a creation returns.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn change_repository(
        &self,
        name: &str,
        arn: &str,
        goal: &RepositoryGoal,
        change: &RepositoryChange,
    ) -> Result<Option<String>, AwsError> {
        let id = self.registry_id();
        match change {
            RepositoryChange::Create => return self.create(name, goal).await.map(Some),
            RepositoryChange::Locks(filters) => {
                let (mutability, filters) = mutability(filters);
                let request = self.client.put_image_tag_mutability().repository_name(name).set_registry_id(id);
                let request = request.image_tag_mutability(mutability);
                let answer = request.set_image_tag_mutability_exclusion_filters(filters).send().await;
                answer.map_err(|error| AwsError::from(("ecr:PutImageTagMutability", error)))?;
            }
            RepositoryChange::Scanning(scan) => {
                let scanning = ImageScanningConfiguration::builder().scan_on_push(*scan).build();
                let request = self.client.put_image_scanning_configuration().repository_name(name).set_registry_id(id);
                let answer = request.image_scanning_configuration(scanning).send().await;
                answer.map_err(|error| AwsError::from(("ecr:PutImageScanningConfiguration", error)))?;
            }
            RepositoryChange::Tags(tags) => {
                let request = self.client.tag_resource().resource_arn(arn).set_tags(Some(resource_tags(tags)));
                request.send().await.map_err(|error| AwsError::from(("ecr:TagResource", error)))?;
            }
            RepositoryChange::Access(policy) => {
                let request = self.client.set_repository_policy().repository_name(name).set_registry_id(id);
                let answer = request.policy_text(policy).send().await;
                answer.map_err(|error| AwsError::from(("ecr:SetRepositoryPolicy", error)))?;
            }
        }
        Ok(None)
    }

    /// How the creation template for repositories whose names begin with `prefix` (`ROOT`: all) is, as far as pushes that
    /// create a repository and locked tags are concerned.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn template_state(&self, prefix: &str, goal: &RepositoryGoal) -> Result<TemplateState, AwsError> {
        let answer = self.client.describe_repository_creation_templates().prefixes(prefix).send().await;
        let found = match answer {
            Ok(answer) => answer.repository_creation_templates().first().cloned(),
            Err(error) => {
                let error = AwsError::from(("ecr:DescribeRepositoryCreationTemplates", error));
                if !has_code(&error, "TemplateNotFoundException") {
                    return Err(error);
                }
                None
            }
        };
        let Some(found) = found else { return Ok(TemplateState::Missing) };
        let (wanted, filters) = mutability(goal.locks.as_deref().unwrap_or_default());
        let text = |filter: &ImageTagMutabilityExclusionFilter| filter.filter().to_owned();
        let has: BTreeSet<String> = found.image_tag_mutability_exclusion_filters().iter().map(text).collect();
        let wants: BTreeSet<String> = filters.iter().flatten().map(text).collect();
        let is_asked = found.applied_for().contains(&RctAppliedFor::CreateOnPush)
            && found.image_tag_mutability().unwrap_or(&ImageTagMutability::Mutable) == &wanted
            && has == wants;
        Ok(if is_asked { TemplateState::AsAsked } else { TemplateState::Different })
    }

    /// Whether a push to a repository that does not exist creates it: what the creation template says whose prefix is the
    /// longest that fits (ECR user guide, "Templates to control repositories created").
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn creates_on_push(&self, name: &str) -> Result<bool, AwsError> {
        let mut pages = self.client.describe_repository_creation_templates().into_paginator().send();
        let (mut longest, mut creates) = (None, false);
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| AwsError::from(("ecr:DescribeRepositoryCreationTemplates", error)))?;
            for template in page.repository_creation_templates() {
                let prefix = template.prefix().unwrap_or_default();
                let below = prefix == "ROOT" || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
                let length = if prefix == "ROOT" { 0 } else { prefix.len() };
                if below && longest.is_none_or(|longest| length > longest) {
                    longest = Some(length);
                    creates = template.applied_for().contains(&RctAppliedFor::CreateOnPush);
                }
            }
        }
        Ok(creates)
    }

    /// Lets a push create repositories whose names begin with `prefix`, with the locked tags of `goal`.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn create_template(&self, prefix: &str, goal: &RepositoryGoal) -> Result<(), AwsError> {
        let (mutability, filters) = mutability(goal.locks.as_deref().unwrap_or_default());
        let request = self.client.create_repository_creation_template().prefix(prefix).image_tag_mutability(mutability);
        let request = request.set_image_tag_mutability_exclusion_filters(filters);
        let request = request.applied_for(RctAppliedFor::CreateOnPush).description("written by shipper");
        let answer = request.set_resource_tags((!goal.tags.is_empty()).then(|| resource_tags(&goal.tags))).send().await;
        answer.map(|_| ()).map_err(|error| AwsError::from(("ecr:CreateRepositoryCreationTemplate", error)))
    }

    /// Creates a repository with everything that can be said at its creation. One that has come to exist is taken.
    async fn create(&self, name: &str, goal: &RepositoryGoal) -> Result<String, AwsError> {
        let mut request = self.client.create_repository().repository_name(name).set_registry_id(self.registry_id());
        if let Some(key) = &goal.kms_key {
            let encryption =
                EncryptionConfiguration::builder().encryption_type(EncryptionType::Kms).kms_key(key).build();
            let encryption = encryption.map_err(|error| AwsError::Service {
                action: "ecr:CreateRepository",
                code: "unknown".to_owned(),
                message: error.to_string(),
            })?;
            request = request.encryption_configuration(encryption);
        }
        match request.send().await {
            Ok(answer) => {
                let arn = answer.repository().and_then(Repository::repository_arn);
                Ok(arn.unwrap_or_default().to_owned())
            }
            Err(error) => {
                let error = AwsError::from(("ecr:CreateRepository", error));
                if !has_code(&error, "RepositoryAlreadyExistsException") {
                    return Err(error);
                }
                Ok(self.repository(name).await?.map(|found| found.arn).unwrap_or_default())
            }
        }
    }
}

fn described(found: &Repository) -> RepositoryState {
    let filters = found.image_tag_mutability_exclusion_filters().iter();
    let mut filters: Vec<String> = filters.map(|filter| filter.filter().to_owned()).collect();
    filters.sort_unstable();
    let encryption = found.encryption_configuration().map_or_else(String::new, |encryption| {
        let key = encryption.kms_key().map_or_else(String::new, |key| format!(" {key}"));
        format!("{}{key}", encryption.encryption_type().as_str())
    });
    RepositoryState {
        arn: found.repository_arn().unwrap_or_default().to_owned(),
        mutability: found.image_tag_mutability().map_or("MUTABLE", |mutability| mutability.as_str()).to_owned(),
        filters,
        scan_on_push: found.image_scanning_configuration().is_some_and(ImageScanningConfiguration::scan_on_push),
        encryption,
        tags: BTreeMap::new(),
        policy: None,
    }
}

fn mutability(filters: &[String]) -> (ImageTagMutability, Option<Vec<ImageTagMutabilityExclusionFilter>>) {
    let filter = |text: &String| {
        ImageTagMutabilityExclusionFilter::builder()
            .filter_type(ImageTagMutabilityExclusionFilterType::Wildcard)
            .filter(text)
            .build()
            .expect("because both parts are set")
    };
    if filters.is_empty() {
        return (ImageTagMutability::Mutable, None);
    }
    (ImageTagMutability::MutableWithExclusion, Some(filters.iter().map(filter).collect()))
}

fn resource_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| {
        Tag::builder().key(key).value(value).build().expect("because both parts are set")
    };
    tags.iter().map(tag).collect()
}
