//! Following a deployment of a service to its end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Ecs, EcsService};
use crate::Error;

/// The first pause between two looks; it grows to the longest.
const SHORTEST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// How much earlier than a service says a deployment may have begun, in seconds: the two are written at different places.
const EARLIER: f64 = 120.0;
/// As many revisions as ECS describes at once.
const AT_ONCE: usize = 20;

/// How far a deployment has come.
enum Stage {
    /// In words.
    Going(String),
    Done,
    Failed(Error),
}

impl Ecs {
    /// Follows the deployment that brings a task definition out.
    pub(super) async fn follow(
        &self,
        at: &EcsService,
        definition: &str,
        since: Option<f64>,
        limit: Duration,
        told: &(dyn Fn(&str) + Sync),
    ) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        let (mut pause, mut said, mut deployment) = (SHORTEST, String::new(), None);
        loop {
            let looked = tokio::time::timeout_at(deadline, self.stage(at, definition, since, &mut deployment)).await;
            let text = match looked {
                Ok(Ok(Stage::Done)) => return Ok(()),
                Ok(Ok(Stage::Failed(error))) => return Err(error),
                Ok(Ok(Stage::Going(text))) => text,
                // One answer that is lost says nothing about the deployment, and there is time for the next.
                Ok(Err(Error::Aws(error))) if error.may_pass() => format!("no answer: cannot {error}"),
                Ok(Err(error)) => return Err(error),
                Err(_) => said.clone(),
            };
            if text != said {
                told(&text);
                said = text;
            }
            if Instant::now() + pause >= deadline {
                let status = if said.is_empty() { "nothing is known of it".to_owned() } else { said };
                return Err(Error::Slow { service: at.service.clone(), status, after: limit, deployment });
            }
            sleep(pause).await;
            pause = pause.mul_f64(1.5).min(LONGEST);
        }
    }

    async fn stage(
        &self,
        at: &EcsService,
        definition: &str,
        since: Option<f64>,
        deployment: &mut Option<String>,
    ) -> Result<Stage, Error> {
        if deployment.is_none() {
            *deployment = self.deployment_of(at, definition, since).await?;
        }
        let Some(arn) = deployment else { return Ok(Stage::Going("its deployment has not begun".to_owned())) };
        let answer =
            self.api.operation("ecs:DescribeServiceDeployments", &json!({"serviceDeploymentArns": [arn]})).await?;
        let found = answer["serviceDeployments"].as_array().and_then(|found| found.first());
        Ok(found.map_or_else(|| Stage::Going("its deployment is not described yet".to_owned()), |one| stage(at, one)))
    }

    /// The newest deployment whose target is a revision with this task definition.
    async fn deployment_of(
        &self,
        at: &EcsService,
        definition: &str,
        since: Option<f64>,
    ) -> Result<Option<String>, Error> {
        let mut listed = Vec::new();
        let mut asked = json!({"cluster": at.cluster, "service": at.service});
        if let Some(since) = since {
            asked["createdAt"] = json!({"after": since - EARLIER});
        }
        loop {
            let answer = self.api.operation("ecs:ListServiceDeployments", &asked).await?;
            listed.extend(answer["serviceDeployments"].as_array().cloned().unwrap_or_default());
            match answer["nextToken"].as_str() {
                Some(next) => asked["nextToken"] = next.into(),
                None => break,
            }
        }
        let began = |one: &Value| one["createdAt"].as_f64().unwrap_or_default();
        listed.sort_by(|one, other| began(other).total_cmp(&began(one)));
        for some in listed.chunks(AT_ONCE) {
            let revisions: Vec<&Value> = some.iter().map(|one| &one["targetServiceRevisionArn"]).collect();
            let asked = json!({"serviceRevisionArns": revisions});
            let answer = self.api.operation("ecs:DescribeServiceRevisions", &asked).await?;
            let revisions = answer["serviceRevisions"].as_array().map(Vec::as_slice).unwrap_or_default();
            let is_of = |one: &&Value| {
                let of = |revision: &&Value| revision["serviceRevisionArn"] == one["targetServiceRevisionArn"];
                revisions.iter().find(of).is_some_and(|revision| revision["taskDefinition"] == definition)
            };
            if let Some(found) = some.iter().find(is_of) {
                return Ok(found["serviceDeploymentArn"].as_str().map(str::to_owned));
            }
        }
        Ok(None)
    }
}

/// How far a deployment has come, by its description.
fn stage(at: &EcsService, deployment: &Value) -> Stage {
    let status = deployment["status"].as_str().unwrap_or_default();
    let reasons = [&deployment["statusReason"], &deployment["rollback"]["reason"]];
    let reason = reasons.into_iter().find_map(Value::as_str).filter(|reason| !reason.is_empty());
    let service = || at.service.clone();
    let because = || reason.unwrap_or("ECS gives no reason").to_owned();
    match status {
        "SUCCESSFUL" => Stage::Done,
        "ROLLBACK_SUCCESSFUL" => Stage::Failed(Error::RolledBack { service: service(), reason: because() }),
        "STOPPED" | "ROLLBACK_FAILED" => {
            Stage::Failed(Error::Ended { service: service(), status: words(status), reason: because() })
        }
        _ => {
            let mut text = words(status);
            if let Some(lifecycle) = deployment["lifecycleStage"].as_str() {
                text.push_str(&format!(": {}", words(lifecycle)));
            }
            let target = &deployment["targetServiceRevision"];
            if let (Some(running), Some(wanted)) =
                (target["runningTaskCount"].as_u64(), target["requestedTaskCount"].as_u64())
            {
                text.push_str(&format!(", {running} of {wanted} tasks run"));
            }
            if let Some(reason) = reason {
                text.push_str(&format!(" ({reason})"));
            }
            Stage::Going(text)
        }
    }
}

/// `ROLLBACK_IN_PROGRESS` as people write it.
fn words(constant: &str) -> String {
    constant.to_lowercase().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each status of the API, and what it means; one that is not known is no end.
    #[test]
    fn only_success_is_success() {
        let at = EcsService { cluster: "c".to_owned(), service: "api".to_owned(), container: "api".to_owned() };
        let check = |status: &str, expected: &str| {
            let described = json!({"status": status, "rollback": {"reason": "tasks failed to start"}});
            let found = match stage(&at, &described) {
                Stage::Done => "done".to_owned(),
                Stage::Going(text) => format!("going: {text}"),
                Stage::Failed(error) => error.to_string(),
            };
            assert_eq!(found, expected);
        };
        check("SUCCESSFUL", "done");
        check("PENDING", "going: pending (tasks failed to start)");
        check("ROLLBACK_REQUESTED", "going: rollback requested (tasks failed to start)");
        check("A_STATUS_OF_THE_FUTURE", "going: a status of the future (tasks failed to start)");
        let brought = "bring `api` to another image: ";
        check("ROLLBACK_SUCCESSFUL", &format!("{brought}it was rolled back: tasks failed to start"));
        check("ROLLBACK_FAILED", &format!("{brought}its deployment is rollback failed: tasks failed to start"));
        check("STOPPED", &format!("{brought}its deployment is stopped: tasks failed to start"));
    }
}
