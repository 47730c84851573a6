//! G8: what others wrote, or a disk has damaged, is read or refused, and never a panic. 10^5 documents a parser;
//! `SHIPPER_FUZZ_CASES` sets how many.

use std::path::PathBuf;

use shipper_testkit::damaged;

fn cases() -> u64 {
    let asked = std::env::var("SHIPPER_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(100_000)
}

/// Reads the whole document, which must be accepted, and then damaged ones, of which some are and some are not.
fn each(document: &str, reads: impl Fn(&[u8]) -> bool) {
    some(cases(), document, reads);
}

fn some(cases: u64, document: &str, reads: impl Fn(&[u8]) -> bool) {
    assert!(reads(document.as_bytes()), "it is whole");
    let accepted = (0..cases).filter(|seed| reads(&damaged(*seed, document))).count() as u64;
    assert!(accepted < cases, "none was refused");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn g8_damaged_configurations_are_read_or_refused() {
    let document =
        "[project]\nname = \"a\"\nregistry = \"ghcr.io/a\"\n[service.b]\nfiles = { \"/x\" = \"x\" }\nuser = \"1:1\"\n";
    each(document, |bytes| shipper_plan::Config::parse(&text(bytes), "shipper.toml").is_ok());
}

#[test]
fn g8_damaged_locks_are_read_or_refused() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let document =
        format!("version = 1\n[base.\"a.b/c:1\".platforms]\n\"linux/amd64\" = \"{digest}\"\n[salt]\napi = \"x\"\n");
    each(&document, |bytes| match crate::lock::Lock::parse(PathBuf::from("shipper.lock"), &text(bytes)) {
        Ok(lock) => lock.entries().all(|(.., digest)| digest.parse::<shipper_oci::Digest>().is_ok()),
        Err(_) => false,
    });
}

#[test]
fn g8_damaged_inputs_are_read_or_refused() {
    let document = format!(
        r#"{{"format":"1.0","service":"a","platform":"linux/amd64","context":"ctx1-{}","recipe":{{"kind":"files"}},"args":{{"a":"b"}}}}"#,
        "ab".repeat(32)
    );
    each(&document, |bytes| {
        shipper_plan::InputsDocument::from_json(bytes).is_ok_and(|read| !read.key().to_string().is_empty())
    });
}

#[test]
fn g8_damaged_records_of_deployments_are_read_or_refused() {
    let id = "d-prod-1700000000000-0000abcd";
    let step = r#"{"name":"main","role":"target","run":["x"],"timeout-ms":1,"fingerprint":"f","outcome":"ok"}"#;
    let holder = r#"{"machine":"m","process":1,"started":2,"began-ms":3,"lease-ms":4}"#;
    let image = r#"{"repository":"r","reference":"r@d","digest":"d"}"#;
    let document = format!(
        r#"{{"format":"1.1","id":"{id}","state":"intent","previous":null,"kind":"deploy","path":"fast","began":"b","written":"w","holder":{holder},"images":{{"a":{image}}},"steps":[{step}],"observed":{{"a":["d"]}}}}"#
    );
    each(&document, |bytes| match shipper_deploy::Record::decode("r", bytes) {
        Ok(mut record) => {
            assert_eq!(shipper_deploy::Record::decode("r", &record.encode()).ok().as_ref(), Some(&record));
            record.observe();
            true
        }
        Err(_) => false,
    });
}

#[test]
fn g8_damaged_records_of_runs_tell_what_is_left() {
    let line = r#"{"time":"2026-11-20T09:00:00Z","elapsed-ms":7,"event":"warning","message":"m"}"#;
    let end = r#"{"time":"2026-11-20T09:00:01Z","elapsed-ms":9,"event":"run-finished","outcome":"ok","exit-code":0,"images":{},"duration-ms":9,"saved-ms":0}"#;
    each(&format!("{line}\n{end}\n"), |bytes| {
        let run = shipper_report::Run::parse(&text(bytes));
        let _ = (run.totals(), run.damage(), run.critical_path());
        run.unreadable == 0
    });
}

#[test]
fn g8_damaged_policies_and_listings_of_ecr_are_read_or_refused() {
    let policy = r#"{"rules":[{"rulePriority":1,"description":"d","selection":{"tagStatus":"tagged","tagPatternList":["h-*"],"countType":"imageCountMoreThan","countNumber":5},"action":{"type":"expire"}}]}"#;
    each(policy, |bytes| shipper_ecr::LifecyclePolicy::parse(&text(bytes)).is_ok());
    let listing = format!(
        r#"{{"imageDetails":[{{"imageDigest":"sha256:{}","imageTags":["a"],"imageSizeInBytes":1,"imagePushedAt":1700000000.5,"imageManifestMediaType":"application/vnd.oci.image.manifest.v1+json"}}]}}"#,
        "ab".repeat(32)
    );
    each(&listing, |bytes| shipper_ecr::ImageFacts::parse_describe_images(&text(bytes)).is_ok());
}

#[cfg(feature = "aws")]
#[test]
fn g8_damaged_outputs_of_stacks_are_read_or_refused() {
    let document = r#"{"stack":{"Repository":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b","Count":1}}"#;
    each(document, |bytes| match shipper_cfn::OutputsFile::parse(&text(bytes)) {
        Ok(file) => {
            let _ = (file.output("stack", None).is_ok(), file.output("stack", Some("Repository")).is_ok());
            true
        }
        Err(_) => false,
    });
}

#[test]
fn g8_damaged_signatures_are_refused() {
    const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shipper-attest/tests/keys/");
    let pem = |name: &str| std::fs::read(format!("{KEYS}{name}")).expect("a key of the tests");
    let key = shipper_attest::SigningKey::from_pem(&pem("ed25519.pem")).expect("a key");
    let public = shipper_attest::VerifyingKey::from_pem(&pem("ed25519.pub.pem")).expect("a key");
    let subject = shipper_attest::Subject::new("a", &format!("sha256:{}", "ab".repeat(32))).expect("a subject");
    let other = shipper_attest::Subject::new("a", &format!("sha256:{}", "cd".repeat(32))).expect("a subject");
    let bundle = text(&shipper_attest::sign(&subject, &key).expect("signs"));
    each(&bundle, |bytes| {
        assert!(shipper_attest::verify(bytes, &public, &other).is_err(), "no damage makes it one of another image");
        shipper_attest::verify(bytes, &public, &subject).is_ok()
    });
    let public = text(&pem("ed25519.pub.pem"));
    each(&public, |bytes| shipper_attest::VerifyingKey::from_pem(bytes).is_ok());
}

#[test]
fn g8_damaged_lock_files_are_read_or_refused() {
    // Five formats, whose readers are slow where nothing is optimised.
    let each = |document: &str, reads: fn(&[u8]) -> bool| some(cases() / 10, document, reads);
    let cargo = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"00\"\n";
    each(cargo, |bytes| shipper_attest::cargo_lock(bytes).is_ok());
    let npm = r#"{"name":"a","lockfileVersion":3,"packages":{"":{"name":"a"},"node_modules/b":{"version":"1.0.0","resolved":"https://x/b.tgz","integrity":"sha512-AAAA"}}}"#;
    each(npm, |bytes| shipper_attest::npm_lock(bytes).is_ok());
    let pnpm = "lockfileVersion: '9.0'\npackages:\n  b@1.0.0:\n    resolution: {integrity: sha512-AAAA}\n";
    each(pnpm, |bytes| shipper_attest::pnpm_lock(bytes).is_ok());
    let poetry = "[[package]]\nname = \"a\"\nversion = \"1.0\"\nfiles = []\n[metadata]\nlock-version = \"2.0\"\n";
    each(poetry, |bytes| shipper_attest::poetry_lock(bytes).is_ok());
}
