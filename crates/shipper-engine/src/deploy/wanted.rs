//! The image of a service as a target needs it: for one platform, where it is of several.

use shipper_deploy::Image;
use shipper_oci::{ManifestKind, Platform, Repository, Selector};

use super::Places;
use super::execute::digest;
use crate::Error;

/// An image, and where it is.
pub(super) struct Wanted<'a> {
    pub(super) image: &'a Image,
    repository: Option<&'a Repository>,
}

/// What an image has for a platform.
pub(super) enum Found {
    /// This part, or the image itself.
    Part(String),
    /// None, but one for each of these.
    Others(Vec<String>),
    /// The image is not there yet: in a dry run.
    Absent,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(service: &str, image: &'a Image, places: &'a Places) -> Self {
        Self { image, repository: places.get(service) }
    }

    /// Digests of the images in it: its own, or those of its parts. Empty where it is not there.
    ///
    /// # Errors
    /// [`Error::Store`] where it could not be told.
    pub(super) async fn parts(&self) -> Result<Vec<String>, Error> {
        let failed = |source| Error::Store { action: format!("read {}", self.image.reference), source };
        let Some(repository) = self.repository else { return Ok(Vec::new()) };
        let manifest = repository.manifest(&Selector::Digest(digest(&self.image.digest)?)).await.map_err(failed)?;
        Ok(match manifest.as_ref().map(shipper_oci::Manifest::kind) {
            None => Vec::new(),
            Some(ManifestKind::Image(_)) => vec![self.image.digest.clone()],
            Some(ManifestKind::Index(index)) => index.images().map(|part| part.digest.to_string()).collect(),
        })
    }

    /// `host/repository@sha256:..` of what the image has for a platform, such as `linux/arm64`.
    ///
    /// # Errors
    /// [`Error::Store`] where it could not be told.
    pub(super) async fn for_platform(&self, platform: &str) -> Result<Found, Error> {
        let reference = &self.image.reference;
        let failed = |source| Error::Store { action: format!("look for {platform} in {reference}"), source };
        let Some(repository) = self.repository else { return Ok(Found::Absent) };
        let wanted: Platform = platform.parse().map_err(failed)?;
        let manifest = repository.manifest(&Selector::Digest(digest(&self.image.digest)?)).await.map_err(failed)?;
        let Some(manifest) = manifest else { return Ok(Found::Absent) };
        match manifest.kind() {
            ManifestKind::Index(index) => Ok(match index.image_for(&wanted) {
                Some(part) => {
                    let name = reference.split_once('@').map_or(reference.as_str(), |(name, _)| name);
                    Found::Part(format!("{name}@{}", part.digest))
                }
                None => Found::Others(index.platforms().map(ToString::to_string).collect()),
            }),
            ManifestKind::Image(image) => {
                let bytes = repository.blob(&image.config).await.map_err(failed)?;
                let config: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let text = |name: &str| config[name].as_str().unwrap_or("unknown").to_owned();
                let variant = config["variant"].as_str().map_or_else(String::new, |variant| format!("/{variant}"));
                let own = format!("{}/{}{variant}", text("os"), text("architecture"));
                let is_it = own.parse::<Platform>().is_ok_and(|own| own.matches(&wanted));
                Ok(if is_it { Found::Part(reference.clone()) } else { Found::Others(vec![own]) })
            }
        }
    }
}
