//! CycloneDX 1.5 and 1.6 as JSON (CycloneDX/specification, `schema/bom-1.5.schema.json`, `bom-1.6.schema.json`).

use serde::Serialize;

use crate::component::{Bill, ChecksumAlgorithm, Component};
use crate::subject::{Subject, sha256, time};

/// Versions of the format. What is written here is the same in both but for the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CycloneDxVersion {
    /// 1.5.
    V1_5,
    /// 1.6.
    V1_6,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Entry<'a>>,
    dependencies: Vec<Dependency<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: String,
    tools: Tools,
    component: Entry<'a>,
}

#[derive(Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Serialize)]
struct Tool {
    r#type: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    r#type: &'static str,
    bom_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence<'a>>,
    purl: String,
}

#[derive(Serialize)]
struct Hash<'a> {
    alg: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct Licence<'a> {
    expression: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency<'a> {
    r#ref: String,
    depends_on: Vec<&'a str>,
}

fn entry(component: &Component) -> Entry<'_> {
    let algorithm = |algorithm| match algorithm {
        ChecksumAlgorithm::Sha1 => "SHA-1",
        ChecksumAlgorithm::Sha256 => "SHA-256",
        ChecksumAlgorithm::Sha384 => "SHA-384",
        ChecksumAlgorithm::Sha512 => "SHA-512",
    };
    let (group, name) = match component.name.rsplit_once('/') {
        Some((group, name)) => (Some(group), name),
        None => (None, component.name.as_str()),
    };
    Entry {
        r#type: "library",
        bom_ref: component.purl.clone(),
        group,
        name,
        version: component.version.as_deref(),
        scope: component.development.then_some("excluded"),
        hashes: component
            .checksums
            .iter()
            .map(|one| Hash { alg: algorithm(one.algorithm), content: &one.hex })
            .collect(),
        licenses: component.licence.iter().map(|expression| Licence { expression }).collect(),
        purl: component.purl.clone(),
    }
}

/// The CycloneDX document of an image, JSON. Equal arguments give equal bytes: `created` is in seconds since the Unix epoch,
/// and the serial number is made of the content.
#[must_use]
pub fn cyclonedx_json(subject: &Subject, bill: &Bill, created: u64, version: CycloneDxVersion) -> Vec<u8> {
    let image = subject.purl();
    let roots = bill.roots().into_iter().map(|root| root.purl.as_str()).collect();
    let of_image = Dependency { r#ref: image.clone(), depends_on: roots };
    let of_packages = bill
        .components()
        .map(|one| Dependency { r#ref: one.purl.clone(), depends_on: bill.needs_of(&one.purl).collect() });
    let mut document = Document {
        bom_format: "CycloneDX",
        spec_version: match version {
            CycloneDxVersion::V1_5 => "1.5",
            CycloneDxVersion::V1_6 => "1.6",
        },
        serial_number: String::new(),
        version: 1,
        metadata: Metadata {
            timestamp: time(created),
            tools: Tools { components: [Tool { r#type: "application", name: "shipper", version: crate::FORMAT }] },
            component: Entry {
                r#type: "container",
                bom_ref: image.clone(),
                group: None,
                name: &subject.name,
                version: Some(subject.digest()),
                scope: None,
                hashes: vec![Hash { alg: "SHA-256", content: subject.hex() }],
                licenses: Vec::new(),
                purl: image.clone(),
            },
        },
        components: bill.components().map(entry).collect(),
        dependencies: std::iter::once(of_image).chain(of_packages).collect(),
    };
    document.serial_number = uuid(&sha256(&json(&document)));
    json(&document)
}

/// A UUID of version 8 (RFC 9562, section 5.8) made of the first digits of a hash.
fn uuid(hex: &str) -> String {
    format!("urn:uuid:{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

fn json(document: &Document<'_>) -> Vec<u8> {
    serde_json::to_vec(document).expect("because every key is a text and no value can fail")
}
