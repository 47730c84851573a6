//! Cargo's configuration: what of it reaches a build, and how flags are added without losing the repository's own.
//!
//! Cargo reads `.cargo/config.toml` in its working directory and in every directory above, and in its home. A build must
//! depend on the stage alone, so Cargo runs in the root directory, and the files that lie in the stage, from its top
//! down to the workspace root, are handed over by `--config`. Paths in them stay relative to where they are.
//!
//! Compiler flags come from the first of `target.*.rustflags` and `build.rustflags` that is set; setting either anew
//! would switch the repository's off. So flags are added under every key that the repository uses (arrays are joined by
//! Cargo), and under `build.rustflags`.
//!
//! Source: the Cargo book, "Configuration", sections "Hierarchical structure", "Command-line overrides",
//! "build.rustflags".

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::error::BuildError;

/// Included files are followed this deep.
const MAX_DEPTH: usize = 8;

/// Tables that say where packages come from and how the network is used, but not what is built.
const HARMLESS: &[&str] =
    &["source", "registries", "registry", "net", "http", "term", "cache", "credential-alias", "alias"];

/// The configuration that lies in the stage.
#[derive(Debug, Default, PartialEq)]
pub(super) struct StagedConfig {
    /// Outermost first; later ones win.
    files: Vec<PathBuf>,
    /// Flags by key, such as `build` or `target."cfg(unix)"`.
    rustflags: BTreeMap<String, Flags>,
    linkers: BTreeSet<String>,
    env: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Flags {
    Array,
    Text(String),
}

impl StagedConfig {
    /// Reads the configuration files from `stage` down to `workspace_root`, which lies in it.
    ///
    /// # Errors
    /// [`BuildError::CargoConfig`] for a file that is not TOML; [`BuildError::Io`].
    pub(super) fn read(stage: &Path, workspace_root: &Path) -> Result<StagedConfig, BuildError> {
        let mut config = StagedConfig::default();
        let mut dirs: Vec<&Path> = workspace_root.ancestors().take_while(|dir| dir.starts_with(stage)).collect();
        dirs.reverse();
        for dir in dirs {
            // Cargo prefers the name without an extension where both exist.
            let names = [".cargo/config", ".cargo/config.toml"];
            if let Some(file) = names.iter().map(|name| dir.join(name)).find(|file| file.is_file()) {
                config.note(&file, 0)?;
                config.files.push(file);
            }
        }
        Ok(config)
    }

