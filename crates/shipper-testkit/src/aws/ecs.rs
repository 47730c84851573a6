//! ECS: task definitions that are kept, services, and deployments that go through the states that a test scripts.
//!
//! Invariants: what ECS adds to a task definition it does not take back; a service that was rolled back has its old task
//! definition and is stable; each description of a deployment uses up one state, the last one stays.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{ACCOUNT, Answer, REGION, refused};

/// What is in descriptions of task definitions only.
const READ_ONLY: &[&str] = &[
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
];

pub(super) struct Ecs {
    /// Task definitions with their tags, in order of registration.
    definitions: Vec<(Value, Value)>,
    services: BTreeMap<(String, String), Service>,
    deployments: Vec<Deployment>,
    /// Cluster and description.
    tasks: Vec<(String, Value)>,
    /// The states of deployments to come: `STATUS` or `STATUS/LIFECYCLE_STAGE`.
    pub(super) script: Vec<String>,
}

impl Default for Ecs {
    fn default() -> Self {
        let script = vec!["IN_PROGRESS".to_owned(), "SUCCESSFUL".to_owned()];
        Self { definitions: Vec::new(), services: BTreeMap::new(), deployments: Vec::new(), tasks: Vec::new(), script }
    }
}

struct Service {
    definition: String,
    controller: String,
}

struct Deployment {
    place: (String, String),
    number: usize,
    definition: String,
    before: String,
    states: VecDeque<String>,
    created: f64,
}

fn arn(kind: &str, rest: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:{kind}/{rest}")
}

impl Deployment {
    fn arn(&self, kind: &str) -> String {
        arn(kind, &format!("{}/{}/{}", self.place.0, self.place.1, self.number))
    }

    fn status(&self) -> &str {
        self.states.front().map_or("SUCCESSFUL", |state| state.split('/').next().unwrap_or_default())
    }

    fn brief(&self) -> Value {
        json!({
            "serviceDeploymentArn": self.arn("service-deployment"), "createdAt": self.created, "status": self.status(),
            "targetServiceRevisionArn": self.arn("service-revision"),
        })
    }
}

impl Ecs {
    /// Makes a service with a task definition of its own.
    pub(super) fn set(&mut self, cluster: &str, service: &str, definition: &Value) -> String {
        let arn = self.register(definition.clone(), Value::Null);
        let service_of = Service { definition: arn.clone(), controller: "ECS".to_owned() };
        self.services.insert((cluster.to_owned(), service.to_owned()), service_of);
        arn
    }

    /// Registers a task definition, of the same family also once more.
    pub(super) fn define(&mut self, definition: &Value) -> String {
        self.register(definition.clone(), Value::Null)
    }

    /// Runs a task without a service, whose container has another image by now than its definition says.
    pub(super) fn run_task(&mut self, cluster: &str, definition: &str, image: &str, digest: &str) {
        let task = json!({
            "taskArn": arn("task", &format!("{cluster}/{}", self.tasks.len() + 1)), "taskDefinitionArn": definition,
            "containers": [{"name": "job", "image": image, "imageDigest": digest}],
        });
        self.tasks.push((cluster.to_owned(), task));
    }

    fn clusters(&self) -> Vec<String> {
        let clusters: std::collections::BTreeSet<&String> = self
            .services
            .keys()
            .map(|(cluster, _)| cluster)
            .chain(self.tasks.iter().map(|(cluster, _)| cluster))
            .collect();
        clusters.into_iter().cloned().collect()
    }

    pub(super) fn set_controller(&mut self, cluster: &str, service: &str, controller: &str) {
        let place = (cluster.to_owned(), service.to_owned());
        if let Some(service) = self.services.get_mut(&place) {
            controller.clone_into(&mut service.controller);
        }
    }

    /// Ends every deployment that is under way with success.
    pub(super) fn finish(&mut self) {
        for deployment in &mut self.deployments {
            if deployment.states.len() > 1 || deployment.status() == "IN_PROGRESS" {
                deployment.states = VecDeque::from(["SUCCESSFUL".to_owned()]);
            }
        }
    }

    /// Takes every last deployment of a service back.
    pub(super) fn roll_back(&mut self) {
        for deployment in &mut self.deployments {
            if let Some(service) = self.services.get_mut(&deployment.place)
                && service.definition == deployment.definition
            {
                deployment.states = VecDeque::from(["ROLLBACK_SUCCESSFUL".to_owned()]);
                service.definition.clone_from(&deployment.before);
            }
        }
    }

    /// The task definition of a service, as it is described.
    pub(super) fn of_service(&self, cluster: &str, service: &str) -> Option<Value> {
        let service = self.services.get(&(cluster.to_owned(), service.to_owned()))?;
        self.find(&service.definition).map(|(document, _)| document.clone())
    }

    fn find(&self, arn: &str) -> Option<&(Value, Value)> {
        self.definitions.iter().find(|(document, _)| document["taskDefinitionArn"] == arn)
    }

