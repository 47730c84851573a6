//! The only module that touches gix: the list of tracked paths and three configuration values.
//!
//! The repository is opened isolated and with reduced trust, so nothing in its configuration can name a program to
//! run. Values that decide which files count (`core.excludesFile`, `core.ignoreCase`, `core.fileMode`) are read from
//! the files that git reads, by a parser, without asking `git` where its installation lies.

use std::path::{Path, PathBuf};

use gix::config::{File, Source, file::Metadata, file::includes, file::init, path::interpolate};
use gix::index::entry::{Flags as IndexFlags, Mode};

use crate::Error;
use crate::fs::{Stat, stat_of};
use crate::repository::{Flags, Settings, Tracked};

/// Largest single allocation that an index may cause, in bytes: room for ten million entries.
const MAX_ALLOCATION: usize = 1 << 30;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The tracked paths of the repository at `top`, what its configuration says about listing files, and what the index
/// looked like before. It is read, and its checksum computed, unless `remembered` has what was tracked when it looked so.
pub(crate) fn read(
    top: &Path,
    git_directory: &Path,
    common: &Path,
    remembered: &dyn Fn(&Stat) -> Option<Tracked>,
) -> Result<(Tracked, Settings, Option<Stat>), Error> {
    let failed = |source| Error::Git { path: top.to_owned(), source };
    let (tracked, seen) = tracked(&top.join(".git"), git_directory, remembered).map_err(failed)?;
    let settings = settings(git_directory, common).map_err(failed)?;
    Ok((tracked, settings, seen))
}

fn tracked(
    dot_git: &Path,
    git_directory: &Path,
    remembered: &dyn Fn(&Stat) -> Option<Tracked>,
) -> Result<(Tracked, Option<Stat>), Failure> {
    let path = git_directory.join("index");
    let seen = std::fs::metadata(&path).ok().map(|metadata| stat_of(&metadata));
    if let Some(tracked) = seen.as_ref().and_then(remembered) {
        return Ok((tracked, seen));
    }
    // `.git` itself is opened: given the top level, gix would also take a bare repository there.
    let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced).open_path_as_is(true);
    let repository = gix::open_opts(dot_git, options)?;
    // Not `Repository::index`: with reduced trust it refuses an index of more than some 170,000 entries.
    let options = gix::index::decode::Options { alloc_limit_bytes: Some(MAX_ALLOCATION), ..Default::default() };
    let index = gix::index::File::at_or_default(path, repository.object_hash(), false, options)?;
    let entries = index.entries().iter().map(|entry| {
        let path: &[u8] = entry.path(&index);
        let sparse_directory = entry.mode.is_sparse();
        let flags = Flags {
            executable: entry.mode == Mode::FILE_EXECUTABLE,
            submodule: entry.mode.is_submodule(),
            directory: sparse_directory,
            sparse: sparse_directory || entry.flags.contains(IndexFlags::SKIP_WORKTREE),
        };
        (if sparse_directory { path.strip_suffix(b"/").unwrap_or(path) } else { path }, flags)
    });
    Ok((Tracked::new(entries)?, seen))
}

fn settings(git_directory: &Path, common: &Path) -> Result<Settings, Failure> {
    let mut environment = |name: &str| std::env::var_os(name);
    let home = environment("HOME").map(PathBuf::from).or_else(std::env::home_dir);
    // On Windows the place of the system file is known to git only, and git is not asked.
    let system = if cfg!(windows) { None } else { Some(Source::System) };
    let mut files: Vec<(PathBuf, Source)> = system
        .into_iter()
        .chain([Source::Git, Source::User])
        .filter_map(|source| Some((source.storage_location(&mut environment)?, source)))
        .collect();
    files.push((common.join("config"), Source::Local));
    files.push((git_directory.join("config.worktree"), Source::Worktree));

    let mut follow = includes::Options::follow(
        interpolate::Context { home_dir: home.as_deref(), ..Default::default() },
        includes::conditional::Context { git_dir: Some(git_directory), branch_name: None },
    );
    follow.err_on_missing_config_path = false;
    let follow = init::Options { includes: follow, ..Default::default() };
    let stay = init::Options { includes: includes::Options::no_follow(), ..Default::default() };
    let mut config = File::default();
    for (path, source) in files {
        let uses_worktree_file = || config.boolean("extensions.worktreeConfig").ok().flatten().unwrap_or_default();
        if !path.is_file() || (source == Source::Worktree && !uses_worktree_file()) {
            continue;
        }
        // A stranger's configuration does not say which other files are read.
        let in_repository = matches!(source, Source::Local | Source::Worktree);
        let is_own = || gix::sec::Trust::from_path_ownership(&path).is_ok_and(|trust| trust == gix::sec::Trust::Full);
        let options = if !in_repository || is_own() { follow } else { stay };
        let metadata = Metadata { path: Some(path), source, level: 0, trust: gix::sec::Trust::Reduced };
        if let Some(file) = File::from_paths_metadata([metadata], options)? {
            config.append(file)?;
        }
    }
    if let Some(overrides) = File::from_env(follow)? {
        config.append(overrides)?;
    }

    let excludes_file = match config.path("core.excludesFile") {
        Some(path) if path.is_empty() => None,
        Some(path) => path.interpolate(interpolate::Context { home_dir: home.as_deref(), ..Default::default() }).ok(),
        None => environment("XDG_CONFIG_HOME")
            .filter(|directory| !directory.is_empty())
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join(".config")))
            .map(|directory| directory.join("git").join("ignore")),
    };
    Ok(Settings {
        excludes_file,
        fold_case: config.boolean("core.ignoreCase").ok().flatten().unwrap_or_default(),
        mode_from_index: !config.boolean("core.fileMode").ok().flatten().unwrap_or(true),
    })
}
