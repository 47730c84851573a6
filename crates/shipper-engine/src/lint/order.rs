//! Advice about the steps of a Dockerfile: what comes too early, and what could keep its downloads.

use shipper_dockerfile::Instruction;

use super::{Finding, Subject, percent, ratio};
use crate::history::Changed;

/// A program that installs dependencies: how it is called, the files that say what it installs, and where it keeps
/// downloads.
struct Installer {
    calls: &'static [&'static str],
    manifests: &'static [&'static str],
    mounts: &'static str,
}

const INSTALLERS: &[Installer] = &[
    Installer {
        calls: &["npm ci", "npm install"],
        manifests: &["package.json", "package-lock.json", "npm-shrinkwrap.json"],
        mounts: "--mount=type=cache,target=/root/.npm",
    },
    Installer {
        calls: &["yarn install", "pnpm install", "pnpm i"],
        manifests: &["package.json", "yarn.lock", "pnpm-lock.yaml", "pnpm-workspace.yaml"],
        mounts: "--mount=type=cache,target=/root/.cache",
    },
    Installer {
        calls: &["pip install", "pip3 install", "poetry install", "uv sync", "uv pip install", "pipenv install"],
        manifests: &[
            "requirements.txt",
            "pyproject.toml",
            "poetry.lock",
            "uv.lock",
            "Pipfile",
            "Pipfile.lock",
            "setup.py",
        ],
        mounts: "--mount=type=cache,target=/root/.cache",
    },
    Installer {
        calls: &["bundle install"],
        manifests: &["Gemfile", "Gemfile.lock"],
        mounts: "--mount=type=cache,target=/usr/local/bundle/cache",
    },
    Installer {
        calls: &["go mod download", "go build", "go install"],
        manifests: &["go.mod", "go.sum"],
        mounts: "--mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build",
    },
    Installer {
        calls: &["cargo build", "cargo install", "cargo fetch"],
        manifests: &["Cargo.toml", "Cargo.lock"],
        mounts: "--mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target",
    },
];

/// A file that changes this many times as often as another one comes too early before it.
const OFTEN: usize = 2;
/// Fewer changes than this are chance.
const FEWEST: usize = 3;

/// The installer that a `RUN` calls.
fn installer(instruction: &Instruction) -> Option<&'static Installer> {
    if instruction.keyword != "RUN" {
        return None;
    }
    let words = instruction.text.split_whitespace().collect::<Vec<_>>().join(" ");
    INSTALLERS.iter().find(|installer| installer.calls.iter().any(|call| words.contains(call)))
}

/// Whether everything is copied.
fn copies_all(instruction: &Instruction) -> bool {
    instruction.sources.iter().any(|source| matches!(source.trim_end_matches('/'), "." | "" | "*" | "./*"))
}

pub(super) fn findings(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, instruction) in subject.instructions.iter().enumerate() {
        let behind = subject.instructions[index + 1..].iter().filter(|later| later.stage == instruction.stage);
        if copies_all(instruction) {
            let install = behind.clone().find_map(|later| Some((later, installer(later)?)));
            if let Some((install, by)) = install {
                findings.push(copy_before_install(subject, instruction, install, by));
            }
        } else if !instruction.sources.is_empty() {
            findings.extend(changes_too_often(subject, instruction, &behind.collect::<Vec<_>>()));
        }
        if let Some(by) = installer(instruction)
            && !instruction.mounts.iter().any(|mount| mount.contains("type=cache"))
        {
            findings.push(no_cache_mount(subject, instruction, by));
        }
    }
    findings
}

