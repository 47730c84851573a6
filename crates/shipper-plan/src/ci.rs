//! The table `[ci]`: what pipelines need to know that services and environments do not tell. No key depends on it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cache::{CacheKindConfig, CacheSourceConfig};
use crate::config::{Config, RegistryConfig, SecretConfig};
use crate::environment::names_many;
use crate::error::Error;

/// The table `[ci]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CiConfig {
    /// What is installed on a runner: a version of shipper, or `{ path = "DIR" }` for its sources in a directory of the project.
    /// Default: the version that writes the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipper: Option<CiShipperConfig>,
    /// The branch whose pushes are the project's. Default: that of `[tags]`, else `main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Patterns of tags, such as `v*`, whose pushes are releases. Default: a release is one that is published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When a run is started by the clock, as cron says it, in UTC. Default: never.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<String>,
    /// The label of runners. Default: `ubuntu-24.04` at GitHub, elsewhere any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<String>,
    /// The image that jobs run in, on systems where they do (GitLab). It has bash or another shell, Cargo and git. Default: one
    /// that has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The secrets with the name and the password of a user of the registry. Default: GitHub's token for `ghcr.io`, the role for
    /// Amazon ECR, else nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<CiLoginConfig>,
    /// The role of AWS that jobs have, by their identity at the CI system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The region of AWS. Default: that of the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Which environments are deployed to by which runs. Default: each by hand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deploy: BTreeMap<String, CiDeployConfig>,
}

/// What is installed on a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum CiShipperConfig {
    /// This version.
    Version(String),
    /// Sources in the project.
    Source(CiSourceConfig),
}

/// Sources of shipper in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CiSourceConfig {
    /// The directory with shipper's `Cargo.lock`, relative to the project.
    pub path: String,
}

