//! What an image is made of: packages, named by package URL, and which of them need which.
//!
//! Invariants: components and edges are sorted, so that the order of a lock file does not reach a document; an edge names
//! components that are there; an expression of licences is a valid one.

use std::collections::{BTreeMap, BTreeSet};

use crate::purl::Ecosystem;

/// Hash functions of checksums in lock files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChecksumAlgorithm {
    /// SHA-1, of old npm packages.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl ChecksumAlgorithm {
    /// The algorithm that lock files call `name`, such as `sha512`, and the bytes of its values.
    pub(crate) fn named(name: &str) -> Option<(Self, usize)> {
        Some(match name {
            "sha1" => (Self::Sha1, 20),
            "sha256" => (Self::Sha256, 32),
            "sha384" => (Self::Sha384, 48),
            "sha512" => (Self::Sha512, 64),
            _ => return None,
        })
    }
}

/// A checksum in hexadecimal, lower case. [`Checksum::from_hex`] and [`Checksum::from_integrity`] check its length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checksum {
    /// The function.
    pub algorithm: ChecksumAlgorithm,
    /// The value.
    pub hex: String,
}

impl Checksum {
    /// A checksum of `sha256:<hex>` and its kin; `None` where it is none.
    #[must_use]
    pub fn from_hex(algorithm: &str, hex: &str) -> Option<Self> {
        let (algorithm, bytes) = ChecksumAlgorithm::named(algorithm)?;
        let good = hex.len() == 2 * bytes && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| Self { algorithm, hex: hex.to_ascii_lowercase() })
    }

    /// The checksums of a subresource integrity text, `sha512-<base64> ..` (W3C Subresource Integrity); unknown ones are
    /// left out.
    #[must_use]
    pub fn from_integrity(text: &str) -> BTreeSet<Self> {
        use base64::Engine as _;
        let one = |part: &str| {
            let (algorithm, value) = part.split_once('-')?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.split('?').next()?).ok()?;
            Self::from_hex(algorithm, &hex(&bytes))
        };
        text.split_ascii_whitespace().filter_map(one).collect()
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Where such packages come from.
    pub ecosystem: Ecosystem,
    /// Name, with its scope where it has one: `@types/node`.
    pub name: String,
    /// Exact version; absent where the lock file does not say one.
    pub version: Option<String>,
    /// The package URL, which names it in a [`Bill`].
    pub purl: String,
    /// Where it is downloaded from, as a URL.
    pub download: Option<String>,
    /// Checksums of its files: one, or one for each file that the lock file names.
    pub checksums: BTreeSet<Checksum>,
    /// Valid expression of SPDX licences.
    pub licence: Option<String>,
    /// Whether only development needs it.
    pub development: bool,
}

/// The packages of one image.
///
/// ```
/// use shipper_attest::{Bill, cargo_lock};
/// let lock = r#"
/// version = 4
/// [[package]]
/// name = "itoa"
/// version = "1.0.18"
/// source = "registry+https://github.com/rust-lang/crates.io-index"
/// checksum = "8f42a60cbdf9a97f5d2305f08a87dc4e09308d1276d28c869c684d7777685682"
/// "#;
/// let bill: Bill = cargo_lock(lock.as_bytes())?;
/// assert_eq!(bill.components().next().map(|one| one.purl.as_str()), Some("pkg:cargo/itoa@1.0.18"));
/// # Ok::<(), shipper_attest::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bill {
    components: BTreeMap<String, Component>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Bill {
    /// Adds a package; what is known twice is joined.
    pub(crate) fn add(&mut self, component: Component) {
        match self.components.get_mut(&component.purl) {
            None => {
                self.components.insert(component.purl.clone(), component);
            }
            Some(known) => {
                known.checksums.extend(component.checksums);
                known.development &= component.development;
                known.download = known.download.take().or(component.download);
                known.licence = known.licence.take().or(component.licence);
            }
        }
    }

    /// Says that the package `from` needs the package `to`; nothing where one of the two is not there.
    pub(crate) fn needs(&mut self, from: &str, to: &str) {
        if from != to && self.components.contains_key(from) && self.components.contains_key(to) {
            self.edges.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
    }

    /// Marks what can not be reached from `roots` as needed by development only.
    pub(crate) fn mark_development(&mut self, roots: &BTreeSet<String>) {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = roots.iter().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next.clone()) {
                open.extend(self.edges.get(next).into_iter().flatten());
            }
        }
        for (purl, component) in &mut self.components {
            component.development = !reached.contains(purl);
        }
    }

    /// Takes in another bill.
    pub fn merge(&mut self, other: Bill) {
        other.components.into_values().for_each(|component| self.add(component));
        for (from, targets) in other.edges {
            self.edges.entry(from).or_default().extend(targets);
        }
    }

    /// Asks `known` for the licence of each package that has none; a text that is no expression is left out.
    pub fn fill_licences(&mut self, known: impl Fn(&Component) -> Option<String>) {
        for component in self.components.values_mut().filter(|component| component.licence.is_none()) {
            component.licence = known(component).and_then(|text| crate::licence::normalise(&text));
        }
    }

    /// The packages, sorted by package URL, no duplicates.
    pub fn components(&self) -> impl Iterator<Item = &Component> {
        self.components.values()
    }

    /// What the package with this URL needs, sorted.
    pub fn needs_of(&self, purl: &str) -> impl Iterator<Item = &str> {
        self.edges.get(purl).into_iter().flatten().map(String::as_str)
    }

    /// The packages that no other needs, sorted; where all are needed by some other, all.
    #[must_use]
    pub fn roots(&self) -> Vec<&Component> {
        let needed: BTreeSet<&String> = self.edges.values().flatten().collect();
        let roots: Vec<_> = self.components.values().filter(|one| !needed.contains(&one.purl)).collect();
        if roots.is_empty() { self.components.values().collect() } else { roots }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }
}
