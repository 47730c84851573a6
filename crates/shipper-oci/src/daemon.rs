//! A container engine on this machine (dockerd, or Podman's service) as a destination.
//!
//! Source: Docker Engine API 1.41, "Import images" (`POST /images/load`), "Inspect an image". What is sent is one tar that
//! is both an OCI layout, from which an engine with containerd's store keeps the manifest's digest, and a `docker save`
//! archive, which older ones read. Blobs are streamed from where they are; nothing is written to this machine's disk by us.
//!
//! Invariant: an image counts as loaded when the engine, asked for the name afterwards, has exactly its layers.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::error::shown;
use crate::http::{self, BodyStream};
use crate::store::{Target, blocking};
use crate::upload::{Failure, file_stream, remote_stream};
use crate::{
    Descriptor, Digest, Error, ImageManifest, Manifest, ManifestKind, Reference, Repository, Result, Selector, Timeouts,
};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// The socket where neither the environment nor the user says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// A container engine.
#[derive(Debug, Clone)]
pub struct Engine {
    client: reqwest::Client,
    /// Beginning of every URL; over a socket the host is only a header.
    base: String,
    host: String,
}

/// What [`Engine::load`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded {
    /// The name in full.
    pub name: String,
    /// Digest of the image's manifest at its source; that of the engine's platform where it was an index.
    pub digest: Digest,
    /// Bytes of the blobs sent; 0 when the engine had the image under that name.
    pub bytes: u64,
}

impl Engine {
    /// The engine that `DOCKER_HOST` names (`unix://PATH` or `tcp://HOST:PORT`), else the one behind
    /// `/var/run/docker.sock`, else the user's own behind `docker.sock` in `runtime` (`XDG_RUNTIME_DIR`). Nothing is
    /// connected.
    ///
    /// # Errors
    /// [`Error::Options`] for an address of another kind.
    pub fn new(docker_host: Option<&str>, runtime: Option<&Path>) -> Result<Engine> {
        let own = runtime.map(|runtime| runtime.join("docker.sock")).filter(|own| own.exists());
        let default = || match own {
            Some(own) if !Path::new(SOCKET).exists() => own,
            _ => PathBuf::from(SOCKET),
        };
        let connect = Timeouts::default().connect;
        let over_socket = |socket: PathBuf| {
            let client = http::engine(Some(&socket), connect)?;
            Ok(Engine { client, base: "http://engine".to_owned(), host: socket.display().to_string() })
        };
        match docker_host.filter(|host| !host.is_empty()) {
            None => over_socket(default()),
            Some(host) => match host.split_once("://") {
                Some(("unix", socket)) if !socket.is_empty() => over_socket(socket.into()),
                Some(("tcp" | "http", address)) if !address.contains(['/', '@']) => {
                    let client = http::engine(None, connect)?;
                    Ok(Engine { client, base: format!("http://{address}"), host: address.to_owned() })
                }
                _ => Err(Error::Options {
                    reason: format!("DOCKER_HOST `{}` is neither unix://PATH nor tcp://HOST:PORT", shown(host)),
                }),
            },
        }
    }

    /// Version and platform of the engine, such as `26.1.5 for linux/amd64`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] where nothing answers, [`Error::Engine`] where it is no engine.
    pub async fn version(&self) -> Result<String> {
        let known = self.known_version().await?;
        Ok(format!("{} for {}/{}", shown(&known.version), shown(&known.os), shown(&known.arch)))
    }

    /// The socket or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Loads an image under a name with a tag (`latest` without one). Of an index, the image for the engine's platform.
    /// When the name is that image already, nothing is sent.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the source does not have it, or not for this platform; [`Error::Unreachable`] and
    /// [`Error::Engine`] for what the engine does; [`Error::InvalidReference`] for a name with a digest.
    pub async fn load(&self, from: &Repository, selector: &Selector, name: &str) -> Result<Loaded> {
        let mut reference = Reference::parse_docker(name)?;
        if reference.digest.is_some() {
            return Err(Error::invalid("engine's image name", name, "it has a digest"));
        }
        let tag = reference.tag.take().unwrap_or_else(|| "latest".parse().expect("because it is a tag"));
        let name = format!("{}/{}:{tag}", reference.registry, reference.repository);
        let manifest = self.image(from, selector).await?;
        let image = manifest.as_image().ok_or_else(|| Error::NotFound { what: from.reference(selector) })?;
        let config = from.blob(&image.config).await?;
        let layers = diff_ids(&manifest, &config)?;
        if let Some(known) = self.inspect(&name).await?
            && (known.id == *image.config.digest.as_str() || known.id == *manifest.digest().as_str())
        {
            return Ok(Loaded { name, digest: manifest.digest().clone(), bytes: 0 });
        }
        let failure = Failure::default();
        let (stream, bytes) = tar(from, &manifest, image, config, &name, &failure)?;
        self.send(stream, &failure).await?;
        match self.inspect(&name).await? {
            Some(known) if known.root_fs.layers == layers => {
                Ok(Loaded { name, digest: manifest.digest().clone(), bytes })
            }
            Some(_) => Err(self.refused("load", format!("{name} has other layers afterwards"))),
            None => Err(self.refused("load", format!("it does not have {name} afterwards"))),
        }
    }

