//! A closure as part of a context: the tree as [`Files`], the plan as a selection.

use std::collections::BTreeSet;

use shipper_dockerfile::IgnoreFile;

use super::{CargoClosure, CargoPackage, Files, Listed, Memo, Plan, discover, plan};
use crate::listing::NodeKind;
use crate::path::{is_within, join};

use crate::walk::{Filter, Strictness};
use crate::{ContextBuilder, Error, Narrow, RelPath, Selection, Tree};

/// Files outside the packages that are still looked for one by one.
const MANY_LIMITS: usize = 256;

impl ContextBuilder<'_> {
    /// Adds the closure of the Cargo package `package`: what building its library and binaries reads, and nothing else.
    ///
    /// The package is found by its name among the manifests of the tree; where several have it, `directory#name` tells
    /// which. Files come from the `Tracked` set. The workspace's manifest is cut to the members of the closure, all
    /// manifests are written anew without what only tests see, and `Cargo.lock` is pruned, so an edit elsewhere in the
    /// workspace, in the lock or in comments of a manifest changes nothing.
    ///
    /// Files outside the packages are joined where something names them by a literal: `include!` and its kin, `#[path]`,
    /// paths in a manifest, `../` paths in a build script, symbolic links, cargo's configuration. What a build computes the
    /// path of has to be added as an input; until then the build of the stage fails for want of it.
    ///
    /// ```
    /// use shipper_hash::{Tree, TreeOptions};
    /// # let directory = tempfile::tempdir()?;
    /// # std::fs::create_dir(directory.path().join("src"))?;
    /// # std::fs::write(directory.path().join("src/main.rs"), "fn main() {}\n")?;
    /// # std::fs::write(directory.path().join("Cargo.toml"), "[package]\nname = 'api'\nedition = '2024'\n")?;
    /// let tree = Tree::open(directory.path(), &TreeOptions::default())?;
    /// let mut context = tree.context(None)?;
    /// let closure = context.add_cargo("api")?;
    /// assert_eq!(closure.bins, ["api"]);
    /// assert_eq!(context.finish()?.manifest().entries().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Cargo`] for what is wrong with the manifests; [`Error::OutsideBase`] if the context has a base directory
    /// that does not hold the closure; the others of [`add`](Self::add).
    pub fn add_cargo(&mut self, package: &str) -> Result<CargoClosure, Error> {
        self.add_cargo_without(package, &[], None)
    }

    /// As [`add_cargo`](Self::add_cargo), without the files that one of the patterns `exclude` names (relative to the
    /// tree's root, as in [`Selection::exclude`]) or that `ignore` excludes, as in [`Selection::ignore`]. Manifests and the
    /// lock stay.
    ///
    /// # Errors
    /// As [`add_cargo`](Self::add_cargo), and [`Error::Pattern`].
    pub fn add_cargo_without(
        &mut self,
        package: &str,
        exclude: &[String],
        ignore: Option<&IgnoreFile>,
    ) -> Result<CargoClosure, Error> {
        let files = TreeFiles { tree: self.tree(), index: self.tree().cargo_index()? };
        let Plan { files: wanted, rendered, closure } = plan(&files, &files.index.memo, package)?;
        // What is rendered comes from files too: whether they may be used is for the walk to say.
        let used: BTreeSet<RelPath> = wanted.iter().chain(rendered.keys()).cloned().collect();
        for (path, bytes) in rendered {
            let inside = self.inside(&path)?;
            self.add_bytes(inside, bytes);
        }
        let (only, mut left_out) = limits(files.list(), &closure, &used);
        let only = only.map(|only| only.iter().map(|path| self.inside(path).map(Narrow::Prefix)).collect());
        left_out.extend_from_slice(exclude);
        let selection = Selection { only: only.transpose()?, exclude: left_out, ignore, ..Selection::default() };
        self.add_wanted(&selection, &wanted)?;
        Ok(closure)
    }

    /// `path` relative to the context's directory.
    fn inside(&self, path: &RelPath) -> Result<RelPath, Error> {
        let Some(base) = self.base() else { return Ok(path.clone()) };
        path.strip_prefix(base).ok_or_else(|| Error::OutsideBase {
            path: path.clone(),
            pattern: path.to_string(),
            base: base.clone(),
        })
    }
}

