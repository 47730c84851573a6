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

/// A service that gets its image by its own interface, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A service of Amazon ECS.
    Ecs(EcsConfig),
}

impl Target {
    /// The service of the configuration whose image it gets.
    #[must_use]
    pub fn image(&self) -> &str {
        match self {
            Self::Ecs(ecs) => &ecs.image,
        }
    }

    /// Its region, where one is written.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Ecs(ecs) => ecs.region.as_deref(),
        }
    }
}

impl TargetConfig {
    /// What gets the image by its own interface; `None` for a command.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a table that names several, or settings of commands beside one.
    pub(crate) fn target(&self, key: &str, services: &BTreeSet<&str>) -> Result<Option<Target>, Error> {
        let Some(ecs) = &self.ecs else { return Ok(None) };
        let of_commands = [
            ("run", !self.run.is_empty()),
            ("env", !self.env.is_empty()),
            ("pass-env", !self.pass_env.is_empty()),
            ("services", self.services.is_some()),
            ("inputs", self.inputs.is_some()),
            ("check", !self.check.is_empty()),
        ];
        if let Some((name, _)) = of_commands.iter().find(|(_, is_written)| *is_written) {
            return Err(Error::invalid_with(
                format!("{key}.{name}"),
                "beside `ecs` it means nothing",
                "a target is either a command or a service; write two tables `[[env.NAME.deploy]]` for both",
            ));
        }
        let fields = [("cluster", &ecs.cluster), ("service", &ecs.service), ("container", &ecs.container)];
        if let Some((name, _)) = fields.iter().find(|(_, text)| text.is_empty() || text.chars().any(char::is_control)) {
            return Err(Error::invalid(format!("{key}.ecs.{name}"), "it is empty or has control characters"));
        }
        if !services.contains(ecs.image.as_str()) {
            return Err(Error::NoSuchService {
                name: ecs.image.clone(),
                known: services.iter().map(|&known| known.to_owned()).collect(),
            });
        }
        if let Some(region) = &ecs.region {
            crate::environment::check_region(&format!("{key}.ecs.region"), region)?;
        }
        Ok(Some(Target::Ecs(ecs.clone())))
    }
}
