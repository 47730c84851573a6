//! The action that brings a release onto runners of GitHub: its own tests on Node.js, and the schema of GitHub.

use std::path::Path;
use std::process::{Command, Output};

use shipper_testkit::{need, require_python_program, require_tool};

const ACTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../action");

#[track_caller]
fn succeeds(output: &Output) -> String {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", shown(&output.stdout), shown(&output.stderr));
    shown(&output.stdout)
}

#[test]
fn the_action_installs_what_has_the_right_checksum() {
    let node = need!(require_tool("node"));
    let mut command = Command::new(node);
    command.args(["--test", "main.test.js"]).current_dir(Path::new(ACTION));
    // A runner that these tests run on must not be told anything.
    for (name, _) in std::env::vars_os() {
        if ["GITHUB_", "RUNNER_", "INPUT_", "ACTIONS_", "NODE_"]
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            command.env_remove(name);
        }
    }
    let printed = succeeds(&command.output().expect("Node.js starts"));
    assert!(printed.contains("pass 4") && printed.contains("fail 0"), "{printed}");
}

#[test]
fn the_action_is_of_the_schema_of_github() {
    let program = need!(require_python_program("check-jsonschema"));
    let mut command = Command::new(program);
    let file = Path::new(ACTION).join("action.yml");
    succeeds(&command.args(["--builtin-schema", "vendor.github-actions"]).arg(file).output().expect("starts"));
}
