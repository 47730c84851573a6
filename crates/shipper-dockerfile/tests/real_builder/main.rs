//! Real builders as judges: BuildKit (a Docker engine with buildx) and buildah.
//!
//! `COPY . /` must give exactly what the ignore rules keep, and the image from a narrowed context must be the image
//! from the whole one. All stages start from `scratch`, so that no network is needed. `SHIPPER_REAL_CASES` sets the
//! number of generated cases for each test; a failure names its case.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests stop where something is wrong")]

mod fetched;
mod lines;

use shipper_dockerfile::{BuildOptions, DirMatch, IgnoreFile, Inputs, analyze};
use shipper_testkit::{DockerEngine, ImageStore, Suite, need, require_tool};
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

/// Rules that buildah, whose evaluator differs, reads as BuildKit does: no exceptions.
const PLAIN_RULES: [&str; 7] = ["a/b", "*.md", "**/z.rs", "b", "/ab/", "a/*.rs", "**/x"];

/// Rules of every kind, the quirks of the original among them.
const RULES: [&str; 30] = [
    "*",
    "**",
    "a",
    "!a/b",
    "!a/b/c",
    "a/b",
    "*.md",
    "!**/*.rs",
    "**/z.rs",
    "b",
    "!b/a",
    "/ab/",
    "a/*.rs",
    "**/x",
    "*/x*",
    "!*/b",
    "**b",
    "a**",
    "a/**",
    "!c.md",
    "?b",
    "[ab]",
    "[!a]",
    "[^a]",
    "!ab/x.rs",
    "e/\\[1\\].txt",
    "!l",
    "a/m",
    "# comment",
    "!e",
];

/// A small generator, so that a failure names a case that can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
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
    fs::create_dir_all(root).unwrap();
    for name in FILES.iter().filter(|name| keep(name.as_bytes())) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    for (name, target) in links.iter().filter(|(name, _)| keep(name.as_bytes())) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }
}

type Tree = BTreeMap<PathBuf, Vec<u8>>;

/// Paths of files with their content, of links with their target, and of directories with a `/`.
fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (kind, path) = (entry.file_type().unwrap(), entry.path());
            let name = path.strip_prefix(root).unwrap().to_owned();
            let content = if kind.is_dir() {
                open.push(path);
                b"/".to_vec()
            } else if kind.is_symlink() {
                fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(path).unwrap()
            };
            found.insert(name, content);
        }
    }
    found
}

/// A tree without its directories: buildah makes the parents of what a link leads to.
fn leaves(tree: &Tree) -> Tree {
    tree.iter().filter(|(_, content)| *content != b"/").map(|(path, content)| (path.clone(), content.clone())).collect()
}

enum Judge {
    BuildKit(DockerEngine),
    Buildah(PathBuf),
}

impl Judge {
    /// The root directory of the image, or `None` if the build fails.
    fn build(&self, work: &Path, context: &Path, dockerfile: &Path, name: &str) -> Option<Tree> {
        let out = work.join(name);
        let mut command = match self {
            Self::BuildKit(engine) => engine.docker(&["buildx", "build", "--provenance=false"]),
            Self::Buildah(program) => {
                let mut buildah = Command::new(program);
                buildah.args(["--storage-driver", "vfs", "--root"]).arg(work.join("root"));
                buildah.arg("--runroot").arg(work.join("run")).args(["bud", "--isolation", "chroot"]);
                buildah
            }
        };
        command.args(["--quiet", "--file"]).arg(dockerfile);
        command.arg("--output").arg(format!("type=local,dest={}", out.display())).arg(context);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        status.success().then(|| tree(&out))
    }
}

fn cases(default: u64) -> u64 {
    std::env::var("SHIPPER_REAL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default)
}

/// What the rules leave of `whole`, as a walk sends it: a directory that is excluded comes along with what is kept in
/// it.
fn kept(whole: &Tree, ignore: &IgnoreFile) -> Tree {
    let mut states: BTreeMap<PathBuf, DirMatch> = BTreeMap::new();
    let mut kept = Tree::new();
    for (path, content) in whole {
        let parent = states.get(path.parent().unwrap()).cloned().unwrap_or_else(|| ignore.root());
        let (excluded, state) = ignore.descend(&parent, path.as_os_str().as_encoded_bytes());
        states.insert(path.clone(), state);
        if !excluded {
            for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
                kept.insert(above.to_owned(), b"/".to_vec());
            }
            kept.insert(path.clone(), content.clone());
        }
    }
    kept
}

