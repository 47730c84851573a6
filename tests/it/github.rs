//! What GitHub Actions is told of a command: outputs read as a runner reads them, annotations, the job's summary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Project, Ran, TWO_SERVICES, text};

/// A step of a job.
struct Step {
    output: PathBuf,
    summary: PathBuf,
    ran: Ran,
}

impl Step {
    /// Runs the command as a step of a push to `main`.
    fn run(project: &Project, arguments: &[&str]) -> Self {
        let file = |name: &str| project.cache().join(format!("github-{name}-{}", arguments.len()));
        let (output, summary) = (file("output"), file("summary"));
        for path in [&output, &summary] {
            std::fs::write(path, "").expect("writes");
        }
        let mut command = project.command(arguments);
        command.envs([("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "push"), ("GITHUB_REF", "refs/heads/main")]);
        command.env("GITHUB_OUTPUT", &output).env("GITHUB_STEP_SUMMARY", &summary);
        let ran = Ran::of(&command.output().expect("the binary starts"));
        Self { output, summary, ran }
    }

    /// The outputs, by the rules of the runner: `NAME=VALUE`, or `NAME<<WORD`, lines and `WORD`.
    fn outputs(&self) -> BTreeMap<String, String> {
        let text = read(&self.output);
        let (mut outputs, mut lines) = (BTreeMap::new(), text.lines());
        while let Some(line) = lines.next() {
            let (name, word) = line.split_once("<<").unwrap_or_else(|| panic!("{line} in {text}"));
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != word).collect();
            assert!(outputs.insert(name.to_owned(), value.join("\n")).is_none(), "{name} twice");
        }
        outputs
    }

    fn annotations(&self) -> Vec<&str> {
        self.ran.stderr.lines().filter(|line| line.starts_with("::")).collect()
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

#[test]
fn a_run_sets_outputs_and_adds_to_the_summary() {
    let project = Project::two_services();
    let step = Step::run(&project, &["ship"]);
    let outputs = step.outputs();
    let images: Value = serde_json::from_str(&outputs["images"]).expect("JSON");
    let last = project.run(["ship", "--json"]).ok().events().pop().expect("events");
    for service in ["docs", "site"] {
        let digest = text(&last["images"][service]["digest"]);
        assert!(text(&images[service]).ends_with(&digest), "{images}");
        assert!(
            read(&step.summary).contains(&format!("| {service} | built | never built |")),
            "{}",
            read(&step.summary)
        );
    }
    assert_eq!(serde_json::from_str::<Value>(&outputs["built"]).expect("JSON"), json!(["docs", "site"]));
    assert!(step.annotations().is_empty(), "{}", step.ran.stderr);
    // Nothing was built the second time; data on stdout stays data.
    let again = Step::run(&project, &["ship", "--json"]);
    assert_eq!(again.outputs()["built"], "[]");
    assert!(again.ran.stdout.lines().all(|line| line.starts_with('{')), "{}", again.ran.stdout);
    // Elsewhere nothing is told.
    assert!(!project.run(["plan", "nothing"]).exits(2).stderr.contains("::error"));
}

#[test]
fn failures_and_warnings_are_annotations_of_one_line() {
    let project =
        Project::new(&format!("{TWO_SERVICES}check = [[\"sh\", \"-c\", \"echo ::set-output name=a::b; exit 3\"]]\n"));
    for path in ["docs/index.md", "site/index.html", "shared/logo.svg", "site/a", "site/A"] {
        project.repo.write(path, path);
    }
    let step = Step::run(&project, &["ship"]);
    let ran = &step.ran;
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let annotations = step.annotations();
    let warned =
        annotations.iter().any(|line| line.starts_with("::warning title=shipper::site: `site/a` and `site/A`"));
    assert!(warned, "{annotations:?}");
    let failed = annotations.iter().find(|line| line.starts_with("::error")).expect("an annotation");
    assert!(failed.starts_with("::error title=shipper::cannot check `site`: `sh -c "), "{failed}");
    assert!(read(&step.summary).contains("failed"), "{}", read(&step.summary));
    // What did not fail is told.
    assert_eq!(serde_json::from_str::<Value>(&step.outputs()["built"]).expect("JSON"), json!(["docs"]));
    // Wrong usage, too.
    let step = Step::run(&project, &["plan", "no\u{1b}[31m%"]);
    let expected = "::error title=shipper::cannot find service `no\\u{1b}[31m%25`%0Athe services are docs, site";
    assert_eq!(step.annotations(), [expected]);
}

#[test]
fn a_plan_becomes_jobs() {
    let mut project = Project::new(&format!("{TWO_SERVICES}base = \"docs\"\nneeds = {{ docs = \"docs\" }}\n"));
    for path in ["docs/index.md", "site/index.html", "shared/logo.svg"] {
        project.repo.write(path, path);
    }
    project.repo.commit("start");
    let step = Step::run(&project, &["plan", "--format", "github"]);
    let outputs = step.outputs();
    let matrix =
        |outputs: &BTreeMap<String, String>| -> Value { serde_json::from_str(&outputs["matrix"]).expect("JSON") };
    assert_eq!((&*outputs["due"], &*outputs["bases"], &*outputs["retag"]), ("true", "docs", ""));
    assert_eq!(
        matrix(&outputs),
        json!({ "include": [{ "name": "site", "services": "site", "sparse": "docs\nshared\nsite" }] })
    );
    assert_eq!(step.ran.stdout, "");
    // What the jobs do: the base first, then each entry.
    project.run(["ship", &outputs["bases"]]).ok();
    let outputs = Step::run(&project, &["plan", "--format", "github"]).outputs();
    assert_eq!((&*outputs["bases"], matrix(&outputs)["include"][0]["services"].as_str()), ("", Some("site")));
    project.run(["ship", "site"]).ok();
    // Built elsewhere, they lack the names of this run.
    let outputs = Step::run(&project, &["plan", "--format", "github"]).outputs();
    assert_eq!((&*outputs["due"], &*outputs["retag"]), ("true", "docs site"));
    Step::run(&project, &["ship"]).ran.ok();
    let outputs = Step::run(&project, &["plan", "--format", "github"]).outputs();
    assert_eq!((&*outputs["due"], matrix(&outputs)), ("false", json!({ "include": [] })));
    // By hand the same is printed.
    let shown = project.run(["plan", "--format", "github", "--force"]).ok().stdout;
    let matrix = r#"matrix={"include":[{"name":"site","services":"site","sparse":"docs\nshared\nsite"}]}"#;
    assert_eq!(shown.lines().collect::<Vec<_>>(), ["due=true", "bases=docs", matrix, "retag="]);
    project.run(["plan", "--format", "github", "--json"]).exits(2);
    project.run(["plan", "--format", "jenkins"]).exits(2).says("[possible values: github, gitlab]");
    // A file of the runner that can not be written is named.
    let mut command = project.command(["plan", "--format", "github"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", "/nowhere/output");
    let ran = Ran::of(&command.output().expect("the binary starts"));
    ran.exits(3).says("cannot write the output: /nowhere/output: No such file");
}

#[test]
fn a_thousand_services_are_never_too_many_jobs() {
    let mut config = "[project]\nname = \"many\"\n".to_owned();
    for service in 0..1_000 {
        config.push_str(&format!("[service.s{service:03}]\nfiles = {{ \"/a\" = \"a\" }}\n"));
    }
    let project = Project::new(&config);
    project.repo.write("a", "a");
    let outputs = Step::run(&project, &["plan", "--format", "github"]).outputs();
    let matrix: Value = serde_json::from_str(&outputs["matrix"]).expect("JSON");
    let jobs = matrix["include"].as_array().expect("jobs");
    assert_eq!(jobs.len(), 250);
    assert_eq!(jobs[0], json!({ "name": "s000 +3", "services": "s000 s001 s002 s003", "sparse": "" }));
}

#[test]
fn a_job_is_told_which_directories_it_needs() {
    let sparse = |service: &str, expected: &[&str]| {
        let project =
            Project::new(&format!("[project]\nname = \"demo\"\n[service.a]\n{service}\n[sign]\nkey = \"env:K\"\n"));
        for path in ["a/x/file", "a/y", "keys/k.pem", "Dockerfile", "top"] {
            project.repo.write(path, "FROM scratch\nCOPY top /\n");
        }
        let mut command = project.command(["plan", "--format", "github"]);
        command.env("K", "no key");
        let shown = Ran::of(&command.output().expect("the binary starts")).ok().stdout;
        let matrix = shown.lines().find_map(|line| line.strip_prefix("matrix=")).expect("a matrix");
        let matrix: Value = serde_json::from_str(matrix).expect("JSON");
        assert_eq!(matrix["include"][0]["sparse"], expected.join("\n"), "{service}");
    };
    sparse("files = { '/f' = 'a/x' }", &["a/x"]);
    // A file is in its directory, and what lies in the root is always there.
    sparse("files = { '/f' = 'a/x/file', '/y' = 'a/y', '/t' = 'top' }", &["a", "a/x"]);
    sparse("files = { '/t' = 'top' }", &[]);
    sparse("files = { '/f' = 'a' }\ninputs = ['keys/**']", &[]);
    sparse("files = { '/f' = 'a' }\ncheck = [['true']]", &[]);
    sparse("dockerfile = 'Dockerfile'", &[]);
}
