//! `hash`: the context of a directory or of a service, what is in it, and what a builder would be sent besides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shipper_dockerfile::BuildOptions;
use shipper_hash::{Context, Leaks, RelPath, Selection, Tree, TreeOptions};
use shipper_plan::{Recipe, Service};

use crate::gather::assemble;
use crate::narrowed::{self, Build, Narrowed};
use crate::project::located;
use crate::{Error, Options, Project};

/// What is to be hashed.
#[derive(Debug, Clone, Default)]
pub struct HashRequest {
    /// A directory, relative to that of the options, or else a service.
    pub target: String,
    /// The commit whose files count instead of those on disk.
    pub commit: Option<String>,
    /// The Dockerfile that narrows the directory to what its build reads.
    pub dockerfile: Option<HashDockerfile>,
    /// Whether to look for what a builder would be sent and the hash does not cover.
    pub leaks: bool,
}

/// A Dockerfile that narrows a directory.
#[derive(Debug, Clone, Default)]
pub struct HashDockerfile {
    /// The file, relative to the directory of the options.
    pub path: PathBuf,
    /// The stage to build; the last one where none is named.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
}

/// One entry of a hashed context.
#[derive(Debug, Clone)]
pub struct HashedEntry {
    /// Path, escaped where it is not plain UTF-8.
    pub path: String,
    /// The exact bytes as base64, where `path` is escaped.
    pub path_base64: Option<String>,
    /// `file`, `executable`, `symlink`, `empty-dir` or `gitlink`.
    pub kind: &'static str,
    /// Size in bytes.
    pub size: u64,
    /// BLAKE3 of the content, 64 hex digits, as `b3sum` prints it.
    pub digest: String,
    /// The instructions that read it, in the order of the Dockerfile; none where nothing is narrowed.
    pub read_by: Vec<ReadBy>,
}

/// An instruction of a Dockerfile that reads an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBy {
    /// 1-based line where it begins.
    pub line: usize,
    /// `COPY`, `ADD` or `RUN --mount`.
    pub instruction: String,
    /// The path or wildcard of it, cleaned.
    pub path: String,
    /// The link that leads to it, where the Dockerfile does not name it.
    pub via: Option<String>,
}

/// A hashed context.
#[derive(Debug, Clone)]
pub struct Hashed {
    /// `ctx1-` and 64 hex digits.
    pub context: String,
    /// Sum of the sizes in bytes.
    pub bytes: u64,
    /// Number of files, links and empty directories.
    pub files: usize,
    /// What a person should know about the context.
    pub warnings: Vec<String>,
    /// The Dockerfile that narrows it, as it was named.
    pub dockerfile: Option<String>,
    /// Why the whole context counts nevertheless.
    pub whole_context: Vec<String>,
    /// What a builder would be sent besides, where that was asked.
    pub leaks: Option<HashLeaks>,
    source: Arc<Context>,
    narrowed: Option<Arc<Narrowed>>,
}

/// What a builder would be sent and the hash does not cover.
#[derive(Debug, Clone)]
pub struct HashLeaks {
    /// Sum of the sizes in bytes.
    pub bytes: u64,
    /// Everything, sorted by path bytes.
    pub entries: Vec<HashLeak>,
    /// The same by the names that stand for it.
    pub roots: Vec<HashLeak>,
    /// Lines for `.dockerignore` that cure it.
    pub lines: Vec<String>,
    /// Paths, escaped, that no line can name without harm.
    pub nameless: Vec<String>,
}

/// A leak, or all leaks below a path.
#[derive(Debug, Clone)]
pub struct HashLeak {
    /// Path relative to the context, escaped where it is not plain UTF-8.
    pub path: String,
    /// The exact bytes as base64, where `path` is escaped.
    pub path_base64: Option<String>,
    /// `file`, `symlink`, `empty-dir` or `special`; of a path that stands for several, none.
    pub kind: Option<&'static str>,
    /// Number of leaks.
    pub entries: usize,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// `ignored`, `untracked`, `repository`, `shipper`, `empty` or `left-out`.
    pub cause: &'static str,
}

impl Hashed {
    fn of(context: Arc<Context>) -> Self {
        let manifest = context.manifest();
        Self {
            context: manifest.hash().to_string(),
            bytes: manifest.bytes(),
            files: manifest.len(),
            warnings: context.warnings().iter().map(ToString::to_string).collect(),
            dockerfile: None,
            whole_context: Vec::new(),
            leaks: None,
            source: context,
            narrowed: None,
        }
    }

