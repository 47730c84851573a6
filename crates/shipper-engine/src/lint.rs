//! `lint`: advice about Dockerfiles, each with its measured share of the context, of the commits or of the build's time.
//!
//! Nothing is started and no registry is asked. Shares of time come from the records of earlier runs, shares of commits
//! from the checkout's history; without either the advice stands without a figure.

mod order;

use std::collections::BTreeMap;

use serde::Serialize;
use shipper_dockerfile::Instruction;
use shipper_hash::Tree;
use shipper_plan::{DockerfileRecipe, Recipe, Service};

use crate::gather::selection;
use crate::history::{Changed, changes};
use crate::narrowed::{self, Narrowed};
use crate::{Error, Project, measured, record, write_file};

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The service.
    pub service: String,
    /// What kind it is: `copy-before-install`, `layer-order`, `no-cache-mount`, `large-context`, `no-dockerignore` or
    /// `weak-dockerignore`.
    pub code: &'static str,
    /// The line of the Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is found, with its figures.
    pub message: String,
    /// What part it is of what it is measured by, between 0 and 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// What can be done.
    pub hint: String,
}

/// A context of this size and more is worth a look, in bytes.
const LARGE: u64 = 10 << 20;
/// How many commits are looked at.
const COMMITS: usize = 100;
/// How many of the largest parts of a context are named.
const PARTS: usize = 3;

/// Everything that is known about one service.
struct Subject<'a> {
    service: &'a Service,
    instructions: Vec<Instruction>,
    narrowed: &'a Narrowed,
    history: &'a [Changed],
    /// How long each instruction took when it was last run, in milliseconds.
    took: BTreeMap<String, u64>,
}

/// Looks at the Dockerfiles of services, all where none is named; sorted by service, then as found.
///
/// # Errors
/// What makes a context or a Dockerfile unusable.
pub fn lint(project: &Project, services: &[String]) -> Result<Vec<Finding>, Error> {
    let tree = project.tree()?;
    let history = changes(&project.root, COMMITS);
    let mut findings = Vec::new();
    for name in selection(project, services)? {
        let service = &project.services[&name];
        let Recipe::Dockerfile(recipe) = &service.recipe else { continue };
        let narrowed = narrowed::of_service(&tree, service, recipe, &service.platforms[0])?;
        let history = in_context(&history, recipe);
        let subject = Subject {
            service,
            instructions: measured::instructions(&narrowed.bytes),
            narrowed: &narrowed,
            history: &history,
            took: record::step_times(&project.directories.local, &name),
        };
        findings.extend(order::findings(&subject));
        findings.extend(large_context(&subject));
        if recipe.closure.is_none() {
            findings.extend(ignore_rules(&tree, &subject, recipe)?);
        }
    }
    findings.sort_by(|a, b| a.service.cmp(&b.service));
    Ok(findings)
}

/// Appends to the ignore files of services what keeps a builder from being sent more than the context has. Gives the files
/// that were written, relative to the project.
///
/// # Errors
/// As [`lint`]; [`Error::Write`].
pub fn write_ignore_rules(project: &Project, services: &[String]) -> Result<Vec<String>, Error> {
    let mut written = Vec::new();
    for name in selection(project, services)? {
        let service = &project.services[&name];
        let Recipe::Dockerfile(recipe) = &service.recipe else { continue };
        if recipe.closure.is_some() {
            continue;
        }
        // Looked at anew for each: two services may share a file.
        let tree = project.tree()?;
        let narrowed = narrowed::of_service(&tree, service, recipe, &service.platforms[0])?;
        let leaks = narrowed.leaks(&tree).map_err(|source| Error::Context { service: name.clone(), source })?;
        if leaks.lines.is_empty() {
            continue;
        }
        let (path, mut text) = rules(&tree, recipe)?;
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(b"# What no image is made of.\n");
        for line in &leaks.lines {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        write_file(&project.root.join(&path), &text)?;
        written.push(path);
    }
    Ok(written)
}

/// The ignore file that counts, and its text; the one to create where there is none.
fn rules(tree: &Tree, recipe: &DockerfileRecipe) -> Result<(String, Vec<u8>), Error> {
    let [own, shared] = narrowed::candidates(recipe);
    for path in [own, shared.clone()] {
        match crate::read::of_tree(tree, &path) {
            Ok(text) if !text.is_empty() => return Ok((path, text)),
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Read { path: tree.root().join(&path), source });
            }
            _ => {}
        }
    }
    Ok((shared, Vec::new()))
}

