//! G5, G11, G17: a deployment that is killed at any of its writes, or while its target runs, is brought to its end by the next
//! one or undone by a rollback, and nothing is said to run that does not.

use std::collections::BTreeMap;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde_json::Value;
use shipper_testkit::{FakeRegistry, Fault, Rule};

use crate::support::{Project, Ran, TWO_SERVICES, text};

/// A target that can be asked what it runs, and that kills its deployment before or after it has changed.
const DEPLOYED: &str = r#"
[[env.prod.deploy]]
name = "main"
run = ["sh", "-c", "test ! -e seen/before || { rm seen/before; kill -9 $PPID; exit 1; }; echo $0 > seen/now; test ! -e seen/after || { rm seen/after; kill -9 $PPID; }", "{digest:docs} {digest:site}"]
check = ["sh", "-c", "test \"$(cat seen/now)\" = \"$0\"", "{digest:docs} {digest:site}"]
inputs = ["infra/**"]
timeout = "60s"
"#;

/// An environment in a registry with two images of each service.
struct World {
    registry: FakeRegistry,
    project: Project,
    /// Digests of docs and site.
    versions: [[String; 2]; 2],
    /// A place without a checkout; its target is that of the checkout.
    elsewhere: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let registry = FakeRegistry::start();
        let project = Project::two_services();
        let config = TWO_SERVICES
            .replace("name = \"demo\"\n", &format!("name = \"demo\"\nregistry = \"{}\"\n", registry.host()));
        project.repo.write("shipper.toml", config + DEPLOYED);
        project.repo.write("seen/now", "");
        project.repo.write(".gitignore", "seen\n");
        let elsewhere = tempfile::tempdir().expect("a directory");
        std::os::unix::fs::symlink(project.path().join("seen"), elsewhere.path().join("seen")).expect("links");
        let deployed = |content: &str| {
            project.repo.write("docs/index.md", content);
            project.repo.write("site/index.html", content);
            project.run(["deploy", "prod"]).ok();
            let now = std::fs::read_to_string(project.path().join("seen/now")).expect("it ran");
            let (docs, site) = now.trim().split_once(' ').expect("two digests");
            [docs.to_owned(), site.to_owned()]
        };
        let versions = ["1", "2"].map(deployed);
        Self { registry, project, versions, elsewhere }
    }

    /// The command that deploys a version.
    fn deploy(&self, version: usize) -> Command {
        let mut command = self.project.command(["deploy", "prod"]);
        for (service, digest) in ["docs", "site"].iter().zip(&self.versions[version]) {
            command.arg("--image").arg(format!("{service}={}/demo/{service}@{digest}", self.registry.host()));
        }
        command
    }

    /// Goes back to a version from its records alone.
    fn roll_back(&self, version: usize) -> Ran {
        let observed = self.records().into_iter().filter(|record| record["state"] == "observed");
        let mut wanted =
            observed.filter(|record| record["images"]["docs"]["digest"] == self.versions[version][0].as_str());
        let id = text(&wanted.next_back().expect("it was deployed")["id"]);
        let directory = self.elsewhere.path().to_str().expect("plain");
        let mut command = self.project.command(["-C", directory, "rollback", "prod", "--to", &id]);
        Ran::of(&command.args(["--registry", self.registry.host()]).output().expect("starts")).ok()
    }

    /// Deployments, the oldest first.
    fn records(&self) -> Vec<Value> {
        let told = self.project.run(["history", "prod", "--json", "--limit", "1000"]).ok().json();
        told["deployments"].as_array().expect("a list").iter().rev().cloned().collect()
    }

    /// The last state of the last deployment, as it lies in the registry.
    fn last_record(&self) -> Value {
        let tags = self.registry.tags("shipper-records").into_iter().map(|(tag, _)| tag);
        let last = tags.max_by_key(|tag| {
            let (id, state) = tag.split_once('.').unwrap_or((tag, ""));
            (id.to_owned(), ["", "applied", "failed", "observed"].iter().position(|known| *known == state))
        });
        let manifest = self.registry.manifest("shipper-records", &last.expect("records")).expect("is there");
        let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("a manifest");
        let document = self.registry.blob("shipper-records", &text(&manifest["layers"][0]["digest"]));
        serde_json::from_slice(&document.expect("is there")).expect("a record")
    }

    /// How many writes a deployment of something else takes.
    fn writes(&self) -> usize {
        self.registry.clear_log();
        Ran::of(&self.deploy(0).output().expect("starts")).ok();
        self.registry.log().writes().len()
    }

    /// Kills a deployment when its write of this number arrives, before it has an effect; whether there was one.
    fn kill_at_write(&self, version: usize, number: usize) -> bool {
        let (arrived, arrives) = channel();
        self.registry.fault(Rule::new(Fault::Hang).when(nth_write(number, arrived)));
        let mut child = quiet(&mut self.deploy(version)).spawn().expect("starts");
        let killed = loop {
            match arrives.recv_timeout(Duration::from_millis(20)) {
                Ok(()) => break true,
                Err(RecvTimeoutError::Timeout) => {
                    if child.try_wait().expect("can be asked").is_some() {
                        break false;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break false,
            }
        };
        if killed {
            child.kill().expect("it runs");
        }
        let status = child.wait().expect("ends");
        self.registry.clear_faults();
        assert_eq!(status.code(), if killed { None } else { Some(0) });
        killed
    }

    /// Lets the target kill its deployment.
    fn kill_in_target(&self, version: usize, moment: &str) {
        self.project.repo.write(format!("seen/{moment}"), "");
        let status: ExitStatus = quiet(&mut self.deploy(version)).status().expect("starts");
        assert_eq!(status.code(), None, "killed");
    }

    /// Everything says that this version runs, and it does.
    #[track_caller]
    fn assert_runs(&self, version: usize) {
        let expected = &self.versions[version];
        let now = std::fs::read_to_string(self.project.path().join("seen/now")).expect("it ran");
        assert_eq!(now.trim(), expected.join(" "));
        for (service, digest) in ["docs", "site"].iter().zip(expected) {
            let pinned = |pin: &str| {
                let manifest = self.registry.manifest(&format!("demo/{service}"), pin);
                manifest.map(|manifest| manifest.digest)
            };
            assert_eq!(pinned("env-prod").as_deref(), Some(digest.as_str()));
            assert_eq!(pinned("env-prod.next"), None);
            assert_eq!(
                pinned("env-prod.1").as_deref(),
                Some(self.versions[1 - version][usize::from(*service == "site")].as_str())
            );
        }
        let last = self.last_record();
        assert_eq!(
            (&last["state"], &last["images"]["docs"]["digest"]),
            (&"observed".into(), &expected[0].as_str().into())
        );
        let mut ended: BTreeMap<String, bool> = BTreeMap::new();
        for (tag, _) in self.registry.tags("shipper-records") {
            let (id, state) = tag.split_once('.').unwrap_or((&tag, "intent"));
            *ended.entry(id.to_owned()).or_default() |= matches!(state, "observed" | "failed" | "withdrawn");
        }
        let open: Vec<&String> = ended.iter().filter(|(_, ended)| !**ended).map(|(id, _)| id).collect();
        assert_eq!(open, Vec::<&String>::new(), "the records say how each ended");
    }

    /// Brings a version out after the other was killed on its way, and once more for nothing.
    #[track_caller]
    fn recover(&self, version: usize, by_rollback: bool) {
        if by_rollback {
            // What ran before is brought back, by the records and the target alone.
            self.roll_back(1 - version);
            return self.assert_runs(1 - version);
        }
        Ran::of(&self.deploy(version).output().expect("starts")).ok();
        self.assert_runs(version);
        self.registry.clear_log();
        Ran::of(&self.deploy(version).output().expect("starts")).ok().says("prod runs these images");
        self.registry.log().assert_no_writes();
    }

    /// The version that runs.
    fn running(&self) -> usize {
        let now = std::fs::read_to_string(self.project.path().join("seen/now")).expect("it ran");
        usize::from(now.trim() == self.versions[1].join(" "))
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

/// Matches the write of this number, and tells that it arrived.
fn nth_write(number: usize, arrived: Sender<()>) -> impl Fn(&shipper_testkit::Request) -> bool + Send + Sync {
    let seen = AtomicUsize::new(0);
    move |request| {
        let is_it = !matches!(request.method.as_str(), "GET" | "HEAD") && seen.fetch_add(1, Ordering::SeqCst) == number;
        is_it && arrived.send(()).is_ok()
    }
}

/// How many times each write is killed; `cargo xtask soak` does it more often.
fn times() -> usize {
    std::env::var("SHIPPER_DEPLOY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// One after the other from the intent to the record of the end: what is recorded, pinned, and told to run.
#[test]
fn a_deployment_killed_at_any_write_is_brought_to_its_end_or_undone() {
    let world = World::new();
    let writes = world.writes();
    let mut killed = 0;
    for round in 0..writes * times() {
        let next = 1 - world.running();
        // Who finds pins as they should be has a write less.
        if world.kill_at_write(next, round % writes) {
            killed += 1;
            world.recover(next, round % 3 == 2);
        }
    }
    assert!(killed + times() >= writes * times(), "{killed} of {writes} writes were killed");
}

#[test]
fn a_deployment_killed_by_its_target_is_brought_to_its_end_or_undone() {
    let world = World::new();
    for (round, moment) in ["before", "after", "before", "after"].iter().cycle().take(4 * times()).enumerate() {
        let next = 1 - world.running();
        world.kill_in_target(next, moment);
        let told = world.project.run(["status", "--json"]).ok().json();
        let environment = &told["environments"][0];
        let states = (&environment["last"]["state"], &environment["running"]["state"]);
        assert_eq!(states, (&"intent".into(), &"observed".into()));
        world.recover(next, round % 4 >= 2);
    }
}
