//! `shipper hash`.

use crate::support::{Project, text};

#[test]
fn a_directory_is_hashed_alike_with_and_without_git() {
    let project = Project::two_services();
    let with_git = project.run(["hash", "./docs"]).ok().stdout;
    let plain = tempfile::tempdir().expect("a directory");
    std::fs::write(plain.path().join("index.md"), "docs\n").expect("writes");
    let without = project.run(["hash".as_ref(), plain.path().as_os_str()]).ok().stdout;
    assert_eq!(with_git, without);
    assert!(with_git.starts_with("ctx1-") && with_git.len() == 5 + 64 + 1, "{with_git}");
}

#[test]
fn entries_are_listed_as_text_and_as_json() {
    let project = Project::two_services();
    let text_form = project.run(["hash", "./docs", "--list"]).ok().stdout;
    let first = text_form.lines().next().expect("a line");
    assert!(first.ends_with(" index.md") && first.find(' ') == Some(64), "{first}");
    let json = project.run(["hash", "./docs", "--list", "--json"]).ok().json();
    assert_eq!(json["files"], 1);
    assert_eq!(json["bytes"], 5);
    let entry = &json["entries"][0];
    assert_eq!((text(&entry["path"]), text(&entry["kind"])), ("index.md".to_owned(), "file".to_owned()));
    assert_eq!(text(&entry["digest"]), first.split(' ').next().expect("a digest"));
}

