//! `shipper hash`.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use shipper_engine::{ExitCode, HashDockerfile, HashLeak, HashLeaks, HashRequest, Hashed, HashedEntry, ReadBy, units};

use crate::cli::{Global, HashArgs};
use crate::commands::options;
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &HashArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = shipper_engine::Options { paranoid: args.paranoid, ..options(global) };
    let dockerfile = args.dockerfile.clone().map(|path| HashDockerfile {
        path,
        target: args.stage.clone(),
        args: args.build_args.iter().cloned().collect(),
    });
    let request =
        HashRequest { target: args.target.clone(), commit: args.commit.clone(), dockerfile, leaks: args.leaks };
    let hashed = shipper_engine::hash(&options, &request)?;
    for warning in &hashed.warnings {
        terminal.warning(warning);
    }
    let mut out = io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(out, "{}", document(&hashed, args.list))?;
    } else {
        text(&hashed, args.list, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::Done)
}

fn text(hashed: &Hashed, list: bool, out: &mut dyn Write) -> io::Result<()> {
    if list {
        for entry in hashed.entries() {
            write!(out, "{} {} {} {}", entry.digest, entry.kind, entry.size, entry.path)?;
            // A tab in a path is escaped.
            match (entry.read_by.first(), &hashed.dockerfile) {
                (Some(read), Some(dockerfile)) => {
                    writeln!(out, "\t{dockerfile}:{}: {} {}", read.line, read.instruction, read.path)?;
                }
                _ => writeln!(out)?,
            }
        }
    }
    writeln!(out, "{}", hashed.context)?;
    let Some(leaks) = &hashed.leaks else { return Ok(()) };
    if leaks.entries.is_empty() {
        return writeln!(out, "leaks: none; a builder would be sent nothing that the hash does not cover");
    }
    let count = |entries: usize| if entries == 1 { "1 path".to_owned() } else { format!("{entries} paths") };
    writeln!(out, "leaks: {}, {}", count(leaks.entries.len()), units::bytes(leaks.bytes))?;
    for root in &leaks.roots {
        writeln!(
            out,
            "  {} ({}; {}, {})",
            root.path,
            cause(root.cause),
            count(root.entries),
            units::bytes(root.bytes)
        )?;
    }
    if list {
        writeln!(out, "all of them:")?;
        for leak in &leaks.entries {
            writeln!(out, "  {} {} {}", leak.kind.unwrap_or_default(), leak.bytes, leak.path)?;
        }
    }
    if !leaks.lines.is_empty() {
        writeln!(out, "lines for .dockerignore that keep them from a builder:")?;
        for line in &leaks.lines {
            writeln!(out, "  {line}")?;
        }
    }
    for path in &leaks.nameless {
        writeln!(out, "no line can name {path} without excluding a part of the context")?;
    }
    Ok(())
}

/// A cause in words.
fn cause(cause: &str) -> &str {
    match cause {
        "ignored" => "git ignores it",
        "untracked" => "git does not track it",
        "repository" => "git's own",
        "shipper" => "shipper's own",
        "empty" => "an empty directory",
        "left-out" => "not of this context",
        other => other,
    }
}

fn document(hashed: &Hashed, list: bool) -> Value {
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    set("format", json!(shipper_engine::FORMAT));
    set("context", json!(hashed.context));
    set("files", json!(hashed.files));
    set("bytes", json!(hashed.bytes));
    if let Some(dockerfile) = &hashed.dockerfile {
        set("dockerfile", json!(dockerfile));
        set("whole-context", json!(hashed.whole_context));
    }
    if list {
        set("entries", hashed.entries().map(|one| entry(&one)).collect());
    }
    if let Some(found) = &hashed.leaks {
        set("leaks", leaks(found, list));
    }
    Value::Object(document)
}

fn entry(entry: &HashedEntry) -> Value {
    let mut object = json!({"path": entry.path, "kind": entry.kind, "size": entry.size, "digest": entry.digest});
    if let Some(exact) = &entry.path_base64 {
        object["path-base64"] = json!(exact);
    }
    if !entry.read_by.is_empty() {
        object["read-by"] = entry.read_by.iter().map(read_by).collect();
    }
    object
}

fn read_by(read: &ReadBy) -> Value {
    let mut object = json!({"line": read.line, "instruction": read.instruction, "path": read.path});
    if let Some(via) = &read.via {
        object["via"] = json!(via);
    }
    object
}

fn leaks(found: &HashLeaks, list: bool) -> Value {
    let mut object = json!({
        "entries": found.entries.len(),
        "bytes": found.bytes,
        "roots": found.roots.iter().map(leak).collect::<Value>(),
        "dockerignore": found.lines,
        "nameless": found.nameless,
    });
    if list {
        object["list"] = found.entries.iter().map(leak).collect();
    }
    object
}

fn leak(leak: &HashLeak) -> Value {
    let mut object = json!({"path": leak.path, "bytes": leak.bytes, "cause": leak.cause});
    match leak.kind {
        Some(kind) => object["kind"] = json!(kind),
        None => object["entries"] = json!(leak.entries),
    }
    if let Some(exact) = &leak.path_base64 {
        object["path-base64"] = json!(exact);
    }
    object
}
