//! The context of a Dockerfile: a directory without what `.dockerignore` excludes and without what the build does not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use shipper_dockerfile::{Analysis, BuildOptions, ContextPath, IgnoreFile, Inputs, WidenReason};
use shipper_hash::{CargoClosure, Context, FileSet, Leaks, Narrow, RelPath, Selection, Tree};
use shipper_plan::{DockerfileRecipe, Service};

use crate::Error;

/// A build of a Dockerfile, as far as it decides about a context.
pub(crate) struct Build<'a> {
    /// What messages call it: a service or a directory.
    pub(crate) name: &'a str,
    /// The Dockerfile, as messages call it.
    pub(crate) dockerfile: &'a str,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The rules that count.
    pub(crate) ignore: Option<IgnoreFile>,
    /// Target, arguments and platform.
    pub(crate) options: BuildOptions,
    /// The context's directory, relative to the tree; `.` is the tree itself.
    pub(crate) context: &'a str,
    /// The package whose closure the context is.
    pub(crate) closure: Option<&'a str>,
    /// Patterns of files that count in addition.
    pub(crate) inputs: &'a [String],
    /// Patterns of files that do not count.
    pub(crate) exclude: &'a [String],
}

/// The context of a Dockerfile, and what decided about it.
#[derive(Debug)]
pub(crate) struct Narrowed {
    pub(crate) context: Arc<Context>,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) analysis: Analysis,
    pub(crate) closure: Option<Arc<CargoClosure>>,
    /// The named contexts that are directories, of those that the build uses.
    pub(crate) contexts: BTreeMap<String, Arc<Context>>,
    ignore: Option<IgnoreFile>,
    /// What the build reads, links followed; `None` if that is the whole context.
    only: Option<Vec<Narrow>>,
    /// Why links lead to the whole context.
    widened: Vec<WidenReason>,
}

/// What the build of a service's Dockerfile reads on one platform.
///
/// # Errors
/// What makes a context or a Dockerfile unusable.
pub(crate) fn of_service(
    tree: &Tree,
    service: &Service,
    recipe: &DockerfileRecipe,
    platform: &str,
) -> Result<Narrowed, Error> {
    let bytes = crate::read::of_tree(tree, &recipe.dockerfile)
        .map_err(|source| Error::Read { path: tree.root().join(&recipe.dockerfile), source })?;
    let mut narrowed = Build {
        name: &service.name,
        dockerfile: &recipe.dockerfile,
        bytes,
        ignore: ignore_file(&service.name, candidates(recipe), |path| crate::read::of_tree(tree, path))?,
        options: options(service, recipe, platform),
        context: &recipe.context,
        closure: recipe.closure.as_deref(),
        inputs: &service.inputs,
        exclude: &service.exclude,
    }
    .narrow(tree)?;
    narrowed.contexts = crate::contexts::named(tree, service, recipe, &narrowed.analysis)?;
    Ok(narrowed)
}

/// What is passed to the build of a service's Dockerfile.
pub(crate) fn options(service: &Service, recipe: &DockerfileRecipe, platform: &str) -> BuildOptions {
    BuildOptions {
        target: recipe.target.clone(),
        args: recipe.args.clone(),
        platform: Some(platform.to_owned()),
        named_contexts: service.needs.keys().chain(recipe.contexts.keys()).cloned().collect(),
    }
}

/// Where the rules for a service's Dockerfile may be, relative to the project: beside the Dockerfile, then in the context.
pub(crate) fn candidates(recipe: &DockerfileRecipe) -> [String; 2] {
    let [own, shared] = shipper_dockerfile::ignore_file_candidates(&recipe.dockerfile);
    let shared = if recipe.context == "." { shared } else { format!("{}/{shared}", recipe.context) };
    [own, shared]
}

/// The rules that BuildKit would use: those of the first of `candidates` that exists and is not empty (buildkit,
/// frontend/dockerui/config.go).
///
/// # Errors
/// [`Error::Dockerfile`] for a file that cannot be read, or with the line that makes no sense.
pub(crate) fn ignore_file(
    name: &str,
    candidates: impl IntoIterator<Item = String>,
    read: impl Fn(&str) -> std::io::Result<Vec<u8>>,
) -> Result<Option<IgnoreFile>, Error> {
    for path in candidates {
        let wrong = |problem: String| Error::Dockerfile { service: name.to_owned(), path: path.clone(), problem };
        match read(&path) {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => return IgnoreFile::parse(&bytes).map(Some).map_err(|error| wrong(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error.to_string())),
        }
    }
    Ok(None)
}