impl<'de> Deserialize<'de> for CiShipperConfig {
    /// By hand, so that a mistake in the table is told as such.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = CiShipperConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a version, or a table with `path`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CiShipperConfig, E> {
                Ok(CiShipperConfig::Version(text.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<CiShipperConfig, A::Error> {
                let table = serde::de::value::MapAccessDeserializer::new(map);
                CiSourceConfig::deserialize(table).map(CiShipperConfig::Source)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// The secrets of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CiLoginConfig {
    /// Name of the secret with the user's name.
    pub username: String,
    /// Name of the secret with the password.
    pub password: String,
}

/// A table `[ci.deploy.ENV]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CiDeployConfig {
    /// What starts it, besides a person: `branch` (a push to the branch), `release` or `manual`. Default: `manual`.
    pub on: CiTriggerConfig,
    /// The role of AWS that its commands have. Default: none; shipper itself has that of `[ci]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Secrets that it sees as variables of the same name. Its commands see what `pass-env` names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// What starts a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CiTriggerConfig {
    /// A push to the branch.
    Branch,
    /// A release.
    Release,
    /// Nothing but a person.
    #[default]
    Manual,
}

/// What pipelines need to know, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ci {
    /// What is installed; `None` for the version that writes the pipeline.
    pub shipper: Option<CiShipperConfig>,
    /// The branch whose pushes are the project's.
    pub branch: String,
    /// Patterns of tags.
    pub tags: Vec<String>,
    /// When a run is started by the clock.
    pub schedule: Vec<String>,
    /// The label of runners, where one is named.
    pub runner: Option<String>,
    /// The image that jobs run in, where one is named.
    pub image: Option<String>,
    /// The registry: a host with an optional path; `None` where a stack names it.
    pub registry: Option<String>,
    /// Secrets of the login.
    pub login: Option<CiLoginConfig>,
    /// Whether pull requests have a registry of their own.
    pub has_untrusted: bool,
    /// The role of AWS.
    pub role: Option<String>,
    /// The region of AWS.
    pub region: Option<String>,
    /// Variables that builds are given secrets by; sorted, no duplicates.
    pub secrets: Vec<String>,
    /// Whether layers are kept in GitHub's cache.
    pub gha_cache: bool,
    /// Environments with what starts their deployments, by name.
    pub deploy: BTreeMap<String, CiDeployConfig>,
}

impl Config {
    /// What pipelines need to know.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what makes no sense in `[ci]`, and for a registry that runners can not share;
    /// [`Error::NoSuchEnvironment`].
    pub fn ci(&self) -> Result<Ci, Error> {
        let registry = match &self.project.registry {
            Some(RegistryConfig::Named(registry)) if !registry.starts_with("oci:") => Some(registry.clone()),
            Some(RegistryConfig::OfStack(_)) => None,
            Some(RegistryConfig::Named(_)) | None => {
                return Err(Error::invalid_with(
                    "project.registry",
                    "the jobs of a pipeline share no directory",
                    "name a registry, such as `registry = \"ghcr.io/OWNER\"`",
                ));
            }
        };
        let ci = &self.ci;
        for (key, value) in ci.texts() {
            if value.is_empty() || value.contains(char::is_control) {
                return Err(Error::invalid(format!("ci.{key}"), "it is empty or has control characters"));
            }
        }
        if let Some(CiShipperConfig::Source(source)) = &ci.shipper {
            check_source(&source.path)?;
        }
        let mut secrets: Vec<String> =
            self.service.values().flat_map(|service| service.secrets.values()).filter_map(variable_of).collect();
        secrets.extend(self.sign.key.as_deref().and_then(|key| key.strip_prefix("env:")).map(str::to_owned));
        secrets.sort();
        secrets.dedup();
        let of_login = ci.login.iter().flat_map(|login| [&login.username, &login.password]);
        let of_deployments = ci.deploy.values().flat_map(|deploy| &deploy.secrets);
        for name in secrets.iter().chain(of_login).chain(of_deployments) {
            check_secret(name)?;
        }
        let mut deploy: BTreeMap<String, CiDeployConfig> = self
            .env
            .keys()
            .filter(|name| !names_many(name))
            .map(|name| (name.clone(), CiDeployConfig::default()))
            .collect();
        for (name, config) in &ci.deploy {
            let Some(found) = deploy.get_mut(name) else {
                return Err(Error::NoSuchEnvironment { name: name.clone(), known: deploy.into_keys().collect() });
            };
            *found = config.clone();
        }
        for name in deploy.keys() {
            self.environment(name)?;
        }
        let gha = CacheSourceConfig::Kind(CacheKindConfig::Gha);
        Ok(Ci {
            shipper: ci.shipper.clone(),
            branch: ci.branch.clone().or_else(|| self.tags.default_branch.clone()).unwrap_or_else(|| "main".to_owned()),
            tags: ci.tags.clone(),
            schedule: ci.schedule.clone(),
            runner: ci.runner.clone(),
            image: ci.image.clone(),
            registry,
            login: ci.login.clone(),
            has_untrusted: self.project.untrusted.as_ref().is_some_and(|untrusted| !untrusted.starts_with("oci:")),
            role: ci.role.clone(),
            region: ci.region.clone(),
            secrets,
            gha_cache: self.cache.sources.iter().flatten().any(|source| *source == gha),
            deploy,
        })
    }
}

impl CiConfig {
    /// Every text of the table, with its key.
    fn texts(&self) -> Vec<(&'static str, &str)> {
        let version = match &self.shipper {
            Some(CiShipperConfig::Version(text)) => Some(text),
            Some(CiShipperConfig::Source(source)) => Some(&source.path),
            None => None,
        };
        let single = [
            ("shipper", version),
            ("branch", self.branch.as_ref()),
            ("runner", self.runner.as_ref()),
            ("image", self.image.as_ref()),
            ("role", self.role.as_ref()),
            ("region", self.region.as_ref()),
        ];
        let single = single.into_iter().filter_map(|(key, text)| Some((key, text?.as_str())));
        let many = [("tags", &self.tags), ("schedule", &self.schedule)];
        let many = many.into_iter().flat_map(|(key, list)| list.iter().map(move |text| (key, text.as_str())));
        let roles = self.deploy.values().filter_map(|deploy| Some(("deploy", deploy.role.as_deref()?)));
        single.chain(many).chain(roles).collect()
    }
}

/// The variable that a secret of a service is in.
fn variable_of(secret: &SecretConfig) -> Option<String> {
    match secret {
        SecretConfig::Env(name) => Some(name.clone()),
        SecretConfig::File(_) => None,
    }
}

/// Whether a CI system can have a secret of this name (GitHub documentation, "Naming your secrets").
fn check_secret(name: &str) -> Result<(), Error> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_taken = name.to_ascii_uppercase().starts_with("GITHUB_");
    if !is_word || is_taken || name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
        return Err(Error::invalid_with(
            "ci",
            format!("`{}` can be no secret of a CI system", name.escape_debug()),
            "use letters, digits and `_`, no digit first and no `GITHUB_`",
        ));
    }
    Ok(())
}

