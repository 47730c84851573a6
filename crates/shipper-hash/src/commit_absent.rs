//! Stands in for `commit` in builds without the feature `git`: there are no commits.

use crate::Error;
use crate::content::Hashed;

pub(crate) type ObjectName = Box<[u8]>;
pub(crate) type TreeEntry = (Box<[u8]>, InTree, ObjectName);

#[derive(Debug)]
pub(crate) enum Commit {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "the shape of the other module")]
pub(crate) enum InTree {
    File { executable: bool },
    Symlink,
    Directory,
    Submodule,
}

impl Commit {
    pub(crate) fn list(&self, _: &[u8], _: &[u8]) -> Result<Vec<TreeEntry>, Error> {
        match *self {}
    }

    pub(crate) fn known(&self, _: &[u8]) -> Option<Hashed> {
        match *self {}
    }

    pub(crate) fn remember(&self, _: &[u8], _: &Hashed) {
        match *self {}
    }

    pub(crate) fn blob(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, Error> {
        match *self {}
    }
}
