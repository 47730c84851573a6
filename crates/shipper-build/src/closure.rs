//! The shared libraries that a dynamic program needs, found as glibc's loader would find them, without running it.
//!
//! Invariants: only files of the program's own machine are taken; `LD_LIBRARY_PATH` and `LD_PRELOAD` do not count; every
//! library is put where the loader inside an image finds it, although there is no `ld.so.cache` there.
//!
//! What a program loads by `dlopen` is not seen, name service plug-ins of glibc excepted.
//!
//! Source: ld.so(8), sections "DESCRIPTION" (search order) and "Dynamic string tokens"; ldconfig(8) for `ld.so.conf`.

mod conf;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use crate::elf::Elf;
use crate::error::BuildError;
use crate::target::Machine;

/// Name service plug-ins: glibc before 2.34 cannot look up hosts or users without them.
const NSS: [&str; 2] = ["libnss_files.so.2", "libnss_dns.so.2"];

/// A file of the closure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SharedFile {
    /// Absolute path in the image.
    pub(crate) image_path: String,
    /// The file on this machine.
    pub(crate) source: PathBuf,
    /// Whether the kernel starts it: the interpreter.
    pub(crate) executable: bool,
}

/// Where a library goes in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Into this directory, where the loader looks by itself or the program says.
    Dir(String),
    /// Beside libc, because only `ld.so.conf` of this machine knows where it was found.
    WithLibc,
}

struct Found {
    source: PathBuf,
    place: Place,
}

/// A program or library whose needs are looked up.
struct Object {
    source: PathBuf,
    elf: Elf,
    /// `$ORIGIN` on this machine and in the image.
    origin: (PathBuf, String),
    /// `DT_RPATH` of what loaded it, nearest first: directories here and in the image.
    inherited: Vec<(PathBuf, String)>,
}

/// The libraries of a machine.
pub(crate) struct Libraries<'a> {
    /// `/`, but for tests.
    root: &'a Path,
    machine: &'a Machine,
    /// Directories of `ld.so.conf`, in order.
    configured: Vec<String>,
    /// Directories that the loader knows without configuration.
    built_in: Vec<String>,
}

