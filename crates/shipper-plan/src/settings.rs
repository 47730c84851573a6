//! Project-wide values with their origin: flag over environment over file over default.

use std::collections::BTreeMap;
use std::fmt;

use crate::cache::{CacheExportConfig, CacheSourceConfig};
use crate::config::{
    AttestationsConfig, BuilderConfig, Config, RegistryConfig, SbomConfig, StackConfig, UntrackedConfig, from_word,
    word,
};
use crate::error::Error;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment(&'static str),
    /// `shipper.toml`.
    File,
    /// Built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File => f.write_str("shipper.toml"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// Values that flags give, over everything else.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--registry`.
    pub registry: Option<String>,
    /// `--concurrency`.
    pub concurrency: Option<u16>,
}

/// The resolved table `[project]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The project's name.
    pub name: Setting<String>,
    /// Where images go; a description where [`Self::stack`] says it.
    pub registry: Setting<String>,
    /// The stack whose repository tells where images go, where the configuration names one and nothing overrides it.
    pub stack: Option<StackConfig>,
    /// Where the images of runs go that are not trusted, where that is another place.
    pub untrusted: Option<Setting<String>>,
    /// Template of repository names.
    pub repository: Setting<String>,
    /// How many services are built at the same time; at least 1.
    pub concurrency: Setting<u16>,
    /// Whether untracked files count.
    pub untracked: Setting<UntrackedConfig>,
    /// What builds Dockerfiles. No key depends on it.
    pub builder: Setting<BuilderConfig>,
    /// Whether assembled images carry provenance. No key depends on this or the next two.
    pub provenance: Setting<bool>,
    /// Which lists of what they are made of images carry, sorted, no duplicates.
    pub sbom: Setting<Vec<SbomConfig>>,
    /// Where both are put.
    pub attestations: Setting<AttestationsConfig>,
    /// Where builders of Dockerfiles read layers from.
    pub caches: Setting<Vec<CacheSourceConfig>>,
    /// Whether layers are written back on this machine.
    pub cache_export: Setting<bool>,
    /// The private key that signs what is pushed: a path relative to the project, or `env:NAME`.
    pub sign_key: Option<Setting<String>>,
    /// The public keys one of which must have signed an image that is reused; where it is empty none has to.
    pub trusted_keys: Setting<Vec<String>>,
}

