//! What a runner of GitLab does with the pipeline: its jobs in their order, each by a shell in a checkout of its own, artifacts
//! handed on, and the child pipeline that the plan writes.
//!
//! Source: GitLab documentation, "CI/CD YAML syntax reference", "Predefined CI/CD variables reference". Variables are expanded in
//! values of variables, `$$` is a `$`.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use shipper_testkit::docker_registry::{PASSWORD, USER};
use shipper_testkit::{DockerRegistry, need};

use super::runner::parsed;
use super::{LOGIN, project};
use crate::support::{Project, text};

/// Variables of a push to `main`, and of a merge request of a fork.
const PUSH: &[(&str, &str)] = &[("CI_PIPELINE_SOURCE", "push"), ("CI_COMMIT_BRANCH", "main")];
const FORK: &[(&str, &str)] = &[
    ("CI_PIPELINE_SOURCE", "merge_request_event"),
    ("CI_MERGE_REQUEST_IID", "7"),
    ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "a$(touch pwned)`id`;'\""),
    ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "2"),
    ("CI_MERGE_REQUEST_PROJECT_ID", "1"),
];

struct Runner<'a> {
    project: &'a Project,
    directory: tempfile::TempDir,
    told: BTreeMap<String, String>,
}

impl<'a> Runner<'a> {
    fn new(project: &'a Project, told: &[(&str, &str)], secrets: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let bin = directory.path().join("bin");
        std::fs::create_dir_all(&bin).expect("creates");
        // Compiling shipper takes minutes: what is installed is the program that the tests run.
        let cargo = format!(
            "#!/bin/sh\nset -e\n[ \"$*\" = \"install --locked --root .shipper/tools --version {} cargo-shipper\" ]\n\
             mkdir -p \"$4/bin\"\ncp '{}' \"$4/bin/shipper\"\n",
            env!("CARGO_PKG_VERSION"),
            env!("CARGO_BIN_EXE_shipper"),
        );
        std::fs::write(bin.join("cargo"), cargo).expect("writes");
        std::fs::set_permissions(bin.join("cargo"), Permissions::from_mode(0o755)).expect("is ours");
        let head = project.repo.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let own = [
            ("CI", "true"),
            ("GITLAB_CI", "true"),
            ("CI_DEFAULT_BRANCH", "main"),
            ("CI_COMMIT_SHA", &head),
            ("CI_PIPELINE_ID", "11"),
        ];
        let all = own.iter().chain(told).chain(secrets);
        let told = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { project, directory, told }
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Runs the script of a job in a checkout with these files; gives the checkout.
    #[track_caller]
    fn job(&self, job: &Value, further: &[(&str, &str)], artifacts: Option<&Project>) -> Project {
        let checkout = self.project.clone_to();
        std::fs::create_dir_all(self.home()).expect("creates");
        if let Some(from) = artifacts {
            let program = from.path().join(".shipper/tools/bin/shipper");
            let to = checkout.path().join(".shipper/tools/bin/shipper");
            std::fs::create_dir_all(to.parent().expect("a directory")).expect("creates");
            std::fs::copy(program, &to).expect("copies");
            // Artifacts need not come with the right to be run.
            std::fs::set_permissions(&to, Permissions::from_mode(0o644)).expect("is ours");
        }
        let mut env = self.told.clone();
        env.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let place = checkout.path().display().to_string();
        for (name, value) in [("CI_PROJECT_DIR", place.as_str()), ("HOME", &self.home().display().to_string())] {
            env.insert(name.to_owned(), value.to_owned());
        }
        let path = format!("{}:/usr/bin:/bin", self.directory.path().join("bin").display());
        env.insert("PATH".to_owned(), path);
        let told = env.clone();
        for (name, value) in job["variables"].as_object().into_iter().flatten() {
            env.insert(name.clone(), expanded(&text(value), &told));
        }
        let script: Vec<String> = job["script"].as_array().expect("a script").iter().map(text).collect();
        let script = script.join("\n");
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &script]).current_dir(checkout.path()).env_clear().envs(env);
        let output = command.output().expect("a shell starts");
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{printed}");
        checkout
    }

    /// Runs the whole pipeline; gives the names of the child's jobs.
    #[track_caller]
    fn all(&self) -> Vec<String> {
        let pipeline = parsed(&self.project.run(["ci", "gitlab"]).ok().stdout);
        let planned = self.job(&pipeline["shipper:plan"], &[], None);
        let child = std::fs::read_to_string(planned.path().join(".shipper/jobs.yml")).expect("a child");
        let child = parsed(&child);
        let child = child.as_object().expect("jobs");
        let parent = [("CI_PIPELINE_SOURCE", "parent_pipeline"), ("PARENT_PIPELINE_ID", "11")];
        // In their order: what is needed is written first. A child is told less than its parent.
        let mut order: Vec<&String> = child.keys().collect();
        order.sort_by_key(|name| *name != "bases");
        let mut of_child = Self::new(self.project, &[], &[]);
        of_child.told = self.told.clone();
        of_child.told.retain(|name, _| !name.starts_with("CI_MERGE_REQUEST"));
        for name in &order {
            of_child.job(&child[*name], &parent, Some(&planned));
        }
        self.job(&pipeline["shipper:shipped"], &[], Some(&planned));
        if self.told["CI_PIPELINE_SOURCE"] == "push" {
            self.job(&pipeline["shipper:deploy:staging"], &[], Some(&planned));
        }
        order.into_iter().cloned().collect()
    }
}

