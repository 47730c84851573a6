//! `hash`: the context of a directory or of a service, and what is in it.

use std::sync::Arc;

use shipper_hash::{Context, Selection, Tree, TreeOptions};

use crate::gather::context;
use crate::{Error, Options, Project};

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
    source: Arc<Context>,
}

impl Hashed {
    fn of(context: Arc<Context>) -> Self {
        let manifest = context.manifest();
        Self {
            context: manifest.hash().to_string(),
            bytes: manifest.bytes(),
            files: manifest.entries().len(),
            warnings: context.warnings().iter().map(ToString::to_string).collect(),
            source: context,
        }
    }

    /// What is in the context, sorted by path bytes.
    pub fn entries(&self) -> impl Iterator<Item = HashedEntry> {
        self.source.manifest().entries().iter().map(|entry| {
            let path = entry.path.to_string();
            HashedEntry {
                path_base64: (path.as_bytes() != entry.path.as_bytes()).then(|| base64(entry.path.as_bytes())),
                path,
                kind: entry.kind.as_str(),
                size: entry.size,
                digest: entry.digest.to_string(),
            }
        })
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The `Tracked` context of a directory, relative to `options.directory`; `None` where there is no such directory.
///
/// # Errors
/// [`Error::Tree`], [`Error::Context`].
pub fn hash_directory(options: &Options, directory: &str) -> Result<Option<Hashed>, Error> {
    let root = options.directory.join(directory);
    if !root.is_dir() {
        return Ok(None);
    }
    let failed = |source| Error::Context { service: directory.to_owned(), source };
    let cache = crate::project::stat_cache_of(&root, &options.environment);
    let tree_options = TreeOptions { cache, paranoid: options.paranoid, ..TreeOptions::default() };
    let tree = Tree::open(&root, &tree_options).map_err(Error::Tree)?;
    let mut builder = tree.context(None).map_err(failed)?;
    builder.add(&Selection::default()).map_err(failed)?;
    let hashed = Hashed::of(Arc::new(builder.finish().map_err(failed)?));
    // A cache that can not be written costs time, nothing else.
    let _ = tree.save_cache();
    Ok(Some(hashed))
}

/// The context of a directory as a commit of its repository has it, relative to `options.directory`. No work tree is
/// needed but the directory itself.
///
/// # Errors
/// [`Error::Tree`], also where there is no such commit; [`Error::Context`].
pub fn hash_commit(options: &Options, directory: &str, revision: &str) -> Result<Hashed, Error> {
    let failed = |source| Error::Context { service: directory.to_owned(), source };
    let tree = Tree::at_commit(&options.directory.join(directory), revision).map_err(Error::Tree)?;
    let mut builder = tree.context(None).map_err(failed)?;
    builder.add(&Selection::default()).map_err(failed)?;
    Ok(Hashed::of(Arc::new(builder.finish().map_err(failed)?)))
}

/// The context of a service of the project; that of its first platform where they differ. No registry and no compiler is
/// asked, and no other service is looked at.
///
/// # Errors
/// [`Error::Plan`] for an unknown service; what makes its context or its Dockerfile unusable.
pub fn hash_service(options: &Options, service: &str) -> Result<Hashed, Error> {
    let project = Project::open(options)?;
    let known = || project.services.keys().cloned().collect();
    let unknown = || Error::Plan(shipper_plan::Error::NoSuchService { name: service.to_owned(), known: known() });
    let service = project.services.get(service).ok_or_else(unknown)?;
    let tree = project.tree()?;
    // A service has at least one platform.
    let platform = service.platforms.first().map(String::as_str).unwrap_or_default();
    let context = context(&tree, service, platform)?;
    let _ = tree.save_cache();
    Ok(Hashed::of(context))
}
