//! `cargo xtask test`: everything that has to hold, in one command.
//!
//! Invariants: all tests run even after one failed; what was skipped is listed at the end; where skipping is
//! forbidden, a skip of anything that is not in [`OPTIONAL`] is a failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::install;
use crate::process::{cargo, say, succeeds};

/// Parts whose absence never fails a run, with the reason. A test names the part when it skips.
const OPTIONAL: &[(&str, &str)] = &[
    ("docker-engine-rolling", "comes from a rolling suite of Debian, whose mirror may lag or be away"),
    ("registry-clients", "come from a rolling suite of Debian, whose mirror may lag or be away"),
    ("fetched-frontend", "is an image of a registry that a machine may not reach; SHIPPER_TEST_FRONTEND names it"),
    ("rust-std-musl", "is downloaded by rustup, from a host that a machine may not reach"),
];

/// What the caller asked for.
#[derive(Debug)]
pub(crate) struct Options {
    no_skip: bool,
    filters: Vec<String>,
}

impl Options {
    /// `None` for a flag that does not exist.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let mut options =
            Self { no_skip: std::env::var("SHIPPER_NO_SKIP").is_ok_and(|value| value == "1"), filters: Vec::new() };
        for word in words {
            match *word {
                "--no-skip" => options.no_skip = true,
                flag if flag.starts_with('-') => return None,
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Some(options)
    }
}

/// Installs, runs, reports.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    install::debian_packages();
    let nextest = install::nextest();
    let python = install::python();
    let node = install::node();
    let engines = crate::engines::provide();
    let target = crate::root().join("target");
    let skips = target.join("skips.log");
    std::fs::create_dir_all(&target).context("cannot create target")?;
    std::fs::write(&skips, "").context("cannot write target/skips.log")?;

    let prepared = |mut command: Command| {
        let optional: Vec<&str> = OPTIONAL.iter().map(|(part, _)| *part).collect();
        command.env("SHIPPER_SKIP_LOG", &skips).env("SHIPPER_SKIP_OPTIONAL", optional.join(","));
        command.env("SHIPPER_NO_SKIP", if options.no_skip { "1" } else { "0" });
        command.env("SHIPPER_TEST_ENGINES", &engines);
        if let Some(python) = &python {
            command.env("SHIPPER_TEST_PYTHON", python);
        }
        if let Some(node) = &node {
            command.env("SHIPPER_TEST_NODE", node);
        }
        command
    };
    let mut failed = Vec::new();
    let mut tests = prepared(cargo());
    if nextest {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(&options.filters);
    } else {
        tests
            .args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast", "--"])
            .args(&options.filters);
    }
    if !succeeds(&mut tests)? {
        failed.push("tests");
    }
    if options.filters.is_empty() {
        let mut docs = prepared(cargo());
        docs.args(["test", "--doc", "--workspace", "--no-fail-fast", "--quiet"]);
        if !succeeds(&mut docs)? {
            failed.push("doc tests");
        }
    }
    let forbidden = report_skips(&skips, options.no_skip)?;
    if forbidden > 0 {
        failed.push("skipped tests");
    }
    say(&format!("tests took {} s", started.elapsed().as_secs()));
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}", failed.join(", "));
}

/// Lists what was skipped; gives the number of skips that are not allowed.
fn report_skips(log: &Path, no_skip: bool) -> anyhow::Result<usize> {
    let text = std::fs::read_to_string(log).context("cannot read target/skips.log")?;
    let groups = grouped(&text);
    if groups.is_empty() {
        say("nothing was skipped");
        return Ok(0);
    }
    let mut forbidden = 0;
    say("skipped:");
    for (reason, tests) in &groups {
        let part = reason.split(':').next().unwrap_or_default();
        let optional = OPTIONAL.iter().find(|(name, _)| *name == part);
        let note = optional.map(|(_, why)| format!(" (optional: {why})")).unwrap_or_default();
        say(&format!("  {} by {reason}{note}", counted(tests.len())));
        for test in tests {
            say(&format!("    {test}"));
        }
        if no_skip && optional.is_none() {
            forbidden += tests.len();
        }
    }
    Ok(forbidden)
}

fn counted(tests: usize) -> String {
    if tests == 1 { "1 test".to_owned() } else { format!("{tests} tests") }
}

/// Lines `SKIP test: part: why`, as reason -> tests.
fn grouped(log: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in log.lines() {
        if let Some((test, reason)) = line.strip_prefix("SKIP ").and_then(|rest| rest.split_once(": ")) {
            groups.entry(reason).or_default().push(test);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_filters_are_told_apart() {
        let options = Options::parse(&["--no-skip", "hash", "oci::"]).expect("legal words");
        assert!(options.no_skip);
        assert_eq!(options.filters, ["hash", "oci::"]);
        assert!(Options::parse(&["--fast"]).is_none());
    }

    #[test]
    fn skips_are_grouped_by_reason_and_only_optional_ones_are_forgiven() {
        let log = "SKIP it::a::b: skopeo: not installed\nSKIP it::c: skopeo: not installed\nSKIP it::d: docker-engine-rolling: away\n";
        let groups = grouped(log);
        assert_eq!(groups["skopeo: not installed"], ["it::a::b", "it::c"]);
        let directory = std::env::temp_dir().join(format!("xtask-skips-{}", std::process::id()));
        std::fs::write(&directory, log).expect("a file");
        assert_eq!(report_skips(&directory, true).expect("a report"), 2);
        assert_eq!(report_skips(&directory, false).expect("a report"), 0);
        std::fs::remove_file(&directory).expect("the file");
    }
}
