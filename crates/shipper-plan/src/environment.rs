//! The tables `[env.NAME]`: as written, and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shipper_report::variable;

use crate::config::{Config, StackConfig};
use crate::error::Error;
use crate::scan::{Scan, ScanConfig};
use crate::target::{EcsConfig, LambdaConfig, Target};

/// A table `[env.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EnvironmentConfig {
    /// Which runs may deploy to it: `trusted` (no pull requests) or `any`. Default: `trusted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustConfig>,
    /// Where its images and records are, `oci:DIR` or a registry's host with an optional path: images are copied there,
    /// byte for byte, before they are deployed. Default: the project's registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The profile of AWS whose credentials its registry, where that is one of ECR and the environment's own, is logged in to
    /// with, its stack is asked with, and its targets `ecs` and `lambda` are changed with. Default: the credentials that AWS tools find by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The region of its stack and of its targets `ecs` and `lambda`. Default: that of its registry, else the one that AWS tools find by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The repository whose existence says that the environment is there. Default: it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<StackConfig>,
    /// Command (an argument list, no shell) that sets the environment up, run only when it is proven not to be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bootstrap: Vec<String>,
    /// Command (an argument list, no shell) that removes the environment, for `shipper undeploy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Which variables of the caller its commands see: names, and beginnings of names with a `*` at the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// What an image that is new to it has to pass before anything is changed: the severity (`critical`, `high`, `medium`, `low`)
    /// from which on Amazon ECR may have no findings, or a command (an argument list, no shell) that returns 0. `{image}` is
    /// replaced in it. Default: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanConfig>,
    /// How long each of its commands may take, such as `90s`, `30m`, `2h`. Default: `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// What deploys images, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deploy: Vec<TargetConfig>,
    /// What follows, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<AfterConfig>,
}

/// Which runs may deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrustConfig {
    /// Those that nobody can start by proposing a change.
    Trusted,
    /// All.
    Any,
}

/// A table `[[env.NAME.deploy]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TargetConfig {
    /// Its name in records. Default: `deploy-` and its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Command (an argument list, no shell). It gets `SHIPPER_IMAGE_<SERVICE>` and more; `{image:SERVICE}`,
    /// `{digest:SERVICE}`, `{tag:SERVICE}` and `{env}` are replaced in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<String>,
    /// Instead of a command: a service of Amazon ECS, which gets a task definition that is the running one with this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs: Option<EcsConfig>,
    /// Instead of a command: a function of AWS Lambda, whose alias gets a version with this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<LambdaConfig>,
    /// Variables of the command, with the same placeholders.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Further variables of the caller that it sees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// Services whose images it deploys. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// Patterns of files that it depends on besides images. Default: all files of the repository that
    /// a context could have, without those that steps in `after` name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// Command that returns 0 where the target runs what it should, and 1 where it does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<String>,
    /// How long it may take. Default: that of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// A table `[[env.NAME.after]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AfterConfig {
    /// Its name in records. Default: `after-` and its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Command, as of a target.
    pub run: Vec<String>,
    /// Variables of the command, with the same placeholders.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Further variables of the caller that it sees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// Patterns of files: it runs only when these, or the command, changed since it last succeeded. Default: it runs
    /// whenever something was deployed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// How long it may take. Default: that of the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// An environment, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its name: lower-case letters, digits and single `_`, `-` between them, at most 40 characters.
    pub name: String,
    /// Whether runs that are not trusted may deploy to it.
    pub admits_untrusted: bool,
    /// Its own registry.
    pub registry: Option<String>,
    /// The profile of AWS that it is reached with.
    pub profile: Option<String>,
    /// The region of its stack.
    pub region: Option<String>,
    /// What says that it is there.
    pub ready: Option<StackConfig>,
    /// The command that sets it up; empty where there is none.
    pub bootstrap: Vec<String>,
    /// The command that removes it; empty where there is none.
    pub remove: Vec<String>,
    /// What an image that is new to it has to pass.
    pub scan: Option<Scan>,
    /// Which variables commands see that belong to no step.
    pub pass_env: Vec<String>,
    /// How long a command may take that belongs to no step.
    pub timeout: Duration,
    /// What deploys images.
    pub targets: Vec<Hand>,
    /// What follows.
    pub after: Vec<Hand>,
}

/// A target or a step that follows, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hand {
    /// Its name, unique in the environment.
    pub name: String,
    /// The command; empty where there is a `target`.
    pub run: Vec<String>,
    /// What gets its image by its own interface, in the place of a command.
    pub target: Option<Target>,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Which of the caller's variables it sees, sorted, those of the environment among them.
    pub pass_env: Vec<String>,
    /// Services whose images it deploys; `None` for all.
    pub services: Option<Vec<String>>,
    /// Patterns of its files; `None` where nothing is said.
    pub inputs: Option<Vec<String>>,
    /// The command that tells what runs; empty where there is none.
    pub check: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What stands for the number of a pull request in the name of a table: `[env."pr-{pr}"]` is about `pr-1`, `pr-2` and so on.
