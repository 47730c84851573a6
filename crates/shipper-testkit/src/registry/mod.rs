//! An OCI registry in this process, for tests: in memory, on free loopback ports, with a request log and fault scripts.
//!
//! Invariants: a server runs on its own thread, so that it serves tests that block; it stops when it is dropped;
//! what it stores and how it answers depend on the requests alone, never on the clock.

mod auth;
mod blobs;
mod fault;
mod listing;
mod log;
mod manifests;
mod profile;
mod reply;
mod route;
mod serve;
mod store;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use tokio::sync::oneshot;

pub use auth::Auth;
pub use fault::{Fault, Rule};
pub use log::{Exposure, Host, Log, Request};
pub use profile::Profile;
pub use store::{Mutability, StoredManifest};

pub(crate) use serve::Shared;
pub(crate) use store::{References, Repository, digest_like};

use auth::Guard;
use serve::Desk;
use wire::{Caller, Door};

/// `sha256:` and the hexadecimal SHA-256 of `bytes`.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    store::digest_like("", bytes)
}

/// How a [`FakeRegistry`] is to behave.
#[derive(Clone, Debug)]
pub struct FakeRegistryBuilder {
    profile: Profile,
    auth: Auth,
    latency: Duration,
    page: Option<usize>,
    redirect: Option<bool>,
    drop_missing: Option<bool>,
    mounting: bool,
}

impl FakeRegistryBuilder {
    /// Which registry to imitate; [`Profile::Spec`] if not set.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// What clients must show; nothing if not set.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Waits that long before each request is handled, as a network would.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Gives at most that many tags or referrers at once, whatever the client asks for.
    #[must_use]
    pub fn page_size(mut self, size: usize) -> Self {
        self.page = Some(size);
        self
    }

    /// Whether a blob `GET` is redirected to the storage host; the profile decides if not set.
    #[must_use]
    pub fn redirect_blobs(mut self, redirect: bool) -> Self {
        self.redirect = Some(redirect);
        self
    }

    /// Whether an upload to a repository that does not exist ends in a closed connection (`true`) or in 404; the
    /// profile decides if not set.
    #[must_use]
    pub fn drop_uploads_to_missing(mut self, drop: bool) -> Self {
        self.drop_missing = Some(drop);
        self
    }

    /// Switches on the ECR account setting without which it mounts no blob.
    #[must_use]
    pub fn blob_mounting(mut self) -> Self {
        self.mounting = true;
        self
    }

    /// Starts the server; it answers when this returns.
    ///
    /// # Panics
    /// If no loopback port can be opened or no thread started.
    #[must_use]
    pub fn start(self) -> FakeRegistry {
        let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("cannot open a loopback port");
        let listeners = [(Host::Registry, open()), (Host::Token, open()), (Host::Storage, open())];
        let address = |at: usize| listeners[at].1.local_addr().expect("because the socket is bound").to_string();
        let mut quirks = self.profile.quirks();
        quirks.redirects_blobs = self.redirect.unwrap_or(quirks.redirects_blobs);
        quirks.drops_missing = self.drop_missing.unwrap_or(quirks.drops_missing);
        let shared = Arc::new(Shared {
            profile: self.profile,
            quirks,
            guard: Mutex::new(Guard::new(self.auth)),
            store: Mutex::default(),
            journal: log::Journal::default(),
            script: fault::Script::default(),
            registry: address(0),
            token: address(1),
            storage: address(2),
            signature: format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..)),
            latency: self.latency,
            page: self.page,
            mounting: AtomicBool::new(self.mounting),
        });
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-registry".to_owned())
            .spawn(move || run(listeners, &served, stopped, &ready))
            .expect("cannot start a thread");
        is_ready.recv().expect("the fake registry could not start");
        FakeRegistry { shared, stop: Some(stop), thread: Some(thread) }
    }
}

fn run(
    listeners: [(Host, TcpListener); 3],
    shared: &Arc<Shared>,
    stopped: oneshot::Receiver<()>,
    ready: &mpsc::Sender<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("cannot start a runtime");
    runtime.block_on(async {
        let counter = Arc::new(AtomicU64::new(0));
        for (host, listener) in listeners {
            listener.set_nonblocking(true).expect("cannot prepare a socket");
            let door = Door {
                listener: tokio::net::TcpListener::from_std(listener).expect("cannot register a socket"),
                counter: Arc::clone(&counter),
            };
            let desk = Desk { host, shared: Arc::clone(shared) };
            let app = Router::new().fallback(serve::handle).with_state(desk);
            let service = app.into_make_service_with_connect_info::<Caller>();
            tokio::spawn(async move { axum::serve(door, service).await });
        }
        // The starter may be gone already; then there is nobody to tell.
        let _ = ready.send(());
        let _ = stopped.await;
    });
    // Ends open connections, hanging ones included.
    runtime.shutdown_background();
}