/// `COPY . .` before dependencies are installed: any edit installs them anew.
fn copy_before_install(subject: &Subject<'_>, copy: &Instruction, install: &Instruction, by: &Installer) -> Finding {
    let says = |path: &Vec<u8>| {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        by.manifests.iter().any(|manifest| manifest.as_bytes() == name)
    };
    let commits = subject.history.len() as u64;
    let needless = subject.history.iter().filter(|changed| !changed.iter().any(says)).count() as u64;
    let mut message = format!("`{}` comes before line {}, which installs dependencies", copy.text, install.line);
    if commits > 0 {
        message.push_str(&format!(": {needless} of {commits} commits repeat it and change none"));
    }
    if let Some((took, share)) = subject.time(install) {
        message.push_str(&format!("; it took {}, {:.0} % of the build", shipper_report::duration(took), share * 100.0));
    }
    let manifests: Vec<&str> = by.manifests.iter().copied().take(2).collect();
    let hint = match by.manifests {
        ["Cargo.toml", ..] => {
            "build dependencies in a stage of their own with cargo-chef, or keep them with cache mounts".to_owned()
        }
        _ => format!("copy {} first, install, then copy the rest", manifests.join(" and ")),
    };
    let share = (commits > 0).then(|| ratio(needless, commits));
    Finding { message, hint, ..subject.finding("copy-before-install", Some(copy.line), share) }
}

/// A copied path that changes more often than one that is copied behind it, with work between.
fn changes_too_often(subject: &Subject<'_>, copy: &Instruction, behind: &[&Instruction]) -> Option<Finding> {
    let own = times(subject.history, copy);
    let later = behind.iter().filter(|later| !later.sources.is_empty() && !copies_all(later));
    let (rarely, count) = later.map(|later| (*later, times(subject.history, later))).min_by_key(|(_, count)| *count)?;
    let works = behind.iter().any(|later| later.keyword == "RUN" && later.line > rarely.line);
    if own < FEWEST || own < count.max(1) * OFTEN || !works {
        return None;
    }
    let commits = subject.history.len() as u64;
    let message = format!(
        "`{}` changes in {own} of {commits} commits and comes before `{}` of line {}, which changes in {count}",
        copy.text, rarely.text, rarely.line
    );
    let hint = format!(
        "move it behind the steps that do not need it: {} of commits would keep their layers",
        percent(own as u64, commits)
    );
    let share = Some(ratio(own as u64, commits));
    Some(Finding { message, hint, ..subject.finding("layer-order", Some(copy.line), share) })
}

/// How many commits changed what an instruction copies.
fn times(history: &[Changed], copy: &Instruction) -> usize {
    let touches = |path: &Vec<u8>| copy.sources.iter().any(|source| covers(source, path));
    history.iter().filter(|changed| changed.iter().any(touches)).count()
}

/// Whether a source that is written in a Dockerfile covers a path; of a pattern the part before its first special
/// character decides.
fn covers(source: &str, path: &[u8]) -> bool {
    let source = source.trim_start_matches("./").trim_matches('/');
    match source.find(['*', '?', '[', '$']) {
        Some(end) => path.starts_with(&source.as_bytes()[..end]),
        None => path.strip_prefix(source.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))),
    }
}

/// A step that downloads what it downloaded before.
fn no_cache_mount(subject: &Subject<'_>, run: &Instruction, by: &Installer) -> Finding {
    let measured = subject.time(run);
    let mut message = "it keeps nothing of what it downloads and compiles for its next run".to_owned();
    if let Some((took, share)) = measured {
        message.push_str(&format!(": it took {}, {:.0} % of the build", shipper_report::duration(took), share * 100.0));
    }
    let hint = format!("`RUN {} ..`", by.mounts);
    Finding { message, hint, ..subject.finding("no-cache-mount", Some(run.line), measured.map(|(_, share)| share)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_cover_paths_below_them() {
        for (source, path, expected) in [
            ("src", "src/a", true),
            ("./src/", "src/a", true),
            ("src", "srcs", false),
            ("package*.json", "package-lock.json", true),
            ("a.txt", "a.txt", true),
        ] {
            assert_eq!(covers(source, path.as_bytes()), expected, "{source} {path}");
        }
    }
}