    fn register(&mut self, mut document: Value, tags: Value) -> String {
        let family = document["family"].as_str().unwrap_or_default().to_owned();
        let revision = self.definitions.iter().filter(|(one, _)| one["family"] == family.as_str()).count() + 1;
        let arn = arn("task-definition", &format!("{family}:{revision}"));
        document["taskDefinitionArn"] = arn.as_str().into();
        document["revision"] = revision.into();
        document["status"] = "ACTIVE".into();
        document["requiresAttributes"] = json!([{"name": "com.amazonaws.ecs.capability.ecr-auth"}]);
        document["compatibilities"] = json!(["EC2", "FARGATE"]);
        document["registeredAt"] = 1_767_225_600.25.into();
        document["registeredBy"] = format!("arn:aws:iam::{ACCOUNT}:user/testkit").into();
        self.definitions.push((document, tags));
        arn
    }

    /// The next state of a deployment; a service that is rolled back has its old definition.
    fn advance(&mut self, at: usize) {
        let deployment = &mut self.deployments[at];
        if deployment.states.len() > 1 {
            deployment.states.pop_front();
        }
        if deployment.status() == "ROLLBACK_SUCCESSFUL"
            && let Some(service) = self.services.get_mut(&deployment.place)
        {
            service.definition.clone_from(&deployment.before);
        }
    }

    fn describe_service(&self, cluster: &str, name: &str) -> Option<Value> {
        let place = (cluster.to_owned(), name.to_owned());
        let service = self.services.get(&place)?;
        let last = self.deployments.iter().rfind(|deployment| deployment.place == place);
        let rollout = match last.map_or("SUCCESSFUL", Deployment::status) {
            "SUCCESSFUL" | "ROLLBACK_SUCCESSFUL" => "COMPLETED",
            "STOPPED" | "ROLLBACK_FAILED" => "FAILED",
            _ => "IN_PROGRESS",
        };
        let primary = json!({
            "id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": service.definition, "rolloutState": rollout,
            "createdAt": last.map_or(1_767_225_600.0, |last| last.created),
        });
        let before = last.filter(|_| rollout == "IN_PROGRESS").map(|last| {
            json!({"id": "ecs-svc/0", "status": "ACTIVE", "taskDefinition": last.before, "rolloutState": "COMPLETED"})
        });
        let deployments: Vec<Value> = std::iter::once(primary).chain(before).collect();
        Some(json!({
            "serviceArn": arn("service", &format!("{cluster}/{name}")), "serviceName": name, "status": "ACTIVE",
            "clusterArn": arn("cluster", cluster), "taskDefinition": service.definition, "desiredCount": 2,
            "deploymentController": {"type": service.controller}, "deployments": deployments,
        }))
    }

    fn update(&mut self, cluster: &str, name: &str, wanted: &Value) -> Answer {
        let place = (cluster.to_owned(), name.to_owned());
        let definition = wanted["taskDefinition"].as_str().unwrap_or_default().to_owned();
        if self.find(&definition).is_none() {
            return refused("ClientException", "Unable to describe task definition.");
        }
        let script = self.script.iter().cloned().collect();
        let Some(service) = self.services.get_mut(&place) else {
            return refused("ServiceNotFoundException", "Service not found.");
        };
        let before = std::mem::replace(&mut service.definition, definition.clone());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let created = since.map_or(0.0, |since| since.as_secs_f64());
        // ECS ends what is under way.
        for other in self.deployments.iter_mut().filter(|other| other.place == place && other.states.len() > 1) {
            other.states = VecDeque::from(["STOPPED".to_owned()]);
        }
        let number = self.deployments.len() + 1;
        self.deployments.push(Deployment { place, number, definition, before, states: script, created });
        Answer::Json(json!({"service": self.describe_service(cluster, name)}))
    }
}

