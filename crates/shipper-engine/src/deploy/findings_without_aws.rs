//! Stands in for `findings` in builds without the feature `aws`: ECR can not be asked.

use shipper_deploy::Image;
use shipper_plan::{Environment, Severity};

use super::{Places, Work};
use crate::Error;

/// What is asked about an image.
#[expect(dead_code, reason = "with AWS it is looked at")]
pub(super) struct Asked<'a> {
    pub(super) severity: Severity,
    pub(super) registry: &'a str,
    pub(super) service: &'a str,
    pub(super) image: &'a Image,
    pub(super) places: &'a Places,
}

impl Work<'_> {
    /// Always [`Error::WithoutAws`].
    #[expect(clippy::unused_async, reason = "with AWS it asks")]
    pub(super) async fn findings(&self, asked: Asked<'_>, _: &Environment) -> Result<(), Error> {
        Err(Error::WithoutAws { action: format!("ask ECR for vulnerabilities in {}", asked.image.reference) })
    }
}
