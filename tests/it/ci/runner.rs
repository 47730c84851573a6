//! What a runner of GitHub Actions does with a workflow, as far as the tests need it: jobs in their order, conditions, variables,
//! outputs, and each script by bash in a checkout of its own. Expressions are looked up and never evaluated: one that is not
//! known ends the test.
//!
//! Source: GitHub documentation, "Workflow syntax", "Workflow commands" (`GITHUB_OUTPUT`, `GITHUB_PATH`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use saphyr_parser::{Event, Parser};
use serde_json::{Value, json};
use shipper_testkit::docker_registry::{PASSWORD, USER};

use crate::release::github::Api;
use crate::support::Project;

/// A machine with a workflow.
pub(crate) struct Runner<'a> {
    project: &'a Project,
    workflow: Value,
    directory: tempfile::TempDir,
    /// Scripts that were run.
    ran: RefCell<BTreeSet<String>>,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(project: &'a Project, docker: &Path) -> Self {
        let text = project.run(["ci", "github"]).ok().stdout;
        let directory = tempfile::tempdir().expect("a directory");
        let bin = directory.path().join("bin");
        std::fs::create_dir_all(&bin).expect("creates");
        std::fs::create_dir_all(directory.path().join("home")).expect("creates");
        std::os::unix::fs::symlink(docker, bin.join("docker")).expect("links");
        // Compiling shipper takes minutes: what is installed is the program that the tests run.
        let cargo = format!(
            "#!/bin/sh\nset -e\n[ \"$*\" = \"install --locked --root $RUNNER_TEMP/shipper --version {} cargo-shipper\" ]\n\
             mkdir -p \"$4/bin\"\ncp '{}' \"$4/bin/shipper\"\n",
            env!("CARGO_PKG_VERSION"),
            env!("CARGO_BIN_EXE_shipper"),
        );
        std::fs::write(bin.join("cargo"), cargo).expect("writes");
        std::fs::set_permissions(bin.join("cargo"), Permissions::from_mode(0o755)).expect("is ours");
        // Artifacts come without the right to be run.
        let program = std::fs::read(env!("CARGO_BIN_EXE_shipper")).expect("the binary");
        std::fs::write(directory.path().join("artifact"), program).expect("writes");
        Self { project, workflow: parsed(&text), directory, ran: RefCell::default() }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Runs a script; gives whether it ended well and what it printed.
    fn bash(&self, script: &str, job: &Job<'_>, env: &BTreeMap<String, String>) -> (bool, String) {
        self.ran.borrow_mut().insert(script.to_owned());
        let file = job.temp.path().join("script.sh");
        std::fs::write(&file, script).expect("writes");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail"]).arg(&file).current_dir(job.checkout.path());
        command.env_clear().envs(env);
        let output = command.output().expect("bash starts");
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), printed)
    }

    /// Whether the last job ends well where the others ended so.
    pub(crate) fn verdict(&self, results: &str) -> bool {
        let steps = self.workflow["jobs"]["finish"]["steps"].as_array().expect("steps");
        let script = text(&steps[0]["run"]);
        let job = Job::new(self);
        self.bash(&script, &job, &BTreeMap::from([("RESULTS".to_owned(), results.to_owned())])).0
    }

    #[track_caller]
    pub(crate) fn every_script_was_run(&self) {
        let jobs = self.workflow["jobs"].as_object().expect("jobs");
        let steps = jobs.values().flat_map(|job| job["steps"].as_array().expect("steps"));
        let all: BTreeSet<String> =
            steps.filter(|step| step["run"].is_string()).map(|step| text(&step["run"])).collect();
        assert_eq!(*self.ran.borrow(), all);
    }
}

/// A job on a machine of its own.
struct Job<'a> {
    checkout: Project,
    temp: tempfile::TempDir,
    path: Vec<PathBuf>,
    runner: &'a Runner<'a>,
}

impl<'a> Job<'a> {
    fn new(runner: &'a Runner<'a>) -> Self {
        let path = vec![runner.directory.path().join("bin"), "/usr/bin".into(), "/bin".into()];
        Self { checkout: runner.project.clone_to(), temp: tempfile::tempdir().expect("a directory"), path, runner }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }
}

/// A run of the workflow.
pub(crate) struct Run<'a> {
    runner: &'a Runner<'a>,
    /// What the runner tells each step.
    told: BTreeMap<String, String>,
    event: Value,
    /// Values of expressions that all jobs know.
    known: BTreeMap<String, String>,
    is_apart: bool,
}

/// Expressions that are about pull requests.
const REQUEST: &str = "github.event_name == 'pull_request'";

impl<'a> Run<'a> {
    /// A push to `main`.
    pub(crate) fn push(runner: &'a Runner<'a>) -> Self {
        let head = runner.project.repo.git(&["rev-parse", "HEAD"]);
        let event = json!({ "repository": { "default_branch": "main" }, "ref": "refs/heads/main" });
        Self::new(
            runner,
            &[("GITHUB_EVENT_NAME", "push"), ("GITHUB_REF", "refs/heads/main"), ("GITHUB_SHA", &head)],
            event,
            false,
        )
    }

