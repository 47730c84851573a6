//! The table `[tags]` as it is written.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Condition, Error, SlugMode, Template, nearest};

/// Where a policy starts from; see [`crate::Policy::new`] for what the families of each are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `latest` is the newest release.
    #[default]
    Release,
    /// `latest` is the default branch.
    LatestOnMain,
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The newest so many images.
    Count(u32),
    /// Images that are not older than so many days.
    Days(u32),
    /// Everything.
    Forever,
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Days(days) => serializer.serialize_str(&format!("{days}d")),
            Self::Forever => serializer.serialize_str("forever"),
        }
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeepVisitor;
        impl Visitor<'_> for KeepVisitor {
            type Value = Keep;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of images, days such as \"3d\", or \"forever\"")
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Keep, E> {
                let count = u64::try_from(count).map_err(|_| invalid(&count.to_string()))?;
                self.visit_u64(count)
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Keep, E> {
                match u32::try_from(count) {
                    Ok(count) if count > 0 => Ok(Keep::Count(count)),
                    _ => Err(invalid(&count.to_string())),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Keep, E> {
                if text == "forever" {
                    return Ok(Keep::Forever);
                }
                let (number, unit) = match (text.strip_suffix('d'), text.strip_suffix('w')) {
                    (Some(days), _) => (days, 1),
                    (_, Some(weeks)) => (weeks, 7),
                    _ => return Err(invalid(&format!("{text:?}"))),
                };
                let days = number.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
                days.filter(|days| *days > 0).map(Keep::Days).ok_or_else(|| invalid(&format!("{text:?}")))
            }
        }
        fn invalid<E: de::Error>(value: &str) -> E {
            E::custom(Error::Keep { value: value.to_owned() })
        }
        deserializer.deserialize_any(KeepVisitor)
    }
}

/// A family as it is written: `{ on = "pr", tag = "pr-{pr}-{sha}", alias = ["pr-{pr}"], keep = 20 }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FamilyConfig {
    /// On which runs it gives names.
    pub on: Condition,
    /// Its anchor: the immutable name.
    pub tag: Template,
    /// Names that move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alias: Vec<Template>,
    /// How long its images are kept. Default: forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
}

/// What can be said about images that belong to no family of the user: `{ keep = 100 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeepConfig {
    /// How long they are kept.
    pub keep: Keep,
}

/// The table `[tags]`. Families keep the order in which they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Where the policy starts from. Default: `release`.
    pub preset: Option<Preset>,
    /// How branches become parts of tags. Default: `safe`.
    pub slug: Option<SlugMode>,
    /// The least number of digits of a short commit. Default: 7.
    pub short_sha: Option<u8>,
    /// The default branch, where the CI system does not tell it.
    pub default_branch: Option<String>,
    /// How long images are kept that have no name at all, in days.
    pub untagged: Option<Keep>,
    /// Images that have no name but their identity.
    pub identity: Option<KeepConfig>,
    /// Layer caches.
    pub cache: Option<KeepConfig>,
    /// Families by name; `None`, written `false`, removes a family of the preset.
    pub families: Vec<(String, Option<FamilyConfig>)>,
}

/// Keys of the table that are no families.
const KEYS: [&str; 7] = ["preset", "slug", "short-sha", "default-branch", "untagged", "identity", "cache"];

/// A family's table, or `false`, under this key.
struct Entry<'a>(&'a str);

impl Entry<'_> {
    /// A key that is nearly one of the table's own is told, or `untaged = "1d"` would be a strange family.
    fn unexpected<E: de::Error>(&self, found: de::Unexpected<'_>) -> E {
        match nearest(self.0, KEYS.into_iter()) {
            Some(_) => E::unknown_field(self.0, &KEYS),
            None => E::invalid_type(found, self),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = Option<FamilyConfig>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entry<'_> {
    type Value = Option<FamilyConfig>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a family such as { on = \"pr\", tag = \"pr-{pr}-{sha}\" }, or false")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        if value { Err(self.unexpected(de::Unexpected::Bool(true))) } else { Ok(None) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Err(self.unexpected(de::Unexpected::Str(text)))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Err(self.unexpected(de::Unexpected::Signed(number)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        FamilyConfig::deserialize(de::value::MapAccessDeserializer::new(map)).map(Some)
    }
}

impl<'de> Deserialize<'de> for PolicyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PolicyVisitor;
        impl<'de> Visitor<'de> for PolicyVisitor {
            type Value = PolicyConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the table of tags")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PolicyConfig, A::Error> {
                let mut config = PolicyConfig::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "preset" => config.preset = Some(map.next_value()?),
                        "slug" => config.slug = Some(map.next_value()?),
                        "short-sha" => config.short_sha = Some(map.next_value()?),
                        "default-branch" => config.default_branch = Some(map.next_value()?),
                        "untagged" => config.untagged = Some(map.next_value()?),
                        "identity" => config.identity = Some(map.next_value()?),
                        "cache" => config.cache = Some(map.next_value()?),
                        _ => {
                            let family = map.next_value_seed(Entry(&key))?;
                            config.families.push((key, family));
                        }
                    }
                }
                Ok(config)
            }
        }
        deserializer.deserialize_map(PolicyVisitor)
    }
}

impl Serialize for PolicyConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut entry = |key: &str, value: &dyn erased::Value<S::SerializeMap, S::Error>| value.put(&mut map, key);
        entry("preset", &self.preset)?;
        entry("slug", &self.slug)?;
        entry("short-sha", &self.short_sha)?;
        entry("default-branch", &self.default_branch)?;
        entry("untagged", &self.untagged)?;
        entry("identity", &self.identity)?;
        entry("cache", &self.cache)?;
        for (name, family) in &self.families {
            match family {
                Some(family) => map.serialize_entry(name, family)?,
                None => map.serialize_entry(name, &false)?,
            }
        }
        map.end()
    }
}

/// Entries of different types behind one function.
mod erased {
    use serde::Serialize;
    use serde::ser::SerializeMap;

    pub(super) trait Value<M, E> {
        fn put(&self, map: &mut M, key: &str) -> Result<(), E>;
    }

    impl<M: SerializeMap<Error = E>, E, T: Serialize> Value<M, E> for Option<T> {
        fn put(&self, map: &mut M, key: &str) -> Result<(), E> {
            self.as_ref().map_or(Ok(()), |value| map.serialize_entry(key, value))
        }
    }
}
