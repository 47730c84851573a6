//! `notify` of `[project]`: who is told how deployments end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Config;
use crate::error::Error;

/// The webhook that is told of deployments that fail, of images that are kept out, and of recoveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NotifyConfig {
    /// Name of the environment variable that holds its URL, which is a secret. Where it is not set nobody is told.
    pub env: String,
    /// What it takes. Default: `json`, the document that docs/deploy.md describes.
    #[serde(default)]
    pub format: NotifyFormat,
}

/// What a webhook takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyFormat {
    /// The document that docs/deploy.md describes.
    #[default]
    Json,
    /// A message of Slack.
    Slack,
    /// A card for a workflow of Teams.
    Teams,
    /// A message of Discord.
    Discord,
}

impl Config {
    /// Who is told how deployments end.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no name of a variable, such as the URL itself.
    pub fn notify(&self) -> Result<Option<&NotifyConfig>, Error> {
        let Some(notify) = &self.project.notify else { return Ok(None) };
        let plain = |one: char| one.is_ascii_alphanumeric() || one == '_';
        if notify.env.is_empty() || !notify.env.chars().all(plain) {
            return Err(Error::invalid_with(
                "project.notify.env",
                "it is no name of a variable",
                "the URL of a webhook is a secret: put it into a variable, and write the variable's name",
            ));
        }
        Ok(Some(notify))
    }
}
