//! `shipper.toml` as it is written: every key that works today and no other.
//!
//! Nothing is defaulted here, so that the origin of each value can be told; [`crate::Settings`] and
//! [`crate::Service`] are the resolved forms.

use std::collections::BTreeMap;

use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Serialize};
use shipper_tag::{Placeholder, Policy, PolicyConfig};

use crate::cache::CacheConfig;
use crate::ci::CiConfig;
use crate::environment::EnvironmentConfig;
use crate::error::{Error, nearest};
use crate::in_use::InUseConfig;
use crate::keys::{SignConfig, TrustedKeysConfig};
use crate::notify::NotifyConfig;

/// The word that `shipper.toml` has for a value of one of its enumerations: stable, so that it may be part of a key.
#[must_use]
pub fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The value that a word of `shipper.toml` stands for.
pub(crate) fn from_word<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
}

/// The file `shipper.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "shipper.toml")]
pub struct Config {
    /// What holds for all services.
    #[serde(default)]
    pub project: ProjectConfig,
    /// Services by name; a name is lower-case letters, digits and single `.`, `_`, `-` between them.
    #[serde(default)]
    pub service: BTreeMap<String, ServiceConfig>,
    /// Where builders of Dockerfiles keep layers between machines.
    #[serde(default, skip_serializing_if = "caches_nothing")]
    pub cache: CacheConfig,
    /// Environments by name: what images are deployed to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvironmentConfig>,
    /// What pipelines of CI systems need to know.
    #[serde(default, skip_serializing_if = "knows_no_pipeline")]
    pub ci: CiConfig,
    /// With which key images are signed.
    #[serde(default, skip_serializing_if = "signs_nothing")]
    pub sign: SignConfig,
    /// Whose signatures make images usable.
    #[serde(default, skip_serializing_if = "trusts_all")]
    pub trust: TrustedKeysConfig,
    /// Which names images get, and how long they are kept.
    #[serde(default, skip_serializing_if = "says_nothing")]
    #[schemars(schema_with = "tags_schema")]
    pub tags: PolicyConfig,
}

fn caches_nothing(cache: &CacheConfig) -> bool {
    *cache == CacheConfig::default()
}

fn knows_no_pipeline(ci: &CiConfig) -> bool {
    *ci == CiConfig::default()
}

fn signs_nothing(sign: &SignConfig) -> bool {
    *sign == SignConfig::default()
}

fn trusts_all(trust: &TrustedKeysConfig) -> bool {
    *trust == TrustedKeysConfig::default()
}

fn says_nothing(tags: &PolicyConfig) -> bool {
    *tags == PolicyConfig::default()
}

/// The schema of `[tags]`, which `shipper-tag` reads by itself: a crate that stays light has no schemas.
fn tags_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let keep = json_schema!({
        "description": "How long images are kept: the newest so many, so many days (`\"3d\"`) or weeks (`\"2w\"`), or `\"forever\"`.",
        "anyOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": "^([0-9]+[dw]|forever)$" },
        ],
    });
    let only_keep = json_schema!({
        "type": "object", "properties": { "keep": keep }, "required": ["keep"], "additionalProperties": false,
    });
    let family = json_schema!({
        "description": "A family of names.",
        "type": "object",
        "properties": {
            "on": {
                "description": "On which runs it gives names: `branch:PATTERN`, `tag:PATTERN`, `pr`, `merge-queue`, `schedule`, `manual`, `local`, `dirty`; alternatives with `|`.",
                "type": "string",
            },
            "tag": { "description": "Its immutable name, such as `pr-{pr}-{sha}`.", "type": "string" },
            "alias": {
                "description": "Names that move.", "type": "array", "items": { "type": "string" },
            },
            "keep": keep,
        },
        "required": ["on", "tag"],
        "additionalProperties": false,
    });
    json_schema!({
        "description": "Which names images get, and how long they are kept.",
        "type": "object",
        "properties": {
            "preset": {
                "description": "Which families there are to begin with. Default: `release`.",
                "enum": ["release", "latest-on-main"],
            },
            "slug": {
                "description": "How branches become parts of tags. Default: `safe`.",
                "enum": ["safe", "gitlab", "docker-metadata"],
            },
            "short-sha": {
                "description": "The least number of digits of a short commit. Default: 7.",
                "type": "integer", "minimum": 4, "maximum": 64,
            },
            "default-branch": {
                "description": "The default branch, where the CI system does not tell it.", "type": "string",
            },
            "untagged": keep,
            "identity": only_keep,
            "cache": only_keep,
        },
        "additionalProperties": {
            "anyOf": [family, { "description": "Removes a family of the preset.", "const": false }],
        },
    })
}

