//! `verify`: an image read again, whole, and its key derived again from what is stored beside it.
//!
//! Invariant: an answer without faults means that every manifest, configuration, layer and inputs document was read in this
//! call and has its digest and size; that the key on the image is the key of the inputs documents; and that the artifact
//! which holds them is about this image. Only a copy without its inputs is judged by content alone, and the answer says so.

use std::collections::BTreeMap;

use shipper_attest::VerifyingKey;
use shipper_hash::BuildKey;
use shipper_oci::{ContentReport, Digest, Manifest, Repository, Selector, check_content};
use shipper_plan::InputsDocument;

use crate::inputs::Problem;
use crate::names::{INPUTS_ARTIFACT, KEY, SERVICE, tag};
use crate::probe::stored_key;
use crate::statements::{self, ImageStatement};
use crate::whole::{self, Part};
use crate::why::gathered;
use crate::{Error, Options, Project, images, inputs, registries, ship, sign};

/// One thing that is not as it should be.
#[derive(Debug, Clone)]
pub struct VerifyFault {
    /// The part: `layer sha256:..`, `inputs of linux/amd64`, `label dev.shipper.key`.
    pub part: String,
    /// What is wrong with it, or why that could not be told.
    pub problem: String,
    /// Whether it is wrong for certain; `false` where it could not be read.
    pub proven: bool,
}

/// What [`verify`] found about one image.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The image: as it was asked for, or where the service's image is.
    pub reference: String,
    /// Digest of its manifest or index, where that could be read.
    pub digest: Option<String>,
    /// The whole build key, where the image carries one.
    pub key: Option<String>,
    /// Whether the key was derived again from the inputs beside the image.
    pub inputs: bool,
    /// Manifests read.
    pub manifests: usize,
    /// Blobs read.
    pub blobs: usize,
    /// Bytes of the blobs that are right.
    pub bytes: u64,
    /// Signatures of the key that was asked for; absent where none was.
    pub signatures: Option<usize>,
    /// What an index states about its images, in its order; what is wrong with a statement is among the faults.
    pub statements: Vec<ImageStatement>,
    /// What is wrong.
    pub faults: Vec<VerifyFault>,
}