/// One item of a list, and the token of the next: so that who reads the first page only is found out.
fn page(parameters: &Value, field: &str, all: &[String]) -> Answer {
    let at = parameters["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let mut answer = json!({(field): all.iter().skip(at).take(1).collect::<Vec<_>>()});
    if at + 1 < all.len() {
        answer["nextToken"] = (at + 1).to_string().into();
    }
    Answer::Json(answer)
}

/// The places in `field` that are known, by `find`, and a failure for each other one.
fn described(parameters: &Value, field: &str, mut find: impl FnMut(&str) -> Option<Value>) -> (Vec<Value>, Vec<Value>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in parameters[field].as_array().into_iter().flatten().filter_map(Value::as_str) {
        match find(name) {
            Some(one) => found.push(one),
            None => failures.push(json!({"arn": name, "reason": "MISSING"})),
        }
    }
    (found, failures)
}

pub(super) fn answer(ecs: &mut Ecs, operation: &str, parameters: &Value) -> Answer {
    let text = |name: &str| parameters[name].as_str().unwrap_or_default();
    let cluster = text("cluster");
    let has_cluster = matches!(operation, "DescribeServices" | "UpdateService" | "ListServiceDeployments");
    if has_cluster && !ecs.services.keys().any(|(known, _)| known == cluster) {
        return refused("ClusterNotFoundException", "Cluster not found.");
    }
    match operation {
        "DescribeServices" => {
            let (services, failures) = described(parameters, "services", |name| ecs.describe_service(cluster, name));
            Answer::Json(json!({"services": services, "failures": failures}))
        }
        "DescribeTaskDefinition" => match ecs.find(text("taskDefinition")) {
            Some((document, tags)) => Answer::Json(json!({"taskDefinition": document, "tags": tags})),
            None => refused("ClientException", "Unable to describe task definition."),
        },
        "RegisterTaskDefinition" => {
            let mut document = parameters.clone();
            let Some(fields) = document.as_object_mut() else { return refused("ClientException", "no document") };
            if let Some(field) = READ_ONLY.iter().find(|field| fields.contains_key(**field)) {
                return refused("InvalidParameterException", format!("Unknown parameter: {field}"));
            }
            let tags = fields.remove("tags").unwrap_or_default();
            if tags.as_array().is_some_and(Vec::is_empty) {
                return refused("InvalidParameterException", "Tags can not be empty.");
            }
            let arn = ecs.register(document, tags);
            Answer::Json(json!({"taskDefinition": ecs.find(&arn).map(|(document, _)| document)}))
        }
        "UpdateService" => ecs.update(cluster, text("service"), parameters),
        "ListServiceDeployments" => {
            let after = parameters["createdAt"]["after"].as_f64().unwrap_or_default();
            let is_one = |one: &&Deployment| one.place.0 == cluster && one.place.1 == text("service");
            let found = ecs.deployments.iter().filter(is_one).filter(|one| one.created > after);
            Answer::Json(json!({"serviceDeployments": found.map(Deployment::brief).collect::<Vec<_>>()}))
        }
        "DescribeServiceRevisions" => {
            let of = |name: &str| {
                let found = ecs.deployments.iter().find(|one| one.arn("service-revision") == name)?;
                Some(json!({"serviceRevisionArn": name, "taskDefinition": found.definition}))
            };
            let (revisions, failures) = described(parameters, "serviceRevisionArns", of);
            Answer::Json(json!({"serviceRevisions": revisions, "failures": failures}))
        }
        "DescribeServiceDeployments" => {
            let of = |name: &str| {
                let at = ecs.deployments.iter().position(|one| one.arn("service-deployment") == name)?;
                let one = &ecs.deployments[at];
                let mut described = one.brief();
                let stage = one.states.front().and_then(|state| state.split_once('/'));
                if let Some((_, stage)) = stage {
                    described["lifecycleStage"] = stage.into();
                }
                described["targetServiceRevision"] =
                    json!({"arn": one.arn("service-revision"), "requestedTaskCount": 2, "runningTaskCount": 1});
                if one.status().starts_with("ROLLBACK") {
                    described["statusReason"] =
                        "Service deployment rolled back because the circuit breaker threshold was exceeded.".into();
                }
                ecs.advance(at);
                Some(described)
            };
            let (found, failures) = described(parameters, "serviceDeploymentArns", of);
            Answer::Json(json!({"serviceDeployments": found, "failures": failures}))
        }
        "ListClusters" => page(parameters, "clusterArns", &ecs.clusters()),
        "ListServices" => {
            let of_cluster = ecs.services.keys().filter(|(known, _)| known == cluster);
            page(parameters, "serviceArns", &of_cluster.map(|(_, name)| name.clone()).collect::<Vec<_>>())
        }
        "ListTasks" => {
            let of_cluster = ecs.tasks.iter().filter(|(known, _)| known == cluster);
            let arns = of_cluster.filter_map(|(_, task)| task["taskArn"].as_str()).map(str::to_owned);
            page(parameters, "taskArns", &arns.collect::<Vec<_>>())
        }
        "DescribeTasks" => {
            let of =
                |name: &str| ecs.tasks.iter().find(|(_, task)| task["taskArn"] == name).map(|(_, task)| task.clone());
            let (tasks, failures) = described(parameters, "tasks", of);
            Answer::Json(json!({"tasks": tasks, "failures": failures}))
        }
        "ListTaskDefinitionFamilies" => {
            let families = ecs.definitions.iter().filter_map(|(document, _)| document["family"].as_str());
            let families: std::collections::BTreeSet<String> = families.map(str::to_owned).collect();
            page(parameters, "families", &families.into_iter().collect::<Vec<_>>())
        }
        "ListTaskDefinitions" => {
            let most = parameters["maxResults"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(100);
            let of_family = ecs.definitions.iter().rev().filter(|(one, _)| one["family"] == text("familyPrefix"));
            let arns: Vec<&Value> = of_family.map(|(document, _)| &document["taskDefinitionArn"]).take(most).collect();
            Answer::Json(json!({"taskDefinitionArns": arns, "nextToken": "more"}))
        }
        _ => refused("InvalidAction", operation),
    }
}
