//! Names of images: what each CI system's environment gives, and what `ship` writes.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Value, json};
use shipper_testkit::{DockerRegistry, FakeRegistry, need};

use crate::support::{Project, Ran, text};

/// Runs the command as a CI system would.
fn run(project: &Project, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    Ran::of(&command.envs(environment.iter().copied()).output().expect("the binary starts"))
}

/// The variables of a push to a branch on GitHub.
fn github_push<'a>(branch: &'a str, head: &'a str, event: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_REF", branch),
        ("GITHUB_SHA", head),
        ("GITHUB_EVENT_PATH", event),
        ("CI", "true"),
    ]
}

/// Writes an event document outside the repository's files and returns its path.
fn event(project: &Project, event: &Value) -> String {
    let path = project.cache().join("event.json");
    std::fs::write(&path, event.to_string()).expect("writes");
    path.to_str().expect("temporary paths are plain").to_owned()
}

fn lines_of(ran: &Ran) -> Vec<String> {
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn each_ci_system_gives_the_same_names_for_the_same_run() {
    let project = Project::two_services();
    let head = project.repo.head();
    let short = &head[..7];
    let other = "0123456789012345678901234567890123456789";
    let default = json!({"repository": {"default_branch": "main"}});
    let pull = |target: &str| {
        json!({"number": 12, "repository": {"default_branch": "main"}, "pull_request": {"number": 12,
            "head": {"sha": target, "ref": "feature/a", "repo": {"fork": false, "full_name": "o/r"}},
            "base": {"ref": "main", "repo": {"full_name": "o/r"}}}})
    };
    let file = |name: &str, value: &Value| {
        let path = project.cache().join(name);
        std::fs::write(&path, value.to_string()).expect("writes");
        path.to_str().expect("plain").to_owned()
    };
    let (default, pull_head, pull_other) =
        (file("default", &default), file("pull", &pull(&head)), file("other", &pull(other)));
    let main = vec![format!("main-{short}"), "edge".to_owned()];
    let pr = vec![format!("pr-12-{short}"), "pr-12".to_owned()];
    let branch = vec![format!("b-feature-a-3jm2xtc2.{short}"), "b-feature-a-3jm2xtc2".to_owned()];
    let release = vec!["v1.2.3".to_owned()];
    let github = ("GITHUB_ACTIONS", "true");
    let gitlab = ("GITLAB_CI", "true");
    let circle = ("CIRCLECI", "true");
    let buildkite = ("BUILDKITE", "true");
    let codebuild = ("CODEBUILD_BUILD_ID", "shop:1");
    let pages = |name: &'static str, value: &'static str| (name, value);
    type Row<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a [String]);
    let table: Vec<Row<'_>> = vec![
        ("github push", github_push("refs/heads/main", &head, &default), &main),
        ("github branch", github_push("refs/heads/feature/a", &head, &default), &branch),
        ("github tag", github_push("refs/tags/v1.2.3", &head, &default), &release),
        (
            "github pull request, merge commit checked out or not",
            vec![
                github,
                ("GITHUB_EVENT_NAME", "pull_request"),
                ("GITHUB_SHA", other),
                ("GITHUB_EVENT_PATH", &pull_head),
            ],
            &pr,
        ),
        (
            "github pull_request_target, the base checked out",
            vec![
                github,
                ("GITHUB_EVENT_NAME", "pull_request_target"),
                ("GITHUB_SHA", &head),
                ("GITHUB_EVENT_PATH", &pull_other),
            ],
            &[],
        ),
        ("github merge queue", github_push("refs/heads/gh-readonly-queue/main/pr-12-abc", &head, &default), &[]),
        (
            "github dispatch on a branch",
            vec![
                github,
                ("GITHUB_EVENT_NAME", "workflow_dispatch"),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", &head),
                ("GITHUB_EVENT_PATH", &default),
            ],
            &main,
        ),
        (
            "gitlab branch",
            vec![gitlab, ("CI_COMMIT_SHA", &head), ("CI_COMMIT_BRANCH", "main"), ("CI_DEFAULT_BRANCH", "main")],
            &main,
        ),
        (
            "gitlab tag",
            vec![gitlab, ("CI_COMMIT_SHA", &head), ("CI_COMMIT_TAG", "v1.2.3"), ("CI_PIPELINE_SOURCE", "push")],
            &release,
        ),
        (
            "gitlab merge request: the project's number, the commit itself",
            vec![
                gitlab,
                ("CI_COMMIT_SHA", &head),
                ("CI_MERGE_REQUEST_IID", "12"),
                ("CI_MERGE_REQUEST_ID", "98765"),
                ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", ""),
            ],
            &pr,
        ),
        (
            "gitlab merged results: the head, not the merge commit",
            vec![
                gitlab,
                ("CI_COMMIT_SHA", other),
                ("CI_MERGE_REQUEST_IID", "12"),
                ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", &head),
            ],
            &pr,
        ),
        ("circleci branch", vec![circle, ("CIRCLE_SHA1", &head), ("CIRCLE_BRANCH", "feature/a")], &branch),
        ("circleci tag", vec![circle, ("CIRCLE_SHA1", &head), ("CIRCLE_TAG", "v1.2.3")], &release),
        (
            "circleci pull request",
            vec![
                circle,
                ("CIRCLE_SHA1", &head),
                ("CIRCLE_BRANCH", "feature/a"),
                ("CIRCLE_PULL_REQUEST", "https://github.com/o/r/pull/12"),
            ],
            &pr,
        ),
        (
            "buildkite branch, the commit by name",
            vec![
                buildkite,
                ("BUILDKITE_COMMIT", "HEAD"),
                ("BUILDKITE_BRANCH", "main"),
                ("BUILDKITE_PULL_REQUEST", "false"),
                pages("BUILDKITE_PIPELINE_DEFAULT_BRANCH", "main"),
            ],
            &main,
        ),
        (
            "buildkite pull request",
            vec![
                buildkite,
                ("BUILDKITE_COMMIT", &head),
                ("BUILDKITE_BRANCH", "feature/a"),
                ("BUILDKITE_PULL_REQUEST", "12"),
            ],
            &pr,
        ),
        ("buildkite tag", vec![buildkite, ("BUILDKITE_COMMIT", &head), ("BUILDKITE_TAG", "v1.2.3")], &release),
        (
            "codebuild pull request",
            vec![codebuild, ("CODEBUILD_WEBHOOK_TRIGGER", "pr/12"), ("CODEBUILD_RESOLVED_SOURCE_VERSION", &head)],
            &pr,
        ),
        (
            "codebuild tag",
            vec![codebuild, ("CODEBUILD_WEBHOOK_TRIGGER", "tag/v1.2.3"), ("CODEBUILD_RESOLVED_SOURCE_VERSION", &head)],
            &release,
        ),
        (
            "codebuild branch",
            vec![
                codebuild,
                ("CODEBUILD_WEBHOOK_TRIGGER", "branch/feature/a"),
                ("CODEBUILD_RESOLVED_SOURCE_VERSION", &head),
            ],
            &branch,
        ),
        ("a machine of somebody's", vec![], &[]),
    ];
    for (what, environment, expected) in table {
        let ran = run(&project, &environment, &["tags"]).ok();
        assert_eq!(lines_of(&ran), expected, "{what}\n{}", ran.stderr);
    }
}

