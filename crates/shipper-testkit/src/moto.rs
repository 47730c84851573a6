//! moto's server as a child process: another implementation of CloudFormation's and ECR's lookups.
//!
//! Invariants: the port is chosen by the server; it is ended by its own process id when the fixture is dropped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::tool::{Skip, require_python};

/// Starts the server, makes the stack `ShopStack` with a repository `shop/api` in its output `RepositoryUri` and
/// stacks with exports `export-0` to `export-119` of the same value, the service `docs` in the cluster `shop` of ECS and
/// the function `resize` with the alias `live` of Lambda, says the port, and answers questions until stdin ends.
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
ecs = boto3.client("ecs", endpoint_url=f"http://127.0.0.1:{port}")
ecs.create_cluster(clusterName="shop")
containers = [{"name": "web", "image": "example.com/placeholder:1", "environment": [{"name": "A", "value": "'$x'"}]}]
ecs.register_task_definition(family="shop-docs", cpu="256", memory="512", containerDefinitions=containers)
ecs.create_service(cluster="shop", serviceName="docs", taskDefinition="shop-docs", desiredCount=1)
role = boto3.client("iam", endpoint_url=f"http://127.0.0.1:{port}").create_role(RoleName="resize", AssumeRolePolicyDocument="{}")
functions = boto3.client("lambda", endpoint_url=f"http://127.0.0.1:{port}")
image = {"ImageUri": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/placeholder@sha256:" + "0" * 64}
functions.create_function(
    FunctionName="resize", PackageType="Image", Role=role["Role"]["Arn"], Code=image, Architectures=["arm64"], Publish=True)
functions.create_alias(FunctionName="resize", Name="live", FunctionVersion="1")
print(port, flush=True)
for line in sys.stdin:
    service, operation, parameters = json.loads(line)
    answer = getattr(boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}"), operation)(**parameters)
    print(json.dumps(answer, default=str), flush=True)
"#;

/// A running moto server.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    port: u16,
    answers: Mutex<BufReader<ChildStdout>>,
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
        let (mut line, mut answers) = (String::new(), BufReader::new(stdout));
        answers.read_line(&mut line).expect("moto's output is text");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("moto did not start: {line}"));
        Ok(Self { child, port, answers: Mutex::new(answers) })
    }

    /// What boto3 says that a service answers to an operation, such as `ecs`, `describe_services`.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn ask(&self, service: &str, operation: &str, parameters: &Value) -> Value {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stdin = self.child.stdin.as_ref().expect("because stdin is piped");
        writeln!(stdin, "{}", json!([service, operation, parameters])).expect("moto runs");
        let mut line = String::new();
        answers.read_line(&mut line).expect("moto's output is text");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{service} {operation}: {error}"))
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
