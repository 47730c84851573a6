//! `umoci`: unpacks an OCI layout as a runtime would see it, and makes small base images without a daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tool::{Skip, require_tool, run};

/// An installed `umoci`.
#[derive(Clone, Debug)]
pub struct Umoci(PathBuf);

impl Umoci {
    /// # Errors
    /// If `umoci` is not installed.
    pub fn find() -> Result<Self, Skip> {
        require_tool("umoci").map(Self)
    }

    /// Runs umoci.
    ///
    /// # Panics
    /// If it fails; the message holds what it printed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) {
        run(Command::new(&self.0).args(arguments));
    }

    /// Unpacks `tag` of the layout at `layout` and gives the root file system, which is below `to`.
    ///
    /// # Panics
    /// If umoci fails.
    #[track_caller]
    #[must_use]
    pub fn unpack(&self, layout: &Path, tag: &str, to: &Path) -> PathBuf {
        let mut command = Command::new(&self.0);
        command.arg("unpack");
        if !is_root() {
            command.arg("--rootless");
        }
        run(command.arg("--image").arg(image(layout, tag)).arg(to));
        to.join("rootfs")
    }

    /// Makes a layout at `layout` (which must not exist) with one image `tag` that holds these files
    /// (host path, path in the image).
    ///
    /// # Panics
    /// If umoci fails.
    #[track_caller]
    pub fn image(&self, layout: &Path, tag: &str, files: &[(&Path, &str)]) {
        let name = image(layout, tag);
        run(Command::new(&self.0).arg("init").arg("--layout").arg(layout));
        run(Command::new(&self.0).args(["new", "--image", &name]));
        for (from, to) in files {
            let mut command = Command::new(&self.0);
            command.args(["insert", "--image", &name]);
            if !is_root() {
                command.arg("--rootless");
            }
            run(command.arg(from).arg(to));
        }
    }
}

fn image(layout: &Path, tag: &str) -> String {
    format!("{}:{tag}", layout.display())
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
