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
    assert!(lines.contains(&"  + docs  1 input changed: VERSION"), "{}", shown.stdout);
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
    project.run(["audit", "doks"]).ok().says("no commit that could be planned has a service `doks`");
    std::fs::remove_dir_all(project.path().join(".git")).expect("removes");
    project.run(["audit"]).exits(2).says("git");
}
