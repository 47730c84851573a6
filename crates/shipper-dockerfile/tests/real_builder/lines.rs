//! The lines that BuildKit names are those that the analysis names, and what `--exclude` leaves still counts.

use std::collections::BTreeSet;
use std::fs;

use shipper_dockerfile::{BuildOptions, Inputs, WidenKind, analyze};
use shipper_testkit::{DockerEngine, ImageStore, Suite, need};

use crate::{CONSTRUCTS, FILES, Tree, write};

/// How many constructs are asked for their lines.
const LINES: usize = 10;

/// A build of `text` in the context `files`; what BuildKit printed if it failed.
fn build(engine: &DockerEngine, text: &str, files: &dyn Fn(&[u8]) -> bool) -> Result<Tree, String> {
    let place = tempfile::tempdir().unwrap();
    let (context, out) = (place.path().join("context"), place.path().join("out"));
    write(&context, &[], files);
    fs::write(place.path().join("Dockerfile"), text).unwrap();
    let mut build = engine.docker(&["buildx", "build", "--provenance=false", "--progress=plain"]);
    build.arg("--output").arg(format!("type=local,dest={}", out.display()));
    let built = build.arg("--file").arg(place.path().join("Dockerfile")).arg(&context).output().unwrap();
    if built.status.success() { Ok(crate::tree(&out)) } else { Err(String::from_utf8(built.stderr).unwrap()) }
}

/// The lines that BuildKit marks in its excerpt of the Dockerfile, else the one in its message.
fn marked(printed: &str) -> BTreeSet<usize> {
    let excerpt = printed.lines().filter(|line| line.contains(" | >>> "));
    let lines: BTreeSet<usize> = excerpt.filter_map(|line| line.split('|').next()?.trim().parse().ok()).collect();
    if !lines.is_empty() {
        return lines;
    }
    let named = printed.rsplit("on line ").next().unwrap_or_default();
    named.split(':').next().and_then(|number| number.trim().parse().ok()).into_iter().collect()
}

#[test]
fn buildkit_names_the_lines_that_the_analysis_names() {
    // One engine: starting it takes longer than what is asked of it.
    let engine = need!(DockerEngine::start(Suite::Stable, ImageStore::Containerd));
    a_file_that_is_not_there_fails_the_build_in_the_line_that_reads_it(&engine);
    a_dockerfile_that_is_none_is_refused_in_the_line_where_buildkit_refuses_it(&engine);
    the_frontend_is_that_of_the_line_where_buildkit_looks_for_it(&engine);
}

fn a_file_that_is_not_there_fails_the_build_in_the_line_that_reads_it(engine: &DockerEngine) {
    let mut compared = 0;
    // Without arguments and named contexts, and with files of their own names.
    for (text, given, read, _) in CONSTRUCTS {
        let [only] = read else { continue };
        // For BuildKit a trigger stands in the line of a `FROM`.
        if !given.is_empty() || text.contains("ONBUILD") {
            continue;
        }
        let inputs = analyze(text.as_bytes(), &BuildOptions::default()).unwrap().inputs;
        let Some(reader) = inputs.readers(only.as_bytes()).next() else { continue };
        let below = reader.pattern.clone();
        let others = |name: &[u8]| !name.starts_with(&below);
        let printed = build(engine, text, &others).expect_err("nothing is there to be copied");
        let marked = marked(&printed);
        // The first of what it marks: an instruction may go on over lines.
        assert_eq!(marked.first(), Some(&reader.line), "{text}\n{printed}");
        compared += 1;
        if compared == LINES {
            return;
        }
    }
    panic!("only {compared} lines were compared");
}

