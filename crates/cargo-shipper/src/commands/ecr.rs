//! `shipper ecr`.

mod images;

use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use shipper_engine::{
    EnsureOptions, ExitCode, InUse, PolicySource, Project, RepositoryGoal, RetentionOptions, SimulatedImage,
};

use crate::cli::Global;
use crate::cli::aws::{
    ApplyArgs, DiffArgs, EcrAction, EcrArgs, EnsureArgs, GcAction, GcArgs, InUseArgs, LifecycleAction, RenderArgs,
    RetentionArgs, SimulateArgs,
};
use crate::commands::{block_on, options};
use crate::failure::Failure;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &EcrArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    match &args.action {
        EcrAction::Lifecycle(args) => match &args.action {
            LifecycleAction::Render(args) => render(global, args, terminal),
            LifecycleAction::Simulate(args) => simulate(global, args, terminal),
            LifecycleAction::Diff(args) => diff(global, args, terminal),
            LifecycleAction::Apply(args) => apply(global, args, terminal),
        },
        EcrAction::Images(args) => images::run(global, args, terminal),
        EcrAction::Ensure(args) => ensure(global, args, terminal),
        EcrAction::Gc(args) => gc(global, args, terminal),
    }
}

/// The policy in a file, or the one that the tag policy of the project asks for.
fn policy(global: &Global, file: Option<&Path>) -> Result<PolicySource, Failure> {
    match file {
        Some(file) => Ok(PolicySource::File(global.directory.join(file))),
        None => Ok(PolicySource::Derived(shipper_engine::derive_lifecycle(&Project::open(&options(global))?)?.0)),
    }
}

fn render(global: &Global, args: &RenderArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let (text, lints) = shipper_engine::render_lifecycle(&policy(global, args.policy.as_deref())?)?;
    for lint in &lints {
        terminal.warning(lint);
    }
    writeln!(terminal.stdout(), "{text}")?;
    Ok(ExitCode::Done)
}

fn simulate(global: &Global, args: &SimulateArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let policy = policy(global, args.policy.as_deref())?;
    let images = global.directory.join(&args.images);
    let report = shipper_engine::simulate_lifecycle(&policy, &images, args.now.as_deref(), args.explain)?;
    for lint in &report.lints {
        terminal.warning(lint);
    }
    let mut out = std::io::BufWriter::new(terminal.stdout());
    if global.json {
        serde_json::to_writer(&mut out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let lists = [
            ("expire", &report.expire),
            ("archive", &report.archive),
            ("uncertain", &report.uncertain),
            ("keep", &report.keep),
        ];
        for (fate, images) in lists {
            for image in images {
                writeln!(out, "{}", line(fate, image))?;
            }
        }
    }
    out.flush()?;
    let counted = format!(
        "{} expire, {} uncertain, {} keep",
        report.expire.len(),
        report.uncertain.len(),
        report.keep.len() + report.archive.len()
    );
    terminal.status("Simulated", &counted);
    Ok(ExitCode::Done)
}

/// `expire     rule 3  sha256:..  pr-1 pr-2: why`.
fn line(fate: &str, image: &SimulatedImage) -> String {
    let rule = image.rule.map_or_else(String::new, |rule| format!("rule {rule}"));
    let tags = if image.tags.is_empty() { "(untagged)".to_owned() } else { image.tags.join(" ") };
    let why = image.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    format!("{fate:<9}  {rule:<7}  {}  {tags}{why}", image.digest)
}

fn diff(global: &Global, args: &DiffArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let (changes, spelled_differently) = match (&args.policy, &args.after) {
        (Some(before), Some(after)) => {
            let diff = shipper_engine::diff_lifecycle(&global.directory.join(before), &global.directory.join(after))?;
            (diff.changes, diff.spelled_differently)
        }
        (file, _) => {
            let policy = policy(global, file.as_deref())?;
            let repository = args.repository.as_deref().unwrap_or_default();
            let project = shipper_engine::InUse::of(&options(global))?.project;
            let changes = shipper_engine::diff_remote_lifecycle(&policy, repository, project.as_ref());
            (block_on(changes)??, false)
        }
    };
    let mut out = terminal.stdout();
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "changes": changes,
            "spelled-differently": spelled_differently,
        });
        writeln!(out, "{document}")?;
    } else {
        for change in &changes {
            writeln!(out, "{change}")?;
        }
        if changes.is_empty() {
            let note = if spelled_differently { "the same rules, spelled differently" } else { "the same rules" };
            terminal.status("Compared", note);
        }
    }
    Ok(if changes.is_empty() { ExitCode::Done } else { ExitCode::No })
}

fn in_use(global: &Global, args: &InUseArgs) -> Result<InUse, Failure> {
    Ok(InUse {
        references: args.in_use.clone(),
        file: args.in_use_file.clone(),
        tags: args.in_use_tag.clone(),
        ..InUse::of(&options(global))?
    })
}

fn warn_of_unknown(terminal: &Terminal, unknown: &[String]) {
    for reference in unknown {
        terminal.warning(&format!("{reference} is said to be in use, and the repository has no such image"));
    }
}

fn retention(global: &Global, args: &RetentionArgs) -> Result<RetentionOptions, Failure> {
    Ok(RetentionOptions {
        directory: global.directory.clone(),
        repository: args.repository.clone(),
        policy: policy(global, args.policy.as_deref())?,
        in_use: in_use(global, &args.in_use)?,
        now: args.now.clone(),
        verify_remote: false,
        dry_run: false,
    })
}

