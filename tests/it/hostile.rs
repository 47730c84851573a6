//! Registries that refuse, lie, break off or flood, and disks that are full: a named error, the right exit code, and nothing
//! left behind that a later run takes for an image.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use shipper_testkit::evil::{Act, Evil, Seen, answer, challenge};
use shipper_testkit::secret::{canary, forms_in};
use shipper_testkit::{Auth, FakeRegistry, Fault, Rule, need, require_tool};

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
        log_in(&self.project, self.registry.host(), password);
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

/// Writes the password of `user` where `docker login` leaves it.
fn log_in(project: &Project, host: &str, password: &str) {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"));
    let config = format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#);
    let directory = project.repo.home().join(".docker");
    std::fs::create_dir_all(&directory).expect("creates");
    std::fs::write(directory.join("config.json"), config).expect("writes");
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

/// A file system of its own that is full in the middle, and large enough later.
#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_is_full_while_an_image_is_pulled_has_no_image_and_takes_it_later() {
    let unshare = need!(require_tool("unshare"));
    let may_mount = "mount -t tmpfs -o size=4k tmpfs /mnt";
    let tried = Command::new(&unshare).args(["--mount", "sh", "-c", may_mount]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        shipper_testkit::skip!("mount", "needs the right to mount a file system");
    }
    let world = World::new(Auth::basic("user", PASSWORD));
    let mut random = Random(7);
    let bytes: Vec<u8> = (0..400_000).map(|_| u8::try_from(random.below(256)).expect("small")).collect();
    world.project.repo.write("docs/large.bin", bytes);
    world.project.ship();
    let tag = text(&world.project.plan()["services"][0]["tag"]);
    let source = format!("oci:{}:{tag}", world.project.layout("demo/docs").display());
    world.project.run(["push", &source, &world.reference()]).ok();
    let inner = world.project.command(["copy", &world.reference(), "oci:/mnt/out:1"]);
    let script = "mount -t tmpfs -o size=256k tmpfs /mnt; \"$@\"; echo \"full $?\"; \
                  \"$1\" inspect oci:/mnt/out:1; echo \"inspected $?\"; find /mnt -type f | sed 's/^/file /'; \
                  mount -o remount,size=64m tmpfs /mnt; \"$@\"; echo \"larger $?\"; \
                  \"$1\" verify oci:/mnt/out:1; echo \"verified $?\"";
    let mut command = Command::new(&unshare);
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(world.project.path());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ran = Ran::of(&command.output().expect("starts")).ok().says("caused by: No space left on device");
    let told = |word: &str| -> Vec<&str> {
        ran.stdout.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
    };
    let codes = ["full", "inspected", "larger", "verified"].map(|word| told(word).concat());
    assert_eq!(codes, ["5", "1", "0", "0"], "{}{}", ran.stdout, ran.stderr);
    // Complete blobs are of use for the next run; nothing is half there.
    assert!(told("file").iter().all(|file| !file.contains("/.tmp/")), "{}", ran.stdout);
}

/// The registry answers so many requests, and then nobody listens any more.
#[test]
fn a_registry_that_goes_away_in_the_middle_leaves_no_name() {
    let world = World::new(Auth::basic("user", PASSWORD));
    let tag = text(&world.project.plan()["services"][0]["tag"]);
    let source = format!("oci:{}:{tag}", world.project.layout("demo/docs").display());
    let pushed = format!("{}/other/docs:1", world.registry.host());
    world.registry.create_repository("other/docs");
    world.project.run(["copy", &world.reference(), &world.to()]).ok();
    let pulling = world.registry.log().requests.len();
    std::fs::remove_dir_all(world.project.path().join("out")).expect("removes");
    for answered in [1, pulling / 2, pulling - 1] {
        world.registry.fault(Rule::new(Fault::Reset).skip(answered as u64));
        world.project.run(["copy", &world.reference(), &world.to()]).exits(3).says("could not be reached");
        world.assert_nothing_left(&format!("{answered} requests of a pull"));
    }
    for answered in [1, 4, 8] {
        world.registry.fault(Rule::new(Fault::Reset).skip(answered));
        world.project.run(["push", &source, &pushed]).exits(3).says("could not be reached");
        world.registry.clear_faults();
        assert!(world.registry.tags("other/docs").iter().all(|(name, _)| name != "1"), "{answered}");
    }
    world.project.run(["push", &source, &pushed]).ok();
    world.project.run(["verify", &pushed]).ok();
}

