//! Which files are lock files, by their names.

use crate::component::Bill;
use crate::{Error, Result};

/// A format of lock files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockFormat {
    /// `Cargo.lock`.
    Cargo,
    /// `package-lock.json` and `npm-shrinkwrap.json`.
    Npm,
    /// `pnpm-lock.yaml`.
    Pnpm,
    /// `requirements.txt`.
    Requirements,
    /// `poetry.lock`.
    Poetry,
    /// `uv.lock`.
    Uv,
}

impl LockFormat {
    /// The format of the file at `path` (with `/` between its parts); `None` for what is no lock file, or belongs to an
    /// installed package.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
        if directories.split('/').any(|part| matches!(part, "node_modules" | "site-packages" | "vendor")) {
            return None;
        }
        Some(match name {
            "Cargo.lock" => Self::Cargo,
            "package-lock.json" | "npm-shrinkwrap.json" => Self::Npm,
            "pnpm-lock.yaml" => Self::Pnpm,
            "requirements.txt" => Self::Requirements,
            "poetry.lock" => Self::Poetry,
            "uv.lock" => Self::Uv,
            _ => return None,
        })
    }

    /// The usual name of such files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cargo => "Cargo.lock",
            Self::Npm => "package-lock.json",
            Self::Pnpm => "pnpm-lock.yaml",
            Self::Requirements => "requirements.txt",
            Self::Poetry => "poetry.lock",
            Self::Uv => "uv.lock",
        }
    }

    /// The packages of a file.
    ///
    /// # Errors
    /// [`Error::LockFile`].
    pub fn read(self, bytes: &[u8]) -> Result<Bill> {
        match self {
            Self::Cargo => crate::cargo_lock(bytes),
            Self::Npm => crate::npm_lock(bytes),
            Self::Pnpm => crate::pnpm_lock(bytes),
            Self::Requirements => crate::requirements(bytes),
            Self::Poetry => crate::poetry_lock(bytes),
            Self::Uv => crate::uv_lock(bytes),
        }
    }

    /// The error for a file that is longer than the caller reads, `limit` in bytes.
    #[must_use]
    pub fn too_large(self, limit: u64) -> Error {
        Error::LockFile { format: self.name(), reason: format!("it is larger than {limit} bytes") }
    }
}

#[cfg(test)]
mod tests {
    use super::LockFormat;

    #[test]
    fn lock_files_are_known_by_name_outside_of_installed_packages() {
        assert_eq!(LockFormat::of("Cargo.lock"), Some(LockFormat::Cargo));
        assert_eq!(LockFormat::of("a/b/Cargo.lock"), Some(LockFormat::Cargo));
        for path in ["a/vendor/b/Cargo.lock", "a/node_modules/b/Cargo.lock", "Cargo.toml", "Cargo.lock/x", ""] {
            assert_eq!(LockFormat::of(path), None, "{path}");
        }
    }
}
