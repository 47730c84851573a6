//! The file `index.json` of a layout: which tags there are and what they name.
//!
//! Invariants: entries and fields that other tools wrote survive every change; an entry is validated when it is used, so
//! that a damaged one spoils no other; one tag never names two digests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Descriptor, Error, Manifest, Result, Tag, media_type};

/// The annotation of an entry that holds the tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// `index.json`, kept as JSON so that entries and fields of other tools survive a change.
pub(crate) struct Index {
    path: PathBuf,
    document: Map<String, Value>,
}

impl Index {
    pub(crate) fn new(path: PathBuf) -> Index {
        let mut document = Map::new();
        document.insert("schemaVersion".to_owned(), 2.into());
        document.insert("mediaType".to_owned(), media_type::IMAGE_INDEX.into());
        document.insert("manifests".to_owned(), Value::Array(Vec::new()));
        Index { path, document }
    }

    pub(crate) fn parse(path: PathBuf, bytes: &[u8]) -> Result<Index> {
        let damaged = |reason: String| Error::Layout { path: path.clone(), reason };
        let document: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| damaged(crate::error::shown(&error.to_string())))?;
        if document.get("schemaVersion") != Some(&Value::from(2)) {
            return Err(damaged("its schemaVersion is not 2".to_owned()));
        }
        match document.get("manifests") {
            Some(Value::Array(_)) => Ok(Index { path, document }),
            _ => Err(damaged("it has no list `manifests`".to_owned())),
        }
    }

    fn list(&self) -> &[Value] {
        match self.document.get("manifests") {
            Some(Value::Array(entries)) => entries,
            _ => &[],
        }
    }

    /// Descriptors with their tag, in file order.
    pub(crate) fn entries(&self) -> Result<Vec<(Descriptor, Option<String>)>> {
        self.list().iter().map(|entry| self.entry(entry)).collect()
    }

    fn entry(&self, entry: &Value) -> Result<(Descriptor, Option<String>)> {
        let descriptor: Descriptor = serde::Deserialize::deserialize(entry).map_err(|error: serde_json::Error| {
            Error::Layout { path: self.path.clone(), reason: crate::error::shown(&error.to_string()) }
        })?;
        let tag = descriptor.annotations.get(REF_NAME).cloned();
        Ok((descriptor, tag))
    }

    pub(crate) fn find(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        let mut found: Option<Descriptor> = None;
        for entry in self.list().iter().filter(|entry| ref_name(entry) == Some(tag.as_str())) {
            let (descriptor, _) = self.entry(entry)?;
            if found.as_ref().is_some_and(|found| found.digest != descriptor.digest) {
                return Err(Error::Layout {
                    path: self.path.clone(),
                    reason: format!("the tag `{tag}` is there twice, with different digests"),
                });
            }
            found = Some(descriptor);
        }
        Ok(found)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.document).expect("because a JSON value has only string keys")
    }

    /// Points a tag to a manifest.
    pub(crate) fn set(&mut self, tag: &Tag, manifest: &Manifest) {
        let mut descriptor = manifest.descriptor();
        descriptor.artifact_type = manifest.artifact_type().map(str::to_owned);
        descriptor.annotations = BTreeMap::from([(REF_NAME.to_owned(), tag.to_string())]);
        let entry = serde_json::to_value(&descriptor).expect("because a descriptor has only string keys");
        if let Some(Value::Array(entries)) = self.document.get_mut("manifests") {
            entries.retain(|entry| ref_name(entry) != Some(tag.as_str()));
            entries.push(entry);
        }
    }

    /// Removes the entries that `matches` accepts; says whether there were any.
    pub(crate) fn remove(&mut self, matches: impl Fn(&Descriptor, Option<&str>) -> bool) -> Result<bool> {
        let keep: Vec<bool> = self.entries()?.iter().map(|(entry, tag)| !matches(entry, tag.as_deref())).collect();
        if let Some(Value::Array(entries)) = self.document.get_mut("manifests") {
            let mut keep = keep.iter();
            let before = entries.len();
            entries.retain(|_| keep.next().copied().unwrap_or(true));
            return Ok(entries.len() != before);
        }
        Ok(false)
    }
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ImageIndex;

    const NAMES: [&str; 4] = ["v1", "v2", "latest", "main"];

    /// A manifest like no other number's.
    fn manifest(number: u8) -> Manifest {
        Manifest::index(&ImageIndex::new(vec![Descriptor::of(media_type::IMAGE_MANIFEST, &[number])])).unwrap()
    }

    /// An index of another tool: fields and annotations that are none of ours, an entry without a tag.
    fn foreign() -> Value {
        let digest = manifest(200).digest().to_string();
        serde_json::json!({
            "schemaVersion": 2, "x-tool": {"kept": [1, 2, 3]},
            "manifests": [
                {"mediaType": media_type::IMAGE_MANIFEST, "digest": digest, "size": 7, "x-entry": "kept"},
                {"mediaType": media_type::IMAGE_MANIFEST, "digest": digest, "size": 7,
                 "annotations": {REF_NAME: "theirs", "x-annotation": "kept"}},
            ],
        })
    }

    fn parse(bytes: &[u8]) -> Result<Index> {
        Index::parse(PathBuf::from("index.json"), bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80))]

        /// Names and digests are those of a map that is changed alike, also after the file was written and read; what others
        /// wrote stays.
        #[test]
        fn tags_are_those_of_a_map(steps in proptest::collection::vec((0..NAMES.len(), 0_u8..6, any::<bool>()), 0..24)) {
            let theirs = foreign();
            let mut index = parse(theirs.to_string().as_bytes()).unwrap();
            let mut model = BTreeMap::new();
            for (name, number, is_set) in steps {
                let tag: Tag = NAMES[name].parse().unwrap();
                if is_set {
                    index.set(&tag, &manifest(number));
                    model.insert(NAMES[name], manifest(number).digest().clone());
                } else {
                    let was_there = index.remove(|_, named| named == Some(NAMES[name])).unwrap();
                    prop_assert_eq!(was_there, model.remove(NAMES[name]).is_some());
                }
                index = parse(&index.to_bytes()).unwrap();
                for name in NAMES {
                    let found = index.find(&name.parse().unwrap()).unwrap().map(|found| found.digest);
                    prop_assert_eq!(found.as_ref(), model.get(name));
                }
                prop_assert_eq!(index.entries().unwrap().len(), model.len() + 2);
            }
            let written: Value = serde_json::from_slice(&index.to_bytes()).unwrap();
            prop_assert_eq!(&written["x-tool"], &theirs["x-tool"]);
            prop_assert_eq!(&written["manifests"].as_array().unwrap()[..2], &theirs["manifests"].as_array().unwrap()[..]);
        }
    }

    /// G8: a file that was damaged anywhere is refused, or read without a panic; a damaged entry spoils no other.
    #[test]
    fn damaged_files_never_panic() {
        let mut index = parse(foreign().to_string().as_bytes()).unwrap();
        index.set(&"v1".parse().unwrap(), &manifest(1));
        let whole = String::from_utf8(index.to_bytes()).unwrap();
        let (theirs, added): (Tag, Tag) = ("theirs".parse().unwrap(), "v2".parse().unwrap());
        let new = manifest(2);
        for seed in 0..100_000 {
            let Ok(mut index) = parse(&shipper_testkit::damaged(seed, &whole)) else { continue };
            let _ = (index.entries(), index.find(&theirs));
            index.set(&added, &new);
            let found = index.find(&added).unwrap().map(|found| found.digest);
            assert_eq!(found.as_ref(), Some(new.digest()), "{seed}");
            if seed % 16 == 0 {
                assert!(parse(&index.to_bytes()).is_ok(), "{seed}");
            }
        }
    }
}
