//! The book: every command of the quick start and the guides is run as it is printed, every page is in the summary, and every link
//! leads somewhere.
//!
//! In a block `console` a line after `$ ` is run, in one shell for each page; what follows is what it prints, in which `..` stands
//! for anything, alone on a line for any lines; `# N:` behind a command is the code that it returns. `<!-- file: NAME -->`
//! above a block writes it to a file, `<!-- not run: WHY -->` leaves it out.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Project;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").canonicalize().expect("the book")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A step of a page.
#[derive(Debug)]
enum Step {
    File { name: String, text: String },
    Run { command: String, code: i32, printed: Vec<String> },
}

/// The steps of a page, and how many blocks are left out.
fn steps(page: &str) -> (Vec<Step>, usize) {
    let (mut steps, mut left_out, mut above) = (Vec::new(), 0, String::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            if !line.trim().is_empty() {
                line.clone_into(&mut above);
            }
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let note = |kind: &str| Some(above.strip_prefix("<!-- ")?.strip_suffix(" -->")?.strip_prefix(kind)?.to_owned());
        if let Some(name) = note("file: ") {
            steps.push(Step::File { name, text: block.join("\n") + "\n" });
        } else if language == "console" {
            match note("not run: ") {
                Some(_) => left_out += 1,
                None => steps.extend(commands(&block)),
            }
        }
        above.clear();
    }
    (steps, left_out)
}

fn commands(block: &[&str]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(text), _) => {
                let (command, note) = text.split_once("   # ").unwrap_or((text, ""));
                let code = note.split(':').next().and_then(|code| code.trim().parse().ok()).unwrap_or(0);
                steps.push(Step::Run { command: command.trim_end().to_owned(), code, printed: Vec::new() });
            }
            (None, Some(Step::Run { printed, .. })) => printed.push((*line).to_owned()),
            (None, _) => panic!("a block begins with what is printed: {line}"),
        }
    }
    steps
}

/// Whether a line is as it is shown, where `..` stands for any text.
fn fits(shown: &str, line: &str) -> bool {
    match shown.split_once("..") {
        None => shown == line,
        Some((start, rest)) => line.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices().map(|(at, _)| at).chain([tail.len()]).any(|at| fits(rest, &tail[at..]))
        }),
    }
}

/// Whether lines are as they are shown, where a line `..` stands for any lines.
fn all_fit(shown: &[String], lines: &[&str]) -> bool {
    match shown.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == ".." => (0..=lines.len()).any(|at| all_fit(rest, &lines[at..])),
        Some((first, rest)) => lines.first().is_some_and(|line| fits(first, line)) && all_fit(rest, &lines[1..]),
    }
}

/// Stands between what two commands print.
const BETWEEN: char = '\u{1e}';

/// Runs a page as it is printed; gives how many commands that were, and how many blocks are left out.
#[track_caller]
fn run(page: &Path) -> (usize, usize) {
    let (steps, left_out) = steps(&read(page));
    let project = Project::new("");
    let directory = tempfile::tempdir().expect("a directory");
    let (bin, place) = (directory.path().join("bin"), directory.path().join("shop"));
    for new in [&bin, &place] {
        std::fs::create_dir_all(new).expect("creates");
    }
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_shipper"), bin.join("shipper")).expect("links");
    // What deploys is not installed here: what it is given is what counts.
    for tool in ["npx", "pulumi"] {
        std::fs::write(bin.join(tool), format!("#!/bin/sh\necho {tool} \"$@\"\n")).expect("writes");
        std::fs::set_permissions(bin.join(tool), Permissions::from_mode(0o755)).expect("is ours");
    }
    let mut script = String::from("exec 2>&1\n");
    let mut runs = Vec::new();
    for step in &steps {
        match step {
            Step::File { name, text } => {
                script +=
                    &format!("mkdir -p \"$(dirname '{name}')\"\ncat > '{name}' <<'END-OF-FILE'\n{text}END-OF-FILE\n");
            }
            Step::Run { command, code, printed } => {
                script += &format!("{command}\nprintf '\\036%s\\036' \"$?\"\n");
                runs.push((command, *code, printed));
            }
        }
    }
    // The variables of any command of a project, in another directory.
    let plain = project.command(["plan"]);
    let mut shell = Command::new("bash");
    shell.args(["--noprofile", "--norc", "-c", &script]).current_dir(&place);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let path = std::env::var_os("PATH").expect("a path");
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).expect("plain names");
    let output = shell.env("PATH", path).output().expect("bash starts");
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let told: Vec<&str> = all.split(BETWEEN).collect();
    for (at, (command, code, shown)) in runs.iter().enumerate() {
        let printed = told.get(2 * at).copied().unwrap_or_default();
        let found = told.get(2 * at + 1).copied().unwrap_or("nothing");
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(found, code.to_string(), "{}: {command}\n{printed}", page.display());
        assert!(
            all_fit(shown, &lines),
            "{}: {command} prints\n{printed}\nand not\n{}",
            page.display(),
            shown.join("\n")
        );
    }
    (runs.len(), left_out)
}

#[test]
fn the_quick_start_does_what_it_says() {
    let (commands, left_out) = run(&docs().join("quick-start.md"));
    assert!(commands > 10 && left_out == 0, "{commands} {left_out}");
}

#[test]
fn every_guide_does_what_it_says() {
    let mut all_left_out = 0;
    for guide in ["hash-scripts", "cdk-ecr", "sst", "pulumi-lambda", "github-matrix"] {
        let (commands, left_out) = run(&docs().join("guides").join(format!("{guide}.md")));
        assert!(commands > 2, "{guide}");
        all_left_out += left_out;
    }
    assert_eq!(all_left_out, 1, "the one that asks AWS");
}

/// All pages below a directory, relative to it.
fn pages(below: &Path) -> BTreeSet<PathBuf> {
    let (mut pages, mut open) = (BTreeSet::new(), vec![below.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path if path.extension().is_some_and(|extension| extension == "md") => {
                    pages.insert(path.strip_prefix(below).expect("below").to_owned());
                }
                _ => {}
            }
        }
    }
    pages
}

/// The targets of links, without those of code.
fn links(page: &str) -> Vec<String> {
    let (mut links, mut is_code) = (Vec::new(), false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        // What is between backticks is text.
        let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
        if is_code {
            continue;
        }
        links.extend(text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned));
    }
    links
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    plain
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let docs = docs();
    let mut all = pages(&docs);
    all.remove(Path::new("SUMMARY.md"));
    let listed: BTreeSet<PathBuf> = links(&read(&docs.join("SUMMARY.md"))).into_iter().map(PathBuf::from).collect();
    assert_eq!(all, listed);
    let readme = docs.join("../README.md");
    for page in all.iter().map(|page| docs.join(page)).chain([readme]) {
        for link in links(&read(&page)) {
            if link.starts_with("https://") || link.starts_with("http://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().expect("a directory").join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !fragment.is_empty() && target.extension().is_some_and(|extension| extension == "md") {
                let text = read(&target);
                let has = text.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == fragment);
                assert!(has, "{}: {link}", page.display());
            }
        }
    }
}