fn a_dockerfile_that_is_none_is_refused_in_the_line_where_buildkit_refuses_it(engine: &DockerEngine) {
    for text in [
        "FROM scratch\nCOPY a\n",
        "FROM scratch\n# comment\n\nCOPIE a /\n",
        "FROM scratch AS a b c\n",
        "FROM scratch\nCOPY a \\\n b /\nADD x\n",
        "# a comment\nCOPY a /\n",
        "FROM scratch\nCOPY --what=1 a /\n",
        "FROM scratch\nENV A\n",
        "FROM scratch\nONBUILD FROM x\n",
    ] {
        let printed = build(engine, text, &|_| true).expect_err("it is refused");
        match analyze(text.as_bytes(), &BuildOptions::default()) {
            Err(error) => {
                let line = error.line().into_iter().collect::<BTreeSet<_>>();
                assert!(marked(&printed).is_superset(&line) && !line.is_empty(), "{text}{error}\n{printed}");
            }
            // An option that is not known may mean anything.
            Ok(analysis) => {
                let Inputs::WholeContext { reasons } = analysis.inputs else { panic!("{text} is accepted\n{printed}") };
                assert!(marked(&printed).contains(&reasons[0].line), "{text}{reasons:?}\n{printed}");
            }
        }
    }
}

fn the_frontend_is_that_of_the_line_where_buildkit_looks_for_it(engine: &DockerEngine) {
    // Nothing listens on the first port, so that the name is all that can be seen of it.
    for (text, image) in [
        ("# syntax=127.0.0.1:1/front:2\nFROM scratch\nCOPY c.md /\n", "127.0.0.1:1/front:2"),
        ("#   Syntax = 127.0.0.1:1/a\nFROM scratch\nCOPY c.md /\n", "127.0.0.1:1/a"),
        ("# escape=`\n# syntax=127.0.0.1:1/b\nFROM scratch\nCOPY c.md /\n", "127.0.0.1:1/b"),
    ] {
        let printed = build(engine, text, &|_| true).expect_err("the frontend is not there");
        let analysis = analyze(text.as_bytes(), &BuildOptions::default()).unwrap();
        let frontend = analysis.frontend.expect("a frontend");
        assert_eq!(frontend.image, image);
        assert!(printed.contains(&format!("docker-image://{image}")), "{text}{printed}");
        assert_eq!(marked(&printed), BTreeSet::from([frontend.line]), "{text}{printed}");
        let Inputs::WholeContext { reasons } = analysis.inputs else { panic!("{text} is narrowed") };
        assert!(matches!(&reasons[0].kind, WidenKind::Frontend { image: named } if named == image));
    }
    // No directive: a comment came first, or it is none.
    for text in [
        "\n# syntax=127.0.0.1:1/c\nFROM scratch\nCOPY c.md /\n",
        "# note\n# syntax=127.0.0.1:1/c\nFROM scratch\nCOPY c.md /\n",
    ] {
        build(engine, text, &|_| true).unwrap_or_else(|printed| panic!("{text}{printed}"));
        assert_eq!(analyze(text.as_bytes(), &BuildOptions::default()).unwrap().frontend, None, "{text}");
    }
}

#[test]
fn what_exclude_leaves_is_covered() {
    let engine = need!(DockerEngine::start(Suite::Rolling, ImageStore::Containerd));
    for (text, left) in [
        ("FROM scratch\nCOPY --exclude=*.md a /\n", 3),
        ("FROM scratch\nCOPY --exclude=b --exclude=x.rs a /\n", 1),
        ("FROM scratch\nADD --exclude=**/*.rs a ab /\n", 2),
    ] {
        let analysis = analyze(text.as_bytes(), &BuildOptions::default()).unwrap();
        let whole = build(&engine, text, &|_| true).unwrap_or_else(|printed| panic!("{text}{printed}"));
        let narrow = build(&engine, text, &|name| analysis.inputs.covers(name))
            .unwrap_or_else(|printed| panic!("{text}{printed}"));
        assert_eq!(narrow, whole, "{text}");
        assert_eq!(whole.values().filter(|content| *content != b"/").count(), left, "{text}{whole:?}");
        assert!(FILES.iter().any(|name| !analysis.inputs.covers(name.as_bytes())), "{text} is not narrowed");
    }
}
