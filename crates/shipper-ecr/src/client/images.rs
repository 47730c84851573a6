//! Images.

use aws_sdk_ecr::types::{DescribeImagesFilter, ImageIdentifier, ImageStatus, ImageStatusFilter};
use shipper_aws::Error as AwsError;

use super::{Ecr, has_code};

/// Whether a tag names an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImagePresence {
    /// It does, and the image can be pulled.
    Active,
    /// It does, but the image has to be restored from the archive first.
    Archived,
    /// It does not.
    Absent,
}

impl Ecr {
    /// Whether `tag` names an image of `repository`. The image is described, not pulled: a pull would make it look used.
    ///
    /// # Errors
    /// [`AwsError`] where ECR does not say; a repository that does not exist included.
    pub async fn tag_presence(&self, repository: &str, tag: &str) -> Result<ImagePresence, AwsError> {
        // Without this filter archived images are left out (ECR API, `DescribeImagesFilter`).
        let any = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
        let request = self
            .client
            .describe_images()
            .set_registry_id(self.registry_id())
            .repository_name(repository)
            .image_ids(ImageIdentifier::builder().image_tag(tag).build())
            .filter(any);
        match request.send().await {
            Ok(answer) => Ok(match answer.image_details().first().and_then(|image| image.image_status()) {
                Some(ImageStatus::Active) | None if !answer.image_details().is_empty() => ImagePresence::Active,
                Some(_) => ImagePresence::Archived,
                None => ImagePresence::Absent,
            }),
            Err(error) => {
                let error = AwsError::from(("ecr:DescribeImages", error));
                if has_code(&error, "ImageNotFoundException") { Ok(ImagePresence::Absent) } else { Err(error) }
            }
        }
    }
}
