//! `init`: a `shipper.toml` from what is found, and a minimal `.dockerignore` for Dockerfile contexts without one.

use std::path::PathBuf;

use shipper_hash::{Tree, TreeOptions};
use shipper_oci::Platform;
use shipper_plan::ContextConfig;

use crate::discover::discovered;
use crate::project::CONFIG_FILE;
use crate::{Error, Options};

/// What [`init`] wrote and found.
#[derive(Debug, Clone)]
pub struct Initialised {
    /// Files written.
    pub files: Vec<PathBuf>,
    /// Names of the services found, sorted.
    pub services: Vec<String>,
}

/// What a build context hardly ever needs, and what makes it change without need.
const DOCKERIGNORE: &str = "# What no image needs.\n.git\n.shipper\ntarget\nnode_modules\n";

/// Writes `shipper.toml` into the directory.
///
/// # Errors
/// [`Error::Exists`] where there is one and `force` is not given; [`Error::Write`].
pub fn init(options: &Options, force: bool) -> Result<Initialised, Error> {
    let read = |source| Error::Read { path: options.directory.clone(), source };
    let root = options.directory.canonicalize().map_err(read)?;
    let path = root.join(CONFIG_FILE);
    if path.exists() && !force {
        return Err(Error::Exists { path });
    }
    let tree = Tree::open(&root, &TreeOptions::default()).map_err(Error::Tree)?;
    let found = discovered(&tree)?;
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut config = shipper_plan::discover(&found, &name);
    for service in config.service.values_mut() {
        // Written down, so that a colleague's other machine does not mean another image.
        service.platforms = vec![Platform::host().to_string()];
    }
    write_file(&path, shipper_plan::render(&config).as_bytes())?;
    let mut files = vec![path];
    for service in config.service.values().filter(|service| service.dockerfile.is_some()) {
        let context = match &service.context {
            Some(ContextConfig::Directory(directory)) => directory.as_str(),
            Some(ContextConfig::Closure(_)) | None => ".",
        };
        let ignore = root.join(context).join(".dockerignore");
        if !ignore.exists() && !files.contains(&ignore) {
            write_file(&ignore, DOCKERIGNORE.as_bytes())?;
            files.push(ignore);
        }
    }
    Ok(Initialised { files, services: config.service.into_keys().collect() })
}

/// Writes a file whole or not at all.
///
/// # Errors
/// [`Error::Write`].
pub fn write_file(path: &std::path::Path, bytes: &[u8]) -> Result<(), Error> {
    shipper_oci::atomic::write(path, bytes).map_err(|source| Error::Write { path: path.to_owned(), source })
}
