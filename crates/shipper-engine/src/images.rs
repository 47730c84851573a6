//! Images by name, outside any project: `copy`, `push`, `inspect`.

use std::collections::BTreeMap;
use std::path::Path;

use shipper_oci::{Archive, Descriptor, Engine, Extent, Manifest, ManifestKind, RegistryHost, Repository, Selector};

use crate::amazon::Logins;
use crate::bases::located;
use crate::beside::{self, Beside};
use crate::project::profiles;
use crate::{Error, Options, attach};

/// Destinations that are a container engine on this machine.
pub(crate) const DAEMON: &str = "docker-daemon:";

/// A place that an image is at or goes to.
pub(crate) struct Place {
    pub(crate) repository: Repository,
    pub(crate) selector: Selector,
    /// What the repository is a view of: it must live as long as that is used.
    pub(crate) archive: Option<Archive>,
}

fn failed(text: &str) -> impl Fn(shipper_oci::Error) -> Error + '_ {
    move |source| Error::Store { action: format!("use `{}`", shipper_oci::without_user(text)), source }
}

/// Reads `oci:DIR[:TAG|@DIGEST]`, an archive, or a registry reference; a missing tag is `latest`, of an archive its only
/// image, and so of a layout without `latest`.
///
/// # Errors
/// [`Error::NoImage`] for a name that an archive does not have, [`Error::Place`], [`Error::Store`].
pub(crate) async fn source(options: &Options, text: &str) -> Result<Place, Error> {
    if text.starts_with(DAEMON) {
        return Err(Error::Place { place: text.to_owned(), problem: "an engine is a destination only" });
    }
    let missing = |source: shipper_oci::Error| match source {
        source if source.is_not_found() => Error::NoImage { reference: text.to_owned() },
        source => failed(text)(source),
    };
    let (path, of_docker) = match (text.strip_prefix("docker-archive:"), text.strip_prefix("oci-archive:")) {
        (Some(path), _) => (path, true),
        (None, Some(path)) => (path, false),
        (None, None) => {
            let Named { repository, selector } = named(options, text).await?;
            let selector = match selector {
                Some(selector) => selector,
                None => repository.unnamed_image().await.map_err(missing)?,
            };
            return Ok(Place { repository, selector, archive: None });
        }
    };
    let (path, name) = path.split_once(':').map_or((path, None), |(path, name)| (path, Some(name)));
    let path = options.directory.join(path);
    let archive = if of_docker { Archive::docker(&path).await } else { Archive::oci(&path).await };
    let archive = archive.map_err(failed(text))?;
    let selector = archive.find(name).map_err(missing)?;
    Ok(Place { repository: archive.repository().clone(), selector, archive: Some(archive) })
}

/// As [`source`], for what has to stay where it is: no archive.
pub(crate) async fn stored(options: &Options, text: &str) -> Result<Place, Error> {
    let place = source(options, text).await?;
    match place.archive {
        None => Ok(place),
        Some(_) => Err(Error::Place { place: text.to_owned(), problem: "an archive can only be copied" }),
    }
}

/// Places of other tools (containers-transports(5)) that nothing is read from or written to here, and what to do.
const FOREIGN: [(&str, &str); 4] = [
    ("docker://", "a registry is named without `docker://`"),
    ("dir:", "`dir:` is not read; `skopeo copy` makes an `oci:` layout of it"),
    ("containers-storage:", "`containers-storage:` is not read; `skopeo copy` makes an `oci:` layout of it"),
    ("tarball:", "`tarball:` is not read; `skopeo copy` makes an `oci:` layout of it"),
];

/// Reads a destination, `oci:DIR[:TAG|@DIGEST]` or a registry reference; a missing tag is `latest`.
pub(crate) async fn place(options: &Options, text: &str) -> Result<Place, Error> {
    let Named { repository, selector } = named(options, text).await?;
    Ok(Place { repository, selector: selector.unwrap_or_else(Selector::latest), archive: None })
}

/// A repository, and what a text names in it.
struct Named {
    repository: Repository,
    selector: Option<Selector>,
}

