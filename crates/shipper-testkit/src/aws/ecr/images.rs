//! Images: describe, list, read, name, delete.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::{Answer, lock, refused};
use super::{Call, MOST_IDS};
use crate::registry::{References, Repository, StoredManifest, digest_like};

/// Media types of indexes.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// The manifest that an id names.
fn find<'r>(repository: &'r Repository, id: &Value) -> Option<&'r StoredManifest> {
    let tagged = id["imageTag"].as_str().map(|tag| repository.tags.get(tag).map_or("", String::as_str));
    let digest = id["imageDigest"].as_str();
    match (tagged, digest) {
        (Some(tagged), Some(digest)) if tagged != digest => None,
        (Some(digest), _) | (None, Some(digest)) => repository.manifests.get(digest),
        (None, None) => None,
    }
}

fn tags_of(repository: &Repository, digest: &str) -> Vec<String> {
    repository.tags.iter().filter(|(_, target)| *target == digest).map(|(tag, _)| tag.clone()).collect()
}

impl Call<'_> {
    fn ids(&self) -> Result<Vec<&Value>, Answer> {
        let ids: Vec<&Value> = self.parameters["imageIds"].as_array().into_iter().flatten().collect();
        if ids.len() > MOST_IDS {
            return Err(refused("InvalidParameterException", "Member must have length less than or equal to 100"));
        }
        Ok(ids)
    }

    /// All images as the store holds them: digest, media type, tags, time of the push, subject, children.
    pub(super) fn listed(&self) -> Vec<Listed> {
        let mut state = lock(&self.inner.ecr);
        let store = self.inner.registry.store();
        let Some(repository) = store.repository(self.repository()) else { return Vec::new() };
        repository
            .manifests
            .values()
            .map(|manifest| Listed::of(&mut state, self.repository(), repository, manifest))
            .collect()
    }

    pub(super) fn describe_images(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let ids = match self.ids() {
            Ok(ids) => ids,
            Err(answer) => return answer,
        };
        if ids.is_empty() {
            let all = self.listed();
            let (page, next) = self.page(&all, 1000);
            let details: Vec<Value> = page.iter().map(|image| image.detail(self.account, self.repository())).collect();
            return Answer::Json(json!({"imageDetails": details, "nextToken": next}));
        }
        let mut state = lock(&self.inner.ecr);
        let store = self.inner.registry.store();
        let Some(repository) = store.repository(self.repository()) else {
            return self.no_repository(self.repository());
        };
        let mut details = Vec::new();
        for id in ids {
            // One missing image fails the whole call.
            let Some(manifest) = find(repository, id) else {
                return refused("ImageNotFoundException", format!("The image with imageId {id} does not exist"));
            };
            let listed = Listed::of(&mut state, self.repository(), repository, manifest);
            details.push(listed.detail(self.account, self.repository()));
        }
        Answer::Json(json!({"imageDetails": details}))
    }

    pub(super) fn list_images(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let ids: Vec<Value> = self
            .listed()
            .into_iter()
            .flat_map(|image| {
                let digest = image.digest;
                let untagged = image.tags.is_empty().then(|| json!({"imageDigest": digest}));
                let tagged: Vec<Value> =
                    image.tags.iter().map(|tag| json!({"imageDigest": digest, "imageTag": tag})).collect();
                untagged.into_iter().chain(tagged)
            })
            .collect();
        let (page, next) = self.page(&ids, 1000);
        Answer::Json(json!({"imageIds": page, "nextToken": next}))
    }

    pub(super) fn batch_get(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let ids = match self.ids() {
            Ok(ids) => ids,
            Err(answer) => return answer,
        };
        let store = self.inner.registry.store();
        let Some(repository) = store.repository(self.repository()) else {
            return self.no_repository(self.repository());
        };
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for id in ids {
            match find(repository, id) {
                Some(manifest) => images.push(json!({
                    "registryId": self.account,
                    "repositoryName": self.repository(),
                    "imageId": {"imageDigest": manifest.digest, "imageTag": id["imageTag"]},
                    "imageManifest": String::from_utf8_lossy(&manifest.bytes),
                    "imageManifestMediaType": manifest.media_type,
                })),
                None => failures.push(json!({"imageId": id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"})),
            }
        }
        Answer::Json(json!({"images": images, "failures": failures}))
    }

    /// Scans begin when they are asked for; an index has none.
    pub(super) fn scan(&self) -> Answer {
        let digest = self.parameters["imageId"]["imageDigest"].as_str().unwrap_or_default().to_owned();
        let mut state = lock(&self.inner.ecr);
        let Some(looks) = state.scanned.get_mut(&digest) else {
            return refused("ScanNotFoundException", format!("Image scan does not exist for the image '{digest}'"));
        };
        let at = *looks;
        *looks += 1;
        let Some((status, counts)) = state.scans.get(at).or(state.scans.last()) else {
            return refused("ValidationException", "no scan was scripted");
        };
        let mut answer = json!({"imageId": {"imageDigest": digest}, "imageScanStatus": {"status": status}});
        if ["COMPLETE", "ACTIVE"].contains(&status.as_str()) {
            answer["imageScanFindings"] = json!({"findingSeverityCounts": counts});
        }
        Answer::Json(answer)
    }

    pub(super) fn start_scan(&self) -> Answer {
        let digest = self.parameters["imageId"]["imageDigest"].as_str().unwrap_or_default().to_owned();
        let store = self.inner.registry.store();
        let manifest = store.repository(self.repository()).and_then(|repository| repository.manifests.get(&digest));
        let Some(manifest) = manifest else { return refused("ImageNotFoundException", digest) };
        if manifest.media_type.contains("index") {
            return refused("UnsupportedImageTypeException", "an index is not scanned");
        }
        lock(&self.inner.ecr).scanned.insert(digest, 0);
        Answer::Json(json!({"imageScanStatus": {"status": "IN_PROGRESS"}}))
    }

    pub(super) fn put_image(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let bytes = self.text("imageManifest").as_bytes().to_vec();
        let digest = digest_like("", &bytes);
        let Some(references) = References::of(&bytes) else {
            return refused("InvalidParameterException", "Invalid parameter at 'imageManifest'");
        };
        if !self.text("imageDigest").is_empty() && self.text("imageDigest") != digest {
            return refused("ImageDigestDoesNotMatchException", digest);
        }
        let mut store = self.inner.registry.store();
        let repository = store.repository_mut(self.repository());
        if references.blobs.iter().any(|blob| !repository.blobs.contains_key(blob)) {
            return refused("LayersNotFoundException", "a layer or the config is not there");
        }
        if references.manifests.iter().any(|child| !repository.manifests.contains_key(child)) {
            return refused("ReferencedImagesNotFoundException", "a child is not there");
        }
        let tag = self.text("imageTag");
        let current = repository.tags.get(tag).cloned();
        let is_known = repository.manifests.contains_key(&digest);
        if is_known && (tag.is_empty() || current.as_ref() == Some(&digest)) {
            return refused("ImageAlreadyExistsException", format!("Image with digest '{digest}' already exists"));
        }
        if current.is_some() && repository.is_locked(tag) {
            return refused(
                "ImageTagAlreadyExistsException",
                format!("The tag '{tag}' exists and cannot be overwritten"),
            );
        }
        let media_type = self.text("imageManifestMediaType").to_owned();
        let manifest = StoredManifest { media_type, digest: digest.clone(), bytes: bytes.into() };
        repository.manifests.entry(digest.clone()).or_insert(manifest);
        if !tag.is_empty() {
            repository.set_tag(tag, &digest);
        }
        Answer::Json(json!({"image": {"imageId": {"imageDigest": digest, "imageTag": tag}}}))
    }

    pub(super) fn batch_delete(&self) -> Answer {
        if let Err(answer) = self.exists() {
            return answer;
        }
        let ids: Vec<Value> = match self.ids() {
            Ok(ids) => ids.into_iter().cloned().collect(),
            Err(answer) => return answer,
        };
        let mut store = self.inner.registry.store();
        let repository = store.repository_mut(self.repository());
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        for id in ids {
            let Some(digest) = find(repository, &id).map(|manifest| manifest.digest.clone()) else {
                failures.push(json!({"imageId": id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"}));
                continue;
            };
            let tags = tags_of(repository, &digest);
            // By tag, only that name goes, and the image with its last.
            let only_a_name = id["imageDigest"].is_null() && tags.len() > 1;
            let holders: BTreeSet<&String> = repository
                .manifests
                .values()
                .filter(|other| References::of(&other.bytes).is_some_and(|other| other.manifests.contains(&digest)))
                .map(|other| &other.digest)
                .collect();
            if !only_a_name && !holders.is_empty() {
                failures.push(json!({"imageId": id, "failureCode": "ImageReferencedByManifestList", "failureReason": "referenced"}));
                continue;
            }
            if only_a_name {
                repository.tags.remove(id["imageTag"].as_str().unwrap_or_default());
            } else {
                repository.remove_manifest(&digest);
            }
            deleted.push(json!({"imageDigest": digest, "imageTag": id["imageTag"]}));
        }
        Answer::Json(json!({"imageIds": deleted, "failures": failures}))
    }
}

/// An image as `DescribeImages` knows it.
pub(super) struct Listed {
    pub(super) digest: String,
    media_type: String,
    size: usize,
    pub(super) tags: Vec<String>,
    pub(super) pushed_at: i64,
    pub(super) subject: Option<String>,
    pub(super) children: Vec<String>,
}

impl Listed {
    fn of(state: &mut super::State, name: &str, repository: &Repository, manifest: &StoredManifest) -> Self {
        let references = References::of(&manifest.bytes).unwrap_or_default();
        Self {
            digest: manifest.digest.clone(),
            media_type: manifest.media_type.clone(),
            size: manifest.bytes.len(),
            tags: tags_of(repository, &manifest.digest),
            pushed_at: state.pushed_at(name, &manifest.digest),
            subject: references.subject,
            children: if INDEXES.contains(&manifest.media_type.as_str()) { references.manifests } else { Vec::new() },
        }
    }

    fn detail(&self, account: &str, repository: &str) -> Value {
        let mut detail = json!({
            "registryId": account,
            "repositoryName": repository,
            "imageDigest": self.digest,
            "imageSizeInBytes": self.size,
            "imagePushedAt": self.pushed_at,
            "imageManifestMediaType": self.media_type,
            "imageStatus": "ACTIVE",
        });
        if !self.tags.is_empty() {
            detail["imageTags"] = json!(self.tags);
        }
        if let Some(subject) = &self.subject {
            detail["subjectManifestDigest"] = json!(subject);
        }
        detail
    }
}