#[test]
fn a_service_is_hashed_by_name() {
    let project = Project::two_services();
    let context = |at: usize| text(&project.plan()["services"][at]["context"]);
    let hash = project.run(["hash", "site"]).ok().stdout;
    assert_eq!(hash.trim_end(), context(1), "the service, though a directory has its name");
    assert_ne!(project.run(["hash", "./site"]).ok().stdout, hash);
    project.repo.rename("site", "www");
    project.repo.write("shipper.toml", "[service.site]\nfiles = { '/srv/site' = 'www' }");
    let service = project.run(["hash", "site"]).ok().stdout;
    assert_eq!(service.trim_end(), context(0));
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
    for (service, file) in
        [("tool", " src/main.rs"), ("site", " web/index.html\tweb/Dockerfile:2: COPY web/index.html")]
    {
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
    let clean = project.run(["hash", "./docs"]).ok().stdout;
    project.repo.write("docs/index.md", "changed");
    project.repo.write("docs/more.md", "untracked");
    assert_ne!(project.run(["hash", "./docs"]).ok().stdout, clean);
    assert_eq!(project.run(["hash", "./docs", "--commit", "HEAD"]).ok().stdout, clean);
    let listed = project.run(["hash", "./docs", "--commit", "main", "--list"]).ok().stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let refused = project.run(["hash", "./docs", "--commit", "nowhere"]).exits(2);
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
    let json = project.run(["hash", "./docs", "--list", "--json"]).ok().json();
    let entry = &json["entries"][0];
    assert_eq!(text(&entry["path"]), "caf\\xe9\\n.md");
    assert_eq!(text(&entry["path-base64"]), "Y2Fm6QoubWQ=");
    assert_eq!(project.run(["hash", "./docs", "--list"]).ok().stdout.lines().count(), 3);
}

#[test]
fn a_directory_is_narrowed_by_a_dockerfile_without_a_configuration() {
    let project = Project::two_services();
    std::fs::remove_file(project.path().join("shipper.toml")).expect("removes");
    let dockerfile = "FROM scratch AS one\nCOPY docs /docs\nFROM scratch\nARG WHAT=site\nCOPY $WHAT/*.html shared /\n";
    project.repo.write("build/app.Dockerfile", dockerfile);
    project.repo.symlink("logo.svg", "shared/link.svg");
    let hash = |more: &[&str]| {
        let named = ["hash", "--dockerfile", "build/app.Dockerfile"];
        project.run(named.into_iter().chain(more.iter().copied()))
    };
    let json = hash(&["--list", "--json"]).ok().json();
    let read: Vec<String> = json["entries"].as_array().expect("entries").iter().map(|one| text(&one["path"])).collect();
    assert_eq!(read, ["shared/link.svg", "shared/logo.svg", "site/index.html"]);
    let by = &json["entries"][2]["read-by"][0];
    assert_eq!(
        (by["line"].as_u64(), text(&by["instruction"]), text(&by["path"])),
        (Some(5), "COPY".to_owned(), "site/*.html".to_owned())
    );
    assert_eq!(json["whole-context"], serde_json::json!([]));
    let listed = hash(&["--list", "--target", "one"]).ok().stdout;
    let docs = project.run(["hash", "./docs", "--list", "--json"]).ok().json();
    assert!(listed.starts_with(&text(&docs["entries"][0]["digest"])), "{listed}");
    assert!(listed.contains("docs/index.md\tbuild/app.Dockerfile:2: COPY docs\n"), "{listed}");
    assert_ne!(hash(&[]).ok().stdout, hash(&["--build-arg", "WHAT=shared"]).ok().stdout);
    // A file that nothing reads does not count, one that is read does.
    let before = hash(&[]).ok().stdout;
    project.repo.write("README.md", "other");
    assert_eq!(hash(&[]).ok().stdout, before);
    project.repo.write("site/more.html", "more");
    assert_ne!(hash(&[]).ok().stdout, before);
    // The rules beside the Dockerfile win over those of the directory.
    project.repo.write(".dockerignore", "site/index.html");
    project.repo.write("build/app.Dockerfile.dockerignore", "site/more.html");
    assert_eq!(hash(&[]).ok().stdout, before);
    project.repo.write("build/app.Dockerfile", "FROM scratch\nCOPY . /\n");
    let whole = hash(&["--json"]).ok().json();
    assert_eq!(whole["whole-context"], serde_json::json!(["line 2: `COPY` reads the context root"]));
}

#[test]
fn a_dockerfile_that_can_not_narrow_is_an_error() {
    let project = Project::two_services();
    project.repo.write("Dockerfile", "FROM scratch\nCOPY docs /\nCOPIE x\n");
    let hash = |more: &[&str]| project.run(["hash"].iter().chain(more).copied());
    hash(&["--dockerfile", "Dockerfile"]).exits(2).says("Dockerfile of `.`").says("line 3");
    hash(&["--dockerfile", "nowhere"]).exits(2).says("cannot read").says("nowhere");
    hash(&["site2", "--dockerfile", "Dockerfile"]).exits(2).says("find the directory").says("hint: `hash`");
    hash(&["--target", "x"]).exits(2);
    hash(&["--dockerfile", "Dockerfile", "--build-arg", "X"]).exits(2).says("NAME=VALUE");
    project.repo.write("Dockerfile", "FROM scratch AS a\n");
    hash(&["--dockerfile", "Dockerfile", "--target", "b"]).exits(2).says("`b`");
    project.repo.write(".dockerignore", "ok\n\n[a\n");
    hash(&["--dockerfile", "Dockerfile"]).exits(2).says(".dockerignore").says("line 3").says("[a");
    hash(&["."]).exits(2).says(".dockerignore").says("line 3");
}

#[test]
fn what_is_no_directory_and_can_be_no_service_is_said() {
    let project = Project::two_services();
    project.repo.write("notes.txt", "n");
    for path in ["notes.txt", "no/where", "./nowhere"] {
        project.run(["hash", path]).exits(2).says("cannot find the directory").says(path).says("a directory or");
    }
    project.run(["hash", "nowhere"]).exits(2).says("cannot find service `nowhere`");
}

#[test]
fn a_service_is_hashed_as_a_commit_has_it() {
    let mut project =
        Project::new("[service.web]\ndockerfile = 'Dockerfile'\n[service.docs]\nfiles = { '/d' = 'docs' }\n");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY src /\n");
    project.repo.write("src/a", "1");
    project.repo.write("docs/a", "1");
    project.repo.commit("one");
    let now = |service: &str| project.run(["hash", service]).ok().stdout;
    let (web, docs) = (now("web"), now("./docs"));
    project.repo.write("src/a", "2");
    project
        .repo
        .write("shipper.toml", "[service.web]\ndockerfile = 'Dockerfile'\n[service.new]\nfiles = { '/d' = 'docs' }\n");
    assert_ne!(now("web"), web);
    assert_eq!(project.run(["hash", "web", "--commit", "HEAD"]).ok().stdout, web);
    let listed = project.run(["hash", "web", "--commit", "HEAD", "--list"]).ok().stdout;
    assert!(listed.contains(" src/a\tDockerfile:2: COPY src\n"), "{listed}");
    let dockerfile = ["hash", ".", "--dockerfile", "Dockerfile", "--commit", "HEAD"];
    assert_eq!(project.run(dockerfile).ok().stdout, web);
    assert_eq!(project.run(["hash", "./docs", "--commit", "HEAD"]).ok().stdout, docs);
    // The commit's configuration counts: it has no such service yet.
    project.run(["hash", "new", "--commit", "HEAD"]).exits(2).says("cannot find service `new`");
    project.run(["hash", "web", "--commit", "nowhere"]).exits(2).says("nothing is fetched");
    let outside = tempfile::tempdir().expect("a directory");
    std::fs::write(outside.path().join("Dockerfile"), "FROM scratch\n").expect("writes");
    let outside = outside.path().join("Dockerfile");
    let outside = outside.to_str().expect("plain");
    project.run(["hash", ".", "--dockerfile", outside, "--commit", "HEAD"]).exits(2).says("lies outside the directory");
}
