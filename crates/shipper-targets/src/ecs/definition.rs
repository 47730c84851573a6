//! Task definitions: documents that are kept whole, but for the image of one container.
//!
//! Source: ECS API reference, `TaskDefinition` and `RegisterTaskDefinition`: what the first has and the second does not take.

use serde_json::{Map, Value};

use crate::Error;

/// What ECS adds to a task definition and does not take back.
const READ_ONLY: &[&str] = &[
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// A task definition as ECS describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    arn: String,
    document: Map<String, Value>,
    tags: Vec<Value>,
}

impl Definition {
    /// Reads an answer of `DescribeTaskDefinition`, tags included where they were asked for.
    ///
    /// # Errors
    /// [`Error::Answer`] for one without a task definition.
    pub fn read(answer: &Value) -> Result<Self, Error> {
        let missing = |field| Error::Answer { action: "ecs:DescribeTaskDefinition", field };
        let document = answer["taskDefinition"].as_object().ok_or_else(|| missing("taskDefinition"))?.clone();
        let arn = document.get("taskDefinitionArn").and_then(Value::as_str);
        let arn = arn.ok_or_else(|| missing("taskDefinitionArn"))?.to_owned();
        Ok(Self { arn, document, tags: answer["tags"].as_array().cloned().unwrap_or_default() })
    }

    /// Its name with its revision.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The images of its containers by their names, in their order.
    pub fn images(&self) -> impl Iterator<Item = (&str, &str)> {
        let containers = self.document.get("containerDefinitions").and_then(Value::as_array);
        containers.into_iter().flatten().filter_map(|one| Some((one["name"].as_str()?, one["image"].as_str()?)))
    }

    /// The image of a container.
    ///
    /// # Errors
    /// [`Error::NoContainer`].
    pub fn image(&self, container: &str) -> Result<&str, Error> {
        let found = self.images().find(|(name, _)| *name == container).map(|(_, image)| image);
        found.ok_or_else(|| Error::NoContainer {
            container: container.to_owned(),
            definition: self.arn.clone(),
            known: self.images().map(|(name, _)| name.to_owned()).collect(),
        })
    }

    /// The platform that its tasks run on, as `linux/amd64`; `None` where the machines of the cluster decide.
    ///
    /// Source: ECS developer guide, "Task definition parameters for Fargate": `runtimePlatform` is X86_64 and Linux where
    /// nothing is said.
    #[must_use]
    pub fn platform(&self) -> Option<String> {
        let platform = self.document.get("runtimePlatform").unwrap_or(&Value::Null);
        let only = |field: &str| self.document.get(field).and_then(Value::as_array).into_iter().flatten();
        let is_fargate = only("requiresCompatibilities").any(|kind| kind == "FARGATE");
        let system = platform["operatingSystemFamily"].as_str().or(is_fargate.then_some("LINUX"))?;
        let architecture = match platform["cpuArchitecture"].as_str().or(is_fargate.then_some("X86_64"))? {
            "X86_64" => "amd64",
            "ARM64" => "arm64",
            _ => return None,
        };
        let system = if system.starts_with("WINDOWS") { "windows" } else { "linux" };
        Some(format!("{system}/{architecture}"))
    }

    /// What `RegisterTaskDefinition` takes for the same with another image of one container. Fields that are not known stay.
    #[must_use]
    pub fn with_image(&self, container: &str, image: &str) -> Value {
        let mut next = self.document.clone();
        next.retain(|field, _| !READ_ONLY.contains(&field.as_str()));
        for one in next.get_mut("containerDefinitions").and_then(Value::as_array_mut).into_iter().flatten() {
            if one["name"] == container {
                one["image"] = image.into();
            }
        }
        // Tags that begin with `aws:` are those of AWS, which refuses to be given them.
        let is_own = |tag: &&Value| !tag["key"].as_str().is_some_and(|key| key.starts_with("aws:"));
        let own: Vec<Value> = self.tags.iter().filter(is_own).cloned().collect();
        if !own.is_empty() {
            next.insert("tags".to_owned(), own.into());
        }
        next.into()
    }
}

/// Whether two references mean one manifest of one repository: what stands before the digest as tag does not count.
///
/// ```
/// # use shipper_targets::is_same_image;
/// assert!(is_same_image("h:5000/shop/api:v1@sha256:aa", "h:5000/shop/api@sha256:aa"));
/// assert!(!is_same_image("h:5000/shop/api:v1", "h:5000/shop/api@sha256:aa"));
/// ```
#[must_use]
pub fn is_same_image(one: &str, other: &str) -> bool {
    let parts = |text: &str| {
        let (_, digest) = text.split_once('@')?;
        Some((repository_of(text).to_owned(), digest.to_owned()))
    };
    one == other || parts(one).is_some_and(|one| parts(other) == Some(one))
}

/// A reference without its tag and its digest.
pub(crate) fn repository_of(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    let path = name.rfind('/').map_or(0, |at| at + 1);
    let end = name[path..].find(':').map_or(name.len(), |at| path + at);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(fields: &Value) -> Definition {
        let mut document = json!({
            "taskDefinitionArn": "arn:1", "family": "shop", "revision": 1, "status": "ACTIVE", "registeredAt": 1.5,
            "requiresAttributes": [], "compatibilities": ["EC2"], "registeredBy": "me",
            "containerDefinitions": [
                {"name": "api", "image": "a", "environment": [{"name": "A", "value": "1"}]},
                {"name": "sidecar", "image": "s"},
            ],
        });
        document.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let tags = json!([{"key": "team", "value": "shop"}, {"key": "aws:cloudformation:stack-id", "value": "x"}]);
        Definition::read(&json!({"taskDefinition": document, "tags": tags})).expect("reads")
    }

    #[test]
    fn only_the_image_of_the_container_changes() {
        let next = definition(&json!({"aFieldOfTheFuture": {"deep": [1.5, null]}})).with_image("api", "b");
        let expected = json!({
            "family": "shop", "aFieldOfTheFuture": {"deep": [1.5, null]}, "tags": [{"key": "team", "value": "shop"}],
            "containerDefinitions": [
                {"name": "api", "image": "b", "environment": [{"name": "A", "value": "1"}]},
                {"name": "sidecar", "image": "s"},
            ],
        });
        assert_eq!(next, expected);
    }

    #[test]
    fn a_container_that_is_not_there_is_named_with_those_that_are() {
        let error = definition(&json!({})).image("apy").expect_err("another name");
        assert_eq!(error.hint().as_deref(), Some("it has api, sidecar"));
    }

    #[test]
    fn the_platform_is_said_or_that_of_fargate() {
        let check = |fields: Value, expected: Option<&str>| {
            assert_eq!(definition(&fields).platform().as_deref(), expected, "{fields}");
        };
        check(json!({}), None);
        check(json!({"requiresCompatibilities": ["FARGATE"]}), Some("linux/amd64"));
        check(
            json!({"requiresCompatibilities": ["FARGATE"], "runtimePlatform": {"cpuArchitecture": "ARM64"}}),
            Some("linux/arm64"),
        );
        let windows = json!({"cpuArchitecture": "X86_64", "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"});
        check(json!({"runtimePlatform": windows}), Some("windows/amd64"));
    }
}
