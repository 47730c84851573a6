//! Real TLS against an independent server (Python's `ssl`, certificates by `openssl`).

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use shipper_oci::{ClientOptions, Error};
use shipper_testkit::{need, require_tool, run};
use support::{Sample, quick, repository, tag};

/// Serves one manifest under `v1`, and a redirect to plain http under `down`.
const SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path.endswith("/manifests/v1"):
            body = open(sys.argv[1] + "/manifest", "rb").read()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        elif self.path.endswith("/manifests/down"):
            body = b""
            self.send_response(307)
            self.send_header("Location", "http://localhost:%d/v2/shop/api/manifests/v1" % self.server.server_port)
        else:
            body = b"{}"
            self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + "/leaf.pem", sys.argv[1] + "/leaf.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(python: &Path, dir: &Path) -> Server {
        let mut child = Command::new(python)
            .args(["-c", SERVER])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Server { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate authority `ca.pem` and a certificate for `localhost`.
fn certificates(openssl: &PathBuf, dir: &Path) {
    let openssl = |args: &[&str]| {
        run(Command::new(openssl).args(args).current_dir(dir));
    };
    let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(
        &[&["req", "-x509", "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem"], &ec[..]]
            .concat(),
    );
    openssl(&[&["req", "-subj", "/CN=localhost", "-keyout", "leaf.key", "-out", "leaf.csr"], &ec[..]].concat());
    std::fs::write(dir.join("leaf.ext"), "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "leaf.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "leaf.ext",
        "-out",
        "leaf.pem",
    ]);
}

#[tokio::test]
async fn certificates_are_verified_and_redirects_stay_encrypted() {
    let (python, openssl) = (need!(require_tool("python3")), need!(require_tool("openssl")));
    let dir = tempfile::tempdir().unwrap();
    certificates(&openssl, dir.path());
    let sample = Sample::image("one");
    std::fs::write(dir.path().join("manifest"), sample.manifest.bytes()).unwrap();
    let server = Server::start(&python, dir.path());
    let host = format!("localhost:{}", server.port);
    let options = |trusting: bool| -> ClientOptions {
        let mut options = quick();
        options.tls_hosts.insert(host.clone());
        if trusting {
            options.root_certificates.push(std::fs::read(dir.path().join("ca.pem")).unwrap());
        }
        options
    };

    let trusting = repository(&host, options(true));
    assert_eq!(trusting.manifest(&tag("v1").into()).await.unwrap().unwrap(), sample.manifest);
    assert!(trusting.manifest(&tag("v2").into()).await.unwrap().is_none());
    let error = trusting.manifest(&tag("down").into()).await.unwrap_err();
    assert!(matches!(error, Error::UnsafePeer { what: "redirect", .. }), "{error:?}");

    let distrusting = repository(&host, options(false));
    let error = distrusting.manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(distrusting.stats().requests, 1, "a wrong certificate is not tried again");

    // The certificate is for another name.
    let mut wrong = options(true);
    wrong.tls_hosts.insert("127.0.0.1".to_owned());
    let error = repository(&format!("127.0.0.1:{}", server.port), wrong).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");

    // Plain http to a server that wants TLS, and the reverse.
    let error = repository(&host, quick()).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(error.is_unknown(), "{error:?}");
    let plain = shipper_testkit::FakeRegistry::start();
    let mut tls = quick();
    tls.tls_hosts.insert(plain.host().to_owned());
    let error = repository(plain.host(), tls).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}
