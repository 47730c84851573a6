//! Bringing blobs into a repository of a registry: existence, mounts, uploads in one piece.
//!
//! Source: OCI distribution specification 1.1, "Pushing blobs". An upload is `POST` and one streamed `PUT`, the only form
//! that works everywhere: in pieces, Amazon ECR loses data silently and GitHub limits each piece to 4 MiB.
//!
//! Invariants: an upload is repeated only as a whole, from the source, and only after asking whether the blob has arrived
//! after all; a body goes to the registry itself and nowhere else, whatever `Location` says.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use url::Url;

use crate::auth::Scopes;
use crate::client::{Ask, Envelope, OpenBlob, Payload};
use crate::http::BodyStream;
use crate::registry::Registry;
use crate::reply::Reply;
use crate::store::blocking;
use crate::verify::Verifier;
use crate::{BlobSource, Descriptor, DigestHasher, Error, ProgressSink, Pushed, RepositoryName, Result};

/// Bytes read from a file at once.
const READ: usize = 1024 * 1024;
/// Bytes handed to the network at once; the grain of the stall rule.
const PIECE: usize = 128 * 1024;

/// Where the bytes of an upload come from.
pub(crate) enum Origin<'a> {
    Local(&'a BlobSource),
    /// Another registry: streamed through, verified on the way.
    Remote(&'a Registry),
}

/// What is known before an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Ask first.
    Unknown,
    /// The blob is most likely not there, or so small that asking costs as much as sending.
    Assumed,
}

enum Start {
    Mounted,
    Session(Url),
}

impl Registry {
    /// Brings a blob in: by a mount where `from` is given, else by upload unless it is there.
    pub(crate) async fn push_blob(
        &self,
        descriptor: &Descriptor,
        origin: &Origin<'_>,
        from: Option<&RepositoryName>,
        presence: Presence,
    ) -> Result<Pushed> {
        let mut ask_first = presence == Presence::Unknown && from.is_none();
        let mut mount = from;
        let turn = self.client.turn().await;
        let mut tries = self.client.tries();
        loop {
            if ask_first
                && self.seems_to_have_blob(&descriptor.digest, Some(descriptor.size), &["pull", "push"]).await?
            {
                return Ok(Pushed::Existed);
            }
            let url = match self.start(descriptor, mount).await {
                Ok(Start::Mounted) => return Ok(Pushed::Mounted),
                Ok(Start::Session(url)) => url,
                // Whatever a registry has against a mount, it may still take an upload.
                Err(error) if mount.is_some() && refuses_mount(&error) => {
                    (mount, ask_first) = (None, true);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match self.send(descriptor, origin, url).await {
                Ok(()) => {
                    turn.succeeded();
                    return Ok(Pushed::Uploaded);
                }
                Err(error) => tries.wait_or(error).await?,
            }
            // It may have arrived although the answer did not.
            (mount, ask_first) = (None, true);
        }
    }

    /// Asks for a mount alone. A session that the registry opened instead is given up.
    pub(crate) async fn mount_blob(&self, descriptor: &Descriptor, from: &RepositoryName) -> Result<bool> {
        match self.start(descriptor, Some(from)).await {
            Ok(Start::Mounted) => Ok(true),
            Ok(Start::Session(url)) => {
                let scopes = Scopes::repository(&self.name, &["pull", "push"]);
                let ask = Ask::new(Method::DELETE, url, "give up an upload", &self.name, scopes);
                // Registries drop sessions by themselves after some time.
                let _ = self.client.ask_once(&ask).await;
                Ok(false)
            }
            Err(error) if refuses_mount(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn start(&self, descriptor: &Descriptor, from: Option<&RepositoryName>) -> Result<Start> {
        let mut url = self.client.url(&self.name, "blobs/uploads/")?;
        let mut scopes = Scopes::repository(&self.name, &["pull", "push"]);
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("mount", descriptor.digest.as_str()).append_pair("from", from.as_str());
            scopes = scopes.and(from, &["pull"]);
        }
        let what = format!("start upload of blob {} to {}", descriptor.digest, self.name);
        let ask = Ask::new(Method::POST, url, what, &self.name, scopes);
        // Opening a session twice does no harm: an unused one is dropped by the registry.
        let mut answer = self.client.ask(&ask).await?;
        let reply = &mut answer.reply;
        match reply.status.as_u16() {
            201 if from.is_some() => Ok(Start::Mounted),
            201 | 202 => match reply.header(&LOCATION) {
                Some(location) => Ok(Start::Session(self.client.own_url(&ask.url, location, "upload location")?)),
                None => Err(reply.protocol("it names no `Location` for the upload")),
            },
            _ => Err(self.client.failure(reply, &ask).await),
        }
    }

    async fn send(&self, descriptor: &Descriptor, origin: &Origin<'_>, mut url: Url) -> Result<()> {
        url.query_pairs_mut().append_pair("digest", descriptor.digest.as_str());
        let what = format!("upload blob {} to {}", descriptor.digest, self.name);
        let report = self.client.options().progress.clone().map(|progress| Report {
            progress,
            repository: self.name.clone(),
            descriptor: descriptor.clone(),
        });
        let source = Source { origin, descriptor, report, failure: Failure::default() };
        let scopes = Scopes::repository(&self.name, &["pull", "push"]);
        let mut ask = Ask::new(Method::PUT, url, what, &self.name, scopes)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        ask.payload = Payload::Blob(&source, descriptor.size);
        let answer = self.client.ask_once(&ask).await;
        // When the source broke, that is the reason, and not what became of the request.
        if let Some(error) = source.failure.take() {
            return Err(error);
        }
        let mut answer = answer?;
        let reply = &mut answer.reply;
        match reply.status.as_u16() {
            201 => return Ok(()),
            // Not what the specification says, so it is checked: some registries answer 202 or 204 to a finished upload.
            200..=299 => {
                return if self.seems_to_have_blob(&descriptor.digest, Some(descriptor.size), &["pull", "push"]).await? {
                    Ok(())
                } else {
                    Err(reply.protocol("it took the upload and does not have the blob"))
                };
            }
            _ => {}
        }
        let status = reply.status.as_u16();
        let envelope = Envelope::read(reply).await;
        if envelope.has_code(&["DIGEST_INVALID", "SIZE_INVALID"]) {
            source.check().await?;
        }
        if envelope.has_code(&["BLOB_UPLOAD_UNKNOWN"]) {
            // The session is gone; a new one may live longer.
            let detail = envelope.detail();
            return Err(Error::Unreachable {
                host: self.client.host().to_string(),
                what: ask.what,
                source: detail.into(),
            });
        }
        Err(envelope.error(self.client.host(), &ask.method, &ask.what, status))
    }
}

/// Quay refuses a mount without a source, others one of a repository that they do not know or that is not to be read.
fn refuses_mount(error: &Error) -> bool {
    matches!(error, Error::Registry { status: 400..=499, .. } | Error::Denied { .. })
}

struct Source<'a> {
    origin: &'a Origin<'a>,
    descriptor: &'a Descriptor,
    report: Option<Report>,
    failure: Failure,
}

/// Why the source of an upload broke: a body can only say that it did.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    pub(crate) fn set(&self, error: Error) -> std::io::Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        std::io::Error::other("the source of the upload failed")
    }

    pub(crate) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Clone)]