    /// The manifest itself, or that of an index for the engine's platform.
    async fn image(&self, from: &Repository, selector: &Selector) -> Result<Manifest> {
        let absent = |what: String| Error::NotFound { what };
        let found = from.manifest(selector).await?.ok_or_else(|| absent(from.reference(selector)))?;
        let ManifestKind::Index(index) = found.kind() else { return Ok(found) };
        let version = self.known_version().await?;
        let fits = |child: &&Descriptor| {
            child.platform.as_ref().is_some_and(|own| own.os == version.os && own.architecture == version.arch)
        };
        let child = index.manifests.iter().find(fits).ok_or_else(|| {
            absent(format!("an image for {}/{} in {}", version.os, version.arch, from.reference(selector)))
        })?;
        let selector = Selector::Digest(child.digest.clone());
        from.manifest(&selector).await?.ok_or_else(|| absent(from.reference(&selector)))
    }

    async fn known_version(&self) -> Result<Version> {
        self.get("version")
            .await?
            .ok_or_else(|| self.refused("tell its version", "it has no such page; is it a Docker engine?".to_owned()))
    }

    async fn inspect(&self, name: &str) -> Result<Option<Known>> {
        self.get(&format!("images/{name}/json")).await
    }

    /// A document of the engine; `None` for 404.
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let what = format!("answer to {path}");
        let answer = self.client.request(Method::GET, format!("{}/{path}", self.base)).send().await;
        let answer = answer.map_err(|error| self.unreachable(&what, error))?;
        let status = answer.status();
        let body = self.body(answer, &what).await?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|_| self.refused(&what, "the answer is not the expected JSON".to_owned())),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(&what, format!("{status}: {}", message(&body)))),
        }
    }

    async fn send(&self, stream: BodyStream, failure: &Failure) -> Result<()> {
        let what = "load";
        let request = self.client.request(Method::POST, format!("{}/images/load?quiet=1", self.base));
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/x-tar");
        let answer = request.body(reqwest::Body::wrap_stream(stream)).send().await;
        // When the source broke, that is the reason, and not what became of the request.
        if let Some(error) = failure.take() {
            return Err(error);
        }
        let answer = answer.map_err(|error| self.unreachable(what, error))?;
        let status = answer.status();
        let body = self.body(answer, what).await?;
        // The engine says 200 before it has read everything; what goes wrong later is a line of the answer.
        let failed = body.split(|byte| *byte == b'\n').find_map(|line| {
            let line: serde_json::Value = serde_json::from_slice(line).ok()?;
            line.get("error").and_then(|error| error.as_str()).map(shown)
        });
        match failed {
            Some(error) => Err(self.refused(what, error)),
            None if status.is_success() => Ok(()),
            None => Err(self.refused(what, format!("{status}: {}", message(&body)))),
        }
    }

    async fn body(&self, mut answer: reqwest::Response, what: &str) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.unreachable(what, error))? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(Error::TooLarge {
                    what: format!("the engine's answer to {what}"),
                    limit: MAX_ANSWER as u64,
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    fn unreachable(&self, what: &str, error: reqwest::Error) -> Error {
        let source = Box::new(error.without_url());
        Error::Unreachable { host: self.host.clone(), what: what.to_owned(), source }
    }

    fn refused(&self, what: &str, reason: String) -> Error {
        Error::Engine { host: self.host.clone(), what: what.to_owned(), reason }
    }
}

/// What the engine says about an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Known {
    id: String,
    #[serde(rename = "RootFS", default)]
    root_fs: RootFs,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    #[serde(default, deserialize_with = "crate::descriptor::null_as_default")]
    layers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    #[serde(default)]
    version: String,
    os: String,
    arch: String,
}

