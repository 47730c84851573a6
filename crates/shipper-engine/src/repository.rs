//! The repository of a project, opened so that nothing of its settings can start anything: isolated, with reduced trust.

use std::path::Path;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The work tree that `directory` lies in.
pub(crate) fn top(directory: &Path) -> Option<&Path> {
    directory.ancestors().find(|directory| directory.join(".git").exists())
}

/// Opens the repository whose work tree is `top`.
///
/// # Errors
/// Where there is none that can be read.
pub(crate) fn open(top: &Path) -> Result<gix::Repository, Failure> {
    let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced).open_path_as_is(true);
    Ok(gix::open_opts(top.join(".git"), options)?)
}
