//! A container engine on this machine (dockerd, or Podman's service) as a destination.
//!
//! Source: Docker Engine API 1.41, "Import images" (`POST /images/load`), "Inspect an image". What is sent is one tar that
//! is both an OCI layout, from which an engine with containerd's store keeps the manifest's digest, and a `docker save`
//! archive, which older ones read. Blobs are streamed from where they are; nothing is written to this machine's disk by us.
//!
//! Invariant: an image counts as loaded when the engine, asked for the name afterwards, has exactly its layers.

mod archive;

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use self::archive::Content;
use crate::error::shown;
use crate::http::{self, BodyStream};
use crate::upload::Failure;
use crate::{Digest, Error, Manifest, ManifestKind, Platform, Reference, Repository, Result, Selector, Timeouts};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// The socket where neither the environment nor the user says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// What tells of containerd's store in an engine's "DriverStatus".
const SNAPSHOTTER: &str = "io.containerd.snapshotter.v1";

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
    /// Digest of what was loaded at its source: of an index that of the engine's platform, or of the whole.
    pub digest: Digest,
    /// How much of the source that is.
    pub extent: Extent,
    /// Bytes of the blobs sent; 0 when the engine had the image under that name.
    pub bytes: u64,
}

/// How much of its source an engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// All of it: an image, or an index with all its images in the store of containerd.
    Whole,
    /// Of an index the image for one platform, since the engine's own store takes no more.
    Platform {
        /// The platform.
        platform: String,
        /// The other platforms that there are, in the order of the index.
        others: Vec<String>,
    },
}

impl fmt::Display for Extent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => out.write_str("all of it"),
            Self::Platform { platform, others } => {
                write!(
                    out,
                    "the image for {platform} alone, for the engine's store takes no image of several platforms"
                )?;
                if others.is_empty() { Ok(()) } else { write!(out, " (left out: {})", others.join(", ")) }
            }
        }
    }
}

/// What is to be loaded.
struct Chosen {
    /// What gets the name: the image, or the index that it is of.
    root: Manifest,
    /// The image for the engine's platform.
    image: Manifest,
    extent: Extent,
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

    /// Loads an image under a name with a tag (`latest` without one). An index is loaded whole where the engine keeps images in
    /// containerd's store, else the image for the engine's platform, which [`Loaded::extent`] says. When the name is that image
    /// already, nothing is sent.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the source does not have it, [`Error::NoPlatform`] when it has none for the engine's platform;
    /// [`Error::Unreachable`] and [`Error::Engine`] for what the engine does; [`Error::InvalidReference`] for a name with a
    /// digest.
    pub async fn load(&self, from: &Repository, selector: &Selector, name: &str) -> Result<Loaded> {
        let mut reference = Reference::parse_docker(name)?;
        if reference.digest.is_some() {
            return Err(Error::invalid("engine's image name", name, "it has a digest"));
        }
        let tag = reference.tag.take().unwrap_or_else(|| "latest".parse().expect("because it is a tag"));
        let name = format!("{}/{}:{tag}", reference.registry, reference.repository);
        let Chosen { root, image, extent } = self.choose(from, selector).await?;
        let digest = root.digest().clone();
        let config = &image.as_image().ok_or_else(|| Error::NotFound { what: from.reference(selector) })?.config;
        let layers = diff_ids(&image, &from.blob(config).await?)?;
        // The engine's own store calls an image by its configuration.
        let is_it =
            |known: &Known| known.id == *digest.as_str() || root == image && known.id == *config.digest.as_str();
        if self.inspect(&name).await?.is_some_and(|known| is_it(&known)) {
            return Ok(Loaded { name, digest, extent, bytes: 0 });
        }
        let content = Content::of(from, &root).await?;
        let bytes = content.bytes;
        let failure = Failure::default();
        self.send(content.archive(&root, &image, &name, &failure), &failure).await?;
        match self.inspect(&name).await? {
            Some(known) if known.root_fs.layers != layers => {
                Err(self.refused("load", format!("{name} has other layers afterwards")))
            }
            Some(known) if root != image && !is_it(&known) => {
                Err(self.refused("load", format!("{name} is {} afterwards, not {digest}", shown(&known.id))))
            }
            Some(_) => Ok(Loaded { name, digest, extent, bytes }),
            None => Err(self.refused("load", format!("it does not have {name} afterwards"))),
        }
    }

    /// The manifest itself; of an index all of it, or the image for the engine's platform.
    async fn choose(&self, from: &Repository, selector: &Selector) -> Result<Chosen> {
        let absent = |what: String| Error::NotFound { what };
        let root = from.manifest(selector).await?.ok_or_else(|| absent(from.reference(selector)))?;
        let ManifestKind::Index(index) = root.kind() else {
            return Ok(Chosen { image: root.clone(), root, extent: Extent::Whole });
        };
        let version = self.known_version().await?;
        let wanted = version.platform();
        let child = index.image_for(&wanted).ok_or_else(|| Error::NoPlatform {
            what: from.reference(selector),
            wanted: wanted.to_string(),
            known: index.platforms().map(|own| shown(&own.to_string())).collect(),
        })?;
        let by_digest = Selector::Digest(child.digest.clone());
        let image = from.manifest(&by_digest).await?.ok_or_else(|| absent(from.reference(&by_digest)))?;
        if self.keeps_indexes().await? {
            return Ok(Chosen { root, image, extent: Extent::Whole });
        }
        let own = child.platform.as_ref().unwrap_or(&wanted);
        let others = index.platforms().filter(|other| *other != own).map(|other| shown(&other.to_string()));
        let extent = Extent::Platform { platform: shown(&own.to_string()), others: others.collect() };
        Ok(Chosen { root: image.clone(), image, extent })
    }

    /// Whether images are kept in containerd's store, which has indexes.
    async fn keeps_indexes(&self) -> Result<bool> {
        let info: Option<Info> = self.get("info").await?;
        let status = info.map(|info| info.driver_status).unwrap_or_default();
        Ok(status
            .iter()
            .any(|pair| matches!(pair.as_slice(), [name, value] if name == "driver-type" && value == SNAPSHOTTER)))
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

impl Version {
    fn platform(&self) -> Platform {
        Platform { os: self.os.clone(), architecture: self.arch.clone(), variant: None }
    }
}

/// What the engine says about itself ("DriverStatus": pairs of name and value).
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default, deserialize_with = "crate::descriptor::null_as_default")]
    driver_status: Vec<Vec<String>>,
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
