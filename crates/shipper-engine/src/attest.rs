//! What can be stated about a built image: what it is made of (lock files of its context) and how it came about (its inputs
//! document).
//!
//! Invariant: everything follows from the inputs, the files of the context and the packages' own manifests, so that another
//! build of the same key states the same. No key depends on it, and no image manifest does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use shipper_attest::{
    Bill, Component, CycloneDxVersion, Dependency, Ecosystem, LockFormat, Provenance, Subject, cyclonedx_json,
    predicate, spdx_json, statement,
};
use shipper_hash::{Context, RelPath};
use shipper_oci::Manifest;
use shipper_plan::{InputsDocument, Recipe, SbomConfig};

use crate::attach::{Attestations, Stated};
use crate::gather::{Gathered, Platform, environment};
use crate::{Error, Project};

/// The largest lock file that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// Time of creation of images and of documents about them, in seconds since the Unix epoch: the time of a build would make
/// two builds of one key differ.
const CREATED: u64 = 0;

/// States what is known about the images of a service.
pub(crate) struct Attester<'a> {
    project: &'a Project,
    gathered: &'a Gathered,
    /// What the images are made of, by platform in their order; empty where nobody wants to know.
    bills: Vec<Bill>,
}

impl<'a> Attester<'a> {
    /// Reads the lock files of the contexts, where lists are wanted.
    ///
    /// # Errors
    /// [`Error::LockFile`] for a lock file that can not be read, [`Error::Stage`] for one that has changed since it was
    /// hashed.
    pub(crate) async fn new(project: &'a Project, gathered: &'a Gathered) -> Result<Self, Error> {
        let mut bills = Vec::new();
        if !project.settings.sbom.value.is_empty() {
            for platform in &gathered.platforms {
                let (service, context) = (gathered.service.name.clone(), Arc::clone(&platform.context));
                let bill = tokio::task::spawn_blocking(move || bill(&service, &context));
                bills.push(bill.await.expect("because reading lock files does not panic")?);
            }
        }
        Ok(Self { project, gathered, bills })
    }

    /// Everything that is stated about `images`, which are those of the platforms in their order. After the build: cargo has
    /// unpacked by then what has licences.
    ///
    /// # Errors
    /// [`Error::Attest`] where a statement can not be written.
    pub(crate) fn attest(&self, images: Vec<Manifest>) -> Result<Attestations, Error> {
        let mut attested = Vec::with_capacity(images.len());
        for (position, image) in images.into_iter().enumerate() {
            let stated = self.about(position, &image);
            let service = || self.gathered.service.name.clone();
            let stated = stated.map_err(|source| Error::Attest { service: service(), source })?;
            attested.push((image, stated));
        }
        Ok(Attestations { form: self.project.settings.attestations.value, images: attested })
    }

    fn about(&self, position: usize, image: &Manifest) -> shipper_attest::Result<Vec<Stated>> {
        let (settings, platform) = (&self.project.settings, &self.gathered.platforms[position]);
        let subject = Subject::new(&*self.gathered.service.name, image.digest().as_str())?;
        let mut all = Vec::new();
        if let Some(bill) = self.bills.get(position) {
            let mut bill = bill.clone();
            if platform.cargo.is_some() {
                bill.fill_licences(licences(self.project, platform));
            }
            for format in &settings.sbom.value {
                let cyclonedx = |version| cyclonedx_json(&subject, &bill, CREATED, version);
                let (predicate_type, document) = match format {
                    SbomConfig::Spdx => (predicate::SPDX, spdx_json(&subject, &bill, CREATED)),
                    SbomConfig::CycloneDx => (predicate::CYCLONEDX, cyclonedx(CycloneDxVersion::V1_6)),
                    SbomConfig::CycloneDx15 => (predicate::CYCLONEDX, cyclonedx(CycloneDxVersion::V1_5)),
                };
                all.push(Stated { predicate_type, bytes: statement(&subject, predicate_type, &document)? });
            }
        }
        // What a builder did with a Dockerfile is for the builder to say.
        if settings.provenance.value && matches!(self.gathered.service.recipe, Recipe::Assemble { .. }) {
            let predicate_type = predicate::PROVENANCE;
            let document = provenance(&platform.inputs).to_json();
            all.push(Stated { predicate_type, bytes: statement(&subject, predicate_type, &document)? });
        }
        Ok(all)
    }
}

