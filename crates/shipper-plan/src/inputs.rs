//! The inputs document: everything that one platform's build key is made of, in a form that can be stored beside
//! the image and compared later.
//!
//! Invariant: the key is a function of the document alone, so whoever holds a document can re-derive its key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shipper_hash::{BuildKey, ContextHash, Field, KeyFields, Manifest, Value};
use shipper_report::{FileChange, Reason, ValueChange};

use crate::error::Error;

/// Inputs of one platform of one service. Maps are sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InputsDocument {
    /// Format of the document, `1.0`.
    pub format: String,
    /// Name of the service; not part of the key.
    pub service: String,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// The context hash, `ctx1-` and 64 hex digits.
    pub context: String,
    /// How the image comes about: kind, package, profile, compiler, Dockerfile digest, ...
    pub recipe: BTreeMap<String, String>,
    /// Target stage of a Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Declared build arguments; values as [`hash_argument`] gives them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Base references and their digests for this platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bases: BTreeMap<String, String>,
    /// Keys of the services it is built on, by the name used for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, String>,
    /// Options of the image that the user sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_options: BTreeMap<String, String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

/// A build argument's value as it is stored: BLAKE3 of name and value, so that a document tells that a value
/// changed without telling the value. Arguments are no secrets all the same: short values can be guessed.
#[must_use]
pub fn hash_argument(name: &str, value: &str) -> String {
    let mut fields = KeyFields::new();
    fields.set(Field::Args, Value::List(vec![name.as_bytes().to_vec(), value.as_bytes().to_vec()]));
    fields.key().to_string()
}

impl InputsDocument {
    /// The format written by this version.
    pub const FORMAT: &'static str = "1.0";

    /// The build key of the platform.
    #[must_use]
    pub fn key(&self) -> BuildKey {
        let map = |map: &BTreeMap<String, String>| {
            Value::Map(
                map.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect(),
            )
        };
        let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
        let mut fields = KeyFields::new();
        fields.set(Field::Context, text(&self.context));
        fields.set(Field::Recipe, map(&self.recipe));
        fields.set(Field::Target, text(self.target.as_deref().unwrap_or_default()));
        fields.set(Field::Args, map(&self.args));
        fields.set(Field::Platform, text(&self.platform));
        fields.set(Field::Bases, map(&self.bases));
        fields.set(Field::Dependencies, map(&self.dependencies));
        fields.set(Field::ImageOptions, map(&self.image_options));
        fields.set(Field::Salt, text(self.salt.as_deref().unwrap_or_default()));
        fields.key()
    }

    /// The document as JSON, the same bytes for the same document.
    ///
    /// # Errors
    /// None in practice; serde's signature is kept.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| Error::Inputs(error.to_string()))
    }

    /// Reads a stored document.
    ///
    /// # Errors
    /// [`Error::Inputs`] where it is no such document or one of another major version.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let document: Self = serde_json::from_slice(bytes).map_err(|error| Error::Inputs(error.to_string()))?;
        if !document.format.starts_with("1.") {
            return Err(Error::Inputs(format!("format {} is not known", document.format)));
        }
        if document.context.parse::<ContextHash>().is_err() {
            return Err(Error::Inputs(format!("`{}` is no context hash", document.context)));
        }
        Ok(document)
    }

    /// Why the key of `self` differs from that of `old`, most telling first; empty if it does not.
    ///
    /// `files` holds the two context manifests where both are known; without them a change of the context is told
    /// without naming files.
    #[must_use]
    pub fn reasons_since(&self, old: &Self, files: Option<(&Manifest, &Manifest)>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.context != old.context {
            let files = files.map(|(old, new)| old.diff(new)).unwrap_or_default();
            reasons.push(Reason::InputsChanged {
                files: files
                    .iter()
                    .map(|change| FileChange {
                        path: change.path.to_string(),
                        change: change.kind.as_str().to_owned(),
                        from: change.from.as_ref().map(ToString::to_string),
                    })
                    .collect(),
            });
        }
        let mut recipe = changes(&old.recipe, &self.recipe);
        recipe.extend(changes(&old.image_options, &self.image_options));
        let single = |name: &str, value: Option<&String>| {
            value.map(|value| (name.to_owned(), value.clone())).into_iter().collect::<BTreeMap<_, _>>()
        };
        for (name, from, to) in [
            ("target", old.target.as_ref(), self.target.as_ref()),
            ("salt", old.salt.as_ref(), self.salt.as_ref()),
            ("platform", Some(&old.platform), Some(&self.platform)),
        ] {
            recipe.extend(changes(&single(name, from), &single(name, to)));
        }
        if !recipe.is_empty() {
            recipe.sort_by(|a, b| a.name.cmp(&b.name));
            reasons.push(Reason::RecipeChanged { values: recipe });
        }
        let args = changes(&old.args, &self.args);
        if !args.is_empty() {
            reasons.push(Reason::ArgsChanged { names: args.into_iter().map(|change| change.name).collect() });
        }
        let bases = changes(&old.bases, &self.bases);
        if !bases.is_empty() {
            reasons.push(Reason::BaseMoved { bases });
        }
        let services = changes(&old.dependencies, &self.dependencies);
        if !services.is_empty() {
            reasons
                .push(Reason::DependencyRebuilt { services: services.into_iter().map(|change| change.name).collect() });
        }
        reasons
    }
}