/// The table `[project]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProjectConfig {
    /// The project's name; default: the name of the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where images go: `oci:DIR` for image layouts on disk, a registry's host with an optional path, or
    /// `{ stack = "..", output = "..", outputs-file = ".." }` for the registry of a stack's repository.
    /// Default: `oci:.shipper/images`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryConfig>,
    /// Where the images of pull requests go, `oci:DIR` or a registry's host with an optional path: such runs write nowhere
    /// else, and no other run looks there. Default: as `registry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untrusted: Option<String>,
    /// Template of repository names; `{project}` and `{service}` are replaced. Default: `{project}/{service}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// How many services are built at the same time. Default: the number of processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u16>,
    /// Whether files that git neither tracks nor ignores count: `include`, `ignore` or `deny`.
    /// Default: `include`, and `deny` where the environment has `CI`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untracked: Option<UntrackedConfig>,
    /// What builds Dockerfiles: `auto`, `buildx` or `buildah`. Default: `auto`, the first of the two that works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<BuilderConfig>,
    /// Whether assembled images carry provenance: what they were built from, as SLSA 1.0 states it. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<bool>,
    /// Lists of what images are made of, from lock files in their contexts: `spdx`, `cyclonedx`, `cyclonedx-1.5`.
    /// Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Vec<SbomConfig>>,
    /// Where provenance and lists are put: `index` (beside the image in an index, as BuildKit does) or `referrers`
    /// (the image stays what it is; for AWS Lambda, which takes no index). Default: `index`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestations: Option<AttestationsConfig>,
    /// What says which images run: `ecr gc` and `ecr lifecycle apply` leave those alone, as they do what pins and deployment
    /// records name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use: Option<InUseConfig>,
    /// Who is told of deployments that fail, of images that are kept out, and of the first success after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<NotifyConfig>,
}

/// Formats of lists of what an image is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum SbomConfig {
    /// SPDX 2.3.
    #[serde(rename = "spdx")]
    Spdx,
    /// CycloneDX 1.6.
    #[serde(rename = "cyclonedx")]
    CycloneDx,
    /// CycloneDX 1.5.
    #[serde(rename = "cyclonedx-1.5")]
    CycloneDx15,
}

/// Where provenance and lists are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttestationsConfig {
    /// Beside the image, in an index.
    Index,
    /// As artifacts that refer to the image.
    Referrers,
}

/// What builds Dockerfiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuilderConfig {
    /// The first that works: buildx, then buildah.
    Auto,
    /// `docker buildx`.
    Buildx,
    /// `buildah`, without a daemon.
    Buildah,
}

/// Where images go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RegistryConfig {
    /// `oci:DIR`, or a registry's host with an optional path.
    Named(String),
    /// Where the repository of a stack is.
    OfStack(StackConfig),
}

/// A repository among the outputs of a CDK or CloudFormation stack, found as `shipper ecr-ready` finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StackConfig {
    /// Name of the stack.
    pub stack: String,
    /// The output that is the repository's URI or ARN. Default: the only one that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// File that `cdk deploy --outputs-file` wrote, relative to the project; looked at before AWS is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs_file: Option<String>,
}

impl std::fmt::Display for StackConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stack {}", self.stack)?;
        self.output.iter().try_for_each(|output| write!(f, ", output {output}"))
    }
}

