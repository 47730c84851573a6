//! Finding a project: with a configuration, without one, from below, and `init`.

use std::process::Command;

use shipper_testkit::{need, require_tool};

use crate::support::{Project, text};

fn bare() -> Project {
    let project = Project::new("");
    project.repo.remove("shipper.toml");
    project
}

#[test]
fn services_are_discovered_without_a_file() {
    let project = bare();
    project.repo.write("Cargo.toml", "[workspace]\nmembers = ['crates/*']\nresolver = '3'");
    project.repo.write("crates/api/Cargo.toml", "[package]\nname = 'api'\nedition = '2024'");
    project.repo.write("crates/api/src/main.rs", "fn main() {}");
    project.repo.write("crates/lib/Cargo.toml", "[package]\nname = 'lib'\nedition = '2024'");
    project.repo.write("crates/lib/src/lib.rs", "");
    project.repo.write("proxy/Dockerfile", "FROM scratch\nCOPY conf /\n");
    project.repo.write("proxy/conf", "x");
    let plan = project.plan();
    let names: Vec<String> =
        plan["services"].as_array().expect("services").iter().map(|service| text(&service["service"])).collect();
    assert_eq!(names, ["api", "proxy"]);
}

#[test]
fn init_writes_what_it_found_and_nothing_over() {
    let project = bare();
    project.repo.write("tool/Cargo.toml", "[package]\nname = 'tool'\nedition = '2024'");
    project.repo.write("tool/src/main.rs", "fn main() {}");
    project.repo.write("web/Dockerfile", "FROM scratch\nCOPY . /\n");
    let before = project.plan();
    project.run(["init"]).ok().says("Wrote").says("tool, web");
    let written = std::fs::read_to_string(project.path().join("shipper.toml")).expect("written");
    assert!(written.contains("[service.tool]") && written.contains("dockerfile = \"web/Dockerfile\""), "{written}");
    assert!(project.path().join("web/.dockerignore").exists());
    let key = |plan: &serde_json::Value| text(&plan["services"][0]["key"]);
    assert_eq!(key(&project.plan()), key(&before), "what init writes is what was discovered");
    project.run(["init"]).exits(2).says("exists already").says("hint: `--force` overwrites it");
    project.run(["init", "--force"]).ok();
}

#[test]
fn nothing_to_ship_is_told_with_a_hint() {
    let project = bare();
    project.run(["init"]).ok().says("no Cargo binary and no Dockerfile was found");
    project.run(["ship", "x"]).exits(2).says("cannot find service `x`").says("hint: no service is configured");
}

#[test]
fn the_project_is_found_from_a_directory_below() {
    let project = Project::two_services();
    let below = project.run(["-C", "docs", "plan", "--json"]).ok().json();
    assert_eq!(below, project.plan());
}

#[cfg(unix)]
#[test]
fn a_configuration_that_can_not_be_read_is_not_an_absent_one() {
    let project = Project::two_services();
    project.repo.remove("shipper.toml");
    project.repo.symlink("nowhere.toml", "shipper.toml");
    project.run(["plan"]).exits(2).says("shipper.toml");
    project.repo.remove("shipper.toml");
    std::fs::create_dir(project.path().join("shipper.toml")).expect("a directory");
    project.run(["plan"]).exits(2).says("shipper.toml");
}

#[test]
fn a_layout_without_a_directory_is_refused() {
    let project = Project::two_services();
    project.run(["plan", "--registry", "oci:"]).exits(2).says("oci:");
    project.repo.write("images/demo", "a file\n");
    project.run(["plan", "--registry", "oci:images"]).exits(3).says("images/demo");
}

#[test]
fn completions_are_printed_for_a_shell() {
    let project = bare();
    let script = project.run(["completions", "bash"]).ok().stdout;
    assert!(script.contains("_shipper"), "{script}");
    project.run(["completions", "nosuchshell"]).exits(2);
}

/// groff is the judge: it warns of requests that it does not know and of text that it loses.
#[test]
fn there_is_a_manual_page_for_every_command() {
    need!(require_tool("groff"));
    let project = bare();
    let directory = project.cache().join("man");
    project.run(["man".as_ref(), directory.as_os_str()]).ok();
    let help = project.run(["--help"]).ok().stdout;
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
    let commands: Vec<&str> =
        commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"ship") && commands.contains(&"man"), "{help}");
    for command in commands {
        let page = directory.join(format!("shipper-{command}.1"));
        let groff = Command::new("groff").args(["-man", "-Tutf8", "-ww"]).arg(&page).output().expect("groff starts");
        assert!(groff.status.success() && groff.stderr.is_empty(), "{}", String::from_utf8_lossy(&groff.stderr));
        let title = format!("shipper-{command}(1)");
        assert!(String::from_utf8_lossy(&groff.stdout).starts_with(&title), "{command}");
    }
    assert_eq!(project.run(["man"]).ok().stdout, std::fs::read_to_string(directory.join("shipper.1")).expect("a page"));
    project.run(["man", "/dev/null/man"]).exits(3).says("cannot write manual pages into /dev/null/man: ");
}
