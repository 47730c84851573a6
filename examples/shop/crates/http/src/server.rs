//! Accepts connections, hands requests to the handler, and stops when asked.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::request::{self, Rejection, Request};
use crate::response::Response;

/// What one client may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the request line and the headers.
    pub head: u64,
    /// Bytes of the body.
    pub body: u64,
    /// Time in which the whole request must arrive, and the longest wait for a slow reader of the response.
    pub time: Duration,
    /// Connections served at once; one more is answered 503.
    pub connections: usize,
    /// How long a stopping server waits for the connections that are open.
    pub grace: Duration,
}

impl Default for Limits {
    /// 16 KiB of head, 64 KiB of body, 10 seconds, 64 connections, 5 seconds of grace.
    fn default() -> Self {
        Self {
            head: 16 << 10,
            body: 64 << 10,
            time: Duration::from_secs(10),
            connections: 64,
            grace: Duration::from_secs(5),
        }
    }
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: Limits,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    /// Open connections.
    open: Mutex<usize>,
    closed: Condvar,
}

impl Shared {
    /// A count cannot be left half changed, so a poisoned lock is as good as another.
    fn open(&self) -> MutexGuard<'_, usize> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Shared>);

impl Open {
    /// `None` when the limit is reached.
    fn try_new(shared: &Arc<Shared>, limit: usize) -> Option<Self> {
        let mut open = shared.open();
        (*open < limit).then(|| {
            *open += 1;
            Self(Arc::clone(shared))
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        *self.0.open() -= 1;
        self.0.closed.notify_all();
    }
}

/// Stops a running server from another thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Stopper {
    /// Ends [`Server::serve`] after the requests that are being answered.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // `accept` blocks; a connection from ourselves makes it look at the flag.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        drop(TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    }
}

impl Server {
    /// Binds `address` with the default limits. Port 0 chooses a free port.
    ///
    /// # Errors
    /// When the address is in use or not ours.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address)?, limits: Limits::default(), shared: Arc::default() })
    }

    /// The same server with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system no longer knows it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The handle that stops this server.
    ///
    /// # Errors
    /// When the bound address is not known.
    pub fn stopper(&self) -> io::Result<Stopper> {
        Ok(Stopper { address: self.local_addr()?, shared: Arc::clone(&self.shared) })
    }

    /// Serves until [`Stopper::stop`], then waits for the open connections, at most [`Limits::grace`].
    ///
    /// A handler that panics answers 500; the server goes on.
    ///
    /// # Errors
    /// When no thread can be started at all. A connection that fails only ends that connection.
    pub fn serve<H>(self, handler: H) -> io::Result<()>
    where
        H: Fn(&Request) -> Response + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        let limits = self.limits;
        loop {
            let accepted = self.listener.accept();
            if self.shared.stopping.load(Ordering::SeqCst) {
                break;
            }
            let stream = match accepted {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely; the connections that are open will give some back.
                    eprintln!("accept: {error}");
                    thread::sleep(Duration::from_millis(50));
                    continue;
                }
            };
            let Some(open) = Open::try_new(&self.shared, limits.connections) else {
                refuse(&stream);
                continue;
            };
            let handler = Arc::clone(&handler);
            thread::Builder::new().name("connection".to_owned()).spawn(move || {
                connection(&stream, &limits, &*handler);
                drop(open);
            })?;
        }
        let open = self.shared.open();
        drop(self.shared.closed.wait_timeout_while(open, limits.grace, |open| *open > 0));
        Ok(())
    }
}

/// Runs on the accepting thread, so nothing here waits: one small write into an empty socket buffer does not block,
/// and what has arrived is read once so that closing does not reset the connection. A peer that is gone does not matter.
fn refuse(mut stream: &TcpStream) {
    let _ = Response::text(503, "too many connections\n").with_header("retry-after", "1").write(stream, "GET");
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_nonblocking(true).and_then(|()| stream.read(&mut [0; 4096]));
}

/// Serves one connection from the first byte to the last.
fn connection(stream: &TcpStream, limits: &Limits, handler: &dyn Fn(&Request) -> Response) {
    let incoming = Deadline { stream, end: Instant::now() + limits.time };
    let (method, response) = match request::read(incoming, stream, limits) {
        Ok(request) => {
            let response = catch_unwind(AssertUnwindSafe(|| handler(&request)))
                .unwrap_or_else(|_| Response::text(500, "internal error\n"));
            eprintln!("{} {} {}", request.method(), request.path(), response.status());
            (request.method().to_owned(), response)
        }
        Err(Rejection::Answer(status, why)) => {
            eprintln!("- - {status} {why}");
            ("GET".to_owned(), Response::text(status, format!("{why}\n")))
        }
        Err(Rejection::Gone(_)) => return,
    };
    let sent = stream.set_write_timeout(Some(limits.time)).and_then(|()| response.write(stream, &method));
    if let Err(error) = sent {
        eprintln!("- - the response was not taken: {error}");
        return;
    }
    finish(stream);
}

/// Closes in a way that lets the peer read the response: a socket that is closed with unread bytes resets the
/// connection, and the reset can overtake the response.
fn finish(stream: &TcpStream) {
    const AT_MOST: u64 = 256 << 10;
    if stream.shutdown(Shutdown::Write).is_ok() {
        let rest = Deadline { stream, end: Instant::now() + Duration::from_millis(500) };
        let _ = io::copy(&mut rest.take(AT_MOST), &mut io::sink());
    }
}

/// Reads until a moment, not for a span after each byte: a client that sends one byte at a time gains nothing.
struct Deadline<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl Read for Deadline<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        stream.read(buffer)
    }
}
