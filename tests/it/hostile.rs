//! Registries that refuse, lie, break off or flood, and disks that are full: a named error, the right exit code, and nothing
//! left behind that a later run takes for an image.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use shipper_testkit::{Auth, FakeRegistry, Fault, Rule};

use crate::support::{Project, Ran, text};

const PASSWORD: &str = "canary-7f3a-password";

/// A registry with the image of `docs` as `demo/docs:1`, and a project whose user is logged in there.
struct World {
    registry: FakeRegistry,
    project: Project,
}

impl World {
    fn new(auth: Auth) -> Self {
        let registry = FakeRegistry::builder().auth(auth).start();
        registry.create_repository("demo/docs");
        let world = Self { registry, project: Project::two_services() };
        world.log_in(PASSWORD);
        world.project.ship();
        let tag = text(&world.project.plan()["services"][0]["tag"]);
        let source = format!("oci:{}:{tag}", world.project.layout("demo/docs").display());
        world.project.run(["push", &source, &world.reference()]).ok();
        world.registry.clear_log();
        world
    }

    fn reference(&self) -> String {
        format!("{}/demo/docs:1", self.registry.host())
    }

    fn log_in(&self, password: &str) {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"));
        let config = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, self.registry.host());
        let directory = self.project.repo.home().join(".docker");
        std::fs::create_dir_all(&directory).expect("creates");
        std::fs::write(directory.join("config.json"), config).expect("writes");
    }

    fn to(&self) -> String {
        format!("oci:{}:1", self.project.path().join("out").display())
    }

    /// The digest of the largest blob: the layer or the configuration.
    fn blob(&self) -> String {
        let size = |digest: &String| self.registry.blob("demo/docs", digest).map(|bytes| bytes.len());
        self.registry.blobs("demo/docs").into_iter().max_by_key(size).expect("blobs")
    }

    /// Nothing is named at the destination, and no blob there is another than its name says.
    fn assert_nothing_left(&self, case: &str) {
        self.project.run(["inspect", &self.to()]).exits(1);
        for (name, bytes) in crate::support::tree(&self.project.path().join("out/blobs")) {
            let digest = name.replace('/', ":");
            assert_eq!(shipper_oci::Digest::of(&bytes).to_string(), digest, "{case}");
        }
        // What comes later starts from there, and is right.
        self.registry.clear_faults();
        self.log_in(PASSWORD);
        self.project.run(["copy", &self.reference(), &self.to()]).ok();
        self.project.run(["verify", &self.to()]).ok();
        std::fs::remove_dir_all(self.project.path().join("out")).expect("removes");
    }
}

type Break = fn(&World);

#[test]
fn each_bad_answer_is_named_and_leaves_nothing() {
    let cases: [(&str, Break, i32, &str); 11] = [
        ("a wrong password", |world| world.log_in("wrong"), 3, "refused the credentials"),
        (
            "a token that has expired for good",
            |world| world.registry.fault(Rule::new(Fault::status(401)).path("/v2/demo")),
            3,
            "refused the credentials",
        ),
        (
            "another manifest than its digest says",
            |world| {
                let stored = world.registry.manifest("demo/docs", "1").expect("is there");
                let other = String::from_utf8_lossy(&stored.bytes).replace("\"docs\"", "\"dogs\"");
                world.registry.fault(Rule::new(Fault::Body(Bytes::from(other))).path("/manifests/"));
            },
            5,
            "has digest",
        ),
        (
            "another blob than its digest says",
            |world| world.registry.fault(Rule::new(Fault::Flip(9)).path(&world.blob())),
            5,
            "has digest",
        ),
        (
            "a blob that breaks off",
            |world| world.registry.fault(Rule::new(Fault::Truncate(20)).path(&world.blob())),
            3,
            "could not be reached",
        ),
        (
            "a blob of another size",
            |world| world.registry.fault(Rule::new(Fault::Body(Bytes::from_static(b"short"))).path(&world.blob())),
            5,
            "bytes long, not",
        ),
        (
            "a redirect to a private place",
            |world| world.registry.fault(Rule::new(Fault::redirect("http://169.254.169.254/latest")).path("/blobs/")),
            3,
            "sends this client to a place that is refused (redirect)",
        ),
        (
            "a realm on another host",
            |world| {
                let challenge = "Bearer realm=\"https://tokens.example.net/t\",service=\"x\"";
                let refused = Fault::status(401).with_header("www-authenticate", challenge);
                world.registry.fault(Rule::new(refused).path("/v2/"));
            },
            3,
            "sends this client to a place that is refused (token realm)",
        ),
        ("no service", |world| world.registry.fault(Rule::new(Fault::status(503))), 3, "503"),
        (
            "too many requests",
            |world| world.registry.fault(Rule::new(Fault::throttled(0)).path("/manifests/")),
            3,
            "limits the request rate",
        ),
        (
            "neither manifest nor JSON",
            |world| world.registry.fault(Rule::new(Fault::Body(Bytes::from_static(b"<html>"))).path("/manifests/")),
            5,
            "is not usable",
        ),
    ];
    let world = World::new(Auth::basic("user", PASSWORD));
    for (case, damage, code, says) in cases {
        damage(&world);
        world.registry.clear_log();
        let ran = world.project.run(["copy", &world.reference(), &world.to()]);
        assert_eq!(ran.code, Some(code), "{case}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{case}: {}", ran.stderr);
        assert!(!ran.stderr.contains(PASSWORD) && !ran.stdout.contains(PASSWORD), "{case}: {}", ran.stderr);
        // G14: no step has more than five tries.
        let log = world.registry.log();
        for path in log.requests.iter().map(|request| &request.path) {
            assert!(log.requests.iter().filter(|request| request.path == *path).count() <= 5, "{case}: {path}");
        }
        world.assert_nothing_left(case);
    }
    let host = world.registry.host();
    world.project.run(["copy", &format!("{host}/demo/nothing:1"), &world.to()]).exits(1).says("does not exist");
    world.project.run(["copy", &format!("{host}/demo/docs:-x"), &world.to()]).exits(2).says("is not a valid tag");
    world.project.run(["push", &world.to(), &format!("{host}/demo/docs:bad tag")]).exits(2);
}

