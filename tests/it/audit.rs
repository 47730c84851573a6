//! `audit`: a history whose builds are known by heart.

use serde_json::Value;
use shipper_testkit::{need, require_tool};

use crate::support::{Project, text};

/// A history of two services that share a directory; its commits do what their messages say.
fn history() -> Project {
    let mut project = Project::new(
        "[project]\nname = \"demo\"\n\n[service.docs]\nfiles = { \"/srv/docs\" = \"docs\" }\ninputs = [\"VERSION\"]\n\n\
         [service.site]\nfiles = { \"/srv/site\" = \"site\", \"/srv/shared\" = \"shared\" }\n",
    );
    for path in ["docs/index.md", "site/index.html", "shared/logo.svg", "VERSION", "README.md"] {
        project.repo.write(path, "1");
    }
    project.repo.commit("start");
    let mut step = |path: &str, content: &str| {
        project.repo.write(path, content);
        project.repo.commit(&format!("{path} is {content}"));
    };
    step("docs/index.md", "2");
    step("shared/logo.svg", "2");
    step("VERSION", "2");
    step("README.md", "2");
    step("VERSION", "1");
    step("docs/notes.md", "2");
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("a configuration");
    project.repo.write("shipper.toml", "[service.docs]\nfiels = {}\n");
    project.repo.write("site/index.html", "2");
    project.repo.commit("broken");
    project.repo.write("shipper.toml", &config);
    project.repo.commit("mended");
    project
}

fn row(audit: &Value, service: &str) -> [u64; 5] {
    let services = audit["services"].as_array().expect("services");
    let row = services.iter().find(|row| row["service"] == service).expect("the service");
    ["commits", "builds", "filtered", "needless", "missed"].map(|name| row[name].as_u64().expect("a number"))
}

#[test]
fn the_builds_of_a_history_are_counted_by_each_rule() {
    let project = history();
    let audit = project.run(["audit", "--json"]).ok().json();
    // Nine commits, one of which can not be planned; the first builds both.
    assert_eq!(row(&audit, "docs"), [8, 4, 3, 0, 1], "{audit:#}");
    assert_eq!(row(&audit, "site"), [8, 3, 3, 0, 0], "{audit:#}");
    let commits = audit["commits"].as_array().expect("commits");
    let told: Vec<(String, Vec<String>)> = commits
        .iter()
        .map(|commit| {
            let builds = commit["builds"].as_array().expect("builds").iter();
            (text(&commit["subject"]), builds.map(|build| text(&build["service"])).collect())
        })
        .collect();
    let expected: [(&str, &[&str]); 9] = [
        ("mended", &["site"]),
        ("broken", &[]),
        ("docs/notes.md is 2", &["docs"]),
        ("VERSION is 1", &[]),
        ("README.md is 2", &[]),
        ("VERSION is 2", &["docs"]),
        ("shared/logo.svg is 2", &["site"]),
        ("docs/index.md is 2", &["docs"]),
        ("start", &["docs", "site"]),
    ];
    let expected =
        expected.map(|(subject, services)| (subject.to_owned(), services.iter().map(ToString::to_string).collect()));
    assert_eq!(told, expected);
    assert_eq!(commits[0]["builds"][0]["reasons"][0]["files"][0]["path"], "site/index.html");
    assert!(text(&commits[1]["problem"]).contains("unknown field `fiels`"), "{}", commits[1]);

    // What was there at the oldest commit's parent is no work of these commits; what was built earlier is not known.
    let audit = project.run(["audit", "--json", "docs", "--at", "HEAD~2", "--commits", "2"]).ok().json();
    assert_eq!(row(&audit, "docs"), [2, 2, 1, 0, 1], "{audit:#}");
    assert_eq!(audit["services"].as_array().map(Vec::len), Some(1));
}

#[test]
fn going_back_is_a_needless_build_for_a_filter() {
    let mut project = Project::two_services();
    project.repo.write("docs/index.md", "other\n");
    project.repo.commit("other");
    project.repo.write("docs/index.md", "docs\n");
    project.repo.commit("back");
    let audit = project.run(["audit", "--json"]).ok().json();
    assert_eq!(row(&audit, "docs"), [3, 2, 3, 1, 0], "{audit:#}");
}

#[test]
fn an_audit_reads_like_this_and_starts_nothing() {
    let strace = need!(require_tool("strace"));
    let project = history();
    let shown = project.run(["audit", "--list"]).ok().says("is left out: cannot parse shipper.toml");
    let lines: Vec<&str> = shown.stdout.lines().map(str::trim_end).collect();
    assert!(lines.contains(&"  + docs  1 input changed: VERSION  (missed by the path filter)"), "{}", shown.stdout);
    let table = &lines[lines.len() - 4..];
    let wanted = [
        "         everything  path filter  needless  missed  shipper",
        "  docs            8            3         0       1        4",
        "  site            8            3         0       0        3",
        "  total          16            6         0       1        7",
    ];
    assert_eq!(table, wanted, "{}", shown.stdout);
    assert!(!project.path().join(".shipper").exists());
    // After a build there are times.
    project.ship();
    assert!(project.run(["audit"]).ok().stdout.lines().last().is_some_and(|line| line.starts_with("  time")));
    assert_eq!(project.programs_started(&strace, &["audit"]).len(), 1);
}