pub const PULL_REQUEST: &str = "{pr}";

/// Whether a table is about environments of pull requests.
#[must_use]
pub fn names_many(table: &str) -> bool {
    table.contains(PULL_REQUEST)
}

/// Whether an environment is one of those that a table is about, as `pr-12` is of `pr-{pr}`. A number has no leading zero, so
/// that no two names are of one pull request.
///
/// ```
/// assert!(shipper_plan::is_one_of("pr-{pr}", "pr-12"));
/// assert!(!shipper_plan::is_one_of("pr-{pr}", "pr-012"));
/// ```
#[must_use]
pub fn is_one_of(table: &str, environment: &str) -> bool {
    let Some((before, after)) = table.split_once(PULL_REQUEST) else { return false };
    let number = environment.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    number.is_some_and(|number| {
        !number.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// How long a command may take where nothing is said.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3600);

impl Config {
    /// The environment of this name.
    ///
    /// # Errors
    /// [`Error::NoSuchEnvironment`]; [`Error::Invalid`] for what makes no sense in it.
    pub fn environment(&self, name: &str) -> Result<Environment, Error> {
        let Some(config) = self.table(name) else {
            return Err(Error::NoSuchEnvironment { name: name.to_owned(), known: self.env.keys().cloned().collect() });
        };
        config.checked(name, &self.service.keys().map(String::as_str).collect())
    }

    /// The profiles of AWS by the host of the registry that they are for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a registry that two environments have with different profiles: it is logged in to once.
    pub fn profiles(&self) -> Result<BTreeMap<String, String>, Error> {
        let mut profiles: BTreeMap<String, String> = BTreeMap::new();
        for (name, environment) in &self.env {
            let (Some(registry), Some(profile)) = (&environment.registry, &environment.profile) else { continue };
            let host = registry.split('/').next().unwrap_or_default();
            match profiles.insert(host.to_owned(), profile.clone()) {
                Some(other) if other != *profile => {
                    return Err(Error::invalid_with(
                        format!("env.{name}.profile"),
                        format!("`{host}` is the registry of another environment, with the profile `{other}`"),
                        "write one profile for both: a registry is logged in to once",
                    ));
                }
                _ => (),
            }
        }
        Ok(profiles)
    }

    /// Whether there is an environment of this name, one of pull requests among them.
    #[must_use]
    pub fn has_environment(&self, name: &str) -> bool {
        self.table(name).is_some()
    }

    /// The table of this name, else one that stands for it.
    fn table(&self, name: &str) -> Option<&EnvironmentConfig> {
        let many = || self.env.iter().find(|(table, _)| is_one_of(table, name)).map(|(_, config)| config);
        self.env.get(name).or_else(many)
    }
}

impl EnvironmentConfig {
    fn checked(&self, name: &str, services: &BTreeSet<&str>) -> Result<Environment, Error> {
        let key = |rest: &str| format!("env.{name}.{rest}");
        if !crate::settings::is_name(name) || name.contains('.') || name.len() > 40 {
            return Err(Error::invalid_with(
                format!("env.{name}"),
                "it is no name of an environment",
                "use lower-case letters, digits and single `_`, `-` between them, at most 40",
            ));
        }
        let variables: BTreeMap<String, &str> = services.iter().map(|service| (variable(service), *service)).collect();
        if variables.len() < services.len() {
            let twice = services.iter().find(|service| variables[&variable(service)] != **service);
            return Err(Error::invalid(
                format!("env.{name}"),
                format!(
                    "two services have the variable SHIPPER_IMAGE_{}",
                    variable(twice.copied().unwrap_or_default())
                ),
            ));
        }
        let timeout = match &self.timeout {
            Some(text) => duration(&key("timeout"), text)?,
            None => TIMEOUT,
        };
        let mut names = BTreeSet::new();
        let mut targets = Vec::new();
        for (place, target) in self.deploy.iter().enumerate() {
            let native = target.target(&key("deploy"), services)?;
            let hand = Hand {
                name: target.name.clone().unwrap_or_else(|| format!("deploy-{}", place + 1)),
                run: target.run.clone(),
                env: target.env.clone(),
                pass_env: if native.is_some() { Vec::new() } else { self.passed(&target.pass_env) },
                services: native.as_ref().map(|native| vec![native.image().to_owned()]).or(target.services.clone()),
                // What a service runs is asked, so that no file stands for it.
                inputs: if native.is_some() { Some(Vec::new()) } else { target.inputs.clone() },
                target: native,
                check: target.check.clone(),
                timeout: target.timeout.as_ref().map_or(Ok(timeout), |text| duration(&key("deploy.timeout"), text))?,
            };
            hand.check(&key("deploy"), services, &mut names)?;
            targets.push(hand);
        }
        let mut after = Vec::new();
        for (place, step) in self.after.iter().enumerate() {
            let hand = Hand {
                name: step.name.clone().unwrap_or_else(|| format!("after-{}", place + 1)),
                run: step.run.clone(),
                target: None,
                env: step.env.clone(),
                pass_env: self.passed(&step.pass_env),
                services: None,
                inputs: step.inputs.clone(),
                check: Vec::new(),
                timeout: step.timeout.as_ref().map_or(Ok(timeout), |text| duration(&key("after.timeout"), text))?,
            };
            hand.check(&key("after"), services, &mut names)?;
            after.push(hand);
        }
        if targets.is_empty() {
            return Err(Error::invalid_with(
                key("deploy"),
                "there is no target",
                format!("add `[[env.{name}.deploy]]` with `run = [\"program\", \"argument\"]`"),
            ));
        }
        for pattern in &self.pass_env {
            check_pattern(&key("pass-env"), pattern)?;
        }
        if let Some(region) = &self.region {
            check_region(&key("region"), region)?;
        }
        Ok(Environment {
            name: name.to_owned(),
            admits_untrusted: self.trust == Some(TrustConfig::Any),
            registry: self.registry.clone(),
            profile: self.profile.clone(),
            region: self.region.clone(),
            ready: self.ready.clone(),
            bootstrap: self.bootstrap.clone(),
            remove: self.remove.clone(),
            scan: self.scan.as_ref().map(|scan| scan.checked(&key("scan"))).transpose()?,
            pass_env: self.passed(&[]),
            timeout,
            targets,
            after,
        })
    }

    fn passed(&self, further: &[String]) -> Vec<String> {
        let all: BTreeSet<&String> = self.pass_env.iter().chain(further).collect();
        all.into_iter().cloned().collect()
    }
}

/// Refuses what can not be the name of a region (AWS General Reference, "Regional endpoints").
pub(crate) fn check_region(key: &str, text: &str) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.bytes().all(plain) && text.trim_matches('-').contains('-') && text.len() <= 40 {
        return Ok(());
    }
    let problem = format!("`{text}` is no region");
    Err(Error::invalid_with(key, problem, "write a region of AWS, such as `eu-west-1`"))
}

impl Hand {
    fn check(&self, key: &str, services: &BTreeSet<&str>, names: &mut BTreeSet<String>) -> Result<(), Error> {
        let key = |rest: &str| format!("{key}.{rest}");
        if !names.insert(self.name.clone()) {
            return Err(Error::invalid(key("name"), format!("two steps are called `{}`", self.name)));
        }
        if self.name.is_empty() || self.name.len() > 63 || self.name.chars().any(char::is_control) {
            return Err(Error::invalid(key("name"), "it is empty, longer than 63 bytes, or has control characters"));
        }
        let no_program = |argv: &[String]| argv.first().is_none_or(String::is_empty);
        if self.target.is_none() && no_program(&self.run) {
            return Err(Error::invalid_with(
                key("run"),
                format!("`{}` names no program", self.name),
                "write `run = [\"program\", \"argument\"]`",
            ));
        }
        if !self.check.is_empty() && no_program(&self.check) {
            return Err(Error::invalid(key("check"), format!("that of `{}` names no program", self.name)));
        }
        let nul = |text: &String| text.contains('\0');
        if self.run.iter().chain(&self.check).chain(self.env.values()).any(nul) {
            return Err(Error::invalid(key("run"), "no argument or variable can hold a NUL"));
        }
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(Error::invalid(key("env"), format!("`{}` is no name of a variable", name.escape_debug())));
            }
        }
        for pattern in &self.pass_env {
            check_pattern(&key("pass-env"), pattern)?;
        }
        for service in self.services.iter().flatten() {
            if !services.contains(service.as_str()) {
                return Err(Error::NoSuchService {
                    name: service.clone(),
                    known: services.iter().map(|&known| known.to_owned()).collect(),
                });
            }
        }
        Ok(())
    }
}