/// The packages of all lock files in a context.
fn bill(service: &str, context: &Context) -> Result<Bill, Error> {
    let mut bill = Bill::default();
    for entry in context.manifest().entries().iter().filter(|entry| entry.kind.is_file()) {
        let Some(format) = LockFormat::of(&entry.path.to_string()) else { continue };
        let failed = |source| Error::LockFile { service: service.to_owned(), path: entry.path.to_string(), source };
        if entry.size > LIMIT {
            return Err(failed(format.too_large(LIMIT)));
        }
        let content = context.read(&entry.path);
        let content = content.map_err(|source| Error::Stage { service: service.to_owned(), source })?;
        bill.merge(format.read(&content.unwrap_or_default()).map_err(failed)?);
    }
    Ok(bill)
}

/// How the image of these inputs comes about. Says nothing that the inputs document beside the image does not say
/// (docs/buildtype-v1.md).
fn provenance(inputs: &InputsDocument) -> Provenance {
    let mut external = Map::from_iter([
        ("service".to_owned(), json!(inputs.service)),
        ("platform".to_owned(), json!(inputs.platform)),
        ("recipe".to_owned(), json!(inputs.recipe)),
        ("imageOptions".to_owned(), json!(inputs.image_options)),
    ]);
    external.extend(inputs.salt.iter().map(|salt| ("salt".to_owned(), json!(salt))));
    let key = Value::String(inputs.key().to_string());
    let digest = |algorithm: &str, value: &str| BTreeMap::from([(algorithm.to_owned(), value.to_owned())]);
    let context = inputs.context.split_once('-').unwrap_or(("ctx1", &inputs.context));
    let context = Dependency { name: Some("context".to_owned()), uri: None, digest: digest(context.0, context.1) };
    let bases = inputs.bases.iter().map(|(reference, value)| {
        let uri = if reference.starts_with("oci:") { reference.clone() } else { format!("docker://{reference}") };
        let value = value.split_once(':').unwrap_or(("sha256", value));
        Dependency { name: None, uri: Some(uri), digest: digest(value.0, value.1) }
    });
    let needs = inputs.dependencies.iter().map(|(name, key)| Dependency {
        name: Some(name.clone()),
        uri: None,
        digest: digest("shipperKey", key),
    });
    Provenance {
        external,
        internal: Map::from_iter([("key".to_owned(), key)]),
        dependencies: bases.chain(needs).chain([context]).collect(),
    }
}

/// Finds licences of crates: in the manifests of the closure, and where cargo has unpacked what it downloaded for the build.
fn licences(project: &Project, platform: &Platform) -> impl Fn(&Component) -> Option<String> {
    let mut own = BTreeMap::new();
    for manifest in platform.cargo.iter().flat_map(|compiled| &compiled.closure.members) {
        if let Some((name, licence)) = own_licence(&platform.context, manifest) {
            own.insert(name, licence);
        }
    }
    let home = environment(&project.environment).cargo_home();
    let mut unpacked: Vec<PathBuf> = home
        .and_then(|home| std::fs::read_dir(home.join("registry/src")).ok())
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    unpacked.sort();
    move |component| {
        let version = component.version.as_ref().filter(|_| component.ecosystem == Ecosystem::Cargo)?;
        let is_own = component.download.is_none() && !component.purl.contains('?');
        if is_own {
            return own.get(&component.name).cloned();
        }
        let below = format!("{}-{version}/Cargo.toml", component.name);
        let manifest = unpacked.iter().find_map(|index| std::fs::read_to_string(index.join(&below)).ok())?;
        licence(&toml::from_str(&manifest).ok()?)
    }
}

fn licence(manifest: &toml::Table) -> Option<String> {
    Some(manifest.get("package")?.get("license")?.as_str()?.to_owned())
}

/// Name and licence of a package of the project, as its manifest in the context says.
fn own_licence(context: &Context, manifest: &RelPath) -> Option<(String, String)> {
    let text = String::from_utf8(context.read(manifest).ok()??).ok()?;
    let table: toml::Table = toml::from_str(&text).ok()?;
    Some((table.get("package")?.get("name")?.as_str()?.to_owned(), licence(&table)?))
}
