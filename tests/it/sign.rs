//! `sign` and `verify --key`: DSSE signatures in Sigstore bundles, judged by securesystemslib and `@sigstore/verify`.

use std::path::Path;

use serde_json::{Value, json};
use shipper_testkit::{DockerRegistry, FakeRegistry, Judge, Node, need};

use crate::support::{Project, text};

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shipper-attest/tests/keys");

/// Verifies a bundle's envelope with a public key in PEM (the first argument); prints the statement.
const DSSE: &str = r#"
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
bundle = json.load(sys.stdin)
assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
envelope = bundle["dsseEnvelope"]
key = SSlibKey.from_crypto(load_pem_public_key(open(sys.argv[1], "rb").read()))
# This reader tries no signature without the name of a key, which DSSE leaves to the writer (its issue 416).
assert "keyid" not in envelope["signatures"][0]
envelope["signatures"][0]["keyid"] = key.keyid
read = Envelope.from_dict(envelope)
read.verify([key], 1)
json.dump(json.loads(read.payload), sys.stdout)
"#;

/// What `@sigstore/verify` says of a bundle, given the public key in PEM (the first argument) and no other trust: the type of
/// its statement and the digest that this is about, or the code of the refusal.
const SIGSTORE: &str = r#"
const fs = require("fs");
const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity, toTrustMaterial, VerificationError } = require("@sigstore/verify");
const pem = fs.readFileSync(process.argv[1], "utf8");
const root = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(0)));
const hint = bundle.verificationMaterial.content.publicKey.hint;
const trust = toTrustMaterial(root, { [hint]: { rawBytes: pem } });
const verifier = new Verifier(trust, { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0 });
let told;
try {
  const signer = verifier.verify(toSignedEntity(bundle));
  const { payload, payloadType } = bundle.content.dsseEnvelope;
  const statement = JSON.parse(payload.toString("utf8"));
  told = { key: signer.key.asymmetricKeyType, payloadType, sha256: statement.subject[0].digest.sha256 };
} catch (error) {
  if (!(error instanceof VerificationError)) throw error;
  told = { refused: error.code };
}
console.log(JSON.stringify(told));
"#;

pub(crate) fn key(name: &str) -> String {
    Path::new(KEYS).join(name).display().to_string()
}

/// A project with one image in its layout, and the image's reference.
fn image(content: &str) -> (Project, String) {
    let project = Project::new("[project]\nname = 'demo'\n[service.site]\nfiles = { '/srv' = 'site' }\n");
    project.repo.write("site/index.html", content);
    project.ship();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let reference = format!("oci:{}:{tag}", project.layout("demo/site").display());
    (project, reference)
}

