//! Whose images are reused, or deployed by name: those that a key of `[trust] keys` has signed, where there are such keys.
//!
//! Invariant: nothing but a signature that a key accepts, about exactly the digest that was read, makes an image trusted; what
//! could not be read is an error and neither yes nor no. A run that is not trusted itself asks for no signatures where such
//! runs write: nobody who is trusted looks there, or takes anything from there without a signature.

use std::sync::Arc;

use shipper_attest::VerifyingKey;
use shipper_oci::{Digest, Manifest, Repository, Selector};
use shipper_tag::Facts;

use crate::registries::is_untrusted;
use crate::{Error, Project, sign};

/// Keys one of which must have signed an image; without any, every image is trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust(Arc<[VerifyingKey]>);

impl Trust {
    /// The keys of the configuration.
    ///
    /// # Errors
    /// As [`sign::verifying_key`].
    pub(crate) fn of(project: &Project) -> Result<Self, Error> {
        let keys = project.settings.trusted_keys.value.iter();
        keys.map(|key| sign::verifying_key(&project.root, &project.environment, key))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Those keys where a run writes: for one that is not trusted, none.
    pub(crate) fn where_written(&self, run: &Facts) -> Self {
        if is_untrusted(run) { Self::default() } else { self.clone() }
    }

    /// Why an image is not trusted; `None` where it is.
    ///
    /// # Errors
    /// Where it could not be told.
    pub(crate) async fn objection(
        &self,
        repository: &Repository,
        image: &Manifest,
    ) -> shipper_oci::Result<Option<String>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let found = sign::signatures(repository, image, &self.0).await?;
        if found.right > 0 {
            return Ok(None);
        }
        let refused: String = found.refused.iter().map(|why| format!("; {why}")).collect();
        Ok(Some(format!("{} has no signature of a trusted key{refused}", image.digest())))
    }

    /// Refuses an image that is to be deployed by its name, and that none of the keys has signed.
    ///
    /// # Errors
    /// [`Error::Unsigned`]; [`Error::NoImage`] where it is not there; [`Error::Store`] where it could not be told.
    pub(crate) async fn require(&self, repository: &Repository, digest: &Digest) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let selector = Selector::Digest(digest.clone());
        let reference = repository.reference(&selector);
        let failed = |source| Error::Store { action: format!("look for signatures of {reference}"), source };
        let image = repository.manifest(&selector).await.map_err(failed)?;
        let image = image.ok_or_else(|| Error::NoImage { reference: reference.clone() })?;
        match self.objection(repository, &image).await.map_err(failed)? {
            Some(why) => Err(Error::Unsigned { reference, why }),
            None => Ok(()),
        }
    }
}
