//! The checkout: git, the owner, how much of the history is there, whether files differ from the commit.

use std::path::Path;
use std::time::Duration;

use shipper_build::read_command;

use super::{Check, CheckVerdict};
use crate::{Project, gather, repository};

const SUBJECT: &str = "git";
/// How long `git --version` may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn checks(project: &Project) -> Vec<Check> {
    let mut checks = vec![program(project).await];
    let Some(top) = repository::top(&project.root) else {
        let message = "this is no git checkout: all files count, and names of commits and branches are not known";
        checks.push(Check::new(SUBJECT, "checkout", CheckVerdict::Note, message));
        return checks;
    };
    match repository::open(top) {
        Ok(repository) => {
            checks.push(Check::fine(SUBJECT, "checkout", format!("{} is readable", top.display())));
            checks.push(owner(top));
            checks.push(history(&repository));
            checks.push(changes(project));
        }
        Err(error) => {
            let message = format!("{} can not be read: {error}", top.join(".git").display());
            checks.push(Check::new(SUBJECT, "checkout", CheckVerdict::Broken, message));
        }
    }
    checks
}

/// shipper reads repositories by itself; hooks, builders and people use the program.
async fn program(project: &Project) -> Check {
    let check = |verdict, message: String| Check::new(SUBJECT, "git-program", verdict, message);
    let visible = gather::environment(&project.environment).for_commands();
    let argv = ["git", "--version"].map(str::to_owned);
    match read_command(&argv, Path::new("/"), &visible, PATIENCE, 4096).await {
        Ok(text) => check(CheckVerdict::Fine, format!("{} is on PATH", text.trim())),
        Err(failure) => check(CheckVerdict::Note, format!("`git` {}; shipper itself needs no git", failure.problem)),
    }
}

/// Whether git would take the repository for somebody else's (git-config(1), "safe.directory").
fn owner(top: &Path) -> Check {
    let check = |verdict, message: String| Check::new(SUBJECT, "owner", verdict, message);
    match gix::sec::Trust::from_path_ownership(top) {
        Ok(gix::sec::Trust::Full) => check(CheckVerdict::Fine, "the checkout belongs to this user".to_owned()),
        Ok(gix::sec::Trust::Reduced) => {
            let message = "the checkout belongs to another user: shipper reads it, `git` refuses to";
            check(CheckVerdict::Note, message.to_owned())
                .cured_by(format!("git config --global --add safe.directory {}", top.display()))
        }
        Err(error) => check(CheckVerdict::Unknown, format!("the owner can not be read: {error}")),
    }
}

/// How much of the history is there.
fn history(repository: &gix::Repository) -> Check {
    let check = |verdict, message: &str| Check::new(SUBJECT, "history", verdict, message);
    match repository.is_shallow() {
        Ok(false) => check(CheckVerdict::Fine, "the history is whole"),
        Ok(true) => {
            let message =
                "the clone is shallow: `audit`, `lint` and names that abbreviate commits see a part of the history";
            check(CheckVerdict::Note, message).cured_by("git fetch --unshallow".to_owned())
        }
        Err(error) => check(CheckVerdict::Unknown, &format!("how much of it is there can not be read: {error}")),
    }
}

/// Whether tracked files are those of the commit.
fn changes(project: &Project) -> Check {
    let check = |verdict, message: &str| Check::new(SUBJECT, "changes", verdict, message);
    match crate::is_dirty(project) {
        Some(false) => check(CheckVerdict::Fine, "tracked files are those of the commit"),
        Some(true) => {
            let message =
                "tracked files differ from the commit: images are built of them and get no name of the commit";
            check(CheckVerdict::Note, message)
        }
        None => check(CheckVerdict::Note, "there is no commit to compare tracked files with"),
    }
}
