//! Repositories.

use shipper_aws::Error as AwsError;

use super::{Ecr, has_code};

/// A repository as ECR describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Its URI.
    pub uri: String,
}

impl Ecr {
    /// A repository; `None` where ECR says that it does not exist.
    ///
    /// # Errors
    /// [`AwsError`] where ECR does not say.
    pub async fn repository(&self, name: &str) -> Result<Option<RepositoryFacts>, AwsError> {
        const ACTION: &str = "ecr:DescribeRepositories";
        let request = self.client.describe_repositories().repository_names(name).set_registry_id(self.registry_id());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = AwsError::from((ACTION, error));
                return if has_code(&error, "RepositoryNotFoundException") { Ok(None) } else { Err(error) };
            }
        };
        let found = answer.repositories().first().ok_or_else(|| AwsError::Service {
            action: ACTION,
            code: "unknown".to_owned(),
            message: "no repository in the answer".to_owned(),
        })?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Ok(Some(RepositoryFacts {
            name: text(found.repository_name()),
            arn: text(found.repository_arn()),
            uri: text(found.repository_uri()),
        }))
    }
}
