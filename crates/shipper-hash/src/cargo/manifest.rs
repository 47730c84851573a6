//! One `Cargo.toml`: what it names, and what of it a build of the package can see.
//!
//! Rules are those of the Cargo book, "The Manifest Format" and "Specifying Dependencies". Unknown keys are kept: what a
//! newer cargo understands must reach it.

use toml::{Table, Value};

use super::error::CargoError;
use super::paths;
use crate::{Error, RelPath};

/// The tables of dependencies that a build uses.
const BUILD_TABLES: [&str; 3] = ["dependencies", "build-dependencies", "build_dependencies"];
/// The tables of dependencies that only tests, benches and examples use.
const DEV_TABLES: [&str; 2] = ["dev-dependencies", "dev_dependencies"];
/// Targets that only dev-dependencies serve. Their files stay; cargo finds those by itself.
const DEV_TARGETS: [&str; 3] = ["test", "bench", "example"];
/// What cargo reads in the workspace's root manifest only.
pub(super) const ROOT_TABLES: [&str; 3] = ["profile", "patch", "replace"];

/// A parsed manifest and its place in the tree.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) path: RelPath,
    /// The directory of the manifest; empty for the tree's root.
    pub(super) dir: String,
    pub(super) table: Table,
}

/// One entry of a table of dependencies.
#[derive(Debug, Clone)]
pub(super) struct Dependency<'a> {
    /// Where it stands, for messages: `target.cfg(unix).dependencies.libc`.
    pub(super) key: String,
    /// The name in the table.
    pub(super) name: &'a str,
    spec: &'a Value,
}

/// Which dependencies are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    /// Those that a build uses: normal and build dependencies, for every target, optional ones included.
    Build,
    /// Those and the dev-dependencies.
    All,
}

/// A file that the manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedFile {
    /// Relative to the tree's root.
    pub(super) path: String,
    /// Whether it is Rust source, which may name further files.
    pub(super) is_source: bool,
}

impl Manifest {
    pub(super) fn parse(dir: &str, path: &RelPath, bytes: &[u8]) -> Result<Self, CargoError> {
        Ok(Self { path: path.clone(), dir: dir.to_owned(), table: parse_toml(path, bytes)? })
    }

    /// The `[package]` table, under its old name as well.
    pub(super) fn package(&self) -> Option<&Table> {
        self.table.get("package").or_else(|| self.table.get("project"))?.as_table()
    }

    /// The `[workspace]` table: this manifest is a root.
    pub(super) fn workspace(&self) -> Option<&Table> {
        self.table.get("workspace")?.as_table()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.package()?.get("name")?.as_str()
    }

    /// A value of `[package]`, taken from `root` where the package inherits it.
    pub(super) fn package_value<'a>(&'a self, key: &str, root: Option<&'a Self>) -> Option<&'a Value> {
        let value = self.package()?.get(key)?;
        if is_inherited(value) { root?.workspace()?.get("package")?.get(key) } else { Some(value) }
    }

    /// The version, `0.0.0` where none is given.
    pub(super) fn version(&self, root: Option<&Self>) -> String {
        self.package_value("version", root).and_then(Value::as_str).unwrap_or("0.0.0").to_owned()
    }

    /// The year of the edition; the oldest where none is given.
    pub(super) fn edition(&self, root: Option<&Self>) -> u32 {
        let edition = self.package_value("edition", root).and_then(Value::as_str);
        edition.and_then(|edition| edition.parse().ok()).unwrap_or(2015)
    }

