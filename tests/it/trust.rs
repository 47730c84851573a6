//! The trust rule: what a pull request writes is never an image of a trusted run.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shipper_oci::{BlobSource, ClientOptions, Descriptor, ImageManifest, Manifest, Store, media_type};
use shipper_testkit::{Auth, DockerRegistry, FakeRegistry, need};

use crate::support::{Project, Ran, text};

/// [`crate::support::TWO_SERVICES`] with a place for each kind of run.
fn project(registry: &str, untrusted: &str) -> Project {
    let project = Project::two_services();
    configure(&project, registry, untrusted);
    project
}

fn configure(project: &Project, registry: &str, untrusted: &str) {
    let settings = format!("name = \"demo\"\nregistry = \"{registry}\"\nuntrusted = \"{untrusted}\"\n");
    let text = crate::support::TWO_SERVICES.replace("name = \"demo\"\n", &settings);
    project.repo.write("shipper.toml", text);
}

/// Runs as a job of GitHub for a pull request would.
fn as_pull_request(project: &Project, arguments: &[&str]) -> Ran {
    let head = project.repo.head();
    let event = json!({"number": 12, "repository": {"default_branch": "main"}, "pull_request": {"number": 12,
        "head": {"sha": head, "ref": "fix", "repo": {"fork": true, "full_name": "somebody/r"}},
        "base": {"ref": "main", "repo": {"full_name": "o/r"}}}});
    let path = project.cache().join("event.json");
    std::fs::write(&path, event.to_string()).expect("writes");
    let mut command = project.command(arguments);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_EVENT_NAME", "pull_request").env("GITHUB_EVENT_PATH", &path);
    Ran::of(&command.env("GITHUB_SHA", &head).output().expect("starts"))
}

/// Repositories that were written to, by their first component.
fn written(registry: &DockerRegistry) -> BTreeSet<String> {
    let log = registry.log();
    let writes = log.requests.iter().filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD"));
    writes.filter_map(|request| request.path.split('/').nth(2).map(str::to_owned)).collect()
}

fn places(registry: &DockerRegistry) -> (String, String) {
    (format!("{}/trusted", registry.host()), format!("{}/pulls", registry.host()))
}

fn actions(plan: &Value) -> Vec<String> {
    plan["services"].as_array().expect("services").iter().map(|service| text(&service["action"])).collect()
}

/// C1: whoever may push to the registry of pull requests knows every key, for he has the source. He puts an image of his
/// own there under the identity that the next trusted run will have.
#[tokio::test(flavor = "multi_thread")]
async fn c1_a_poisoned_identity_never_reaches_a_trusted_plan() {
    let registry = need!(DockerRegistry::start());
    let (trusted, pulls) = places(&registry);
    let project = project(&trusted, &pulls);
    let planned = as_pull_request(&project, &["plan", "--json"]).ok().json();
    let service = &planned["services"][0];
    let (key, tag) = (text(&service["key"]), text(&service["tag"]));
    let repository = Store::parse(&pulls, ClientOptions::default()).expect("a store");
    let repository = repository.repository(&"demo/docs".parse().expect("a name"));
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Cmd": ["/evil"], "Labels": {"dev.shipper.key": key, "dev.shipper.service": "docs"}}});
    let config = config.to_string().into_bytes();
    let descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    repository.push_blob(&descriptor, BlobSource::Bytes(config.into())).await.expect("pushes");
    let poison = Manifest::image(&ImageManifest::new(descriptor, vec![])).expect("a manifest");
    repository.put_manifest(&poison, Some(&tag.parse().expect("a tag"))).await.expect("puts");

    // It works where it was put: the attack is a real one.
    let fooled = as_pull_request(&project, &["plan", "--json"]).ok().json();
    assert_ne!(fooled["services"][0]["action"], "build", "{fooled}");

    registry.clear_log();
    assert_eq!(actions(&project.plan()), ["build", "build"]);
    let ran = project.run(["ship", "--json"]).ok();
    let shipped = &ran.events().pop().expect("events")["images"]["docs"];
    assert_eq!(shipped["action"], "build");
    assert_ne!(text(&shipped["digest"]), poison.digest().to_string());
    assert!(text(&shipped["reference"]).starts_with(&trusted), "{shipped}");
    project.run(["verify"]).ok();
    let log = registry.log();
    let looked = log.requests.iter().filter(|request| request.path.contains("/pulls/")).count();
    assert_eq!(looked, 0, "a trusted run asks nothing of the other registry: {:#?}", log.requests);
}