/// Whether a directory lies in the project, and is no pattern.
fn check_source(path: &str) -> Result<(), Error> {
    let is_inside = !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | ".."));
    if !is_inside || path.contains(['*', '?', '[', ']', '!', '\\']) {
        return Err(Error::invalid_with(
            "ci.shipper.path",
            format!("`{}` is no directory of the project", path.escape_debug()),
            "write a relative path, such as `tools/shipper`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ci(text: &str) -> Result<Ci, Error> {
        let registry = if text.contains("[project]") { "" } else { "[project]\nregistry = 'ghcr.io/acme'\n" };
        let environment = "[env.prod]\n[[env.prod.deploy]]\nrun = ['true']\n[env.'pr-{pr}']\n[[env.'pr-{pr}'.deploy]]\nrun = ['true']\n";
        Config::parse(&format!("{registry}{environment}{text}"), "shipper.toml")?.ci()
    }

    #[test]
    fn what_is_not_written_has_defaults() {
        let found = ci("").expect("is right");
        assert_eq!((found.branch.as_str(), found.registry.as_deref()), ("main", Some("ghcr.io/acme")));
        assert_eq!(found.deploy.keys().collect::<Vec<_>>(), ["prod"]);
        assert_eq!(found.deploy["prod"].on, CiTriggerConfig::Manual);
        assert_eq!(ci("[tags]\ndefault-branch = 'trunk'").expect("is right").branch, "trunk");
        let secrets = "[sign]\nkey = 'env:KEY'\n[service.a]\ndockerfile = 'D'\nsecrets = { t = { env = 'TOKEN' }, f = { file = 'x' } }";
        assert_eq!(ci(secrets).expect("is right").secrets, ["KEY", "TOKEN"]);
    }

    #[test]
    fn mistakes_name_their_key() {
        let check = |text: &str, expected: &str| {
            let error = ci(text).expect_err(text);
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("[project]", "use `project.registry`: the jobs of a pipeline share no directory");
        check("[project]\nregistry = 'oci:images'", "project.registry");
        check("[ci]\nbranch = ''", "use `ci.branch`: it is empty");
        check("[ci]\nrunner = \"a\\nb\"", "ci.runner");
        check("[ci]\nshipper = { path = '../x' }", "ci.shipper.path");
        check("[ci]\nshipper = { paht = 'x' }", "unknown field `paht`");
        check("[ci.deploy.prodd]", "find environment `prodd`");
        check("[ci.deploy.'pr-{pr}']", "find environment `pr-{pr}`");
        check("[ci.deploy.prod]\nsecrets = ['A-B']", "`A-B` can be no secret");
        check("[ci]\nlogin = { username = 'GITHUB_X', password = 'P' }", "`GITHUB_X` can be no secret");
    }
}