#[test]
fn a_schedule_names_the_day_and_flags_win_over_the_environment() {
    let project = Project::two_services();
    let head = project.repo.head();
    let path = event(&project, &json!({"repository": {"default_branch": "main"}}));
    let mut environment = github_push("refs/heads/main", &head, &path);
    environment[1].1 = "schedule";
    let names = lines_of(&run(&project, &environment, &["tags"]).ok());
    assert!(names[0].starts_with("nightly-20") && names[0].ends_with(&head[..7]), "{names:?}");
    assert_eq!(names[1], "nightly");
    let names = |arguments: &[&str]| lines_of(&run(&project, &environment, arguments).ok());
    assert_eq!(names(&["tags", "--pr", "7"]), [format!("pr-7-{}", &head[..7]), "pr-7".to_owned()]);
    assert_eq!(names(&["tags", "--ref", "refs/tags/v2.0.0"]), ["v2.0.0"]);
    assert_eq!(names(&["tags", "--trigger", "push"]), [format!("main-{}", &head[..7]), "edge".to_owned()]);
    run(&project, &environment, &["tags", "--ref", "main"]).exits(2).says("refs/heads/NAME");
}

#[test]
fn facts_reproduce_the_names_elsewhere() {
    let project = Project::two_services();
    let head = project.repo.head();
    let path = event(&project, &json!({"repository": {"default_branch": "main"}}));
    let environment = github_push("refs/tags/v1.9.1", &head, &path);
    let facts = run(&project, &environment, &["facts", "docs"]).ok();
    let mut document = facts.json();
    assert_eq!((text(&document["trigger"]), text(&document["commit"])), ("tag".to_owned(), head.clone()));
    assert_eq!((&document["versions"], &document["dirty"]), (&json!([]), &json!(false)));
    document["versions"] = json!(["1.9.0", "2.0.1"]);
    let here = run(&project, &environment, &["tags", "docs", "--json"]).ok().json();
    assert_eq!(here["tags"].as_array().map(Vec::len), Some(5), "{here}");

    // Another machine, another time, no repository.
    let elsewhere = Project::new("[tags]\n");
    std::fs::write(elsewhere.cache().join("f.json"), document.to_string()).expect("writes");
    let file = elsewhere.cache().join("f.json");
    let file = file.to_str().expect("plain");
    let explained = elsewhere.run(["tags", "--facts", file, "--explain", "--json"]).ok();
    assert_eq!(elsewhere.run(["tags", "--facts", file, "--explain", "--json"]).ok().stdout, explained.stdout);
    let explained = explained.json();
    let tags: Vec<String> =
        explained["tags"].as_array().expect("tags").iter().map(|planned| text(&planned["tag"])).collect();
    let identity = format!("h-{}", &text(&document["content"])[..32]);
    assert_eq!(tags, [identity.as_str(), "v1.9.1", "v1.9", "v1"]);
    let reasons: BTreeMap<String, String> = explained["not-applied"]
        .as_array()
        .expect("rules")
        .iter()
        .map(|skipped| (text(&skipped["rule"]), text(&skipped["reason"]["text"])))
        .collect();
    assert_eq!(reasons["latest"], "2.0.1 is newer than 1.9.1");
    assert_eq!(reasons["pr-{pr}-{sha}"], "the tag `v1.9.1` does not meet `pr`");
    assert_eq!(reasons.len() + tags.len(), 13, "each rule is accounted for: {explained}");
    let text = elsewhere.run(["tags", "--facts", file, "--explain"]).ok();
    assert!(text.stdout.contains("+ v1.9.1") && text.stdout.contains("- latest"), "{}", text.stdout);
}

