//! Pins: tags that say of an image that an environment runs it, is about to run it, or can go back to it, so that nothing
//! deletes it.
//!
//! Invariant: pins follow from a record alone, so that writing them again changes nothing, wherever a run was interrupted.

use shipper_oci::{Digest, Repository, Selector, Tag};

use crate::Error;

/// How many images that ran before are kept: `.1` to `.3`.
pub const KEPT: usize = 3;

/// The pins of an environment in one repository.
#[derive(Debug, Clone)]
pub struct Pins {
    repository: Repository,
    environment: String,
}

impl Pins {
    /// The pins `env-<environment>`, `env-<environment>.next`, `env-<environment>.1` to `.3`.
    #[must_use]
    pub fn new(repository: &Repository, environment: &str) -> Self {
        Self { repository: repository.clone(), environment: environment.to_owned() }
    }

    fn pin(&self, suffix: &str) -> Tag {
        let name = format!("env-{}{suffix}", self.environment);
        name.parse().expect("because names of environments are checked to fit into a tag")
    }

    /// Pins what is about to be deployed. Returns whether anything was written.
    ///
    /// # Errors
    /// [`Error::Pin`] where the registry lets no tag move, [`Error::Gone`], [`Error::Store`].
    pub async fn incoming(&self, digest: &Digest) -> Result<bool, Error> {
        self.put(&self.pin(".next"), digest).await
    }

    /// Pins what runs and what ran before, the newest first, and takes the pin of what was about to be deployed away, where
    /// the registry can. An image that ran before and is gone is left out.
    ///
    /// # Errors
    /// As [`Pins::incoming`].
    pub async fn settle(&self, digests: &[Digest]) -> Result<(), Error> {
        // From the oldest to the newest: at no time is one without a pin that had one.
        for (place, digest) in digests.iter().enumerate().take(KEPT + 1).rev() {
            let suffix = if place == 0 { String::new() } else { format!(".{place}") };
            match self.put(&self.pin(&suffix), digest).await {
                Err(Error::Gone { .. }) if place > 0 => {}
                result => drop(result?),
            }
        }
        self.unpin(".next").await
    }

    /// Takes all pins of the environment away; `false` where the registry deletes no tags.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn clear(&self) -> Result<bool, Error> {
        let before = (1..=KEPT).map(|place| format!(".{place}"));
        for suffix in ["", ".next"].map(str::to_owned).into_iter().chain(before) {
            match self.repository.delete_tag(&self.pin(&suffix)).await {
                Ok(_) => {}
                Err(shipper_oci::Error::Unsupported { .. }) => return Ok(false),
                Err(source) => return Err(self.failed(source)),
            }
        }
        Ok(true)
    }

    async fn unpin(&self, suffix: &str) -> Result<(), Error> {
        match self.repository.delete_tag(&self.pin(suffix)).await {
            Ok(_) | Err(shipper_oci::Error::Unsupported { .. }) => Ok(()),
            Err(source) => Err(self.failed(source)),
        }
    }

    async fn put(&self, pin: &Tag, digest: &Digest) -> Result<bool, Error> {
        let selector = Selector::Tag(pin.clone());
        let named = self.repository.manifest(&selector).await.map_err(|source| self.failed(source))?;
        if named.is_some_and(|named| named.digest() == digest) {
            return Ok(false);
        }
        let by_digest = Selector::Digest(digest.clone());
        let manifest = self.repository.manifest(&by_digest).await.map_err(|source| self.failed(source))?;
        let image = self.repository.reference(&by_digest);
        let manifest = manifest.ok_or(Error::Gone { image, what: "its manifest".to_owned() })?;
        let put = self.repository.put_manifest(&manifest, Some(pin)).await;
        let repository = self.repository.to_string();
        let refused = |source| Error::Pin { pin: pin.to_string(), repository, source: Box::new(source) };
        put.map_err(refused)?;
        Ok(true)
    }

    fn failed(&self, source: shipper_oci::Error) -> Error {
        let action = format!("read the pins of `{}` in {}", self.environment, self.repository);
        Error::Store { action, source }
    }
}