/// A value as GitLab expands it.
#[track_caller]
fn expanded(value: &str, told: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        out.push_str(told.get(&after[..end]).map_or("", String::as_str));
        rest = &after[end..];
    }
    out + rest
}

#[test]
fn every_script_of_a_pipeline_of_gitlab_does_its_part() {
    let registry = need!(DockerRegistry::start_with_password());
    let project = project(registry.host(), LOGIN);
    let secrets = [("REGISTRY_USER", USER), ("REGISTRY_PASSWORD", PASSWORD)];
    let runner = Runner::new(&project, PUSH, &secrets);
    assert_eq!(runner.all(), ["bases", "ship api", "ship web"]);
    let deployed = std::fs::read_to_string(runner.home().join("deployed")).expect("was deployed");
    assert!(deployed.starts_with(&format!("{}/shop/api@sha256:", registry.host())), "{deployed}");
    // The same commit again.
    assert_eq!(runner.all(), ["nothing is due"]);
}

#[test]
fn c4_a_merge_request_of_a_fork_builds_at_gitlab_and_is_given_nothing() {
    let registry = need!(DockerRegistry::start_with_password());
    let project = project(registry.host(), LOGIN);
    // Whoever has the secrets all the same is not asked for them.
    let runner = Runner::new(&project, FORK, &[("REGISTRY_USER", USER), ("REGISTRY_PASSWORD", PASSWORD)]);
    assert_eq!(runner.all(), ["bases", "ship api", "ship web"]);
    assert_eq!(registry.log().requests.len(), 0, "nobody asked the registry for anything");
}

#[test]
fn a_pipeline_of_gitlab_is_written_and_compared() {
    let project = project("registry.example.com/acme", "[ci]\nimage = \"registry.example.com/ci:1\"\n");
    project.run(["ci", "gitlab", "--check"]).exits(1).says("hint: `shipper ci gitlab --write`");
    project.run(["ci", "gitlab", "--write"]).ok().says("Wrote .gitlab/shipper.yml");
    project.run(["ci", "gitlab", "--check"]).ok();
    let text = std::fs::read_to_string(project.path().join(".gitlab/shipper.yml")).expect("a file");
    assert!(text.contains("\n  image: registry.example.com/ci:1\n"), "{text}");
}
