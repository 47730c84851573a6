//! `verify`: what is damaged after it was pushed is found, and what is not damaged is not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use shipper_testkit::{DockerRegistry, FakeRegistry, Fault, Request, Rule, need, require_tool};

use crate::support::{Project, program, text};

/// A service of files and one of two platforms.
fn project() -> Project {
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.docs]\nfiles = { '/srv/docs' = 'docs' }\n[service.tool]\n\
         binary = { 'linux/amd64' = 'dist/amd64/tool', 'linux/arm64' = 'dist/arm64/tool' }\n",
    );
    project.repo.write("docs/index.md", "docs\n");
    project.repo.write(".gitignore", "dist\n");
    project.repo.write_executable("dist/amd64/tool", program(62));
    project.repo.write_executable("dist/arm64/tool", program(183));
    project
}

/// The identities of the services, by name.
fn identities(project: &Project, arguments: &[&str]) -> BTreeMap<String, String> {
    let plan = project.run(["plan", "--json"].iter().chain(arguments)).ok().json();
    let services = plan["services"].as_array().expect("services").iter();
    services.map(|service| (text(&service["service"]), text(&service["tag"]))).collect()
}

#[test]
fn what_was_shipped_is_verified_by_service_and_by_reference() {
    let project = project();
    project.ship();
    let whole = project.run(["verify"]).ok().stdout;
    assert_eq!(whole.matches("key and inputs agree").count(), 2, "{whole}");
    let json = project.run(["verify", "--json", "tool"]).ok().json();
    let tool = &json["images"][0];
    assert_eq!((tool["manifests"].as_u64(), tool["inputs"].as_bool()), (Some(4), Some(true)), "{tool}");
    assert_eq!(tool["key"], project.plan()["services"][1]["key"]);

    let identities = identities(&project, &[]);
    let docs = format!("oci:{}:{}", project.layout("demo/docs").display(), identities["docs"]);
    project.run(["verify", &docs, "tool"]).ok();
    let copy = format!("oci:{}:v1", project.path().join("copy").display());
    project.run(["copy", &docs, &copy]).ok();
    let copied = project.run(["verify", &copy]).ok().stdout;
    assert!(copied.contains("key and inputs agree"), "{copied}");
    // As a tool leaves it that copies an image alone.
    let index = project.path().join("copy/index.json");
    let named = std::fs::read_to_string(&index).expect("an index");
    std::fs::write(&index, named.replace(&identities["docs"].replacen('h', "m", 1), "elsewhere")).expect("writes");
    let alone = project.run(["verify", &copy]).ok().stdout;
    assert!(alone.contains("no inputs beside it"), "{alone}");

    project.repo.write("docs/index.md", "changed\n");
    let absent = project.run(["verify", "docs"]).exits(1).stdout;
    assert!(absent.contains("does not exist"), "{absent}");
    project.run(["verify", "dosc"]).exits(2).says("did you mean `docs`?");
    project.run(["verify", "127.0.0.1:1/x:1"]).exits(3);
}

#[test]
fn an_image_under_the_identity_of_another_is_wrong() {
    let project = project();
    project.ship();
    let layout = project.layout("demo/docs");
    let before = identities(&project, &[])["docs"].clone();
    project.repo.write("docs/index.md", "changed\n");
    project.ship();
    let after = identities(&project, &[])["docs"].clone();
    // Both images are sound; only the names are exchanged.
    let index = std::fs::read_to_string(layout.join("index.json")).expect("an index");
    std::fs::write(layout.join("index.json"), index.replace(&after, "swap").replace(&before, &after)).expect("writes");
    let wrong = project.run(["verify", "docs"]).exits(1).stdout;
    assert!(wrong.contains("label dev.shipper.key"), "{wrong}");
}

/// The identity of the first platform's image of `tool`: one that has no inputs of its own.
fn part_of_tool(registry: &FakeRegistry) -> String {
    let tags: Vec<String> = registry.tags("demo/tool").into_iter().map(|(tag, _)| tag).collect();
    let is_part = |tag: &&String| tag.starts_with("h-") && !tags.contains(&tag.replacen('h', "m", 1));
    format!("{}/demo/tool:{}", registry.host(), tags.iter().find(is_part).expect("a platform's identity"))
}