async fn named(options: &Options, text: &str) -> Result<Named, Error> {
    let failed = failed(text);
    if text.starts_with("docker-archive:") || text.starts_with("oci-archive:") {
        return Err(Error::Place { place: text.to_owned(), problem: "an archive is a source only" });
    }
    if let Some((_, problem)) = FOREIGN.iter().find(|(transport, _)| text.starts_with(transport)) {
        return Err(Error::Place { place: text.to_owned(), problem });
    }
    if let Some(layout) = text.strip_prefix("oci:") {
        let (directory, selector) = in_layout(layout).map_err(&failed)?;
        let repository = Repository::layout(options.directory.join(directory));
        return Ok(Named { repository, selector });
    }
    // Docker takes the port for a tag, and asks its own registry for an image of that name.
    let host = text.split('@').next().unwrap_or_default().parse::<RegistryHost>();
    if !text.contains('/') && host.is_ok_and(|host| host.is_loopback()) {
        let problem = "it names a registry on this machine, and no repository there";
        return Err(Error::Place { place: text.to_owned(), problem });
    }
    // Which profile a registry of ECR is logged in to with is in the configuration; nothing else here depends on that.
    let profiles = if is_ecr(text) { profiles(options)? } else { BTreeMap::new() };
    let logins = Logins::new(&options.environment, profiles);
    let moved = logins.moved(text).await?;
    let (repository, selector) =
        located(&options.environment, &logins, moved.as_deref().unwrap_or(text)).map_err(&failed)?;
    Ok(Named { repository, selector: Some(selector) })
}

/// Whether a reference begins like the host of a registry of ECR.
fn is_ecr(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    host.contains(".dkr.ecr") || host.contains(".dkr-ecr")
}

/// `DIR`, `DIR:TAG` or `DIR@sha256:HEX`. A directory may have a colon or an `@` in its name, but in its last part only where
/// a tag or a digest follows.
fn in_layout(text: &str) -> Result<(&str, Option<Selector>), shipper_oci::Error> {
    if let Some((directory, digest)) = text.rsplit_once('@')
        && digest.contains(':')
        && !digest.contains(['/', '\\'])
        && !directory.is_empty()
    {
        return Ok((directory, Some(Selector::Digest(digest.parse()?))));
    }
    match text.rsplit_once(':') {
        Some((directory, tag)) if !tag.contains(['/', '\\']) && !directory.is_empty() => {
            Ok((directory, Some(Selector::Tag(tag.parse()?))))
        }
        _ => Ok((text, None)),
    }
}

/// Whether a text is the reference of an image, where it could be the name of something in the configuration or a tag.
pub(crate) fn is_reference(text: &str) -> bool {
    text.contains([':', '/'])
}

/// The container engine that the environment leads to.
pub(crate) fn engine(environment: &BTreeMap<String, String>) -> Result<Engine, shipper_oci::Error> {
    let runtime = environment.get("XDG_RUNTIME_DIR").map(Path::new);
    Engine::new(environment.get("DOCKER_HOST").map(String::as_str), runtime)
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
    /// What lies beside it, and was brought too; an engine takes none.
    pub beside: Option<Beside>,
    /// How much of it an engine has; of other destinations always all.
    pub extent: Extent,
}

/// Copies an image or index with everything it refers to, and with what lies beside it: what refers to it, and its inputs.
/// The destination has the same digest afterwards; a container engine (`docker-daemon:NAME`) has the same layers, and of an index
/// what [`Copied::extent`] says.
///
/// # Errors
/// [`Error::NoImage`] where the source is proven not to be there, [`Error::Copy`], [`Error::Store`].
pub async fn copy(options: &Options, from: &str, destination: &str) -> Result<Copied, Error> {
    let copying = |source| copy_failed(from, destination, source);
    if let Some(name) = destination.strip_prefix(DAEMON) {
        let from = source(options, from).await?;
        let engine = engine(&options.environment).map_err(copying)?;
        let loaded = engine.load(&from.repository, &from.selector, name).await.map_err(copying)?;
        let blobs = usize::from(loaded.bytes > 0);
        return Ok(Copied {
            reference: loaded.name,
            digest: loaded.digest.to_string(),
            bytes: loaded.bytes,
            blobs,
            present: 1 - blobs,
            beside: None,
            extent: loaded.extent,
        });
    }
    let to = place(options, destination).await?;
    let from = source(options, from).await?;
    let Selector::Tag(tag) = &to.selector else {
        return Err(Error::Destination { destination: destination.to_owned() });
    };
    let tags = std::slice::from_ref(tag);
    let copied = beside::copy(&from.repository, &from.selector, &to.repository, tags).await;
    let (report, beside) = copied.map_err(copying)?;
    Ok(Copied {
        reference: to.repository.reference(&to.selector),
        digest: report.digest.to_string(),
        bytes: report.bytes,
        blobs: report.uploaded + report.mounted,
        present: report.existed,
        beside: Some(beside),
        extent: Extent::Whole,
    })
}

