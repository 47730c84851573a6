//! Build keys: a context hash and everything else that decides what an image contains, as one 32-byte name.
//!
//! The encoding is a list of tagged, length-prefixed fields in the order of their numbers, so no two different sets of
//! fields share an encoding. Fields that are absent or empty leave no trace: a new optional field keeps old keys.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::digest::{hex, invalid, unhex};

const KEY_CONTEXT: &str = "shipper 2026 build key v1";
const COMBINE_CONTEXT: &str = "shipper 2026 platform keys v1";
/// The value of [`Field::Scheme`] that this version writes.
const SCHEME: &[u8] = b"1";

/// Names everything that decides an image's content for one platform.
///
/// Prints as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildKey([u8; 32]);

impl BuildKey {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The identity tag: `h-` and the first 32 hexadecimal digits.
    #[must_use]
    pub fn identity_tag(&self) -> String {
        format!("h-{}", hex(&self.0[..16]))
    }

    /// The tag of the stored inputs: `m-` and the first 32 hexadecimal digits.
    #[must_use]
    pub fn inputs_tag(&self) -> String {
        format!("m-{}", hex(&self.0[..16]))
    }

    /// The key of a multi-platform image; the order of `keys` does not matter, repetitions do.
    #[must_use]
    pub fn combine(keys: &[Self]) -> Self {
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key(COMBINE_CONTEXT);
        for key in sorted {
            hasher.update(&key.0);
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for BuildKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildKey({self})")
    }
}

impl FromStr for BuildKey {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        unhex(text).map(Self).ok_or_else(|| invalid(text, "64 lower-case hexadecimal digits"))
    }
}

/// A field of a build key. The numbers are the tags of the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Field {
    /// Version of the rules by which the other fields are filled.
    Scheme = 1,
    /// The 32 bytes of the context hash.
    Context = 2,
    /// How the image is made: Dockerfile bytes, Cargo recipe, mapping of files, prebuilt binaries.
    Recipe = 3,
    /// Target stage of a Dockerfile.
    Target = 4,
    /// Declared build arguments.
    Args = 5,
    /// `os/architecture[/variant]`.
    Platform = 6,
    /// Base image references with their resolved digests.
    Bases = 7,
    /// Services that this one is built on, with their keys.
    Dependencies = 8,
    /// Named contexts with their hashes.
    NamedContexts = 9,
    /// Entrypoint, user, labels and the like, where the user sets them.
    ImageOptions = 10,
    /// Free text that gives a new identity to the same inputs.
    Salt = 11,
}

/// The value of a field. Which shape a field has belongs to the scheme version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// Byte strings whose order counts.
    List(Vec<Vec<u8>>),
    /// Byte strings by name; sorted by name.
    Map(BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Value {
    fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(pairs) => pairs.is_empty(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::List(items) => encode_list(items.iter()),
            Self::Map(pairs) => encode_list(pairs.iter().flat_map(|(name, value)| [name, value])),
        }
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

fn encode_list<'a>(items: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    let mut count = 0;
    for item in items {
        count += 1;
        bytes.extend_from_slice(&length_prefix(item.len()));
        bytes.extend_from_slice(item);
    }
    bytes[..4].copy_from_slice(&length_prefix(count));
    bytes
}

fn length_prefix(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("because no field of a build key comes near 4 GiB").to_le_bytes()
}

/// The fields of a build key.
///
/// ```
/// use shipper_hash::{Field, KeyFields, Value};
/// let mut fields = KeyFields::new();
/// fields.set(Field::Platform, Value::from("linux/amd64"));
/// let key = fields.key();
/// assert!(key.to_string().starts_with(&key.identity_tag()[2..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFields(BTreeMap<Field, Value>);

impl KeyFields {
    /// No field but the scheme version.
    #[must_use]
    pub fn new() -> Self {
        Self(BTreeMap::from([(Field::Scheme, Value::from(SCHEME))]))
    }

    /// Sets one field, replacing an earlier value.
    pub fn set(&mut self, field: Field, value: Value) {
        self.0.insert(field, value);
    }

    /// The value of one field, if it was set.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&Value> {
        self.0.get(&field)
    }

    /// The encoding: for each field that is not empty, in the order of tags, `u8` tag, `u32le` length, value.
    ///
    /// A list is `u32le` count, then for each item `u32le` length and bytes; a map is the list of its names and values
    /// in turn, sorted by name.
    ///
    /// # Panics
    /// If a field takes 4 GiB or more.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (field, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            let value = value.encode();
            bytes.push(*field as u8);
            bytes.extend_from_slice(&length_prefix(value.len()));
            bytes.extend_from_slice(&value);
        }
        bytes
    }

    /// The key: BLAKE3 in key derivation mode over the encoding.
    #[must_use]
    pub fn key(&self) -> BuildKey {
        BuildKey(blake3::derive_key(KEY_CONTEXT, &self.encode()))
    }
}