#[test]
fn a_release_of_changed_files_gets_no_version_and_says_so() {
    let project = Project::two_services();
    project.repo.write("docs/index.md", "changed\n");
    project.run(["ship", "--ref", "refs/tags/v1.0.0"]).ok().says("tracked files are not those of the commit");
    let ran = project.run(["ship"]).ok();
    assert!(!ran.stderr.contains("tracked files"), "on somebody's machine that is the rule: {}", ran.stderr);
}

#[test]
fn bad_input_is_named_with_its_place() {
    let check = |config: &str, problem: &str, hint: &str| {
        let ran = Project::new(config).run(["tags"]).exits(2).says(problem);
        ran.says(hint);
    };
    check("[tags]\npr = { on = 'pr', tag = 'pr-{pr}-{sah}' }", "line 2, column 25", "did you mean `{sha}`?");
    check("[tags]\nx = { on = 'pr', tag = 'x-{sha}', alias = ['latest'] }", "`latest`", "`release = false`");
    check("[tags]\nx = { on = 'pr', tag = 'v{version}' }", "never has a value", "`{semver}`");
    let long = "x".repeat(120);
    let project = Project::new(&format!(
        "[tags]\nx = {{ on = 'local', tag = '{long}-{{hash}}' }}\n[service.a]\nfiles = {{ '/a' = 'a' }}"
    ));
    project.repo.write("a", "a");
    project.run(["tags", "a"]).exits(2).says("longer than 128").says("give `{hash}` and `{sha}` a width");
    let project = Project::two_services();
    let file = project.cache().join("f.json");
    let facts = |content: &str| {
        std::fs::write(&file, content).expect("writes");
        project.run(["tags", "--facts", file.to_str().expect("plain")]).exits(2)
    };
    facts("{").says("line 1 column 1");
    facts(r#"{"format":"1.0","source":"x","trigger":"push","brnach":"x"}"#).says("unknown field `brnach`");
    facts(r#"{"format":"2.0","source":"x","trigger":"push"}"#).says("not 1.x");
    facts(r#"{"format":"1.0","source":"x","trigger":"push","commit":"xyz"}"#).says("no git object id");
}

/// Names of an image at the end of a run, with what became of them.
fn named(ran: &Ran, service: &str) -> Vec<(String, String)> {
    let last = ran.events().pop().expect("events");
    let names = last["images"][service]["names"].as_array().cloned().unwrap_or_default();
    names.iter().map(|name| (text(&name["tag"]), text(&name["outcome"]))).collect()
}

fn pairs(names: &[(String, String)]) -> Vec<(&str, &str)> {
    names.iter().map(|(tag, outcome)| (tag.as_str(), outcome.as_str())).collect()
}

#[test]
fn a_pull_request_image_is_retagged_on_main_and_no_blob_travels() {
    let registry = FakeRegistry::start();
    let project = Project::two_services();
    let head = project.repo.head();
    let short = &head[..7];
    let target = format!("--registry={}", registry.host());
    let path = event(&project, &json!({"repository": {"default_branch": "main"}}));
    let main = github_push("refs/heads/main", &head, &path);
    let ship = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain([target.as_str()]).collect();
        run(&project, &main, &arguments).ok()
    };
    let request = ship(&["ship", "--json", "--pr", "12"]);
    let anchor = format!("pr-12-{short}");
    assert_eq!(pairs(&named(&request, "docs")), [(anchor.as_str(), "written"), ("pr-12", "written")]);
    let digest = text(&request.events().pop().expect("events")["images"]["docs"]["digest"]);

    registry.clear_log();
    let plan = ship(&["plan", "--json"]).json();
    assert_eq!(
        (&plan["services"][0]["action"], &plan["services"][0]["names"]),
        (&json!("retag"), &json!([format!("main-{short}"), "edge"]))
    );
    run(&project, &main, &["plan", "--check", &target]).exits(1);
    let merged = ship(&["ship"]);
    merged.says("Retagged docs").says(&format!("Named docs main-{short}")).says("Named docs edge").says("2 retagged");
    let log = registry.log();
    assert!(!log.requests.iter().any(|request| request.path.contains("/blobs/")), "{:#?}", log.requests);

    registry.clear_log();
    let again = ship(&["ship"]).says("nothing is due, 2 services are up to date");
    assert_eq!(again.stderr.lines().count(), 1, "{}", again.stderr);
    let log = registry.log();
    assert_eq!(
        log.requests.iter().filter(|request| request.path.contains("/manifests/")).count(),
        6,
        "one for each name"
    );
    assert!(
        log.requests.iter().all(|request| matches!(request.method.as_str(), "GET" | "HEAD")),
        "{:#?}",
        log.requests
    );
    let shipped = ship(&["ship", "--json"]);
    let anchor = format!("main-{short}");
    assert_eq!(pairs(&named(&shipped, "docs")), [(anchor.as_str(), "unchanged"), ("edge", "unchanged")]);
    assert_eq!(text(&shipped.events().pop().expect("events")["images"]["docs"]["digest"]), digest);
}

/// The environment of a run for a git tag.
fn release<'a>(tag: &'a str, head: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("CIRCLECI", "true"), ("CIRCLE_SHA1", head), ("CIRCLE_TAG", tag)]
}