impl<'a> Libraries<'a> {
    /// The libraries below `root` for programs of `machine`.
    pub(crate) fn new(root: &'a Path, machine: &'a Machine) -> Libraries<'a> {
        let built_in = machine
            .multiarch()
            .into_iter()
            .flat_map(|triplet| [format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")])
            .chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned))
            .collect();
        Libraries { root, machine, configured: conf::directories(root), built_in }
    }

    /// The interpreter and all libraries that `program` needs, sorted by image path; `image_dir` is the directory that
    /// it will have in the image. Empty for a static program.
    ///
    /// # Errors
    /// [`BuildError::LibraryMissing`]; [`BuildError::NotElf`], [`BuildError::WrongMachine`] and [`BuildError::Io`] for
    /// the program itself.
    pub(crate) fn closure(&self, program: &Path, image_dir: &str) -> Result<Vec<SharedFile>, BuildError> {
        let elf = Elf::read_for(program, self.machine)?;
        let Some(interpreter) = elf.interpreter.clone() else { return Ok(Vec::new()) };
        let loader = self.here(&interpreter);
        if !interpreter.starts_with('/') || Elf::read_for(&loader, self.machine).is_err() {
            return Err(BuildError::LibraryMissing { library: interpreter, needed_by: program.to_path_buf() });
        }
        let loader_name = base_name(&interpreter).to_owned();
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        let here = program.parent().unwrap_or(program).to_path_buf();
        let origin = (here, image_dir.to_owned());
        let mut queue = VecDeque::from([Object { source: program.to_path_buf(), elf, origin, inherited: Vec::new() }]);
        let mut name_service = NSS.iter();
        loop {
            let Some(object) = queue.pop_front() else {
                let Some(plug_in) = name_service.next() else { break };
                if found.keys().any(|name| name.starts_with("libc.so."))
                    && let Some((file, object)) = self.find_in_system(plug_in)
                {
                    found.insert((*plug_in).to_owned(), file);
                    queue.push_back(object);
                }
                continue;
            };
            for name in &object.elf.needed {
                // The loader is in memory already when it looks for libraries.
                if *name == loader_name || found.contains_key(name) {
                    continue;
                }
                let (file, next) = self.find(name, &object).ok_or_else(|| BuildError::LibraryMissing {
                    library: name.clone(),
                    needed_by: object.source.clone(),
                })?;
                found.insert(name.clone(), file);
                queue.push_back(next);
            }
        }
        Ok(placed(&interpreter, loader, found))
    }

    fn find(&self, name: &str, by: &Object) -> Option<(Found, Object)> {
        let own = |dirs: &[String]| -> Vec<(PathBuf, String)> { dirs.iter().map(|dir| self.expand(dir, by)).collect() };
        // DT_RUNPATH switches DT_RPATH off, for this object and for what it inherited.
        let inherited =
            if by.elf.runpath.is_empty() { [own(&by.elf.rpath), by.inherited.clone()].concat() } else { Vec::new() };
        if name.contains('/') {
            let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
            let place = Place::Dir(normalised(dir));
            return name.starts_with('/').then(|| self.open(self.here(name), place, inherited)).flatten();
        }
        for (here, image) in inherited.iter().cloned().chain(own(&by.elf.runpath)) {
            if let Some(found) = self.open(here.join(name), Place::Dir(image), inherited.clone()) {
                return Some(found);
            }
        }
        self.find_in_system(name)
    }

    fn find_in_system(&self, name: &str) -> Option<(Found, Object)> {
        self.configured.iter().chain(&self.built_in).find_map(|dir| {
            let place = if self.built_in.contains(dir) { Place::Dir(dir.clone()) } else { Place::WithLibc };
            self.open(self.here(dir).join(name), place, Vec::new())
        })
    }

    /// The file, if it is a shared object for this machine; the loader passes over any other.
    fn open(&self, source: PathBuf, place: Place, inherited: Vec<(PathBuf, String)>) -> Option<(Found, Object)> {
        let elf = Elf::read_for(&source, self.machine).ok()?;
        let here = source.parent().unwrap_or(&source).to_path_buf();
        let image_dir = match &place {
            Place::Dir(dir) => dir.clone(),
            Place::WithLibc => String::new(),
        };
        let object = Object { source: source.clone(), elf, origin: (here, image_dir), inherited };
        Some((Found { source, place }, object))
    }

    /// A search directory here and in the image.
    fn expand(&self, dir: &str, by: &Object) -> (PathBuf, String) {
        for token in ["$ORIGIN", "${ORIGIN}"] {
            if let Some(rest) = dir.strip_prefix(token) {
                let here = by.origin.0.join(rest.trim_start_matches('/'));
                return (here, normalised(&format!("{}/{rest}", by.origin.1)));
            }
        }
        let lib = if self.machine.bits == 64 { "lib64" } else { "lib" };
        let dir = dir.replace("${LIB}", lib).replace("$LIB", lib);
        (self.here(&dir), normalised(&dir))
    }

    fn here(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// The files with their image paths, sorted, each once.
fn placed(interpreter: &str, loader: PathBuf, found: BTreeMap<String, Found>) -> Vec<SharedFile> {
    let libc = found.iter().find(|(name, _)| name.starts_with("libc.so.")).and_then(|(_, file)| match &file.place {
        Place::Dir(dir) => Some(dir.clone()),
        Place::WithLibc => None,
    });
    let beside_libc = libc.unwrap_or_else(|| interpreter.rsplit_once('/').map_or("/lib", |(dir, _)| dir).to_owned());
    let mut files = vec![SharedFile { image_path: normalised(interpreter), source: loader, executable: true }];
    files.extend(found.into_iter().map(|(name, file)| {
        let dir = match file.place {
            Place::Dir(dir) => dir,
            Place::WithLibc => beside_libc.clone(),
        };
        SharedFile {
            image_path: normalised(&format!("{dir}/{}", base_name(&name))),
            source: file.source,
            executable: false,
        }
    }));
    files.sort();
    files.dedup_by(|one, other| one.image_path == other.image_path);
    files
}

fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// An absolute path without empty, `.` and `..` parts.
fn normalised(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