/// G10: whichever request is refused, the answer is "could not tell" (3), never "wrong" (1) and never "right" (0).
#[test]
fn g10_what_a_registry_does_not_tell_is_neither_wrong_nor_right() {
    let project = project();
    let registry = FakeRegistry::start();
    project.run(["ship", "--registry", registry.host(), "tool"]).ok();
    let part = part_of_tool(&registry);
    let whole = format!("{}/demo/tool:last-main", registry.host());
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shipper-attest/tests/keys");
    let (private, public) =
        (keys.join("p256.pem").display().to_string(), keys.join("p256.pub.pem").display().to_string());
    for reference in [&whole, &part] {
        project.run(["sign", "--key", &private, reference]).ok();
        registry.clear_log();
        let arguments = ["verify", "--key", public.as_str(), reference.as_str()];
        project.run(arguments).ok();
        let asked: BTreeSet<(String, String)> =
            registry.log().requests.into_iter().map(|request| (request.method, request.path)).collect();
        assert!(asked.len() >= 8, "{asked:?}");
        for (method, path) in asked {
            let of = (method.clone(), path.clone());
            let refused = move |request: &Request| (&request.method, &request.path) == (&of.0, &of.1);
            registry.fault(Rule::new(Fault::status(403)).when(refused));
            let ran = project.run(arguments);
            assert_eq!(ran.code, Some(3), "{method} {path}\n{}{}", ran.stdout, ran.stderr);
            registry.clear_faults();
        }
    }
}

/// Inputs of a platform's image lie beside the whole image: without that, they are missing.
#[test]
fn a_part_whose_whole_image_is_gone_has_lost_its_inputs() {
    let project = project();
    let registry = FakeRegistry::start();
    project.run(["ship", "--registry", registry.host(), "tool"]).ok();
    let part = part_of_tool(&registry);
    registry.clear_log();
    project.run(["verify", &part]).ok();
    registry.log().assert_count("GET", "/manifests/h-", 2);
    for (tag, _) in registry.tags("demo/tool") {
        if tag.starts_with("m-") {
            registry.delete_tag("demo/tool", &tag);
        }
    }
    let wrong = project.run(["verify", &part]).exits(1).stdout;
    assert!(wrong.contains("the inputs artifact is not there"), "{wrong}");
}

/// A small generator: the same corruptions on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(usize::MAX) % limit.max(1)
    }
}

/// All files below a directory but locks, sorted.
fn files(below: &Path) -> Vec<PathBuf> {
    let names = crate::support::tree(below).into_keys().filter(|name| !name.ends_with(".lock"));
    names.map(|name| below.join(name)).collect()
}

/// Damages one file in one of six ways; `None` where the bytes stay the same.
fn damage(random: &mut Random, files: &[PathBuf]) -> Option<(PathBuf, Vec<u8>, &'static str)> {
    let path = &files[random.below(files.len())];
    let intact = std::fs::read(path).expect("reads");
    let mut bytes = intact.clone();
    let how = match random.below(6) {
        0 | 1 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            "a bit flipped"
        }
        2 => {
            bytes.truncate(random.below(bytes.len()));
            "cut short"
        }
        3 => {
            bytes.push(b'\n');
            "a byte longer"
        }
        4 => {
            bytes = std::fs::read(&files[random.below(files.len())]).expect("reads");
            "another file's bytes"
        }
        _ => {
            std::fs::remove_file(path).expect("removes");
            return Some((path.clone(), intact, "removed"));
        }
    };
    if bytes == intact {
        return None;
    }
    std::fs::write(path, bytes).expect("writes");
    Some((path.clone(), intact, how))
}

/// Damages files `count` times. What `verify` does not find must leave everything that `content` reads as it was.
fn corrupt(
    project: &Project,
    references: &[String],
    below: &Path,
    (seed, count): (u64, usize),
    content: impl Fn() -> Option<BTreeMap<String, Vec<u8>>>,
) {
    let arguments: Vec<&str> = ["verify"].into_iter().chain(references.iter().map(String::as_str)).collect();
    project.run(&arguments).ok();
    let intact = content().expect("what was pushed is sound");
    let files = files(below);
    let mut random = Random(0x5eed_2026 + seed);
    let (mut done, mut harmless) = (0, 0);
    while done < count {
        let Some((path, bytes, how)) = damage(&mut random, &files) else { continue };
        let ran = project.run(&arguments);
        let what = format!("{}: {how}\n{}{}", path.display(), ran.stdout, ran.stderr);
        match ran.code {
            Some(0) => {
                assert_eq!(content().as_ref(), Some(&intact), "not found: {what}");
                harmless += 1;
            }
            Some(1 | 3) => assert_ne!(content().as_ref(), Some(&intact), "a false alarm: {what}"),
            _ => panic!("{what}"),
        }
        std::fs::write(&path, bytes).expect("writes");
        done += 1;
    }
    assert!(harmless < count / 2, "{harmless} of {count} were harmless: too few matter for this to show anything");
    project.run(&arguments).ok();
}

