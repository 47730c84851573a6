//! The skip rule, and what a due service is compared with.
//!
//! An image is reused only if the manifest under its identity tag was fetched in this run, its bytes hash to its
//! digest (the store checks that), it carries the whole key, every platform's child is there, and a trusted key has signed it
//! where the configuration names such keys. One GET an image,
//! one HEAD a child, and the config only where a label alone carries the key. No layer is pulled.

use shipper_hash::BuildKey;
use shipper_oci::{Manifest, ManifestKind, Repository, Selector};
use shipper_plan::{Existing, Previous};

use crate::Error;
use crate::git::Head;
use crate::inputs;
use crate::names::{KEY, branch_tag, tag};
use crate::trust::Trust;

/// What is stored under the identity of `key`, for an image of `platforms`.
///
/// # Errors
/// [`Error::Store`] where it could not be told: that is never "absent".
pub(crate) async fn existing(
    repository: &Repository,
    trust: &Trust,
    key: &BuildKey,
    platforms: &[String],
) -> Result<Existing, Error> {
    let tag = tag(&key.identity_tag());
    let selector = Selector::Tag(tag);
    let failed = |source| Error::Store { action: format!("look up {}", repository.reference(&selector)), source };
    if let Some(manifest) = repository.sound_manifest(&selector).await.map_err(failed)? {
        return judge(repository, trust, &manifest, &selector.to_string(), key, platforms).await;
    }
    if repository.store().is_remote() {
        return Ok(Existing::Absent);
    }
    // A layout can lose what it names; it is built again, and the reason says so.
    Ok(match repository.manifest(&selector).await {
        Err(damage) if damage.is_corrupt() => Existing::Incomplete { what: damage.to_string() },
        Err(error) => return Err(failed(error)),
        Ok(_) => Existing::Absent,
    })
}

/// Whether a manifest that was read in this run is the image of `key` for `platforms`; `name` is for texts.
///
/// # Errors
/// [`Error::Store`] where it could not be told.
pub(crate) async fn judge(
    repository: &Repository,
    trust: &Trust,
    manifest: &Manifest,
    name: &str,
    key: &BuildKey,
    platforms: &[String],
) -> Result<Existing, Error> {
    let selector = name;
    let failed = |source| Error::Store { action: format!("look up {selector} in {repository}"), source };
    let incomplete = |what: String| Ok(Existing::Incomplete { what });
    match stored_key(repository, manifest).await.map_err(failed)? {
        Some(stored) if stored == key.to_string() => {}
        Some(_) => return incomplete(format!("{selector} carries another key")),
        None => return incomplete(format!("{selector} carries no key")),
    }
    match manifest.kind() {
        ManifestKind::Image(_) if platforms.len() == 1 => {
            if let Some(missing) = missing_blob(repository, manifest).await.map_err(failed)? {
                return incomplete(missing);
            }
        }
        ManifestKind::Image(_) => return incomplete(format!("{selector} is one image, not {}", platforms.len())),
        ManifestKind::Index(index) => {
            for platform in platforms {
                let child = index
                    .manifests
                    .iter()
                    .find(|child| child.platform.as_ref().is_some_and(|have| have.to_string() == *platform));
                let Some(child) = child else { return incomplete(format!("{selector} has no image for {platform}")) };
                let gone = format!("the image for {platform}");
                if repository.store().is_remote() {
                    if !repository.has_manifest(&child.digest).await.map_err(failed)? {
                        return incomplete(gone);
                    }
                    continue;
                }
                let digest = Selector::Digest(child.digest.clone());
                let Some(child) = repository.sound_manifest(&digest).await.map_err(failed)? else {
                    return incomplete(gone);
                };
                if let Some(missing) = missing_blob(repository, &child).await.map_err(failed)? {
                    return incomplete(missing);
                }
            }
        }
    }
    if let Some(why) = trust.objection(repository, manifest).await.map_err(failed)? {
        return Ok(Existing::Untrusted { why });
    }
    Ok(Existing::Verified { reference: repository.reference(&Selector::Digest(manifest.digest().clone())) })
}

/// The first blob of an image in a layout that is not there. A registry refuses manifests whose blobs are missing
/// (OCI distribution-spec, "Pushing Manifests"); a directory can be damaged by anybody, and looking costs no request.
async fn missing_blob(repository: &Repository, manifest: &Manifest) -> shipper_oci::Result<Option<String>> {
    let Some(image) = manifest.as_image().filter(|_| !repository.store().is_remote()) else { return Ok(None) };
    for blob in image.blobs() {
        if !repository.has_blob(&blob.digest).await? {
            return Ok(Some(format!("blob {}", blob.digest)));
        }
    }
    Ok(None)
}

/// The whole key that a manifest carries: as annotation, else as label of its config.
pub(crate) async fn stored_key(repository: &Repository, manifest: &Manifest) -> shipper_oci::Result<Option<String>> {
    if let Some(key) = manifest.annotations().get(KEY) {
        return Ok(Some(key.clone()));
    }
    let Some(image) = manifest.as_image() else { return Ok(None) };
    let config = repository.blob(&image.config).await?;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap_or_default();
    Ok(config["config"]["Labels"][KEY].as_str().map(str::to_owned))
}

/// The inputs of the image that was last shipped from this branch, else from the default branch.
///
/// Only explains; a failure to read it is no failure of the plan.
pub(crate) async fn previous(repository: &Repository, head: &Head) -> Option<Previous> {
    let default = head.default_branch.as_deref();
    let branches = [head.branch.as_deref(), default, Some("main"), Some("master"), None];
    let mut tried: Vec<String> = Vec::new();
    for branch in branches {
        let name = branch_tag(branch);
        if tried.contains(&name) {
            continue;
        }
        if let Some(previous) = at_tag(repository, &name).await {
            return Some(previous);
        }
        tried.push(name);
    }
    None
}

async fn at_tag(repository: &Repository, name: &str) -> Option<Previous> {
    let manifest = repository.manifest(&Selector::Tag(tag(name))).await.ok()??;
    // Nothing can be compared with an image whose inputs are gone; the next hint may have them.
    inputs_of(repository, &manifest).await.ok()?.ok()
}

/// The inputs that lie beside an image, or why there are none.
///
/// # Errors
/// As [`Repository::manifest`].
pub(crate) async fn inputs_of(
    repository: &Repository,
    image: &Manifest,
) -> shipper_oci::Result<Result<Previous, &'static str>> {
    let Some(key) = stored_key(repository, image).await? else { return Ok(Err("it carries no key")) };
    let Ok(identity) = key.parse::<BuildKey>() else { return Ok(Err("its key is none")) };
    let artifact = repository.manifest(&Selector::Tag(tag(&identity.inputs_tag()))).await?;
    let Some(artifact) = artifact else { return Ok(Err("its inputs are not there any more")) };
    let platforms = inputs::read(repository, &artifact).await;
    if platforms.is_empty() {
        return Ok(Err("its inputs can not be read"));
    }
    Ok(Ok(Previous { key, platforms }))
}
