//! The control plane of ECR over the store of the fake registry.
//!
//! Source: ECR API reference; which error is answered in which case follows the documented errors of each operation.

use serde_json::{Value, json};

use super::{Answer, Inner, REGION, lock, refused};
use crate::registry::{Mutability, Shared};

/// Most ids in one call.
const MOST_IDS: usize = 100;

pub(super) fn answer(inner: &Inner, operation: &str, parameters: &Value) -> Answer {
    let account = lock(&inner.account).clone();
    if parameters["registryId"].as_str().is_some_and(|registry| registry != account) {
        return refused("AccessDeniedException", "another account's registry");
    }
    match operation {
        "DescribeRepositories" => describe_repositories(inner, &account, parameters),
        "DescribeImages" => describe_images(&inner.registry, parameters),
        _ => refused("UnknownOperationException", operation),
    }
}

fn no_repository(name: &str, account: &str) -> Answer {
    refused(
        "RepositoryNotFoundException",
        format!("The repository with name '{name}' does not exist in the registry with id '{account}'"),
    )
}

fn describe_repositories(inner: &Inner, account: &str, parameters: &Value) -> Answer {
    let store = inner.registry.store();
    let mut found = Vec::new();
    for name in parameters["repositoryNames"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Some(repository) = store.repository(name) else { return no_repository(name, account) };
        let mutability = match repository.mutability {
            Mutability::Mutable => "MUTABLE",
            Mutability::Immutable => "IMMUTABLE",
            Mutability::ImmutableExcept(_) => "IMMUTABLE_WITH_EXCLUSION",
            Mutability::MutableExcept(_) => "MUTABLE_WITH_EXCLUSION",
        };
        found.push(json!({
            "repositoryName": name,
            "repositoryArn": format!("arn:aws:ecr:{REGION}:{account}:repository/{name}"),
            "registryId": account,
            "repositoryUri": format!("{account}.dkr.ecr.{REGION}.amazonaws.com/{name}"),
            "imageTagMutability": mutability,
        }));
    }
    Answer::Json(json!({"repositories": found}))
}

fn describe_images(registry: &Shared, parameters: &Value) -> Answer {
    let name = parameters["repositoryName"].as_str().unwrap_or_default();
    let store = registry.store();
    let Some(repository) = store.repository(name) else { return no_repository(name, "") };
    let ids: Vec<&Value> = parameters["imageIds"].as_array().into_iter().flatten().collect();
    if ids.len() > MOST_IDS {
        return refused("InvalidParameterException", "at most 100 image ids");
    }
    let mut details = Vec::new();
    for id in ids {
        let tagged = id["imageTag"].as_str().and_then(|tag| repository.tags.get(tag));
        let digest = tagged.map(String::as_str).or(id["imageDigest"].as_str()).unwrap_or_default();
        if !repository.manifests.contains_key(digest) {
            return refused("ImageNotFoundException", format!("The image with imageId {id} does not exist"));
        }
        details.push(json!({"imageDigest": digest, "repositoryName": name, "imageStatus": "ACTIVE"}));
    }
    Answer::Json(json!({"imageDetails": details}))
}
