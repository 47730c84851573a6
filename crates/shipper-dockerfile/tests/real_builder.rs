//! The image from a narrowed context equals the image from the whole context, with a real builder as the judge.
//!
//! Runs only with `SHIPPER_TEST_REAL=1` and `buildah` on the PATH; needs no network, for all stages start from
//! `scratch`. Ignore rules are used only where buildah and BuildKit agree: without exceptions, and not together with
//! symlinks (BuildKit does not send what a rule excludes, buildah reads it through a link all the same).
#![cfg(unix)]

use shipper_dockerfile::{BuildOptions, IgnoreFile, Inputs, analyze};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FILES: [&str; 9] = ["a/x.rs", "a/y.md", "a/b/z.rs", "a/b/c/w", "ab/x.rs", "b/a/x", "c.md", "d.rs", "e/[1].txt"];
const LINKS: [(&str, &str); 6] =
    [("l", "a/b"), ("a/m", "../c.md"), ("b/k", "/ab"), ("b/n", "k"), ("a/b/up", "../../b"), ("e/gone", "nowhere")];
const SOURCES: [&str; 24] = [
    "a",
    "a/b",
    "a/b/",
    "a/*.rs",
    "*.md",
    "*/x*",
    "ab/x.rs",
    "l",
    "l/z.rs",
    "a/m",
    "b/k",
    "b/k/x.rs",
    "b/n/x.rs",
    "a/b/up/a",
    "./a/../ab",
    "$D",
    "${D}/*.rs",
    "${U:-c.md}",
    "?/b",
    "[ab]b/x.rs",
    "../d.rs",
    "/c.md",
    "e",
    "*/*/c",
];
const RULES: [&str; 7] = ["a/b", "*.md", "**/z.rs", "b", "/ab/", "a/*.rs", "**/x"];

/// A small generator, so that a failure names a case that can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("the test works in a directory of its own") % limit
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

fn dockerfile(random: &mut Random) -> String {
    let stages = 1 + random.below(3);
    let mut text = String::new();
    for stage in 0..stages {
        let base =
            if stage > 0 && random.below(3) == 0 { format!("s{}", random.below(stage)) } else { "scratch".to_owned() };
        text += &format!("FROM {base} AS s{stage}\n");
        text += random.pick(&["ARG D=a\n", "ENV D=ab\n", "ARG D=ab\nENV D=${D}/../a\n"]);
        for copy in 0..=random.below(2) {
            let keyword = random.pick(&["COPY", "ADD"]);
            let mut sources = random.pick(&SOURCES).to_owned();
            if random.below(3) == 0 {
                sources += &format!(" \\\n  {}", random.pick(&SOURCES));
            }
            text += &format!("{keyword} {sources} /d{stage}{copy}/\n");
        }
        if stage > 0 && random.below(2) == 0 {
            text += &format!("COPY --from={} / /from/\n", random.below(stage));
        }
        if random.below(6) == 0 {
            text += "ONBUILD COPY d.rs /onbuild/\n";
        }
    }
    text
}

fn write(root: &Path, links: &[(&str, &str)], keep: &dyn Fn(&[u8]) -> bool) {
    for name in FILES.iter().filter(|name| keep(name.as_bytes())) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("the test works in a directory of its own"))
            .expect("the test works in a directory of its own");
        fs::write(path, name).expect("the test works in a directory of its own");
    }
    for (name, target) in links.iter().filter(|(name, _)| keep(name.as_bytes())) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("the test works in a directory of its own"))
            .expect("the test works in a directory of its own");
        std::os::unix::fs::symlink(target, path).expect("the test works in a directory of its own");
    }
}

/// Paths of files with their content, and of links with their target.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("the test works in a directory of its own") {
            let entry = entry.expect("the test works in a directory of its own");
            let kind = entry.file_type().expect("the test works in a directory of its own");
            let path = entry.path();
            let name = path.strip_prefix(root).expect("the test works in a directory of its own").to_owned();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                found.insert(
                    name,
                    fs::read_link(path)
                        .expect("the test works in a directory of its own")
                        .into_os_string()
                        .into_encoded_bytes(),
                );
            } else {
                found.insert(name, fs::read(path).expect("the test works in a directory of its own"));
            }
        }
    }
    found
}

/// The tree of the image, or `None` if the build fails.
fn build(work: &Path, context: &Path, dockerfile: &Path, name: &str) -> Option<BTreeMap<PathBuf, Vec<u8>>> {
    let out = work.join(name);
    let status = Command::new("buildah")
        .args(["--storage-driver", "vfs", "--root"])
        .arg(work.join("root"))
        .arg("--runroot")
        .arg(work.join("run"))
        .args(["bud", "--isolation", "chroot", "--quiet", "--file"])
        .arg(dockerfile)
        .arg("--output")
        .arg(format!("type=local,dest={}", out.display()))
        .arg(context)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the test works in a directory of its own");
    status.success().then(|| tree(&out))
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn the_narrowed_context_gives_the_same_image() {
    let is_asked_for = std::env::var_os("SHIPPER_TEST_REAL").is_some_and(|value| value == "1");
    let has_builder = Command::new("buildah").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_asked_for || !has_builder {
        eprintln!("skipped: needs SHIPPER_TEST_REAL=1 and buildah");
        return;
    }
    let cases = std::env::var("SHIPPER_REAL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40);
    let work = tempfile::tempdir().expect("the test works in a directory of its own");
    let (mut compared, mut narrowed) = (0, 0);
    for case in 0..cases {
        let mut random = Random(case);
        let text = dockerfile(&mut random);
        let rules = if random.below(2) == 0 { String::new() } else { format!("{}\n", random.pick(&RULES)) };
        let case_dir = work.path().join(format!("case{case}"));
        let (whole, part, file) = (case_dir.join("whole"), case_dir.join("part"), case_dir.join("Dockerfile"));
        fs::create_dir_all(&whole).expect("the test works in a directory of its own");
        fs::create_dir_all(&part).expect("the test works in a directory of its own");
        fs::write(&file, &text).expect("the test works in a directory of its own");
        let links = if rules.is_empty() { &LINKS[..] } else { &[] };
        write(&whole, links, &|_| true);
        fs::write(whole.join(".dockerignore"), &rules).expect("the test works in a directory of its own");

        let ignore = IgnoreFile::parse(rules.as_bytes()).expect("the test works in a directory of its own");
        let sent = |name: &[u8]| !ignore.is_excluded(name);
        let texts: Vec<_> =
            links.iter().map(|(name, target)| (name.as_bytes().to_vec(), target.as_bytes().to_vec())).collect();
        let analysis =
            analyze(text.as_bytes(), &BuildOptions::default()).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let inputs = analysis.inputs.follow_links(&texts);
        narrowed += usize::from(matches!(inputs, Inputs::Paths(_)));
        write(&part, links, &|name| sent(name) && inputs.covers(name));

        let Some(expected) = build(&case_dir, &whole, &file, "out-whole") else { continue };
        let found = build(&case_dir, &part, &file, "out-part");
        assert_eq!(found.as_ref(), Some(&expected), "case {case}, rules {rules:?}\n{text}\n{inputs:?}");
        compared += 1;
        fs::remove_dir_all(&case_dir).expect("the test works in a directory of its own");
    }
    eprintln!("{compared} of {cases} builds compared, {narrowed} contexts narrowed");
    assert!(compared * 3 >= cases, "only {compared} of {cases} generated builds work");
    assert!(
        narrowed * 2 >= usize::try_from(cases).expect("the test works in a directory of its own"),
        "only {narrowed} of {cases} contexts could be narrowed"
    );
}
