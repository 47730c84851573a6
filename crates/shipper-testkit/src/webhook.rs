//! A webhook on a free loopback port: what it was told, and an answer that the test chooses.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::oneshot;

/// What is answered in the place of a status: nothing.
const NEVER: u16 = 0;

#[derive(Default)]
struct Inner {
    told: Mutex<Vec<Value>>,
    status: AtomicU16,
}

/// A webhook in this process.
pub struct Webhook {
    inner: Arc<Inner>,
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The secret in the URL of a [`Webhook`].
pub const WEBHOOK_SECRET: &str = "canary-secret-of-a-webhook";

impl Webhook {
    /// Starts it; it answers 200 when this returns.
    ///
    /// # Panics
    /// If no loopback port can be opened or no thread started.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("cannot open a loopback port");
        let address = listener.local_addr().expect("because the socket is bound");
        let inner = Arc::new(Inner { status: AtomicU16::new(200), ..Inner::default() });
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("webhook".to_owned())
            .spawn(move || run(listener, served, stopped))
            .expect("cannot start a thread");
        let url = format!("http://{address}/services/{WEBHOOK_SECRET}?sig={WEBHOOK_SECRET}");
        Self { inner, url, stop: Some(stop), thread: Some(thread) }
    }

    /// Its whole URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.inner.status.store(status, Ordering::SeqCst);
    }

    /// Answers nothing from now on.
    pub fn hang(&self) {
        self.answer(NEVER);
    }

    /// What it was told since the last look.
    #[must_use]
    pub fn told(&self) -> Vec<Value> {
        std::mem::take(&mut *self.inner.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(listener: TcpListener, inner: Arc<Inner>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("cannot start a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("cannot prepare a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("cannot register a socket");
        let app = Router::new().fallback(handle).with_state(inner);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let _ = stopped.await;
    });
    // Ends open connections, hanging ones included.
    runtime.shutdown_background();
}

async fn handle(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let is_json = headers.get("content-type").is_some_and(|kind| kind == "application/json");
    let is_whole =
        uri.path().ends_with(WEBHOOK_SECRET) && uri.query().is_some_and(|query| query.ends_with(WEBHOOK_SECRET));
    let told = serde_json::from_slice(&body).ok().filter(|_| is_json && is_whole);
    let Some(told) = told else { return StatusCode::BAD_REQUEST };
    inner.told.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    match inner.status.load(Ordering::SeqCst) {
        NEVER => std::future::pending().await,
        status => StatusCode::from_u16(status).expect("because the test chose a status"),
    }
}