impl Verified {
    /// Whether something is wrong for certain.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.faults.iter().any(|fault| fault.proven)
    }

    fn new(reference: String) -> Self {
        Self {
            reference,
            digest: None,
            key: None,
            inputs: false,
            manifests: 0,
            blobs: 0,
            bytes: 0,
            signatures: None,
            statements: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn wrong(&mut self, part: impl Into<String>, problem: impl Into<String>) {
        self.faults.push(VerifyFault { part: part.into(), problem: problem.into(), proven: true });
    }

    fn unknown(&mut self, part: impl Into<String>, problem: impl Into<String>) {
        self.faults.push(VerifyFault { part: part.into(), problem: problem.into(), proven: false });
    }

    fn error(&mut self, part: impl Into<String>, error: &shipper_oci::Error) {
        let proven = error.is_corrupt()
            || error.is_not_found()
            || matches!(error, shipper_oci::Error::TooLarge { .. } | shipper_oci::Error::Incomplete { .. });
        self.faults.push(VerifyFault { part: part.into(), problem: error.chain(), proven });
    }

    fn document(&mut self, part: impl Into<String>, problem: Problem) {
        match problem {
            Problem::Unread(error) => self.error(part, &error),
            Problem::Wrong(problem) => self.wrong(part, problem),
        }
    }

    fn count(&mut self, report: &ContentReport, of: &str) {
        self.manifests += report.manifests;
        self.blobs += report.blobs;
        self.bytes += report.bytes;
        for fault in &report.faults {
            self.error(format!("{of}{}", fault.part), &fault.error);
        }
    }
}

/// Verifies images: those of the services that `targets` names (as the checkout is now), of all services where it is empty,
/// and those at references. With `signed_by`, a public key as [`crate::sign()`] names private ones, each image must have a
/// signature of this key. A target with `:` or `/` is a reference. In the order of `targets`.
///
/// # Errors
/// What keeps the services' keys from being known, and references that are none. Images that can not be read are in the
/// answers.
pub async fn verify(options: &Options, targets: &[String], signed_by: Option<&str>) -> Result<Vec<Verified>, Error> {
    let signed_by =
        signed_by.map(|key| sign::verifying_key(&options.directory, &options.environment, key)).transpose()?;
    let signed_by = signed_by.as_ref();
    let services: Vec<String> = targets.iter().filter(|target| !images::is_reference(target)).cloned().collect();
    let mut of_services = BTreeMap::new();
    if targets.is_empty() || !services.is_empty() {
        of_services = verify_services(options, &services, signed_by).await?;
    }
    if targets.is_empty() {
        return Ok(of_services.into_values().collect());
    }
    let mut answers = Vec::with_capacity(targets.len());
    for target in targets {
        match of_services.get(target) {
            Some(answer) => answers.push(answer.clone()),
            None => answers.push(verify_reference(options, target, signed_by).await?),
        }
    }
    Ok(answers)
}

async fn verify_services(
    options: &Options,
    services: &[String],
    signed_by: Option<&VerifyingKey>,
) -> Result<BTreeMap<String, Verified>, Error> {
    let project = Project::open(options)?;
    let opened = registries::open(&project, None).await?;
    let gathered = gathered(&project, services).await?;
    let mut answers = BTreeMap::new();
    for one in gathered.iter().filter(|one| services.is_empty() || services.contains(&one.service.name)) {
        let repository = ship::repository(&project, &opened, one)?;
        let selector = Selector::Tag(tag(&one.key.identity_tag()));
        let answer = verify_image(&repository, &selector, Some(&one.key), signed_by).await;
        answers.insert(one.service.name.clone(), answer);
    }
    Ok(answers)
}

async fn verify_reference(options: &Options, text: &str, signed_by: Option<&VerifyingKey>) -> Result<Verified, Error> {
    let place = match images::source(options, text).await {
        Ok(place) => place,
        // An archive that is damaged or has no such image is an answer.
        Err(Error::NoImage { .. }) => {
            let mut answer = Verified::new(text.to_owned());
            answer.wrong("manifest", format!("{text} does not exist"));
            return Ok(answer);
        }
        Err(Error::Store { source, .. }) if source.is_corrupt() => {
            let mut answer = Verified::new(text.to_owned());
            answer.error("archive", &source);
            return Ok(answer);
        }
        Err(error) => return Err(error),
    };
    let mut answer = verify_image(&place.repository, &place.selector, None, signed_by).await;
    if place.archive.is_some() {
        text.clone_into(&mut answer.reference);
    }
    Ok(answer)
}

/// Verifies one image; `expected` is the build key that it must have.
async fn verify_image(
    repository: &Repository,
    selector: &Selector,
    expected: Option<&BuildKey>,
    signed_by: Option<&VerifyingKey>,
) -> Verified {
    let mut answer = Verified::new(repository.reference(selector));
    let manifest = match repository.manifest(selector).await {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            answer.wrong("manifest", format!("{} does not exist", answer.reference));
            return answer;
        }
        Err(error) => {
            answer.error("manifest", &error);
            return answer;
        }
    };
    answer.digest = Some(manifest.digest().to_string());
    if let Some(key) = signed_by {
        check_signatures(repository, &manifest, key, &mut answer).await;
    }
    let content = check_content(repository, &manifest).await;
    answer.count(&content, "");
    let (stated, problems) = statements::of_index(repository, &manifest, &content.images).await;
    answer.statements = stated;
    for (part, problem) in problems {
        answer.document(part, problem);
    }
    match stored_key(repository, &manifest).await {
        Ok(stored) => answer.key = stored,
        Err(error) => answer.error(format!("label {KEY}"), &error),
    }
    let identity = match selector {
        Selector::Tag(tag) => tag.as_str().starts_with("h-").then(|| tag.as_str()),
        Selector::Digest(_) => None,
    };
    let key = match answer.key.as_deref().map(str::parse::<BuildKey>) {
        Some(Ok(key)) => key,
        Some(Err(_)) => {
            answer.wrong(format!("label {KEY}"), "it is no build key");
            return answer;
        }
        None => {
            if (identity.is_some() || expected.is_some()) && answer.faults.is_empty() {
                answer.wrong(format!("label {KEY}"), "the image carries no key");
            }
            return answer;
        }
    };
    if let Some(expected) = expected.filter(|expected| **expected != key) {
        answer.wrong(format!("label {KEY}"), format!("it is {key}, and the service has {expected}"));
    }
    if let Some(identity) = identity.filter(|identity| *identity != key.identity_tag()) {
        answer.wrong(format!("label {KEY}"), format!("the image under {identity} carries {key}"));
    }
    let has_identity = match identity {
        Some(_) => true,
        None => named_by_identity(repository, &key, manifest.digest(), &mut answer).await,
    };
    check_inputs(repository, &manifest, &content.images, &key, has_identity, &mut answer).await;
    answer
}

/// Looks for a signature of `key` on the image.
async fn check_signatures(repository: &Repository, manifest: &Manifest, key: &VerifyingKey, answer: &mut Verified) {
    match sign::signatures(repository, manifest, std::slice::from_ref(key)).await {
        Ok(found) => {
            answer.signatures = Some(found.right);
            if found.right == 0 {
                let refused: String = found.refused.iter().map(|why| format!("; {why}")).collect();
                answer.wrong("signature", format!("there is no signature of this key{refused}"));
            }
        }
        // A list or a bundle that is not read to its end says nothing about the image.
        Err(error @ shipper_oci::Error::TooLarge { .. }) => answer.unknown("signature", error.chain()),
        Err(error) => answer.error("signature", &error),
    }
}

