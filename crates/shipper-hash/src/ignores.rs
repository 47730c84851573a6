//! The ignore files of a tree, each read when the first untracked name asks for it.
//!
//! Most names are tracked, and those no rule is asked for: where all are, no ignore file is opened. Invariant: the answer
//! is that of reading every file on the way down. Nothing here recurses: paths may have two thousand parts.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use crate::Error;
use crate::fs::{Root, is_absent};
use crate::gitignore::Rules;
use crate::path::platform_path;
use crate::repository::MAX_IGNORE_FILE;

/// The name of an ignore file.
pub(crate) const IGNORE_FILE: &[u8] = b".gitignore";

/// What decides below a directory, down to directories with ignore files of their own.
#[derive(Debug)]
pub(crate) struct Ignores {
    /// The directory, relative to the repository's top level.
    path: Vec<u8>,
    fold_case: bool,
    /// What decides above, and the directory of the file relative to the tree's root; `None` if all is known at once.
    unread: Option<(Arc<Ignores>, Vec<u8>)>,
    known: OnceLock<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    rules: Option<Arc<Rules>>,
    /// Everything untracked in the directory is ignored, whatever the rules say.
    ignored: bool,
}

impl Ignores {
    /// `rules` for what lies in the directory `path`, or `ignored` for all of it.
    pub(crate) fn known(path: Vec<u8>, fold_case: bool, rules: Option<Arc<Rules>>, ignored: bool) -> Arc<Self> {
        Arc::new(Self { path, fold_case, unread: None, known: OnceLock::from(Known { rules, ignored }) })
    }

    /// The same with the ignore file of a directory below: `path` relative to the repository, `directory` to the tree.
    pub(crate) fn with_file(self: &Arc<Self>, path: &[u8], directory: &[u8]) -> Arc<Self> {
        let unread = Some((self.clone(), directory.to_vec()));
        Arc::new(Self { path: path.to_vec(), fold_case: self.fold_case, unread, known: OnceLock::new() })
    }

    /// Whether everything untracked in the directory `path` is ignored.
    ///
    /// # Errors
    /// [`Error::Io`] if an ignore file cannot be read.
    pub(crate) fn ignore_all(&self, root: &Root, path: &[u8]) -> Result<bool, Error> {
        Ok(self.read(root)?.ignore_all(&self.path, path))
    }

    /// Whether git ignores `path`, in a directory that is not ignored as a whole.
    ///
    /// # Errors
    /// [`Error::Io`] if an ignore file cannot be read.
    pub(crate) fn ignore(&self, root: &Root, path: &[u8], is_directory: bool) -> Result<bool, Error> {
        Ok(self.read(root)?.rules.as_ref().is_some_and(|rules| rules.ignores(path, is_directory)))
    }

    fn read(&self, root: &Root) -> Result<&Known, Error> {
        let mut waiting = Vec::new();
        let mut above = self;
        let mut known = loop {
            match (above.known.get(), &above.unread) {
                (Some(known), _) => break known,
                (None, Some((next, directory))) => {
                    waiting.push((above, directory));
                    above = next;
                }
                (None, None) => unreachable!("what has no file is known"),
            }
        };
        while let Some((ignores, directory)) = waiting.pop() {
            let mut next = known.clone();
            next.ignored = known.ignore_all(&above.path, &ignores.path);
            // The rules of an ignored directory do not count.
            if !next.ignored
                && let Some(content) = read_file(root, directory)?
            {
                next.rules = Some(Rules::parse(&content, &ignores.path, ignores.fold_case, next.rules));
            }
            (above, known) = (ignores, ignores.known.get_or_init(|| next));
        }
        Ok(known)
    }
}

impl Known {
    /// Whether the directory `path`, at or below `known`, or one between them is ignored.
    fn ignore_all(&self, known: &[u8], path: &[u8]) -> bool {
        let is_end = |at: &usize| *at == path.len() || path[*at] == b'/';
        let mut ends = (known.len() + 1..=path.len()).filter(is_end);
        self.ignored || self.rules.as_ref().is_some_and(|rules| ends.any(|end| rules.ignores(&path[..end], true)))
    }
}

/// The ignore file of a directory. A link is none (as in git since 2.32), nor is anything but a file.
fn read_file(root: &Root, directory: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let read = || {
        let file = root.directory(directory)?.open(IGNORE_FILE)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > MAX_IGNORE_FILE {
            return Ok(None);
        }
        // Room for all of it at once: most are small and read by the hundred.
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
        file.take(MAX_IGNORE_FILE).read_to_end(&mut content)?;
        Ok(Some(content))
    };
    match read() {
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => {
            let path = root.path().join(platform_path(directory)?).join(".gitignore");
            Err(Error::io("read", &path, source))
        }
        result => Ok(result.unwrap_or_default()),
    }
}