fn apply(global: &Global, args: &ApplyArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let options = RetentionOptions {
        verify_remote: args.verify_remote,
        dry_run: args.dry_run,
        ..retention(global, &args.retention)?
    };
    let applied = block_on(shipper_engine::apply_lifecycle(&options))??;
    warn_of_unknown(terminal, &applied.unknown);
    let mut out = terminal.stdout();
    if global.json {
        let document = json!({
            "format": shipper_engine::FORMAT,
            "changes": applied.changes,
            "written": applied.written,
            "expire": applied.expire,
            "uncertain": applied.uncertain,
            "in-use": applied.in_use,
        });
        writeln!(out, "{document}")?;
    } else {
        for change in &applied.changes {
            writeln!(out, "{change}")?;
        }
    }
    let verb = match (applied.changes.is_empty(), applied.written) {
        (true, _) => "Unchanged",
        (false, true) => "Applied",
        (false, false) => "Planned",
    };
    let found = format!("{} expire, {} uncertain, {} in use", applied.expire, applied.uncertain, applied.in_use);
    terminal.status(verb, &found);
    Ok(if applied.changes.is_empty() || applied.written { ExitCode::Done } else { ExitCode::No })
}

fn ensure(global: &Global, args: &EnsureArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    let mut project = options(global);
    project.overrides.registry.clone_from(&args.registry);
    let project = Project::open(&project)?;
    let mut locks = (!args.lock.is_empty()).then(|| args.lock.clone());
    if args.lock_tags {
        let (_, derived) = shipper_engine::derive_lifecycle(&project)?;
        if !derived.detected_only.is_empty() {
            let globs = derived.detected_only.join("`, `");
            terminal.warning(&format!("ECR can not be told to lock `{globs}`: a move of such a tag is only detected"));
        }
        locks = Some(derived.filters);
    }
    let goal = RepositoryGoal {
        locks,
        scan_on_push: args.scan_on_push.then_some(true),
        kms_key: args.kms_key.clone(),
        tags: args.tags.iter().cloned().collect(),
        lambda_pull: args.lambda_pull,
    };
    let wanted = EnsureOptions {
        repositories: args.repositories.clone(),
        goal,
        template: args.template.clone(),
        dry_run: args.dry_run,
    };
    let ensured = block_on(shipper_engine::ensure(&project, &wanted))??;
    let mut out = terminal.stdout();
    if global.json {
        let repositories: Vec<_> = ensured
            .iter()
            .map(|one| {
                json!({"repository": one.repository, "changes": one.changes, "owner": one.owner, "changed": one.changed})
            })
            .collect();
        writeln!(out, "{}", json!({"format": shipper_engine::FORMAT, "repositories": repositories}))?;
    }
    for one in &ensured {
        if !global.json {
            for change in &one.changes {
                writeln!(out, "{}: {change}", one.repository)?;
            }
        }
        match &one.owner {
            Some(owner) if !one.changes.is_empty() => terminal.warning(&format!(
                "`{}` belongs to the stack {owner}, which would undo a change; change it there",
                one.repository
            )),
            _ if one.changed => terminal.status("Changed", &one.repository),
            _ if one.changes.is_empty() => terminal.status("Unchanged", &one.repository),
            _ => terminal.status("Planned", &one.repository),
        }
    }
    let is_due = ensured.iter().any(|one| !one.changes.is_empty() && !one.changed);
    Ok(if is_due { ExitCode::No } else { ExitCode::Done })
}

fn gc(global: &Global, args: &GcArgs, terminal: &Terminal) -> Result<ExitCode, Failure> {
    match &args.action {
        GcAction::Plan(args) => {
            let (plan, unknown) = block_on(shipper_engine::plan_gc(&retention(global, &args.retention)?))??;
            warn_of_unknown(terminal, &unknown);
            let text = serde_json::to_string_pretty(&plan).map_err(std::io::Error::from)?;
            match &args.out {
                Some(path) => {
                    shipper_engine::write_file(&global.directory.join(path), format!("{text}\n").as_bytes())?;
                }
                None => writeln!(terminal.stdout(), "{text}")?,
            }
            terminal.status("Planned", &format!("{} to delete, {} stay", plan.delete.len(), plan.keep));
            Ok(ExitCode::Done)
        }
        GcAction::Apply(args) => {
            let used = in_use(global, &args.in_use)?;
            let collected = block_on(shipper_engine::apply_gc(&global.directory, &args.plan, &used))??;
            warn_of_unknown(terminal, &collected.unknown);
            let mut out = terminal.stdout();
            if global.json {
                let document = json!({
                    "format": shipper_engine::FORMAT,
                    "deleted": collected.deleted,
                    "kept": collected.kept,
                });
                writeln!(out, "{document}")?;
            } else {
                for digest in &collected.deleted {
                    writeln!(out, "{digest}")?;
                }
            }
            for (digest, reason) in &collected.kept {
                terminal.warning(&format!("ECR kept {digest}: {reason}"));
            }
            terminal.status("Deleted", &format!("{} images", collected.deleted.len()));
            Ok(if collected.kept.is_empty() { ExitCode::Done } else { ExitCode::No })
        }
    }
}