    fn narrowed(narrowed: Narrowed, dockerfile: String) -> Self {
        let mut hashed = Self::of(Arc::clone(&narrowed.context));
        hashed.warnings.extend(narrowed.warnings());
        hashed.dockerfile = Some(dockerfile);
        hashed.whole_context = narrowed.widened().map(ToString::to_string).collect();
        hashed.narrowed = Some(Arc::new(narrowed));
        hashed
    }

    /// What is in the context, sorted by path bytes.
    pub fn entries(&self) -> impl Iterator<Item = HashedEntry> {
        self.source.manifest().entries().iter().map(|entry| {
            let (path, path_base64) = printed(&entry.path);
            let read_by = self.narrowed.iter().flat_map(|narrowed| narrowed.readers(entry.path.as_bytes()));
            HashedEntry {
                path,
                path_base64,
                kind: entry.kind.as_str(),
                size: entry.size,
                digest: entry.digest.to_string(),
                read_by: read_by
                    .map(|read| ReadBy {
                        line: read.line,
                        instruction: read.reader.to_string(),
                        path: read.to_string(),
                        via: read.via.as_ref().map(|via| via.escape_ascii().to_string()),
                    })
                    .collect(),
            }
        })
    }
}

impl From<Leaks> for HashLeaks {
    fn from(leaks: Leaks) -> Self {
        let leak = |path: &RelPath, kind, entries, bytes, cause| {
            let (path, path_base64) = printed(path);
            HashLeak { path, path_base64, kind, entries, bytes, cause }
        };
        let entries = leaks.entries.iter();
        let roots = leaks.roots.iter();
        Self {
            bytes: leaks.bytes(),
            entries: entries
                .map(|one| leak(&one.path, Some(one.kind.as_str()), 1, one.size, one.cause.as_str()))
                .collect(),
            roots: roots.map(|one| leak(&one.path, None, one.entries, one.bytes, one.cause.as_str())).collect(),
            lines: leaks.lines,
            nameless: leaks.nameless.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A path as text, and its exact bytes as base64 where the text is not they.
fn printed(path: &RelPath) -> (String, Option<String>) {
    use base64::Engine as _;
    let text = path.to_string();
    let exact = text.as_bytes() != path.as_bytes();
    (text, exact.then(|| base64::engine::general_purpose::STANDARD.encode(path.as_bytes())))
}

/// The context of a service, or of a directory (`./NAME` where a service has its name), narrowed where a Dockerfile is
/// named; of the files on disk or of a commit. No registry and no compiler is asked, and only a service needs a
/// configuration.
///
/// # Errors
/// [`Error::Plan`] for an unknown service, [`Error::NoDirectory`], [`Error::NoDockerfile`], [`Error::Tree`] also where
/// there is no such commit; what makes a context, a Dockerfile or its ignore file unusable.
pub fn hash(options: &Options, request: &HashRequest) -> Result<Hashed, Error> {
    let root = options.directory.join(&request.target);
    if root.is_dir() && (request.dockerfile.is_some() || !names_a_service(options, &request.target)) {
        return of_directory(options, request, &root);
    }
    if request.dockerfile.is_some() {
        return Err(Error::NoDirectory { path: root });
    }
    match of_service(options, request) {
        // What is there, or has a separator in it, was meant as a path.
        Err(Error::Plan(shipper_plan::Error::NoSuchService { .. }))
            if root.exists() || request.target.contains(['/', '\\']) =>
        {
            Err(Error::NoDirectory { path: root })
        }
        hashed => hashed,
    }
}

/// Whether a bare name is that of a configured service. Services are often called after their directory: the name then
/// means the service, as it does everywhere else, and `./NAME` the directory.
fn names_a_service(options: &Options, target: &str) -> bool {
    let is_bare = !target.contains(['/', '\\', '.']);
    // Without a file services would have to be discovered, which takes longer than hashing.
    let is_configured = || located(options).is_ok_and(|(_, config)| config.is_some());
    is_bare && is_configured() && Project::open(options).is_ok_and(|project| project.services.contains_key(target))
}

fn of_directory(options: &Options, request: &HashRequest, root: &Path) -> Result<Hashed, Error> {
    let name = request.target.as_str();
    let tree = match &request.commit {
        Some(revision) => Tree::at_commit(root, revision),
        None => {
            let cache = crate::project::stat_cache_of(root, &options.environment);
            Tree::open(root, &TreeOptions { cache, paranoid: options.paranoid, ..TreeOptions::default() })
        }
    };
    let tree = tree.map_err(Error::Tree)?;
    let failed = |source| Error::Context { service: name.to_owned(), source };
    let shared = ".dockerignore";
    let hashed = match &request.dockerfile {
        None => {
            let ignore = narrowed::ignore_file(name, [shared.to_owned()], |path| crate::read::of_tree(&tree, path))?;
            let selection = Selection { ignore: ignore.as_ref(), ..Selection::default() };
            let mut builder = tree.context(None).map_err(failed)?;
            builder.add(&selection).map_err(failed)?;
            let mut hashed = Hashed::of(Arc::new(builder.finish().map_err(failed)?));
            if request.leaks {
                hashed.leaks = Some(tree.leaks(&hashed.source, &selection).map_err(failed)?.into());
            }
            hashed
        }
        Some(dockerfile) => {
            let shown = dockerfile.path.display().to_string();
            let place = options.directory.join(&dockerfile.path);
            let [own, _] = shipper_dockerfile::ignore_file_candidates(&shown);
            let read = |path: &str| match path {
                path if path == shared => crate::read::of_tree(&tree, shared),
                path if path == own => beside(&tree, &options.directory.join(path)),
                _ => beside(&tree, &place),
            };
            let build = Build {
                name,
                dockerfile: &shown,
                bytes: read(&shown).map_err(|source| Error::Read { path: place.clone(), source })?,
                ignore: narrowed::ignore_file(name, [own.clone(), shared.to_owned()], read)?,
                options: BuildOptions {
                    target: dockerfile.target.clone(),
                    args: dockerfile.args.clone(),
                    platform: Some(shipper_oci::Platform::host().to_string()),
                    ..BuildOptions::default()
                },
                context: ".",
                closure: None,
                inputs: &[],
                exclude: &[],
            };
            with_leaks(build.narrow(&tree)?, shown.clone(), &tree, request)?
        }
    };
    // A cache that can not be written costs time, nothing else.
    let _ = tree.save_cache();
    Ok(hashed)
}

/// A file of the tree, or one on disk that lies elsewhere. A commit has only its own files.
fn beside(tree: &Tree, path: &Path) -> std::io::Result<Vec<u8>> {
    if tree.commit().is_none() {
        return crate::read::small(path);
    }
    let absolute = std::path::absolute(path)?;
    let parent = absolute.parent().and_then(|parent| parent.canonicalize().ok());
    let whole = parent.zip(absolute.file_name()).map(|(parent, name)| parent.join(name));
    match whole.as_deref().and_then(|whole| whole.strip_prefix(tree.root()).ok()).and_then(Path::to_str) {
        Some(inside) => crate::read::of_tree(tree, inside),
        None => {
            let problem = "it lies outside the directory, so the commit has no such file for it";
            Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, problem))
        }
    }
}

fn with_leaks(narrowed: Narrowed, dockerfile: String, tree: &Tree, request: &HashRequest) -> Result<Hashed, Error> {
    let failed = |source| Error::Context { service: request.target.clone(), source };
    let leaks = if request.leaks { Some(narrowed.leaks(tree).map_err(failed)?.into()) } else { None };
    Ok(Hashed { leaks, ..Hashed::narrowed(narrowed, dockerfile) })
}

/// That of its first platform, where they differ.
fn of_service(options: &Options, request: &HashRequest) -> Result<Hashed, Error> {
    let project = Project::open(options)?;
    match &request.commit {
        None => {
            let tree = project.tree()?;
            let hashed = service_of(&project, &tree, request)?;
            let _ = tree.save_cache();
            Ok(hashed)
        }
        Some(revision) => {
            let tree = Tree::at_commit(&project.root, revision).map_err(Error::Tree)?;
            service_of(&project.at_commit(&tree)?, &tree, request)
        }
    }
}

fn service_of(project: &Project, tree: &Tree, request: &HashRequest) -> Result<Hashed, Error> {
    let known = || project.services.keys().cloned().collect();
    let name = request.target.clone();
    let unknown = || Error::Plan(shipper_plan::Error::NoSuchService { name, known: known() });
    let service: &Service = project.services.get(&request.target).ok_or_else(unknown)?;
    // A service has at least one platform.
    let platform = service.platforms.first().map(String::as_str).unwrap_or_default();
    match &service.recipe {
        Recipe::Dockerfile(recipe) => {
            let narrowed = narrowed::of_service(tree, service, recipe, platform)?;
            with_leaks(narrowed, recipe.dockerfile.clone(), tree, request)
        }
        Recipe::Assemble { .. } if request.leaks => Err(Error::NoDockerfile { service: service.name.clone() }),
        Recipe::Assemble { cargo, binary, files } => {
            let (context, _) = assemble(tree, service, cargo.as_ref(), binary.get(platform), files)?;
            Ok(Hashed::of(Arc::new(context)))
        }
    }
}