pub(crate) fn check_pattern(key: &str, pattern: &str) -> Result<(), Error> {
    let name = pattern.strip_suffix('*').unwrap_or(pattern);
    if name.is_empty() || name.contains(['*', '=', '\0']) {
        return Err(Error::invalid_with(
            key,
            format!("`{}` names no variable", pattern.escape_debug()),
            "write a name, or the beginning of names with a `*`, such as `AWS_*`",
        ));
    }
    Ok(())
}

/// `90s`, `30m`, `2h`.
pub(crate) fn duration(key: &str, text: &str) -> Result<Duration, Error> {
    let parsed = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return None,
        };
        let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
        number.checked_mul(seconds).filter(|seconds| *seconds <= 7 * 24 * 3600)
    };
    let seconds = parsed().ok_or_else(|| {
        let problem = format!("`{}` is no time", text.escape_debug());
        Error::invalid_with(key, problem, "write seconds, minutes or hours, such as `90s`, `30m`, `2h`; at most 168h")
    })?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(text: &str) -> Result<Environment, Error> {
        let services = "[service.api]\nfiles = { '/a' = 'a' }\n[service.web-ui]\nfiles = { '/a' = 'a' }\n";
        Config::parse(&format!("{services}{text}"), "shipper.toml")?.environment("prod")
    }

    #[test]
    fn what_is_not_written_has_defaults() {
        let found = environment(
            "[env.prod]\npass-env = ['AWS_*']\ntimeout = '30m'\n[[env.prod.deploy]]\nrun = ['a']\npass-env = ['CI']\n\
             [[env.prod.after]]\nrun = ['b']\ntimeout = '5s'",
        );
        let found = found.expect("is right");
        assert_eq!((found.targets[0].name.as_str(), found.after[0].name.as_str()), ("deploy-1", "after-1"));
        assert_eq!(found.targets[0].pass_env, ["AWS_*", "CI"]);
        assert_eq!((found.targets[0].timeout.as_secs(), found.after[0].timeout.as_secs()), (1800, 5));
        assert!(!found.admits_untrusted);
    }

    #[test]
    fn mistakes_name_their_key() {
        let check = |text: &str, expected: &str| {
            let error = environment(text).expect_err(text);
            assert!(error.to_string().contains(expected), "{error}");
        };
        let target = "[[env.prod.deploy]]\nrun = ['a']\n";
        check("[env.prod]", "there is no target");
        check("[[env.prod.deploy]]\nrun = []", "env.prod.deploy.run");
        check("[[env.prod.deploy]]\nrun = ['']", "names no program");
        check(&format!("{target}timeout = '5'"), "env.prod.deploy.timeout");
        check(&format!("{target}timeout = '0s'"), "is no time");
        check(&format!("{target}timeout = 'é'"), "is no time");
        check(&format!("{target}pass-env = ['*']"), "env.prod.deploy.pass-env");
        check(&format!("{target}env = {{ 'A=B' = '' }}"), "env.prod.deploy.env");
        check(&format!("{target}services = ['apy']"), "find service `apy`");
        check(&format!("{target}name = 'x'\n{target}name = 'x'"), "two steps are called `x`");
        let ecs = "[[env.prod.deploy]]\necs = { cluster = 'c', service = 's', container = 'a', image = 'api'";
        check(&format!("{ecs} }}\nrun = ['a']"), "env.prod.deploy.run");
        check(&format!("{ecs} }}\ncheck = ['a']"), "env.prod.deploy.check");
        check(&format!("{ecs}, region = 'Europe' }}"), "env.prod.deploy.ecs.region");
        check(&ecs.replace("'api'", "'apy' }"), "find service `apy`");
        check(&format!("{} }}", ecs.replace("'s'", "''")), "env.prod.deploy.ecs.service");
        check("[[env.prod.deploy]]\necs = { cluster = 'c' }", "missing field `service`");
        let lambda = "[[env.prod.deploy]]\nlambda = { function = 'f', alias = 'live', image = 'api' }";
        check(&lambda.replace("'f'", "'../f'"), "env.prod.deploy.lambda.function");
        check(&lambda.replace("'live'", "'12'"), "env.prod.deploy.lambda.alias");
        check(&format!("{ecs} }}\n{}", lambda.trim_start_matches("[[env.prod.deploy]]\n")), "env.prod.deploy.lambda");
        check(&format!("[env.prod]\nscan = []\n{target}"), "env.prod.scan");
        check(&format!("[env.prod]\nscan = 'hihg'\n{target}"), "scan");
        check("[env.prodd]", "find environment `prod`");
        let error = environment("[env.prodd]").expect_err("another one");
        assert_eq!(error.hint().as_deref(), Some("did you mean `prodd`?"));
        let twins = "[service.a-b]\nfiles = { '/a' = 'a' }\n[service.a_b]\nfiles = { '/a' = 'a' }\n";
        check(&format!("{twins}{target}"), "SHIPPER_IMAGE_A_B");
    }
}
