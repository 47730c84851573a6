//! Lifecycle policies of repositories, and ECR's own preview.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecr::types::LifecyclePolicyPreviewStatus;
use shipper_aws::Error as AwsError;

use super::{Ecr, has_code};

/// Looks at a preview: the first pause, the longest, and how many looks (the SDK's waiter takes 20 of 5 s).
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
const LOOKS: usize = 40;

/// A lifecycle policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleState {
    /// Its text.
    pub text: String,
    /// When ECR last acted by it, in seconds since the Unix epoch; `None` where it never has.
    pub evaluated: Option<i64>,
}

impl Ecr {
    /// The text of a repository's lifecycle policy; `None` where it has none.
    ///
    /// # Errors
    /// [`AwsError`]; a repository that does not exist included.
    pub async fn lifecycle_policy(&self, repository: &str) -> Result<Option<String>, AwsError> {
        Ok(self.lifecycle_state(repository).await?.map(|state| state.text))
    }

    /// A repository's lifecycle policy and when ECR last acted by it; `None` where it has none.
    ///
    /// # Errors
    /// [`AwsError`]; a repository that does not exist included.
    pub async fn lifecycle_state(&self, repository: &str) -> Result<Option<LifecycleState>, AwsError> {
        let request = self.client.get_lifecycle_policy().set_registry_id(self.registry_id());
        match request.repository_name(repository).send().await {
            Ok(answer) => Ok(answer.lifecycle_policy_text().map(|text| LifecycleState {
                text: text.to_owned(),
                // One that was never evaluated has the beginning of the epoch (observed).
                evaluated: answer
                    .last_evaluated_at()
                    .map(aws_sdk_ecr::primitives::DateTime::secs)
                    .filter(|seconds| *seconds > 0),
            })),
            Err(error) => {
                let error = AwsError::from(("ecr:GetLifecyclePolicy", error));
                if has_code(&error, "LifecyclePolicyNotFoundException") { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Whether the registry takes layers from another of its repositories when it is asked to (account setting
    /// `BLOB_MOUNTING`).
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn is_blob_mounting_on(&self) -> Result<bool, AwsError> {
        let answer = self.client.get_account_setting().name("BLOB_MOUNTING").send().await;
        let answer = answer.map_err(|error| AwsError::from(("ecr:GetAccountSetting", error)))?;
        Ok(answer.value() == Some("ENABLED"))
    }

    /// Replaces a repository's lifecycle policy.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn put_lifecycle_policy(&self, repository: &str, text: &str) -> Result<(), AwsError> {
        let request = self.client.put_lifecycle_policy().set_registry_id(self.registry_id());
        let answer = request.repository_name(repository).lifecycle_policy_text(text).send().await;
        answer.map(|_| ()).map_err(|error| AwsError::from(("ecr:PutLifecyclePolicy", error)))
    }

    /// What ECR itself says that a policy would act on: digest to rule priority.
    ///
    /// # Errors
    /// [`AwsError`]; a preview that does not end or fails included.
    pub async fn preview_lifecycle(&self, repository: &str, text: &str) -> Result<BTreeMap<String, u32>, AwsError> {
        const ACTION: &str = "ecr:GetLifecyclePolicyPreview";
        let request = self.client.start_lifecycle_policy_preview().set_registry_id(self.registry_id());
        let started = request.repository_name(repository).lifecycle_policy_text(text).send().await;
        started.map_err(|error| AwsError::from(("ecr:StartLifecyclePolicyPreview", error)))?;
        let (mut pause, mut token, mut found) = (PAUSES.0, None, BTreeMap::new());
        let mut looks = 0;
        loop {
            let request = self.client.get_lifecycle_policy_preview().set_registry_id(self.registry_id());
            let answer =
                request.repository_name(repository).set_next_token(token.clone()).max_results(100).send().await;
            let answer = answer.map_err(|error| AwsError::from((ACTION, error)))?;
            match answer.status() {
                Some(LifecyclePolicyPreviewStatus::Complete) => {
                    for result in answer.preview_results() {
                        let rule = result.applied_rule_priority().and_then(|rule| u32::try_from(rule).ok());
                        found.insert(result.image_digest().unwrap_or_default().to_owned(), rule.unwrap_or_default());
                    }
                    match answer.next_token() {
                        Some(next) => token = Some(next.to_owned()),
                        None => return Ok(found),
                    }
                }
                Some(LifecyclePolicyPreviewStatus::InProgress) if looks < LOOKS => {
                    looks += 1;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                other => {
                    let status = other.map_or("unknown", |status| status.as_str());
                    let message = format!("the preview is {status}");
                    return Err(AwsError::Service { action: ACTION, code: "unknown".to_owned(), message });
                }
            }
        }
    }
}