    /// A release `v1.1.0` that was published, at a stand-in for GitHub.
    pub(crate) fn release(runner: &'a Runner<'a>, api: &Api) -> Self {
        let head = runner.project.repo.git(&["rev-parse", "HEAD"]);
        let event = json!({ "repository": { "default_branch": "main" }, "release": { "tag_name": "v1.1.0" } });
        let told = [
            ("GITHUB_EVENT_NAME", "release"),
            ("GITHUB_REF", "refs/tags/v1.1.0"),
            ("GITHUB_SHA", &head),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_API_URL", &api.address),
        ];
        let mut run = Self::new(runner, &told, event, false);
        run.known.insert("github.token".to_owned(), "secret-token".to_owned());
        run
    }

    /// A pull request from a branch of a fork.
    pub(crate) fn fork(runner: &'a Runner<'a>, branch: &str) -> Self {
        let head = runner.project.repo.git(&["rev-parse", "HEAD"]);
        let event = json!({
            "number": 7,
            "repository": { "default_branch": "main" },
            "pull_request": {
                "number": 7,
                "head": { "ref": branch, "sha": head, "repo": { "fork": true, "full_name": "mallory/shop" } },
                "base": { "ref": "main", "repo": { "full_name": "acme/shop" } },
            },
        });
        let told = [
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_REF", "refs/pull/7/merge"),
            ("GITHUB_HEAD_REF", branch),
            ("GITHUB_SHA", &head),
        ];
        Self::new(runner, &told, event, true)
    }

    fn new(runner: &'a Runner<'a>, told: &[(&str, &str)], event: Value, is_apart: bool) -> Self {
        let mut known = BTreeMap::new();
        for directory in ["images", "pulls"] {
            let value = if is_apart { format!("oci:.shipper/{directory}") } else { String::new() };
            known.insert(format!("{REQUEST} && 'oci:.shipper/{directory}' || ''"), value);
        }
        // Runs of forks have no secrets.
        let secret = |value: &str| if is_apart { String::new() } else { value.to_owned() };
        known.insert("secrets.REGISTRY_USER".to_owned(), secret(USER));
        known.insert("secrets.REGISTRY_PASSWORD".to_owned(), secret(PASSWORD));
        let told = told.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { runner, told, event, known, is_apart }
    }

    /// Runs every job whose condition holds, in the order of the workflow; gives their names.
    #[track_caller]
    pub(crate) fn all(&mut self) -> Vec<String> {
        let jobs = self.runner.workflow["jobs"].as_object().expect("jobs").clone();
        let mut ran = vec!["plan".to_owned()];
        let plan = self.job(&jobs["plan"], &BTreeMap::new());
        for (name, value) in &plan {
            self.known.insert(format!("needs.plan.outputs.{name}"), value.clone());
        }
        if !plan["bases"].is_empty() && !self.is_apart {
            ran.push("bases".to_owned());
            self.job(&jobs["bases"], &BTreeMap::new());
        }
        let matrix: Value = serde_json::from_str(&plan["matrix"]).expect("JSON");
        for leg in matrix["include"].as_array().expect("a list") {
            let of = |key: &str| (format!("matrix.{key}"), text(&leg[key]));
            ran.push(format!("build {}", text(&leg["name"])));
            self.job(&jobs["build"], &BTreeMap::from([of("name"), of("services"), of("sparse")]));
        }
        ran.push("finish".to_owned());
        let results = ("join(needs.*.result, ' ')".to_owned(), "success success success".to_owned());
        self.job(&jobs["finish"], &BTreeMap::from([results]));
        let follows = match self.told["GITHUB_EVENT_NAME"].as_str() {
            "push" => Some("deploy-staging"),
            "release" => Some("notes"),
            _ => None,
        };
        if let Some(name) = follows {
            ran.push(name.to_owned());
            self.job(&jobs[name], &BTreeMap::new());
        }
        ran
    }