#[test]
fn a_pull_request_writes_to_its_own_registry_only_and_reuses_what_trusted_runs_built() {
    let registry = need!(DockerRegistry::start());
    let (trusted, pulls) = places(&registry);
    let mut project = project(&trusted, &pulls);
    project.ship().says("2 built");
    assert_eq!(written(&registry), BTreeSet::from(["trusted".to_owned()]));

    registry.clear_log();
    project.repo.write("docs/index.md", "changed\n");
    project.repo.commit("a change");
    let plan = as_pull_request(&project, &["plan", "--json"]).ok().json();
    assert_eq!(plan["services"][0]["reasons"][0]["files"][0]["path"], "docs/index.md", "{plan}");
    let ran = as_pull_request(&project, &["ship", "--json"]).ok();
    let images = ran.events().pop().expect("events")["images"].clone();
    assert_eq!((&images["docs"]["action"], &images["site"]["action"]), (&json!("build"), &json!("retag")));
    for service in ["docs", "site"] {
        assert!(text(&images[service]["reference"]).starts_with(&pulls), "{images}");
        assert_eq!(images[service]["names"][1]["tag"], "pr-12", "{images}");
    }
    assert_eq!(written(&registry), BTreeSet::from(["pulls".to_owned()]));
    let log = registry.log();
    let site =
        log.requests.iter().filter(|request| request.method == "PUT" && request.path.contains("pulls/demo/site"));
    assert!(site.clone().count() > 0 && site.clone().all(|request| request.path.contains("/manifests/")), "mounted");
    as_pull_request(&project, &["ship"]).ok().says("nothing is due");
    // What is merged is built again, by a run that is trusted.
    assert_eq!(actions(&project.plan()), ["build", "reuse"]);
    as_pull_request(&project, &["ship", "--registry", &format!("{trusted}/other")]).ok();
    assert_eq!(written(&registry), BTreeSet::from(["pulls".to_owned()]), "no flag leads elsewhere");
}

/// C1: what is missing in the environment of a pull request does not make it a trusted run.
#[test]
fn a_run_that_calls_itself_a_pull_request_is_not_trusted_whatever_is_missing() {
    let project = project("oci:images", "oci:pulls");
    project.repo.write(".gitignore", "images\npulls\n");
    let head = project.repo.head();
    let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_EVENT_NAME", "pull_request"), ("GITHUB_SHA", &head)];
    let gitlab = [("GITLAB_CI", "true"), ("CI_PIPELINE_SOURCE", "merge_request_event"), ("CI_COMMIT_SHA", &head)];
    for (environment, says) in [(github, "does not tell which pull request"), (gitlab, "the merge request is not told")]
    {
        let mut command = project.command(["ship"]);
        let ran = Ran::of(&command.envs(environment).output().expect("starts"));
        ran.ok().says(says);
    }
    assert!(project.path().join("pulls/demo/docs").exists());
    assert!(!project.path().join("images").exists(), "nothing where trusted runs look");
}

#[test]
fn a_fork_that_may_not_read_the_trusted_registry_builds() {
    let closed = FakeRegistry::builder().auth(Auth::basic("u", "p")).start();
    let project = project(closed.host(), "oci:pulls");
    project.repo.write(".gitignore", "pulls\n");
    as_pull_request(&project, &["ship"]).ok().says("2 built").says("refused the credentials");
    project.run(["plan"]).exits(3);
}

#[test]
fn places_that_overlap_are_refused() {
    let project = project("oci:images", "oci:images");
    project.run(["plan"]).exits(2).says("cannot use `project.untrusted`").says("hint: name another registry");
    let server = FakeRegistry::start();
    configure(&project, server.host(), &format!("{}/demo", server.host()));
    let config = project.path().join("shipper.toml");
    let toml = std::fs::read_to_string(&config).expect("reads");
    std::fs::write(&config, toml.replace("[service.site]\n", "[service.site]\nrepository = 'docs'\n")).expect("writes");
    as_pull_request(&project, &["plan"]).exits(2).says("/demo/docs is a repository of trusted runs too");
    let shown = project.run(["config"]).ok().stdout;
    assert!(shown.contains("project.untrusted"), "{shown}");
}
