//! Services that get their images by their own interface: as written in `[[env.NAME.deploy]]`, and checked.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::environment::TargetConfig;
use crate::error::Error;

/// A service of Amazon ECS, with the credentials that the environment's `profile` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EcsConfig {
    /// Name or ARN of the cluster.
    pub cluster: String,
    /// Name of the service.
    pub service: String,
    /// Name of the container in its task definition that gets the image.
    pub container: String,
    /// The service of this file whose image it gets.
    pub image: String,
    /// Region of the cluster. Default: that of the environment, of its registry, or the one that AWS tools find by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// A function of AWS Lambda, with the credentials that the environment's `profile` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LambdaConfig {
    /// Name or ARN of the function, without a version.
    pub function: String,
    /// Name of the alias by which it is called; made where it is not there.
    pub alias: String,
    /// The service of this file whose image it gets.
    pub image: String,
    /// Region of the function. Default: that of the environment, of its registry, or the one that AWS tools find by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// A service that gets its image by its own interface, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A service of Amazon ECS.
    Ecs(EcsConfig),
    /// A function of AWS Lambda.
    Lambda(LambdaConfig),
}

impl Target {
    /// The service of the configuration whose image it gets.
    #[must_use]
    pub fn image(&self) -> &str {
        match self {
            Self::Ecs(ecs) => &ecs.image,
            Self::Lambda(lambda) => &lambda.image,
        }
    }

    /// Its region, where one is written.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Ecs(ecs) => ecs.region.as_deref(),
            Self::Lambda(lambda) => lambda.region.as_deref(),
        }
    }

    /// Its key in the configuration.
    fn word(&self) -> &'static str {
        match self {
            Self::Ecs(_) => "ecs",
            Self::Lambda(_) => "lambda",
        }
    }

    /// Refuses names that AWS refuses, or that would be another part of a URL.
    fn check(&self, key: &str) -> Result<(), Error> {
        let is_text = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        // Lambda API reference: `FunctionName` and `Name` of an alias, which is no number.
        let plain = |text: &str, further: &[char]| {
            (1..=170).contains(&text.len())
                && text.chars().all(|one| one.is_ascii_alphanumeric() || further.contains(&one))
        };
        let fields = match self {
            Self::Ecs(ecs) => vec![
                ("cluster", is_text(&ecs.cluster)),
                ("service", is_text(&ecs.service)),
                ("container", is_text(&ecs.container)),
            ],
            Self::Lambda(lambda) => vec![
                ("function", plain(&lambda.function, &['-', '_', ':'])),
                ("alias", plain(&lambda.alias, &['-', '_']) && lambda.alias.parse::<u64>().is_err()),
            ],
        };
        match fields.into_iter().find(|(_, is_right)| !is_right) {
            Some((name, _)) => {
                Err(Error::invalid(format!("{key}.{}.{name}", self.word()), "it can not be such a name"))
            }
            None => Ok(()),
        }
    }
}

impl TargetConfig {
    /// What gets the image by its own interface; `None` for a command.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a table that names several, or settings of commands beside one.
    pub(crate) fn target(&self, key: &str, services: &BTreeSet<&str>) -> Result<Option<Target>, Error> {
        let target = match (&self.ecs, &self.lambda) {
            (None, None) => return Ok(None),
            (Some(ecs), _) => Target::Ecs(ecs.clone()),
            (None, Some(lambda)) => Target::Lambda(lambda.clone()),
        };
        let others = [
            ("lambda", self.ecs.is_some() && self.lambda.is_some()),
            ("run", !self.run.is_empty()),
            ("env", !self.env.is_empty()),
            ("pass-env", !self.pass_env.is_empty()),
            ("services", self.services.is_some()),
            ("inputs", self.inputs.is_some()),
            ("check", !self.check.is_empty()),
        ];
        if let Some((name, _)) = others.iter().find(|(_, is_written)| *is_written) {
            return Err(Error::invalid_with(
                format!("{key}.{name}"),
                format!("beside `{}` it means nothing", target.word()),
                "a target is one command, service or function; write a table `[[env.NAME.deploy]]` for each",
            ));
        }
        target.check(key)?;
        if !services.contains(target.image()) {
            return Err(Error::NoSuchService {
                name: target.image().to_owned(),
                known: services.iter().map(|&known| known.to_owned()).collect(),
            });
        }
        if let Some(region) = target.region() {
            crate::environment::check_region(&format!("{key}.{}.region", target.word()), region)?;
        }
        Ok(Some(target))
    }
}