impl Build<'_> {
    /// Hashes the context.
    ///
    /// # Errors
    /// [`Error::Dockerfile`] with the line, [`Error::Context`].
    pub(crate) fn narrow(self, tree: &Tree) -> Result<Narrowed, Error> {
        let failed = |source| Error::Context { service: self.name.to_owned(), source };
        let analysis = shipper_dockerfile::analyze(&self.bytes, &self.options).map_err(|error| Error::Dockerfile {
            service: self.name.to_owned(),
            path: self.dockerfile.to_owned(),
            problem: error.to_string(),
        })?;
        let base = match self.context {
            "." => None,
            context => Some(RelPath::try_from(context).map_err(failed)?),
        };
        let only = match &analysis.inputs {
            Inputs::Paths(paths) => Some(paths.iter().cloned().map(Narrow::Path).collect()),
            Inputs::WholeContext { .. } => None,
        };
        let mut builder = tree.context(base.as_ref()).map_err(failed)?;
        let mut selection = Selection {
            ignore: self.ignore.as_ref(),
            only,
            inputs: self.inputs.to_vec(),
            exclude: self.exclude.to_vec(),
            ..Selection::default()
        };
        let closure = match self.closure {
            None => None,
            Some(package) => {
                // All of it counts, whatever the Dockerfile copies: cargo looks at every member before it compiles one.
                let ignore = self.ignore.as_ref();
                let closure = builder.add_cargo_without(package, self.exclude, ignore).map_err(failed)?;
                selection.files = FileSet::Explicit(Vec::new());
                Some(Arc::new(closure))
            }
        };
        let added = builder.add(&selection).map_err(failed)?;
        let context = Arc::new(builder.finish().map_err(failed)?);
        let (only, widened) = (added.only, added.widened);
        let (bytes, contexts) = (Arc::new(self.bytes), BTreeMap::new());
        Ok(Narrowed { context, bytes, analysis, closure, contexts, ignore: self.ignore, only, widened })
    }
}

impl Narrowed {
    /// The instructions that read `path`, which is relative to the context; none where the whole context counts.
    pub(crate) fn readers<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a ContextPath> {
        self.paths().filter(move |read| read.covers(path))
    }

    /// Why the whole context counts; none where it does not.
    pub(crate) fn widened(&self) -> impl Iterator<Item = &WidenReason> {
        let reasons = match &self.analysis.inputs {
            Inputs::Paths(_) => self.widened.as_slice(),
            Inputs::WholeContext { reasons } => reasons,
        };
        reasons.iter()
    }

    fn paths(&self) -> impl Iterator<Item = &ContextPath> {
        self.only.iter().flatten().filter_map(|limit| match limit {
            Narrow::Path(path) => Some(path),
            _ => None,
        })
    }

    /// What a builder that is given the directory reads, and no hash covers.
    ///
    /// # Errors
    /// As [`Tree::leaks`].
    pub(crate) fn leaks(&self, tree: &Tree) -> Result<Leaks, shipper_hash::Error> {
        let selection = Selection { ignore: self.ignore.as_ref(), only: self.only.clone(), ..Selection::default() };
        tree.leaks(&self.context, &selection)
    }

    /// What a person should know: inputs that no key can hold, and what a closure does not have.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for remote in self.analysis.remotes.iter().filter(|remote| remote.checksum.is_none()) {
            let what = "is fetched without `--checksum`: a change there is not seen";
            warnings.push(format!("line {}: {} {what}", remote.line, remote.url));
        }
        if let Some(frontend) = self.analysis.frontend.as_ref().filter(|frontend| !frontend.standard) {
            let what = "decides what is read: the whole context counts, its base images are not locked";
            warnings.push(format!("line {}: the frontend {} {what}", frontend.line, frontend.image));
        }
        if let Some(closure) = &self.closure {
            let manifest = self.context.manifest();
            for path in self.paths().filter(|path| path.via.is_none()) {
                if !manifest.paths().any(|inside| path.covers(inside)) {
                    let what = format!("finds nothing: the closure of `{}` does not have it", closure.package);
                    let cure = format!("`inputs = [\"{path}\"]` adds it");
                    warnings.push(format!("line {}: `{} {path}` {what}; {cure}", path.line, path.reader));
                }
            }
        }
        warnings
    }
}
