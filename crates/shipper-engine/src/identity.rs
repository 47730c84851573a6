//! Which image a key's identity names, when several runs have built one.
//!
//! Invariants: an identity that names a usable image stays there; the inputs artifact `m-<key>` is written before the
//! identity and is about the image that the identity names; a run whose image is not the one adopts the other's, and says
//! that builds differ only where it was asked to compare (`--force`).
//!
//! In a layout, comparing and writing are one step, so that the first `m-<key>` decides. In a registry they are not: there
//! runs of builders that may give other bytes each time announce themselves first ([`crate::claim`]).

use std::time::Instant;

use shipper_hash::BuildKey;
use shipper_oci::{Descriptor, Digest, Manifest, Repository, Selector, Tag};
use shipper_plan::Existing;

use crate::Error;
use crate::claim::{Claim, Patience};
use crate::names::tag;
use crate::probe::{judge, stored_key};
use crate::trust::Trust;

/// How often a run looks again after another one was faster.
const ROUNDS: usize = 8;

/// The identity of one key.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) repository: &'a Repository,
    /// Whose images are adopted.
    pub(crate) trust: &'a Trust,
    pub(crate) service: &'a str,
    pub(crate) key: &'a BuildKey,
    /// Platforms that the image must have.
    pub(crate) platforms: &'a [String],
    /// Compare instead of adopting.
    pub(crate) forced: bool,
    /// Whether two builds of the key may give other bytes.
    pub(crate) may_differ: bool,
    pub(crate) patience: Patience,
}

/// The inputs artifact for an image, whose blobs are there already.
pub(crate) type Inputs<'a> = &'a (dyn Fn(Descriptor) -> Result<Manifest, Error> + Sync);

/// What is decided about a key.
enum Decision {
    /// The identity names this image.
    Named(Manifest),
    /// The inputs artifact is about this image, which a run built that has not named it, or not yet.
    Begun(Manifest),
    /// Nothing; `true` where something unusable of this key has to be replaced.
    Open { replace: bool },
}

/// What a tag names.
enum Named {
    Found(Manifest),
    /// Something that a layout does not have any more, or that is damaged there.
    Lost,
    Nothing,
}