    /// Runs the steps of a job; gives the outputs of its steps.
    #[track_caller]
    fn job(&self, job: &Value, further: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut here = Job::new(self.runner);
        let mut outputs = BTreeMap::new();
        let mut known = self.known.clone();
        known.extend(further.clone());
        if let Some(sparse) = further.get("matrix.sparse") {
            let checkout = &job["steps"][0]["with"];
            assert_eq!(checkout["sparse-checkout"], "${{ matrix.sparse }}");
            let directories: Vec<&str> =
                ["sparse-checkout", "set", "--cone"].into_iter().chain(sparse.lines()).collect();
            here.checkout.repo.git(&directories);
            let others = std::fs::read_dir(here.checkout.path()).expect("a directory");
            let others = others.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()));
            // Beside `.git`.
            assert_eq!(others.count(), sparse.lines().count() + 1, "{sparse}");
        }
        for step in job["steps"].as_array().expect("steps") {
            let action = step["uses"].as_str().unwrap_or_default().split('@').next().unwrap_or_default();
            if action == "actions/download-artifact" {
                let bin = here.file("shipper/bin");
                std::fs::create_dir_all(&bin).expect("creates");
                std::fs::hard_link(self.runner.directory.path().join("artifact"), bin.join("shipper")).expect("links");
            }
            if !step["run"].is_string() || !self.holds(step["if"].as_str()) {
                continue;
            }
            let mut env = self.variables(&here);
            for table in [&self.runner.workflow["env"], &job["env"], &step["env"]] {
                for (name, value) in table.as_object().into_iter().flatten() {
                    env.insert(name.clone(), evaluated(&text(value), &known));
                }
            }
            for name in ["output", "summary", "path"] {
                std::fs::write(here.file(name), "").expect("writes");
            }
            let script = text(&step["run"]);
            let (ended_well, printed) = self.runner.bash(&script, &here, &env);
            assert!(ended_well, "{script}\n{printed}");
            outputs.extend(assignments(&std::fs::read_to_string(here.file("output")).expect("a file")));
            let added = std::fs::read_to_string(here.file("path")).expect("a file");
            here.path.splice(0..0, added.lines().map(PathBuf::from));
        }
        outputs
    }

    /// What a runner tells every step.
    fn variables(&self, job: &Job<'_>) -> BTreeMap<String, String> {
        let event = job.file("event.json");
        std::fs::write(&event, self.event.to_string()).expect("writes");
        let shown = |path: PathBuf| path.display().to_string();
        let path = std::env::join_paths(&job.path).expect("plain names").into_string().expect("plain names");
        let home = if self.is_apart { job.runner.home() } else { job.file("home") };
        std::fs::create_dir_all(&home).expect("creates");
        let mut env = self.told.clone();
        for (name, value) in [
            ("CI", "true".to_owned()),
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_EVENT_PATH", shown(event)),
            ("GITHUB_OUTPUT", shown(job.file("output"))),
            ("GITHUB_STEP_SUMMARY", shown(job.file("summary"))),
            ("GITHUB_PATH", shown(job.file("path"))),
            ("RUNNER_TEMP", shown(job.temp.path().to_owned())),
            ("PATH", path),
            ("HOME", shown(job.runner.home())),
            ("DOCKER_CONFIG", shown(home.join(".docker"))),
        ] {
            env.insert(name.to_owned(), value);
        }
        env
    }

    /// Whether a step's condition holds.
    #[track_caller]
    fn holds(&self, condition: Option<&str>) -> bool {
        let due = self.known.get("needs.plan.outputs.due").is_some_and(|due| due == "true");
        match condition.map(inner) {
            None | Some("steps.kept.outputs.cache-hit != 'true'" | "github.ref_type != 'tag'") => true,
            Some(other) if other == format!("!({REQUEST})") => !self.is_apart,
            Some(other) if other == format!("needs.plan.outputs.due == 'true' && !({REQUEST})") => {
                due && !self.is_apart
            }
            Some(other) => panic!("an unknown condition: {other}"),
        }
    }
}

/// What is within `${{ }}`, or the text.
fn inner(text: &str) -> &str {
    text.strip_prefix("${{ ").and_then(|rest| rest.strip_suffix(" }}")).unwrap_or(text)
}

#[track_caller]
fn evaluated(text: &str, known: &BTreeMap<String, String>) -> String {
    if !text.contains("${{") {
        return text.to_owned();
    }
    known.get(inner(text)).cloned().unwrap_or_else(|| panic!("an unknown expression: {text}"))
}

/// Outputs by the rules of the runner.
fn assignments(text: &str) -> BTreeMap<String, String> {
    let (mut outputs, mut lines) = (BTreeMap::new(), text.lines());
    while let Some(line) = lines.next() {
        let (name, word) = line.split_once("<<").unwrap_or_else(|| panic!("{line} in {text}"));
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != word).collect();
        outputs.insert(name.to_owned(), value.join("\n"));
    }
    outputs
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A document as a tree whose leaves are texts.
pub(crate) fn parsed(document: &str) -> Value {
    let mut events = Parser::new_from_str(document).map(|event| event.expect("is YAML").0);
    let mut next = || {
        events
            .find(|event| !matches!(event, Event::StreamStart | Event::DocumentStart(_) | Event::Nothing))
            .expect("an event")
    };
    let first = next();
    value(first, &mut next)
}

fn value<'e>(event: Event<'e>, next: &mut impl FnMut() -> Event<'e>) -> Value {
    match event {
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut list = Vec::new();
            loop {
                match next() {
                    Event::SequenceEnd => return Value::Array(list),
                    event => list.push(value(event, next)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = serde_json::Map::new();
            loop {
                match next() {
                    Event::MappingEnd => return Value::Object(map),
                    Event::Scalar(key, ..) => {
                        let event = next();
                        map.insert(key.into_owned(), value(event, next));
                    }
                    event => panic!("no key: {event:?}"),
                }
            }
        }
        event => panic!("no value: {event:?}"),
    }
}