/// Commits by what they changed in the context, relative to it; those that changed nothing there are left out.
fn in_context(history: &[Changed], recipe: &DockerfileRecipe) -> Vec<Changed> {
    let inside = |path: &Vec<u8>| match recipe.context.as_str() {
        "." => Some(path.clone()),
        context => path.strip_prefix(context.as_bytes())?.strip_prefix(b"/").map(<[u8]>::to_vec),
    };
    let commits = history.iter().map(|changed| changed.iter().filter_map(inside).collect::<Changed>());
    commits.filter(|changed| !changed.is_empty()).collect()
}

impl Subject<'_> {
    fn finding(&self, code: &'static str, line: Option<usize>, share: Option<f64>) -> Finding {
        let service = self.service.name.clone();
        Finding { service, code, line, share, message: String::new(), hint: String::new() }
    }

    /// How long an instruction took, and its share of all steps together.
    fn time(&self, instruction: &Instruction) -> Option<(u64, f64)> {
        let took = self.took.iter().find(|(text, _)| instruction.is_printed_as(text)).map(|(_, took)| *took)?;
        let all: u64 = self.took.values().sum();
        (all > 0).then(|| (took, ratio(took, all)))
    }
}

/// A part as a number between 0 and 1; precise enough for people.
#[expect(clippy::cast_precision_loss, reason = "a share is shown in whole percent")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `83 %`.
fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", ratio(part, whole) * 100.0)
}

fn large_context(subject: &Subject<'_>) -> Option<Finding> {
    let manifest = subject.narrowed.context.manifest();
    let all = manifest.bytes();
    if all < LARGE {
        return None;
    }
    let mut parts: BTreeMap<&[u8], u64> = BTreeMap::new();
    for entry in manifest.entries() {
        let path = entry.path.as_bytes();
        let first = path.split(|byte| *byte == b'/').next().unwrap_or(path);
        *parts.entry(first).or_default() += entry.size;
    }
    let mut parts: Vec<(u64, &[u8])> = parts.into_iter().map(|(name, size)| (size, name)).collect();
    parts.sort_by(|a, b| b.cmp(a));
    let named: Vec<String> = parts
        .iter()
        .take(PARTS)
        .map(|(size, name)| format!("{} {}", String::from_utf8_lossy(name), percent(*size, all)))
        .collect();
    let share = parts.first().map(|(size, _)| ratio(*size, all));
    Some(Finding {
        message: format!("the context has {}: {}", shipper_report::bytes(all), named.join(", ")),
        hint: "copy only what is needed, or exclude parts in `.dockerignore`".to_owned(),
        ..subject.finding("large-context", None, share)
    })
}

fn ignore_rules(tree: &Tree, subject: &Subject<'_>, recipe: &DockerfileRecipe) -> Result<Option<Finding>, Error> {
    let failed = |source| Error::Context { service: subject.service.name.clone(), source };
    let leaks = subject.narrowed.leaks(tree).map_err(failed)?;
    if leaks.lines.is_empty() {
        return Ok(None);
    }
    let (path, text) = rules(tree, recipe)?;
    let (surplus, context) = (leaks.bytes(), subject.narrowed.context.manifest().bytes());
    let (code, what) = if text.is_empty() {
        ("no-dockerignore", format!("there is no {path}"))
    } else {
        ("weak-dockerignore", format!("{path} lets pass what no image is made of"))
    };
    let share = percent(surplus, surplus + context);
    let surplus_text = shipper_report::bytes(surplus);
    let sent =
        format!("a builder that is given the directory would be sent {surplus_text} for nothing, {share} of all");
    Ok(Some(Finding {
        message: format!("{what}: {sent}"),
        hint: format!("`shipper lint --write` appends {} lines: {}", leaks.lines.len(), first(&leaks.lines)),
        ..subject.finding(code, None, Some(ratio(surplus, surplus + context)))
    }))
}

/// The first lines, as a list.
fn first(lines: &[String]) -> String {
    let named = lines.iter().take(PARTS).cloned().collect::<Vec<_>>().join(", ");
    if lines.len() > PARTS { format!("{named}, ..") } else { named }
}
