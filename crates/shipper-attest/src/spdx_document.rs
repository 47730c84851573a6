//! SPDX 2.3 as JSON (spdx/spdx-spec v2.3, `schemas/spdx-schema.json`).

use serde::Serialize;

use crate::component::{Bill, ChecksumAlgorithm, Component};
use crate::subject::{Subject, sha256, time};

const NONE: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: &'a str,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<Package<'a>>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Package<'a> {
    #[serde(rename = "SPDXID")]
    id: String,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<&'a str>,
    download_location: &'a str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: &'a str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum<'a>>,
    external_refs: [ExternalRef; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum<'a> {
    algorithm: &'static str,
    checksum_value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

fn purl(purl: String) -> [ExternalRef; 1] {
    [ExternalRef { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator: purl }]
}

/// The identifier of a package in the document: readable, and unlike that of every other.
fn identifier(component: &Component) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = component.name.chars().take(60).map(plain).collect();
    format!("SPDXRef-{}-{name}-{}", component.ecosystem.as_str(), &sha256(component.purl.as_bytes())[..16])
}

fn package(component: &Component) -> Package<'_> {
    let algorithm = |algorithm| match algorithm {
        ChecksumAlgorithm::Sha1 => "SHA1",
        ChecksumAlgorithm::Sha256 => "SHA256",
        ChecksumAlgorithm::Sha384 => "SHA384",
        ChecksumAlgorithm::Sha512 => "SHA512",
    };
    Package {
        id: identifier(component),
        name: &component.name,
        version_info: component.version.as_deref(),
        download_location: component.download.as_deref().unwrap_or(NONE),
        files_analyzed: false,
        license_concluded: NONE,
        license_declared: component.licence.as_deref().unwrap_or(NONE),
        copyright_text: NONE,
        checksums: component
            .checksums
            .iter()
            .map(|one| Checksum { algorithm: algorithm(one.algorithm), checksum_value: &one.hex })
            .collect(),
        external_refs: purl(component.purl.clone()),
        primary_package_purpose: None,
    }
}

/// The SPDX document of an image, JSON. Equal arguments give equal bytes: `created` is in seconds since the Unix epoch, and
/// the namespace is made of the content.
#[must_use]
pub fn spdx_json(subject: &Subject, bill: &Bill, created: u64) -> Vec<u8> {
    let image = Package {
        id: IMAGE.to_owned(),
        name: &subject.name,
        version_info: Some(subject.digest()),
        download_location: NONE,
        files_analyzed: false,
        license_concluded: NONE,
        license_declared: NONE,
        copyright_text: NONE,
        checksums: vec![Checksum { algorithm: "SHA256", checksum_value: subject.hex() }],
        external_refs: purl(subject.purl()),
        primary_package_purpose: Some("CONTAINER"),
    };
    let relationship = |from: String, kind, to: String| Relationship {
        spdx_element_id: from,
        relationship_type: kind,
        related_spdx_element: to,
    };
    let ids: std::collections::BTreeMap<&str, String> =
        bill.components().map(|one| (one.purl.as_str(), identifier(one))).collect();
    let mut relationships = vec![relationship(DOCUMENT.to_owned(), "DESCRIBES", IMAGE.to_owned())];
    for component in bill.components() {
        let id = ids[component.purl.as_str()].clone();
        relationships.push(if component.development {
            relationship(id.clone(), "DEV_DEPENDENCY_OF", IMAGE.to_owned())
        } else {
            relationship(IMAGE.to_owned(), "CONTAINS", id.clone())
        });
        for needed in bill.needs_of(&component.purl) {
            relationships.push(relationship(id.clone(), "DEPENDS_ON", ids[needed].clone()));
        }
    }
    let mut document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: &subject.name,
        document_namespace: String::new(),
        creation_info: CreationInfo { created: time(created), creators: [crate::TOOL_SPDX] },
        packages: std::iter::once(image).chain(bill.components().map(package)).collect(),
        relationships,
    };
    let digest = sha256(&json(&document));
    document.document_namespace = format!("{}/spdx/{}-{digest}", crate::HOME, subject.hex());
    json(&document)
}

fn json(document: &Document<'_>) -> Vec<u8> {
    serde_json::to_vec(document).expect("because every key is a text and no value can fail")
}