#[test]
fn buildkit_copies_exactly_what_the_ignore_rules_keep() {
    let judge = Judge::BuildKit(need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd)));
    let work = tempfile::tempdir().unwrap();
    let (context, file) = (work.path().join("context"), work.path().join("Dockerfile"));
    write(&context, &LINKS, &|_| true);
    fs::create_dir_all(context.join("b/empty")).unwrap();
    fs::write(&file, "FROM scratch\nCOPY . /\n").unwrap();
    let mut differing = 0;
    let cases = cases(60);
    for case in 0..cases {
        let mut random = Random(case);
        let rules: String = (0..1 + random.below(5)).map(|_| format!("{}\n", random.pick(&RULES))).collect();
        // Beside the Dockerfile, so that it is no part of what is copied.
        fs::write(work.path().join("Dockerfile.dockerignore"), &rules).unwrap();
        let whole = tree(&context);
        let expected = kept(&whole, &IgnoreFile::parse(rules.as_bytes()).unwrap());
        differing += usize::from(expected != whole && !expected.is_empty());
        let found = judge.build(work.path(), &context, &file, &format!("out{case}"));
        assert_eq!(found.as_ref(), Some(&expected), "case {case}, rules\n{rules}");
    }
    assert!(differing * 3 >= usize::try_from(cases).unwrap(), "only {differing} of {cases} cases exclude a part");
}

/// Puts other content in the place of each file that the build does not read, and files that were not there beside them.
fn mutate_what_is_not_read(context: &Path, inputs: &Inputs) {
    for name in FILES.iter().flat_map(|name| [(*name).to_owned(), format!("{name}.new")]) {
        if !inputs.covers(name.as_bytes()) {
            let path = context.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // A link may be in the way.
            if path.symlink_metadata().is_err() {
                fs::write(path, "another content").unwrap();
            }
        }
    }
}

/// Compares images of whole contexts and of those without what the build does not read, or with other files there;
/// `links_with_rules` where the builder applies rules to links.
fn compare(judge: &Judge, links_with_rules: bool) {
    let cases = cases(24);
    let work = tempfile::tempdir().unwrap();
    let (mut compared, mut narrowed) = (0, 0);
    for case in 0..cases {
        let mut random = Random(case);
        let text = dockerfile(&mut random);
        let rules = if random.below(2) == 0 { String::new() } else { format!("{}\n", random.pick(&PLAIN_RULES)) };
        let case_dir = work.path().join(format!("case{case}"));
        let (whole, part, file) = (case_dir.join("whole"), case_dir.join("part"), case_dir.join("Dockerfile"));
        let links = if rules.is_empty() || links_with_rules { &LINKS[..] } else { &[] };
        write(&whole, links, &|_| true);
        fs::write(&file, &text).unwrap();
        fs::write(whole.join(".dockerignore"), &rules).unwrap();

        let ignore = IgnoreFile::parse(rules.as_bytes()).unwrap();
        let sent = |name: &[u8]| !ignore.is_excluded(name);
        let texts: Vec<_> =
            links.iter().map(|(name, target)| (name.as_bytes().to_vec(), target.as_bytes().to_vec())).collect();
        let analysis =
            analyze(text.as_bytes(), &BuildOptions::default()).unwrap_or_else(|error| panic!("{text}\n{error}"));
        let inputs = analysis.inputs.follow_links(&texts);
        narrowed += u64::from(matches!(inputs, Inputs::Paths(_)));
        write(&part, links, &|name| sent(name) && inputs.covers(name));
        if case % 2 == 1 {
            mutate_what_is_not_read(&part, &inputs);
        }

        let Some(expected) = judge.build(&case_dir, &whole, &file, "out-whole") else { continue };
        let found = judge.build(&case_dir, &part, &file, "out-part").map(|found| leaves(&found));
        assert_eq!(found, Some(leaves(&expected)), "case {case}, rules {rules:?}\n{text}\n{inputs:?}");
        compared += 1;
        fs::remove_dir_all(&case_dir).unwrap();
    }
    assert!(compared * 3 >= cases, "only {compared} of {cases} generated builds work");
    assert!(narrowed * 2 >= cases, "only {narrowed} of {cases} contexts could be narrowed");
}

