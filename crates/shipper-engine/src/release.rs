//! `release-notes`: what a release says of the images that are there, read from their registry.

pub(crate) mod github;

use std::path::Path;

use shipper_oci::{ManifestKind, Repository, Selector, Tag};
use shipper_report::{Action, ImageChange, PlannedService, ReleaseNotes, ReleasedImage, ReleasedPlatform, with_notes};

use crate::Error;
use crate::ship::Planned;

/// What a release says of its images: those of a plan in which nothing is due, compared with the tag of another release.
///
/// # Errors
/// [`Error::NotReleased`] where an image or one of its names is not there; [`Error::Store`], also for what is no tag, and
/// [`Error::NoImage`].
pub async fn release_notes(planned: &Planned, since: Option<&str>) -> Result<ReleaseNotes, Error> {
    let due = planned.services.iter().filter(|service| service.action != Action::Reuse);
    let due: Vec<String> = due.map(|service| service.service.clone()).collect();
    if !due.is_empty() {
        return Err(Error::NotReleased { services: due });
    }
    let tag = since.map(parsed).transpose()?;
    let mut notes = ReleaseNotes { since: since.map(str::to_owned), images: Vec::new() };
    for service in &planned.services {
        notes.images.push(image(service, planned.repository(&service.service), tag.as_ref()).await?);
    }
    notes.images.sort_by(|a, b| a.service.cmp(&b.service));
    Ok(notes)
}

fn parsed(text: &str) -> Result<Tag, Error> {
    let parsed = text.parse::<Tag>().map_err(shipper_oci::Error::from);
    parsed.map_err(|source| Error::Store { action: format!("use the tag `{text}`"), source })
}

async fn image(service: &PlannedService, repository: &Repository, since: Option<&Tag>) -> Result<ReleasedImage, Error> {
    let reference = service.image.clone().unwrap_or_default();
    let digest = reference.rsplit_once('@').map_or("", |(_, digest)| digest);
    let failed = |source| Error::Store { action: format!("read {reference}"), source };
    let selector = Selector::Digest(digest.parse().map_err(failed)?);
    // An image of one platform does not tell it in its manifest.
    let only = service.platforms.first().map(|one| one.platform.clone()).unwrap_or_default();
    let platforms = platforms(repository, &selector, &only).await?;
    let platforms = platforms.ok_or_else(|| Error::NoImage { reference: reference.clone() })?;
    let change = match since {
        None => None,
        Some(tag) => {
            let before = repository.tagged_digest(tag).await.map_err(failed)?;
            Some(match before {
                None => ImageChange::New,
                Some(before) if before.to_string() == digest => ImageChange::Unchanged,
                Some(before) => {
                    let before = self::platforms(repository, &Selector::Digest(before), &only).await?;
                    let sizes = before.unwrap_or_default().into_iter().map(|platform| platform.size);
                    ImageChange::Changed { before: sizes.sum() }
                }
            })
        }
    };
    Ok(ReleasedImage { service: service.service.clone(), tags: service.names.clone(), platforms, change, reference })
}

/// What an image is for each platform; `None` where it is not there.
async fn platforms(
    repository: &Repository,
    selector: &Selector,
    only: &str,
) -> Result<Option<Vec<ReleasedPlatform>>, Error> {
    let failed = |source| Error::Store { action: format!("read {}", repository.reference(selector)), source };
    let Some(manifest) = repository.manifest(selector).await.map_err(failed)? else { return Ok(None) };
    let index = match manifest.kind() {
        ManifestKind::Image(image) => {
            let size = image.config.size + image.layers.iter().map(|layer| layer.size).sum::<u64>();
            let digest = manifest.digest().to_string();
            return Ok(Some(vec![ReleasedPlatform { platform: only.to_owned(), digest, size }]));
        }
        ManifestKind::Index(index) => index,
    };
    let mut found = Vec::new();
    for child in index.images() {
        let selector = Selector::Digest(child.digest.clone());
        let reference = || repository.reference(&selector);
        let manifest = repository.manifest(&selector).await.map_err(failed)?;
        let manifest = manifest.ok_or_else(|| Error::NoImage { reference: reference() })?;
        let ManifestKind::Image(image) = manifest.kind() else { continue };
        found.push(ReleasedPlatform {
            platform: child.platform.as_ref().map_or_else(|| only.to_owned(), ToString::to_string),
            digest: child.digest.to_string(),
            size: image.config.size + image.layers.iter().map(|layer| layer.size).sum::<u64>(),
        });
    }
    Ok(Some(found))
}

/// Puts a block into a file, which is made where there is none; gives whether it changed.
///
/// # Errors
/// [`Error::Notes`] where the file's marks are not one pair; [`Error::Read`], [`Error::Write`].
pub fn write_notes(path: &Path, block: &str) -> Result<bool, Error> {
    let body = match crate::read::small_text(path) {
        Ok(body) => body,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let place = path.display().to_string();
    let text = with_notes(&body, block).map_err(|source| Error::Notes { place, source })?;
    if text != body {
        crate::write_file(path, text.as_bytes())?;
    }
    Ok(text != body)
}