    /// The directory of the workspace that the package names by `package.workspace`.
    pub(super) fn workspace_pointer(&self) -> Result<Option<String>, Error> {
        let Some(value) = self.package().and_then(|package| package.get("workspace")) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.invalid("package.workspace", "is not a string"))?;
        self.resolve("package.workspace", text).map(Some)
    }

    pub(super) fn dependencies(&self, kinds: Kinds) -> Vec<Dependency<'_>> {
        let mut found = Vec::new();
        collect(&self.table, "", kinds, &mut found);
        for (target, value) in self.table.get("target").and_then(Value::as_table).into_iter().flatten() {
            if let Some(table) = value.as_table() {
                collect(table, &format!("target.{target}."), kinds, &mut found);
            }
        }
        found
    }

    /// `relative` as seen from the manifest.
    pub(super) fn resolve(&self, key: &str, relative: &str) -> Result<String, Error> {
        paths::resolve(&self.dir, relative).ok_or_else(|| {
            let (manifest, key) = (self.path.clone(), key.to_owned());
            CargoError::OutsideTree { manifest, key, path: relative.to_owned() }.into()
        })
    }

    pub(super) fn invalid(&self, key: &str, reason: impl Into<String>) -> Error {
        CargoError::Invalid { manifest: self.path.clone(), key: key.to_owned(), reason: reason.into() }.into()
    }

    /// The strings of a list such as `workspace.members`; empty where it is absent.
    pub(super) fn strings<'a>(&self, key: &str, value: Option<&'a Value>) -> Result<Vec<&'a str>, Error> {
        let Some(value) = value else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| self.invalid(key, "is not a list"))?;
        let strings =
            items.iter().map(|item| item.as_str().ok_or_else(|| self.invalid(key, "has an item that is not a string")));
        strings.collect()
    }

    /// Files that the manifest names and that a build or a reader of the package needs: sources of the library and the
    /// binaries, build scripts, readme and licence. Absolute paths and paths out of the tree are left out: cargo reads
    /// them from the machine, so in a stage their absence is an error of the build.
    pub(super) fn named_files(&self, root: Option<&Self>) -> Vec<NamedFile> {
        let mut files = Vec::new();
        let mut add = |dir: &str, path: Option<&str>, is_source: bool| {
            if let Some(path) = path.and_then(|path| paths::resolve(dir, path)) {
                files.push(NamedFile { path, is_source });
            }
        };
        let library = self.table.get("lib").and_then(|lib| lib.get("path"));
        add(&self.dir, library.and_then(Value::as_str), true);
        for binary in self.table.get("bin").and_then(Value::as_array).into_iter().flatten() {
            add(&self.dir, binary.get("path").and_then(Value::as_str), true);
        }
        for script in self.build_scripts() {
            add(&self.dir, Some(script), true);
        }
        for key in ["readme", "license-file"] {
            let inherits = self.package().and_then(|package| package.get(key)).is_some_and(is_inherited);
            let dir = if inherits { root.map_or("", |root| &root.dir) } else { &self.dir };
            add(dir, self.package_value(key, root).and_then(Value::as_str), false);
        }
        files
    }

    /// The build scripts as written; the one that cargo finds by itself where none is named.
    pub(super) fn build_scripts(&self) -> Vec<&str> {
        match self.package().and_then(|package| package.get("build")) {
            None | Some(Value::Boolean(true)) => vec!["build.rs"],
            Some(Value::Array(scripts)) => scripts.iter().filter_map(Value::as_str).collect(),
            Some(script) => script.as_str().into_iter().collect(),
        }
    }

    /// The manifest as a build of the package sees it: without dev-dependencies, without the targets that they serve,
    /// without features of them. `[workspace]` and what only a root has are left out; see
    /// [`workspace::cut`](super::workspace::cut).
    pub(super) fn stripped(&self) -> Table {
        let dev_only = self.dev_only_names();
        let mut table = self.table.clone();
        for key in DEV_TABLES.iter().chain(&DEV_TARGETS).chain(&ROOT_TABLES).chain(&["workspace", "badges"]) {
            table.remove(*key);
        }
        if let Some(Value::Table(targets)) = table.get_mut("target") {
            for target in targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()) {
                DEV_TABLES.iter().for_each(|key| drop(target.remove(*key)));
            }
            targets.retain(|_, target| target.as_table().is_none_or(|target| !target.is_empty()));
            if targets.is_empty() {
                table.remove("target");
            }
        }
        if let Some(Value::Table(features)) = table.get_mut("features") {
            for values in features.iter_mut().filter_map(|(_, values)| values.as_array_mut()) {
                // `name/feature` and `name?/feature` of a dependency that is gone would be an error.
                values.retain(|value| {
                    let name = value.as_str().and_then(|value| value.split_once('/')).map(|(name, _)| name);
                    name.is_none_or(|name| !dev_only.iter().any(|dev| *dev == name.trim_end_matches('?')))
                });
            }
        }
        table
    }

    /// Names in the tables of dev-dependencies that are in no other table.
    fn dev_only_names(&self) -> Vec<&str> {
        let build: Vec<&str> = self.dependencies(Kinds::Build).iter().map(|dependency| dependency.name).collect();
        let mut names: Vec<&str> = self.dependencies(Kinds::All).iter().map(|dependency| dependency.name).collect();
        names.retain(|name| !build.contains(name));
        names
    }
}

impl<'a> Dependency<'a> {
    pub(super) fn new(key: String, name: &'a str, spec: &'a Value) -> Self {
        Self { key, name, spec }
    }

    /// Whether the workspace says the rest.
    pub(super) fn is_inherited(&self) -> bool {
        is_inherited(self.spec)
    }

    /// The name of the package, which `package = ".."` may set.
    pub(super) fn package(&self) -> &'a str {
        self.spec.get("package").and_then(Value::as_str).unwrap_or(self.name)
    }

    /// The version requirement, if there is one.
    pub(super) fn requirement(&self) -> Option<&'a str> {
        self.spec.as_str().or_else(|| self.spec.get("version")?.as_str())
    }

    /// The path as written, if it is a path dependency.
    pub(super) fn path(&self, manifest: &Manifest) -> Result<Option<&'a str>, Error> {
        let key = || format!("{}.path", self.key);
        if self.spec.get("base").is_some() {
            return Err(manifest
                .invalid(&format!("{}.base", self.key), "is not supported: path bases are set outside the tree"));
        }
        match self.spec.get("path") {
            None => Ok(None),
            Some(path) => path.as_str().map(Some).ok_or_else(|| manifest.invalid(&key(), "is not a string")),
        }
    }
}