struct Report {
    progress: ProgressSink,
    repository: RepositoryName,
    descriptor: Descriptor,
}

impl OpenBlob for Source<'_> {
    fn open(&self) -> Pin<Box<dyn Future<Output = Result<BodyStream>> + Send + '_>> {
        Box::pin(async move {
            let stream = match self.origin {
                Origin::Local(BlobSource::Bytes(bytes)) => {
                    self.check_size("the bytes given", bytes.len() as u64)?;
                    pieces(bytes.clone())
                }
                Origin::Local(BlobSource::File(path)) => {
                    file_stream(path.clone(), self.descriptor, self.failure.clone()).await?
                }
                Origin::Remote(registry) => remote_stream(
                    registry.open_blob_once(self.descriptor).await?,
                    self.descriptor.clone(),
                    self.failure.clone(),
                ),
            };
            Ok(match self.report.clone() {
                None => stream,
                Some(report) => {
                    let mut done = 0;
                    report.progress.upload(&report.repository, &report.descriptor.digest, 0, report.descriptor.size);
                    let told = stream.inspect(move |piece| {
                        if let Ok(piece) = piece {
                            done += piece.len() as u64;
                            report.progress.upload(
                                &report.repository,
                                &report.descriptor.digest,
                                done,
                                report.descriptor.size,
                            );
                        }
                    });
                    Box::pin(told)
                }
            })
        })
    }
}

