//! Where builders keep the layers of steps between machines.
//!
//! Invariants: a cache that cannot be read or written fails no build (a build only reads, writing is a call of its own
//! after the image is there); a directory is replaced as a whole, so that it does not grow and is never half written.

use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::error::BuildError;
use crate::request::csv;

/// The variables of GitHub's cache service; `run:` steps of a workflow do not have them by themselves.
const GHA: [&str; 4] =
    ["ACTIONS_RUNTIME_TOKEN", "ACTIONS_RESULTS_URL", "ACTIONS_CACHE_URL", "ACTIONS_CACHE_SERVICE_V2"];

/// A layer cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cache {
    /// Under this reference of a registry.
    Registry(String),
    /// GitHub's cache service, which keeps branches apart by itself.
    Gha {
        /// Name of the cache; one for each image and platform.
        scope: String,
    },
    /// In this directory, which holds nothing else.
    Local(PathBuf),
}

impl Cache {
    /// Whether the machine has what the cache needs besides a builder.
    #[must_use]
    pub fn is_reachable(&self, environment: &Environment) -> bool {
        let has = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
        match self {
            Cache::Gha { .. } => {
                has("ACTIONS_RUNTIME_TOKEN") && (has("ACTIONS_RESULTS_URL") || has("ACTIONS_CACHE_URL"))
            }
            Cache::Registry(_) | Cache::Local(_) => true,
        }
    }

    /// The value of `--cache-from` (buildx reference, "cache backends").
    pub(crate) fn import(&self) -> String {
        match self {
            Cache::Registry(reference) => csv(&["type=registry", &format!("ref={reference}")]),
            Cache::Gha { scope } => csv(&["type=gha", &format!("scope={scope}")]),
            Cache::Local(directory) => csv(&["type=local", &format!("src={}", directory.display())]),
        }
    }

    /// The value of `--cache-to`: every step's layers, and in a registry in the form that Amazon ECR takes too.
    pub(crate) fn export(&self) -> String {
        match self {
            Cache::Registry(reference) => csv(&[
                "type=registry",
                &format!("ref={reference}"),
                "mode=max",
                "image-manifest=true",
                "oci-mediatypes=true",
            ]),
            Cache::Gha { scope } => csv(&["type=gha", &format!("scope={scope}"), "mode=max"]),
            Cache::Local(directory) => {
                csv(&["type=local", &format!("dest={}", incoming(directory).display()), "mode=max"])
            }
        }
    }

    /// The variables that the builder's client must see for it.
    pub(crate) fn variables(&self, environment: &Environment) -> Environment {
        match self {
            Cache::Gha { .. } => environment.pick(|name| GHA.contains(&name)),
            Cache::Registry(_) | Cache::Local(_) => Environment::new(),
        }
    }

    /// Makes room for what is exported.
    pub(crate) fn prepare(&self) -> Result<(), BuildError> {
        let Cache::Local(directory) = self else { return Ok(()) };
        remove(&incoming(directory))?;
        match directory.parent() {
            Some(parent) => std::fs::create_dir_all(parent).map_err(BuildError::io("create", parent)),
            None => Ok(()),
        }
    }

    /// Puts what was exported into its place.
    pub(crate) fn finish(&self) -> Result<(), BuildError> {
        let Cache::Local(directory) = self else { return Ok(()) };
        remove(directory)?;
        std::fs::rename(incoming(directory), directory).map_err(BuildError::io("write", directory))
    }
}

/// Where a directory is written before it takes its place.
fn incoming(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn remove(directory: &Path) -> Result<(), BuildError> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BuildError::io("remove", directory)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_flags() {
        let check = |cache: &Cache, import: &str, export: &str| {
            assert_eq!((cache.import().as_str(), cache.export().as_str()), (import, export));
        };
        check(
            &Cache::Registry("r.io/a:cache-x".to_owned()),
            "type=registry,ref=r.io/a:cache-x",
            "type=registry,ref=r.io/a:cache-x,mode=max,image-manifest=true,oci-mediatypes=true",
        );
        check(&Cache::Gha { scope: "a-b".to_owned() }, "type=gha,scope=a-b", "type=gha,scope=a-b,mode=max");
        let local = Cache::Local(PathBuf::from("/c,d"));
        check(&local, "type=local,\"src=/c,d\"", "type=local,\"dest=/c,d.new\",mode=max");
    }

    #[test]
    fn the_cache_of_github_needs_its_variables_and_gets_no_others() {
        let gha = Cache::Gha { scope: "a".to_owned() };
        let none: Environment = [("HOME", "/h")].into_iter().collect();
        assert!(!gha.is_reachable(&none));
        let some: Environment =
            [("HOME", "/h"), ("ACTIONS_RUNTIME_TOKEN", "t"), ("ACTIONS_RESULTS_URL", "u")].into_iter().collect();
        assert!(gha.is_reachable(&some));
        assert_eq!(gha.variables(&some).iter().count(), 2);
        assert_eq!(Cache::Registry("r.io/a:b".to_owned()).variables(&some).iter().count(), 0);
    }

    #[test]
    fn a_directory_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let place = dir.path().join("below/cache");
        let cache = Cache::Local(place.clone());
        for content in ["old", "new"] {
            cache.prepare().expect("prepares");
            std::fs::create_dir(incoming(&place)).expect("creates");
            std::fs::write(incoming(&place).join(content), content).expect("writes");
            cache.finish().expect("finishes");
        }
        let names: Vec<_> =
            std::fs::read_dir(&place).expect("reads").map(|entry| entry.expect("one").file_name()).collect();
        assert_eq!(names, ["new"]);
        assert!(cache.finish().is_err(), "nothing was exported");
    }
}