/// The entries of the tables of dependencies in `table`, which is the manifest or a target in it.
fn collect<'a>(table: &'a Table, prefix: &str, kinds: Kinds, found: &mut Vec<Dependency<'a>>) {
    let dev: &[&str] = if kinds == Kinds::All { &DEV_TABLES } else { &[] };
    for name in BUILD_TABLES.iter().chain(dev) {
        for (dependency, spec) in table.get(*name).and_then(Value::as_table).into_iter().flatten() {
            found.push(Dependency::new(format!("{prefix}{name}.{dependency}"), dependency, spec));
        }
    }
}

/// Whether a value is `{ workspace = true, .. }`.
pub(super) fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Parses a TOML file of the tree.
pub(super) fn parse_toml(path: &RelPath, bytes: &[u8]) -> Result<Table, CargoError> {
    let fault = |at: usize, message: &str| {
        let line = 1 + bytes[..at.min(bytes.len())].iter().filter(|&&byte| byte == b'\n').count();
        let message = message.split('\n').map(str::trim).collect::<Vec<_>>().join(", ");
        CargoError::Toml { path: path.clone(), line, message }
    };
    let text = std::str::from_utf8(bytes).map_err(|error| fault(error.valid_up_to(), "it is not UTF-8"))?;
    // Editors of Windows write a byte order mark, which cargo skips.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.parse::<Table>().map_err(|error| fault(error.span().map_or(0, |span| span.start), error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::render::render;

    fn manifest(dir: &str, text: &str) -> Manifest {
        Manifest::parse(dir, &paths::file(dir, "Cargo.toml").unwrap(), text.as_bytes()).unwrap()
    }

    #[test]
    fn every_table_of_dependencies_is_found() {
        let manifest = manifest(
            "a",
            r#"
            [dependencies]
            one = "1"
            renamed = { package = "two", path = "../two" }
            [build-dependencies]
            three = { workspace = true }
            [target.'cfg(unix)'.dependencies]
            four = { version = "4", optional = true }
            [target.x86_64-pc-windows-msvc.build-dependencies]
            five = { git = "https://example.com/five" }
            [dev-dependencies]
            six = "6"
            [target.'cfg(unix)'.dev-dependencies]
            seven = "7"
            "#,
        );
        let names = |kinds| {
            let mut names: Vec<_> = manifest.dependencies(kinds).iter().map(|dep| dep.package().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(Kinds::Build), ["five", "four", "one", "three", "two"]);
        assert_eq!(names(Kinds::All), ["five", "four", "one", "seven", "six", "three", "two"]);
        let dependencies = manifest.dependencies(Kinds::Build);
        let four = dependencies.iter().find(|dependency| dependency.name == "four").unwrap();
        assert_eq!((four.key.as_str(), four.requirement()), ("target.cfg(unix).dependencies.four", Some("4")));
    }

    #[test]
    fn what_only_tests_see_is_stripped() {
        let manifest = manifest(
            "",
            r#"
            [package]
            name = "a"
            [features]
            default = ["dep:one", "one?/x", "dev/y", "dev?/z", "both/w"]
            [dependencies]
            one = { version = "1", optional = true }
            both = "1"
            [dev-dependencies]
            dev = "1"
            both = "1"
            [target.'cfg(unix)'.dev-dependencies]
            dev = "1"
            [[test]]
            name = "t"
            [[bench]]
            name = "b"
            [[example]]
            name = "e"
            [profile.release]
            lto = true
            [workspace]
            members = ["x"]
            [badges.maintenance]
            status = "none"
            "#,
        );
        let expected = r#"
[dependencies]
both = "1"

[dependencies.one]
optional = true
version = "1"

[features]
default = ["dep:one", "one?/x", "both/w"]

[package]
name = "a"
"#;
        assert_eq!(render(&manifest.stripped()), expected.trim_start());
    }

    #[test]
    fn a_fault_names_the_line() {
        let path = RelPath::try_from("a/Cargo.toml").unwrap();
        for (text, line) in [(&b"[package]\nname = \n"[..], 2), (b"a = 1\n\n\xff", 3), (b"a = 1\na = 2", 2)] {
            match Manifest::parse("a", &path, text) {
                Err(CargoError::Toml { line: found, .. }) => assert_eq!(found, line, "{}", text.escape_ascii()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn files_named_outside_the_package_are_found() {
        let root = manifest("", "[workspace.package]\nlicense-file = 'LICENSE'");
        let member = manifest(
            "crates/a",
            r#"
            package = { name = "a", build = "../../build/a.rs", readme = "../../README.md", license-file.workspace = true }
            lib = { path = "../lib.rs" }
            bin = [{ name = "b", path = "/absolute.rs" }, { name = "c", path = "../../../out.rs" }]
            "#,
        );
        let files: Vec<_> =
            member.named_files(Some(&root)).into_iter().map(|file| (file.path, file.is_source)).collect();
        let expected = [("crates/lib.rs", true), ("build/a.rs", true), ("README.md", false), ("LICENSE", false)];
        assert_eq!(files, expected.map(|(path, is_source)| (path.to_owned(), is_source)));
    }
}
