//! `shipper hash`.

use crate::support::{Project, text};

#[test]
fn a_directory_is_hashed_alike_with_and_without_git() {
    let project = Project::two_services();
    let with_git = project.run(["hash", "docs"]).ok().stdout;
    let plain = tempfile::tempdir().expect("a directory");
    std::fs::write(plain.path().join("index.md"), "docs\n").expect("writes");
    let without = project.run(["hash".as_ref(), plain.path().as_os_str()]).ok().stdout;
    assert_eq!(with_git, without);
    assert!(with_git.starts_with("ctx1-") && with_git.len() == 5 + 64 + 1, "{with_git}");
}

#[test]
fn entries_are_listed_as_text_and_as_json() {
    let project = Project::two_services();
    let text_form = project.run(["hash", "docs", "--list"]).ok().stdout;
    let first = text_form.lines().next().expect("a line");
    assert!(first.ends_with(" index.md") && first.find(' ') == Some(64), "{first}");
    let json = project.run(["hash", "docs", "--list", "--json"]).ok().json();
    assert_eq!(json["files"], 1);
    assert_eq!(json["bytes"], 5);
    let entry = &json["entries"][0];
    assert_eq!((text(&entry["path"]), text(&entry["kind"])), ("index.md".to_owned(), "file".to_owned()));
    assert_eq!(text(&entry["digest"]), first.split(' ').next().expect("a digest"));
}

#[test]
fn a_service_is_hashed_by_name() {
    let project = Project::two_services();
    let hash = project.run(["hash", "site"]).ok().stdout;
    let directory = project.run(["hash", "./site"]).ok().stdout;
    assert_eq!(hash, directory, "a directory of that name wins");
    project.repo.rename("site", "www");
    project.repo.write("shipper.toml", "[service.site]\nfiles = { '/srv/site' = 'www' }");
    let service = project.run(["hash", "site"]).ok().stdout;
    assert_eq!(service.trim_end(), text(&project.plan()["services"][0]["context"]));
}

#[test]
fn a_service_is_hashed_without_a_registry_or_a_compiler() {
    let project =
        Project::new("[service.tool]\ncargo = { package = 'tool' }\n[service.site]\ndockerfile = 'web/Dockerfile'\n");
    project.repo.write("Cargo.toml", "[package]\nname = 'tool'\nedition = '2024'\n");
    project.repo.write("src/main.rs", "fn main() {}\n");
    project.repo.write("web/Dockerfile", "FROM 127.0.0.1:1/base:1\nCOPY web/index.html /\n");
    project.repo.write("web/index.html", "web\n");
    // Planning needs both.
    project.run(["plan", "site"]).exits(3);
    let empty = tempfile::tempdir().expect("a directory");
    for (service, file) in [("tool", " src/main.rs"), ("site", " web/index.html")] {
        let mut command = project.command(["hash", service, "--list"]);
        let ran = crate::support::Ran::of(&command.env("PATH", empty.path()).output().expect("starts")).ok();
        assert!(ran.stdout.lines().any(|line| line.ends_with(file)), "{}", ran.stdout);
    }
    project.run(["hash", "nothing"]).exits(2).says("nothing");
}

#[test]
fn a_commit_is_hashed_without_its_checkout() {
    let mut project = Project::two_services();
    project.repo.commit("as it is");
    let clean = project.run(["hash", "docs"]).ok().stdout;
    project.repo.write("docs/index.md", "changed");
    project.repo.write("docs/more.md", "untracked");
    assert_ne!(project.run(["hash", "docs"]).ok().stdout, clean);
    assert_eq!(project.run(["hash", "docs", "--commit", "HEAD"]).ok().stdout, clean);
    let listed = project.run(["hash", "docs", "--commit", "main", "--list"]).ok().stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let refused = project.run(["hash", "docs", "--commit", "nowhere"]).exits(2);
    assert!(refused.stderr.contains("find the commit `nowhere`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("nothing is fetched"), "{}", refused.stderr);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8_is_escaped_and_exact() {
    use std::os::unix::ffi::OsStrExt as _;
    let project = Project::two_services();
    let name = std::ffi::OsStr::from_bytes(b"docs/caf\xe9\n.md");
    std::fs::write(project.path().join(name), "x").expect("writes");
    let json = project.run(["hash", "docs", "--list", "--json"]).ok().json();
    let entry = &json["entries"][0];
    assert_eq!(text(&entry["path"]), "caf\\xe9\\n.md");
    assert_eq!(text(&entry["path-base64"]), "Y2Fm6QoubWQ=");
    assert_eq!(project.run(["hash", "docs", "--list"]).ok().stdout.lines().count(), 3);
}