/// Releases 2.0.1 and then, from other content, 1.9.1, and returns what became of the names.
fn back_port(project: &mut Project, registry: &str) -> Vec<Vec<(String, String)>> {
    let target = format!("--registry={registry}");
    let mut outcomes = Vec::new();
    for tag in ["v2.0.1", "v1.9.1", "v2.0.2-rc.1", "v2.1.0"] {
        project.repo.write("docs/index.md", tag);
        let head = project.repo.commit(tag);
        let ran = run(project, &release(tag, &head), &["ship", "docs", "--json", &target]).ok();
        outcomes.push(named(&ran, "docs"));
    }
    outcomes
}

fn check_back_port(outcomes: &[Vec<(String, String)>]) {
    let written =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "written".to_owned())).collect::<Vec<_>>();
    assert_eq!(outcomes[0], written(&["v2.0.1", "v2.0", "v2", "latest"]));
    assert_eq!(outcomes[1], written(&["v1.9.1", "v1.9", "v1"]));
    assert_eq!(outcomes[2], written(&["v2.0.2-rc.1"]));
    assert_eq!(outcomes[3], written(&["v2.1.0", "v2.1", "v2", "latest"]));
}

#[test]
fn a_back_port_does_not_move_latest_in_a_registry() {
    let registry = need!(DockerRegistry::start());
    let mut project = Project::two_services();
    check_back_port(&back_port(&mut project, registry.host()));
    let digest = |tag: &str| {
        text(&project.run(["inspect", "--json", &format!("{}/demo/docs:{tag}", registry.host())]).ok().json()["digest"])
    };
    assert_eq!(digest("latest"), digest("v2.1.0"));
    assert_eq!(digest("v1"), digest("v1.9.1"));
    assert_eq!(digest("v2.0"), digest("v2.0.1"));
}

