//! Which files of the tree a closure brings into a context.
//!
//! Of each package: everything in its directory but nested packages that are not in the closure, build output, and lock
//! files, which cargo reads at the workspace root only. Besides: what manifests, sources and build scripts name outside
//! those directories, what symbolic links lead to, cargo's configuration, the toolchain file, vendored packages that are
//! locked.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::closure::Closure;
use super::repo::{Listed, Repo};
use super::source::{self, From, Reference};
use super::{LockedPackage, MissingFile, paths};
use crate::content::in_parallel;
use crate::path::split_parent;
use crate::{Error, RelPath};

/// Directories of a package whose sources no image contains; what they name is not looked for.
const DEV_DIRS: [&str; 3] = ["tests", "benches", "examples"];
/// Files that are often links into the repository's root and that no build reads unless a source names them.
const PROSE: [&str; 7] = ["readme", "license", "licence", "copying", "changelog", "notice", "authors"];

/// The files of a context.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Taken from the tree as they are.
    pub(super) files: BTreeSet<RelPath>,
    /// What sources name and the tree does not have; sorted.
    pub(super) missing: Vec<MissingFile>,
}

/// Collects everything; `rendered` are the paths that get a text of their own.
pub(super) fn gather(
    closure: &Closure<'_>,
    rendered: &BTreeMap<RelPath, Vec<u8>>,
    locked: Option<&[LockedPackage]>,
) -> Result<Gathered, Error> {
    let mut gatherer = Gatherer {
        closure,
        repo: closure.repo,
        rendered,
        nests: nests(closure.repo),
        gathered: Gathered::default(),
        sources: Vec::new(),
        scanned: HashSet::new(),
        named: HashSet::new(),
    };
    gatherer.packages()?;
    gatherer.configuration(locked);
    gatherer.follow_sources()?;
    gatherer.follow_links()?;
    let mut gathered = gatherer.gathered;
    gathered.missing.sort();
    gathered.missing.dedup();
    Ok(gathered)
}

struct Gatherer<'a> {
    closure: &'a Closure<'a>,
    repo: &'a Repo<'a>,
    rendered: &'a BTreeMap<RelPath, Vec<u8>>,
    /// Directories that have a manifest, whatever it says.
    nests: HashSet<&'a [u8]>,
    gathered: Gathered,
    /// Sources that wait to be read.
    sources: Vec<Source>,
    scanned: HashSet<String>,
    /// Links that are named and therefore followed whatever they are called.
    named: HashSet<String>,
}

/// A Rust source.
#[derive(Debug, Clone)]
struct Source {
    path: String,
    /// The directory of the package that compiles it.
    package: String,
    /// Whether it lies outside the package, so that its modules are files to be joined.
    outside: bool,
}

impl<'a> Gatherer<'a> {
    fn packages(&mut self) -> Result<(), Error> {
        let closure = self.closure;
        for (dir, package) in &closure.packages {
            for listed in self.own_files(dir) {
                self.gathered.files.insert(listed.path.clone());
                let Some(path) = listed.path.as_str() else { continue };
                let below = path[dir.len()..].trim_start_matches('/');
                let is_dev = below.split_once('/').is_some_and(|(first, _)| DEV_DIRS.contains(&first));
                if path.ends_with(".rs") && !is_dev {
                    self.scan(path, dir, false);
                }
            }
            for file in package.manifest.named_files(package.root.as_deref()) {
                if file.is_source {
                    self.join_source(&file.path, dir);
                } else {
                    self.join(&file.path);
                }
            }
            for script in package.manifest.build_scripts() {
                self.read_by_script(dir, script)?;
            }
        }
        Ok(())
    }

    /// Adds what a build script names outside its package: schemas that services share are the usual case. A directory
    /// above the package is a place to start from, not an input.
    fn read_by_script(&mut self, dir: &str, script: &str) -> Result<(), Error> {
        let Some(script) = paths::resolve(dir, script) else { return Ok(()) };
        let Some((_, bytes)) = self.repo.content(&script)? else { return Ok(()) };
        for path in source::outward_paths(&bytes) {
            if let Some(path) = paths::resolve(dir, &path).filter(|path| !paths::is_within(dir, path)) {
                self.join_all(&path);
            }
        }
        Ok(())
    }