impl Source<'_> {
    fn check_size(&self, what: &str, found: u64) -> Result<()> {
        if found == self.descriptor.size {
            return Ok(());
        }
        Err(Error::SizeMismatch { what: what.to_owned(), expected: self.descriptor.size, found })
    }

    /// After the registry found fault with the bytes: whether it is the source that is wrong.
    async fn check(&self) -> Result<()> {
        let (what, found) = match self.origin {
            Origin::Remote(_) => return Ok(()),
            Origin::Local(BlobSource::Bytes(bytes)) => {
                let mut hasher = self.descriptor.digest.hasher();
                hasher.update(bytes);
                ("the bytes given".to_owned(), hasher.finish())
            }
            Origin::Local(BlobSource::File(path)) => {
                let (path, hasher) = (path.clone(), self.descriptor.digest.hasher());
                (path.display().to_string(), blocking(move || hash_file(&path, hasher)).await?)
            }
        };
        if found == self.descriptor.digest {
            return Ok(());
        }
        Err(Error::DigestMismatch { what, expected: self.descriptor.digest.clone(), found })
    }
}

fn hash_file(path: &Path, mut hasher: DigestHasher) -> Result<crate::Digest> {
    let mut file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    std::io::copy(&mut file, &mut hasher).map_err(Error::io("read", path))?;
    Ok(hasher.finish())
}

/// Bytes in memory, in pieces.
fn pieces(bytes: Bytes) -> BodyStream {
    Box::pin(futures_util::stream::unfold(bytes, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        Some((Ok(piece), rest))
    }))
}

/// A file, read beside the network one block ahead at most.
pub(crate) async fn file_stream(path: PathBuf, descriptor: &Descriptor, failure: Failure) -> Result<BodyStream> {
    let (expected, name) = (descriptor.size, path.clone());
    let file = blocking(move || {
        let file = std::fs::File::open(&path).map_err(Error::io("read", &path))?;
        let found = file.metadata().map_err(Error::io("read", &path))?.len();
        if found != expected {
            return Err(Error::SizeMismatch { what: path.display().to_string(), expected, found });
        }
        Ok(Arc::new(file))
    })
    .await?;
    let blocks = futures_util::stream::unfold((Some(file), expected), move |(file, left)| {
        let (failure, name) = (failure.clone(), name.clone());
        async move {
            let file = file.filter(|_| left > 0)?;
            let reader = Arc::clone(&file);
            let read = blocking(move || {
                let mut block = Vec::with_capacity(READ);
                (&*reader).take((READ as u64).min(left)).read_to_end(&mut block).map_err(Error::io("read", &name))?;
                match block.is_empty() {
                    true => {
                        Err(Error::SizeMismatch { what: name.display().to_string(), expected, found: expected - left })
                    }
                    false => Ok(Bytes::from(block)),
                }
            });
            Some(match read.await {
                Ok(block) => {
                    let left = left - block.len() as u64;
                    (Ok(block), (Some(file), left))
                }
                Err(error) => (Err(failure.set(error)), (None, 0)),
            })
        }
    });
    Ok(Box::pin(blocks.flat_map(|block| match block {
        Ok(block) => pieces(block),
        Err(error) => Box::pin(futures_util::stream::once(async move { Err(error) })),
    })))
}

/// A blob of another registry. The last piece is held back until everything is verified, so that wrong bytes never become
/// a complete upload.
pub(crate) fn remote_stream(reply: Reply, descriptor: Descriptor, failure: Failure) -> BodyStream {
    struct Pass {
        reply: Reply,
        verifier: Option<Verifier<Descriptor>>,
        held: Option<Bytes>,
    }

    impl Pass {
        /// The next piece, `None` when all were given and are right.
        async fn next(&mut self) -> Result<Option<Bytes>> {
            while let Some(verifier) = &mut self.verifier {
                match self.reply.chunk().await? {
                    Some(piece) => {
                        verifier.update(&piece)?;
                        if let Some(ready) = self.held.replace(piece) {
                            return Ok(Some(ready));
                        }
                    }
                    None => {
                        if let Some(verifier) = self.verifier.take() {
                            verifier.finish()?;
                        }
                    }
                }
            }
            Ok(self.held.take())
        }
    }

    let pass = Pass { reply, verifier: Some(Verifier::new(descriptor)), held: None };
    Box::pin(futures_util::stream::unfold(Some(pass), move |pass| {
        let failure = failure.clone();
        async move {
            let mut pass = pass?;
            match pass.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(pass))),
                Ok(None) => None,
                Err(error) => Some((Err(failure.set(error)), None)),
            }
        }
    }))
}
