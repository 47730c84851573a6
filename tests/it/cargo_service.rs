//! Services of kind `cargo`: what the compiler sees, and what it says when it fails.

use crate::support::Project;

fn package(main: &str) -> Project {
    let project = Project::new("[service.tool]\ncargo = { package = 'tool' }\n");
    project.repo.write("Cargo.toml", "[package]\nname = 'tool'\nversion = '1.2.3'\nedition = '2024'\n");
    project.repo.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"tool\"\nversion = \"1.2.3\"\n");
    project.repo.write("src/main.rs", main);
    project
}

#[test]
fn a_package_that_does_not_compile_fails_with_the_compilers_last_lines() {
    let project = package("fn main() { let x: u32 = \"no\"; }");
    project.run(["ship"]).exits(4).says("cannot build `tool`").says("mismatched types").says("log:");
    assert!(!project.path().join(".shipper/images").exists());
}

#[test]
fn a_file_that_nothing_declares_can_not_be_read() {
    let project = package("fn main() {}");
    for path in ["Cargo.toml", "Cargo.lock", "src"] {
        project.repo.rename(path, format!("tool/{path}"));
    }
    project.repo.write(
        "tool/build.rs",
        "fn main() { std::fs::read([\"..\", \"note.txt\"].join(\"/\")).expect(\"note.txt is there\"); }",
    );
    project.repo.write("note.txt", "x");
    project.run(["ship"]).exits(4).says("note.txt is there");
    project.repo.write("shipper.toml", "[service.tool]\ncargo = { package = 'tool' }\ninputs = ['note.txt']\n");
    project.ship();
    project.repo.write("note.txt", "y");
    assert_eq!(project.due()["tool"], "inputs-changed note.txt");
}

#[test]
fn a_binary_that_does_not_exist_is_named_with_those_that_do() {
    let project = package("fn main() {}");
    project.repo.write("shipper.toml", "[service.tool]\ncargo = { package = 'tool', bin = 'other' }\n");
    project.run(["plan"]).exits(2).says("cannot find binary `other`").says("hint: set `bin` to one of tool");
}

#[test]
fn the_environment_of_the_user_does_not_reach_the_compiler() {
    let project = package("fn main() { print!(\"{:?}\", option_env!(\"CANARY\")); }");
    let mut command = project.command(["ship", "--json"]);
    let with = crate::support::Ran::of(&command.env("CANARY", "leaked").output().expect("starts")).ok();
    let digest = |ran: &crate::support::Ran| ran.events().pop().expect("events")["images"]["tool"]["digest"].clone();
    let without = project.run(["ship", "--json", "--force"]).ok();
    assert_eq!(digest(&with), digest(&without));
}
