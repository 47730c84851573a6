//! `shipper hash`.

use std::io::Write as _;

use serde_json::{Map, Value, json};
use shipper_engine::{ExitCode, HashedEntry};

use crate::cli::{Global, HashArgs};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &HashArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = shipper_engine::Options { paranoid: args.paranoid, ..options(global) };
    let hashed = match &args.commit {
        Some(revision) => Some(shipper_engine::hash_commit(&options, &args.target, revision)?),
        None => shipper_engine::hash_directory(&options, &args.target)?,
    };
    let hashed = match hashed {
        Some(hashed) => hashed,
        // Only a service needs the configuration.
        None => shipper_engine::hash_service(&options, &args.target)?,
    };
    for warning in &hashed.warnings {
        terminal.warning(warning);
    }
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        let mut document = Map::new();
        document.insert("format".to_owned(), json!(shipper_engine::FORMAT));
        document.insert("context".to_owned(), json!(hashed.context));
        document.insert("files".to_owned(), json!(hashed.files));
        document.insert("bytes".to_owned(), json!(hashed.bytes));
        if args.list {
            document.insert("entries".to_owned(), hashed.entries().map(|one| entry(&one)).collect());
        }
        writeln!(out, "{}", Value::Object(document))?;
    } else {
        if args.list {
            for entry in hashed.entries() {
                writeln!(out, "{} {} {} {}", entry.digest, entry.kind, entry.size, entry.path)?;
            }
        }
        writeln!(out, "{}", hashed.context)?;
    }
    out.flush()?;
    Ok(ExitCode::Done)
}

fn entry(entry: &HashedEntry) -> Value {
    let mut object = json!({"path": entry.path, "kind": entry.kind, "size": entry.size, "digest": entry.digest});
    if let Some(exact) = &entry.path_base64 {
        object["path-base64"] = json!(exact);
    }
    object
}