/// The bundle behind the digest of a signature in a layout.
fn bundle(project: &Project, signature: &str) -> Vec<u8> {
    let blobs = project.layout("demo/site").join("blobs/sha256");
    let read = |digest: &str| std::fs::read(blobs.join(digest.trim_start_matches("sha256:"))).expect("a blob");
    let manifest: serde_json::Value = serde_json::from_slice(&read(signature)).expect("JSON");
    assert_eq!(manifest["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
    read(&text(&manifest["layers"][0]["digest"]))
}

#[test]
fn what_is_signed_is_verified_here_and_by_securesystemslib() {
    let judge = need!(Judge::find());
    for pair in ["ed25519", "p256"] {
        let (project, reference) = image("<p>\n");
        let public = key(&format!("{pair}.pub.pem"));
        project.run(["verify", "--key", &public, &reference]).exits(1);
        let signed = project.run(["sign", &reference, "--key", &key(&format!("{pair}.pem")), "--json"]).ok().json();
        let statement = judge.script(DSSE, &[&public], &bundle(&project, &text(&signed["signature"])));
        assert_eq!(format!("sha256:{}", text(&statement["subject"][0]["digest"]["sha256"])), text(&signed["digest"]));
        let verified = project.run(["verify", "--key", &public, &reference, "--json"]).ok().json();
        assert_eq!(verified["images"][0]["signatures"], 1, "{verified}");
        let other = if pair == "p256" { "ed25519.pub.pem" } else { "p256.pub.pem" };
        let ran = project.run(["verify", "--key", &key(other), &reference]).exits(1);
        assert!(ran.stdout.contains("no signature of this key"), "{}", ran.stdout);
        project.run(["verify", &reference]).ok();
    }
}

#[test]
fn what_is_signed_is_accepted_by_sigstores_own_verifier_and_refused_where_it_was_altered() {
    let node = need!(Node::find());
    for (pair, kind) in [("ed25519", "ed25519"), ("p256", "ec")] {
        let (project, reference) = image("<p>\n");
        let signed = project.run(["sign", &reference, "--key", &key(&format!("{pair}.pem")), "--json"]).ok().json();
        let bundle = bundle(&project, &text(&signed["signature"]));
        let judged = |bundle: &[u8], public: &str| node.script(SIGSTORE, &[&key(public)], bundle);
        let public = format!("{pair}.pub.pem");
        let digest = text(&signed["digest"]);
        let accepted = json!({
            "key": kind,
            "payloadType": "application/vnd.in-toto+json",
            "sha256": digest.trim_start_matches("sha256:"),
        });
        assert_eq!(judged(&bundle, &public), accepted);
        // Another key, another statement, another type of it, another signature.
        let refused = json!({ "refused": "SIGNATURE_ERROR" });
        let other = if pair == "p256" { "ed25519.pub.pem" } else { "p256.pub.pem" };
        assert_eq!(judged(&bundle, other), refused, "{pair}");
        let altered = |edit: &dyn Fn(&mut Value)| {
            let mut document: Value = serde_json::from_slice(&bundle).expect("JSON");
            edit(&mut document["dsseEnvelope"]);
            judged(document.to_string().as_bytes(), &public)
        };
        // A letter in the middle is exchanged for another one of base64.
        let exchanged = |value: &Value| {
            let mut letters = text(value).into_bytes();
            let middle = letters.len() / 2;
            letters[middle] = if letters[middle] == b'A' { b'B' } else { b'A' };
            json!(String::from_utf8(letters).expect("base64"))
        };
        assert_eq!(altered(&|envelope| envelope["payload"] = exchanged(&envelope["payload"])), refused, "{pair}");
        assert_eq!(altered(&|envelope| envelope["payloadType"] = json!("text/plain")), refused, "{pair}");
        let signature = |envelope: &mut Value| {
            let changed = exchanged(&envelope["signatures"][0]["sig"]);
            envelope["signatures"][0]["sig"] = changed;
        };
        assert_eq!(altered(&signature), refused, "{pair}");
    }
}

#[test]
fn signatures_refer_to_images_in_registries_with_and_without_a_list_of_referrers() {
    let docker = need!(DockerRegistry::start());
    let fake = FakeRegistry::builder().start();
    let (project, reference) = image("<p>\n");
    for host in [docker.host().to_owned(), fake.host().to_string()] {
        let there = format!("{host}/shop/site:1");
        project.run(["push", &reference, &there]).ok();
        project.run(["sign", &there, "--key", &key("ed25519.pem")]).ok().says("Signed");
        project.run(["verify", "--key", &key("ed25519.pub.pem"), &there]).ok();
        project.run(["verify", "--key", &key("p256.pub.pem"), &there]).exits(1);
    }
}

#[test]
fn a_signature_of_another_image_does_not_count() {
    let (project, first) = image("<p>\n");
    project.run(["sign", &first, "--key", &key("p256.pem")]).ok();
    project.repo.write("site/index.html", "<p>other\n");
    project.ship();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let second = format!("oci:{}:{tag}", project.layout("demo/site").display());
    project.run(["verify", "--key", &key("p256.pub.pem"), &first]).ok();
    project.run(["verify", "--key", &key("p256.pub.pem"), &second]).exits(1);
    // Its list of referrers under the other's name: the statement still is about the first.
    let digest = |reference: &str| text(&project.run(["inspect", reference, "--json"]).ok().json()["digest"]);
    let list = |digest: &str| format!("oci:{}:{}", project.layout("demo/site").display(), digest.replace(':', "-"));
    project.run(["copy", &list(&digest(&first)), &list(&digest(&second))]).ok();
    let ran = project.run(["verify", "--key", &key("p256.pub.pem"), &second]).exits(1);
    assert!(ran.stdout.contains("it is about sha256:"), "{}", ran.stdout);
}

#[test]
fn keys_that_can_not_be_used_are_refused_before_anything_is_read() {
    let (project, reference) = image("<p>\n");
    let check = |command: &str, key: &str, says: &str| {
        let ran = project.run([command, &reference, "--key", key]).exits(2).says(says);
        assert!(!ran.stderr.contains("PRIVATE KEY-----"), "{}", ran.stderr);
    };
    check("sign", &key("ed25519.pub.pem"), "it is a public key");
    check("sign", &key("p256.sec1.pem"), "PKCS #8");
    check("sign", &key("p384.pem"), "neither Ed25519 nor ECDSA on P-256");
    check("sign", "missing.pem", "missing.pem");
    check("sign", "env:NO_SUCH_KEY", "NO_SUCH_KEY");
    check("verify", &key("ed25519.pem"), "it is a private key");
    let mut command = project.command(["sign", &reference, "--key", "env:OUR_KEY"]);
    let pem = std::fs::read_to_string(key("ed25519.pem")).expect("the key");
    let ran = crate::support::Ran::of(&command.env("OUR_KEY", &pem).output().expect("starts")).ok();
    let secret = pem.lines().nth(1).expect("a line of the key");
    assert!(!ran.stderr.contains(secret) && !ran.stdout.contains(secret));
    project.run(["sign", "oci:nowhere:1", "--key", &key("ed25519.pem")]).exits(1);
}
