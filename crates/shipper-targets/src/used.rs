//! Which images ECS and Lambda use, or could use again without being given one: so that no retention deletes them.
//!
//! Sources: ECS API reference, `ListClusters`, `ListServices`, `DescribeServices`, `ListTasks`, `DescribeTasks`,
//! `ListTaskDefinitionFamilies`, `ListTaskDefinitions`; Lambda API reference, `ListFunctions` (`FunctionVersion=ALL`).
//!
//! Invariant: what can not be read is an error; there is no partial answer.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shipper_aws::Call;
use url::form_urlencoded::byte_serialize;

use crate::ecs::repository_of;
use crate::{Ecs, Error, Lambda};

/// Most pages of a list: more than an account has.
const MOST_PAGES: usize = 10_000;
/// As many services and tasks as ECS describes at once.
const SERVICES_AT_ONCE: usize = 10;
const TASKS_AT_ONCE: usize = 100;
/// How many of the last task definitions of a family count as used: it is to them that one goes back by hand.
const KEPT_DEFINITIONS: usize = 5;

/// Images by their references, with who uses each.
pub type UsedImages = BTreeMap<String, String>;

impl Ecs {
    /// The images of all tasks, services and deployments of all clusters, and of the last task definitions of each family that is
    /// active: scheduled tasks have no service.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn used_images(&self) -> Result<UsedImages, Error> {
        let (mut used, mut definitions) = (UsedImages::new(), BTreeMap::<String, String>::new());
        for cluster in self.pages("ecs:ListClusters", &json!({}), "clusterArns").await? {
            let of_cluster = json!({"cluster": cluster});
            let services = self.pages("ecs:ListServices", &of_cluster, "serviceArns").await?;
            for some in services.chunks(SERVICES_AT_ONCE) {
                let asked = json!({"cluster": cluster, "services": some});
                for service in self.list("ecs:DescribeServices", &asked, "services").await? {
                    let name = service["serviceName"].as_str().unwrap_or_default();
                    let running = ["deployments", "taskSets"].into_iter().flat_map(|field| service[field].as_array());
                    let running = running.flatten().chain([&service]);
                    for arn in running.filter_map(|one| one["taskDefinition"].as_str()) {
                        definitions.insert(arn.to_owned(), format!("service {name} of ECS"));
                    }
                }
            }
            let tasks = self.pages("ecs:ListTasks", &of_cluster, "taskArns").await?;
            for some in tasks.chunks(TASKS_AT_ONCE) {
                let asked = json!({"cluster": cluster, "tasks": some});
                for task in self.list("ecs:DescribeTasks", &asked, "tasks").await? {
                    let by = format!("task {} of ECS", last(task["taskArn"].as_str().unwrap_or_default()));
                    for container in task["containers"].as_array().into_iter().flatten() {
                        let Some(image) = container["image"].as_str() else { continue };
                        // What runs is what the tag meant when the task began.
                        let exact = container["imageDigest"].as_str().map(|digest| with_digest(image, digest));
                        used.insert(exact.unwrap_or_else(|| image.to_owned()), by.clone());
                    }
                    if let Some(arn) = task["taskDefinitionArn"].as_str() {
                        definitions.entry(arn.to_owned()).or_insert(by);
                    }
                }
            }
        }
        let active = json!({"status": "ACTIVE"});
        for family in self.pages("ecs:ListTaskDefinitionFamilies", &active, "families").await? {
            let asked =
                json!({"familyPrefix": family, "status": "ACTIVE", "sort": "DESC", "maxResults": KEPT_DEFINITIONS});
            for arn in self.list("ecs:ListTaskDefinitions", &asked, "taskDefinitionArns").await? {
                if let Some(arn) = arn.as_str() {
                    definitions
                        .entry(arn.to_owned())
                        .or_insert_with(|| format!("task definition {} of ECS", last(arn)));
                }
            }
        }
        for (arn, by) in definitions {
            for (_, image) in self.definition(&arn).await?.images() {
                used.entry(image.to_owned()).or_insert_with(|| by.clone());
            }
        }
        Ok(used)
    }

    async fn list(&self, action: &'static str, asked: &Value, field: &'static str) -> Result<Vec<Value>, Error> {
        let answer = self.api.operation(action, asked).await?;
        answer[field].as_array().cloned().ok_or(Error::Answer { action, field })
    }

    /// All texts of a list that comes in pages.
    async fn pages(&self, action: &'static str, asked: &Value, field: &'static str) -> Result<Vec<String>, Error> {
        let (mut found, mut asked) = (BTreeSet::new(), asked.clone());
        for _ in 0..MOST_PAGES {
            let answer = self.api.operation(action, &asked).await?;
            let page = answer[field].as_array().ok_or(Error::Answer { action, field })?;
            found.extend(page.iter().filter_map(Value::as_str).map(str::to_owned));
            match answer["nextToken"].as_str() {
                Some(next) => asked["nextToken"] = next.into(),
                None => return Ok(found.into_iter().collect()),
            }
        }
        Err(Error::Answer { action, field: "an end" })
    }
}

impl Lambda {
    /// The images of all versions of all functions: every one can be called, whether or not an alias names it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn used_images(&self) -> Result<UsedImages, Error> {
        const ACTION: &str = "lambda:ListFunctions";
        let (mut used, mut marker) = (UsedImages::new(), String::new());
        for _ in 0..MOST_PAGES {
            let path = format!("/2015-03-31/functions/?FunctionVersion=ALL&MaxItems=50{marker}");
            let answer = self.api.call(Call { action: ACTION, method: "GET", path: &path, body: None }).await?;
            let page = answer["Functions"].as_array();
            let page = page.ok_or(Error::Answer { action: ACTION, field: "Functions" })?;
            for one in page.iter().filter(|one| one["PackageType"] == "Image") {
                let name = one["FunctionName"].as_str().unwrap_or_default();
                let version = one["Version"].as_str().unwrap_or("$LATEST");
                let by = format!("version {version} of function {name}");
                // One that was deleted since the list was made uses nothing.
                if let Some(image) = self.image_of_version(name, version).await? {
                    used.insert(image, by);
                }
            }
            match answer["NextMarker"].as_str().filter(|next| !next.is_empty()) {
                Some(next) => marker = format!("&Marker={}", byte_serialize(next.as_bytes()).collect::<String>()),
                None => return Ok(used),
            }
        }
        Err(Error::Answer { action: ACTION, field: "an end" })
    }
}

/// What stands behind the last slash of an ARN.
fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A reference with this digest in the place of its tag.
fn with_digest(image: &str, digest: &str) -> String {
    format!("{}@{digest}", repository_of(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_named_by_its_digest() {
        let check = |image: &str, expected: &str| assert_eq!(with_digest(image, "sha256:1"), expected);
        check("h:5000/a/b:v1", "h:5000/a/b@sha256:1");
        check("h:5000/a/b:v1@sha256:0", "h:5000/a/b@sha256:1");
        check("nginx", "nginx@sha256:1");
    }
}