/// A registry in this process.
///
/// ```
/// use shipper_testkit::{Fault, FakeRegistry, Profile, Rule};
/// let registry = FakeRegistry::builder().profile(Profile::Distribution).start();
/// registry.fault(Rule::new(Fault::status(503)).method("PUT").path("/manifests/").nth(1));
/// // .. push to registry.host() ..
/// registry.log().assert_count("PUT", "/manifests/", 0);
/// ```
#[derive(Debug)]
pub struct FakeRegistry {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeRegistry {
    /// A registry by the specification, without credentials.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A registry of another kind.
    #[must_use]
    pub fn builder() -> FakeRegistryBuilder {
        FakeRegistryBuilder {
            profile: Profile::Spec,
            auth: Auth::anonymous(),
            latency: Duration::ZERO,
            page: None,
            redirect: None,
            drop_missing: None,
            mounting: false,
        }
    }

    /// What stands behind the listeners, for other services over the same store.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// `127.0.0.1:PORT`, as references begin.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.shared.registry
    }

    /// The socket address of the registry.
    ///
    /// # Panics
    /// Never: the host was made from one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.registry.parse().expect("because the host was made from an address")
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.registry)
    }

    /// Host and port of the token server.
    #[must_use]
    pub fn token_host(&self) -> &str {
        &self.shared.token
    }

    /// Host and port that blobs are redirected to.
    #[must_use]
    pub fn storage_host(&self) -> &str {
        &self.shared.storage
    }

    /// The secret part of each redirect to the storage host.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.shared.signature
    }

    /// All requests so far, in order of arrival.
    #[must_use]
    pub fn log(&self) -> Log {
        self.shared.journal.snapshot()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.shared.journal.clear();
    }

    /// Adds a rule to the fault script.
    pub fn fault(&self, rule: Rule) {
        self.shared.script.add(rule);
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        self.shared.script.clear();
    }

    /// Changes the account's password and makes it fresh again.
    ///
    /// # Panics
    /// If the registry has no account.
    pub fn set_password(&self, password: &str) {
        self.shared.guard().set_password(password);
    }

    /// Makes all issued tokens invalid.
    pub fn revoke_tokens(&self) {
        self.shared.guard().revoke_tokens();
    }

    /// The tokens issued so far: secrets as well, to be searched for.
    #[must_use]
    pub fn issued_tokens(&self) -> Vec<String> {
        self.shared.guard().issued()
    }

    /// Switches the ECR account setting for blob mounts on or off.
    pub fn set_blob_mounting(&self, enabled: bool) {
        self.shared.mounting.store(enabled, Ordering::Relaxed);
    }

    /// Creates an empty repository; an existing one stays as it is.
    pub fn create_repository(&self, name: &str) {
        self.shared.store().repository_mut(name);
    }

    /// Sets which tags can be written again, creating the repository.
    pub fn set_mutability(&self, name: &str, mutability: Mutability) {
        self.shared.store().repository_mut(name).mutability = mutability;
    }

    /// Stores a blob and gives its digest.
    pub fn put_blob(&self, name: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = store::digest_like("", &bytes);
        self.shared.store().repository_mut(name).blobs.insert(digest.clone(), bytes);
        digest
    }

    /// Stores a manifest without looking into it, optionally under a tag, and gives its digest.
    pub fn put_manifest(&self, name: &str, tag: Option<&str>, media_type: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = store::digest_like("", &bytes);
        let manifest = StoredManifest { media_type: media_type.to_owned(), digest: digest.clone(), bytes };
        let mut store = self.shared.store();
        let repository = store.repository_mut(name);
        repository.manifests.insert(digest.clone(), manifest);
        if let Some(tag) = tag {
            repository.set_tag(tag, &digest);
        }
        digest
    }

    /// Points a tag at a digest, whatever the repository's mutability says.
    pub fn put_tag(&self, name: &str, tag: &str, digest: &str) {
        self.shared.store().repository_mut(name).set_tag(tag, digest);
    }

    /// The manifest that a tag or digest names.
    #[must_use]
    pub fn manifest(&self, name: &str, reference: &str) -> Option<StoredManifest> {
        let store = self.shared.store();
        let repository = store.repository(name)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        repository.manifests.get(digest).cloned()
    }

    /// The bytes of a blob.
    #[must_use]
    pub fn blob(&self, name: &str, digest: &str) -> Option<Bytes> {
        self.shared.store().repository(name)?.blobs.get(digest).cloned()
    }

    /// Names of all repositories, sorted.
    #[must_use]
    pub fn repositories(&self) -> Vec<String> {
        self.shared.store().repositories.keys().cloned().collect()
    }

    /// Tags with the digest that each names, sorted by tag.
    #[must_use]
    pub fn tags(&self, name: &str) -> Vec<(String, String)> {
        let store = self.shared.store();
        let tags = store.repository(name).map(|repository| repository.tags.clone());
        tags.unwrap_or_default().into_iter().collect()
    }

    /// Each digest that a tag was ever set to, in order.
    #[must_use]
    pub fn tag_history(&self, name: &str, tag: &str) -> Vec<String> {
        let store = self.shared.store();
        let history = store.repository(name).map(|repository| repository.history.clone()).unwrap_or_default();
        history.into_iter().filter(|(written, _)| written == tag).map(|(_, digest)| digest).collect()
    }

    /// Digests of all manifests, sorted.
    #[must_use]
    pub fn manifests(&self, name: &str) -> Vec<String> {
        let store = self.shared.store();
        store.repository(name).map(|repository| repository.manifests.keys().cloned().collect()).unwrap_or_default()
    }

    /// Digests of all blobs, sorted.
    #[must_use]
    pub fn blobs(&self, name: &str) -> Vec<String> {
        let store = self.shared.store();
        store.repository(name).map(|repository| repository.blobs.keys().cloned().collect()).unwrap_or_default()
    }

    /// Removes a tag and leaves its manifest; `false` if it was not there.
    pub fn delete_tag(&self, name: &str, tag: &str) -> bool {
        self.shared.store().repository_mut(name).tags.remove(tag).is_some()
    }

    /// Removes a manifest and its tags; `false` if it was not there.
    pub fn delete_manifest(&self, name: &str, digest: &str) -> bool {
        self.shared.store().repository_mut(name).remove_manifest(digest)
    }

    /// Removes a blob; `false` if it was not there.
    pub fn delete_blob(&self, name: &str, digest: &str) -> bool {
        self.shared.store().repository_mut(name).blobs.remove(digest).is_some()
    }

    /// Replaces the bytes of a blob and leaves its digest, as a corrupted store would.
    pub fn corrupt_blob(&self, name: &str, digest: &str, bytes: impl Into<Bytes>) {
        self.shared.store().repository_mut(name).blobs.insert(digest.to_owned(), bytes.into());
    }

    /// Replaces the bytes of a manifest and leaves its digest and tags, as a corrupted store or a hostile one would.
    ///
    /// # Panics
    /// If there is no such manifest.
    pub fn corrupt_manifest(&self, name: &str, digest: &str, bytes: impl Into<Bytes>) {
        let mut store = self.shared.store();
        let found = store.repository_mut(name).manifests.get_mut(digest);
        found.unwrap_or_else(|| panic!("no manifest {digest} in {name} to corrupt")).bytes = bytes.into();
    }

    /// Whether a stored blob, manifest or tag contains `secret` in any form; the digests or tags where it does.
    #[must_use]
    pub fn stored_exposures(&self, secret: &str) -> Vec<String> {
        let store = self.shared.store();
        let mut found = Vec::new();
        let mut search = |place: String, bytes: &[u8]| {
            if !crate::secret::forms_in(bytes, secret).is_empty() {
                found.push(place);
            }
        };
        for (name, repository) in &store.repositories {
            for (digest, bytes) in &repository.blobs {
                search(format!("{name}@{digest}"), bytes);
            }
            for (digest, manifest) in &repository.manifests {
                search(format!("{name}@{digest}"), &manifest.bytes);
            }
            for tag in repository.tags.keys() {
                search(format!("{name}:{tag}"), tag.as_bytes());
            }
        }
        found
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread has ended already if nobody receives this.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there; a second one while dropping would abort the test run.
            let _ = thread.join();
        }
    }
}
