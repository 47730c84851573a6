//! `shipper why`: the file, and what pulls it in.

use crate::support::{Project, text};

/// A Dockerfile service and a `files` service, in a registry that does not exist.
fn project() -> Project {
    let config = "[project]\nregistry = '127.0.0.1:1'\n\n[service.web]\ndockerfile = 'web/Dockerfile'\nargs = { MODE = 'a' }\n\n\
                  [service.docs]\nfiles = { '/srv/docs' = 'docs' }\n";
    let mut project = Project::new(config);
    let dockerfile = "FROM example.com/base:1\nARG MODE\nCOPY src /src\nCOPY web/page.html /\n";
    project.repo.write("web/Dockerfile", dockerfile);
    project.repo.write("web/page.html", "<p>");
    project.repo.write("src/main.c", "int main;");
    project.repo.write("src/util.c", "int util;");
    project.repo.write("docs/index.md", "docs");
    project.repo.write("README", "readme");
    project.repo.commit("one");
    project
}

#[test]
fn a_commit_is_compared_down_to_the_line_that_reads_the_file() {
    let project = project();
    let same = project.run(["why", "--against", "rev:HEAD"]).ok().stdout;
    assert_eq!(same, "docs: the same as in HEAD\nweb: the same as in HEAD\n");
    project.repo.write("src/main.c", "int main2;");
    project.repo.rename("src/util.c", "src/tool.c");
    project.repo.write("web/page.html", "<p>2");
    project.repo.write("README", "of no service");
    let told = project.run(["why", "web", "--against", "rev:main"]).ok().stdout;
    let expected = "web\n  3 inputs changed: src/main.c, src/util.c -> src/tool.c, +1\n    \
                    content  src/main.c  (web/Dockerfile:3: src)\n    \
                    renamed  src/util.c -> src/tool.c  (web/Dockerfile:3: src)\n    \
                    content  web/page.html  (web/Dockerfile:4: web/page.html)\n";
    assert_eq!(told, expected);
    let json = project.run(["why", "--against", "rev:main", "--json"]).ok().json();
    let [docs, web] = json["services"].as_array().expect("services").as_slice() else { panic!("{json}") };
    assert_eq!((docs["due"].as_bool(), web["due"].as_bool()), (Some(false), Some(true)));
    assert_eq!(text(&web["because"]["src/tool.c"]), "web/Dockerfile:3: src");
    assert_eq!(text(&web["reasons"][0]["files"][1]["from"]), "src/util.c");
}

#[test]
fn configuration_and_lock_are_compared_as_they_were_in_the_commit() {
    let mut project = project();
    let lock = |digit: &str| {
        let digest = format!("sha256:{}", digit.repeat(64));
        format!("version = 1\n\n[base.'example.com/base:1'.platforms]\n'linux/amd64' = '{digest}'\n")
    };
    project.repo.write("shipper.lock", lock("1"));
    project.repo.commit("locked");
    project.repo.write("shipper.lock", lock("2"));
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("a configuration");
    let config = config.replace("MODE = 'a'", "MODE = 'b'") + "\n[service.new]\nfiles = { '/' = 'docs' }\n";
    project.repo.write("shipper.toml", config);
    let json = project.run(["why", "--against", "rev:HEAD", "--json"]).ok().json();
    let codes = |service: &str| {
        let services = json["services"].as_array().expect("services").iter();
        let one = services.clone().find(|one| one["service"] == service).expect("the service");
        one["reasons"].as_array().expect("reasons").iter().map(|reason| text(&reason["code"])).collect::<Vec<_>>()
    };
    assert_eq!(codes("web"), ["args-changed", "base-moved"]);
    assert_eq!(codes("docs"), ["image-exists"]);
    assert_eq!(codes("new"), ["never-built"]);
}

#[test]
fn the_image_that_is_there_is_compared_with_the_setting_that_takes_the_file() {
    let project = Project::two_services();
    project.ship();
    project.run(["why"]).ok().stdout.lines().for_each(|line| assert!(line.ends_with("image exists"), "{line}"));
    project.repo.write("docs/index.md", "other\n");
    let told = project.run(["why", "docs"]).ok().stdout;
    assert!(told.starts_with("docs\n  1 input changed: docs/index.md\n    content  docs/index.md  (files: "), "{told}");
}

#[test]
fn what_is_no_commit_or_no_service_is_said() {
    let project = project();
    project.run(["why", "--against", "rev:nowhere"]).exits(2).says("nothing is fetched");
    project.run(["why", "nothing", "--against", "rev:HEAD"]).exits(2);
    let wrong = project.run(["why", "--against", "main"]).exits(2);
    assert!(wrong.stderr.contains("rev:main"), "{}", wrong.stderr);
}
