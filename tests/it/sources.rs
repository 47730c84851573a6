//! Archives as sources and a container engine as destination, judged by skopeo and by real engines.

use std::path::Path;

use shipper_testkit::{DockerEngine, ImageStore, Skopeo, Suite, need};

use crate::support::{Project, Ran, text};

/// `oci:` and the embedded layout of `docs` with its identity tag.
fn docs(project: &Project) -> String {
    let plan = project.plan();
    format!("oci:{}:{}", project.layout("demo/docs").display(), text(&plan["services"][0]["tag"]))
}

/// What `docker save demo/docs:v1` would write.
fn docker_archive(skopeo: &Skopeo, source: &str, file: &str) {
    let to = format!("docker-archive:{file}:demo/docs:v1");
    shipper_testkit::run(&mut skopeo.command(&["copy", "--format", "v2s2", source, &to]));
}

#[test]
fn an_image_survives_the_way_through_archives() {
    let skopeo = need!(Skopeo::find());
    let project = Project::two_services();
    let digest = project.ship_digests()["docs"].clone();
    let source = docs(&project);
    let at = |name: &str| project.path().join(name).display().to_string();

    skopeo.copy(&source, &format!("oci-archive:{}:v1", at("oci.tar")));
    let copied = project.run(["copy", &format!("oci-archive:{}", at("oci.tar")), &format!("oci:{}:x", at("a"))]).ok();
    assert_eq!(copied.stdout.trim_end(), digest);
    assert_eq!(skopeo.digest(&format!("oci:{}:x", at("a"))), digest);

    docker_archive(&skopeo, &source, &at("docker.tar"));
    for name in ["", ":v1", ":docker.io/demo/docs:v1"] {
        let from = format!("docker-archive:{}{name}", at("docker.tar"));
        project.run(["copy", &from, &format!("oci:{}:x", at("b"))]).ok();
    }
    let (ours, theirs) = (skopeo.config(&format!("oci:{}:x", at("b"))), skopeo.config(&source));
    assert_eq!(ours["rootfs"], theirs["rootfs"]);
    assert_eq!(ours["config"]["Labels"], theirs["config"]["Labels"]);
    let inspected = project.run(["inspect", &format!("docker-archive:{}", at("docker.tar"))]).ok();
    assert!(inspected.stdout.contains("65532:65532"), "{}", inspected.stdout);
    assert!(inspected.stdout.starts_with("docker-archive:"), "{}", inspected.stdout);
    let wrong = format!("docker-archive:{}:other", at("docker.tar"));
    project.run(["copy", &wrong, &format!("oci:{}:x", at("c"))]).exits(1).says("cannot find");
}

#[test]
fn what_is_no_archive_is_named_and_leaves_nothing() {
    let skopeo = need!(Skopeo::find());
    let project = Project::two_services();
    project.ship();
    let at = |name: &str| project.path().join(name).display().to_string();
    docker_archive(&skopeo, &docs(&project), &at("whole.tar"));
    let whole = std::fs::read(at("whole.tar")).expect("skopeo wrote it");
    let changed = {
        let place = whole.windows(5).position(|window| window == b"docs\n").expect("layers are not compressed");
        let mut changed = whole.clone();
        changed[place] = b'D';
        changed
    };
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty.tar", b"", "it has no `manifest.json`"),
        ("text.tar", &[b'x'; 2000], "is not a usable image archive"),
        ("short.tar", &whole[..whole.len() / 2], "is not a usable image archive"),
        ("gzip.tar", &[0x1f, 0x8b, 8, 0], "it is compressed as a whole"),
        ("changed.tar", &changed, "has digest"),
        ("zeros.tar", &[0; 1024], "it has no `manifest.json`"),
    ];
    for (name, bytes, said) in cases {
        std::fs::write(at(name), bytes).expect("writes");
        let to = at("out");
        let ran = project.run(["copy", &format!("docker-archive:{}", at(name)), &format!("oci:{to}:x")]);
        assert_eq!(ran.code, Some(3), "{name}: {}", ran.stderr);
        ran.says(said);
        assert!(!Path::new(&to).exists(), "{name}");
    }
    project.run(["copy", &docs(&project), &format!("docker-archive:{}", at("new.tar"))]).exits(2).says("a source only");
    project.run(["copy", "docker-daemon:demo/docs", &format!("oci:{}", at("x"))]).exits(2).says("a destination only");
    project.run(["copy", &format!("docker-archive:{}", at("absent")), &format!("oci:{}", at("x"))]).exits(3);
}

