//! A peer that says exactly these bytes: what no registry library would let a server say.
//!
//! Invariants: each answer ends its connection; what arrived is kept before it is answered; a flood ends with the peer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Upper case, such as `GET`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The whole head and body as text.
    pub text: String,
}

impl Seen {
    /// The value of the first header of this name (lower case); empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        let found = fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    }
}

/// What the server does next.
#[derive(Debug, Clone)]
pub enum Act {
    /// Say this.
    Say(Vec<u8>),
    /// Say this until the client goes away.
    Forever(Vec<u8>, Duration),
    /// Say nothing and keep the connection.
    Hang,
}

/// A whole answer with a body.
#[must_use]
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<Act> {
    let body = body.as_ref();
    let mut text = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    text.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    vec![Act::Say(bytes)]
}

/// A 401 with a challenge.
#[must_use]
pub fn challenge(text: &str) -> Vec<Act> {
    answer(401, &[("www-authenticate", text)], "")
}

type Handler = dyn Fn(&Seen) -> Vec<Act> + Send + Sync;

/// A server on this machine that answers each request as a function says, until it is dropped.
///
/// ```
/// use shipper_testkit::evil::{Evil, answer};
/// let evil = Evil::start(|request| answer(if request.method == "GET" { 418 } else { 500 }, &[], "no"));
/// assert!(evil.host().starts_with("127.0.0.1:") && evil.seen().is_empty());
/// ```
pub struct Evil {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Evil {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Evil").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Evil {
    /// Starts it.
    ///
    /// # Panics
    /// If no loopback port can be opened.
    pub fn start(handler: impl Fn(&Seen) -> Vec<Act> + Send + Sync + 'static) -> Evil {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("cannot open a loopback port");
        let port = listener.local_addr().expect("because the socket is bound").port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let (log, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), handler, log, stopped) =
                    (stream, Arc::clone(&handler), Arc::clone(&log), Arc::clone(&stopped))
                else {
                    continue;
                };
                std::thread::spawn(move || serve(stream, &*handler, &log, &stopped));
            }
        });
        Evil { port, seen, stop }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All requests so far, in the order of arrival.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Evil {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Seen>>, stopped: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let Ok(clone) = stream.try_clone() else { return };
    let mut reader = BufReader::new(clone);
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        text.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = Vec::new();
    let _ = (&mut reader).take(length).read_to_end(&mut body);
    let mut first = text.split(' ');
    let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
    text.push_str(&String::from_utf8_lossy(&body));
    let seen = Seen { method, target, text };
    log.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    for act in handler(&seen) {
        let result = match act {
            Act::Say(bytes) => stream.write_all(&bytes),
            Act::Forever(bytes, pause) => loop {
                if let Err(error) = stream.write_all(&bytes) {
                    break Err(error);
                }
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(pause);
            },
            Act::Hang => {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return;
            }
        };
        if result.is_err() {
            return;
        }
    }
}
