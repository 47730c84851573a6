//! G17: whatever goes wrong with the last write of a command, or with what is read after it, the command does not say that it
//! succeeded unless it has; and as soon as nothing goes wrong, it does.
//!
//! A registry that says in so many words that it has stored this digest, and has not, is believed by `copy` and `push`, whose
//! second request would be the proof; `promote`, `ship` and `deploy` read everything back.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use shipper_testkit::{FakeRegistry, Fault, Profile, Request, Rule};

use crate::sign::key;
use crate::support::{Project, TWO_SERVICES, text};

/// What a fault hits.
#[derive(Clone, Copy, Debug)]
enum At {
    /// The write that the case is about.
    Write,
    /// Everything that is read after it.
    Reads,
}

/// Which write of a command a case is about.
#[derive(Clone, Copy, Debug)]
enum Which {
    Last,
    /// Those whose path ends so.
    Ending(&'static str),
    /// Those whose path contains this.
    Containing(&'static str),
}

/// What can be said to a write without doing it, what can be lost, and what can be read afterwards that is not so.
fn faults() -> Vec<(At, Fault, bool)> {
    let says = |code, headers: &[(&str, &str)]| Fault::Status {
        code,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: "".into(),
    };
    let mut all: Vec<(At, Fault, bool)> = [200, 201, 202, 204].map(|code| (At::Write, says(code, &[]), false)).into();
    all.push((At::Write, says(307, &[("location", "http://127.0.0.1:1/")]), false));
    all.extend([400, 401, 403, 404, 405, 409, 412, 422].map(|code| (At::Write, Fault::status(code), false)));
    // What is tried again must not be wrong for ever, or the test waits.
    let passing = [Fault::status(500), Fault::status(503), Fault::throttled(0), Fault::Reset, Fault::LoseReply];
    all.extend(passing.map(|fault| (At::Write, fault, true)));
    let digest = || "docker-content-digest".to_owned();
    let other = shipper_testkit::registry::digest_of(b"other");
    all.push((At::Write, Fault::NoHeader(digest()), false));
    all.push((At::Write, Fault::Header(digest(), other.clone()), false));
    all.push((At::Write, Fault::Header(digest(), "sha256:0".into()), false));
    all.extend([403, 404, 501].map(|code| (At::Reads, Fault::status(code), false)));
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{other}","size":5}},"layers":[]}}"#
    );
    for body in [image.as_str(), "<html>", "{}"] {
        all.push((At::Reads, Fault::Body(body.to_owned().into()), false));
    }
    all.push((At::Reads, Fault::Flip(7), false));
    all
}

/// Counts the writes of a command, and says of each request whether it is the one (or comes after it).
fn hits(at: At, which: Which, last: usize) -> impl Fn(&Request) -> bool + Send + Sync {
    let (writes, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    move |request| {
        let number = if request.is_write() { writes.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        let is_it = request.is_write()
            && match which {
                Which::Last => number == last,
                Which::Ending(end) => request.path.ends_with(end),
                Which::Containing(part) => request.path.contains(part),
            };
        match at {
            At::Write => is_it,
            At::Reads => {
                done.fetch_add(usize::from(is_it), Ordering::SeqCst);
                !request.is_write() && done.load(Ordering::SeqCst) > 0
            }
        }
    }
}

/// A command whose last step goes wrong in every way.
struct Case<'a> {
    registry: &'a FakeRegistry,
    project: &'a Project,
    which: Which,
    /// The arguments for the run of this number, which has something new to do.
    command: &'a dyn Fn(usize) -> Vec<String>,
    /// Fails unless what the run of this number was to do is done.
    is_done: &'a dyn Fn(usize) -> Result<(), String>,
}

impl Case<'_> {
    /// Returns how many faults were tried, and how many of those runs succeeded all the same.
    fn run(&self) -> (usize, usize) {
        let mut last = 0;
        for number in 0..2 {
            self.registry.clear_log();
            self.project.run((self.command)(number)).ok();
            (self.is_done)(number).expect("without a fault");
            last = self.registry.log().writes().len();
        }
        let (mut tried, mut succeeded) = (0, 0);
        for (number, (at, fault, passing)) in faults().into_iter().enumerate().map(|(at, fault)| (at + 2, fault)) {
            let case = format!("{:?} {at:?} {fault:?}", self.which);
            let arguments = (self.command)(number);
            let rule = Rule::new(fault).when(hits(at, self.which, last));
            self.registry.fault(if passing { rule.times(1) } else { rule });
            let ran = self.project.run(&arguments);
            self.registry.clear_faults();
            let done = (self.is_done)(number);
            tried += 1;
            if ran.code == Some(0) {
                succeeded += 1;
                assert_eq!(done, Ok(()), "{case}: a false success\n{}\n{}", ran.stdout, ran.stderr);
                continue;
            }
            assert!(matches!(ran.code, Some(1..=7)), "{case}: {:?}\n{}", ran.code, ran.stderr);
            assert!(ran.stderr.contains("error: "), "{case}: {}", ran.stderr);
            self.project.run(&arguments).ok();
            assert_eq!((self.is_done)(number), Ok(()), "{case}: the next run");
        }
        (tried, succeeded)
    }
}

/// A tag, the manifest that it names and everything that this names.
fn whole(registry: &FakeRegistry, repository: &str, tag: &str, digest: &str) -> Result<(), String> {
    let manifest = registry.manifest(repository, tag).ok_or_else(|| format!("no {tag}"))?;
    if manifest.digest != digest {
        return Err(format!("{tag} is {}", manifest.digest));
    }
    let document: Value = serde_json::from_slice(&manifest.bytes).map_err(|error| error.to_string())?;
    let layers = document["layers"].as_array().into_iter().flatten();
    match layers.chain([&document["config"]]).find(|blob| registry.blob(repository, &text(&blob["digest"])).is_none()) {
        Some(missing) => Err(format!("no blob {missing}")),
        None => Ok(()),
    }
}

fn owned<const N: usize>(arguments: [&str; N]) -> Vec<String> {
    arguments.map(str::to_owned).into()
}

/// The image of `docs` in the layout of a project, and its digest.
fn docs(project: &Project) -> (String, String) {
    let digest = project.ship_digests()["docs"].clone();
    let tag = text(&project.plan()["services"][0]["tag"]);
    (format!("oci:{}:{tag}", project.layout("demo/docs").display()), digest)
}

/// Faults of the tests below: they are to be at least two hundred.
const CASES: usize = 25;

#[test]
fn g17_what_was_not_seen_to_be_copied_is_not_said_to_be() {
    let (registry, project) = (FakeRegistry::start(), Project::two_services());
    let (source, digest) = docs(&project);
    for command in ["copy", "push", "promote"] {
        let to = |number: usize| format!("{}/{command}/docs:{number}", registry.host());
        let (tried, _) = Case {
            registry: &registry,
            project: &project,
            which: Which::Last,
            command: &|number| owned([command, &source, &to(number)]),
            is_done: &|number| whole(&registry, &format!("{command}/docs"), &number.to_string(), &digest),
        }
        .run();
        assert!(tried >= CASES, "{tried}");
    }
    // A name that is moved.
    project.repo.write("docs/index.md", "changed\n");
    let (other, another) = docs(&project);
    let images = [(source, digest), (other, another)];
    let (tried, _) = Case {
        registry: &registry,
        project: &project,
        which: Which::Last,
        command: &|number| {
            let (source, _) = &images[number % 2];
            owned(["promote", "--force", source, &format!("{}/moved/docs:v1", registry.host())])
        },
        is_done: &|number| whole(&registry, "moved/docs", "v1", &images[number % 2].1),
    }
    .run();
    assert!(tried >= CASES, "{tried}");
    // The lie that is believed elsewhere.
    for (number, (source, digest)) in images.iter().enumerate() {
        let lie = Fault::Status {
            code: 201,
            headers: vec![("docker-content-digest".to_owned(), digest.clone())],
            body: "".into(),
        };
        let name = format!("lie-{number}");
        registry.fault(Rule::new(lie).method("PUT").path(&format!("/manifests/{name}")));
        let ran = project.run(["promote", source, &format!("{}/moved/docs:{name}", registry.host())]);
        assert!(matches!(ran.code, Some(3 | 5)), "{}", ran.stderr);
        registry.clear_faults();
    }
}

#[test]
fn g17_what_was_not_seen_to_be_shipped_is_not_said_to_be() {
    let (registry, project) = (FakeRegistry::start(), Project::two_services());
    let host = registry.host().to_owned();
    let is_done = |_| {
        let ran = project.run(["verify", "--registry", &host, "docs"]);
        if ran.code == Some(0) { Ok(()) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
    };
    let command = |number: usize| {
        project.repo.write("docs/index.md", format!("{number}\n"));
        owned(["ship", "--registry", &host, "docs"])
    };
    for which in [Which::Containing("/manifests/h-"), Which::Last] {
        // Nothing is new twice.
        let begin = if matches!(which, Which::Last) { 1_000 } else { 0 };
        let case = Case {
            registry: &registry,
            project: &project,
            which,
            command: &|number| command(begin + number),
            is_done: &is_done,
        };
        let (tried, _) = case.run();
        assert!(tried >= CASES, "{tried}");
    }
}

#[test]
fn g17_what_was_not_seen_to_be_signed_is_not_said_to_be() {
    for profile in [Profile::Spec, Profile::Distribution] {
        let (registry, project) = (FakeRegistry::builder().profile(profile).start(), Project::two_services());
        let (source, _) = docs(&project);
        let image = |number: usize| format!("{}/n{number}/docs:1", registry.host());
        let command = |number: usize| {
            // An image in a repository of its own has no signature.
            if registry.manifest(&format!("n{number}/docs"), "1").is_none() {
                project.run(["copy", &source, &image(number)]).ok();
                registry.clear_log();
            }
            owned(["sign", "--key", &key("p256.pem"), &image(number)])
        };
        let is_done = |number: usize| {
            let ran = project.run(["verify", "--key", &key("p256.pub.pem"), &image(number)]);
            if ran.code == Some(0) { Ok(()) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
        };
        let (tried, _) =
            Case { registry: &registry, project: &project, which: Which::Last, command: &command, is_done: &is_done }
                .run();
        assert!(tried >= CASES, "{tried}");
    }
}

#[cfg(unix)]
#[test]
fn g17_what_was_not_seen_to_be_deployed_is_not_said_to_be() {
    const DEPLOYED: &str = r#"
[[env.prod.deploy]]
name = "main"
run = ["sh", "-c", "echo $0 > seen/now", "{digest:docs}"]
"#;
    let (registry, project) = (FakeRegistry::start(), Project::two_services());
    let config =
        TWO_SERVICES.replace("name = \"demo\"\n", &format!("name = \"demo\"\nregistry = \"{}\"\n", registry.host()));
    project.repo.write("shipper.toml", config + DEPLOYED);
    project.repo.write("seen/now", "");
    project.repo.write(".gitignore", "seen\n");
    let mut versions = Vec::new();
    for content in ["1\n", "2\n"] {
        project.repo.write("docs/index.md", content);
        project.run(["deploy", "prod"]).ok();
        versions.push(std::fs::read_to_string(project.path().join("seen/now")).expect("it ran").trim().to_owned());
    }
    let command = |number: usize| {
        let image = format!("docs={}/demo/docs@{}", registry.host(), versions[number % 2]);
        owned(["deploy", "prod", "--image", &image])
    };
    let is_done = |number: usize| {
        let wanted = &versions[number % 2];
        let now = std::fs::read_to_string(project.path().join("seen/now")).expect("it ran");
        let told = project.run(["status", "--json"]).ok().json();
        let last = &told["environments"][0]["last"];
        let says = (last["state"].as_str(), last["images"]["docs"]["digest"].as_str());
        if now.trim() == wanted && says == (Some("observed"), Some(wanted)) {
            return Ok(());
        }
        Err(format!("{now} {last}"))
    };
    for which in [Which::Ending(".observed"), Which::Last] {
        let case = Case { registry: &registry, project: &project, which, command: &command, is_done: &is_done };
        let (tried, _) = case.run();
        assert!(tried >= CASES, "{tried}");
    }
}