impl Identity<'_> {
    /// Gives the identity to `mine`, which is in the repository, or finds whose it is. Returns the image that it names.
    ///
    /// # Errors
    /// [`Error::Identity`] where it is on something that is not of this key, on other bytes with `forced`, or does not
    /// stay where it was put; [`Error::Push`] and [`Error::Store`] where it can not be told or written.
    pub(crate) async fn settle(&self, mine: &Manifest, inputs: Option<Inputs<'_>>) -> Result<Manifest, Error> {
        if !self.may_differ || !self.repository.store().is_remote() {
            return self.write(mine, inputs).await;
        }
        if let Decision::Named(found) = self.decided(mine, inputs.is_some()).await? {
            self.mend(&found, inputs).await?;
            return Ok(found);
        }
        let claim = Claim::announce(self.repository, self.key, mine.digest()).await;
        let claim = claim.map_err(|source| self.failed(source))?;
        let result = self.contend(&claim, mine, inputs).await;
        claim.withdraw().await;
        result
    }

    /// Waits until it is this run's turn, unless another one decides meanwhile.
    async fn contend(&self, claim: &Claim, mine: &Manifest, inputs: Option<Inputs<'_>>) -> Result<Manifest, Error> {
        let began = Instant::now();
        let mut alone = true;
        while let Some(rank) = claim.rank().await.map_err(|source| self.failed(source))? {
            alone = false;
            if !matches!(self.decided(mine, inputs.is_some()).await?, Decision::Open { .. }) {
                break;
            }
            if began.elapsed() >= self.patience.grace * (rank + 1) {
                break;
            }
            tokio::time::sleep(self.patience.pause.mul_f64(0.5 + fastrand::f64())).await;
        }
        let settled = self.write(mine, inputs).await?;
        if alone {
            return Ok(settled);
        }
        // A run that saw nobody and was held up may have written over it.
        tokio::time::sleep(self.patience.pause).await;
        match self.named().await? {
            Some(found) if found.digest() == settled.digest() => Ok(settled),
            Some(found) => Err(self.conflict(&found, settled.digest()).await),
            None => Err(self.vanished()),
        }
    }

    /// Writes inputs and identity, or adopts what is decided by then.
    async fn write(&self, mine: &Manifest, inputs: Option<Inputs<'_>>) -> Result<Manifest, Error> {
        for _ in 0..ROUNDS {
            let (image, replace) = match self.decided(mine, inputs.is_some()).await? {
                Decision::Named(found) => {
                    self.mend(&found, inputs).await?;
                    return Ok(found);
                }
                // What is begun is brought to its end, whoever began it.
                Decision::Begun(image) => (image, false),
                Decision::Open { replace } => (mine.clone(), replace),
            };
            if let Some(inputs) = inputs
                && !self.put(&inputs(image.descriptor())?, &self.inputs_tag(), replace).await?
            {
                continue;
            }
            if self.put(&image, &self.tag(), replace).await? {
                return Ok(image);
            }
            // Another image was named after this run's inputs were written: they are about that one.
            if let (Some(inputs), Some(found)) = (inputs, self.named().await?) {
                let right = inputs(found.descriptor())?;
                let put = self.repository.put_manifest(&right, Some(&self.inputs_tag())).await;
                put.or_else(|error| if error.is_conflict() { Ok(()) } else { Err(self.failed(error)) })?;
            }
        }
        let found = self.named().await?.ok_or_else(|| self.vanished())?;
        Err(self.conflict(&found, mine.digest()).await)
    }

    /// Writes the inputs of an image that is named where they are gone.
    async fn mend(&self, found: &Manifest, inputs: Option<Inputs<'_>>) -> Result<(), Error> {
        let Some(inputs) = inputs else { return Ok(()) };
        let replace = match self.look(self.inputs_tag()).await? {
            Named::Found(_) => return Ok(()),
            Named::Lost => true,
            Named::Nothing => false,
        };
        self.put(&inputs(found.descriptor())?, &self.inputs_tag(), replace).await.map(drop)
    }

    /// `false` where the name is on something else by then. The caller has looked; only a layout can look again and write
    /// in one step.
    async fn put(&self, manifest: &Manifest, name: &Tag, replace: bool) -> Result<bool, Error> {
        let put = async || {
            if replace || self.repository.store().is_remote() {
                self.repository.put_manifest(manifest, Some(name)).await
            } else {
                self.repository.put_immutable(manifest, name).await
            }
        };
        let mut result = put().await;
        if let Err(shipper_oci::Error::Incomplete { .. }) = result {
            // Everything is there: while another run pushes the same blob, Distribution's file store hides it.
            tokio::time::sleep(self.patience.pause).await;
            result = put().await;
        }
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn decided(&self, mine: &Manifest, has_inputs: bool) -> Result<Decision, Error> {
        let named = self.look(self.tag()).await?;
        // Of what a layout has lost nothing is kept.
        let mut replace = matches!(named, Named::Lost);
        if let Named::Found(found) = named {
            if found.digest() == mine.digest() {
                return Ok(Decision::Named(found));
            }
            match self.judged(&found).await? {
                Existing::Verified { .. } if !self.forced => return Ok(Decision::Named(found)),
                // What nobody vouches for gives way to an image that this run has built.
                Existing::Untrusted { .. } => replace = true,
                // What belongs to this key and can not be used is replaced.
                Existing::Incomplete { .. } if self.belongs(&found).await? => replace = true,
                _ => return Err(self.conflict(&found, mine.digest()).await),
            }
        }
        if !has_inputs {
            return Ok(Decision::Open { replace });
        }
        let begun = match self.look(self.inputs_tag()).await? {
            Named::Found(begun) => begun,
            Named::Nothing => return Ok(Decision::Open { replace }),
            Named::Lost => return Ok(Decision::Open { replace: true }),
        };
        let Some(subject) = begun.subject() else { return Ok(Decision::Open { replace: true }) };
        if subject.digest == *mine.digest() {
            return Ok(Decision::Open { replace });
        }
        let image = self.manifest(&Selector::Digest(subject.digest.clone())).await?;
        match image {
            Some(image) if matches!(self.judged(&image).await?, Existing::Verified { .. }) => {
                if self.forced {
                    return Err(self.conflict(&image, mine.digest()).await);
                }
                Ok(Decision::Begun(image))
            }
            _ => Ok(Decision::Open { replace: true }),
        }
    }

    /// What a tag names. The digest is read first: a manifest is there before its tag, so that one which is missing was
    /// lost, and is not one that another run is about to name.
    async fn look(&self, name: Tag) -> Result<Named, Error> {
        if self.repository.store().is_remote() {
            return Ok(self.manifest(&Selector::Tag(name)).await?.map_or(Named::Nothing, Named::Found));
        }
        let digest = self.repository.tagged_digest(&name).await.map_err(|source| self.failed(source))?;
        let Some(digest) = digest else { return Ok(Named::Nothing) };
        Ok(self.manifest(&Selector::Digest(digest)).await?.map_or(Named::Lost, Named::Found))
    }

    async fn judged(&self, manifest: &Manifest) -> Result<Existing, Error> {
        judge(self.repository, self.trust, manifest, self.tag().as_ref(), self.key, self.platforms).await
    }

    async fn belongs(&self, manifest: &Manifest) -> Result<bool, Error> {
        let stored = stored_key(self.repository, manifest).await.map_err(|source| self.failed(source))?;
        Ok(stored == Some(self.key.to_string()))
    }

    async fn named(&self) -> Result<Option<Manifest>, Error> {
        self.manifest(&Selector::Tag(self.tag())).await
    }

    async fn manifest(&self, selector: &Selector) -> Result<Option<Manifest>, Error> {
        self.repository.sound_manifest(selector).await.map_err(|source| self.failed(source))
    }

    fn tag(&self) -> Tag {
        tag(&self.key.identity_tag())
    }

    fn inputs_tag(&self) -> Tag {
        tag(&self.key.inputs_tag())
    }

    fn failed(&self, source: shipper_oci::Error) -> Error {
        Error::Push { service: self.service.to_owned(), target: self.repository.to_string(), source: Box::new(source) }
    }

    fn vanished(&self) -> Error {
        let what = self.repository.reference(&Selector::Tag(self.tag()));
        self.failed(shipper_oci::Error::NotFound { what })
    }

    async fn conflict(&self, existing: &Manifest, built: &Digest) -> Error {
        let same_inputs = match self.belongs(existing).await {
            Ok(same) => same,
            Err(error) => return error,
        };
        Error::Identity {
            service: self.service.to_owned(),
            tag: self.tag().to_string(),
            existing: existing.digest().to_string(),
            built: built.to_string(),
            same_inputs,
        }
    }
}

#[cfg(test)]
mod tests;
