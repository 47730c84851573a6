//! All images of a repository, with what indexes refer to; and their deletion.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_sdk_ecr::primitives::DateTime;
use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageFailureCode, ImageIdentifier, ImageStatus, ImageStatusFilter,
};
use jiff::Timestamp;
use serde::Deserialize;
use shipper_aws::Error as AwsError;

use super::Ecr;
use crate::lifecycle::{Children, ImageFacts, StorageClass, is_index};

/// Most ids in one call (ECR API).
const MOST_IDS: usize = 100;
/// Images in a page, and more pages than a repository's 100,000 images fill.
const PAGE: i32 = 1000;
const MOST_PAGES: usize = 1000;

const ACTION: &str = "ecr:DescribeImages";

/// The part of an index that is read.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    digest: String,
}

/// An image as ECR lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// What lifecycle policies are about.
    pub facts: ImageFacts,
    /// Bytes of its layers, compressed; 0 for an index.
    pub size: u64,
    /// Media type of its manifest.
    pub media_type: String,
}

impl Ecr {
    /// All images of a repository, archived ones too, with the children of each index, in the order of ECR.
    ///
    /// # Errors
    /// [`AwsError`]; a repository that does not exist included.
    pub async fn images(&self, repository: &str) -> Result<Vec<ImageFacts>, AwsError> {
        Ok(self.listing(repository).await?.into_iter().map(|image| image.facts).collect())
    }

    /// As [`images`](Self::images), with what else ECR says of each.
    ///
    /// # Errors
    /// [`AwsError`]; a repository that does not exist included.
    pub async fn listing(&self, repository: &str) -> Result<Vec<ListedImage>, AwsError> {
        let (mut images, mut seen) = (Vec::new(), HashSet::new());
        let mut token = None;
        for _ in 0..MOST_PAGES {
            let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
            let request = self.client.describe_images().set_registry_id(self.registry_id()).repository_name(repository);
            let answer = request.filter(any).max_results(PAGE).set_next_token(token).send().await;
            let answer = answer.map_err(|error| AwsError::from((ACTION, error)))?;
            for detail in answer.image_details() {
                let image = listed(detail)?;
                // What is pushed meanwhile moves the others to later pages.
                if seen.insert(image.facts.digest.clone()) {
                    images.push(image);
                }
            }
            token = answer.next_token().map(str::to_owned);
            if token.is_none() {
                self.read_indexes(repository, &mut images).await?;
                return Ok(images);
            }
        }
        Err(malformed(ACTION, "its pages have no end"))
    }

    async fn read_indexes(&self, repository: &str, images: &mut [ListedImage]) -> Result<(), AwsError> {
        const ACTION: &str = "ecr:BatchGetImage";
        let indexes: Vec<String> = images
            .iter()
            .map(|image| &image.facts)
            .filter(|image| image.children == Children::Unknown && image.storage == StorageClass::Standard)
            .map(|image| image.digest.clone())
            .collect();
        let mut children = HashMap::new();
        for part in indexes.chunks(MOST_IDS) {
            let ids = part.iter().map(|digest| ImageIdentifier::builder().image_digest(digest).build()).collect();
            let request = self.client.batch_get_image().set_registry_id(self.registry_id());
            let answer = request.repository_name(repository).set_image_ids(Some(ids)).send().await;
            let answer = answer.map_err(|error| AwsError::from((ACTION, error)))?;
            for image in answer.images() {
                let digest = image.image_id().and_then(ImageIdentifier::image_digest);
                let index: Option<Index> = image.image_manifest().and_then(|text| serde_json::from_str(text).ok());
                if let (Some(digest), Some(index)) = (digest, index) {
                    let found = index.manifests.into_iter().map(|child| child.digest).collect();
                    children.insert(digest.to_owned(), Children::Known(found));
                }
            }
        }
        // One that vanished in between, or can not be read, stays unknown.
        for image in images.iter_mut().map(|image| &mut image.facts) {
            if let Some(found) = children.remove(&image.digest) {
                image.children = found;
            }
        }
        Ok(())
    }

    /// Deletes images by digest, each with all its tags. Returns digest and reason of those that ECR kept.
    ///
    /// # Errors
    /// [`AwsError`]; images of earlier calls are deleted then.
    pub async fn delete_images(
        &self,
        repository: &str,
        digests: &[String],
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let mut kept = BTreeMap::new();
        for part in digests.chunks(MOST_IDS) {
            let ids = part.iter().map(|digest| ImageIdentifier::builder().image_digest(digest).build()).collect();
            let request = self.client.batch_delete_image().set_registry_id(self.registry_id());
            let answer = request.repository_name(repository).set_image_ids(Some(ids)).send().await;
            let answer = answer.map_err(|error| AwsError::from(("ecr:BatchDeleteImage", error)))?;
            // A part of the images can fail in an answer that is a success.
            for failure in answer.failures() {
                let digest = failure.image_id().and_then(ImageIdentifier::image_digest).unwrap_or_default();
                if failure.failure_code() != Some(&ImageFailureCode::ImageNotFound) {
                    let code = failure.failure_code().map_or("unknown", |code| code.as_str());
                    kept.insert(digest.to_owned(), code.to_owned());
                }
            }
        }
        Ok(kept)
    }
}

/// What an image of the answer says.
///
/// # Errors
/// [`AwsError`] for one without digest or time.
pub(super) fn listed(detail: &ImageDetail) -> Result<ListedImage, AwsError> {
    let facts = facts(detail).ok_or_else(|| malformed(ACTION, "an image without digest or time"))?;
    let size = detail.image_size_in_bytes().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
    let media_type = detail.image_manifest_media_type().unwrap_or_default().to_owned();
    Ok(ListedImage { facts, size, media_type })
}

fn facts(detail: &ImageDetail) -> Option<ImageFacts> {
    let time = |at: &DateTime| Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok();
    let media_type = detail.image_manifest_media_type().unwrap_or_default();
    Some(ImageFacts {
        digest: detail.image_digest()?.to_owned(),
        tags: detail.image_tags().to_vec(),
        pushed_at: detail.image_pushed_at().and_then(time)?,
        pulled_at: detail.last_recorded_pull_time().and_then(time),
        archived_at: detail.last_archived_at().and_then(time),
        activated_at: detail.last_activated_at().and_then(time),
        storage: match detail.image_status() {
            Some(ImageStatus::Active) | None => StorageClass::Standard,
            Some(_) => StorageClass::Archive,
        },
        children: if is_index(media_type) { Children::Unknown } else { Children::None },
        subject: detail.subject_manifest_digest().map(str::to_owned),
    })
}

fn malformed(action: &'static str, message: &str) -> AwsError {
    AwsError::Service { action, code: "unknown".to_owned(), message: message.to_owned() }
}
