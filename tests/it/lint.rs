//! Advice about Dockerfiles, with what it is worth.

use serde_json::Value;
use shipper_testkit::{need, require_tool};

use crate::builders::with;
use crate::support::{Project, text};

/// The findings of one kind.
fn found(project: &Project, code: &str) -> Vec<Value> {
    let document = project.run(["lint", "--json"]).ok().json();
    document["findings"].as_array().expect("a list").iter().filter(|one| one["code"] == code).cloned().collect()
}

#[test]
fn everything_that_is_copied_before_an_installation_is_measured_by_the_commits() {
    let mut project = Project::new("[service.app]\ndockerfile = 'Dockerfile'\n");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY . .\nRUN npm ci && npm run build\n");
    project.repo.write("package.json", "{}");
    project.repo.write("src/a.js", "1");
    project.repo.commit("start");
    for change in 0..3 {
        project.repo.write("src/a.js", format!("{change}"));
        project.repo.commit("edit");
    }
    project.repo.write("package.json", "{ }");
    project.repo.commit("dependency");
    let copy = found(&project, "copy-before-install").pop().expect("one");
    assert_eq!((&copy["line"], &copy["share"]), (&2.into(), &0.75.into()), "{copy}");
    assert!(text(&copy["message"]).contains("3 of 4 commits repeat it"), "{copy}");
    assert!(text(&copy["hint"]).contains("copy package.json and package-lock.json first"), "{copy}");
    let mount = found(&project, "no-cache-mount").pop().expect("one");
    assert_eq!(mount["line"], 3);
    project.run(["lint", "--check"]).exits(1);

    project.repo.write(
        "Dockerfile",
        "FROM scratch\nCOPY package.json .\nRUN --mount=type=cache,target=/root/.npm npm ci\nCOPY . .\nRUN npm run build\n",
    );
    assert!(found(&project, "copy-before-install").is_empty());
    assert!(found(&project, "no-cache-mount").is_empty());
    project.run(["lint", "--check", "--write"]).ok().says("Wrote .dockerignore");
}

#[test]
fn what_changes_often_and_comes_early_is_named() {
    let mut project = Project::new("[service.app]\ndockerfile = 'Dockerfile'\n");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY src /src\nCOPY conf /conf\nRUN compile\n");
    project.repo.write("conf/a", "a");
    project.repo.write("src/a", "a");
    project.repo.commit("start");
    for change in 0..4 {
        project.repo.write("src/a", format!("{change}"));
        project.repo.commit("edit");
    }
    let order = found(&project, "layer-order").pop().expect("one");
    assert_eq!((&order["line"], &order["share"]), (&2.into(), &1.0.into()), "{order}");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY conf /conf\nCOPY src /src\nRUN compile\n");
    assert!(found(&project, "layer-order").is_empty());
}

#[test]
fn what_a_builder_would_be_sent_for_nothing_is_measured_and_excluded_on_request() {
    let mut project = Project::new("[service.app]\ndockerfile = 'app/Dockerfile'\ncontext = 'app'\n");
    project.repo.write("app/Dockerfile", "FROM scratch\nCOPY . .\n");
    project.repo.write("app/main", "x".repeat(100));
    project.repo.write(".gitignore", "target\n");
    project.repo.write("app/target/big", "x".repeat(10_000));
    project.repo.commit("start");
    let missing = found(&project, "no-dockerignore").pop().expect("one");
    assert!(missing["share"].as_f64().expect("a number") > 0.9, "{missing}");
    assert!(text(&missing["message"]).contains("there is no app/.dockerignore"), "{missing}");
    let before = text(&project.plan()["services"][0]["key"]);
    project.run(["lint", "--write"]).ok().says("Wrote app/.dockerignore");
    let rules = std::fs::read_to_string(project.path().join("app/.dockerignore")).expect("written");
    assert!(rules.lines().any(|line| line == "target"), "{rules}");
    assert!(found(&project, "no-dockerignore").is_empty() && found(&project, "weak-dockerignore").is_empty());
    // The new file is one more file of the context, and nothing else is.
    assert_ne!(text(&project.plan()["services"][0]["key"]), before);
    project.repo.write(".gitignore", "target\nlogs\n");
    project.repo.write("app/logs/x", "x");
    assert_eq!(found(&project, "weak-dockerignore").len(), 1);
}

#[test]
fn a_large_context_is_told_by_its_parts() {
    let project = Project::new("[service.app]\ndockerfile = 'Dockerfile'\n");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY . .\n");
    project.repo.write("data/big", "x".repeat(12 << 20));
    project.repo.write("small", "x");
    let large = found(&project, "large-context").pop().expect("one");
    assert!(text(&large["message"]).starts_with("the context has 12.0 MiB: data 100 %"), "{large}");
}

#[test]
fn a_step_is_measured_by_its_last_build() {
    need!(require_tool("buildah"));
    let config = "[service.app]\ndockerfile = 'Dockerfile'\n";
    let project =
        need!(crate::builders::with_shell(config, "RUN : npm ci; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done\n"));
    with(&project, "buildah", None, &["ship"]).ok();
    let mount = found(&project, "no-cache-mount").pop().expect("one");
    let share = mount["share"].as_f64().expect("measured");
    assert!(share > 0.0 && share <= 1.0, "{mount}");
    assert!(text(&mount["message"]).contains("% of the build"), "{mount}");
}