    /// The files of a package, without those that get a text of their own.
    fn own_files(&self, dir: &str) -> Vec<&'a Listed> {
        let output = paths::join(dir, "target");
        let lock = paths::join(dir, "Cargo.lock");
        let is_own = |listed: &&Listed| {
            let path = listed.path.as_bytes();
            let nested = || {
                let inside = path.iter().enumerate().skip(dir.len() + 1).filter(|(_, byte)| **byte == b'/');
                inside.map(|(at, _)| &path[..at]).any(|above| self.nests.contains(above))
            };
            let is_output = || crate::path::is_within(path, output.as_bytes());
            path != lock.as_bytes() && !self.rendered.contains_key(&listed.path) && !is_output() && !nested()
        };
        self.repo.below(dir).iter().filter(is_own).collect()
    }

    fn configuration(&mut self, locked: Option<&[LockedPackage]>) {
        let closure = self.closure;
        self.gathered.files.extend(closure.configuration.files.iter().cloned());
        for path in &closure.configuration.named {
            self.join_all(path);
        }
        for directory in &closure.configuration.vendored {
            let Some(locked) = locked else {
                self.join_all(directory);
                continue;
            };
            for package in locked.iter().filter(|package| package.source.is_some()) {
                // `cargo vendor` adds the version where it must tell two apart, or where it is told to.
                self.join_all(&paths::join(directory, &package.name));
                self.join_all(&paths::join(directory, &format!("{}-{}", package.name, package.version)));
            }
        }
    }

    /// Adds a file or link of the tree that is not there yet; whether there is one.
    fn join(&mut self, path: &str) -> bool {
        let Some(listed) = self.repo.entry(path.as_bytes()) else { return false };
        if !self.rendered.contains_key(&listed.path) {
            self.named.insert(path.to_owned());
            self.gathered.files.insert(listed.path.clone());
        }
        true
    }

    /// Adds a file or everything below a directory.
    fn join_all(&mut self, path: &str) {
        if !self.join(path) {
            let below = self.repo.below(path).iter().map(|listed| &listed.path);
            self.gathered.files.extend(below.filter(|path| !self.rendered.contains_key(*path)).cloned());
        }
    }

    fn join_source(&mut self, path: &str, package: &str) -> bool {
        let inside = self.repo.entry(path.as_bytes()).is_some_and(|listed| self.gathered.files.contains(&listed.path));
        let found = self.join(path);
        if found {
            self.scan(path, package, !inside);
        }
        found
    }

    fn scan(&mut self, path: &str, package: &str, outside: bool) {
        if self.scanned.insert(path.to_owned()) {
            self.sources.push(Source { path: path.to_owned(), package: package.to_owned(), outside });
        }
    }

    fn follow_sources(&mut self) -> Result<(), Error> {
        while !self.sources.is_empty() {
            let batch = std::mem::take(&mut self.sources);
            let repo = self.repo;
            in_parallel(&batch, batch.len(), |source, _| read_references(repo, source))?;
            for source in batch {
                let references = repo.known_references(&source.path, source.outside);
                for reference in references.iter().flat_map(|references| references.iter()) {
                    self.follow(&source, reference);
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, source: &Source, reference: &Reference) {
        let directory = paths::parent(&source.path).unwrap_or_default();
        match reference {
            Reference::Include { path: text, from, is_source } => {
                let from = match from {
                    From::Source => directory,
                    From::Manifest => &source.package,
                };
                let path = paths::resolve(from, text).unwrap_or_default();
                let found = if *is_source { self.join_source(&path, &source.package) } else { self.join(&path) };
                if !found {
                    self.note_missing(source, text);
                }
            }
            Reference::Path { inline, path: text } => {
                let candidates: Vec<String> = std::iter::once(directory.to_owned())
                    .chain(places(&source.path, inline))
                    .filter_map(|place| paths::resolve(&place, text))
                    .collect();
                let found = candidates.iter().filter(|path| self.join_source(path, &source.package)).count();
                if found == 0 {
                    self.note_missing(source, text);
                }
            }
            Reference::Module { inline, name } if source.outside => {
                for place in places(&source.path, inline) {
                    for file in [format!("{name}.rs"), format!("{name}/mod.rs")] {
                        self.join_source(&paths::join(&place, &file), &source.package);
                    }
                }
            }
            // The modules of a package's own sources are files of the package.
            Reference::Module { .. } => {}
        }
    }

    fn note_missing(&mut self, source: &Source, named: &str) {
        if let Ok(file) = RelPath::new(source.path.clone().into_bytes()) {
            self.gathered.missing.push(MissingFile { source: file, named: named.to_owned() });
        }
    }

    /// Adds what the links in the context lead to, as far as it lies in the tree.
    fn follow_links(&mut self) -> Result<(), Error> {
        let mut followed: HashSet<RelPath> = HashSet::new();
        loop {
            let links: Vec<RelPath> = self.gathered.files.iter().filter(|path| self.is_link(path)).cloned().collect();
            let new: Vec<RelPath> = links.into_iter().filter(|link| followed.insert(link.clone())).collect();
            if new.is_empty() {
                return Ok(());
            }
            for link in new {
                let Some(path) = link.as_str() else { continue };
                let target = self.repo.files().read(&link)?;
                let target = std::str::from_utf8(&target).ok();
                let target = target.and_then(|target| paths::resolve(paths::parent(path).unwrap_or_default(), target));
                // A link to a directory that contains it names nothing new, or everything.
                let Some(target) = target.filter(|target| !paths::is_within(path, target)) else { continue };
                if !is_prose(path) || self.named.contains(path) {
                    self.join_all(&target);
                    self.scan_all(&target, path);
                }
            }
            self.follow_sources()?;
        }
    }

    /// Reads the sources that a link leads to. What they name is relative to where they are, not to the link: that is how
    /// the system resolves `..`.
    fn scan_all(&mut self, target: &str, link: &str) {
        let packages = &self.closure.packages;
        let package = paths::ancestors(link).skip(1).find(|dir| packages.contains_key(*dir)).unwrap_or_default();
        let below = self.repo.below(target).iter().chain(self.repo.entry(target.as_bytes()));
        for path in below.filter_map(|listed| listed.path.as_str()).filter(|path| path.ends_with(".rs")) {
            self.scan(path, package, true);
        }
    }

    fn is_link(&self, path: &RelPath) -> bool {
        self.repo.entry(path.as_bytes()).is_some_and(|listed| listed.is_link)
    }
}

/// The directories of all manifests, also where no manifest could name them because they are not UTF-8.
fn nests<'a>(repo: &Repo<'a>) -> HashSet<&'a [u8]> {
    let list = repo.files().list().iter();
    let manifests = list.filter(|listed| !listed.is_link && listed.path.file_name() == b"Cargo.toml");
    let dirs = manifests.map(|listed| split_parent(listed.path.as_bytes()).0.unwrap_or_default());
    dirs.filter(|dir| !std::str::from_utf8(dir).is_ok_and(|dir| repo.is_build_output(dir))).collect()
}

/// Makes the references of a source known.
fn read_references(repo: &Repo<'_>, source: &Source) -> Result<(), Error> {
    if repo.known_references(&source.path, source.outside).is_some() {
        return Ok(());
    }
    // A link is followed as a link; its target is a source of its own.
    let Some((_, bytes)) = repo.content(&source.path)? else { return Ok(()) };
    let references = if source.outside { source::all_references(&bytes) } else { source::references(&bytes) };
    repo.remember_references(&source.path, source.outside, references);
    Ok(())
}

/// Where the modules of a source may lie (Rust reference, "Module source filenames"): beside it, or in a directory of its
/// name; below the directories of the inline modules around them.
fn places(source: &str, inline: &[String]) -> [String; 2] {
    let directory = paths::parent(source).unwrap_or_default();
    let name = source.rsplit('/').next().unwrap_or_default();
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    [directory.to_owned(), paths::join(directory, stem)]
        .map(|place| inline.iter().fold(place, |place, module| paths::join(&place, module)))
}

fn is_prose(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    PROSE.iter().any(|prose| name.starts_with(prose))
}