/// The message of an error answer.
fn message(body: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = document["message"].as_str().map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    shown(text.trim())
}

/// Digests of the uncompressed layers, as the configuration names them.
fn diff_ids(manifest: &Manifest, config: &[u8]) -> Result<Vec<String>> {
    let config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    let listed = config["rootfs"]["diff_ids"].as_array();
    let ids = listed.map(|ids| ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect());
    ids.ok_or_else(|| Error::InvalidManifest {
        digest: manifest.digest().clone(),
        reason: "its configuration is not that of an image".to_owned(),
    })
}

/// A file of the archive: in memory, or a blob where it is.
enum Part {
    Bytes(Bytes),
    Blob(Box<(Repository, Descriptor)>),
}

/// The archive as a stream, and the bytes of the blobs in it.
fn tar(
    from: &Repository,
    manifest: &Manifest,
    image: &ImageManifest,
    config: Vec<u8>,
    name: &str,
    failure: &Failure,
) -> Result<(BodyStream, u64)> {
    let place = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
    let mut entry = serde_json::to_value(manifest.descriptor()).unwrap_or_default();
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    entry["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    let layers: Vec<String> = image.layers.iter().map(|layer| place(&layer.digest)).collect();
    let saved = json!([{ "Config": place(&image.config.digest), "RepoTags": [name], "Layers": layers }]);
    let mut parts = vec![
        ("oci-layout".to_owned(), Part::Bytes(r#"{"imageLayoutVersion":"1.0.0"}"#.into())),
        (place(manifest.digest()), Part::Bytes(manifest.shared_bytes())),
        (place(&image.config.digest), Part::Bytes(config.into())),
    ];
    let mut total = image.config.size;
    for layer in image.blobs().into_iter().skip(1) {
        total += layer.size;
        parts.push((place(&layer.digest), Part::Blob(Box::new((from.clone(), layer.clone())))));
    }
    parts.push(("index.json".to_owned(), Part::Bytes(index.to_string().into())));
    parts.push(("manifest.json".to_owned(), Part::Bytes(saved.to_string().into())));
    let failure = failure.clone();
    let files = futures_util::stream::iter(parts).then(move |(path, part)| {
        let failure = failure.clone();
        async move { file(&path, part, failure.clone()).await.map_err(|error| failure.set(error)) }
    });
    let end = futures_util::stream::once(async { Ok(Bytes::from_static(&[0; 1024])) });
    Ok((Box::pin(files.try_flatten().chain(end)), total))
}

/// Header, content and padding of one file.
async fn file(path: &str, part: Part, failure: Failure) -> Result<BodyStream> {
    let (size, content) = match part {
        Part::Bytes(bytes) => {
            let content: BodyStream = Box::pin(futures_util::stream::iter([Ok(bytes.clone())]));
            (bytes.len() as u64, content)
        }
        Part::Blob(place) => {
            let (from, blob) = *place;
            (blob.size, blob_stream(&from, &blob, failure).await?)
        }
    };
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_size(size);
    header
        .set_path(path)
        .map_err(|_| Error::InvalidImagePath { path: path.to_owned(), reason: "it is too long for an archive" })?;
    header.set_cksum();
    let head = Bytes::copy_from_slice(header.as_bytes());
    let padding = Bytes::from(vec![0; usize::try_from((512 - size % 512) % 512).unwrap_or(0)]);
    let head = futures_util::stream::iter([Ok(head)]);
    Ok(Box::pin(head.chain(content).chain(futures_util::stream::iter([Ok(padding)]))))
}

/// A blob's bytes from where they are; those of a registry are verified on the way.
async fn blob_stream(from: &Repository, blob: &Descriptor, failure: Failure) -> Result<BodyStream> {
    match &from.target {
        Target::Layout(layout) => {
            let (layout, wanted) = (layout.clone(), blob.clone());
            let path = blocking(move || layout.open_blob(&wanted).map(|(_, path)| path)).await?;
            file_stream(path, blob, failure).await
        }
        Target::Registry(registry) => Ok(remote_stream(registry.open_blob(blob).await?, blob.clone(), failure)),
        Target::Refused => Err(from.refused()),
    }
}
