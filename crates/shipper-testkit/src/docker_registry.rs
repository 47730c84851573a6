//! Debian's `docker-registry` (Distribution 2.8) as a child process: the judge of what a registry really does.
//!
//! Invariants: the port is chosen by the server itself, so none collides; its data lie in a private directory; it is
//! ended by its own process id when the fixture is dropped.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use crate::registry::{Host, Log, Request};
use crate::tool::{Skip, require_tool};

/// How long the server may take until it listens.
const START: Duration = Duration::from_secs(20);

/// User of [`DockerRegistry::start_with_password`].
pub const USER: &str = "testkit";
/// Password of [`DockerRegistry::start_with_password`].
pub const PASSWORD: &str = "testkit-password";
/// bcrypt (cost 4) of [`PASSWORD`], as `htpasswd -B` writes it.
const PASSWORD_HASH: &str = "$2b$04$IVWhq8r.fN9XMKWIwTFbvOc7nsGfR5Xhz9OKzVywBKpIUBfX2rl1O";

/// A running `docker-registry`.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    host: String,
    lines: Arc<Mutex<Vec<String>>>,
    marks: Mutex<u64>,
    readers: Vec<JoinHandle<()>>,
    data: TempDir,
}

impl DockerRegistry {
    /// Starts a registry that takes everything from everybody.
    ///
    /// # Errors
    /// If `docker-registry` is not installed.
    ///
    /// # Panics
    /// If it is installed and does not start; the message holds what it printed.
    pub fn start() -> Result<Self, Skip> {
        Self::launch("", &std::env::temp_dir())
    }

    /// As [`DockerRegistry::start`], with its data below `directory`.
    ///
    /// # Errors
    /// As [`DockerRegistry::start`].
    ///
    /// # Panics
    /// As [`DockerRegistry::start`].
    pub fn start_in(directory: &std::path::Path) -> Result<Self, Skip> {
        Self::launch("", directory)
    }

    /// Starts a registry that asks for [`USER`] and [`PASSWORD`] by HTTP Basic.
    ///
    /// # Errors
    /// As [`DockerRegistry::start`].
    ///
    /// # Panics
    /// As [`DockerRegistry::start`].
    pub fn start_with_password() -> Result<Self, Skip> {
        Self::launch("auth: { htpasswd: { realm: testkit, path: \"@DIR@/htpasswd\" } }\n", &std::env::temp_dir())
    }

    fn launch(auth: &str, below: &std::path::Path) -> Result<Self, Skip> {
        let program = require_tool("docker-registry")?;
        let data = tempfile::tempdir_in(below).expect("cannot create a directory");
        let config = data.path().join("config.yml");
        let text = format!(
            "version: 0.1\n\
             log: {{ level: info, formatter: json, accesslog: {{ disabled: false }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: \"@DIR@/data\" }}, delete: {{ enabled: true }}, \
             maintenance: {{ uploadpurging: {{ enabled: false }} }} }}\n\
             http: {{ addr: \"127.0.0.1:0\", secret: testkit }}\n{auth}"
        );
        let directory = data.path().to_str().expect("because temporary directories have plain names");
        std::fs::write(&config, text.replace("@DIR@", directory)).expect("cannot write the configuration");
        std::fs::write(data.path().join("htpasswd"), format!("{USER}:{PASSWORD_HASH}\n"))
            .expect("cannot write htpasswd");
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start docker-registry");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (found, listening) = channel();
        let stdout = child.stdout.take().expect("because stdout is piped");
        let stderr = child.stderr.take().expect("because stderr is piped");
        let readers = vec![collect(stdout, &lines, found.clone()), collect(stderr, &lines, found)];
        let host = wait_for_address(&mut child, &listening, &lines);
        Ok(Self { child, host, lines, marks: Mutex::new(0), readers, data })
    }

    /// `127.0.0.1:PORT`, as references begin.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// Directory with the registry's files: `docker/registry/v2/..`.
    #[must_use]
    pub fn data(&self) -> std::path::PathBuf {
        self.data.path().join("data")
    }

    /// All requests so far in order of their ends, from the access log: no headers, no bodies, `bytes_in` always 0.
    ///
    /// # Panics
    /// If the server has ended.
    #[must_use]
    pub fn log(&self) -> Log {
        let mark = self.mark();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let requests =
            lines.iter().filter_map(|line| access(line)).filter(|request| !request.query.starts_with("mark="));
        let log = Log { requests: requests.collect() };
        drop(lines);
        assert!(mark, "docker-registry does not answer any more");
        log
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.mark();
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Makes a request of its own and waits until it is in the log, so that all earlier ones are.
    fn mark(&self) -> bool {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        *marks += 1;
        let wanted = format!("/v2/?mark={} ", *marks);
        if request_once(&self.host, wanted.trim_end()).is_err() {
            return false;
        }
        let deadline = std::time::Instant::now() + START;
        while std::time::Instant::now() < deadline {
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.iter().rev().any(|line| line.contains(&wanted)) {
                return true;
            }
            drop(lines);
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

fn collect(
    stream: impl Read + Send + 'static,
    lines: &Arc<Mutex<Vec<String>>>,
    found: Sender<String>,
) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on ") {
                let address = rest.split('"').next().unwrap_or_default();
                // Nobody waits any more once the address is known.
                let _ = found.send(address.to_owned());
            }
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    })
}

fn wait_for_address(child: &mut Child, listening: &Receiver<String>, lines: &Arc<Mutex<Vec<String>>>) -> String {
    if let Ok(address) = listening.recv_timeout(START) {
        return address;
    }
    // The child must not outlive the panic.
    let _ = child.kill();
    let _ = child.wait();
    let printed = lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
    panic!("docker-registry did not start:\n{printed}");
}

/// One `GET` without any client library; the answer is read and thrown away.
fn request_once(host: &str, target: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut stream = std::net::TcpStream::connect(host)?;
    stream.set_read_timeout(Some(START))?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A line of the access log (Apache's combined format).
fn access(line: &str) -> Option<Request> {
    let mut quoted = line.split('"');
    quoted.next().filter(|head| head.ends_with("] "))?;
    let mut request = quoted.next()?.split(' ');
    let mut numbers = quoted.next()?.split_whitespace();
    let (method, target) = (request.next()?, request.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request {
        host: Host::Registry,
        connection: 0,
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        bytes_in: 0,
        status: numbers.next()?.parse().ok(),
        bytes_out: numbers.next()?.parse().ok()?,
        faults: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_lines_become_requests() {
        let line = r#"127.0.0.1 - - [21/Nov/2026:03:42:17 +0000] "PUT /v2/x/blobs/uploads/7?digest=a HTTP/1.1" 201 0 "" "curl""#;
        let request = access(line).expect("an access line");
        assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/v2/x/blobs/uploads/7"));
        assert_eq!((request.query.as_str(), request.status), ("digest=a", Some(201)));
        assert!(access(r#"{"level":"info","msg":"listening on 127.0.0.1:1"}"#).is_none());
    }
}
