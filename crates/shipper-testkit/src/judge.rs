//! Judges of documents about images: the Python validators of SPDX and CycloneDX, and readers of statements of in-toto.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::tool::{Skip, require_python};

/// Reads a document on stdin, judges it as what the first argument says, and prints what the other implementation read.
const SCRIPT: &str = r#"
import json, sys
kind, data = sys.argv[1], sys.stdin.read()
if kind == "spdx":
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
    document = JsonLikeDictParser().parse(json.loads(data))
    faults = [m.validation_message for m in validate_full_spdx_document(document)]
    assert not faults, faults
    told = {p.external_references[0].locator: {"licence": str(p.license_declared), "checksums": len(p.checksums)}
            for p in document.packages}
elif kind.startswith("cyclonedx-"):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from cyclonedx.model.bom import Bom
    version = {"cyclonedx-1.5": SchemaVersion.V1_5, "cyclonedx-1.6": SchemaVersion.V1_6}[kind]
    fault = JsonStrictValidator(version).validate_str(data)
    assert fault is None, fault
    bom = Bom.from_json(json.loads(data))
    assert bom.validate()
    told = {str(c.bom_ref.value): {"licence": " ".join(str(l.value) for l in c.licenses), "checksums": len(c.hashes)}
            for c in bom.components}
elif kind == "statement":
    from google.protobuf.json_format import Parse, MessageToDict
    import in_toto_attestation.v1.statement_pb2 as pb
    from in_toto_attestation.v1.statement import Statement
    statement = Statement.copy_from_pb(Parse(data, pb.Statement()))
    statement.validate()
    told = {"subjects": [s.digest["sha256"] for s in statement.pb.subject], "predicateType": statement.pb.predicate_type}
elif kind == "provenance":
    from google.protobuf.json_format import Parse
    import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as pb
    # Fails on a field that SLSA does not know.
    provenance = Parse(data, pb.Provenance())
    assert provenance.run_details.builder.id and len(provenance.build_definition.external_parameters)
    told = {"buildType": provenance.build_definition.build_type, "dependencies": len(provenance.build_definition.resolved_dependencies)}
json.dump(told, sys.stdout)
"#;

/// The judges, in the Python environment of the tests.
#[derive(Debug, Clone)]
pub struct Judge(PathBuf);

impl Judge {
    /// # Errors
    /// If there is no Python environment for the tests, or it lacks the validators.
    pub fn find() -> Result<Self, Skip> {
        let python = require_python()?;
        let check = "import spdx_tools, cyclonedx.validation.json, in_toto_attestation, securesystemslib, cryptography";
        let has = Command::new(&python).args(["-c", check]).stderr(Stdio::null()).status();
        if has.is_ok_and(|status| status.success()) {
            return Ok(Self(python));
        }
        Err(Skip::new("judges", "not in the Python environment; `cargo xtask test` installs them"))
    }

    /// What another implementation reads in a document of a kind: `spdx`, `cyclonedx-1.5`, `cyclonedx-1.6`, `statement`,
    /// `provenance`.
    ///
    /// # Panics
    /// If it refuses the document; the message holds what it said.
    #[track_caller]
    #[must_use]
    pub fn reads(&self, kind: &str, document: &[u8]) -> Value {
        self.script(SCRIPT, &[kind], document)
    }

    /// Runs a script that reads `input` and prints JSON.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    #[must_use]
    pub fn script(&self, script: &str, arguments: &[&str], input: &[u8]) -> Value {
        let mut child = Command::new(&self.0)
            .args(["-c", script])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut stdin = child.stdin.take().expect("because stdin is piped");
        // A script that refuses early closes its input; what it printed says why.
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().expect("Python ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}\n{}", String::from_utf8_lossy(input));
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }
}
