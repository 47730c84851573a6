//! What a repository without a configuration holds that could become an image.

use shipper_hash::Tree;
use shipper_plan::{Discovered, DiscoveredDockerfile, DiscoveredPackage};

use crate::Error;

/// Cargo packages with binaries and Dockerfiles among the project's files.
///
/// What lies below a directory `examples`, `fixtures`, `testdata` or `tests` is somebody's material, not a service.
///
/// # Errors
/// [`Error::Tree`] where a manifest can not be read.
pub(crate) fn discovered(tree: &Tree) -> Result<Discovered, Error> {
    let material =
        |path: &str| path.split('/').any(|part| matches!(part, "examples" | "fixtures" | "testdata" | "tests"));
    let packages = shipper_hash::cargo_packages(tree)
        .map_err(Error::Tree)?
        .into_iter()
        .filter(|package| !package.bins.is_empty())
        .filter(|package| !package.dir.as_ref().is_some_and(|dir| material(&dir.to_string())))
        .map(|package| DiscoveredPackage { name: package.name, bins: package.bins, default_run: package.default_run })
        .collect();
    let dockerfiles = tree
        .tracked()
        .map_err(Error::Tree)?
        .iter()
        .filter_map(|path| std::str::from_utf8(path.as_bytes()).ok())
        .filter(|path| !material(path))
        .filter(|path| {
            let file = path.rsplit('/').next().unwrap_or(path);
            file == "Dockerfile"
                || file.ends_with(".Dockerfile")
                || (file.starts_with("Dockerfile.") && !file.ends_with(".dockerignore"))
        })
        .map(|path| DiscoveredDockerfile { path: path.to_owned() })
        .collect();
    Ok(Discovered { packages, dockerfiles })
}