/// Whether the identity of `key` is known to be in the repository; it must name this image.
async fn named_by_identity(repository: &Repository, key: &BuildKey, digest: &Digest, answer: &mut Verified) -> bool {
    let identity = key.identity_tag();
    match repository.manifest(&Selector::Tag(tag(&identity))).await {
        Ok(None) => false,
        Ok(Some(named)) if named.digest() == digest => true,
        // One of the images of an index, or another image.
        Ok(Some(named)) => {
            if !whole::names(&named, digest) {
                answer.wrong(identity, format!("it names {}, which carries the same key", named.digest()));
            }
            true
        }
        Err(error) => {
            answer.error(identity, &error);
            false
        }
    }
}

/// Derives the key from the inputs artifact, and compares both with what the images say.
async fn check_inputs(
    repository: &Repository,
    manifest: &Manifest,
    images: &[Manifest],
    key: &BuildKey,
    required: bool,
    answer: &mut Verified,
) {
    let name = key.inputs_tag();
    let artifact = match repository.manifest(&Selector::Tag(tag(&name))).await {
        Ok(Some(artifact)) => artifact,
        Ok(None) => {
            // A platform's own identity has its inputs in the artifact of the whole image.
            if required {
                match whole::part(repository, manifest.digest()).await {
                    Part::OfWhole => {}
                    Part::OfNone => answer.wrong(name, "the inputs artifact is not there"),
                    Part::Unknown(why) => answer.unknown(name, format!("whether another image has the inputs: {why}")),
                }
            }
            return;
        }
        Err(error) => return answer.error(name, &error),
    };
    let before = answer.faults.len();
    answer.count(&check_content(repository, &artifact).await, "inputs artifact: ");
    if artifact.artifact_type() != Some(INPUTS_ARTIFACT) {
        return answer.wrong(name, "it is no inputs artifact");
    }
    if artifact.annotations().get(KEY).is_none_or(|stated| *stated != key.to_string()) {
        answer.wrong(&name, "it states another key");
    }
    match artifact.subject() {
        Some(subject) if subject.digest == *manifest.digest() && subject.size == manifest.bytes().len() as u64 => {}
        Some(subject) => answer.wrong(&name, format!("it is about {}", subject.digest)),
        None => answer.wrong(&name, "it does not say which image it is about"),
    }
    if answer.faults.len() > before {
        return;
    }
    let mut keys = BTreeMap::new();
    for read in inputs::documents(repository, &artifact).await {
        match read {
            Ok((document, Ok(_))) => {
                keys.insert(document.platform.clone(), document);
            }
            Ok((document, Err(problem))) => answer.document(format!("inputs of {}", document.platform), problem),
            Err(problem) => answer.document(&name, problem),
        }
    }
    let derived: Vec<BuildKey> = keys.values().map(InputsDocument::key).collect();
    let whole = if let [only] = derived.as_slice() { *only } else { BuildKey::combine(&derived) };
    if whole != *key {
        answer.wrong(&name, format!("its inputs have the key {whole}"));
    }
    for image in images {
        check_labels(repository, image, &keys, answer).await;
    }
    answer.inputs = answer.faults.len() == before;
}

/// Compares what an image says of itself, as annotations and as labels, with the inputs of its platform.
async fn check_labels(
    repository: &Repository,
    manifest: &Manifest,
    documents: &BTreeMap<String, InputsDocument>,
    answer: &mut Verified,
) {
    let Some(image) = manifest.as_image().filter(|_| manifest.artifact_type().is_none()) else { return };
    // What BuildKit puts beside images (provenance, SBOM) is of no platform and carries no label.
    if image.layers.iter().any(|layer| crate::attach::stated_in(layer).is_some()) {
        return;
    }
    let config = match repository.blob(&image.config).await {
        Ok(bytes) => serde_json::from_slice::<serde_json::Value>(&bytes).unwrap_or_default(),
        Err(error) => return answer.error(format!("config {}", image.config.digest), &error),
    };
    let part = format!("image {}", manifest.digest());
    if config["rootfs"]["diff_ids"].as_array().map(Vec::len) != Some(image.layers.len()) {
        answer.wrong(&part, "its configuration names another number of layers");
    }
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let mut platform = format!("{}/{}", text("os"), text("architecture"));
    let mut document = documents.get(&platform);
    if let Some(variant) = config["variant"].as_str() {
        platform = format!("{platform}/{variant}");
        document = documents.get(&platform).or(document);
    }
    let Some(document) = document else {
        return answer.wrong(part, format!("it is for {platform}, for which there are no inputs"));
    };
    let key = document.key().to_string();
    let expected = [(KEY, key.as_str()), (SERVICE, document.service.as_str())];
    for (name, expected) in expected {
        let label = config["config"]["Labels"][name].as_str();
        let annotation = manifest.annotations().get(name).map(String::as_str);
        for found in [label, annotation].into_iter().flatten().filter(|found| *found != expected) {
            answer.wrong(&part, format!("{name} is `{found}`, and its inputs say `{expected}`"));
        }
        if label.is_none() && annotation.is_none() {
            answer.wrong(&part, format!("it carries no {name}"));
        }
    }
}