/// All packages of the tree that make a program, sorted by the path of their manifest.
///
/// Build directories and vendored packages are passed over, and so are manifests that cannot be parsed.
///
/// # Errors
/// [`Error::Io`] if the tree cannot be listed or a manifest cannot be read.
pub fn cargo_packages(tree: &Tree) -> Result<Vec<CargoPackage>, Error> {
    let index = tree.cargo_index()?;
    discover::packages(&TreeFiles { tree, index }, &index.memo)
}

/// What the walk for the wanted files may enter, and patterns for what it must not meet: a special file or a path that a
/// sparse checkout leaves out is an error where the closure could need it and nowhere else.
fn limits(list: &[Listed], closure: &CargoClosure, wanted: &BTreeSet<RelPath>) -> (Option<Vec<RelPath>>, Vec<String>) {
    let own: Vec<Option<RelPath>> = closure.members.iter().map(RelPath::parent).collect();
    let is_own = |path: &[u8]| own.iter().any(|dir| dir.as_ref().is_none_or(|dir| is_within(path, dir.as_bytes())));
    let manifests = list.iter().map(|listed| &listed.path).filter(|path| path.file_name() == b"Cargo.toml");
    let strangers = manifests.filter_map(RelPath::parent).filter(|dir| {
        let holds_wanted = wanted.range(dir.clone()..).next().is_some_and(|path| path.starts_with(dir));
        is_own(dir.as_bytes()) && !own.contains(&Some(dir.clone())) && !holds_wanted
    });
    let left_out = strangers.filter_map(|dir| dir.as_str().map(escaped)).collect();
    let only = own.iter().cloned().collect::<Option<BTreeSet<RelPath>>>().map(|mut only| {
        let mut others: Vec<RelPath> = wanted.iter().filter(|path| !is_own(path.as_bytes())).cloned().collect();
        // Every path of the tree is compared with every limit: many files, as of vendored packages, go by directory.
        if others.len() > MANY_LIMITS {
            for path in &mut others {
                *path = path.parent().unwrap_or_else(|| path.clone());
            }
            others.dedup();
        }
        only.extend(others);
        let mut limits: Vec<RelPath> = Vec::with_capacity(only.len());
        for path in only {
            // Sorted, so what lies below a directory often follows it; where it does not, a limit is idle.
            if !limits.last().is_some_and(|last| path.starts_with(last)) {
                limits.push(path);
            }
        }
        limits
    });
    (only, left_out)
}

/// The pattern that matches this path only.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for character in path.chars() {
        if matches!(character, '*' | '?' | '[' | '\\' | '!') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// The `Tracked` set of a tree and what was parsed of it: made once, for all closures of the tree.
#[derive(Debug)]
pub(crate) struct Index {
    list: Vec<Listed>,
    memo: Memo,
}

impl Index {
    pub(crate) fn new(tree: &Tree) -> Result<Self, Error> {
        let filter = Filter::new(None, &Selection::default(), None, tree.untracked())?;
        let (found, _) = filter.apply(tree.listing(), tree.reader(), Strictness::PassOver)?;
        let listed = found.files().map(|(directory, node)| {
            let path = RelPath::trusted(join(&directory.path, &node.name));
            Listed { path, is_link: node.kind == NodeKind::Symlink }
        });
        Ok(Self { list: listed.collect(), memo: Memo::default() })
    }
}

struct TreeFiles<'t> {
    tree: &'t Tree,
    index: &'t Index,
}

impl Files for TreeFiles<'_> {
    fn list(&self) -> &[Listed] {
        &self.index.list
    }

    fn read(&self, path: &RelPath) -> Result<Vec<u8>, Error> {
        let list = self.list();
        let at = list.binary_search_by(|listed| listed.path.cmp(path));
        if !at.is_ok_and(|at| list[at].is_link) {
            return self.tree.read(path);
        }
        self.tree.link_target(path)
    }
}