/// Why a copy failed, by whether it may ever succeed.
pub(crate) fn copy_failed(from: &str, to: &str, source: shipper_oci::Error) -> Error {
    Error::Copy { from: from.to_owned(), to: to.to_owned(), source: Box::new(source) }
}

/// A child, layer or config of an inspected image.
#[derive(Debug, Clone)]
pub struct Part {
    /// `config`, `layer` or `image`; of what is stated about images `statement` and, for a manifest of them, `statements`.
    pub kind: &'static str,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes, compressed.
    pub size: u64,
    /// Its platform or media type; of statements what they state, and of which image.
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
    let place = source(options, text).await?;
    let failed = |source| Error::Store { action: format!("read {text}"), source };
    let manifest = place.repository.manifest(&place.selector).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| Error::NoImage { reference: text.to_owned() })?;
    let mut properties: Vec<(String, String)> = Vec::new();
    let mut parts = Vec::new();
    let mut config = serde_json::Value::Null;
    match manifest.kind() {
        ManifestKind::Index(index) => {
            for child in &index.manifests {
                let (kind, about) = match attach::about(child) {
                    Some(image) => ("statements", format!("{} of {image}", stated(&place.repository, child).await?)),
                    None => {
                        let platform = child.platform.as_ref();
                        ("image", platform.map_or_else(|| child.media_type.clone(), ToString::to_string))
                    }
                };
                parts.push(Part { kind, digest: child.digest.to_string(), size: child.size, about });
            }
        }
        ManifestKind::Image(image) => {
            let part = |kind, of: &shipper_oci::Descriptor| Part {
                kind,
                digest: of.digest.to_string(),
                size: of.size,
                about: of.media_type.clone(),
            };
            parts.push(part("config", &image.config));
            parts.extend(image.layers.iter().map(|layer| match attach::stated_in(layer) {
                Some(predicate_type) => Part { about: predicate_type.to_owned(), ..part("statement", layer) },
                None => part("layer", layer),
            }));
            let bytes = place.repository.blob(&image.config).await.map_err(failed)?;
            config = serde_json::from_slice(&bytes).unwrap_or_default();
            properties = config_properties(&config);
        }
    }
    // Of what is no image, its type; and what it is about.
    let named = [
        ("artifact", manifest.artifact_type().map(str::to_owned)),
        ("subject", manifest.subject().map(|subject| subject.digest.to_string())),
    ];
    properties.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    properties.extend(manifest.annotations().iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(Inspected {
        reference: match &place.archive {
            Some(_) => text.to_owned(),
            None => place.repository.reference(&place.selector),
        },
        digest: manifest.digest().to_string(),
        media_type: manifest.media_type().to_owned(),
        document: document(&manifest, &config),
        properties,
        parts,
        raw: manifest.bytes().to_vec(),
    })
}

/// What a manifest of statements holds.
async fn stated(repository: &Repository, entry: &Descriptor) -> Result<String, Error> {
    let selector = Selector::Digest(entry.digest.clone());
    let reference = repository.reference(&selector);
    let failed = |source| Error::Store { action: format!("read {reference}"), source };
    let manifest = repository.manifest(&selector).await.map_err(failed)?;
    let manifest = manifest.ok_or_else(|| Error::NoImage { reference: reference.clone() })?;
    let layers = manifest.as_image().map(|image| image.layers.as_slice()).unwrap_or_default();
    Ok(layers.iter().filter_map(attach::stated_in).collect::<Vec<_>>().join(", "))
}

/// What a person wants to know of an image config (OCI image-spec, "OCI Image Configuration").
fn config_properties(config: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut properties = Vec::new();
    let platform: Vec<&str> =
        ["os", "architecture", "variant"].iter().filter_map(|part| config[*part].as_str()).collect();
    if !platform.is_empty() {
        properties.push(("platform".to_owned(), platform.join("/")));
    }
    if !config["created"].is_null() {
        properties.push(("created".to_owned(), text(&config["created"])));
    }
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