impl<'de> Deserialize<'de> for RegistryConfig {
    /// By hand, so that a mistake in the table is told as such and not as "did not match any variant".
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = RegistryConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a registry's host, `oci:DIR`, or a table with `stack`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RegistryConfig, E> {
                Ok(RegistryConfig::Named(text.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<RegistryConfig, A::Error> {
                StackConfig::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(RegistryConfig::OfStack)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What a Dockerfile is built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ContextConfig {
    /// A directory, relative to the project.
    Directory(String),
    /// What one Cargo package is built from.
    Closure(ClosureConfig),
}

/// The closure of a Cargo package as a context: its path dependencies, a workspace manifest and a `Cargo.lock` cut to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClosureConfig {
    /// Name of the package.
    pub cargo: String,
}

impl<'de> Deserialize<'de> for ContextConfig {
    /// By hand, so that a mistake in the table is told as such.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = ContextConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a directory, or a table with `cargo`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ContextConfig, E> {
                Ok(ContextConfig::Directory(text.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<ContextConfig, A::Error> {
                let table = serde::de::value::MapAccessDeserializer::new(map);
                ClosureConfig::deserialize(table).map(ContextConfig::Closure)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What is done with files that git neither tracks nor ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UntrackedConfig {
    /// They count, as they would for `docker build`.
    Include,
    /// They are left out.
    Ignore,
    /// They are an error.
    Deny,
}

/// The network of `RUN` steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkConfig {
    /// The host's.
    Host,
    /// None.
    None,
}

/// A value or a list of values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One value.
    One(String),
    /// Several values, in their order.
    Many(Vec<String>),
}

impl OneOrMany {
    /// The values in their order.
    #[must_use]
    pub fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.clone(),
        }
    }
}

/// A table `[service.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ServiceConfig {
    /// A Cargo package whose binaries become the image's program. May stand beside `files`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cargo: Option<CargoConfig>,
    /// Prebuilt programs by platform: `{ "linux/arm64" = "dist/web" }`. May stand beside `files`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub binary: BTreeMap<String, String>,
    /// Files and directories by their absolute path in the image: `{ "/srv/www" = "web/public" }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// A Dockerfile, built by a real builder. Stands alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The Dockerfile's build context: a directory relative to the project, or `{ cargo = "PACKAGE" }` for the closure of a
    /// Cargo package and nothing else. Default: `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextConfig>,
    /// Further contexts of the Dockerfile, directories relative to the project by the name that `COPY --from` or
    /// `RUN --mount=from=` uses. An image of another service is named in `needs`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<String, String>,
    /// The network of a Dockerfile's `RUN` steps: `host` or `none`. Default: the builder's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfig>,
    /// The Dockerfile's target stage. Default: the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Build arguments of the Dockerfile. They are no secrets, and what looks like one is refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Secrets of the Dockerfile's `RUN --mount=type=secret`, by id. Only the ids count for the image's key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretConfig>,
    /// SSH agents or keys of the Dockerfile's `RUN --mount=type=ssh`: `default`, or `ID=SOCKET-OR-KEY`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<String>,
    /// The image that layers are put on: `scratch` (default), a registry reference, `oci:DIR:TAG`, or a name in `needs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Services that this one is built on: `{ base = "base" }` makes `FROM base` the image of `[service.base]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub needs: BTreeMap<String, String>,
    /// `os/architecture[/variant]`. Default: `linux/` and the architecture of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Repository name, instead of the project's template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// `user[:group]` that the program runs as. Default: `65532:65532`, or the base's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// TCP ports that the program listens on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<u16>,
    /// Environment of the program.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Argument list of the program. Default: the binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments that follow the entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Working directory of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Labels of the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether Mozilla's root certificates become `/etc/ssl/certs/ca-certificates.crt`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ca_certificates: bool,
    /// Compression of layers. Default: `gzip`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionConfig>,
    /// Commands (argument lists, no shell) that must succeed before an image that is due is built.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<Vec<String>>,
    /// Patterns of files that count although git ignores them or nothing refers to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Patterns of files that do not count and are not given to the builder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Any text; another text gives the service another identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum SecretConfig {
    /// In this environment variable.
    Env(String),
    /// In this file; a relative path is relative to the project, `~/` is the home directory.
    File(String),
}

/// How a Cargo package is built.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CargoConfig {
    /// Name of the package.
    pub package: String,
    /// Binaries that are put into the image; the first is the entrypoint. Default: the package's only binary,
    /// its `default-run`, or the one with the package's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin: Option<OneOrMany>,
    /// Cargo profile. Default: `release`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Features to enable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Whether default features are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_default_features: bool,
    /// How the program is linked. Default: `static`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkConfig>,
    /// Flags for the compiler, after those that shipper needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rustflags: Vec<String>,
    /// Environment of the compilation; nothing else of the user's environment is seen by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// How a program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkConfig {
    /// The GNU C library, linked in. Needs nothing but the toolchain.
    Static,
    /// The musl C library, linked in. Needs the musl target of the toolchain.
    Musl,
    /// Shared objects, which are put into the image in a layer of their own.
    Dynamic,
}

/// Compression of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CompressionConfig {
    /// Read by every runtime.
    Gzip,
    /// Smaller and faster; some older runtimes and AWS Lambda refuse it.
    Zstd,
}

