//! Wrong input gets a clear error, a hint, the right exit code, and changes nothing.

use crate::support::{Project, TWO_SERVICES};

/// Runs `arguments` in a project with `config` and checks what is said and returned, and that nothing was written.
#[track_caller]
fn check(config: &str, arguments: &[&str], code: i32, says: &[&str]) {
    let project = Project::new(config);
    for path in ["docs/a", "site/a", "shared/a"] {
        project.repo.write(path, path);
    }
    let mut ran = project.run(arguments).exits(code);
    for needle in says {
        ran = ran.says(needle);
    }
    assert!(!project.path().join(".shipper/images").exists(), "something was written");
    assert!(!project.path().join("shipper.lock").exists(), "a lock was written");
}

#[test]
fn a_configuration_that_makes_no_sense_is_a_usage_error() {
    let usage = |config: &str, says: &[&str]| check(config, &["ship"], 2, says);
    usage("[project]\nregisrty = 'x'", &["unknown field `regisrty`", "hint: did you mean `registry`?"]);
    usage("[service.a]\nfiles = { '/a' = 'docs' }\nneeds = { b = 'a' }", &["cannot order the services", "a -> a"]);
    usage(
        "[service.a]\nfiles = { '/a' = 'docs' }\nneeds = { b = 'b' }\n[service.b]\nfiles = { '/a' = 'docs' }\nneeds = { a = 'a' }",
        &["a -> b -> a is a cycle", "hint: remove one of the `needs`"],
    );
    usage("[service.a]\nfiles = { '/a' = 'nowhere' }", &["cannot find `nowhere` of `a`: it does not exist", "hint:"]);
    usage("[service.a]\ncargo = { package = 'nothing' }", &["cannot hash the context of `a`", "nothing"]);
}

#[test]
fn a_service_that_does_not_exist_is_named_with_the_nearest() {
    check(TWO_SERVICES, &["ship", "doc"], 2, &["cannot find service `doc`", "hint: did you mean `docs`?"]);
    check(TWO_SERVICES, &["plan", "zzzzzz"], 2, &["hint: the services are docs, site"]);
}

#[test]
fn a_registry_that_can_not_be_reached_is_no_verdict() {
    // Port 1 of loopback: nothing listens there.
    check(TWO_SERVICES, &["plan", "--registry", "127.0.0.1:1"], 3, &["cannot look up", "127.0.0.1:1"]);
    check(TWO_SERVICES, &["ship", "--registry", "127.0.0.1:1"], 3, &["cannot look up", "127.0.0.1:1"]);
}

#[test]
fn a_registry_that_is_none_is_a_usage_error() {
    check(TWO_SERVICES, &["plan", "--registry", "ftp://x"], 2, &["ftp://x", "(flag)"]);
}

#[test]
fn an_ignored_directory_is_an_error_that_says_how_to_include_it() {
    let project = Project::new("[service.a]\nfiles = { '/a' = 'dist' }");
    project.repo.write(".gitignore", "dist\n");
    project.repo.write("dist/app.js", "x");
    project.run(["ship"]).exits(2).says("no files that git tracks").says("inputs = [\"dist/**\"]");
    project.repo.write("shipper.toml", "[service.a]\nfiles = { '/a' = 'dist' }\ninputs = ['dist/**']");
    project.ship();
}

#[test]
fn a_failing_check_stops_its_service_and_no_other() {
    let project = Project::two_services();
    let config = format!("{TWO_SERVICES}check = [[\"sh\", \"-c\", \"echo broken; exit 3\"]]\n");
    project.repo.write("shipper.toml", config);
    project.run(["ship"]).exits(4).says("1 built, 1 failed").says("cannot check `site`").says("broken");
    assert_eq!(project.due().keys().collect::<Vec<_>>(), ["site"]);
}

#[test]
fn an_unwritable_layout_is_an_error_and_not_a_success() {
    let project = Project::two_services();
    project.repo.write("file", "");
    let registry = format!("oci:{}", project.path().join("file/images").display());
    project.run(["ship", "--registry", &registry]).exits(5).says("file/images");
}

#[test]
fn a_directory_that_does_not_exist_is_a_usage_error() {
    let project = Project::two_services();
    project.run(["-C", "nowhere", "plan"]).exits(2).says("cannot read nowhere");
}

#[test]
fn a_special_file_in_a_context_is_an_error_and_not_a_hang() {
    let project = Project::two_services();
    let fifo = project.path().join("docs/fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    project.run(["plan"]).exits(2).says("docs/fifo");
}

#[test]
fn untracked_files_are_refused_in_ci() {
    let mut project = Project::two_services();
    let mut plan = project.command(["plan"]);
    assert!(plan.env("CI", "true").status().expect("starts").success());
    project.repo.write("docs/new", "x");
    let mut plan = project.command(["plan"]);
    let ran = crate::support::Ran::of(&plan.env("CI", "true").output().expect("starts"));
    ran.exits(2).says("docs/new");
    project.repo.commit("new");
    assert!(project.command(["plan"]).env("CI", "true").status().expect("starts").success());
}
