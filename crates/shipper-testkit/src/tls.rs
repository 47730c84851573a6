//! What stands between a client and a registry in a company: a TLS server with a certificate authority of its own, and a
//! proxy that writes down where it was asked to connect.
//!
//! Invariants: ports are chosen by the system; the TLS server is an independent implementation (Python's `ssl`, certificates
//! by `openssl`) and is ended by its own process id.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::tool::{Skip, require_tool, run};

/// Takes TLS and passes on what is inside.
const FRONT: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/leaf.pem", sys.argv[1] + "/leaf.key")
def pump(a, b):
    try:
        while True:
            data = a.recv(65536)
            if not data: break
            b.sendall(data)
    except OSError: pass
    for s in (a, b):
        try: s.shutdown(socket.SHUT_RDWR)
        except OSError: pass
def serve(raw):
    try: inner = context.wrap_socket(raw, server_side=True)
    except OSError: return
    out = socket.create_connection((sys.argv[2], int(sys.argv[3])))
    threading.Thread(target=pump, args=(out, inner), daemon=True).start()
    pump(inner, out)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    raw, _ = server.accept()
    threading.Thread(target=serve, args=(raw,), daemon=True).start()
"#;

/// A TLS server in front of a plain one. Its certificate is from a certificate authority that nobody knows.
#[derive(Debug)]
pub struct TlsFront {
    child: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

impl TlsFront {
    /// Starts a server for `name` in front of `behind`.
    ///
    /// # Errors
    /// If `python3` or `openssl` is not installed.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn start(name: &str, behind: SocketAddr) -> Result<Self, Skip> {
        let (python, openssl) = (require_tool("python3")?, require_tool("openssl")?);
        let directory = tempfile::tempdir().expect("cannot create a directory");
        let openssl = |arguments: &str| {
            run(Command::new(&openssl).args(arguments.split(' ')).current_dir(directory.path()));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!("req -x509 -days 2 -subj /CN=testkit -keyout ca.key -out ca.pem {key}"));
        openssl(&format!("req -subj /CN={name} -keyout leaf.key -out leaf.csr {key}"));
        let extensions = format!("subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\n");
        std::fs::write(directory.path().join("leaf.ext"), extensions).expect("cannot write");
        openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem",
        );
        let mut child = Command::new(python)
            .args(["-c", FRONT])
            .arg(directory.path())
            .args([behind.ip().to_string(), behind.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot start python3");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("because stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("cannot read the port");
        let port = line.trim().parse().expect("the server prints its port");
        Ok(Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)), directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The PEM file of its certificate authority.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP proxy that connects to places it knows and to nothing else.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that sends `CONNECT name:port` to the address of `places` under `name:port`.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn start(places: BTreeMap<String, SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("cannot listen");
        let address = listener.local_addr().expect("because it is bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (places, log) = (Arc::new(places), Arc::clone(&requests));
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (places, log) = (Arc::clone(&places), Arc::clone(&log));
                std::thread::spawn(move || drop(serve(stream, &places, &log)));
            }
        });
        Self { address, requests }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far, one text each.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(client: TcpStream, places: &BTreeMap<String, SocketAddr>, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    log.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
    let mut client = client;
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let Some(place) = target.and_then(|target| places.get(target)) else {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    };
    let server = TcpStream::connect(place)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut back_from, mut back_to) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Both);
    });
    let mut to = server;
    let buffered = reader.buffer().to_vec();
    to.write_all(&buffered)?;
    let _ = std::io::copy(&mut client, &mut to);
    let _ = to.shutdown(Shutdown::Both);
    let _ = back.join();
    Ok(())
}
