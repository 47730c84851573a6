//! `cargo xtask threat-coverage`: every row of `docs/threat-model.md` names tests, and the tests exist.
//!
//! Invariant: the ids are those of [`IDS`], each exactly once, as a row or in the list of what is not covered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::process::say;

/// Letter of a group of threats and how many there are.
const IDS: &[(&str, usize)] = &[("R", 12), ("N", 15), ("C", 8), ("E", 8)];
/// Below this heading stand the ids that no test covers.
const OPEN: &str = "## Not covered yet";

/// Fails where the document and the tests do not fit together.
pub(crate) fn check() -> anyhow::Result<()> {
    let root = crate::root();
    let text =
        std::fs::read_to_string(root.join("docs/threat-model.md")).context("cannot read docs/threat-model.md")?;
    let mut tests = BTreeSet::new();
    for directory in ["crates", "tests", "xtask"] {
        collect_tests(&root.join(directory), &mut tests)?;
    }
    let (rows, open) = rows(&text);
    let problems = problems(&rows, &open, &tests);
    if !problems.is_empty() {
        bail!("docs/threat-model.md:\n  {}", problems.join("\n  "));
    }
    say(&format!("{} threats have tests, {} are not covered: {}", rows.len(), open.len(), open.join(" ")));
    Ok(())
}

/// The table rows as id -> tests, and the ids of the list below [`OPEN`], in their order.
fn rows(text: &str) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let (covered, open) = text.split_once(OPEN).unwrap_or((text, ""));
    let mut rows = BTreeMap::new();
    for line in covered.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, .., tests] = cells.as_slice() else { continue };
        if *id == "id" {
            continue;
        }
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        rows.insert((*id).to_owned(), tests);
    }
    let open = open.lines().filter_map(|line| line.strip_prefix("- ")?.split(' ').next()).map(str::to_owned).collect();
    (rows, open)
}

fn problems(rows: &BTreeMap<String, Vec<String>>, open: &[String], tests: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let ids: BTreeSet<String> =
        IDS.iter().flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number}"))).collect();
    for id in &ids {
        match (rows.contains_key(id), open.contains(id)) {
            (false, false) => problems.push(format!("{id} is missing")),
            (true, true) => problems.push(format!("{id} is covered and listed as not covered")),
            _ => {}
        }
    }
    problems.extend(rows.keys().chain(open).filter(|id| !ids.contains(*id)).map(|id| format!("{id} is no known id")));
    for (id, named) in rows {
        if named.is_empty() {
            problems.push(format!("{id} names no test"));
        }
        let gone = named.iter().filter(|test| !tests.contains(*test));
        problems.extend(gone.map(|test| format!("{id} names `{test}`, which does not exist")));
    }
    problems
}

/// Names of the functions behind `#[test]` and `#[tokio::test]` (and inside `proptest!`, where `#[test]` stands too).
fn collect_tests(directory: &Path, tests: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            collect_tests(&path, tests)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            tests.extend(test_names(&text));
        }
    }
    Ok(())
}

fn test_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            names.extend(rest.split(['(', '<']).next().map(str::to_owned));
            marked = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_by_their_mark() {
        let text =
            "#[test]\nfn one() {}\nfn other() {}\n#[tokio::test(flavor = \"x\")]\n#[cfg(unix)]\nasync fn two() {}";
        assert_eq!(test_names(text), ["one", "two"]);
    }

    #[test]
    fn a_row_without_a_test_and_an_id_without_a_row_are_problems() {
        let (rows, open) = rows(
            "| id | x | tests |\n|---|---|---|\n| R1 | y | `a`, `b` |\n| R2 | z | |\n## Not covered yet\n- R3 w\n",
        );
        assert_eq!(rows["R1"], ["a", "b"]);
        assert_eq!(open, ["R3"]);
        let problems = problems(&rows, &open, &BTreeSet::from(["a".to_owned()]));
        for expected in ["R1 names `b`, which does not exist", "R2 names no test", "E8 is missing"] {
            assert!(problems.iter().any(|problem| problem == expected), "{expected}: {problems:?}");
        }
        assert!(!problems.iter().any(|problem| problem.starts_with("R3")), "{problems:?}");
    }
}
