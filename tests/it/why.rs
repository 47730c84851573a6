//! `shipper why`: the file, and what pulls it in.

use shipper_testkit::FakeRegistry;

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
    project.run(["why", "--against", "rev:"]).exits(2).says("rev:main");
    project.run(["why", "--against", "rev:HEAD", "--registry", "127.0.0.1:1"]).exits(2).says("asks no registry");
    project.run(["why", "--against", "no tag"]).exits(2).says("no environment, no image");
}

#[test]
fn an_image_a_tag_and_an_environment_are_compared_on_a_machine_without_history() {
    let registry = FakeRegistry::start();
    let config = format!(
        "[project]\nname = 'demo'\nregistry = '{}'\n[service.docs]\nfiles = {{ '/srv/docs' = 'docs' }}\n\
         [service.site]\nfiles = {{ '/srv/site' = 'site' }}\n\
         [env.prod]\n[[env.prod.deploy]]\nrun = ['true']\n",
        registry.host()
    );
    let mut project = Project::new(&config);
    project.repo.write("docs/index.md", "1\n");
    project.repo.write("site/index.html", "1\n");
    project.run(["why", "--against", "prod"]).exits(1).says("nothing runs in `prod`");
    project.run(["deploy", "prod"]).ok();
    let digest = text(
        &project.run(["inspect", &format!("{}/demo/docs:env-prod", registry.host()), "--json"]).ok().json()["digest"],
    );
    let first = format!("{}/demo/docs@{digest}", registry.host());
    project.repo.write("docs/index.md", "2\n");
    project.ship();
    project.repo.write("docs/other.md", "new\n");
    project.repo.commit("more");

    // The machine has no cache, no records, and compares with what was deployed, not with what was shipped last.
    let machine = project.clone_to();
    let told = |against: &str| {
        let explained = machine.run(["why", "--against", against, "--json"]).ok().json()["services"].clone();
        let of = |one: &serde_json::Value| {
            let files = one["reasons"][0]["files"].as_array().cloned().unwrap_or_default();
            let files: Vec<String> = files.iter().map(|file| text(&file["path"])).collect();
            (text(&one["service"]), one["due"] == true, files)
        };
        explained.as_array().expect("services").iter().map(of).collect::<Vec<_>>()
    };
    let docs = ("docs".to_owned(), true, vec!["docs/index.md".to_owned(), "docs/other.md".to_owned()]);
    let site = ("site".to_owned(), false, vec![]);
    assert_eq!(told("prod"), [docs.clone(), site.clone()]);
    assert_eq!(told("env-prod"), [docs.clone(), site]);
    assert_eq!(told(&first), [docs]);
    let text_of = machine.run(["why", "--against", "prod"]).ok().stdout;
    assert!(text_of.contains("site: the same as in prod"), "{text_of}");
    assert!(text_of.contains("docs/other.md  (files: "), "{text_of}");

    machine.run(["why", "site", "--against", &first]).exits(3).says("it is an image of `docs`");
    machine.run(["why", "--against", "v9"]).exits(1).says("find v9");
    let gone = format!("{}/demo/docs:v9", registry.host());
    machine.run(["why", "--against", &gone]).exits(1).says(&gone);
}
