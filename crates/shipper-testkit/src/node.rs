//! Judges that are packages of npm.
//!
//! Invariant: a verdict is what the script prints; a script that fails has none, and the test ends with what it said.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tool::{Skip, require_tool};

/// Node.js with the packages of the tests.
#[derive(Debug, Clone)]
pub struct Node {
    program: PathBuf,
    directory: PathBuf,
}

impl Node {
    /// # Errors
    /// If Node.js is not installed, or `SHIPPER_TEST_NODE` does not name a directory with packages.
    pub fn find() -> Result<Self, Skip> {
        let program = require_tool("node")?;
        let directory = std::env::var_os("SHIPPER_TEST_NODE").map(PathBuf::from);
        let directory = directory.filter(|directory| directory.join("node_modules").is_dir());
        let absent = || Skip::new("node", "SHIPPER_TEST_NODE is not set; `cargo xtask test` sets it");
        Ok(Self { program, directory: directory.ok_or_else(absent)? })
    }

    /// The directory of the packages, as `NODE_PATH` has it.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.directory.join("node_modules")
    }

    /// Runs a CommonJS script that reads `input` on stdin and prints JSON; its arguments are `process.argv` from the second on.
    ///
    /// # Panics
    /// If it fails; the message holds what it said.
    #[track_caller]
    #[must_use]
    pub fn script(&self, script: &str, arguments: &[&str], input: &[u8]) -> Value {
        let mut child = Command::new(&self.program)
            .current_dir(&self.directory)
            .args(["--input-type=commonjs", "--eval", script, "--"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Node.js starts");
        let mut stdin = child.stdin.take().expect("because stdin is piped");
        // A script that ends early closes its input; what it printed says why.
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().expect("Node.js ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}\n{}", String::from_utf8_lossy(input));
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }
}