impl Config {
    /// Reads the text of a `shipper.toml`; `file` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the place, and with the nearest known key where a key is unknown.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error::Syntax {
            file: file.to_owned(),
            nearest: nearest_key(error.message()).or_else(|| nearest_placeholder(error.message())),
            message: error.to_string().trim_end().to_owned(),
        })
    }

    /// The policy of names.
    ///
    /// # Errors
    /// [`Error::Tags`] where families share a tag or can never give a name.
    pub fn policy(&self) -> Result<Policy, Error> {
        Ok(Policy::new(&self.tags)?)
    }

    /// The JSON schema of `shipper.toml`, for editors.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// The nearest of the keys that serde lists when it finds an unknown one:
/// "unknown field `a`, expected one of `b`, `c`".
fn nearest_key(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown field")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted).map(str::to_owned)
}

/// The placeholder that is most like an unknown one: "unknown placeholder `{a}`".
fn nearest_placeholder(message: &str) -> Option<String> {
    let (_, unknown) = message.split_once("unknown placeholder `{")?;
    let (unknown, _) = unknown.split_once('}')?;
    nearest(unknown, Placeholder::ALL.iter().map(|(name, _)| *name)).map(|name| format!("{{{name}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_names_its_line_and_the_nearest_key() {
        let check = |text: &str, line: &str, hint: Option<&str>| {
            let error = Config::parse(text, "shipper.toml").expect_err("an unknown key");
            assert!(error.to_string().contains(line), "{error}");
            assert_eq!(error.hint().as_deref(), hint, "{text}");
        };
        check("[project]\nregisrty = 'x'", "line 2", Some("did you mean `registry`?"));
        check("[service.api]\ncargo = { pakage = 'x' }", "line 2", Some("did you mean `package`?"));
        check("[servcie.api]", "line 1", Some("did you mean `service`?"));
        check("[project]\nzzzzzzzzzzzzz = 1", "line 2", None);
        check("[tags]\nuntaged = '1d'", "line 2", Some("did you mean `untagged`?"));
        let placeholder = "[tags]\npr = { on = 'pr', tag = 'pr-{pr}-{sah}' }";
        check(placeholder, "line 2, column 25", Some("did you mean `{sha}`?"));
        check("[tags.pr]\non = 'pr'\ntag = 'x-{sha}'\nalais = ['x']", "line 4", Some("did you mean `alias`?"));
        check("[project]\nregistry = { stak = 'x' }", "line 2", Some("did you mean `stack`?"));
        check("[service.a]\ncontext = { crago = 'x' }", "line 2", Some("did you mean `cargo`?"));
        check("[project", "line 1", None);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic() {
        proptest::proptest!(|(text in ".{0,200}")| { let _ = Config::parse(&text, "shipper.toml"); });
    }
}