/// The names whose values differ, sorted.
fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<ValueChange> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| ValueChange { name: name.clone(), from: old.get(name).cloned(), to: new.get(name).cloned() })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn document() -> InputsDocument {
        InputsDocument {
            format: InputsDocument::FORMAT.to_owned(),
            service: "api".to_owned(),
            platform: "linux/amd64".to_owned(),
            context: format!("ctx1-{}", "0".repeat(64)),
            recipe: [("kind".to_owned(), "cargo".to_owned())].into(),
            target: None,
            args: BTreeMap::new(),
            bases: BTreeMap::new(),
            dependencies: BTreeMap::new(),
            image_options: BTreeMap::new(),
            salt: None,
        }
    }

    type Mutation = fn(&mut InputsDocument);

    #[test]
    fn every_field_but_the_service_name_is_in_the_key_and_in_the_reasons() {
        let mutations: [(&str, Mutation); 9] = [
            ("inputs-changed", |d| d.context = format!("ctx1-{}", "1".repeat(64))),
            ("recipe-changed", |d| drop(d.recipe.insert("profile".to_owned(), "dev".to_owned()))),
            ("recipe-changed", |d| d.target = Some("t".to_owned())),
            ("recipe-changed", |d| d.platform = "linux/arm64".to_owned()),
            ("recipe-changed", |d| d.salt = Some("s".to_owned())),
            ("recipe-changed", |d| drop(d.image_options.insert("user".to_owned(), "0".to_owned()))),
            ("args-changed", |d| drop(d.args.insert("A".to_owned(), hash_argument("A", "1")))),
            ("base-moved", |d| drop(d.bases.insert("nginx".to_owned(), "sha256:1".to_owned()))),
            ("dependency-rebuilt", |d| drop(d.dependencies.insert("base".to_owned(), "k".to_owned()))),
        ];
        let old = document();
        for (code, mutate) in mutations {
            let mut new = old.clone();
            mutate(&mut new);
            assert_ne!(new.key(), old.key(), "{new:?}");
            let codes: Vec<&str> = new.reasons_since(&old, None).iter().map(Reason::code).collect();
            assert_eq!(codes, [code], "{new:?}");
        }
        let renamed = InputsDocument { service: "other".to_owned(), ..old.clone() };
        assert_eq!(renamed.key(), old.key());
        assert!(renamed.reasons_since(&old, None).is_empty());
    }

    #[test]
    fn a_document_reads_back_and_keeps_its_key() {
        let document = document();
        let read = InputsDocument::from_json(&document.to_json().expect("writes")).expect("reads");
        assert_eq!(read.key(), document.key());
        assert_eq!(read, document);
    }

    #[test]
    fn an_argument_is_stored_without_its_value() {
        let stored = hash_argument("TOKEN", "hunter2");
        assert!(!stored.contains("hunter2"));
        assert_ne!(stored, hash_argument("TOKEN", "hunter3"));
        assert_ne!(hash_argument("AB", "C"), hash_argument("A", "BC"));
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| { let _ = InputsDocument::from_json(&bytes); });
    }
}
