//! The table `[cache]`: where builders of Dockerfiles keep layers between machines. No key depends on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The table `[cache]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CacheConfig {
    /// Where layers are read from: `"registry"` (beside the images), `{ registry = "HOST/NAME" }`, `"gha"`, `"inline"` (the
    /// branch's last image), `{ local = "DIR" }`. Each source costs every build time; three are many. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<CacheSourceConfig>>,
    /// When layers are written back, to the first source that can be written: `ci` (where the environment has `CI`),
    /// `always` or `never`. A pull request never does. Default: `ci`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<CacheExportConfig>,
}

/// One place of layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum CacheSourceConfig {
    /// A place that needs no more than its kind.
    Kind(CacheKindConfig),
    /// A place with an address.
    Place(CachePlaceConfig),
}

/// A place of layers that needs no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheKindConfig {
    /// Tags `cache-*` in the service's own repository.
    Registry,
    /// GitHub's cache service, in its workflows.
    Gha,
    /// The configuration of the image that was last shipped from the branch.
    Inline,
}

/// A place of layers with its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CachePlaceConfig {
    /// A repository, with the beginning of a tag or without; `{project}` and `{service}` are replaced. Platform and branch
    /// are appended to the tag.
    Registry(String),
    /// A directory, relative to the project.
    Local(String),
}

/// When layers are written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheExportConfig {
    /// Where the environment has `CI`.
    Ci,
    /// On every run that may.
    Always,
    /// Never.
    Never,
}

impl<'de> Deserialize<'de> for CacheSourceConfig {
    /// By hand, so that a mistake in the table is told as such.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = CacheSourceConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`registry`, `gha`, `inline`, or a table with `registry` or `local`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CacheSourceConfig, E> {
                let kind = CacheKindConfig::deserialize(serde::de::value::StrDeserializer::new(text));
                kind.map(CacheSourceConfig::Kind)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<CacheSourceConfig, A::Error> {
                let table = serde::de::value::MapAccessDeserializer::new(map);
                CachePlaceConfig::deserialize(table).map(CacheSourceConfig::Place)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl std::fmt::Display for CacheSourceConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kind(kind) => f.write_str(&crate::config::word(kind)),
            Self::Place(CachePlaceConfig::Registry(reference)) => write!(f, "registry {reference}"),
            Self::Place(CachePlaceConfig::Local(directory)) => write!(f, "local {directory}"),
        }
    }
}

/// The sources, with addresses that can be used for every service.
///
/// # Errors
/// [`Error::Invalid`] for a placeholder that does not exist, or a place that several services would overwrite.
pub(crate) fn checked(config: &CacheConfig) -> Result<Vec<CacheSourceConfig>, Error> {
    let sources = config.sources.clone().unwrap_or_default();
    for source in &sources {
        let CacheSourceConfig::Place(CachePlaceConfig::Registry(template)) = source else { continue };
        let rest = template.replace("{project}", "").replace("{service}", "");
        if rest.contains(['{', '}', '@']) {
            return Err(Error::invalid_with(
                "cache.sources",
                format!("`{template}` cannot be the beginning of a cache's name"),
                "write HOST/NAME or HOST/NAME:TAG; `{project}` and `{service}` are replaced",
            ));
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn sources_are_words_or_tables_and_mistakes_are_told() {
        let text = "[cache]\nexport = 'always'\nsources = ['gha', { registry = 'r.io/c:{service}' }, { local = 'd' }, 'inline']\n";
        let config = Config::parse(text, "shipper.toml").expect("parses").cache;
        let told: Vec<String> = checked(&config).expect("can be used").iter().map(ToString::to_string).collect();
        assert_eq!(told, ["gha", "registry r.io/c:{service}", "local d", "inline"]);
        assert_eq!(config.export, Some(CacheExportConfig::Always));
        for (wrong, says) in [
            ("[cache]\nsources = ['s3']", "unknown variant `s3`"),
            ("[cache]\nsources = [{ regstry = 'x' }]", "unknown variant `regstry`"),
            ("[cache]\nsorces = []", "unknown field `sorces`"),
            ("[cache]\nsources = [1]", "`registry`, `gha`, `inline`, or a table"),
        ] {
            let error = Config::parse(wrong, "shipper.toml").expect_err(wrong);
            assert!(error.to_string().contains(says), "{error}");
        }
        let unusable = CacheConfig {
            sources: Some(vec![CacheSourceConfig::Place(CachePlaceConfig::Registry("r.io/{branch}".to_owned()))]),
            export: None,
        };
        assert!(checked(&unusable).expect_err("a placeholder").to_string().contains("{branch}"));
    }
}
