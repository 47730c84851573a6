//! `in-use` of `[project]`: what says which images run, for retention.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::environment::{TIMEOUT, check_pattern, duration};
use crate::error::Error;
use crate::{Config, ProjectConfig};

/// What says which images run, beside pins and deployment records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InUseConfig {
    /// Program and arguments. It prints references of images, one on each line or as a JSON list; anything but exit code 0
    /// keeps everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Services of AWS whose images are in use: all of those in the account and region of the repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aws: Vec<InUseService>,
    /// Which of the caller's variables it sees: names, and beginnings of names with a `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// How long it may take. Default: `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// A service of AWS that runs images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InUseService {
    /// Tasks, services and the last task definitions of Amazon ECS.
    Ecs,
    /// All versions of all functions of AWS Lambda.
    Lambda,
}

/// The command, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUseCommand {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Which of the caller's variables it sees.
    pub pass_env: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Config {
    /// The command that says which images run, where there is one.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what makes no sense in it.
    pub fn in_use(&self) -> Result<Option<InUseCommand>, Error> {
        let ProjectConfig { in_use: Some(config), .. } = &self.project else { return Ok(None) };
        let key = |rest: &str| format!("project.in-use.{rest}");
        if config.command.is_empty() && !config.aws.is_empty() {
            let of_command = [("pass-env", !config.pass_env.is_empty()), ("timeout", config.timeout.is_some())];
            return match of_command.iter().find(|(_, is_written)| *is_written) {
                Some((name, _)) => Err(Error::invalid(key(name), "it means nothing without a `command`")),
                None => Ok(None),
            };
        }
        if config.command.first().is_none_or(String::is_empty) {
            let hint = "write `command = [\"program\", \"argument\"]`, or `aws = [\"ecs\", \"lambda\"]`";
            return Err(Error::invalid_with(key("command"), "it names no program", hint));
        }
        if config.command.iter().any(|word| word.contains('\0')) {
            return Err(Error::invalid(key("command"), "no argument can hold a NUL"));
        }
        for pattern in &config.pass_env {
            check_pattern(&key("pass-env"), pattern)?;
        }
        Ok(Some(InUseCommand {
            command: config.command.clone(),
            pass_env: config.pass_env.clone(),
            timeout: config.timeout.as_ref().map_or(Ok(TIMEOUT), |text| duration(&key("timeout"), text))?,
        }))
    }

    /// The services of AWS whose images are in use.
    #[must_use]
    pub fn in_use_services(&self) -> &[InUseService] {
        self.project.in_use.as_ref().map_or(&[], |config| &config.aws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_use(text: &str) -> Result<Option<InUseCommand>, Error> {
        Config::parse(&format!("[project]\n{text}"), "shipper.toml")?.in_use()
    }

    #[test]
    fn a_command_is_read_with_its_defaults() {
        assert_eq!(in_use("").unwrap(), None);
        let found = in_use("in-use = { command = ['running', '--all'], pass-env = ['AWS_*'] }").unwrap().unwrap();
        assert_eq!((found.command.join(" ").as_str(), found.timeout), ("running --all", TIMEOUT));
        let found = in_use("in-use = { command = ['running'], timeout = '30s' }").unwrap().unwrap();
        assert_eq!(found.timeout, Duration::from_secs(30));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_key() {
        for (text, says) in [
            ("in-use = { command = [] }", "project.in-use.command"),
            ("in-use = { aws = ['ecs'], timeout = '5s' }", "project.in-use.timeout"),
            ("in-use = { aws = ['eks'] }", "eks"),
            ("in-use = { command = [''] }", "names no program"),
            ("in-use = { command = ['a'], pass-env = ['A*B'] }", "project.in-use.pass-env"),
            ("in-use = { command = ['a'], timeout = 'soon' }", "project.in-use.timeout"),
            ("in-use = { cmd = ['a'] }", "command"),
        ] {
            let error = in_use(text).unwrap_err();
            let told = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(told.contains(says), "{text}: {told}");
        }
    }
}
