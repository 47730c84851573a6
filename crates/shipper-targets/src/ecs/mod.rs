//! Services of Amazon ECS.
//!
//! Sources: ECS API reference, `DescribeServices`, `RegisterTaskDefinition`, `UpdateService`, `ListServiceDeployments`,
//! `DescribeServiceDeployments`, `DescribeServiceRevisions`.
//!
//! Invariants: nothing is registered where the service has the image; a deployment is followed by the name that it has in ECS,
//! never by whether the service is stable, for a service that was rolled back is.

mod definition;
mod follow;

use std::time::Duration;

use serde_json::{Value, json};
use shipper_aws::{Api, Session};

pub(crate) use self::definition::repository_of;
pub use self::definition::{Definition, is_same_image};
use crate::Error;

/// A service, and the container in it whose image is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcsService {
    /// Name or ARN of the cluster.
    pub cluster: String,
    /// Name of the service.
    pub service: String,
    /// Name of the container.
    pub container: String,
}

/// What a service runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Its task definition.
    pub definition: Definition,
    /// The image of the container there.
    pub image: String,
    /// How far its last deployment has come.
    rollout: Rollout,
    /// When that began, in seconds since the Unix epoch.
    since: Option<f64>,
}

/// How far the last deployment of a service has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rollout {
    Done,
    Going,
    Failed,
}

impl Running {
    /// Whether all that the service runs is this image: no deployment is under way, and the last one did not fail.
    #[must_use]
    pub fn runs(&self, image: &str) -> bool {
        self.rollout == Rollout::Done && is_same_image(&self.image, image)
    }

    /// Whether a deployment is under way.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.rollout == Rollout::Going
    }
}

/// Whether a change is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until it is done, or this time has passed.
    For(Duration),
    /// Not at all.
    No,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Nothing: it ran the image.
    Unchanged,
    /// It was changed, and runs the image.
    Done,
    /// It was changed, and nobody waited for it.
    Begun,
}

/// Amazon ECS in the region of a session.
#[derive(Debug, Clone)]
pub struct Ecs {
    pub(crate) api: Api,
}

impl Ecs {
    /// Nothing is read or sent.
    #[must_use]
    pub fn new(session: &Session) -> Self {
        let service = shipper_aws::Service { id: "ECS", name: "ecs", target: "AmazonEC2ContainerServiceV20141113" };
        Self { api: Api::new(session, service) }
    }

    /// What a service runs.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Controller`], [`Error::NoContainer`]; [`Error::Aws`] where it could not be told.
    pub async fn look(&self, at: &EcsService) -> Result<Running, Error> {
        const ACTION: &str = "ecs:DescribeServices";
        let asked = json!({"cluster": at.cluster, "services": [at.service]});
        let cluster = || Error::Absent { what: format!("cluster `{}`", at.cluster) };
        let answer = self.api.operation(ACTION, &asked).await;
        let answer = answer.map_err(|error| match error.code() {
            Some("ClusterNotFoundException") => cluster(),
            _ => error.into(),
        })?;
        let absent = || Error::Absent { what: format!("service `{}` in cluster `{}`", at.service, at.cluster) };
        let service = answer["services"].as_array().and_then(|services| services.first()).ok_or_else(absent)?;
        if service["status"] == "INACTIVE" {
            return Err(absent());
        }
        let controller = service["deploymentController"]["type"].as_str().unwrap_or("ECS");
        if controller != "ECS" {
            return Err(Error::Controller { service: at.service.clone(), controller: controller.to_owned() });
        }
        let arn = service["taskDefinition"].as_str();
        let arn = arn.ok_or(Error::Answer { action: ACTION, field: "taskDefinition" })?;
        let definition = self.definition(arn).await?;
        let image = definition.image(&at.container)?.to_owned();
        let (rollout, since) = rollout(service);
        Ok(Running { definition, image, rollout, since })
    }

    pub(crate) async fn definition(&self, arn: &str) -> Result<Definition, Error> {
        let asked = json!({"taskDefinition": arn, "include": ["TAGS"]});
        Definition::read(&self.api.operation("ecs:DescribeTaskDefinition", &asked).await?)
    }

    /// Brings a service to an image. `told` gets a line for each stage. Dropping the future ends nothing in ECS.
    ///
    /// # Errors
    /// As [`look`](Self::look); [`Error::RolledBack`], [`Error::Ended`], [`Error::Slow`].
    pub async fn bring(
        &self,
        at: &EcsService,
        image: &str,
        wait: Wait,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<Brought, Error> {
        let running = self.look(at).await?;
        if running.runs(image) {
            told(&format!("it runs {image} ({})", running.definition.arn()));
            return Ok(Brought::Unchanged);
        }
        let (definition, since) = if is_same_image(&running.image, image) && running.is_changing() {
            told(&format!("it is being brought to {} already", running.definition.arn()));
            (running.definition.arn().to_owned(), running.since)
        } else {
            self.update(at, &running, image, told).await?
        };
        match wait {
            Wait::No => Ok(Brought::Begun),
            Wait::For(limit) => {
                self.follow(at, &definition, since, limit, told).await?;
                Ok(Brought::Done)
            }
        }
    }

    /// Registers the task definition and updates the service; gives the definition, and when the deployment began.
    async fn update(
        &self,
        at: &EcsService,
        running: &Running,
        image: &str,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<(String, Option<f64>), Error> {
        const REGISTER: &str = "ecs:RegisterTaskDefinition";
        // Its deployment failed, and ECS left it as it is: the same once more.
        let is_same = is_same_image(&running.image, image);
        let definition = if is_same {
            running.definition.arn().to_owned()
        } else {
            let next = running.definition.with_image(&at.container, image);
            let answer = self.api.operation(REGISTER, &next).await?;
            let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str();
            arn.ok_or(Error::Answer { action: REGISTER, field: "taskDefinitionArn" })?.to_owned()
        };
        told(&format!("{definition} has {image}"));
        let mut wanted = json!({"cluster": at.cluster, "service": at.service, "taskDefinition": definition});
        if is_same {
            wanted["forceNewDeployment"] = true.into();
        }
        let answer = self.api.operation("ecs:UpdateService", &wanted).await?;
        let (_, since) = rollout(&answer["service"]);
        Ok((definition, since))
    }
}

/// How far the newest deployment in a description of a service has come, and when it began.
fn rollout(service: &Value) -> (Rollout, Option<f64>) {
    let deployments = service["deployments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let newest = deployments.iter().find(|one| one["status"] == "PRIMARY");
    let state = newest.and_then(|newest| newest["rolloutState"].as_str());
    let rollout = match state {
        Some("FAILED") => Rollout::Failed,
        Some("IN_PROGRESS") => Rollout::Going,
        _ if deployments.len() > 1 => Rollout::Going,
        _ => Rollout::Done,
    };
    (rollout, newest.and_then(|newest| newest["createdAt"].as_f64()))
}
