//! A Cargo home for compiling: the packages of the user's own, without the user's configuration and credentials.
//!
//! Packages are downloaded by `cargo fetch` into the user's home, with the user's mirrors and credentials, so that every
//! project shares them. Compiling is offline, in a home of its own whose `registry` and `git` are links to the user's;
//! its configuration has source replacement and registry addresses only, without which Cargo would not find what was
//! downloaded from a mirror. Where there are no symbolic links (Windows), the user's home itself is used.

use std::fs;
use std::path::{Path, PathBuf};

use super::config;
use crate::environment::Environment;
use crate::error::BuildError;

/// Parts of a Cargo home that hold packages.
const SHARED: [&str; 2] = ["registry", "git"];

/// The Cargo homes of a build.
#[derive(Debug)]
pub(super) struct Homes {
    /// For compiling.
    pub(super) own: PathBuf,
    /// For downloading.
    pub(super) user: PathBuf,
}

impl Homes {
    /// Prepares a home for compiling in `work`.
    ///
    /// # Errors
    /// [`BuildError::CargoConfig`] when the user's configuration is not TOML; [`BuildError::Io`].
    pub(super) fn prepare(work: &Path, environment: &Environment) -> Result<Homes, BuildError> {
        let own = work.join("cargo-home");
        let user = match environment.cargo_home() {
            Some(user) if cfg!(unix) => user,
            Some(user) => return Ok(Homes { own: user.clone(), user }),
            None => own.clone(),
        };
        fs::create_dir_all(&own).map_err(BuildError::io("create", &own))?;
        let homes = Homes { own, user };
        if homes.own != homes.user {
            homes.write_config()?;
            homes.link()?;
        }
        Ok(homes)
    }

    /// Links what there is to share; to be repeated after a download, which may be the first on this machine.
    pub(super) fn link(&self) -> Result<(), BuildError> {
        if self.own == self.user {
            return Ok(());
        }
        for name in SHARED {
            let (link, target) = (self.own.join(name), self.user.join(name));
            if !target.is_dir() || fs::read_link(&link).is_ok_and(|old| old == target) {
                continue;
            }
            // A link to another home, or a directory from before there was a home to share.
            if fs::remove_file(&link).is_err() {
                let _ = fs::remove_dir_all(&link);
            }
            symlink(&target, &link).map_err(BuildError::io("create", &link))?;
        }
        Ok(())
    }

    fn write_config(&self) -> Result<(), BuildError> {
        let names = ["config", "config.toml"];
        let table = match names.iter().map(|name| self.user.join(name)).find(|file| file.is_file()) {
            // Relative paths in it are relative to the directory that the home is in.
            Some(file) => config::sources_of(&config::read_table(&file)?, self.user.parent().unwrap_or(&self.user)),
            None => toml::Table::new(),
        };
        let path = self.own.join("config.toml");
        fs::write(&path, table.to_string()).map_err(BuildError::io("write", &path))
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_shared_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (user, work) = (dir.path().join("user"), dir.path().join("work"));
        fs::create_dir_all(user.join("registry/src")).unwrap();
        fs::write(user.join("config.toml"), "[build]\njobs = 1\n[source.a]\ndirectory = \"v\"\n").unwrap();
        fs::write(user.join("credentials.toml"), "[registry]\ntoken = \"s3cret\"\n").unwrap();
        let environment: Environment = [("CARGO_HOME", user.as_os_str())].into_iter().collect();
        let homes = Homes::prepare(&work, &environment).unwrap();
        assert!(homes.own.join("registry/src").is_dir() && !homes.own.join("git").exists());
        let config = fs::read_to_string(homes.own.join("config.toml")).unwrap();
        assert!(config.contains(dir.path().join("v").to_str().unwrap()) && !config.contains("build"), "{config}");
        assert!(!homes.own.join("credentials.toml").exists());
        fs::create_dir(user.join("git")).unwrap();
        homes.link().unwrap();
        assert_eq!(fs::read_link(homes.own.join("git")).unwrap(), user.join("git"));
        let other = dir.path().join("other");
        fs::create_dir_all(other.join("git")).unwrap();
        let environment: Environment = [("CARGO_HOME", other.as_os_str())].into_iter().collect();
        let homes = Homes::prepare(&work, &environment).unwrap();
        assert_eq!(fs::read_link(homes.own.join("git")).unwrap(), other.join("git"));
        assert!(user.join("git").is_dir(), "a link is replaced, not what it leads to");
    }

    #[test]
    fn without_a_home_the_build_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let homes = Homes::prepare(dir.path(), &Environment::new()).unwrap();
        assert_eq!(homes.own, homes.user);
        homes.link().unwrap();
    }
}