#[test]
fn a_back_port_does_not_move_latest_in_a_layout() {
    let mut project = Project::two_services();
    let directory = tempfile::tempdir().expect("a directory");
    let registry = format!("oci:{}", directory.path().display());
    check_back_port(&back_port(&mut project, &registry));
    let digest = |tag: &str| {
        text(&project.run(["inspect", "--json", &format!("{registry}/demo/docs:{tag}")]).ok().json()["digest"])
    };
    assert_eq!(digest("latest"), digest("v2.1.0"));
    assert_eq!(digest("v1"), digest("v1.9.1"));
}

#[test]
fn a_name_that_never_moves_stays_and_its_aliases_with_it() {
    let registry = need!(DockerRegistry::start());
    let project = Project::two_services();
    let target = format!("--registry={}", registry.host());
    let head = project.repo.head();
    run(&project, &release("v1.0.0", &head), &["ship", "docs", &target]).ok().says("Named docs latest");
    let digest = |tag: &str| {
        text(&project.run(["inspect", "--json", &format!("{}/demo/docs:{tag}", registry.host())]).ok().json()["digest"])
    };
    let first = digest("v1.0.0");
    // The same version of other content: the tag was moved in git.
    let mut project = project.clone_to();
    project.repo.write("docs/index.md", "other\n");
    let head = project.repo.commit("other");
    let foreseen = run(&project, &release("v1.0.0", &head), &["plan", "docs", &target]).ok();
    foreseen.says("`v1.0.0` names another image").says(&first).says("never moves");
    let refused = run(&project, &release("v1.0.0", &head), &["ship", "docs", &target]).exits(5);
    refused.says("cannot name `docs` by v1.0.0").says(&first).says("the name stays as it is");
    assert_eq!((digest("v1.0.0"), digest("latest")), (first.clone(), first));
    let foreseen = run(&project, &release("v1.0.0", &head), &["plan", "docs", &target]).ok();
    foreseen.says("`v1.0.0` names another image");
    // What was built is kept under its identity: without the name in the way, nothing is built again.
    run(&project, &release("v1.0.1", &head), &["ship", "docs", &target]).ok().says("Retagged docs");
    assert_eq!(digest("latest"), digest("v1.0.1"));
}

