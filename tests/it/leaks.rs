//! `shipper hash --leaks`: buildah is given the same directories and says what it was sent.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use shipper_testkit::{DockerEngine, ImageStore, Suite, need, require_tool};

use crate::support::{Project, text};

/// Rules that buildah, whose evaluator of exceptions differs, reads as BuildKit does.
const RULES: [&str; 6] = [".git/hooks", "**/*.tmp", "vendor", "docs/*.md", "/a/b/", "**/.git"];
const IGNORED: [&str; 6] = ["target/", "*.log", "/a/b/c", ".env", "node_modules", "docs/"];
const FILES: [&str; 16] = [
    "a/b/c",
    "a/b/d.log",
    "a/x.rs",
    ".env",
    "docs/guide.md",
    "docs/img/x (1).png",
    "target/debug/app",
    "target/x.tmp",
    "web/node_modules/m/index.js",
    "api/node_modules/n/index.js",
    "web/app+test{2}.log",
    "vendor/lib.c",
    "b.log",
    "c|d.log",
    "#notes.log",
    " odd.log ",
];

/// Exceptions as well, which are BuildKit's alone.
const EXCEPTIONS: [&str; 6] = ["**/*.log", "!web/*.log", "a", "!a/b", ".git/*", "!.git/HEAD"];

/// Who is given the directory.
enum Judge {
    Buildah(PathBuf),
    BuildKit(DockerEngine),
}

impl Judge {
    /// The paths of what the root directory of an image of `COPY . /` has: files, links, directories without anything in
    /// them.
    fn copied(&self, context: &Path) -> BTreeSet<String> {
        let work = tempfile::tempdir().expect("a directory");
        let at = |name: &str| work.path().join(name);
        std::fs::write(at("Dockerfile"), "FROM scratch\nCOPY . /\n").expect("writes");
        let mut build = match self {
            Self::Buildah(program) => {
                let mut build = Command::new(program);
                build.args(["--storage-driver", "vfs", "--root"]).arg(at("root")).arg("--runroot").arg(at("run"));
                build.args(["bud", "--isolation", "chroot"]);
                build
            }
            Self::BuildKit(engine) => engine.docker(&["buildx", "build", "--provenance=false"]),
        };
        build.args(["--quiet", "--file"]).arg(at("Dockerfile"));
        build.arg("--output").arg(format!("type=local,dest={}", at("out").display())).arg(context);
        let output = build.stdout(Stdio::null()).output().expect("the builder starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut found = BTreeSet::new();
        leaves(&at("out"), &at("out"), &mut found);
        found
    }
}

fn leaves(root: &Path, directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path: PathBuf = entry.expect("an entry").path();
        let is_directory = path.is_dir() && !path.is_symlink();
        if is_directory && std::fs::read_dir(&path).expect("a directory").next().is_some() {
            leaves(root, &path, found);
        } else {
            found.insert(path.strip_prefix(root).expect("below").to_str().expect("plain names").to_owned());
        }
    }
}

fn paths(list: &Value) -> BTreeSet<String> {
    list.as_array().expect("a list").iter().map(|one| text(&one["path"])).collect()
}

