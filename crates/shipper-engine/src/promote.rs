//! `promote`: a copy that is compared with its source afterwards, to a name that does not move by accident.
//!
//! Invariants: a name that is on another image stays there without `force`, also where another run writes it meanwhile;
//! success means that after the copy the manifests of both sides were read and are the same bytes, and that the destination
//! said of every blob that it is there.

use shipper_oci::{Manifest, ManifestKind, Repository, Selector};

use crate::beside::{self, Beside};
use crate::images::{copy_failed, place, source};
use crate::{Error, Options};

/// What [`promote`] did.
#[derive(Debug, Clone)]
pub struct Promoted {
    /// Where the image is now.
    pub reference: String,
    /// Its digest on both sides.
    pub digest: String,
    /// Digest that the name was on before, where it moved.
    pub moved_from: Option<String>,
    /// Bytes written.
    pub bytes: u64,
    /// Blobs written or mounted.
    pub blobs: usize,
    /// Blobs that were compared.
    pub compared: usize,
    /// What lies beside it, and was brought too.
    pub beside: Beside,
}

/// Copies an image with everything that it refers to and with what lies beside it, names it, and compares both sides.
///
/// # Errors
/// [`Error::NoImage`] where the source is proven not to be there; [`Error::Promoted`] where the destination names something
/// else and `force` is not set; [`Error::Unequal`] where the sides differ afterwards; [`Error::Copy`], [`Error::Place`],
/// [`Error::Destination`].
pub async fn promote(options: &Options, from: &str, destination: &str, force: bool) -> Result<Promoted, Error> {
    let failed = |error: shipper_oci::Error| copy_failed(from, destination, error);
    if destination.starts_with(crate::images::DAEMON) {
        let problem = "an engine keeps no digests, so there is nothing to compare";
        return Err(Error::Place { place: destination.to_owned(), problem });
    }
    let to = place(options, destination).await?;
    let Selector::Tag(name) = &to.selector else {
        return Err(Error::Destination { destination: destination.to_owned() });
    };
    let origin = source(options, from).await?;
    let root = origin.repository.manifest(&origin.selector).await.map_err(failed)?;
    let root = root.ok_or_else(|| Error::NoImage { reference: from.to_owned() })?;
    let refused = |existing: &shipper_oci::Digest| Error::Promoted {
        from: from.to_owned(),
        to: destination.to_owned(),
        existing: existing.to_string(),
        wanted: root.digest().to_string(),
    };
    // Before anything is sent: the tag says no at the cost of one request.
    let existing = to.repository.tagged_digest(name).await.map_err(failed)?;
    let other = existing.filter(|existing| existing != root.digest());
    if let Some(other) = other.as_ref().filter(|_| !force) {
        return Err(refused(other));
    }
    let by_digest = Selector::Digest(root.digest().clone());
    let copied = beside::copy(&origin.repository, &by_digest, &to.repository, &[]).await;
    let (report, beside) = copied.map_err(failed)?;
    let named = if force {
        to.repository.put_manifest(&root, Some(name)).await
    } else {
        to.repository.put_immutable(&root, name).await
    };
    match named {
        Err(shipper_oci::Error::Conflict { existing, .. }) => return Err(refused(&existing)),
        result => result.map_err(failed)?,
    }
    let sides = Sides { from: &origin.repository, to: &to.repository };
    let compared = sides.compare(&origin.selector, &to.selector).await.map_err(|difference| match difference {
        Difference::Found(difference) => {
            Error::Unequal { from: from.to_owned(), to: destination.to_owned(), difference }
        }
        Difference::Unread(error) => failed(error),
    })?;
    Ok(Promoted {
        reference: to.repository.reference(&to.selector),
        digest: root.digest().to_string(),
        moved_from: other.map(|other| other.to_string()),
        bytes: report.bytes,
        blobs: report.uploaded + report.mounted,
        compared,
        beside,
    })
}

/// Two repositories that should hold the same image.
struct Sides<'a> {
    from: &'a Repository,
    to: &'a Repository,
}

enum Difference {
    Found(String),
    Unread(shipper_oci::Error),
}

impl Sides<'_> {
    /// Reads what both sides name, and everything below: manifests byte for byte, blobs by the digest under which the
    /// destination has them. Returns the number of blobs.
    async fn compare(&self, from: &Selector, to: &Selector) -> Result<usize, Difference> {
        let (ours, theirs) = (read(self.from, from).await?, read(self.to, to).await?);
        if ours.bytes() != theirs.bytes() {
            let (a, b) = (self.from.reference(from), self.to.reference(to));
            return Err(Difference::Found(format!("{a} is {}, and {b} is {}", ours.digest(), theirs.digest())));
        }
        match theirs.kind() {
            ManifestKind::Image(image) => {
                for blob in image.blobs() {
                    self.blob(&blob.digest).await?;
                }
                Ok(image.blobs().len())
            }
            ManifestKind::Index(index) => {
                let mut blobs = 0;
                for child in &index.manifests {
                    if shipper_oci::media_type::is_manifest(&child.media_type) {
                        let selector = Selector::Digest(child.digest.clone());
                        blobs += Box::pin(self.compare(&selector, &selector)).await?;
                    } else {
                        self.blob(&child.digest).await?;
                        blobs += 1;
                    }
                }
                Ok(blobs)
            }
        }
    }

    async fn blob(&self, digest: &shipper_oci::Digest) -> Result<(), Difference> {
        match self.to.has_blob(digest).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Difference::Found(format!("{} has no blob {digest}", self.to))),
            Err(error) => Err(Difference::Unread(error)),
        }
    }
}

async fn read(repository: &Repository, selector: &Selector) -> Result<Manifest, Difference> {
    match repository.manifest(selector).await {
        Ok(Some(manifest)) => Ok(manifest),
        Ok(None) => Err(Difference::Found(format!("{} does not exist", repository.reference(selector)))),
        Err(error) => Err(Difference::Unread(error)),
    }
}