#[test]
fn runs_that_release_at_the_same_time_leave_latest_on_the_newest() {
    let registry = need!(DockerRegistry::start());
    let target = format!("--registry={}", registry.host());
    let project = Project::two_services();
    for round in 0..5 {
        let versions = [format!("v{round}.9.1"), format!("v{round}.10.0"), format!("v{round}.9.3")];
        let clones: Vec<(Project, String)> = versions
            .iter()
            .map(|version| {
                let mut clone = project.clone_to();
                clone.repo.write("docs/index.md", version);
                let head = clone.repo.commit(version);
                (clone, head)
            })
            .collect();
        let started: Vec<_> = clones
            .iter()
            .zip(&versions)
            .map(|((clone, head), version)| {
                let mut command = clone.command(["ship", "docs", &target]);
                command.envs(release(version, head)).stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().expect("the binary starts")
            })
            .collect();
        for child in started {
            Ran::of(&child.wait_with_output().expect("it ends")).ok();
        }
        let digest = |tag: &str| {
            text(
                &project.run(["inspect", "--json", &format!("{}/demo/docs:{tag}", registry.host())]).ok().json()["digest"],
            )
        };
        assert_eq!(digest("latest"), digest(&format!("v{round}.10.0")), "round {round}");
        assert_eq!(digest(&format!("v{round}.9")), digest(&format!("v{round}.9.3")), "round {round}");
    }
}

#[test]
fn a_checkout_that_is_elsewhere_gives_no_name_of_a_commit() {
    let project = Project::two_services();
    let other = "0123456789012345678901234567890123456789";
    let ran = run(&project, &[("CIRCLECI", "true"), ("CIRCLE_SHA1", other), ("CIRCLE_BRANCH", "x")], &["tags"]).ok();
    assert_eq!(ran.stdout, "");
    ran.says("the checkout is at");
    project.repo.write("docs/index.md", "edited");
    let head = project.repo.head();
    let circle = [("CIRCLECI", "true"), ("CIRCLE_SHA1", head.as_str()), ("CIRCLE_BRANCH", "x")];
    let explained = run(&project, &circle, &["tags", "--explain"]).ok();
    assert!(explained.stdout.contains("the files are not those of the commit"), "{}", explained.stdout);
}

#[test]
fn lines_of_the_metadata_action_are_evaluated_on_the_same_facts() {
    let project = Project::two_services();
    let head = project.repo.head();
    let lines = project.cache().join("tags.txt");
    std::fs::write(&lines, "tags: |\n  type=ref,event=branch\n  type=sha\n").expect("writes");
    let file = lines.to_str().expect("plain");
    let circle = [("CIRCLECI", "true"), ("CIRCLE_SHA1", head.as_str()), ("CIRCLE_BRANCH", "feature/a")];
    let sha = format!("sha-{}", &head[..7]);
    let safe = run(&project, &circle, &["tags", "--metadata-action", file]).ok();
    assert_eq!(lines_of(&safe), ["feature-a-3jm2xtc2", &sha]);
    let exact = run(&project, &circle, &["tags", "--metadata-action", file, "--bug-compatible", "--json"]).ok().json();
    assert_eq!(exact["tags"], json!(["feature-a", sha]));
    std::fs::write(&lines, "type=ref,event=branch\ntype=sha,fromat=long").expect("writes");
    run(&project, &circle, &["tags", "--metadata-action", file]).exits(2).says("line 2").says("`format`");
    run(&project, &circle, &["tags", "--bug-compatible"]).exits(2);
    // Versions of Python, and a clock elsewhere: it is later in Tokyo by nine hours, whatever machine asks.
    let clock = "type=raw,value=utc-{{date 'X-HH'}}\ntype=raw,value=tokyo-{{date 'X-HH' tz='Asia/Tokyo'}}";
    std::fs::write(&lines, format!("type=pep440,pattern={{{{version}}}},value=1.2.3.RC1\n{clock}")).expect("writes");
    let told = run(&project, &circle, &["tags", "--metadata-action", file]).ok();
    let told = lines_of(&told);
    let hour = |name: &str| name.rsplit_once('-').and_then(|(_, hour)| hour.parse::<u32>().ok()).expect("an hour");
    assert_eq!(told[0], "1.2.3rc1");
    assert_eq!((hour(&told[1]) + 9) % 24, hour(&told[2]), "{told:?}");
    std::fs::write(&lines, "type=raw,value={{date 'HH' tz='Mars/Olympus'}}").expect("writes");
    run(&project, &circle, &["tags", "--metadata-action", file]).exits(2).says("`Mars/Olympus` is no time zone");
}
