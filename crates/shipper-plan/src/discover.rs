//! A configuration for a repository that has none: every Cargo package with a binary and every Dockerfile becomes a
//! service.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::config::{
    CargoConfig, Config, ContextConfig, OneOrMany, ProjectConfig, RegistryConfig, ServiceConfig, StackConfig,
};
use crate::settings::project_name;

/// A Cargo package that has binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredPackage {
    /// Package name.
    pub name: String,
    /// Names of its binaries, sorted.
    pub bins: Vec<String>,
    /// Its `default-run`.
    pub default_run: Option<String>,
}

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredDockerfile {
    /// Path relative to the project.
    pub path: String,
}

/// What was found in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Packages, sorted by name.
    pub packages: Vec<DiscoveredPackage>,
    /// Dockerfiles, sorted by path.
    pub dockerfiles: Vec<DiscoveredDockerfile>,
}

/// The configuration that follows from what was found.
///
/// A Cargo package becomes a service with its name, less the project's name in front; a Dockerfile a service with the
/// name of its directory, or of its suffix (`worker.Dockerfile`, `Dockerfile.worker`), and its directory as context.
/// Where both lead to one name, the Dockerfile wins: somebody wrote it.
#[must_use]
pub fn discover(found: &Discovered, directory: &str) -> Config {
    let project = project_name(directory);
    let mut service = BTreeMap::new();
    for package in &found.packages {
        let short = package.name.strip_prefix(project.as_str()).map(|rest| rest.trim_start_matches(['-', '_']));
        let name = project_name(short.filter(|rest| !rest.is_empty()).unwrap_or(&package.name));
        let bin = match package.bins.as_slice() {
            [_] => None,
            _ if package.default_run.is_some() || package.bins.contains(&package.name) => None,
            many => Some(OneOrMany::Many(many.to_vec())),
        };
        let cargo = CargoConfig { package: package.name.clone(), bin, ..CargoConfig::default() };
        service.insert(name, ServiceConfig { cargo: Some(cargo), ..ServiceConfig::default() });
    }
    for dockerfile in &found.dockerfiles {
        let (parent, file) = dockerfile.path.rsplit_once('/').unwrap_or(("", &dockerfile.path));
        let suffix = file.strip_suffix(".Dockerfile").or_else(|| file.strip_prefix("Dockerfile."));
        let last = parent.rsplit('/').next().unwrap_or_default();
        let name = match suffix {
            Some(suffix) => project_name(suffix),
            None if last.is_empty() => project.clone(),
            None => project_name(last),
        };
        let config = ServiceConfig {
            dockerfile: Some(dockerfile.path.clone()),
            context: (!parent.is_empty()).then(|| ContextConfig::Directory(parent.to_owned())),
            ..ServiceConfig::default()
        };
        service.insert(name, config);
    }
    Config { project: ProjectConfig { name: Some(project), ..ProjectConfig::default() }, service, ..Config::default() }
}

/// A `shipper.toml` for people: the configuration with a few comments. Parses back to the same configuration.
#[must_use]
pub fn render(config: &Config) -> String {
    let mut text = String::from("[project]\n");
    let quoted = |value: &str| toml::Value::from(value).to_string();
    if let Some(name) = &config.project.name {
        let _ = writeln!(text, "name = {}", quoted(name));
    }
    let registry = match &config.project.registry {
        Some(RegistryConfig::Named(registry)) => quoted(registry),
        Some(RegistryConfig::OfStack(stack)) => inline(stack),
        None => quoted("oci:.shipper/images"),
    };
    let _ = writeln!(text, "registry = {registry}      # an image layout on disk, or a registry's host");
    for (name, service) in &config.service {
        let _ = write!(text, "\n[service.{name}]\n");
        if let Some(cargo) = &service.cargo {
            let bins = cargo.bin.as_ref().map_or(String::new(), |bins| {
                let bins: Vec<String> = bins.to_vec().iter().map(|bin| quoted(bin)).collect();
                format!(", bin = [{}]", bins.join(", "))
            });
            let _ = writeln!(text, "cargo = {{ package = {}{bins} }}", quoted(&cargo.package));
        }
        if let Some(dockerfile) = &service.dockerfile {
            let _ = writeln!(text, "dockerfile = {}", quoted(dockerfile));
        }
        if let Some(ContextConfig::Directory(context)) = &service.context {
            let _ = writeln!(text, "context = {}", quoted(context));
        }
        if !service.platforms.is_empty() {
            let platforms: Vec<String> = service.platforms.iter().map(|platform| quoted(platform)).collect();
            let _ = writeln!(text, "platforms = [{}]", platforms.join(", "));
        }
    }
    text
}

/// A stack as an inline table.
fn inline(stack: &StackConfig) -> String {
    let pairs = [
        ("stack", Some(&stack.stack)),
        ("output", stack.output.as_ref()),
        ("outputs-file", stack.outputs_file.as_ref()),
    ];
    let pair = |(key, value): (&str, Option<&String>)| Some(format!("{key} = {}", toml::Value::from(value?.as_str())));
    format!("{{ {} }}", pairs.into_iter().filter_map(pair).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, bins: &[&str]) -> DiscoveredPackage {
        DiscoveredPackage {
            name: name.to_owned(),
            bins: bins.iter().map(|bin| (*bin).to_owned()).collect(),
            default_run: None,
        }
    }

    #[test]
    fn packages_and_dockerfiles_become_services_that_parse_back() {
        let found = Discovered {
            packages: vec![
                package("shop-api", &["shop-api"]),
                package("tools", &["a", "b"]),
                package("shop", &["shop"]),
            ],
            dockerfiles: ["Dockerfile.proxy", "worker/Dockerfile", "x/y.Dockerfile"]
                .map(|path| DiscoveredDockerfile { path: path.to_owned() })
                .to_vec(),
        };
        let config = discover(&found, "shop");
        let names: Vec<&String> = config.service.keys().collect();
        assert_eq!(names, ["api", "proxy", "shop", "tools", "worker", "y"]);
        assert_eq!(config.service["worker"].context, Some(ContextConfig::Directory("worker".to_owned())));
        let mut read = Config::parse(&render(&config), "shipper.toml").expect("parses");
        read.project.registry = None;
        assert_eq!(read, config);
    }
}
