//! Images by name.
//!
//! Source: ECR API, `DescribeImages`: at most 100 ids in a call, and one that names nothing fails the whole call. Its message
//! names the id in words that are not documented, so that halving tells which it is.

use std::collections::HashSet;

use aws_sdk_ecr::types::{DescribeImagesFilter, ImageIdentifier, ImageStatusFilter};
use shipper_aws::Error as AwsError;

use super::listing::{ListedImage, listed};
use super::{Ecr, has_code};

/// Most ids in one call (ECR API).
const MOST_IDS: usize = 100;

/// Images by name, and the names that are none's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribedImages {
    /// In the order of the names, each once. What indexes refer to is not read.
    pub images: Vec<ListedImage>,
    /// Names of no image, in their order.
    pub missing: Vec<String>,
}

impl Ecr {
    /// The images of a repository that have these tags or digests, archived ones too. Calls are one for each hundred names, and
    /// for each name that is missing at most two for each halving.
    ///
    /// # Errors
    /// [`AwsError`]; a repository that does not exist included.
    pub async fn described(&self, repository: &str, names: &[String]) -> Result<DescribedImages, AwsError> {
        let (mut found, mut seen) = (DescribedImages::default(), HashSet::new());
        // The last is looked at next, so that what is found is in order.
        let mut open: Vec<&[String]> = names.chunks(MOST_IDS).rev().collect();
        while let Some(part) = open.pop() {
            // Without this filter archived images are left out.
            let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
            let request = self.client.describe_images().set_registry_id(self.registry_id()).repository_name(repository);
            let ids = part.iter().map(|name| id(name)).collect();
            match request.filter(any).set_image_ids(Some(ids)).send().await {
                Ok(answer) => {
                    for detail in answer.image_details() {
                        let image = listed(detail)?;
                        if seen.insert(image.facts.digest.clone()) {
                            found.images.push(image);
                        }
                    }
                }
                Err(error) => {
                    let error = AwsError::from(("ecr:DescribeImages", error));
                    match part {
                        _ if !has_code(&error, "ImageNotFoundException") => return Err(error),
                        [name] => found.missing.push(name.clone()),
                        _ => {
                            let (first, second) = part.split_at(part.len() / 2);
                            open.extend([second, first]);
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

/// A tag has no colon.
fn id(name: &str) -> ImageIdentifier {
    let id = ImageIdentifier::builder();
    if name.contains(':') { id.image_digest(name).build() } else { id.image_tag(name).build() }
}
