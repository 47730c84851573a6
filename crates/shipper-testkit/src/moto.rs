//! moto's server as a child process: another implementation of CloudFormation's and ECR's lookups.
//!
//! Invariants: the port is chosen by the server; it is ended by its own process id when the fixture is dropped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::tool::{Skip, require_python};

/// Starts the server, makes the stack `ShopStack` with a repository `shop/api` in its output `RepositoryUri` and
/// stacks with exports `export-0` to `export-119` of the same value, says the port, and serves until stdin ends.
const SCRIPT: &str = r#"
import json, os, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
os.environ.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1")
import boto3
cfn = boto3.client("cloudformation", endpoint_url=f"http://127.0.0.1:{port}")
uri = {"Fn::GetAtt": ["Repository", "RepositoryUri"]}
def create(name, repository, outputs):
    resources = {"Repository": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": repository}}}
    cfn.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}))
create("ShopStack", "shop/api", {"RepositoryUri": {"Value": uri}})
for part in range(4):
    names = range(part * 30, part * 30 + 30)
    create(f"Exports{part}", f"shop/part{part}", {f"Output{at}": {"Value": uri, "Export": {"Name": f"export-{at}"}} for at in names})
print(port, flush=True)
sys.stdin.read()
"#;

/// A running moto server.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    /// Starts a server with a stack in it.
    ///
    /// # Errors
    /// If there is no Python environment for the tests, or it lacks moto.
    ///
    /// # Panics
    /// If moto is there and does not start.
    pub fn start() -> Result<Self, Skip> {
        let python = require_python()?;
        let has_moto = Command::new(&python).args(["-c", "import moto.server, boto3"]).stderr(Stdio::null()).status();
        if !has_moto.is_ok_and(|status| status.success()) {
            return Err(Skip::new("moto", "not in the Python environment; `cargo xtask test` installs it"));
        }
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cannot start moto");
        let stdout = child.stdout.take().expect("because stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("moto's output is text");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("moto did not start: {line}"));
        Ok(Self { child, port })
    }

    /// What a program needs in its environment to use this server and nothing of AWS.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "testkit".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testkit".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
        ]
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
