//! The plan as people read it: a symbol, an action, a service, a reason, an estimate.

use std::fmt::Write as _;

use shipper_engine::{Action, BaseState, Head, LockedBase, PlannedService, units};

use super::{DIM, GOOD, escape_controls};

/// The whole plan with its totals. With `verbose`, every file and value behind each reason.
pub(crate) fn plan_table(services: &[PlannedService], head: &Head, saved_ms: u64, verbose: bool) -> String {
    let mut text = format!("Plan for {}{}\n", units::counted(services.len(), "service"), checked_out(head));
    let width = services.iter().map(|service| service.service.chars().count()).max().unwrap_or_default();
    for service in services {
        let (symbol, style) = match service.action {
            Action::Build => ('+', GOOD),
            Action::Retag => ('~', GOOD),
            Action::Reuse => ('=', DIM),
        };
        let reasons: Vec<String> = service.reasons.iter().map(ToString::to_string).collect();
        let platforms: Vec<&str> = match service.action {
            Action::Build if service.platforms.len() > 1 => {
                let due = service.platforms.iter().filter(|platform| platform.action == Action::Build);
                due.map(|platform| platform.platform.as_str()).collect()
            }
            _ => Vec::new(),
        };
        let platforms = if platforms.is_empty() { String::new() } else { format!(" [{}]", platforms.join(", ")) };
        let estimate = match service.estimate_ms {
            Some(ms) if service.action == Action::Build => format!("  ~{}", units::duration(ms)),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "  {style}{symbol} {:<6}{style:#} {:<width$}  {}{platforms}{DIM}{estimate}{DIM:#}",
            service.action,
            service.service,
            escape_controls(&reasons.join("; ")),
        );
        if verbose {
            let _ = writeln!(text, "           {DIM}key {}  {}{DIM:#}", service.tag, service.context);
            if !service.names.is_empty() {
                let _ = writeln!(text, "           {DIM}names {}{DIM:#}", service.names.join(", "));
            }
            for line in service.reasons.iter().flat_map(shipper_engine::Reason::details) {
                let _ = writeln!(text, "           {}", escape_controls(&line));
            }
        }
    }
    text.push_str(&totals(services, saved_ms));
    text
}

/// `2 to build, 1 unchanged; about 1m 02s, 40s saved by reuse.`
fn totals(services: &[PlannedService], saved_ms: u64) -> String {
    let with = |action| services.iter().filter(move |service| service.action == action);
    let mut counts = Vec::new();
    for (action, what) in [(Action::Build, "to build"), (Action::Retag, "to retag"), (Action::Reuse, "unchanged")] {
        let number = with(action).count();
        if number > 0 {
            counts.push(format!("{number} {what}"));
        }
    }
    let estimates: Vec<u64> = with(Action::Build).filter_map(|service| service.estimate_ms).collect();
    let mut text = if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") };
    if !estimates.is_empty() && estimates.len() == with(Action::Build).count() {
        let _ = write!(text, "; about {} of building", units::duration(estimates.iter().sum()));
    }
    if saved_ms > 0 {
        let _ = write!(text, "; {} saved by reuse", units::duration(saved_ms));
    }
    text.push_str(".\n");
    text
}

/// `, main@abc1234`, or nothing where nothing is checked out.
fn checked_out(head: &Head) -> String {
    let commit = head.commit.as_deref().map(|commit| commit.get(..7).unwrap_or(commit));
    match (head.branch.as_deref(), commit) {
        (Some(branch), Some(commit)) => format!(", {}@{commit}", escape_controls(branch)),
        (Some(branch), None) => format!(", {}", escape_controls(branch)),
        (None, Some(commit)) => format!(", commit {commit}"),
        (None, None) => String::new(),
    }
}

/// A locked base image that is no longer what its reference means: `nginx:1.29 (linux/amd64) moved from .. to ..`.
pub(crate) fn base_line(base: &LockedBase) -> String {
    let change = match &base.state {
        BaseState::Moved { digest } => format!("moved from {} to {digest}", base.locked),
        BaseState::Gone => format!("is gone from its registry, locked is {}", base.locked),
        _ => format!("is {}", base.locked),
    };
    escape_controls(&format!("{} ({}) {change}", base.reference, base.platform))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shipper_engine::{FileChange, PlannedPlatform, Reason};

    fn service(name: &str, action: Action, reason: Reason, estimate_ms: Option<u64>) -> PlannedService {
        PlannedService {
            service: name.to_owned(),
            action,
            key: "0".repeat(64),
            tag: format!("h-{}", "0".repeat(32)),
            context: "ctx1-00".to_owned(),
            platforms: vec![PlannedPlatform { platform: "linux/amd64".to_owned(), key: String::new(), action }],
            image: None,
            names: Vec::new(),
            reasons: vec![reason],
            needs: Vec::new(),
            estimate_ms,
            saved_ms: None,
        }
    }

    #[test]
    fn a_plan_reads_like_this() {
        let changed = |path: &str| FileChange { path: path.to_owned(), change: "content".to_owned(), from: None };
        let services = [
            service(
                "api",
                Action::Build,
                Reason::InputsChanged { files: vec![changed("api/src/main.rs")] },
                Some(62_000),
            ),
            service("worker", Action::Build, Reason::NeverBuilt, None),
            service("web", Action::Reuse, Reason::ImageExists, Some(0)),
        ];
        let head =
            Head { branch: Some("main".to_owned()), commit: Some("0123456789".to_owned()), default_branch: None };
        let plain = anstream::adapter::strip_str(&plan_table(&services, &head, 40_000, true)).to_string();
        insta::assert_snapshot!(plain, @r"
        Plan for 3 services, main@0123456
          + build  api     1 input changed: api/src/main.rs  ~1m 02s
                   key h-00000000000000000000000000000000  ctx1-00
                   content  api/src/main.rs
          + build  worker  never built
                   key h-00000000000000000000000000000000  ctx1-00
          = reuse  web     image exists
                   key h-00000000000000000000000000000000  ctx1-00
        2 to build, 1 unchanged; 40.0s saved by reuse.
        ");
    }
}