#[test]
fn what_can_not_be_audited_is_named() {
    let project = history();
    project.run(["audit", "--at", "nothing"]).exits(2).says("nothing");
    project.run(["audit", "--commits", "0"]).exits(2);
    project.run(["audit", "doks"]).exits(2).says("cannot find service `doks`").says("did you mean `docs`?");
    project
        .run(["audit", "--at", "HEAD~1", "--commits", "1"])
        .exits(3)
        .says("no commit could be compared")
        .says("fiels");
    std::fs::remove_dir_all(project.path().join(".git")).expect("removes");
    project.run(["audit"]).exits(2).says("git");
}

#[test]
fn what_is_not_known_of_the_past_is_not_counted() {
    // The state before the commit can not be planned.
    let project = history();
    let one = project.run(["audit", "--commits", "1"]).exits(3).says("there is nothing earlier to compare it with");
    one.says("cannot audit");
    // The clone ends there.
    for (depth, code) in [("1", 3), ("3", 0)] {
        let shallow = Project::shallow(&project, depth);
        let ran = shallow.run(["audit", "--json"]).exits(code);
        if code == 0 {
            let ran = ran.says("the clone is shallow and has 3 commits of the 100 asked for");
            let audit = ran.json();
            assert_eq!((&audit["is-cut"], row(&audit, "site")), (&true.into(), [1, 1, 1, 0, 0]), "{audit:#}");
        } else {
            ran.says("hint: `git fetch --unshallow`");
        }
    }
    assert_eq!(project.run(["audit", "--json"]).ok().json()["is-cut"], false);
}

#[test]
fn only_the_commits_say_what_is_built() {
    let mut project = history();
    // Many paths elsewhere are no change of a service.
    for file in 0..2_100 {
        project.repo.write(format!("vendor/{file}"), "");
    }
    project.repo.commit("vendored");
    let audit = project.run(["audit", "--json", "--commits", "1"]).ok().json();
    assert_eq!((row(&audit, "docs"), row(&audit, "site")), ([1, 0, 0, 0, 0], [1, 0, 0, 0, 0]));
    // What lies on the disk does not count: no lock, no directory.
    project.repo.write("shipper.lock", "broken");
    std::fs::remove_dir_all(project.path().join("docs")).expect("removes");
    assert_eq!(project.run(["audit", "--json", "--commits", "1"]).ok().json(), audit);
    // Nor do damaged records of runs.
    let runs = project.path().join(".shipper/runs");
    std::fs::create_dir_all(&runs).expect("creates");
    let foreign = r#"{"time":"2026-11-20T09:00:00Z","elapsed-ms":7,"event":"action-finished","service":"docs","action":"build","outcome":"ok","size":1,"uploaded":1,"duration-ms":18446744073709551615}"#;
    std::fs::write(runs.join("20261120T090000Z-a.jsonl"), format!("{foreign}\n{}\n", foreign.replace("docs", "site")))
        .expect("writes");
    project.run(["audit"]).ok();
}

#[test]
fn every_build_has_a_reason_and_every_kind_a_place() {
    let mut project = Project::new(
        "[project]\nname = \"demo\"\n[service.api]\ncargo = { package = \"api\" }\n[service.web]\ndockerfile = \"web/Dockerfile\"\n\
         context = \"web\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n",
    );
    project.repo.write("Cargo.toml", "[workspace]\nmembers = [\"api\", \"shared\"]\nresolver = \"3\"\n");
    project.repo.write("rust-toolchain.toml", "[toolchain]\nchannel = \"nowhere-installed\"\n");
    for package in ["api", "shared"] {
        let manifest = format!("[package]\nname = \"{package}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
        project.repo.write(format!("{package}/Cargo.toml"), &manifest);
    }
    project.repo.write("api/src/main.rs", "fn main() {}\n");
    project.repo.write("shared/src/lib.rs", "");
    let api = std::fs::read_to_string(project.path().join("api/Cargo.toml")).expect("a manifest");
    project.repo.write("api/Cargo.toml", format!("{api}[dependencies]\nshared = {{ path = \"../shared\" }}\n"));
    project.repo.write("web/Dockerfile", "FROM scratch\nCOPY page /\n");
    project.repo.write("web/page", "1");
    project.repo.write("web/notes", "1");
    project.repo.commit("start");
    let mut step = |path: &str, text: &str| {
        project.repo.write(path, text);
        project.repo.commit(path);
    };
    step("shared/src/lib.rs", "// 2\n");
    step("web/notes", "2");
    step("web/page", "2");
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("a configuration");
    project.repo.write("shipper.toml", config.replace(", \"linux/arm64\"", ""));
    project.repo.commit("one platform");
    let audit = project.run(["audit", "--json"]).ok().json();
    // A filter on its own directory misses what the package shares, and builds what no instruction reads.
    assert_eq!(row(&audit, "api"), [5, 2, 1, 0, 1], "{audit:#}");
    assert_eq!(row(&audit, "web"), [5, 3, 3, 1, 1], "{audit:#}");
    for build in audit["commits"].as_array().expect("commits").iter().flat_map(|commit| commit["builds"].as_array()) {
        assert!(build.iter().all(|build| build["reasons"].as_array().is_some_and(|all| !all.is_empty())), "{audit:#}");
    }
    let listed = project.run(["audit", "--list", "--commits", "1"]).ok().stdout;
    assert!(listed.contains("+ web  recipe changed: platforms"), "{listed}");
    assert!(project.run(["why", "web", "--against", "rev:HEAD~1"]).ok().stdout.contains("platforms"));
}
