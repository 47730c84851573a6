//! Golden vectors of `docs/hash-format.md`, held by this crate and by the Python implementation in `docs/`.
//!
//! `SHIPPER_UPDATE_VECTORS=1` writes what is expected anew: only for new vectors, never to change old ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use shipper_hash::{BuildKey, Entry, Field, KeyFields, Kind, Manifest, RelPath};

const KINDS: [Kind; 5] = [Kind::File, Kind::Executable, Kind::Symlink, Kind::EmptyDir, Kind::Gitlink];
const FIELDS: [(&str, Field); 11] = [
    ("scheme", Field::Scheme),
    ("context", Field::Context),
    ("recipe", Field::Recipe),
    ("target", Field::Target),
    ("args", Field::Args),
    ("platform", Field::Platform),
    ("bases", Field::Bases),
    ("dependencies", Field::Dependencies),
    ("named-contexts", Field::NamedContexts),
    ("image-options", Field::ImageOptions),
    ("salt", Field::Salt),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(value: &Value) -> Entry {
    let kind = KINDS.into_iter().find(|kind| kind.as_str() == value["kind"]).unwrap();
    let times = value.get("repeat").map_or(1, |times| usize::try_from(times.as_u64().unwrap()).unwrap());
    Entry::new(RelPath::new(bytes(&value["path"])).unwrap(), kind, &bytes(&value["content"]).repeat(times))
}

fn field(value: &Value) -> shipper_hash::Value {
    match value {
        Value::Array(items) => shipper_hash::Value::List(items.iter().map(bytes).collect()),
        Value::Object(pairs) => {
            let pair = |(name, value): (&String, &Value)| (bytes(&json!(name)), bytes(value));
            shipper_hash::Value::Map(pairs.iter().map(pair).collect::<BTreeMap<_, _>>())
        }
        other => shipper_hash::Value::Bytes(bytes(other)),
    }
}

/// What this crate makes of the input of a vector.
fn found(vector: &Value) -> Map<String, Value> {
    let found = if let Some(entries) = vector.get("entries") {
        let manifest = Manifest::new(entries.as_array().unwrap().iter().map(entry).collect()).unwrap();
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        json!({"body": hex(&manifest.encode()), "text": manifest.to_text(), "context": manifest.hash().to_string()})
    } else if let Some(keys) = vector.get("keys") {
        let keys: Vec<BuildKey> =
            keys.as_array().unwrap().iter().map(|key| key.as_str().unwrap().parse().unwrap()).collect();
        json!({"key": BuildKey::combine(&keys).to_string()})
    } else {
        let mut fields = KeyFields::new();
        for (name, value) in vector["fields"].as_object().unwrap() {
            fields.set(FIELDS.iter().find(|(known, _)| known == name).unwrap().1, field(value));
        }
        json!({"encoded": hex(&fields.encode()), "key": fields.key().to_string()})
    };
    found.as_object().unwrap().clone()
}

#[test]
fn golden_vectors_hold() {
    let update = std::env::var_os("SHIPPER_UPDATE_VECTORS").is_some();
    let mut count = 0;
    for file in files() {
        let mut document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for vector in document["vectors"].as_array_mut().unwrap() {
            count += 1;
            for (name, value) in found(vector) {
                if update {
                    vector[&name] = value;
                } else {
                    assert_eq!(vector[&name], value, "{} {name}", vector["name"]);
                }
            }
        }
        if update {
            std::fs::write(&file, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
        }
    }
    assert!(count >= 54, "{count} vectors");
}

/// A Python with the `blake3` package, or the reason why there is none.
fn python() -> Result<PathBuf, String> {
    let python = std::env::var_os("SHIPPER_TEST_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    match Command::new(&python).args(["-c", "import blake3"]).output() {
        Ok(output) if output.status.success() => Ok(python),
        Ok(_) => Err(format!("{} has no package `blake3`", python.display())),
        Err(error) => Err(format!("{} does not run: {error}", python.display())),
    }
}

/// Runs the script if it can run.
fn verify(arguments: &[&std::ffi::OsStr]) -> Option<String> {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            crate::skip_for_lack_of_a_tool(&format!("the Python implementation of the hash format: {reason}"));
            return None;
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify_context.py");
    let output = Command::new(python).arg(script).args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn an_independent_implementation_agrees_with_the_vectors() {
    let files = files();
    let mut arguments = vec![std::ffi::OsStr::new("vectors")];
    arguments.extend(files.iter().map(|file| file.as_os_str()));
    if let Some(output) = verify(&arguments) {
        assert!(output.ends_with(" vectors, 0 differences\n"), "{output}");
    }
}

#[test]
#[cfg(unix)]
fn an_independent_implementation_agrees_with_a_stage() {
    let project = crate::project::Project::new();
    project.write("a/x", "1").write("a.b", "2").write_bytes(b"caf\xe9\n", "3").mkdir("empty/deep").link("l", "../x");
    project.chmod("a.b", 0o755).write("big", vec![7; 3 << 20]);
    let selection = shipper_hash::Selection { files: shipper_hash::FileSet::Worktree, ..Default::default() };
    let context = project.context(&selection);
    let stage = project.beside("stage");
    context.stage(&stage).unwrap();
    if let Some(output) = verify(&["list".as_ref(), stage.as_os_str()]) {
        assert_eq!(output, format!("{}{}\n", context.manifest().to_text(), context.hash()));
    }
}