/// A Dockerfile, the arguments, target and named contexts of its build, and files that it reads and that it does not read.
type Construct =
    (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], &'static [&'static str]);

const CONSTRUCTS: &[Construct] = &[
    ("FROM scratch AS x\nCOPY a /\nFROM scratch\nCOPY b /\n", &[("target", "x")], &["a/x.rs"], &["b/a/x"]),
    ("FROM scratch AS x\nCOPY a /\nFROM scratch\nCOPY b /\n", &[], &["b/a/x"], &["a/x.rs"]),
    ("FROM scratch AS x\nCOPY a /\nFROM scratch\nCOPY --from=x /x.rs /\n", &[], &["a/x.rs"], &["b/a/x"]),
    ("FROM scratch\nCOPY a /\nFROM scratch\nCOPY --from=0 /x.rs /\n", &[], &["a/x.rs"], &["b/a/x"]),
    ("FROM scratch AS X\nCOPY a /\nFROM x\nCOPY d.rs /\n", &[], &["a/x.rs", "d.rs"], &["c.md"]),
    ("ARG G=c.md\nFROM scratch\nARG G\nCOPY $G /\n", &[], &["c.md"], &["d.rs"]),
    ("ARG G=c.md\nFROM scratch\nARG G\nCOPY $G /\n", &[("G", "d.rs")], &["d.rs"], &["c.md"]),
    ("ARG G=c.md\nFROM scratch\nCOPY ${G:-d.rs} /\n", &[], &["d.rs"], &["c.md"]),
    ("ARG G=d.rs\nFROM scratch\nARG G=c.md\nCOPY $G /\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch\nARG V=c.md\nENV V=d.rs\nCOPY $V /\n", &[("V", "a")], &["d.rs"], &["c.md", "a/x.rs"]),
    ("FROM scratch\nENV V=c.md\nARG V=d.rs\nCOPY $V /\n", &[("V", "a")], &["a/x.rs"], &["c.md", "d.rs"]),
    ("FROM scratch AS x\nENV V=c.md\nFROM x\nCOPY $V /\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch AS x\nARG V=c.md\nFROM x\nCOPY ${V:-d.rs} /\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch\nENV A=c.md B=$A\nCOPY ${B:-d.rs} /\n", &[], &["d.rs"], &["c.md"]),
    ("FROM scratch\nENV V=x\nCOPY ${V:+c.md} ${U:-d.rs} /\n", &[], &["c.md", "d.rs"], &["a/x.rs"]),
    ("FROM scratch\nENV V=\nCOPY ${V:-c.md} ${V-b}d.rs /\n", &[], &["c.md", "d.rs"], &["a/x.rs"]),
    ("FROM scratch\nENV V=xx/c.md\nCOPY ${V#*/} /\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch\nENV V=x/x/c.md\nCOPY ${V##*/} /\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch\nENV V=d.rs.gz\nCOPY ${V%.*} /\n", &[], &["d.rs"], &["c.md"]),
    ("FROM scratch\nENV V=a.b.c\nCOPY ${V%%.*} /\n", &[], &["a/x.rs"], &["b/a/x"]),
    ("FROM scratch\nENV V=d.md\nCOPY ${V/d/c} /\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch\nENV V=axx.rs\nCOPY a/${V//ax/} /\n", &[], &["a/x.rs"], &["a/y.md"]),
    ("FROM scratch\nENV V=c.md\nCOPY [\"$V\", \"/\"]\n", &[], &["c.md"], &["d.rs"]),
    ("# escape=`\nFROM scratch\nCOPY c.md `\n d.rs /\n", &[], &["c.md", "d.rs"], &["a/x.rs"]),
    ("FROM scratch\nCOPY c.md \\\n# comment\n\n d.rs /\n", &[], &["c.md", "d.rs"], &["a/x.rs"]),
    ("FROM scratch\nCOPY <<E /f\nCOPY a /\nE\nCOPY c.md /\n", &[], &["c.md"], &["a/x.rs"]),
    ("FROM scratch\nCOPY <<E d.rs /f/\ntext\nE\n", &[], &["d.rs"], &["a/x.rs"]),
    ("FROM scratch AS x\nONBUILD COPY c.md /\nFROM x\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch\nONBUILD COPY c.md /\nCOPY d.rs /\n", &[], &["d.rs"], &["c.md"]),
    ("FROM scratch\nCOPY --chmod=600 --link c.md /\n", &[], &["c.md"], &["d.rs"]),
    ("FROM scratch\nCOPY --from=lib c.md /\nCOPY d.rs /\n", &[("context", "lib")], &["d.rs"], &["c.md"]),
    ("FROM base\nCOPY d.rs /\n", &[("context", "base")], &["d.rs"], &["c.md"]),
    ("FROM scratch AS s\nCOPY a /\nFROM s\nCOPY d.rs /\n", &[("context", "s")], &["d.rs"], &["a/x.rs"]),
    ("FROM scratch AS s\nCOPY a /\nFROM scratch\nCOPY --from=s / /\n", &[("context", "s")], &[], &["a/x.rs"]),
    ("FROM scratch AS s\nCOPY a /\nFROM scratch\nCOPY --from=0 / /\n", &[("context", "other")], &["a/x.rs"], &["c.md"]),
    ("FROM docker.io/library/base:latest\nCOPY d.rs /\n", &[("context", "base")], &["d.rs"], &["c.md"]),
    ("FROM scratch\nARG TARGETOS\nENV V=${TARGETOS/linux/c}\nCOPY $V.md /\n", &[], &["c.md"], &["d.rs"]),
];

