//! Proof that an image can be pulled: its manifest was read and is what its digest says, and everything below it is there.

use shipper_oci::{Digest, ManifestKind, Repository, Selector, media_type};
use tokio::task::JoinSet;

use crate::Error;

/// Reads the manifest of an image and those of its parts, and asks for each blob. Returns how many blobs there are.
///
/// # Errors
/// [`Error::Gone`] with the first part that is proven absent; [`Error::Store`] where it could not be told.
pub async fn prove(repository: &Repository, digest: &Digest) -> Result<usize, Error> {
    let selector = Selector::Digest(digest.clone());
    let image = repository.reference(&selector);
    let failed = |source| Error::Store { action: format!("look at {image}"), source };
    let gone = |what: String| Error::Gone { image: image.clone(), what };
    let manifest = repository.manifest(&selector).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| gone("its manifest".to_owned()))?;
    let (mut blobs, mut parts) = (Vec::new(), Vec::new());
    match manifest.kind() {
        ManifestKind::Image(image) => blobs.extend(image.blobs().into_iter().map(|blob| blob.digest.clone())),
        ManifestKind::Index(index) => {
            for child in &index.manifests {
                let to = if media_type::is_manifest(&child.media_type) { &mut parts } else { &mut blobs };
                to.push(child.digest.clone());
            }
        }
    }
    let mut count = blobs.len();
    let mut looks = JoinSet::new();
    for blob in blobs {
        let repository = repository.clone();
        looks.spawn(async move { repository.has_blob(&blob).await.map(|is_there| (blob, is_there)) });
    }
    while let Some(looked) = looks.join_next().await {
        let (blob, is_there) = looked.expect("because a look does not panic and is not cancelled").map_err(failed)?;
        if !is_there {
            return Err(gone(format!("blob {blob}")));
        }
    }
    for part in parts {
        count += Box::pin(prove(repository, &part)).await.map_err(|error| match error {
            Error::Gone { what, .. } => gone(format!("{what} (of {part})")),
            other => other,
        })?;
    }
    Ok(count)
}
