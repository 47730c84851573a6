//! The rows of the conformance matrix.
//!
//! Rows with peers are the mutations at which at least one of the examined tools goes wrong.

use std::ffi::OsStr;
use std::fs::{FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use shipper_testkit::GitRepo;

use crate::support::{Project, text};

/// What the key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Changes,
    Stays,
}

/// What the image does that BuildKit makes of the work tree.
#[derive(Clone, Copy, Debug)]
pub(super) enum Builder {
    /// It changes exactly when the key does.
    Agrees,
    /// It does the opposite, and why that is right.
    Differs(&'static str),
    /// There is nothing to build, and why.
    NotAsked(&'static str),
}

/// One change.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) key: Key,
    pub(super) builder: Builder,
    /// In the order of [`PEERS`].
    pub(super) peers: [&'static str; 7],
    /// Makes the project; the service is `app`.
    pub(super) before: fn(&mut Project),
    pub(super) change: fn(&mut Project),
}

pub(super) const PEERS: [&str; 7] = ["Skaffold tag", "Skaffold cache", "werf", "CDK", "Pulumi", "Okteto", "Garden"];

/// A row that the study of the peers did not examine.
const UNKNOWN: [&str; 7] = ["-"; 7];

const NARROW: &str = "FROM scratch AS run\nARG A\nCOPY busybox /bin/busybox\nCOPY src /src\n\
    RUN --mount=type=bind,source=conf,target=/conf \
    [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox cp /conf /conf-copy; echo $A > /argument\"]\n\n\
    FROM scratch AS other\nCOPY other /\n\nFROM run AS final\nCOPY final /\n";

const NARROW_CONFIG: &str =
    "[service.app]\ndockerfile = 'Dockerfile'\ntarget = 'run'\nargs = { A = 'one', UNUSED = 'one' }\n";

const WHOLE_CONFIG: &str = "[service.app]\ndockerfile = 'Dockerfile'\n";

/// The arguments of `docker buildx build` for one of the configurations above, directory included.
pub(super) fn builder_arguments(config: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let after = |name: &str| config.split_once(name)?.1.split('\'').nth(1).map(str::to_owned);
    for (name, flag) in [("dockerfile =", "--file"), ("target =", "--target")] {
        arguments.extend(after(name).into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    for name in ["A", "UNUSED"] {
        let value = after(&format!("{{ {name} =")).or_else(|| after(&format!(", {name} =")));
        arguments.extend(value.into_iter().flat_map(|value| ["--build-arg".to_owned(), format!("{name}={value}")]));
    }
    // The closure of a package is a part of the project.
    let directory = after("context =").filter(|_| !config.contains("context = {"));
    arguments.push(directory.unwrap_or_else(|| ".".to_owned()));
    arguments
}

/// Stages, an argument, a mounted file, and files that no reachable stage reads.
fn narrow(project: &mut Project) {
    let repo = &mut project.repo;
    repo.write("shipper.toml", NARROW_CONFIG);
    repo.write("Dockerfile", NARROW);
    repo.write("busybox", "stands in\n");
    for path in ["src/a", "src/dir/b", "conf", "other", "final", "README.md"] {
        repo.write(path, format!("{path}\nsecond line\n"));
    }
    repo.symlink("a", "src/link");
    repo.commit("start");
}

/// A service on a base image that another service makes and [`publish_base`] publishes.
const LAYOUT_BASE: &str = "[project]\nname = 'demo'\n[service.base]\nfiles = { '/a' = 'a' }\n\
    [service.app]\nfiles = { '/dir' = 'dir' }\nbase = 'oci:bases/small:1'\n";

/// Puts the image of the service `base` into the layout that `app` is based on.
fn publish_base(project: &mut Project) {
    project.run(["ship", "base"]).ok();
    let plan = project.run(["plan", "base", "--json"]).ok().json();
    let from = format!("oci:.shipper/images/demo/base:{}", text(&plan["services"][0]["tag"]));
    if project.path().join("bases").exists() {
        project.repo.remove("bases");
    }
    project.run(["copy", &from, "oci:bases/small:1"]).ok();
}

/// Everything is copied.
fn whole(project: &mut Project) {
    let repo = &mut project.repo;
    repo.write("shipper.toml", WHOLE_CONFIG);
    repo.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repo.write(".dockerignore", "busybox\nshipper.toml\n.git\n.shipper\n*.log\n");
    repo.write(".gitignore", "ignored\nbusybox\n");
    for path in ["a", "dir/b", "dir/c", "noise.log"] {
        repo.write(path, format!("{path}\n"));
    }
    repo.commit("start");
}

/// Everything is copied, and there is a submodule of two commits.
fn submodule(project: &mut Project) {
    whole(project);
    let mut module = GitRepo::new();
    module.write("x", "one\n");
    module.commit("one");
    module.write("x", "two\n");
    module.commit("two");
    let from = module.path().to_str().expect("temporary paths are plain");
    project.repo.git(&["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", from, "dir/module"]);
    project.repo.commit("module");
}

/// Checks out the first commit of the submodule.
fn move_submodule(project: &Project) {
    project.repo.git(&["-C", "dir/module", "checkout", "--quiet", "HEAD~1"]);
}

/// A Dockerfile with the closure of one package as its context.
fn closure(project: &mut Project) {
    cargo(project);
    project.repo.write("shipper.toml", "[service.app]\ndockerfile = 'Dockerfile'\ncontext = { cargo = 'app' }\n");
    project.repo.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    project.repo.write(".dockerignore", "busybox\n.git\n.shipper\n");
}

/// Two packages of one Cargo workspace.
fn cargo(project: &mut Project) {
    let repo = &mut project.repo;
    repo.write("shipper.toml", "[service.app]\ncargo = { package = 'app' }\n");
    repo.write("Cargo.toml", "[workspace]\nmembers = ['app', 'lib', 'unrelated']\nresolver = '3'\n");
    repo.write("app/Cargo.toml", package("app", "[dependencies]\nlib = { path = '../lib' }\n"));
    repo.write("lib/Cargo.toml", package("lib", ""));
    repo.write("unrelated/Cargo.toml", package("unrelated", "[dependencies]\nother = '1'\n"));
    repo.write("app/src/main.rs", "fn main() { lib::f() }\n");
    repo.write("lib/src/lib.rs", "pub fn f() {}\n");
    repo.write("unrelated/src/lib.rs", "");
    repo.write("Cargo.lock", lock("1.0.0"));
    repo.commit("start");
}

fn package(name: &str, more: &str) -> String {
    format!("[package]\nname = '{name}'\nversion = '0.1.0'\nedition = '2024'\n{more}")
}

fn lock(other: &str) -> String {
    let sum = "0".repeat(64);
    format!(
        "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"lib\",\n]\n\n\
         [[package]]\nname = \"lib\"\nversion = \"0.1.0\"\n\n\
         [[package]]\nname = \"other\"\nversion = \"{other}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
         checksum = \"{sum}\"\n\n\
         [[package]]\nname = \"unrelated\"\nversion = \"0.1.0\"\ndependencies = [\n \"other\",\n]\n"
    )
}

/// Sets the modification time of a file to `seconds` after the epoch.
fn set_time(project: &Project, path: &str, seconds: u64) {
    let file = std::fs::File::options().write(true).open(project.path().join(path)).expect("opens");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_times(FileTimes::new().set_modified(time)).expect("sets the time");
}

fn configure(project: &Project, from: &str, to: &str) {
    let path = project.path().join("shipper.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).expect("writes");
}

fn edit(project: &Project, path: &str) {
    project.repo.write(path, "edited\n");
}

const STAGED: &str =
    "shipper gives the builder a staged copy, which does not hold this; a plain build of the work tree does.";
const MODES: &str =
    "shipper stages files with the modes 0644 and 0755; a plain build of the work tree sends what the umask left.";
const TRANSFER: &str = "BuildKit compares size and modification time with what it was sent before and misses the edit; in \
    shipper's stage a changed file has another time, so that the image has it.";
const BYTES: &str = "The Dockerfile counts by its bytes: a needless build, never a wrong skip.";
const BASE: &str = "Layers are put on the base without a builder. A base in a registry moves only with `shipper.lock`: \
    `base outdated` tells, `base update` makes the key new.";
const CARGO: &str = "The service is compiled by Cargo in its stage, not by a Dockerfile.";
const NEEDS: &str = "The image that it is built on is made by shipper in the same run.";
const SECRET: &str = "Secrets enter by their ids; a value that an image depends on belongs into an argument or `salt`.";

use Builder::{Agrees, Differs, NotAsked};
use Key::{Changes, Stays};

macro_rules! row {
    ($name:literal, $key:expr, $builder:expr, $peers:expr, $before:expr, $change:expr) => {
        Row { name: $name, key: $key, builder: $builder, peers: $peers, before: $before, change: $change }
    };
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // Examined at the peers.
    row!("content of a copied file", Changes, Agrees, ["ok"; 7], narrow, |p| edit(p, "src/a")),
    row!("execute bit set", Changes, Agrees, ["STALE", "ok", "ok", "STALE", "ok", "ok", "STALE"], narrow,
        |p| p.repo.set_executable("src/a", true)),
    row!("LF becomes CRLF", Changes, Agrees, ["ok", "ok", "ok", "STALE", "ok", "ok", "ok"], narrow,
        |p| drop(p.repo.write("src/a", "src/a\r\nsecond line\r\n"))),
    row!("file moved, base name kept", Changes, Agrees, ["ok", "STALE*", "ok", "ok", "ok", "ok", "ok"], narrow,
        |p| p.repo.rename("src/dir/b", "src/b")),
    row!("symlink retargeted", Changes, Agrees, ["STALE", "STALE", "ok", "ok", "ok*", "ok", "ok"], narrow,
        |p| p.repo.symlink("dir/b", "src/link")),
    row!("file read by a bind mount only", Changes, Agrees, ["STALE", "STALE", "STALE", "ok", "ok", "ok", "ok"], narrow,
        |p| edit(p, "conf")),
    row!("build argument changed", Changes, Agrees, ["STALE", "ok", "ok", "ok", "ok", "ok", "ok"], narrow,
        |p| configure(p, "A = 'one'", "A = 'two'")),
    row!("Dockerfile outside the context edited", Changes, Agrees, ["ok", "ok", "ok", "-", "ok", "ok", "-"],
        |p| { whole(p); p.repo.write("build/Dockerfile", "FROM scratch\nCOPY b /b\n");
              p.repo.write("shipper.toml", "[service.app]\ndockerfile = 'build/Dockerfile'\ncontext = 'dir'\n"); },
        |p| drop(p.repo.write("build/Dockerfile", "FROM scratch\nCOPY b /c\n"))),
    row!("file that nothing copies", Stays, Agrees, ["ok", "ok", "ok", "OVER", "OVER", "OVER", "OVER"], narrow,
        |p| edit(p, "README.md")),
    row!("file of a stage that the target does not reach", Stays, Agrees,
        ["OVER", "OVER", "ok", "OVER", "OVER", "OVER", "OVER"], narrow, |p| edit(p, "other")),
    row!("rebase or squash to the same tree", Stays, Agrees, ["ok", "ok", "ok", "ok", "ok", "OVER", "ok"], narrow,
        |p| { p.repo.git(&["commit", "--quiet", "--amend", "--no-gpg-sign", "-m", "another"]); }),
    row!("credential in a build argument rotated", Changes, Agrees,
        ["ok*", "OVER", "OVER", "OVER", "OVER", "OVER", "OVER"], narrow, |p| configure(p, "A = 'one'", "A = 'token'")),
    row!("edit that is not committed", Changes, Agrees, ["ok", "ok", "refused*", "ok", "ok", "ok", "ok"], whole,
        |p| edit(p, "a")),
    row!("another member of the Cargo workspace edited", Stays, NotAsked(CARGO), ["OVER"; 7], cargo,
        |p| edit(p, "unrelated/src/lib.rs")),
    row!("base image moved", Changes, NotAsked(BASE),
        ["STALE", "STALE", "STALE", "STALE", "STALE*", "STALE", "STALE"],
        |p| { whole(p); p.repo.write(".gitignore", "bases\n");
              p.repo.write("shipper.toml", LAYOUT_BASE); publish_base(p); },
        |p| { edit(p, "a"); publish_base(p); }),

    // Content and kinds.
    row!("file deleted", Changes, Agrees, UNKNOWN, narrow, |p| p.repo.remove("src/dir/b")),
    row!("file added to a copied directory", Changes, Agrees, UNKNOWN, narrow, |p| edit(p, "src/new")),
    row!("file replaced by a symlink to the same content", Changes, Agrees, UNKNOWN, narrow,
        |p| { p.repo.write("src/dir/a", "src/a\nsecond line\n"); p.repo.symlink("dir/a", "src/a"); }),
    row!("case of a name changed", Changes, Agrees, UNKNOWN, narrow, |p| p.repo.rename("src/a", "src/A")),
    row!("one byte moved from one file to the next", Changes, Agrees, UNKNOWN, whole,
        |p| { p.repo.write("dir/b", "dir/b"); p.repo.write("dir/c", "\ndir/c\n"); }),
    row!("name that is not UTF-8 added", Changes, Agrees, UNKNOWN, whole,
        |p| drop(p.repo.write(OsStr::from_bytes(b"dir/caf\xe9"), "x"))),
    row!("name with a newline added", Changes, Agrees, UNKNOWN, whole, |p| edit(p, "dir/two\nlines")),
    row!("Git LFS pointer replaced by its content", Changes, Agrees, UNKNOWN,
        |p| { whole(p); p.repo.write("dir/b", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"); },
        |p| drop(p.repo.write("dir/b", "x"))),

    // What enters no image.
    row!("modification time touched", Stays, Agrees, UNKNOWN, whole, |p| set_time(p, "a", 1)),
    row!("other content, same size and modification time", Changes, Differs(TRANSFER), UNKNOWN,
        |p| { whole(p); set_time(p, "a", 1_000_000_000); },
        |p| { p.repo.write("a", "b\n"); set_time(p, "a", 1_000_000_000); }),
    row!("group may write (umask)", Stays, Differs(MODES), ["-", "OVER", "-", "-", "-", "-", "-"], whole,
        |p| std::fs::set_permissions(p.path().join("a"), Permissions::from_mode(0o664)).expect("sets the mode")),
    row!("committed after the edit", Stays, Agrees, UNKNOWN,
        |p| { whole(p); edit(p, "a"); }, |p| drop(p.repo.commit("edit"))),
    row!("empty directory added", Stays, Differs(STAGED), ["-", "-", "-", "STALE", "-", "-", "-"], whole, |p| drop(p.repo.mkdir("dir/empty"))),

    row!("credential in a secret rotated", Stays, NotAsked(SECRET), UNKNOWN,
        |p| { whole(p); p.repo.write("token", "one\n"); p.repo.write(".dockerignore", "token\nbusybox\n");
              configure(p, "'Dockerfile'\n", "'Dockerfile'\nsecrets = { t = { file = 'token' } }\n"); },
        |p| edit(p, "token")),

    // What git says of files.
    row!("untracked file added", Changes, Agrees, UNKNOWN, whole, |p| edit(p, "dir/new")),
    row!("untracked file put into the index", Stays, Agrees, UNKNOWN,
        |p| { whole(p); edit(p, "dir/new"); }, |p| { p.repo.git(&["add", "dir/new"]); }),
    row!("intent to add", Stays, Agrees, UNKNOWN,
        |p| { whole(p); edit(p, "dir/new"); }, |p| { p.repo.git(&["add", "--intent-to-add", "dir/new"]); }),
    row!("edit under assume-unchanged", Changes, Agrees, UNKNOWN,
        |p| { whole(p); p.repo.git(&["update-index", "--assume-unchanged", "a"]); }, |p| edit(p, "a")),
    row!("edit under skip-worktree", Changes, Agrees, UNKNOWN,
        |p| { whole(p); p.repo.git(&["update-index", "--skip-worktree", "a"]); }, |p| edit(p, "a")),
    row!("`core.autocrlf` set, files as they were", Stays, Agrees, UNKNOWN, whole,
        |p| { p.repo.git(&["config", "core.autocrlf", "true"]); }),
    row!("file ignored by git edited", Stays, Differs(STAGED), UNKNOWN,
        |p| { whole(p); p.repo.write("ignored", "x"); }, |p| edit(p, "ignored")),
    row!("file ignored by git, listed in `inputs`, edited", Changes, Agrees, UNKNOWN,
        |p| { whole(p); p.repo.write("ignored", "x");
              configure(p, "'Dockerfile'\n", "'Dockerfile'\ninputs = ['ignored']\n"); },
        |p| edit(p, "ignored")),
    row!("submodule moved to another commit", Changes, Agrees, UNKNOWN, submodule, |p| move_submodule(p)),
    row!("submodule's commit recorded, files as they were", Stays, Agrees, UNKNOWN,
        |p| { submodule(p); move_submodule(p); }, |p| { p.repo.git(&["add", "dir/module"]); }),
    row!("untracked file becomes ignored", Changes, Differs(STAGED), UNKNOWN,
        |p| { narrow(p); edit(p, "src/new"); }, |p| drop(p.repo.write(".gitignore", "new\n"))),
    row!("ignored file that is tracked edited", Changes, Agrees, UNKNOWN,
        |p| { narrow(p); p.repo.write(".gitignore", "src\n"); }, |p| edit(p, "src/a")),
    row!("execute bit set in the index only", Stays, Agrees, UNKNOWN, narrow,
        |p| { p.repo.git(&["update-index", "--chmod=+x", "src/a"]); }),

    // Ignore file and Dockerfile.
    row!("file that `.dockerignore` excludes", Stays, Agrees, UNKNOWN, whole, |p| edit(p, "noise.log")),
    row!("comment in a `.dockerignore` that is not copied", Stays, Agrees, UNKNOWN,
        |p| { narrow(p); p.repo.write(".dockerignore", "README.md\n"); },
        |p| drop(p.repo.write(".dockerignore", "# why\nREADME.md\n"))),
    row!("`.dockerignore` excludes a copied file", Changes, Agrees, UNKNOWN, narrow,
        |p| drop(p.repo.write(".dockerignore", "src/dir\n"))),
    row!("exception in `.dockerignore` brings a copied file back", Changes, Agrees, UNKNOWN,
        |p| { narrow(p); p.repo.write(".dockerignore", "src/dir\n"); },
        |p| drop(p.repo.write(".dockerignore", "src/dir\n!src/dir/b\n"))),
    row!("file behind a copied symlink edited", Changes, Agrees, UNKNOWN,
        |p| { narrow(p); p.repo.write("Dockerfile", "FROM scratch AS run\nCOPY src/way/x /x\n");
              p.repo.symlink("../real", "src/way"); p.repo.write("real/x", "x\n"); },
        |p| edit(p, "real/x")),
    row!("argument that the Dockerfile does not declare", Stays, Agrees, UNKNOWN, narrow,
        |p| configure(p, "UNUSED = 'one'", "UNUSED = 'two'")),
    row!("another target", Changes, Agrees, UNKNOWN, narrow, |p| configure(p, "'run'", "'final'")),
    row!("comment in the Dockerfile", Changes, Differs(BYTES), UNKNOWN, narrow,
        |p| drop(p.repo.write("Dockerfile", format!("# why\n{NARROW}")))),
    row!("`ENV` of an instruction decides which file is copied", Changes, Agrees, UNKNOWN,
        |p| { narrow(p); p.repo.write("Dockerfile", "FROM scratch AS run\nENV F=src/a\nCOPY ${F%/a}/dir/${U:-b} /f\n"); },
        |p| edit(p, "src/dir/b")),

    row!("service that it is built on changed", Changes, NotAsked(NEEDS), UNKNOWN,
        |p| { whole(p); p.repo.write("dir/Dockerfile", "FROM base\nCOPY b /b\n");
              p.repo.write("shipper.toml", "[service.base]\nfiles = { '/a' = 'a' }\n[service.app]\n\
                  dockerfile = 'dir/Dockerfile'\ncontext = 'dir'\nneeds = { base = 'base' }\n"); },
        |p| edit(p, "a")),

    // Cargo.
    row!("path dependency edited", Changes, NotAsked(CARGO), UNKNOWN, cargo, |p| edit(p, "lib/src/lib.rs")),
    row!("`Cargo.lock`: a crate that only another member uses", Stays, NotAsked(CARGO), UNKNOWN, cargo,
        |p| drop(p.repo.write("Cargo.lock", lock("1.0.1")))),
    row!("Dockerfile with the closure of a package: another member edited", Stays, Differs(STAGED), UNKNOWN, closure,
        |p| edit(p, "unrelated/src/lib.rs")),
    row!("Dockerfile with the closure of a package: path dependency edited", Changes, Agrees, UNKNOWN, closure,
        |p| edit(p, "lib/src/lib.rs")),
];