#[test]
fn each_construct_reads_what_buildkit_reads() {
    reads_what_buildkit_reads(&need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd)), CONSTRUCTS, None);
}

/// Changes files one by one and compares the images; `frontend` is fetched by BuildKit and used in the place of its own.
fn reads_what_buildkit_reads(engine: &DockerEngine, constructs: &[Construct], frontend: Option<&str>) {
    let work = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (number, (text, given, read, other)) in constructs.iter().enumerate() {
        let place = work.path().join(number.to_string());
        let context = place.join("context");
        write(&context, &[], &|_| true);
        fs::write(place.join("Dockerfile"), text).unwrap();
        let mut options = BuildOptions { platform: Some("linux/amd64".to_owned()), ..BuildOptions::default() };
        let mut flags = Vec::new();
        flags.extend(frontend.iter().flat_map(|image| ["--build-arg".to_owned(), format!("BUILDKIT_SYNTAX={image}")]));
        for (name, value) in *given {
            if *name == "target" {
                options.target = Some((*value).to_owned());
                flags.extend(["--target".to_owned(), (*value).to_owned()]);
            } else if *name == "context" {
                let named = place.join("named");
                write(&named, &[], &|_| true);
                options.named_contexts.insert((*value).to_owned());
                flags.extend(["--build-context".to_owned(), format!("{value}={}", named.display())]);
            } else {
                options.args.insert((*name).to_owned(), (*value).to_owned());
                flags.extend(["--build-arg".to_owned(), format!("{name}={value}")]);
            }
        }
        let image = |out: &str| {
            let mut build = engine.docker(&["buildx", "build", "--provenance=false", "--quiet"]);
            build.args(&flags).arg("--output").arg(format!("type=local,dest={}", place.join(out).display()));
            let built = build.arg("--file").arg(place.join("Dockerfile")).arg(&context).output().unwrap();
            built.status.success().then(|| tree(&place.join(out))).ok_or(built.stderr)
        };
        let inputs = analyze(text.as_bytes(), &options).unwrap_or_else(|error| panic!("{text}\n{error}")).inputs;
        let before = match image("before") {
            Ok(before) => before,
            Err(printed) => {
                wrong.push(format!("{text}does not build: {}", String::from_utf8_lossy(&printed)));
                continue;
            }
        };
        for (paths, expected) in [(read, true), (other, false)] {
            for path in *paths {
                fs::write(context.join(path), "another content").unwrap();
                let changed = image(path.split('/').next_back().unwrap()).unwrap() != before;
                let covered = inputs.covers(path.as_bytes());
                if (changed, covered) != (expected, expected) {
                    wrong.push(format!("{text}{path}: BuildKit reads it: {changed}, covered: {covered}"));
                }
                fs::write(context.join(path), path).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_narrowed_context_gives_the_same_image_with_buildkit() {
    compare(&Judge::BuildKit(need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd))), true);
}

#[test]
fn the_narrowed_context_gives_the_same_image_with_buildah() {
    // It reads through a link what a rule excludes; BuildKit never sends it.
    compare(&Judge::Buildah(need!(require_tool("buildah"))), false);
}