/// A download that broke off, at any place: refused, or as whole as the image is.
#[test]
fn an_archive_that_is_cut_short_is_refused_or_whole() {
    let skopeo = need!(Skopeo::find());
    let project = Project::two_services();
    project.ship();
    let at = |name: &str| project.path().join(name).display().to_string();
    let to = format!("oci:{}:x", at("out"));
    for kind in ["docker-archive", "oci-archive"] {
        let whole = at(&format!("{kind}.tar"));
        match kind {
            "docker-archive" => docker_archive(&skopeo, &docs(&project), &whole),
            _ => skopeo.copy(&docs(&project), &format!("{kind}:{whole}:x")),
        }
        let bytes = std::fs::read(&whole).expect("skopeo wrote it");
        let places =
            (0..bytes.len()).step_by(bytes.len() / 24).chain([1, 511, 513, bytes.len() - 1025, bytes.len() - 1]);
        for place in places {
            std::fs::write(at("cut.tar"), &bytes[..place]).expect("writes");
            let ran = project.run(["copy", &format!("{kind}:{}", at("cut.tar")), &to]);
            let whole = project.run(["verify", &to]).code;
            match ran.code {
                // What ends an archive may be missing.
                Some(0) => assert_eq!(whole, Some(0), "{kind} {place}"),
                code => {
                    assert_eq!((code, whole), (Some(3), Some(1)), "{kind} {place}: {}", ran.stderr);
                    ran.says("is not a usable image archive");
                }
            }
            let _ = std::fs::remove_dir_all(at("out"));
        }
    }
}

/// What somebody may put into a layout that is handed over.
#[cfg(unix)]
#[test]
fn hostile_layouts_are_named_and_give_nothing() {
    use shipper_testkit::registry::digest_of;
    type Harm = fn(&Path, &mut serde_json::Value, &Path);
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::remove_file(path).expect("removes");
        std::fs::write(path, bytes).expect("writes");
    };
    let cases: [(&str, Harm, &str); 11] = [
        (
            "a digest that is a path",
            |_, entry, _| entry["digest"] = "sha256:../../../../etc/passwd".into(),
            "is not a valid digest",
        ),
        ("a digest of nothing", |_, entry, _| entry["digest"] = digest_of(b"nothing").into(), "is missing"),
        ("another media type", |_, entry, _| entry["mediaType"] = "text/html".into(), "was served as"),
        (
            "a layer that is a link",
            |_, _, layer| {
                std::fs::remove_file(layer).expect("removes");
                std::os::unix::fs::symlink("/etc/passwd", layer).expect("links");
            },
            "bytes long, not",
        ),
        (
            "a layer that is a directory",
            |_, _, layer| {
                std::fs::remove_file(layer).expect("removes");
                std::fs::create_dir(layer).expect("creates");
            },
            "not a regular file",
        ),
        (
            "a layer that is a pipe",
            |_, _, layer| {
                std::fs::remove_file(layer).expect("removes");
                shipper_testkit::run(std::process::Command::new("mkfifo").arg(layer));
            },
            "not a regular file",
        ),
        (
            "a layer that is cut short",
            |_, _, layer| {
                let bytes = std::fs::read(layer).expect("reads");
                std::fs::remove_file(layer).expect("removes");
                std::fs::write(layer, &bytes[..bytes.len() - 3]).expect("writes");
            },
            "bytes long, not",
        ),
        (
            "a layer with another bit",
            |_, _, layer| {
                let mut bytes = std::fs::read(layer).expect("reads");
                bytes[9] ^= 1;
                std::fs::remove_file(layer).expect("removes");
                std::fs::write(layer, bytes).expect("writes");
            },
            "has digest",
        ),
        (
            "an index of a thousand and one",
            |layout, entry, _| {
                let kind = "application/vnd.oci.image.index.v1+json";
                let children = vec![entry.clone(); 1001];
                let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": children});
                let bytes = index.to_string().into_bytes();
                let digest = digest_of(&bytes);
                std::fs::write(layout.join("blobs").join(digest.replace(':', "/")), &bytes).expect("writes");
                (entry["mediaType"], entry["digest"], entry["size"]) = (kind.into(), digest.into(), bytes.len().into());
            },
            "is larger than the limit",
        ),
        (
            "an index of itself",
            |layout, entry, _| {
                let kind = "application/vnd.oci.image.index.v1+json";
                let mut child = entry.clone();
                for _ in 0..8 {
                    let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": [child]});
                    let bytes = index.to_string().into_bytes();
                    let digest = digest_of(&bytes);
                    std::fs::write(layout.join("blobs").join(digest.replace(':', "/")), &bytes).expect("writes");
                    child = serde_json::json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
                }
                for name in ["mediaType", "digest", "size"] {
                    entry[name] = child[name].clone();
                }
            },
            "are nested more than",
        ),
        ("a name that is no tag", |_, entry, _| entry["annotations"] = serde_json::json!({}), "does not exist"),
    ];
    let project = Project::two_services();
    project.ship();
    let at = |name: &str| project.path().join(name);
    for (case, harm, says) in cases {
        let (layout, to) = (at("hostile"), format!("oci:{}:x", at("out").display()));
        let from = format!("oci:{}:x", layout.display());
        project.run(["copy", &docs(&project), &from]).ok();
        let index = layout.join("index.json");
        let mut listed: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&index).expect("reads")).expect("JSON");
        let entries = listed["manifests"].as_array_mut().expect("entries");
        let named = |entry: &&mut serde_json::Value| entry["annotations"]["org.opencontainers.image.ref.name"] == "x";
        let entry = entries.iter_mut().find(named).expect("the image");
        let inspected = project.run(["inspect", "--json", &from]).ok().json();
        let layer = text(&inspected["manifest"]["layers"][0]["digest"]).replace(':', "/");
        harm(&layout, entry, &layout.join("blobs").join(layer));
        write(&index, listed.to_string().as_bytes());
        let began = std::time::Instant::now();
        let ran = project.run(["copy", &from, &to]);
        assert!(matches!(ran.code, Some(1 | 3 | 5)), "{case}: {:?} {}", ran.code, ran.stderr);
        assert!(ran.stderr.contains(says), "{case}: {}", ran.stderr);
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{case}");
        project.run(["inspect", &to]).exits(1);
        for left in ["hostile", "out"] {
            let _ = std::fs::remove_dir_all(at(left));
        }
    }
}