impl Default for KeyFields {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_tagged_length_prefixed_and_ordered() {
        let mut fields = KeyFields::new();
        fields.set(Field::Args, Value::Map(BTreeMap::from([(b"B".to_vec(), b"2".to_vec()), (b"A".to_vec(), vec![])])));
        fields.set(Field::Target, Value::from("x"));
        fields.set(Field::Bases, Value::List(vec![b"q".to_vec()]));
        fields.set(Field::Salt, Value::from(""));
        let expected = [
            &[1, 1, 0, 0, 0, b'1'][..],
            &[4, 1, 0, 0, 0, b'x'],
            &[5, 23, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, b'A', 0, 0, 0, 0, 1, 0, 0, 0, b'B', 1, 0, 0, 0, b'2'],
            &[7, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, b'q'],
        ]
        .concat();
        assert_eq!(fields.encode(), expected);
    }

    #[test]
    fn an_empty_field_is_an_absent_field() {
        let mut fields = KeyFields::new();
        fields.set(Field::Args, Value::Map(BTreeMap::new()));
        fields.set(Field::NamedContexts, Value::List(Vec::new()));
        assert_eq!(fields.key(), KeyFields::new().key());
    }

    #[test]
    fn moving_bytes_between_fields_or_items_gives_another_key() {
        let with = |field, value| {
            let mut fields = KeyFields::new();
            fields.set(field, value);
            fields.key()
        };
        let list = |items: &[&str]| Value::List(items.iter().map(|item| item.as_bytes().to_vec()).collect());
        let keys = [
            with(Field::Target, Value::from("ab")),
            with(Field::Salt, Value::from("ab")),
            with(Field::Bases, list(&["ab"])),
            with(Field::Bases, list(&["a", "b"])),
            with(Field::Bases, list(&["b", "a"])),
            with(Field::Bases, list(&["ab", ""])),
            with(Field::Bases, list(&["", "ab"])),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(key), "{at}");
        }
    }

    #[test]
    fn a_combined_key_depends_on_the_set_of_platform_keys_only() {
        let key = |salt: &str| {
            let mut fields = KeyFields::new();
            fields.set(Field::Salt, Value::from(salt));
            fields.key()
        };
        let (a, b) = (key("a"), key("b"));
        assert_eq!(BuildKey::combine(&[a, b]), BuildKey::combine(&[b, a]));
        assert_ne!(BuildKey::combine(&[a]), a);
        assert_ne!(BuildKey::combine(&[a, b]), BuildKey::combine(&[a]));
    }

    #[test]
    fn tags_carry_the_first_32_digits() {
        let key: BuildKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff".parse().unwrap();
        assert_eq!(key.identity_tag(), "h-00112233445566778899aabbccddeeff");
        assert_eq!(key.inputs_tag(), "m-00112233445566778899aabbccddeeff");
        assert_eq!(key.to_string().parse::<BuildKey>().unwrap(), key);
    }
}