fn pick<T>(
    flag: Option<T>,
    environment: Option<(T, &'static str)>,
    file: Option<T>,
    default: impl FnOnce() -> T,
) -> Setting<T> {
    match (flag, environment, file) {
        (Some(value), ..) => Setting { value, origin: Origin::Flag },
        (None, Some((value, name)), _) => Setting { value, origin: Origin::Environment(name) },
        (None, None, Some(value)) => Setting { value, origin: Origin::File },
        (None, None, None) => Setting { value: default(), origin: Origin::Default },
    }
}

/// A value that an environment variable chooses by its word.
fn chosen<T: serde::de::DeserializeOwned>(
    variable: Option<(String, &'static str)>,
    words: &str,
) -> Result<Option<(T, &'static str)>, Error> {
    let Some((text, name)) = variable else { return Ok(None) };
    match from_word(&text) {
        Some(value) => Ok(Some((value, name))),
        None => Err(Error::invalid(name, format!("`{text}` is none of {words}"))),
    }
}

impl Settings {
    /// Resolves the settings of `config`.
    ///
    /// `directory` is the name of the project's directory, `processors` what the machine has, `environment` the
    /// process environment.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name, template or variable that can not be used.
    pub fn resolve(
        config: &Config,
        overrides: &Overrides,
        environment: &BTreeMap<String, String>,
        directory: &str,
        processors: u16,
    ) -> Result<Self, Error> {
        let variable = |name: &'static str| {
            environment.get(name).filter(|value| !value.is_empty()).map(|value| (value.clone(), name))
        };
        let project = &config.project;
        let name = pick(None, None, project.name.clone(), || project_name(directory));
        if !is_name(&name.value) {
            return Err(Error::invalid_with(
                "project.name",
                format!("`{}` is no name", name.value),
                "use lower-case letters, digits and single `.`, `_`, `-` between them",
            ));
        }
        let concurrency = match variable("SHIPPER_CONCURRENCY") {
            None => None,
            Some((text, name)) => Some((
                text.parse().map_err(|_| Error::invalid(name, format!("`{text}` is no number up to 65535")))?,
                name,
            )),
        };
        let untracked = chosen(variable("SHIPPER_UNTRACKED"), "include, ignore, deny")?;
        let builder = chosen(variable("SHIPPER_BUILDER"), "auto, buildx, buildah")?;
        let in_ci = environment.get("CI").is_some_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
        let is_overridden = overrides.registry.is_some() || variable("SHIPPER_REGISTRY").is_some();
        let (named, stack) = match project.registry.clone() {
            Some(RegistryConfig::Named(registry)) => (Some(registry), None),
            Some(RegistryConfig::OfStack(stack)) => (Some(stack.to_string()), Some(stack)),
            None => (None, None),
        };
        let caches = crate::cache::checked(&config.cache)?;
        let exports = config.cache.export.map(|export| match export {
            CacheExportConfig::Ci => in_ci,
            CacheExportConfig::Always => true,
            CacheExportConfig::Never => false,
        });
        let (sign_key, trusted_keys) = crate::keys::checked(&config.sign, &config.trust)?;
        let settings = Self {
            stack: stack.filter(|_| !is_overridden),
            registry: pick(overrides.registry.clone(), variable("SHIPPER_REGISTRY"), named, || {
                "oci:.shipper/images".to_owned()
            }),
            untrusted: match (variable("SHIPPER_UNTRUSTED"), project.untrusted.clone()) {
                (Some((value, name)), _) => Some(Setting { value, origin: Origin::Environment(name) }),
                (None, file) => file.map(|value| Setting { value, origin: Origin::File }),
            },
            repository: pick(None, variable("SHIPPER_REPOSITORY"), project.repository.clone(), || {
                "{project}/{service}".to_owned()
            }),
            concurrency: pick(overrides.concurrency, concurrency, project.concurrency, || processors.max(1)),
            untracked: pick(None, untracked, project.untracked, || {
                if in_ci { UntrackedConfig::Deny } else { UntrackedConfig::Include }
            }),
            builder: pick(None, builder, project.builder, || BuilderConfig::Auto),
            provenance: pick(None, None, project.provenance, || false),
            sbom: pick(None, None, project.sbom.clone().map(sorted), Vec::new),
            attestations: pick(None, None, project.attestations, || AttestationsConfig::Index),
            caches: pick(None, None, config.cache.sources.as_ref().map(|_| caches), Vec::new),
            cache_export: pick(None, None, exports, || in_ci),
            sign_key: sign_key.map(|value| Setting { value, origin: Origin::File }),
            trusted_keys: pick(None, None, config.trust.keys.as_ref().map(|_| trusted_keys), Vec::new),
            name,
        };
        if settings.untrusted.as_ref().is_some_and(|untrusted| untrusted.value == settings.registry.value) {
            return Err(Error::invalid_with(
                "project.untrusted",
                format!("it is the registry of trusted runs, `{}`", settings.registry.value),
                "name another registry or another path, which pull requests alone may write to",
            ));
        }
        if settings.concurrency.value == 0 {
            return Err(Error::invalid("project.concurrency", "must be at least 1"));
        }
        if config.service.len() > 1 && !settings.repository.value.contains("{service}") {
            return Err(Error::invalid_with(
                "project.repository",
                "several services would share one repository",
                "put `{service}` into the template, or give services a `repository` of their own",
            ));
        }
        Ok(settings)
    }

    /// The repository of a service by the template.
    #[must_use]
    pub fn repository_of(&self, service: &str) -> String {
        self.repository.value.replace("{project}", &self.name.value).replace("{service}", service)
    }

    /// Every value as `(key, value, origin)`, in the order of the file.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, String, Origin)> {
        let mut rows = vec![
            ("project.name", self.name.value.clone(), self.name.origin),
            ("project.registry", self.registry.value.clone(), self.registry.origin),
            ("project.repository", self.repository.value.clone(), self.repository.origin),
            ("project.concurrency", self.concurrency.value.to_string(), self.concurrency.origin),
            ("project.untracked", word(&self.untracked.value), self.untracked.origin),
            ("project.builder", word(&self.builder.value), self.builder.origin),
            ("project.provenance", self.provenance.value.to_string(), self.provenance.origin),
            ("project.sbom", words(&self.sbom.value), self.sbom.origin),
            ("project.attestations", word(&self.attestations.value), self.attestations.origin),
        ];
        if !self.caches.value.is_empty() {
            let sources: Vec<String> = self.caches.value.iter().map(ToString::to_string).collect();
            rows.push(("cache.sources", sources.join(", "), self.caches.origin));
            rows.push(("cache.export", self.cache_export.value.to_string(), self.cache_export.origin));
        }
        if let Some(key) = &self.sign_key {
            rows.push(("sign.key", key.value.clone(), key.origin));
        }
        if !self.trusted_keys.value.is_empty() {
            rows.push(("trust.keys", self.trusted_keys.value.join(", "), self.trusted_keys.origin));
        }
        if let Some(untrusted) = &self.untrusted {
            rows.insert(2, ("project.untrusted", untrusted.value.clone(), untrusted.origin));
        }
        rows
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

fn words<T: serde::Serialize>(list: &[T]) -> String {
    list.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// Whether `name` may be the name of a project or a service: it becomes part of a repository name
/// (OCI distribution-spec, `<name>` grammar of one path component).
pub(crate) fn is_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= 63
        && bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric)
        && bytes.iter().all(|&byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && !bytes.windows(2).any(|pair| !alphanumeric(pair[0]) && !alphanumeric(pair[1]))
}

/// A name made of a directory's name; `project` where nothing of it can be used.
pub(crate) fn project_name(directory: &str) -> String {
    let mut name = String::new();
    for c in directory.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(63);
    let name = name.trim_end_matches('-');
    if name.is_empty() { "project".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, overrides: &Overrides, environment: &[(&str, &str)]) -> Result<Settings, Error> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::resolve(&Config::parse(text, "shipper.toml")?, overrides, &environment, "My Shop!", 2)
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let check = |file: &str, environment: &[(&str, &str)], flag: Option<&str>, value: &str, origin| {
            let overrides = Overrides { registry: flag.map(str::to_owned), concurrency: None };
            let settings = resolve(file, &overrides, environment).expect("resolves");
            assert_eq!((settings.registry.value.as_str(), settings.registry.origin), (value, origin));
        };
        let variable = [("SHIPPER_REGISTRY", "e.io")];
        let file = "[project]\nregistry = 'f.io'";
        check("", &[], None, "oci:.shipper/images", Origin::Default);
        check(file, &[], None, "f.io", Origin::File);
        check(file, &variable, None, "e.io", Origin::Environment("SHIPPER_REGISTRY"));
        check(file, &variable, Some("g.io"), "g.io", Origin::Flag);
    }

    #[test]
    fn untracked_files_are_refused_in_ci_unless_the_file_says_otherwise() {
        let check = |file: &str, environment: &[(&str, &str)], expected| {
            let settings = resolve(file, &Overrides::default(), environment).expect("resolves");
            assert_eq!(settings.untracked.value, expected);
        };
        check("", &[], UntrackedConfig::Include);
        check("", &[("CI", "true")], UntrackedConfig::Deny);
        check("", &[("CI", "false")], UntrackedConfig::Include);
        check("[project]\nuntracked = 'ignore'", &[("CI", "true")], UntrackedConfig::Ignore);
    }

    #[test]
    fn names_follow_the_grammar_of_a_repository_component() {
        for good in ["a", "shop", "shop-api", "a.b_c-d", "9"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a--b", "a b", "a/b", "é", &"a".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(project_name("My Shop!"), "my-shop");
        assert_eq!(project_name("…"), "project");
        proptest::proptest!(|(directory in ".{0,100}")| {
            proptest::prop_assert!(is_name(&project_name(&directory)));
        });
    }
}