#[test]
fn what_is_no_reference_is_usage_and_a_password_in_it_is_not_repeated() {
    let project = Project::two_services();
    let out = format!("oci:{}:1", project.path().join("out").display());
    for (reference, says) in [
        ("", "it is empty"),
        ("127.0.0.1:1", "no repository there"),
        ("localhost:5000", "no repository there"),
        ("127.0.0.1:1/", "is not a valid repository name"),
        ("127.0.0.1:1/a:", "is not a valid tag"),
        ("127.0.0.1:1/a:-x", "is not a valid tag"),
        ("127.0.0.1:1/a@", "is not a valid digest"),
        ("127.0.0.1:1/a@sha256:zz", "is not a valid digest"),
        ("127.0.0.1:1/A:1", "upper-case letters are not allowed"),
        ("127.0.0.1:1//a:1", "is not a valid repository name"),
        ("127.0.0.1:1/a/../b:1", "is not a valid repository name"),
        ("127.0.0.1:99999/a:1", "the port is not a number"),
        ("https://127.0.0.1:1/a:1", "it has a URL scheme"),
        ("user:canary-secret@127.0.0.1:1/a:1", "it holds a user name"),
        ("user:canary/secret@127.0.0.1:1/a:1", "it holds a user name"),
        ("https://user:canary-secret@127.0.0.1:1/a:1", "it has a URL scheme"),
    ] {
        let commands: [&[&str]; 4] = [
            &["inspect", reference],
            &["copy", reference, &out],
            &["promote", &out, reference],
            &["verify", reference],
        ];
        for command in commands {
            let ran = project.run(command);
            assert!(!ran.stderr.contains("canary") && !ran.stdout.contains("canary"), "{command:?}: {}", ran.stderr);
            if command[0] != "verify" || !reference.is_empty() {
                assert_eq!(ran.code, Some(2), "{command:?}: {}", ran.stderr);
                assert!(ran.stderr.contains(says), "{command:?}: {}", ran.stderr);
            }
        }
    }
    for registry in ["https://user:canary-secret@127.0.0.1:1", "user:canary-secret@127.0.0.1:1", "https://127.0.0.1:1"]
    {
        let ran = project.run(["plan", "--registry", registry]).exits(2);
        assert!(!ran.says("cannot use registry").stderr.contains("canary"), "{registry}");
    }
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
    assert!(most > 0, "its memory can not be read in {status}");
    (most, Ran::of(&child.wait_with_output().expect("ends")))
}

/// An answer without end: `head`, and then `piece` for ever.
fn flood(head: &str, piece: &[u8]) -> Vec<Act> {
    let pieces = piece.repeat(1 + 60_000 / piece.len());
    vec![Act::Say(head.as_bytes().to_vec()), Act::Forever(pieces, Duration::ZERO)]
}

fn says(text: impl AsRef<[u8]>) -> Vec<Act> {
    vec![Act::Say(text.as_ref().to_vec())]
}

const MANIFEST: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";

/// An image whose configuration and only layer are as long as is said here.
fn image(length: u64) -> String {
    let digest = |of: &[u8]| shipper_testkit::registry::digest_of(of);
    let kind = "application/vnd.oci.image";
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","config":{{"mediaType":"{kind}.config.v1+json","digest":"{}","size":{length}}},"layers":[{{"mediaType":"{kind}.layer.v1.tar+gzip","digest":"{}","size":{length}}}]}}"#,
        digest(b"a"),
        digest(b"b"),
    )
}