/// Who waits for a writer that never comes waits for ever.
#[cfg(unix)]
#[test]
fn a_pipe_is_no_image() {
    let project = Project::two_services();
    project.ship();
    let at = |name: &str| project.path().join(name).display().to_string();
    let pipe = |place: &str| shipper_testkit::run(std::process::Command::new("mkfifo").arg(place));
    pipe(&at("pipe"));
    std::fs::create_dir(at("layout")).expect("creates");
    pipe(&at("layout/index.json"));
    for from in [format!("docker-archive:{}", at("pipe")), format!("oci-archive:{}", at("pipe"))] {
        project.run(["copy", &from, &format!("oci:{}:x", at("out"))]).exits(3).says("it is not a regular file");
    }
    let from = format!("oci:{}:x", at("layout"));
    project.run(["inspect", &from]).exits(3).says("it is not a regular file");
    project.run(["copy", &docs(&project), &from]).exits(5).says("it is not a regular file");
}

fn loads(engine: &DockerEngine) {
    let project = Project::two_services();
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.envs(engine.variables());
        Ran::of(&command.output().expect("starts"))
    };
    run(&["ship", "--load"]).ok();
    let inspect = |name: &str| -> serde_json::Value {
        let output = engine.docker(&["image", "inspect", name]).output().expect("docker runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let plan = project.plan();
    for (service, number) in [("docs", 0), ("site", 1)] {
        let tag = text(&plan["services"][number]["tag"]);
        let (by_identity, latest) =
            (inspect(&format!("demo/{service}:{tag}")), inspect(&format!("demo/{service}:latest")));
        assert_eq!(by_identity[0]["Id"], latest[0]["Id"]);
        assert_eq!(by_identity[0]["Config"]["Labels"]["dev.shipper.service"], service);
    }
    // Once more: the engine has it, and nothing is sent.
    let source = docs(&project);
    run(&["copy", &source, "docker-daemon:demo/docs"]).ok().says("0 of 1");
    run(&["copy", &source, "docker-daemon:other/name:v2"]).ok().says("1 of 1");
    let made = engine.docker(&["create", "--name", "probe", "other/name:v2", "/x"]).output().expect("docker runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let exported = engine.docker(&["export", "probe"]).output().expect("docker runs");
    let found = exported.stdout.windows(17).any(|window| window == b"srv/docs/index.md");
    assert!(found, "the container has the image's files");
}

/// An image of several platforms: the store of containerd has it whole, the engine's own the part that runs here.
fn loads_platforms(engine: &DockerEngine, store: ImageStore) {
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.site]\nfiles = { '/srv' = 'site' }\nplatforms = ['linux/amd64', 'linux/arm64']\n",
    );
    project.repo.write("site/index.html", "hello\n");
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.envs(engine.variables());
        Ran::of(&command.output().expect("starts"))
    };
    let shipped = run(&["ship", "--load"]).ok();
    let plan = project.plan();
    let tag = text(&plan["services"][0]["tag"]);
    let source = format!("oci:{}:{tag}", project.layout("demo/site").display());
    let index = Skopeo::find().expect("is there").digest(&source);
    let inspected = engine.docker(&["image", "inspect", &format!("demo/site:{tag}")]).output().expect("docker runs");
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).expect("JSON");
    let left_out = |arguments: &[&str]| {
        let ran = run(arguments).ok();
        serde_json::from_str::<serde_json::Value>(&ran.stdout).expect("JSON")["platforms-left-out"].clone()
    };
    let again = left_out(&["copy", &source, "docker-daemon:demo/site", "--json"]);
    if store == ImageStore::Containerd {
        assert!(!shipped.stderr.contains("left out"), "{}", shipped.stderr);
        assert_eq!(inspected[0]["Id"], index.as_str());
        assert_eq!(again, serde_json::json!([]));
        let saved = project.path().join("saved.tar");
        let save = ["save", "--output", &saved.display().to_string(), &format!("demo/site:{tag}")];
        assert!(engine.docker(&save).status().expect("docker runs").success());
        let copied = run(&["copy", &format!("oci-archive:{}", saved.display()), "oci:back:x"]).ok();
        assert_eq!(copied.stdout.trim_end(), index, "the engine has every byte of all platforms");
    } else {
        shipped.says("the image for linux/amd64 alone").says("left out: linux/arm64");
        assert_eq!(again, serde_json::json!(["linux/arm64"]));
    }
    run(&["copy", &source, "docker-daemon:demo/site"]).ok().says("0 of 1");
}

