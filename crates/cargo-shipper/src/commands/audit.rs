//! `shipper audit`.

use std::fmt::Write as _;
use std::io::Write as _;

use shipper_engine::{Audit, AuditOptions, AuditedCommit, AuditedService, ExitCode, Project, units};

use crate::cli::{AuditArgs, Global};
use crate::commands::{Document, block_on, options};
use crate::failure::Failure;
use crate::terminal::{Terminal, aligned, escape_controls};

pub(crate) fn run(global: &Global, args: &AuditArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let project = Project::open(&options(global))?;
    let wanted = AuditOptions {
        services: args.services.clone(),
        revision: args.at.clone(),
        commits: args.commits.try_into().unwrap_or(usize::MAX),
    };
    let audit = block_on(shipper_engine::audit(&project, &wanted))??;
    for problem in problems(&audit) {
        terminal.warning(&problem);
    }
    if audit.is_cut {
        let commits = units::counted(audit.commits.len(), "commit");
        terminal.warning(&format!("the clone is shallow and has {commits} of the {} asked for", args.commits));
    }
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        writeln!(out, "{}", Document::line(&audit)?)?;
    } else {
        if args.list {
            write!(out, "{}", list(&audit))?;
        }
        write!(out, "{}", table(&audit))?;
    }
    out.flush()?;
    Ok(ExitCode::Done)
}

fn short(commit: &AuditedCommit) -> &str {
    commit.commit.get(..7).unwrap_or(&commit.commit)
}

/// What is not counted, and why: what is wrong at several commits is told once, with the newest.
fn problems(audit: &Audit) -> Vec<String> {
    let mut problems: Vec<(String, &AuditedCommit, usize)> = Vec::new();
    let mut add = |text: String, commit| match problems.iter_mut().find(|(known, ..)| *known == text) {
        Some((.., count)) => *count += 1,
        None => problems.push((text, commit, 1)),
    };
    for commit in &audit.commits {
        if let Some(problem) = &commit.problem {
            add(format!("is left out: {problem}"), commit);
        }
        for (service, problem) in &commit.left_out {
            add(format!("is left out of {service}: {problem}"), commit);
        }
    }
    let text = |(text, commit, count): &(String, &AuditedCommit, usize)| match count {
        1 => format!("{} {text}", short(commit)),
        count => format!("{} (and {}) {text}", short(commit), units::counted(count - 1, "earlier commit")),
    };
    problems.iter().map(text).collect()
}

/// The commits that build something, newest first, with the reasons.
fn list(audit: &Audit) -> String {
    let mut text = String::new();
    for commit in audit.commits.iter().filter(|commit| !commit.builds.is_empty() || !commit.needless.is_empty()) {
        let _ = writeln!(text, "{} {}", short(commit), escape_controls(&commit.subject));
        let names = commit.builds.iter().map(|build| &build.service).chain(&commit.needless);
        let width = names.map(|name| name.chars().count()).max().unwrap_or_default();
        for build in &commit.builds {
            let reasons: Vec<String> = build.reasons.iter().map(ToString::to_string).collect();
            let missed = if build.filtered { "" } else { "  (missed by the path filter)" };
            let reasons = escape_controls(&reasons.join("; "));
            let _ = writeln!(text, "  + {:<width$}  {reasons}{missed}", build.service);
        }
        for service in &commit.needless {
            let _ = writeln!(text, "  = {service:<width$}  needless by the path filter");
        }
    }
    text
}

/// A heading, and the number below it.
type Column = (&'static str, fn(&AuditedService) -> usize);

/// The columns, and what of a service they hold.
const COLUMNS: [Column; 5] = [
    ("everything", |service| service.commits),
    ("path filter", |service| service.filtered),
    ("needless", |service| service.needless),
    ("missed", |service| service.missed),
    ("shipper", |service| service.builds),
];

/// Builds by rule and service, and what they take where that is known of every service.
fn table(audit: &Audit) -> String {
    let planned: Vec<&AuditedCommit> = audit.commits.iter().filter(|commit| commit.counts()).collect();
    let mut text = format!("Builds of {}", units::counted(planned.len(), "commit"));
    if let (Some(oldest), Some(newest)) = (planned.last(), planned.first()) {
        let _ = write!(text, ", {} to {}", short(oldest), short(newest));
    }
    text.push('\n');
    let row = |name: &str, cells: [String; 5]| std::iter::once(name.to_owned()).chain(cells).collect();
    let mut rows: Vec<Vec<String>> = vec![row("", COLUMNS.map(|(title, _)| title.to_owned()))];
    for service in &audit.services {
        rows.push(row(&service.service, COLUMNS.map(|(_, count)| count(service).to_string())));
    }
    rows.push(row("total", COLUMNS.map(|(_, count)| audit.services.iter().map(count).sum::<usize>().to_string())));
    rows.extend(times(audit).map(|times| row("time", times.map(units::duration))));
    text + &aligned(&rows)
}

/// What the builds of each column take, in milliseconds, by the median of each service's builds on this machine.
fn times(audit: &Audit) -> Option<[u64; 5]> {
    let mut times = [0_u64; 5];
    for service in &audit.services {
        for (time, (_, count)) in times.iter_mut().zip(COLUMNS) {
            *time = time.saturating_add(service.build_ms?.saturating_mul(count(service) as u64));
        }
    }
    (!audit.services.is_empty()).then_some(times)
}
