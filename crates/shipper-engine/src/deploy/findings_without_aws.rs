//! Stands in for `findings` in builds without the feature `aws`: ECR can not be asked.

use shipper_plan::Environment;

use super::Work;
use super::gate::Asked;
use crate::Error;

impl Work<'_> {
    /// Always [`Error::WithoutAws`].
    #[expect(clippy::unused_async, reason = "with AWS it asks")]
    pub(super) async fn findings(&self, asked: Asked<'_>, _: &Environment) -> Result<(), Error> {
        Err(Error::WithoutAws { action: format!("ask ECR for vulnerabilities in {}", asked.image.reference) })
    }
}