#[test]
fn an_engine_takes_images_into_its_own_store() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Classic));
    loads(&engine);
    loads_platforms(&engine, ImageStore::Classic);
}

#[test]
fn an_engine_takes_images_into_the_store_of_containerd() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    loads(&engine);
    loads_platforms(&engine, ImageStore::Containerd);
}

#[test]
fn an_index_without_an_image_for_the_engine_names_those_that_there_are() {
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Classic));
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.site]\nfiles = { '/srv' = 'site' }\nplatforms = ['linux/arm64', 'linux/riscv64']\n",
    );
    project.repo.write("site/index.html", "hello\n");
    project.ship();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let source = format!("oci:{}:{tag}", project.layout("demo/site").display());
    let mut command = project.command(["copy", &source, "docker-daemon:demo/site"]);
    let ran = Ran::of(&command.envs(engine.variables()).output().expect("starts"));
    ran.exits(1).says("has no image for linux/amd64, only for linux/arm64, linux/riscv64");
}

/// An engine says 200 first and what went wrong afterwards.
#[cfg(unix)]
#[test]
fn an_engine_that_fails_is_a_failure() {
    use std::io::{Read as _, Write as _};

    let project = Project::two_services();
    project.ship();
    let source = docs(&project);
    let to = |host: &str| {
        let mut command = project.command(["copy", &source, "docker-daemon:demo/docs"]);
        Ran::of(&command.env("DOCKER_HOST", host).output().expect("starts"))
    };
    to("unix:///nowhere/docker.sock").exits(3).says("could not be reached");
    to("ssh://host").exits(2).says("neither unix://PATH nor tcp://HOST:PORT");

    let socket = project.path().join("engine.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("listens");
    let server = std::thread::spawn(move || {
        for answer in [
            "404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
            "200 OK\r\ncontent-length: 30\r\n\r\n{\"error\":\"no space left here\"}",
        ] {
            let (mut stream, _) = listener.accept().expect("the command connects");
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            let ends = |seen: &[u8]| {
                if seen.starts_with(b"GET") { seen.ends_with(b"\r\n\r\n") } else { seen.ends_with(b"\r\n0\r\n\r\n") }
            };
            while !ends(&seen) {
                let count = stream.read(&mut buffer).expect("reads");
                assert!(count > 0, "the command closed early");
                seen.extend_from_slice(&buffer[..count]);
            }
            let answer = format!("HTTP/1.1 {}", answer.replacen("\r\n", "\r\nconnection: close\r\n", 1));
            stream.write_all(answer.as_bytes()).expect("answers");
        }
    });
    to(&format!("unix://{}", socket.display())).exits(5).says("no space left here");
    server.join().expect("the engine saw two requests");
}
