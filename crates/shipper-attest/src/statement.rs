//! Statements of in-toto, and what is stated of an image (in-toto/attestation `spec/v1/statement.md`; SLSA 1.0,
//! "Provenance").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::subject::Subject;
use crate::{Error, Result};

/// Type of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The older type, which BuildKit writes.
const STATEMENT_TYPE_0_1: &str = "https://in-toto.io/Statement/v0.1";
/// Media type of a statement.
pub const STATEMENT_MEDIA_TYPE: &str = "application/vnd.in-toto+json";

/// What a statement may state.
pub mod predicate {
    /// SLSA provenance.
    pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
    /// An SPDX document.
    pub const SPDX: &str = "https://spdx.dev/Document";
    /// A CycloneDX document.
    pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";
    /// That whoever has the key stands by the image; what `cosign sign` writes.
    pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(rename = "_type")]
    of_type: &'static str,
    subject: [Resource<'a>; 1],
    predicate_type: &'a str,
}

#[derive(Serialize)]
struct Resource<'a> {
    name: &'a str,
    digest: BTreeMap<&'static str, &'a str>,
}

/// The statement that `predicate` (JSON) holds for the image.
///
/// # Errors
/// [`Error::Document`] where the predicate is not JSON.
pub fn statement(subject: &Subject, predicate_type: &str, predicate: &[u8]) -> Result<Vec<u8>> {
    let fault = |reason: String| Error::Document { what: "a predicate", reason };
    let _: serde::de::IgnoredAny = serde_json::from_slice(predicate).map_err(|error| fault(error.to_string()))?;
    let digest = BTreeMap::from([("sha256", subject.hex())]);
    let written =
        Written { of_type: STATEMENT_TYPE, subject: [Resource { name: &subject.name, digest }], predicate_type };
    let mut bytes = serde_json::to_vec(&written).map_err(|error| fault(error.to_string()))?;
    // As the last member, with the bytes that it has.
    bytes.pop();
    bytes.extend_from_slice(b",\"predicate\":");
    bytes.extend_from_slice(predicate);
    bytes.push(b'}');
    Ok(bytes)
}

/// A statement that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Digests of what it is about, `sha256:` and digits; of other algorithms none.
    pub subjects: Vec<String>,
    /// What it states.
    pub predicate_type: String,
}

impl Statement {
    /// Reads a statement of version 0.1 or 1.
    ///
    /// # Errors
    /// [`Error::Document`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Read {
            #[serde(rename = "_type")]
            of_type: String,
            // BuildKit writes `null` for an image without a name.
            subject: Option<Vec<About>>,
            predicate_type: String,
        }
        #[derive(Deserialize)]
        struct About {
            digest: BTreeMap<String, String>,
        }
        let fault = |reason: String| Error::Document { what: "a statement", reason };
        let read: Read = serde_json::from_slice(bytes).map_err(|error| fault(error.to_string()))?;
        if ![STATEMENT_TYPE, STATEMENT_TYPE_0_1].contains(&read.of_type.as_str()) {
            return Err(fault("it is of another type".to_owned()));
        }
        let digest = |about: &About| Some(format!("sha256:{}", about.digest.get("sha256")?));
        let subjects = read.subject.iter().flatten().filter_map(digest).collect();
        Ok(Self { subjects, predicate_type: read.predicate_type })
    }

    /// Checks that it is about `subject`.
    ///
    /// # Errors
    /// [`Error::OtherSubject`].
    pub fn is_about(&self, subject: &Subject) -> Result<()> {
        if self.subjects.iter().any(|stated| stated == subject.digest()) {
            return Ok(());
        }
        let stated = if self.subjects.is_empty() { "nothing".to_owned() } else { self.subjects.join(", ") };
        Err(Error::OtherSubject { wanted: subject.digest().to_owned(), stated })
    }
}

/// Something that a build read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dependency {
    /// What the build calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Digests by algorithm.
    pub digest: BTreeMap<String, String>,
}

/// How an image came about: what provenance tells. All of it follows from the build's inputs, so that equal inputs give equal
/// bytes; times and the machine's name are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// What the configuration says; the meaning of the keys is that of [`BUILD_TYPE`].
    pub external: serde_json::Map<String, serde_json::Value>,
    /// What was decided for it.
    pub internal: serde_json::Map<String, serde_json::Value>,
    /// What was read, sorted.
    pub dependencies: Vec<Dependency>,
}

/// The build type of provenance that this workspace writes; the document at this address says what it means.
pub const BUILD_TYPE: &str = "https://github.com/shipper-rs/shipper/blob/main/docs/buildtype-v1.md";

impl Provenance {
    /// The SLSA predicate, JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut dependencies = self.dependencies.clone();
        dependencies.sort();
        let predicate = serde_json::json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": self.external,
                "internalParameters": self.internal,
                "resolvedDependencies": dependencies,
            },
            "runDetails": { "builder": { "id": format!("{BUILD_TYPE}#builder") } },
        });
        predicate.to_string().into_bytes()
    }
}
