//! The environment of the processes that this crate starts: passed in, cleared, and built up again from an allow-list.
//!
//! Invariants: no child inherits the environment of this process; `PATH` entries that are not absolute are never searched,
//! so a program cannot come from a directory that a repository chose.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Environment variables by name: the caller's own, from which children get only what an allow-list names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// What a compiler or a builder needs from the machine, and nothing that changes what it produces.
const MACHINE: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "RUSTUP_HOME",
    // Windows cannot start a process, find a home or a temporary directory without these.
    "SystemRoot",
    "SystemDrive",
    "USERPROFILE",
    "LOCALAPPDATA",
    "APPDATA",
    "ProgramFiles",
    "ProgramFiles(x86)",
    "TEMP",
    "TMP",
    "PATHEXT",
    "ComSpec",
];

/// What reaches a network through the user's proxy and trust settings.
const NETWORK: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "RUSTUP_AUTO_INSTALL",
];

impl Environment {
    /// An empty environment.
    #[must_use]
    pub fn new() -> Environment {
        Environment::default()
    }

    /// The environment of this process, read once.
    #[must_use]
    pub fn of_process() -> Environment {
        Environment(std::env::vars_os().collect())
    }

    /// The value of a variable; names are compared exactly, on every platform.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Sets a variable, replacing its value.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(OsStr::new(name));
    }

    /// All variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The home directory: `HOME`, else `USERPROFILE`; only if absolute.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        ["HOME", "USERPROFILE"]
            .iter()
            .filter_map(|name| self.get(name))
            .map(PathBuf::from)
            .find(|path| path.is_absolute())
    }

    /// The user's Cargo home: `CARGO_HOME`, else `.cargo` in the home directory.
    #[must_use]
    pub fn cargo_home(&self) -> Option<PathBuf> {
        self.directory("CARGO_HOME", ".cargo")
    }

    /// The user's rustup home: `RUSTUP_HOME`, else `.rustup` in the home directory.
    #[must_use]
    pub fn rustup_home(&self) -> Option<PathBuf> {
        self.directory("RUSTUP_HOME", ".rustup")
    }

    fn directory(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
        named.or_else(|| self.home().map(|home| home.join(below_home)))
    }

    /// The first file named `program` in an absolute directory of `PATH` that this user may execute.
    #[must_use]
    pub fn find_program(&self, program: &str) -> Option<PathBuf> {
        let path = self.get("PATH")?;
        let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(&name))
            .find(|file| is_executable(file))
    }

    /// What any tool may see: the machine's variables, without the network's.
    pub(crate) fn machine(&self) -> Environment {
        self.pick(|name| MACHINE.contains(&name))
    }

    /// [`Self::machine`] plus proxies and trust settings.
    pub(crate) fn machine_and_network(&self) -> Environment {
        self.pick(|name| MACHINE.contains(&name) || NETWORK.contains(&name))
    }

    /// What a command of the user may see: the machine's variables, its network settings, language and user; none that may
    /// hold a credential.
    #[must_use]
    pub fn for_commands(&self) -> Environment {
        let named = ["CARGO_HOME", "LANG", "LC_ALL", "USER", "LOGNAME"];
        self.pick(|name| MACHINE.contains(&name) || NETWORK.contains(&name) || named.contains(&name))
    }

    /// The variables whose names `keep` accepts; names that are not UTF-8 are left out.
    #[must_use]
    pub fn pick(&self, keep: impl Fn(&str) -> bool) -> Environment {
        Environment(
            self.0
                .iter()
                .filter(|(name, _)| name.to_str().is_some_and(&keep))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
        )
    }

    /// Adds the variables of `other`, which win over those already here.
    pub fn extend(&mut self, other: Environment) {
        self.0.extend(other.0);
    }

    /// Puts `dir` before everything else in `PATH`.
    pub(crate) fn prepend_path(&mut self, dir: &Path) {
        let old = self.get("PATH").map(OsStr::to_os_string).unwrap_or_default();
        let dirs = std::iter::once(dir.to_path_buf()).chain(std::env::split_paths(&old));
        // A directory whose name contains the separator cannot be in a `PATH`; then the old value stays.
        if let Ok(joined) = std::env::join_paths(dirs) {
            self.set("PATH", joined);
        }
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_caller_do_not_pass() {
        let caller: Environment =
            [("PATH", "/bin"), ("HOME", "/home/u"), ("CARGO_REGISTRY_TOKEN", "s3cret"), ("https_proxy", "p")]
                .into_iter()
                .collect();
        let machine = caller.machine();
        assert_eq!(machine.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["HOME", "PATH"]);
        assert_eq!(caller.machine_and_network().get("https_proxy"), Some(OsStr::new("p")));
    }

    #[test]
    fn a_relative_home_is_no_home() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let environment: Environment = variables.iter().copied().collect();
            assert_eq!(environment.cargo_home(), expected.map(PathBuf::from), "{variables:?}");
        };
        check(&[], None);
        check(&[("HOME", "here")], None);
        check(&[("HOME", "/h")], Some("/h/.cargo"));
        check(&[("HOME", "/h"), ("CARGO_HOME", "/c")], Some("/c"));
        check(&[("HOME", "/h"), ("CARGO_HOME", "c")], Some("/h/.cargo"));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_is_never_found_in_a_relative_directory() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        std::fs::write(&tool, "").unwrap();
        let path = |dirs: &str| [("PATH", dirs.to_owned())].into_iter().collect::<Environment>();
        let absolute = dir.path().to_str().unwrap();
        assert_eq!(path(absolute).find_program("tool"), None, "not executable");
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(path(&format!(".:relative:{absolute}")).find_program("tool"), Some(tool));
        assert_eq!(path(".:relative").find_program("tool"), None);
    }
}
