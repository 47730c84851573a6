//! `shipper ecr-ready`.

use std::ffi::OsString;
use std::io::Write as _;

use serde_json::{Value, json};
use shipper_engine::{ExitCode, Readiness, ReadyOptions, Verdict};

use crate::cli::Global;
use crate::cli::aws::EcrReadyArgs;
use crate::commands::block_on;
use crate::failure::Failure;
use crate::github;
use crate::terminal::Terminal;

pub(crate) fn run(global: &Global, args: &EcrReadyArgs, terminal: &Terminal) -> Result<u8, Failure> {
    ended(&args.then, "--then", "--else")?;
    ended(&args.otherwise, "--else", "--then")?;
    let output = if args.github_output { Some(github_output()?) } else { None };
    let options = ReadyOptions {
        directory: global.directory.clone(),
        repository: args.repository.clone(),
        stack: args.stack.clone(),
        output: args.output.clone(),
        outputs_file: args.outputs_file.clone(),
        profile: args.profile.clone(),
        region: args.region.clone(),
        tag: args.tag.clone(),
        wait: args.wait,
        timeout: Some(args.timeout),
        offline: args.offline,
    };
    let found = block_on(shipper_engine::ready(&options))??;
    let chosen = match found.verdict {
        Verdict::Ready => args.then.as_slice(),
        Verdict::NotReady => args.otherwise.as_slice(),
        Verdict::Unknown => &[],
    };
    tell(global, &found, chosen, terminal)?;
    if let Some(file) = output {
        append(&file, &found)?;
    }
    match chosen.split_first() {
        Some((program, arguments)) => hand_over(global, program, arguments),
        None => Ok(found.verdict.exit_code().code()),
    }
}

/// Refuses a command that goes on with the other one: a `;` is missing, and neither would be what was meant.
fn ended(command: &[OsString], own: &str, other: &str) -> Result<(), Failure> {
    if !command.iter().any(|word| word == other) {
        return Ok(());
    }
    let problem = format!("the command of `{own}` does not end before `{other}`: write `\\;` after it");
    Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, problem).into())
}

fn tell(global: &Global, found: &Readiness, chosen: &[OsString], terminal: &Terminal) -> Result<(), Failure> {
    if global.json {
        writeln!(terminal.stdout(), "{}", document(found, chosen))?;
    } else if chosen.is_empty() {
        // Where a command follows, stdout is that command's.
        writeln!(terminal.stdout(), "{}", found.verdict.name())?;
    }
    for note in &found.notes {
        terminal.warning(note);
    }
    let repository = found.repository.as_deref().unwrap_or("no repository");
    match (found.verdict, &found.reason) {
        (Verdict::Unknown, reason) => {
            let cause = reason.clone().unwrap_or_default();
            terminal.error("cannot tell whether an image can be pushed", &[cause], found.hint.as_deref());
        }
        (Verdict::Ready, _) => terminal.status("Ready", &format!("{repository} ({})", found.source)),
        (Verdict::NotReady, reason) => {
            terminal.status("Not ready", &format!("{repository}: {}", reason.as_deref().unwrap_or_default()));
        }
    }
    Ok(())
}

fn document(found: &Readiness, chosen: &[OsString]) -> Value {
    let stack = found.stack_state.as_ref().map(|state| json!({"state": state, "class": found.stack_class}));
    let runs: Vec<_> = chosen.iter().map(|word| word.to_string_lossy()).collect();
    json!({
        "format": shipper_engine::FORMAT,
        "verdict": found.verdict.name(),
        "exit-code": found.verdict.exit_code().code(),
        "reason": found.reason,
        "code": found.code,
        "repository": found.repository,
        "source": found.source,
        "stack": stack,
        "notes": found.notes,
        "runs": if runs.is_empty() { Value::Null } else { json!(runs) },
    })
}

fn github_output() -> Result<std::path::PathBuf, Failure> {
    let file = std::env::var_os("GITHUB_OUTPUT").filter(|file| !file.is_empty());
    file.map(Into::into).ok_or_else(|| Failure {
        exit_code: ExitCode::Usage,
        chain: vec!["cannot write the output of the step: GITHUB_OUTPUT is not set".to_owned()],
        hint: Some("`--github-output` is for steps of GitHub Actions".to_owned()),
    })
}

/// Adds `verdict`, `ready` and `repository` to the outputs of a step. All are on one line by construction.
fn append(path: &std::path::Path, found: &Readiness) -> Result<(), Failure> {
    let verdict = found.verdict.name();
    let ready = found.verdict == Verdict::Ready;
    let repository = found.repository.as_deref().unwrap_or_default();
    let text = format!("verdict={verdict}\nready={ready}\nrepository={repository}\n");
    Ok(github::append(path, &text)?)
}

/// Runs a command in the place of this process, in the directory of `-C`.
fn hand_over(global: &Global, program: &OsString, arguments: &[OsString]) -> Result<u8, Failure> {
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir(&global.directory);
    let failed = |error: std::io::Error| Failure {
        exit_code: ExitCode::Usage,
        chain: vec![format!("cannot run `{}`", program.to_string_lossy()), error.to_string()],
        hint: None,
    };
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt as _;
        // Returns only where it failed; signals and the code are the command's own.
        Err(failed(command.exec()))
    }
    #[cfg(not(unix))]
    {
        let status = command.status().map_err(failed)?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }
}