#[test]
fn a_token_that_expires_between_two_requests_is_renewed_and_one_that_can_not_be_had_is_an_error() {
    let world = World::new(Auth::bearer("user", PASSWORD).expires_after(8));
    world.project.run(["copy", &world.reference(), &world.to()]).ok();
    std::fs::remove_dir_all(world.project.path().join("out")).expect("removes");
    world.registry.set_password("changed");
    world.registry.revoke_tokens();
    let ran = world.project.run(["copy", &world.reference(), &world.to()]).exits(3).says("refused the credentials");
    assert!(ran.says("hint: log in with").stderr.lines().count() < 8);
    world.registry.set_password(PASSWORD);
    world.assert_nothing_left("a changed password");
}

/// A file-size limit stands for a full disk: the write fails in the middle.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_while_an_image_is_pulled_leaves_nothing() {
    let world = World::new(Auth::basic("user", PASSWORD));
    let mut state = 7_u64;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    let bytes: Vec<u8> = random.take(400_000).collect();
    world.project.repo.write("docs/large.bin", bytes);
    world.project.ship();
    let tag = text(&world.project.plan()["services"][0]["tag"]);
    let source = format!("oci:{}:{tag}", world.project.layout("demo/docs").display());
    world.project.run(["push", &source, &world.reference()]).ok();
    let inner = world.project.command(["copy", &world.reference(), &world.to()]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 100; exec \"$@\"", "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(world.project.path());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ran = Ran::of(&command.output().expect("starts"));
    ran.exits(5).says("cannot copy").says("write ").says("caused by: File too large");
    let left = crate::support::tree(&world.project.path().join("out/.tmp"));
    assert!(left.is_empty(), "{:?}", left.keys());
    world.assert_nothing_left("a full disk");
}

/// A peer that answers every request by a script, and stops when it is dropped.
struct Evil {
    address: String,
    stop: Arc<AtomicBool>,
}

type Script = fn(&mut TcpStream, &AtomicBool) -> std::io::Result<()>;

impl Evil {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("is bound").to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let stopped = Arc::clone(&stopped);
                std::thread::spawn(move || {
                    let mut head = [0; 4096];
                    while stream.read(&mut head).is_ok_and(|count| count > 0) {
                        if script(&mut stream, &stopped).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, stop }
    }
}

impl Drop for Evil {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

const MANIFEST: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";

fn flood(stream: &mut TcpStream, stop: &AtomicBool, head: &str, piece: &[u8]) -> std::io::Result<()> {
    stream.write_all(head.as_bytes())?;
    let piece = piece.repeat(1 + 60_000 / piece.len());
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&piece)?;
    }
    Ok(())
}

/// The most memory that a process had, in KiB, while it ran, and what it returned.
fn watched(command: &mut Command) -> (u64, Ran) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().expect("waits").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        most = most.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    (most, Ran::of(&child.wait_with_output().expect("ends")))
}

/// G7: whatever a peer sends, the command needs at most 64 MiB more than for an ordinary image, and ends.
#[cfg(target_os = "linux")]
#[test]
fn g7_a_flood_costs_neither_memory_nor_time_without_end() {
    let scripts: [(&str, Script); 9] = [
        ("a manifest without end", |stream, stop| {
            flood(stream, stop, &format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\n\r\n"), b"[")
        }),
        ("a manifest of 10 GB", |stream, stop| {
            flood(stream, stop, &format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\nContent-Length: 10000000000\r\n\r\n"), b" ")
        }),
        ("pieces without end", |stream, stop| {
            let head = format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\nTransfer-Encoding: chunked\r\n\r\n");
            flood(stream, stop, &head, b"1\r\nx\r\n")
        }),
        ("a head without end", |stream, stop| flood(stream, stop, "HTTP/1.1 200 OK\r\n", b"X-A: bbbbbbbbbbbbbbbb\r\n")),
        ("one line without end", |stream, stop| flood(stream, stop, "HTTP/1.1 200 ", b"O")),
        ("an error without end", |stream, stop| {
            flood(stream, stop, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n", b"{\"errors\":[")
        }),
        ("a challenge of 60 KB", |stream, _| {
            let realm = "a".repeat(60_000);
            let head = format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
            stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes())
        }),
        ("brackets in brackets", |stream, _| {
            let body = "[".repeat(3 << 20);
            let head = format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes())
        }),
        ("redirects in a circle", |stream, _| {
            stream.write_all(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v2/again\r\nContent-Length: 0\r\n\r\n")
        }),
    ];
    let world = World::new(Auth::basic("user", PASSWORD));
    let (ordinary, ran) = watched(&mut world.project.command(["inspect", &world.reference()]));
    ran.ok();
    for (case, script) in scripts {
        let evil = Evil::start(script);
        let began = Instant::now();
        let reference = format!("{}/demo/docs:1", evil.address);
        let (most, ran) = watched(&mut world.project.command(["inspect", &reference]));
        assert_eq!(ran.code, Some(3), "{case}: {}", ran.stderr);
        assert!(most <= ordinary + (64 << 10), "{case}: {most} KiB, ordinary are {ordinary} KiB");
        assert!(began.elapsed() < Duration::from_secs(30), "{case}: {:?}", began.elapsed());
        assert!(ran.stderr.len() < 4096, "{case}: {}", ran.stderr);
    }
}