/// What a registry answers that has a sound image of no layers, and nothing else.
fn sound(seen: &Seen) -> Vec<Act> {
    let digest = shipper_testkit::registry::digest_of(b"{}");
    let kind = "application/vnd.oci.image";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}.manifest.v1+json","config":{{"mediaType":"{kind}.config.v1+json","digest":"{digest}","size":2}},"layers":[]}}"#,
    );
    let own = shipper_testkit::registry::digest_of(manifest.as_bytes());
    match seen.target.rsplit('/').next().unwrap_or_default() {
        name if name == "1" || name == own => {
            answer(200, &[("content-type", &format!("{kind}.manifest.v1+json"))], manifest)
        }
        name if name == digest => answer(200, &[], "{}"),
        "" => answer(200, &[], "{}"),
        _ => answer(404, &[], ""),
    }
}

type Script = fn(&Seen) -> Vec<Act>;

/// Answers an image to who asks for a manifest by its tag, and what `then` says to everything else.
fn with_image(seen: &Seen, length: u64, then: fn() -> Vec<Act>) -> Vec<Act> {
    if seen.target.ends_with("/manifests/1") {
        return answer(200, &[("content-type", "application/vnd.oci.image.manifest.v1+json")], image(length));
    }
    then()
}

/// G7: whatever a peer sends, the command needs at most 64 MiB more than for an ordinary image, and ends.
#[cfg(target_os = "linux")]
#[test]
fn g7_a_flood_costs_neither_memory_nor_time_without_end() {
    let scripts: [(&str, &str, i32, Script); 17] = [
        ("a manifest without end", "inspect", 3, |_| flood(&format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\n\r\n"), b"[")),
        ("a manifest of 10 GB", "inspect", 3, |_| {
            flood(&format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\nContent-Length: 10000000000\r\n\r\n"), b" ")
        }),
        ("pieces without end", "inspect", 3, |_| {
            flood(&format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\nTransfer-Encoding: chunked\r\n\r\n"), b"1\r\nx\r\n")
        }),
        ("a head without end", "inspect", 3, |_| flood("HTTP/1.1 200 OK\r\n", b"X-A: bbbbbbbbbbbbbbbb\r\n")),
        ("one line without end", "inspect", 3, |_| flood("HTTP/1.1 200 ", b"O")),
        ("an error without end", "inspect", 3, |_| {
            flood("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n", b"{\"errors\":[")
        }),
        ("a challenge of 60 KB", "inspect", 3, |_| {
            let realm = "a".repeat(60_000);
            let head = format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
            says(format!("{head}Content-Length: 0\r\n\r\n"))
        }),
        ("brackets in brackets", "inspect", 3, |_| {
            let body = "[".repeat(3 << 20);
            says(format!("HTTP/1.1 200 OK\r\n{MANIFEST}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
        }),
        ("redirects in a circle", "inspect", 3, |_| answer(307, &[("location", "/v2/again")], "")),
        ("a token without end", "inspect", 3, |seen| match seen.target.starts_with("/token") {
            true => flood("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"token\":\"", b"aaaaaaaa"),
            false => challenge(&format!("Bearer realm=\"http://{}/token\",service=\"x\"", seen.header("host"))),
        }),
        ("a configuration without end", "inspect", 3, |seen| {
            with_image(seen, 1, || flood("HTTP/1.1 200 OK\r\n\r\n", b"aaaaaaaa"))
        }),
        ("blobs without end", "copy", 5, |seen| with_image(seen, 1, || flood("HTTP/1.1 200 OK\r\n\r\n", b"aaaaaaaa"))),
        ("blobs in single bytes", "copy", 5, |seen| {
            with_image(seen, 1, || flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"))
        }),
        ("blobs of other lengths", "copy", 5, |seen| {
            with_image(seen, 1 << 40, || says("HTTP/1.1 200 OK\r\nContent-Length: 1099511627777\r\n\r\n"))
        }),
        ("a list of referrers without end", "verify", 3, |seen| match seen.target.contains("/referrers/") {
            true => flood("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\n\r\n", b"[{},"),
            false => sound(seen),
        }),
        ("pages of referrers in a circle", "verify", 3, |seen| match seen.target.contains("/referrers/") {
            true => {
                let kind = "application/vnd.oci.image.index.v1+json";
                let next = format!("<{}>; rel=\"next\"", seen.target);
                let empty = format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[]}}"#);
                answer(200, &[("content-type", kind), ("link", &next)], empty)
            }
            false => sound(seen),
        }),
        ("an answer to a write without end", "push", 3, |seen| match seen.method.as_str() {
            "GET" | "HEAD" => answer(404, &[], ""),
            _ => flood("HTTP/1.1 201 Created\r\nLocation: /v2/x\r\nX-A: ", b"aaaaaaaa"),
        }),
    ];
    let world = World::new(Auth::basic("user", PASSWORD));
    let own = text(&world.project.plan()["services"][0]["tag"]);
    let own = format!("oci:{}:{own}", world.project.layout("demo/docs").display());
    let key = crate::sign::key("p256.pub.pem");
    let (ordinary, ran) = watched(&mut world.project.command(["copy", &world.reference(), &world.to()]));
    ran.ok();
    std::fs::remove_dir_all(world.project.path().join("out")).expect("removes");
    for (case, command, code, script) in scripts {
        let evil = Evil::start(script);
        let began = Instant::now();
        let reference = format!("{}/demo/docs:1", evil.host());
        let mut command = match command {
            "copy" => world.project.command(["copy", &reference, &world.to()]),
            "push" => world.project.command(["push", &own, &reference]),
            "verify" => world.project.command(["verify", "--key", &key, &reference]),
            other => world.project.command([other, &reference]),
        };
        let (most, ran) = watched(&mut command);
        assert_eq!(ran.code, Some(code), "{case}: {}{}", ran.stdout, ran.stderr);
        assert!(most <= ordinary + (64 << 10), "{case}: {most} KiB, ordinary are {ordinary} KiB");
        assert!(began.elapsed() < Duration::from_secs(30), "{case}: {:?}", began.elapsed());
        assert!(ran.stderr.len() < 4096 && ran.stdout.len() < 4096, "{case}: {}", ran.stderr);
        world.project.run(["inspect", &world.to()]).exits(1);
    }
}

/// Numbers that are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit
    }
}

/// What a hostile registry says next. `thief` is another host.
fn hostile(choice: usize, seen: &Seen, thief: &str, token: &str) -> Vec<Act> {
    let own = seen.header("host");
    if seen.target.starts_with("/token") {
        return match choice {
            0 => answer(307, &[("location", &format!("http://{thief}/"))], ""),
            _ => answer(200, &[], format!(r#"{{"token":"{token}"}}"#)),
        };
    }
    match choice {
        0 => answer(302, &[("location", &format!("http://{thief}/x?sig=1"))], ""),
        1 => challenge(&format!(
            "Bearer realm=\"http://{}/token\",service=\"x\"",
            thief.replace("127.0.0.1", "localhost")
        )),
        2 => answer(202, &[("location", &format!("http://{thief}/upload"))], ""),
        3 => challenge("Basic realm=\"x\""),
        4 => challenge(&format!("Bearer realm=\"http://{own}/token\",service=\"x\"")),
        // What was sent, the header with the password too, comes back as an error.
        5 => {
            let sent = seen.text.replace(['"', '\\', '\r'], "").replace('\n', " ");
            answer(400, &[], format!(r#"{{"errors":[{{"code":"X","message":"{sent}"}}]}}"#))
        }
        6 => {
            let next = format!("<http://{thief}/v2/next>; rel=\"next\"");
            answer(200, &[("link", &next)], r#"{"tags":["a"],"token":"x"}"#)
        }
        7 => answer(403, &[], &seen.text),
        8 => answer(404, &[], ""),
        9 => answer(200, &[("content-type", "application/vnd.oci.image.manifest.v1+json")], image(1)),
        10 => answer(201, &[("location", "/v2/x"), ("docker-content-digest", "sha256:0")], ""),
        _ => answer(503, &[("retry-after", "0")], ""),
    }
}

/// G3 with the real binary, everything that it logs, and every file that it writes.
fn hostile_scripts_get_no_secret(seeds: std::ops::Range<u64>) {
    let project = Project::two_services();
    project.ship();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let own = format!("oci:{}:{tag}", project.layout("demo/docs").display());
    let out = format!("oci:{}:1", project.path().join("out").display());
    let key = crate::sign::key("p256.pem");
    let mut sent = 0;
    for seed in seeds {
        let mut random = Random(seed);
        let (password, token) = (canary("password"), canary("token").replace('/', "-"));
        let thief = Evil::start(|_| answer(200, &[], r#"{"token":"stolen"}"#));
        let script: Vec<usize> = (0..1 + random.below(7)).map(|_| random.below(12)).collect();
        let (step, host, given) = (AtomicUsize::new(0), thief.host(), token.clone());
        let shown = format!("{seed}: {script:?}");
        let evil = Evil::start(move |seen| {
            hostile(script[step.fetch_add(1, Ordering::Relaxed) % script.len()], seen, &host, &given)
        });
        log_in(&project, &evil.host(), &password);
        let there = format!("{}/demo/docs:1", evil.host());
        let commands: [&[&str]; 8] = [
            &["inspect", &there],
            &["copy", &there, &out],
            &["push", &own, &there],
            &["promote", &own, &there],
            &["sign", "--key", &key, &there],
            &["verify", &there],
            &["ship", "--registry", &evil.host(), "docs"],
            &["plan", "--registry", &evil.host(), "--json"],
        ];
        let command = commands[usize::try_from(seed % 8).expect("small")];
        let ran = project.run(["-vvv"].iter().chain(command));
        assert!(ran.code.is_some_and(|code| code <= 7), "{shown}: {:?} {}", ran.code, ran.stderr);
        let files = [project.path(), project.cache()].map(crate::support::tree);
        let written = files.into_iter().flatten().chain([
            ("stdout".to_owned(), ran.stdout.clone().into_bytes()),
            ("stderr".to_owned(), ran.stderr.clone().into_bytes()),
        ]);
        let secrets = [&password, &token];
        for (name, bytes) in written {
            for secret in secrets {
                assert!(forms_in(&bytes, secret).is_empty(), "{shown}: {command:?} wrote a secret to {name}");
            }
        }
        for seen in thief.seen() {
            assert!(!seen.text.to_ascii_lowercase().contains("authorization"), "{shown}: {}", seen.text);
            assert!(secrets.iter().all(|secret| forms_in(seen.text.as_bytes(), secret).is_empty()), "{shown}");
        }
        for seen in evil.seen() {
            sent += usize::from(!seen.header("authorization").is_empty());
            let others = seen.text.lines().filter(|line| !line.to_ascii_lowercase().starts_with("authorization:"));
            let others = others.collect::<Vec<_>>().join("\n");
            assert!(secrets.iter().all(|secret| forms_in(others.as_bytes(), secret).is_empty()), "{shown}: {others}");
        }
        let _ = std::fs::remove_dir_all(project.path().join("out"));
    }
    assert!(sent > 20, "passwords and tokens were sent where they belong: {sent}");
}

#[test]
fn g3_the_first_hundred_hostile_scripts_get_no_secret_and_none_is_written() {
    hostile_scripts_get_no_secret(0..100);
}

#[test]
fn g3_the_second_hundred_hostile_scripts_get_no_secret_and_none_is_written() {
    hostile_scripts_get_no_secret(100..200);
}
