//! Flags and variables of a compilation: what is set, what a recipe may not set, and which paths are mapped away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::metadata::Package;
use crate::environment::Environment;
use crate::error::BuildError;

/// Variables that the build decides. `RUSTFLAGS` would switch every other source of flags off.
const RESERVED: &[&str] = &[
    "CARGO_HOME",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_BUILD_INCREMENTAL",
    "RUSTFLAGS",
    "RUSTC",
    "CARGO_BUILD_RUSTC",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
];

/// Refuses variables that the build decides, and names that are none.
///
/// # Errors
/// [`BuildError::ReservedVariable`]; [`BuildError::Unsupported`].
pub(super) fn check_environment(env: &BTreeMap<String, String>) -> Result<(), BuildError> {
    for (name, value) in env {
        if RESERVED.contains(&name.as_str()) || (name.starts_with("CARGO_") && name.ends_with("_RUSTFLAGS")) {
            return Err(BuildError::ReservedVariable { name: name.clone() });
        }
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(BuildError::Unsupported { what: format!("an environment variable `{}`", name.escape_debug()) });
        }
    }
    Ok(())
}

/// Variables with which Cargo downloads: settings of the network, registries and their tokens, ssh for git.
pub(super) fn is_for_fetching(name: &str) -> bool {
    let prefixes =
        ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_", "GIT_", "SSH_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Variables that say where packages come from; without them nothing that came from there is found offline.
pub(super) fn is_source_address(name: &str) -> bool {
    let suffixes = ["_INDEX", "_PROTOCOL"];
    name.starts_with("CARGO_SOURCE_")
        || (name.starts_with("CARGO_REGISTRIES_") && suffixes.iter().any(|suffix| name.ends_with(suffix)))
}

/// The variable that names the linker of a target.
pub(super) fn linker_variable(target: &str) -> String {
    format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace(['-', '.'], "_"))
}

/// Path flags for C and C++ code that build scripts compile for the target, unless the recipe sets such flags itself or
/// a path has a blank, which these variables cannot express.
pub(super) fn c_compiler(target: &str, env: &BTreeMap<String, String>, paths: &[(PathBuf, String)]) -> Environment {
    let set = env.keys().any(|name| name.contains("CFLAGS") || name.contains("CXXFLAGS"));
    let flags: Vec<String> =
        paths.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).collect();
    if set || flags.iter().any(|flag| flag.contains(char::is_whitespace)) {
        return Environment::new();
    }
    let target = target.replace('-', "_");
    ["CFLAGS", "CXXFLAGS"].iter().map(|name| (format!("{name}_{target}"), flags.join(" "))).collect()
}

/// Where the sources of packages are that do not lie in the stage, and what they are to be called. Both the path that
/// Cargo uses and the one behind links appear in compiled code.
pub(super) fn package_paths(packages: &[Package], stage: &Path, cargo_home: &Path) -> Vec<(PathBuf, String)> {
    let checkouts = cargo_home.join("git").join("checkouts");
    let mut dirs: BTreeSet<(PathBuf, &str)> = BTreeSet::new();
    for package in packages.iter().filter(|package| package.source.is_some()) {
        if package.manifest_path.starts_with(stage) {
            continue;
        }
        if package.manifest_path.starts_with(&checkouts) {
            dirs.insert((checkouts.clone(), "/cargo/git/checkouts"));
        } else if let Some(dir) = package.manifest_path.parent().and_then(Path::parent) {
            // The directory of a registry is named after its address, which differs between mirrors.
            dirs.insert((dir.to_path_buf(), "/cargo/registry/src"));
        }
    }
    let real: Vec<_> = dirs.iter().filter_map(|(dir, to)| Some((dir.canonicalize().ok()?, *to))).collect();
    dirs.extend(real);
    dirs.into_iter().map(|(from, to)| (from, to.to_owned())).collect()
}

/// `--remap-path-prefix` flags. The compiler applies the last one that matches, so inner directories come last.
pub(super) fn remap(mut paths: Vec<(PathBuf, String)>) -> Vec<String> {
    paths.sort_by_key(|(from, _)| from.as_os_str().len());
    paths.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

/// Whether a file contains `needle` anywhere. Reads it in pieces.
pub(super) fn contains(file: &Path, needle: &[u8]) -> std::io::Result<bool> {
    const PIECE: u64 = 1 << 20;
    let finder = memchr::memmem::Finder::new(needle);
    let mut file = File::open(file)?;
    let mut window = Vec::new();
    loop {
        let keep = window.len().min(needle.len().saturating_sub(1));
        window.drain(..window.len() - keep);
        if Read::by_ref(&mut file).take(PIECE).read_to_end(&mut window)? == 0 {
            return Ok(false);
        }
        if finder.find(&window).is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_the_build_decides_are_refused() {
        let check = |name: &str, fine: bool| {
            let env = BTreeMap::from([(name.to_owned(), String::new())]);
            assert_eq!(check_environment(&env).is_ok(), fine, "{name}");
        };
        check("DATABASE_URL", true);
        check("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", true);
        check("CARGO_PROFILE_RELEASE_LTO", true);
        for name in ["RUSTFLAGS", "CARGO_TARGET_X_RUSTFLAGS", "CARGO_HOME", "RUSTUP_TOOLCHAIN", "", "A=B", "A\0"] {
            check(name, false);
        }
        let env = BTreeMap::from([("RUSTFLAGS".to_owned(), String::new())]);
        assert!(check_environment(&env).unwrap_err().hint().unwrap().contains("rustflags"));
    }

    #[test]
    fn tokens_reach_downloads_only() {
        assert!(is_for_fetching("CARGO_REGISTRIES_OWN_TOKEN") && !is_source_address("CARGO_REGISTRIES_OWN_TOKEN"));
        assert!(is_source_address("CARGO_REGISTRIES_OWN_INDEX"));
        assert!(!is_for_fetching("AWS_SECRET_ACCESS_KEY"));
    }

    #[test]
    fn inner_directories_are_mapped_last() {
        let paths = vec![(PathBuf::from("/w/target"), "/target".to_owned()), (PathBuf::from("/w"), "/src".to_owned())];
        assert_eq!(remap(paths.clone()), ["--remap-path-prefix=/w=/src", "--remap-path-prefix=/w/target=/target"]);
        let flags = c_compiler("x86_64-unknown-linux-gnu", &BTreeMap::new(), &paths);
        let value = flags.get("CFLAGS_x86_64_unknown_linux_gnu").unwrap();
        assert_eq!(value, "-ffile-prefix-map=/w/target=/target -ffile-prefix-map=/w=/src");
        let own = BTreeMap::from([("TARGET_CFLAGS".to_owned(), "-g".to_owned())]);
        assert_eq!(c_compiler("t", &own, &paths), Environment::new());
        assert_eq!(c_compiler("t", &BTreeMap::new(), &[("/a b".into(), "/x".into())]), Environment::new());
    }

    #[test]
    fn a_needle_is_found_across_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for at in [0, 100, (1 << 20) - 3, (1 << 20), (2 << 20) - 1] {
            let mut bytes = vec![b'.'; 3 << 20];
            bytes[at..at + 6].copy_from_slice(b"needle");
            std::fs::write(&path, &bytes).unwrap();
            assert!(contains(&path, b"needle").unwrap(), "{at}");
            assert!(!contains(&path, b"needles").unwrap(), "{at}");
        }
    }
}
