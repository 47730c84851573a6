//! The connection as faults need it: a socket that can be reset, and a body that can be cut at an exact byte.
//!
//! Invariant: the bytes before a cut have left the process before the connection is closed, reset or left hanging.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::fault::Fault;
use super::log::Entry;

/// What handlers may do to the connection of their request.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) number: u64,
    /// Close with RST instead of FIN.
    reset: AtomicBool,
    /// Refuse to write any further byte.
    dead: AtomicBool,
    flushes: AtomicU64,
    flushed: Notify,
}

impl Connection {
    /// Ends the connection with RST before another byte is written.
    pub(super) fn kill(&self) {
        self.reset.store(true, Ordering::SeqCst);
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Ends the connection with FIN before another byte is written.
    pub(super) fn hang_up(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Waits until everything was written that the server had buffered after its flush number `before`.
    async fn flushed_after(&self, before: u64) {
        loop {
            let notified = self.flushed.notified();
            if self.flushes.load(Ordering::SeqCst) > before {
                return;
            }
            notified.await;
        }
    }
}

/// A socket under the control of its [`Connection`].
#[derive(Debug)]
pub(super) struct Io {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.connection.reset.load(Ordering::SeqCst) {
            // Without this the close is a FIN, which only makes the fault milder.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.connection.dead.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.connection.dead.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The server calls this when its own buffer is empty.
        self.connection.flushes.fetch_add(1, Ordering::SeqCst);
        self.connection.flushed.notify_waiters();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.reset.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Accepts connections and numbers them over all listeners of one server.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) counter: Arc<AtomicU64>,
}

impl Listener for Door {
    type Io = Io;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Io, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Small answers must not wait for an acknowledgement; a failure costs time only.
                    let _ = stream.set_nodelay(true);
                    let number = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
                    let connection = Arc::new(Connection { number, ..Connection::default() });
                    return (Io { stream, connection }, address);
                }
                // Out of descriptors, or a client that left again: neither ends the server.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Gives handlers the connection of their request.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Arc<Connection>);

impl Connected<IncomingStream<'_, Door>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(Arc::clone(&stream.io().connection))
    }
}

/// How a body ends before its end.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Close,
    Reset,
    Hang,
}

#[derive(Debug)]
struct Sending {
    rest: Bytes,
    piece: usize,
    pause: Option<Duration>,
    cut: Option<Cut>,
    flushes: u64,
    entry: Arc<Entry>,
    connection: Arc<Connection>,
}

/// The body that reaches the client: `bytes`, changed, slowed or cut as the faults say. Counted in the log.
pub(super) fn body(bytes: Bytes, faults: &[Fault], entry: Arc<Entry>, connection: Arc<Connection>) -> Body {
    let mut rest = bytes;
    let mut sending = Sending {
        rest: Bytes::new(),
        piece: usize::MAX,
        pause: None,
        cut: None,
        flushes: connection.flushes.load(Ordering::SeqCst),
        entry,
        connection,
    };
    for fault in faults {
        match fault {
            Fault::Flip(at) if !rest.is_empty() => {
                let mut changed = rest.to_vec();
                let at = at % changed.len();
                changed[at] ^= 1;
                rest = Bytes::from(changed);
            }
            Fault::Truncate(at) => {
                rest.truncate(*at);
                sending.cut = Some(Cut::Close);
            }
            Fault::ResetAfter(at) => {
                rest.truncate(*at);
                sending.cut = Some(Cut::Reset);
            }
            Fault::HangAfter(at) => {
                rest.truncate(*at);
                sending.cut = Some(Cut::Hang);
            }
            Fault::Drip { bytes, pause } => {
                sending.piece = (*bytes).max(1);
                sending.pause = Some(*pause);
            }
            _ => {}
        }
    }
    sending.rest = rest;
    Body::from_stream(stream::unfold(sending, next_piece))
}

async fn next_piece(mut sending: Sending) -> Option<(io::Result<Bytes>, Sending)> {
    if sending.rest.is_empty() {
        let cut = sending.cut.take()?;
        sending.connection.flushed_after(sending.flushes).await;
        match cut {
            Cut::Close => sending.connection.hang_up(),
            Cut::Reset => sending.connection.kill(),
            Cut::Hang => std::future::pending().await,
        }
        return Some((Err(io::ErrorKind::ConnectionAborted.into()), sending));
    }
    if let Some(pause) = sending.pause {
        tokio::time::sleep(pause).await;
    }
    let piece = sending.rest.split_to(sending.piece.min(sending.rest.len()));
    sending.entry.sent(piece.len());
    sending.flushes = sending.connection.flushes.load(Ordering::SeqCst);
    Some((Ok(piece), sending))
}