    fn note(&mut self, file: &Path, depth: usize) -> Result<(), BuildError> {
        let table = read_table(file)?;
        let included = match table.get("include") {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        for entry in included {
            let path = entry.as_str().or_else(|| entry.get("path").and_then(Value::as_str));
            let path = path.map(|path| file.parent().unwrap_or(file).join(path)).filter(|path| path.is_file());
            if let Some(path) = path.filter(|_| depth < MAX_DEPTH) {
                self.note(&path, depth + 1)?;
            }
        }
        if let Some(build) = table.get("build") {
            self.note_flags("build".to_owned(), build);
        }
        for (name, target) in table.get("target").and_then(Value::as_table).into_iter().flatten() {
            self.note_flags(format!("target.{}", Value::String(name.clone())), target);
            if target.get("linker").is_some() {
                self.linkers.insert(name.clone());
            }
        }
        self.env.extend(table.get("env").and_then(Value::as_table).into_iter().flatten().map(|(name, _)| name.clone()));
        Ok(())
    }

    fn note_flags(&mut self, key: String, table: &Value) {
        let flags = match table.get("rustflags") {
            Some(Value::Array(_)) => Flags::Array,
            Some(Value::String(text)) => Flags::Text(text.clone()),
            _ => return,
        };
        self.rustflags.insert(key, flags);
    }

    /// Whether the repository names a linker for `target`.
    pub(super) fn has_linker(&self, target: &str) -> bool {
        self.linkers.contains(target)
    }

    /// Whether the repository sets flags of the C compiler.
    pub(super) fn sets_c_flags(&self) -> bool {
        self.env.iter().any(|name| name.contains("CFLAGS") || name.contains("CXXFLAGS"))
    }

    /// The `--config` arguments that hand over the files.
    pub(super) fn file_args(&self) -> Result<Vec<String>, BuildError> {
        let mut args = Vec::new();
        for file in &self.files {
            let path = file.to_str().ok_or_else(|| BuildError::Unsupported {
                what: format!("a Cargo workspace in {}, which is not UTF-8,", file.display()),
            })?;
            args.extend(["--config".to_owned(), path.to_owned()]);
        }
        Ok(args)
    }

    /// The `--config` arguments that add `flags` to the repository's.
    ///
    /// # Errors
    /// [`BuildError::Unsupported`] when the repository writes its flags as one text and one of `flags` has a blank.
    pub(super) fn flag_args(&self, flags: &[String]) -> Result<Vec<String>, BuildError> {
        let mut keys = self.rustflags.clone();
        keys.entry("build".to_owned()).or_insert(Flags::Array);
        let mut args = Vec::new();
        for (key, form) in keys {
            let value = match form {
                Flags::Array => Value::Array(flags.iter().cloned().map(Value::String).collect()),
                Flags::Text(text) if flags.iter().all(|flag| !flag.contains(char::is_whitespace)) => {
                    Value::String(format!("{text} {}", flags.join(" ")))
                }
                Flags::Text(_) => {
                    let what = format!("`{key}.rustflags` as one text, together with a path that contains a blank,");
                    return Err(BuildError::Unsupported { what });
                }
            };
            args.extend(["--config".to_owned(), format!("{key}.rustflags={value}")]);
        }
        Ok(args)
    }
}

/// Refuses a configuration above every directory of the machine, unless it is only about registries and the network.
///
/// # Errors
/// [`BuildError::AmbientConfig`]; [`BuildError::CargoConfig`].
pub(super) fn refuse_ambient(root: &Path) -> Result<(), BuildError> {
    for name in [".cargo/config", ".cargo/config.toml"] {
        let path = root.join(name);
        if path.is_file()
            && let Some(key) = read_table(&path)?.keys().find(|key| !HARMLESS.contains(&key.as_str()))
        {
            return Err(BuildError::AmbientConfig { path, key: key.clone() });
        }
    }
    Ok(())
}

/// What of a user's configuration a build offline needs to find the packages that were downloaded with it: source
/// replacement and the addresses of registries, without tokens and credential providers. `base` is the directory that
/// relative paths in it are relative to.
pub(super) fn sources_of(user: &Table, base: &Path) -> Table {
    let mut kept = Table::new();
    if let Some(Value::Table(sources)) = user.get("source") {
        let mut sources = sources.clone();
        for (_, source) in &mut sources {
            for key in ["directory", "local-registry"] {
                if let Some(Value::String(path)) = source.get_mut(key) {
                    *path = base.join(&path).to_string_lossy().into_owned();
                }
            }
        }
        kept.insert("source".to_owned(), Value::Table(sources));
    }
    let only = |table: &Table, keys: &[&str]| -> Table {
        table
            .iter()
            .filter(|(key, _)| keys.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    if let Some(Value::Table(registries)) = user.get("registries") {
        let registries = registries.iter().filter_map(|(name, registry)| {
            Some((name.clone(), Value::Table(only(registry.as_table()?, &["index", "protocol"]))))
        });
        kept.insert("registries".to_owned(), Value::Table(registries.collect()));
    }
    if let Some(Value::Table(registry)) = user.get("registry") {
        kept.insert("registry".to_owned(), Value::Table(only(registry, &["default", "index"])));
    }
    kept
}

/// A configuration file.
pub(super) fn read_table(path: &Path) -> Result<Table, BuildError> {
    let text = fs::read_to_string(path).map_err(BuildError::io("read", path))?;
    text.parse().map_err(|error: toml::de::Error| BuildError::CargoConfig {
        path: path.to_path_buf(),
        message: error.message().lines().next().unwrap_or("not TOML").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn flag_args(files: &[(&str, &str)], flags: &[&str]) -> Result<Vec<String>, BuildError> {
        let dir = stage(files);
        let config = StagedConfig::read(dir.path(), dir.path())?;
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Ok(config.flag_args(&flags)?.into_iter().filter(|arg| arg != "--config").collect())
    }

    #[test]
    fn flags_are_added_under_every_key_in_use() {
        assert_eq!(flag_args(&[], &["-Ca", "-C b"]).unwrap(), [r#"build.rustflags=["-Ca", "-C b"]"#]);
        let text = "[build]\nrustflags = \"--cfg x\"\n[target.'cfg(target_os = \"linux\")']\nrustflags = [\"-v\"]\n[target.x]\nlinker = \"l\"\n";
        let args = flag_args(&[(".cargo/config.toml", text)], &["-Ca"]).unwrap();
        assert_eq!(
            args,
            [r#"build.rustflags="--cfg x -Ca""#, r#"target.'cfg(target_os = "linux")'.rustflags=["-Ca"]"#]
        );
        for arg in &args {
            arg.parse::<Table>().unwrap();
        }
        let error = flag_args(&[(".cargo/config.toml", text)], &["-C a"]).unwrap_err();
        assert!(matches!(error, BuildError::Unsupported { .. }), "{error}");
    }

    #[test]
    fn included_files_count() {
        let files = [
            (
                ".cargo/config.toml",
                "include = [\"more.toml\", { path = \"none.toml\", optional = true }, \"config.toml\"]",
            ),
            (".cargo/more.toml", "[target.t]\nrustflags = []\nlinker = \"ld\"\n[env]\nCFLAGS_x = \"-g\""),
        ];
        assert_eq!(
            flag_args(&files, &["-v"]).unwrap(),
            [r#"build.rustflags=["-v"]"#, r#"target."t".rustflags=["-v"]"#]
        );
        let dir = stage(&files);
        let config = StagedConfig::read(dir.path(), dir.path()).unwrap();
        assert!(config.has_linker("t") && !config.has_linker("u") && config.sets_c_flags());
    }

    #[test]
    fn files_between_the_stage_and_the_workspace_are_handed_over_in_order() {
        let dir = stage(&[
            (".cargo/config.toml", ""),
            ("a/b/.cargo/config", ""),
            ("a/b/.cargo/config.toml", "x = 1"),
            ("c/.cargo/config.toml", ""),
        ]);
        let config = StagedConfig::read(dir.path(), &dir.path().join("a/b")).unwrap();
        assert_eq!(config.files, [dir.path().join(".cargo/config.toml"), dir.path().join("a/b/.cargo/config")]);
        assert_eq!(config.file_args().unwrap().len(), 4);
        let broken = stage(&[(".cargo/config.toml", "[build")]);
        let error = StagedConfig::read(broken.path(), broken.path()).unwrap_err();
        assert!(matches!(error, BuildError::CargoConfig { .. }), "{error}");
    }

    #[test]
    fn an_ambient_configuration_may_only_be_about_the_network() {
        refuse_ambient(stage(&[]).path()).unwrap();
        refuse_ambient(
            stage(&[(".cargo/config.toml", "[source.crates-io]\nreplace-with = \"m\"\n[net]\nretry = 3")]).path(),
        )
        .unwrap();
        let error = refuse_ambient(stage(&[(".cargo/config.toml", "[net]\n[build]\njobs = 1")]).path()).unwrap_err();
        assert!(matches!(&error, BuildError::AmbientConfig { key, .. } if key == "build") && error.hint().is_some());
    }

    #[test]
    fn credentials_of_the_user_stay_behind() {
        let user: Table = r#"
            [source.crates-io]
            replace-with = "mirror"
            [source.mirror]
            registry = "sparse+https://mirror.example/"
            [source.vendored]
            directory = "vendor"
            [registries.own]
            index = "https://own.example/"
            token = "s3cret"
            credential-provider = ["evil"]
            [registry]
            default = "own"
            token = "s3cret"
            [build]
            rustflags = ["-v"]
        "#
        .parse()
        .unwrap();
        let kept = sources_of(&user, Path::new("/home/u")).to_string();
        assert!(!kept.contains("s3cret") && !kept.contains("evil") && !kept.contains("build"), "{kept}");
        for part in
            ["replace-with", "sparse+https://mirror.example/", "/home/u/vendor", "https://own.example/", "default"]
        {
            assert!(kept.contains(part), "{part}: {kept}");
        }
    }
}
