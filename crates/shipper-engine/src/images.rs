//! Images by name, outside any project: `copy`, `push`, `inspect`.

use shipper_oci::{Manifest, ManifestKind, Reference, Repository, Selector, Store, Tag};

use crate::project::client_options;
use crate::{Error, Options};

/// A place that an image is at or goes to.
struct Place {
    repository: Repository,
    selector: Selector,
}

/// Reads `oci:DIR[:TAG]` or a registry reference; a missing tag is `latest`.
fn place(options: &Options, text: &str) -> Result<Place, Error> {
    let failed = |source| Error::Store { action: format!("use `{text}`"), source };
    let latest = || -> Tag { "latest".parse().expect("a tag") };
    if let Some(layout) = text.strip_prefix("oci:") {
        let (directory, tag) = match layout.rsplit_once(':') {
            Some((directory, tag)) if !tag.contains(['/', '\\']) && !directory.is_empty() => {
                (directory, Tag::try_from(tag).map_err(|source| failed(source.into()))?)
            }
            _ => (layout, latest()),
        };
        let repository = Repository::layout(options.directory.join(directory));
        return Ok(Place { repository, selector: Selector::Tag(tag) });
    }
    let reference = Reference::parse_docker(text).map_err(failed)?;
    let store = Store::registry(&reference.registry, None, client_options(&options.environment)).map_err(failed)?;
    let selector = reference.selector().unwrap_or_else(|| Selector::Tag(latest()));
    Ok(Place { repository: store.repository(&reference.repository), selector })
}

/// What [`copy`] did.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Where the image is now.
    pub reference: String,
    /// Digest of its manifest or index: the same as at the source.
    pub digest: String,
    /// Bytes written.
    pub bytes: u64,
    /// Blobs written.
    pub blobs: usize,
    /// Blobs that were there already.
    pub present: usize,
}

/// Copies an image or index with everything it refers to. The destination has the same digest afterwards.
///
/// # Errors
/// [`Error::Store`].
pub async fn copy(options: &Options, source: &str, destination: &str) -> Result<Copied, Error> {
    let (from, to) = (place(options, source)?, place(options, destination)?);
    let Selector::Tag(tag) = &to.selector else {
        return Err(Error::Destination { destination: destination.to_owned() });
    };
    let report =
        shipper_oci::copy(&from.repository, &from.selector, &to.repository, std::slice::from_ref(tag)).await.map_err(
            |source_error| Error::Store { action: format!("copy {source} to {destination}"), source: source_error },
        )?;
    Ok(Copied {
        reference: to.repository.reference(&to.selector),
        digest: report.digest.to_string(),
        bytes: report.bytes,
        blobs: report.uploaded + report.mounted,
        present: report.existed,
    })
}

/// A child, layer or config of an inspected image.
#[derive(Debug, Clone)]
pub struct Part {
    /// `config`, `layer` or `image`.
    pub kind: &'static str,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes, compressed.
    pub size: u64,
    /// Its platform or media type.
    pub about: String,
}

/// What [`inspect`] found.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// As it was asked for, in full.
    pub reference: String,
    /// Digest of the manifest.
    pub digest: String,
    /// Its media type.
    pub media_type: String,
    /// Name and value of what the config and the annotations say, in a fixed order.
    pub properties: Vec<(String, String)>,
    /// Its parts in their order.
    pub parts: Vec<Part>,
    /// Manifest and config as one JSON document.
    pub document: serde_json::Value,
    /// The manifest's bytes.
    pub raw: Vec<u8>,
}

/// Reads an image's manifest and config, verified.
///
/// # Errors
/// [`Error::Store`], and [`Error::NoImage`] where the reference names nothing.
pub async fn inspect(options: &Options, text: &str) -> Result<Inspected, Error> {
    let place = place(options, text)?;
    let failed = |source| Error::Store { action: format!("read {text}"), source };
    let manifest = place.repository.manifest(&place.selector).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| Error::NoImage { reference: text.to_owned() })?;
    let mut properties: Vec<(String, String)> = Vec::new();
    let mut parts = Vec::new();
    let mut config = serde_json::Value::Null;
    match manifest.kind() {
        ManifestKind::Index(index) => parts.extend(index.manifests.iter().map(|child| Part {
            kind: "image",
            digest: child.digest.to_string(),
            size: child.size,
            about: child.platform.as_ref().map_or_else(|| child.media_type.clone(), ToString::to_string),
        })),
        ManifestKind::Image(image) => {
            let part = |kind, of: &shipper_oci::Descriptor| Part {
                kind,
                digest: of.digest.to_string(),
                size: of.size,
                about: of.media_type.clone(),
            };
            parts.push(part("config", &image.config));
            parts.extend(image.layers.iter().map(|layer| part("layer", layer)));
            let bytes = place.repository.blob(&image.config).await.map_err(failed)?;
            config = serde_json::from_slice(&bytes).unwrap_or_default();
            properties = config_properties(&config);
        }
    }
    properties.extend(manifest.annotations().iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(Inspected {
        reference: place.repository.reference(&place.selector),
        digest: manifest.digest().to_string(),
        media_type: manifest.media_type().to_owned(),
        document: document(&manifest, &config),
        properties,
        parts,
        raw: manifest.bytes().to_vec(),
    })
}

/// What a person wants to know of an image config (OCI image-spec, "OCI Image Configuration").
fn config_properties(config: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let platform = format!("{}/{}", text(&config["os"]), text(&config["architecture"]));
    let mut properties = vec![("platform".to_owned(), platform), ("created".to_owned(), text(&config["created"]))];
    for name in ["User", "Entrypoint", "Cmd", "WorkingDir", "Env", "ExposedPorts"] {
        let value = &config["config"][name];
        if !value.is_null() {
            properties.push((name.to_lowercase(), text(value)));
        }
    }
    properties
}

fn document(manifest: &Manifest, config: &serde_json::Value) -> serde_json::Value {
    let parsed: serde_json::Value = serde_json::from_slice(manifest.bytes()).unwrap_or_default();
    serde_json::json!({
        "format": shipper_report::FORMAT,
        "digest": manifest.digest().to_string(),
        "media-type": manifest.media_type(),
        "manifest": parsed,
        "config": config,
    })
}