/// Compares what is sent with what is hashed and leaks, and what is sent after the cure with what is hashed.
fn compare(judge: &Judge, case: usize, rules: &[&'static str]) {
    let pick = |from: &[&'static str]| -> Vec<&'static str> {
        from.iter().enumerate().filter(|(at, _)| !(at + case).is_multiple_of(3)).map(|(_, one)| *one).collect()
    };
    let project = Project::new("");
    for file in pick(&FILES) {
        project.repo.write(file, file);
    }
    project.repo.symlink("../a", "web/link");
    project.repo.mkdir("empty/deep");
    project.repo.write(".gitignore", pick(&IGNORED).join("\n"));
    project.repo.write(".dockerignore", rules.join("\n"));
    project.repo.git(&["add", "-f", "web"]);
    let hash = || project.run(["hash", "--leaks", "--list", "--json"]).ok().json();
    let found = hash();
    let (hashed, leaked) = (paths(&found["entries"]), paths(&found["leaks"]["list"]));
    assert!(hashed.is_disjoint(&leaked), "{found}");
    assert!(leaked.iter().any(|path| path.ends_with("shipper.toml")), "{found}");
    let both: BTreeSet<String> = hashed.union(&leaked).cloned().collect();
    assert_eq!(judge.copied(project.path()), both, "case {case}");

    let lines = found["leaks"]["dockerignore"].as_array().expect("lines").iter().map(text);
    let cured = rules.iter().map(|&line| line.to_owned()).chain(lines).collect::<Vec<_>>().join("\n");
    project.repo.write(".dockerignore", cured);
    let cured = hash();
    assert_eq!(paths(&cured["entries"]), hashed, "the cure takes nothing away");
    assert_eq!(cured["leaks"]["entries"], 0, "{cured}");
    assert_eq!(judge.copied(project.path()), hashed, "case {case}, cured");
}

#[test]
fn what_buildah_is_sent_is_what_is_hashed_and_what_leaks() {
    let judge = Judge::Buildah(need!(require_tool("buildah")));
    for case in 0..2 {
        let rules: Vec<&str> =
            RULES.iter().enumerate().filter(|(at, _)| !(at + case).is_multiple_of(3)).map(|(_, one)| *one).collect();
        compare(&judge, case, &rules);
    }
}

#[test]
fn what_buildkit_is_sent_is_what_is_hashed_and_what_leaks() {
    let judge = Judge::BuildKit(need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd)));
    compare(&judge, 2, &EXCEPTIONS);
}

#[test]
fn leaks_are_told_by_the_names_that_stand_for_them() {
    let project = Project::new("");
    project.repo.write(".gitignore", "target\n");
    project.repo.write(".dockerignore", "**/.git\n.dockerignore\nshipper.toml\n");
    project.repo.write("target/debug/app", "12345678");
    project.repo.write("target/x", "1");
    project.repo.write("main.rs", "fn main() {}");
    let told = project.run(["hash", "--leaks"]).ok().stdout;
    let hash = project.run(["hash"]).ok().stdout;
    let expected = "leaks: 2 paths, 9 B\n  target (git ignores it; 2 paths, 9 B)\n\
                    lines for .dockerignore that keep them from a builder:\n  target\n";
    assert_eq!(told, format!("{hash}{expected}"));
    let listed = project.run(["hash", "--leaks", "--list"]).ok().stdout;
    assert!(listed.contains("all of them:\n  file 8 target/debug/app\n  file 1 target/x\n"), "{listed}");
    let json = project.run(["hash", "--leaks", "--json"]).ok().json();
    assert_eq!(json["leaks"]["roots"][0]["entries"], 2);
    assert_eq!(json["leaks"]["bytes"], 9);
    project.repo.remove("target");
    assert!(
        project
            .run(["hash", "--leaks"])
            .ok()
            .stdout
            .ends_with("leaks: none; a builder would be sent nothing that the hash does not cover\n")
    );
}

#[test]
fn a_dockerfile_leaks_what_its_build_reads() {
    let project =
        Project::new("[service.site]\ndockerfile = 'web/Dockerfile'\n[service.docs]\nfiles = { '/d' = 'web' }\n");
    project.repo.write(".gitignore", "*.log\n");
    project.repo.write("web/Dockerfile", "FROM scratch\nCOPY web/src /\n");
    for file in ["web/src/a", "web/src/b.log", "web/c.log", "d.log"] {
        project.repo.write(file, file);
    }
    let by_service = project.run(["hash", "site", "--leaks", "--json"]).ok().json();
    assert_eq!(by_service["leaks"]["dockerignore"], serde_json::json!(["web/src/b.log"]));
    let by_path = project.run(["hash", ".", "--dockerfile", "web/Dockerfile", "--leaks", "--json"]).ok().json();
    assert_eq!(by_path["leaks"], by_service["leaks"]);
    assert_eq!(by_path["context"], by_service["context"]);
    project.run(["hash", "docs", "--leaks"]).exits(2).says("it has no Dockerfile").says("hint: name a directory");
    project.run(["hash", "--leaks", "--commit", "HEAD"]).exits(2);
}