/// What identities and their inputs artifacts lead to, read without shipper: the digest of each name and every blob by its
/// digest; `None` where something is not what its descriptor says. `named` finds the descriptor of a tag, `stored` bytes of a
/// digest that is (or is not) a manifest's.
fn reachable(
    images: &[(String, String)],
    named: impl Fn(&str, &str) -> Option<Value>,
    stored: impl Fn(&str, &str, bool) -> Option<Vec<u8>>,
) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for (place, tag) in images {
        for tag in [tag.clone(), tag.replacen('h', "m", 1)] {
            let descriptor = named(place, &tag)?;
            found.insert(format!("{place}:{tag}"), descriptor["digest"].as_str()?.as_bytes().to_vec());
            let mut open = vec![descriptor];
            while let Some(descriptor) = open.pop() {
                let digest = descriptor["digest"].as_str()?;
                let kind = descriptor["mediaType"].as_str()?;
                let is_manifest = kind.contains("image.manifest.") || kind.contains("image.index.");
                let bytes = stored(place, digest, is_manifest)?;
                if shipper_oci::Digest::of(&bytes).to_string() != digest
                    || Some(bytes.len() as u64) != descriptor["size"].as_u64()
                {
                    return None;
                }
                if is_manifest {
                    let document: Value = serde_json::from_slice(&bytes).ok()?;
                    open.extend(document.get("config").cloned());
                    for list in ["layers", "manifests"] {
                        open.extend(document[list].as_array().cloned().unwrap_or_default());
                    }
                }
                found.insert(format!("{place} {digest}"), bytes);
            }
        }
    }
    Some(found)
}

/// The entry of a layout's index with a name, if there is exactly one.
fn entry(layout: &str, tag: &str) -> Option<Value> {
    let index: Value = serde_json::from_slice(&std::fs::read(Path::new(layout).join("index.json")).ok()?).ok()?;
    let is_it = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let entries: Vec<&Value> = index["manifests"].as_array()?.iter().filter(is_it).collect();
    let [entry] = entries.as_slice() else { return None };
    Some((*entry).clone())
}

/// G19 on layouts: 800 corruptions; with those of a registry, 1,000.
#[test]
fn g19_corruptions_of_layouts_are_found_or_harmless() {
    let project = project();
    project.ship();
    let identities = identities(&project, &[]).into_iter();
    let layouts: Vec<(String, String)> = identities
        .map(|(service, tag)| (project.layout(&format!("demo/{service}")).display().to_string(), tag))
        .collect();
    let references: Vec<String> = layouts.iter().map(|(layout, tag)| format!("oci:{layout}:{tag}")).collect();
    let stored = |layout: &str, digest: &str, _: bool| {
        std::fs::read(Path::new(layout).join("blobs").join(digest.replace(':', "/"))).ok()
    };
    corrupt(&project, &references, &project.path().join(".shipper/images"), (0, 800), || {
        reachable(&layouts, entry, stored)
    });
}

/// The body of a successful answer, asked for without any client library.
fn get(host: &str, path: &str) -> Option<(Vec<u8>, String)> {
    let mut stream = std::net::TcpStream::connect(host).ok()?;
    let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    head.lines().next()?.contains(" 200 ").then(|| (answer[end + 4..].to_vec(), head))
}

/// G19 on a registry's storage: 200 corruptions, in eight registries at the same time, for what a registry can not read costs
/// the time of all tries.
#[test]
fn g19_corruptions_of_a_registry_are_found_or_harmless() {
    need!(require_tool("docker-registry"));
    std::thread::scope(|scope| {
        for seed in 1..=8 {
            scope.spawn(move || corrupt_registry(seed, 25));
        }
    });
}

fn corrupt_registry(seed: u64, count: usize) {
    let registry = DockerRegistry::start().expect("it is installed");
    let project = project();
    let flag = ["--registry", registry.host()];
    project.run(["ship"].iter().chain(&flag)).ok();
    let images: Vec<(String, String)> =
        identities(&project, &flag).into_iter().map(|(service, tag)| (format!("demo/{service}"), tag)).collect();
    let references: Vec<String> =
        images.iter().map(|(repository, tag)| format!("{}/{repository}:{tag}", registry.host())).collect();
    let named = |repository: &str, tag: &str| {
        let (bytes, head) = get(registry.host(), &format!("/v2/{repository}/manifests/{tag}"))?;
        let header = |name: &str| {
            let found =
                head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
            found.map(|(_, value)| value.trim().to_owned())
        };
        let digest = shipper_oci::Digest::of(&bytes).to_string();
        (header("docker-content-digest")? == digest).then_some(())?;
        Some(serde_json::json!({"digest": digest, "mediaType": header("content-type")?, "size": bytes.len()}))
    };
    let stored = |repository: &str, digest: &str, is_manifest: bool| {
        let kind = if is_manifest { "manifests" } else { "blobs" };
        get(registry.host(), &format!("/v2/{repository}/{kind}/{digest}")).map(|(bytes, _)| bytes)
    };
    corrupt(&project, &references, &registry.data(), (seed, count), || reachable(&images, named, stored));
}
