//! What an analysis says about Dockerfiles, row by row.

use shipper_dockerfile::{Analysis, BasePlatform, BuildOptions, Error, Inputs, Reader, StageBase, WidenKind, analyze};
use std::collections::{BTreeMap, BTreeSet};

fn options(args: &[(&str, &str)]) -> BuildOptions {
    BuildOptions {
        args: args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        platform: Some("linux/amd64".to_owned()),
        ..BuildOptions::default()
    }
}

fn with_contexts(names: &[&str]) -> BuildOptions {
    BuildOptions { named_contexts: names.iter().map(|name| (*name).to_owned()).collect(), ..options(&[]) }
}

fn with_target(target: &str) -> BuildOptions {
    BuildOptions { target: Some(target.to_owned()), ..options(&[]) }
}

#[track_caller]
fn analyzed(dockerfile: &str, options: &BuildOptions) -> Analysis {
    analyze(dockerfile.as_bytes(), options).unwrap_or_else(|error| panic!("{dockerfile}\n{error}"))
}

/// The patterns with their lines, as `line:pattern`, or the reasons.
#[track_caller]
fn inputs(dockerfile: &str, options: &BuildOptions) -> Vec<String> {
    match analyzed(dockerfile, options).inputs {
        Inputs::Paths(paths) => paths.iter().map(|path| format!("{}:{path}", path.line)).collect(),
        Inputs::WholeContext { reasons } => {
            assert!(!reasons.is_empty(), "{dockerfile}");
            reasons.iter().map(|reason| format!("whole: {reason}")).collect()
        }
    }
}

#[track_caller]
fn check(dockerfile: &str, expected: &[&str]) {
    assert_eq!(inputs(dockerfile, &options(&[])), expected, "{dockerfile}");
}

#[track_caller]
fn check_with(dockerfile: &str, args: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(inputs(dockerfile, &options(args)), expected, "{dockerfile}");
}

#[track_caller]
fn check_bases(dockerfile: &str, options: &BuildOptions, expected: &[&str]) {
    let found: Vec<String> = analyzed(dockerfile, options).bases.into_iter().map(|base| base.reference).collect();
    assert_eq!(found, expected, "{dockerfile}");
}

#[track_caller]
fn check_error(dockerfile: &str, line: Option<usize>, part: &str) {
    let error = analyze(dockerfile.as_bytes(), &options(&[])).expect_err(dockerfile);
    assert_eq!(error.line(), line, "{dockerfile}: {error}");
    assert!(error.to_string().contains(part), "{dockerfile}: {error}");
}

#[test]
fn copy_and_add_read_their_sources() {
    check("FROM a\nCOPY x /x", &["2:x"]);
    check("FROM a\nCOPY x y/z ./\nADD w /", &["2:x", "2:y/z", "3:w"]);
    check("FROM a\ncopy x /\nAdd y /", &["2:x", "3:y"]);
    check("FROM a\nCOPY --chown=1:1 --chmod=755 --link x /", &["2:x"]);
    check("FROM a\nCOPY [\"a b\", \"c\", \"/x/\"]", &["2:a b", "2:c"]);
    check("FROM a\nCOPY \"x\" 'y' /", &["2:x", "2:y"]);
    check("FROM a\nCOPY x\\ y /", &["2:x", "2:y"]);
    check("FROM a\nCOPY x\\*y x\\\\y /", &["whole: line 2: the source `x\\y` contains a backslash"]);
    check("FROM a\nCOPY src/*.rs ?.toml [ab].c /", &["2:src/*.rs", "2:?.toml", "2:[ab].c"]);
    check("FROM a\nRUN echo COPY x /\nCMD COPY y /", &[]);
    check("FROM a\nCOPY --exclude=*.md --parents a/./b /", &["2:a/b"]);
    check("FROM a\nCOPY --parents a/**/x.rs /", &["2:a/**/x.rs"]);
}

#[test]
fn sources_are_cleaned_as_the_builder_cleans_them() {
    check("FROM a\nCOPY ./x/../y/ /", &["2:y"]);
    check("FROM a\nCOPY /x/y /", &["2:x/y"]);
    check("FROM a\nCOPY ../../x /", &["2:x"]);
}

#[test]
fn the_root_as_a_source_is_the_whole_context() {
    for source in [".", "./", "/", "..", "./x/..", "\"\"", "**/*.rs", "//"] {
        check(&format!("FROM a\nCOPY x /\nCOPY {source} /"), &["whole: line 3: `COPY` reads the context root"]);
    }
    check("FROM a\nADD . /", &["whole: line 2: `ADD` reads the context root"]);
}

#[test]
fn heredocs_are_no_sources_and_their_text_is_no_instruction() {
    check("FROM a\nCOPY <<EOF /x\nCOPY y /\nEOF\nCOPY z /", &["5:z"]);
    check("FROM a\nCOPY w <<\"EOF\" <<-'E2' /x/\nCOPY y /\nEOF\n\t\tE2\nCOPY z /", &["2:w", "6:z"]);
    check("FROM a\nRUN cat <<EOF > /x && echo y\nCOPY y /\nEOF\nCOPY z /", &["5:z"]);
    check("FROM a\nRUN <<A cat - 3<<B\nCOPY y /\nA\nCOPY y /\nB\nCOPY z /", &["7:z"]);
    check("FROM a\nRUN echo $((1<<2))\nCOPY z /", &["3:z"]);
    check("FROM a\nRUN [\"cat\", \"<<EOF\"]\nCOPY z /", &["3:z"]);
    check("FROM a\nRUN echo '<<EOF'\nCOPY z /", &["3:z"]);
    check("FROM a\nRUN <<EOF\r\nCOPY y /\r\nEOF\r\nCOPY z /\r\n", &["5:z"]);
    check_error("FROM a\nRUN <<EOF\nCOPY y /", Some(2), "`EOF` is not closed");
}

#[test]
fn lines_are_joined_as_the_builder_joins_them() {
    check("FROM a\nCOPY x \\\n  y \\\n# comment\n\n  /\nCOPY z /", &["2:x", "2:y", "7:z"]);
    check("FROM a\nCOPY x\\\ny /", &["2:xy"]);
    check("FROM a\nCOPY x \\   \n y /", &["2:x", "2:y"]);
    check(
        "# escape=`\nFROM a\nCOPY x `\n y /\nCOPY c:\\z /",
        &["whole: line 5: the source `c:\\z` contains a backslash"],
    );
    check("  # comment \\\n   FROM a\n\tCOPY x /", &["3:x"]);
    check("\u{feff}FROM a\r\nCOPY x \\\r\n y /\r\n", &["2:x", "2:y"]);
    check("FROM a\nRUN echo \\\\\nCOPY x /", &["3:x"]);
    check("FROM a\nCO\\\nPY x /", &["2:x"]);
}

#[test]
fn only_reachable_stages_count() {
    let dockerfile = "FROM a AS one\nCOPY one /\nFROM b AS two\nCOPY two /\nFROM one AS three\nCOPY three /\n";
    let check = |target: Option<&str>, paths: &[&str], bases: &[&str]| {
        let options = BuildOptions { target: target.map(str::to_owned), ..options(&[]) };
        assert_eq!(inputs(dockerfile, &options), paths, "{target:?}");
        check_bases(dockerfile, &options, bases);
    };
    check(None, &["2:one", "6:three"], &["a"]);
    check(Some(""), &["2:one", "6:three"], &["a"]);
    check(Some("one"), &["2:one"], &["a"]);
    check(Some("TWO"), &["4:two"], &["b"]);
    check(Some("1"), &["4:two"], &["b"]);
    let error = analyze(dockerfile.as_bytes(), &with_target("four")).unwrap_err();
    assert!(error.is_unknown_target());
    assert_eq!(error.to_string(), "find the stage `four` in the Dockerfile");
    assert_eq!(error.hint().unwrap(), "the stages are `one`, `two`, `three`");
    assert!(analyze(dockerfile.as_bytes(), &with_target("3")).unwrap_err().is_unknown_target());
}

#[test]
fn from_makes_a_stage_reachable() {
    check("FROM a AS x\nCOPY 1 /\nFROM b\nCOPY --from=x /1 /\nCOPY 2 /", &["2:1", "5:2"]);
    check("FROM a AS x\nCOPY 1 /\nFROM b\nCOPY --from=X /1 /", &["2:1"]);
    check("FROM a\nCOPY 1 /\nFROM b\nCOPY --from=0 /1 /", &["2:1"]);
    check("FROM a AS x\nCOPY 1 /\nFROM b\nRUN --mount=type=bind,from=x,target=/x ls", &["2:1"]);
    check("FROM a AS x\nCOPY 1 /\nFROM b\nRUN --mount=type=cache,from=x,target=/x ls", &["2:1"]);
    check("FROM a AS x\nCOPY 1 /\nFROM b\nRUN --mount=from=0 ls", &["2:1"]);
    check("FROM a AS x\nCOPY 1 /\nFROM b\nCOPY --from=y /1 /", &[]);
    let dockerfile = "FROM a AS x\nCOPY 1 /\nFROM x AS y\nFROM b\nCOPY --from=y /1 /";
    check(dockerfile, &["2:1"]);
    let stages = analyzed(dockerfile, &options(&[])).stages;
    assert_eq!(stages[1].base, StageBase::Stage(0));
    assert!(stages.iter().all(|stage| stage.reachable));
}

#[test]
fn a_from_that_cannot_be_followed_is_an_error() {
    check_error("FROM a\nCOPY --from=1 /1 /", Some(2), "`1` is not the number of an earlier stage");
    check_error("FROM a\nCOPY --from=-1 /1 /", Some(2), "`-1` is not the number");
    check_error("FROM a AS x\nCOPY --from=x /1 /", Some(2), "`x` is not an earlier stage");
    check_error("FROM a\nCOPY --from=x /1 /\nFROM b AS x\nFROM c\nCOPY --from=0 / /", Some(2), "not an earlier stage");
    check_error("ARG v=x\nFROM a\nCOPY --from=$v /1 /", Some(3), "is not expanded by builders");
    // Nobody builds the stage with the mistake.
    check("FROM a\nCOPY --from=7 /1 /\nFROM b\nCOPY x /", &["4:x"]);
}

#[test]
fn base_images_are_those_of_reachable_stages() {
    let bases = |dockerfile: &str, expected: &[&str]| check_bases(dockerfile, &options(&[]), expected);
    bases("FROM scratch\nCOPY x /", &[]);
    bases("FROM a:1@sha256:00 AS x\nFROM x", &["a:1@sha256:00"]);
    bases("FROM a\nCOPY --from=b:2 /x /\nCOPY --from=scratch / /\nRUN --mount=from=c,target=/c ls", &["a", "b:2", "c"]);
    bases("ARG V=3\nARG B=b:$V\nFROM ${B}-slim\nFROM $B", &["b:3"]);
    bases("ARG V\nFROM a:${V:-9}", &["a:9"]);
    bases("FROM a AS alpine\nFROM alpine", &["a"]);
    bases("FROM alpine AS alpine\nFROM alpine", &["alpine"]);
    let built = analyzed("ARG V=3\nFROM a:$V", &options(&[("V", "4")]));
    assert_eq!((built.bases[0].reference.as_str(), built.bases[0].line), ("a:4", 2));
    check_error("ARG V\nFROM $V", Some(2), "the image `$V` is empty after expansion");
    check_error("FROM a-$BUILDARCH", Some(1), "`FROM a-$BUILDARCH` in line 1 means: the value of `BUILDARCH`");
    bases("FROM a-$BUILDARCH\nFROM b", &["b"]);
    check_bases("FROM a-$BUILDARCH", &options(&[("BUILDARCH", "arm64")]), &["a-arm64"]);
    bases("FROM a-$TARGETARCH$TARGETVARIANT-$TARGETOS", &["a-amd64-linux"]);
}

#[test]
fn platforms_of_base_images() {
    let check = |from: &str, expected: &BasePlatform| {
        assert_eq!(&analyzed(from, &options(&[])).bases[0].platform, expected, "{from}");
    };
    check("FROM a", &BasePlatform::Target);
    check("FROM --platform=$TARGETPLATFORM a", &BasePlatform::Target);
    check("FROM --platform=$BUILDPLATFORM a", &BasePlatform::Builder);
    check("FROM --platform=${BUILDPLATFORM} a", &BasePlatform::Builder);
    check("FROM --platform=linux/arm64 a", &BasePlatform::Named("linux/arm64".to_owned()));
    check("FROM --platform=linux/$TARGETARCH a", &BasePlatform::Named("linux/amd64".to_owned()));
    check("FROM --platform=linux/$BUILDARCH a", &BasePlatform::Unknown);
}

#[test]
fn arguments_and_environment_are_expanded() {
    check("ARG D=g\nFROM a\nCOPY $D /", &["whole: line 3: the value of `D` in `$D` is not known before the build"]);
    check("ARG D=g\nFROM a\nARG D\nCOPY $D /", &["4:g"]);
    check("ARG D=g\nFROM a\nARG D=s\nCOPY $D /", &["4:s"]);
    check_with("ARG D=g\nFROM a\nARG D=s\nCOPY $D /", &[("D", "b")], &["4:b"]);
    check("FROM a\nARG D=s\nENV D=e\nCOPY ${D}x /", &["4:ex"]);
    check("FROM a\nENV D=e\nARG D=s\nCOPY ${D}x /", &["4:sx"]);
    check(
        "FROM a\nENV D=1 E=$D\nCOPY x$E /",
        &["whole: line 3: the value of `E` in `x$E` is not known before the build"],
    );
    check("FROM a\nENV D=1\nENV D=2 E=$D\nCOPY x$E$D /", &["4:x12"]);
    check("FROM a\nENV D some dir\nCOPY \"$D/x\" /", &["3:some dir/x"]);
    check("FROM a\nENV D='$x' E=\"a b\"\nCOPY \"$D/$E\" /", &["3:$x/a b"]);
    check("FROM a AS x\nENV D=e\nFROM x\nCOPY $D /", &["4:e"]);
    check("FROM a AS x\nARG D=e\nFROM x\nCOPY $D /", &["4:e"]);
    check(
        "FROM a AS x\nENV D=e\nFROM a\nCOPY $D/f /\nCOPY --from=x / /",
        &["whole: line 4: the value of `D` in `$D/f` is not known before the build"],
    );
    check("FROM scratch\nCOPY x$D /", &["2:x"]);
    check("FROM scratch\nARG D\nCOPY ${D:-x} /", &["3:x"]);
    check(
        "FROM a\nARG D\nCOPY ${D:-x} /",
        &["whole: line 3: the value of `D` in `${D:-x}` is not known before the build"],
    );
    check(
        "FROM scratch\nCOPY x$PATH /",
        &["whole: line 2: the value of `PATH` in `x$PATH` is not known before the build"],
    );
    check("FROM a\nARG TARGETARCH\nCOPY bin/$TARGETARCH/x /", &["3:bin/amd64/x"]);
    check("FROM a\nCOPY --chown=$U x /", &["2:x"]);
    check_error("FROM a\nCOPY ${x /", Some(2), "expand `${x` in line 2");
    check_error("FROM scratch\nCOPY ${x:?missing} /", Some(2), "`x`: missing");
    check("FROM a\nCOPY ${x /\nFROM b", &[]);
}

#[test]
fn several_arguments_in_one_instruction_are_known_only_if_all_versions_agree() {
    check(
        "FROM scratch\nARG A=1 B=x$A\nCOPY $B /",
        &["whole: line 3: the value of `B` in `$B` is not known before the build"],
    );
    check("FROM scratch\nARG A=1\nARG A=1 B=x$A\nCOPY $B /", &["4:x1"]);
    check("ARG A=1 B=x$A\nFROM scratch\nARG B\nCOPY $B /", &["4:x1"]);
}

#[test]
fn names_that_are_variables_themselves_make_everything_unknown() {
    check("FROM scratch\nARG A=1\nENV $A=2\nCOPY $A /", &["4:1"]);
    check(
        "FROM a\nARG A=1\nENV $B=2\nCOPY $A /",
        &["whole: line 4: the value of `A` in `$A` is not known before the build"],
    );
    check(
        "FROM scratch\nARG A=1\nARG $A=2\nCOPY $A /",
        &["whole: line 4: the value of `A` in `$A` is not known before the build"],
    );
}

#[test]
fn add_from_elsewhere_is_no_input() {
    let dockerfile = "FROM a\nARG V=1\nADD https://x.y/$V.tgz http://x/y /\nADD --checksum=sha256:$V https://x /z\n\
         ADD git@github.com:a/b.git /\nADD \"https://x/$U\" /\nADD a.tgz me@host:dir /\nADD git://x ssh://y /";
    let analysis = analyzed(dockerfile, &options(&[]));
    let remotes: Vec<_> =
        analysis.remotes.iter().map(|remote| (remote.line, remote.url.as_str(), remote.checksum.as_deref())).collect();
    let expected = [
        (3, "https://x.y/1.tgz", None),
        (3, "http://x/y", None),
        (4, "https://x", Some("sha256:1")),
        (5, "git@github.com:a/b.git", None),
        (6, "\"https://x/$U\"", None),
        (7, "me@host:dir", None),
        (8, "git://x", None),
        (8, "ssh://y", None),
    ];
    assert_eq!(remotes, expected);
    check(dockerfile, &["7:a.tgz", "7:me@host:dir"]);
}

#[test]
fn mounts_read_their_source() {
    check("FROM a\nRUN --mount=type=bind,source=x,target=/x ls", &["2:x"]);
    check("FROM a\nRUN --mount=target=/x ls", &["whole: line 2: `RUN --mount` reads the context root"]);
    check(
        "FROM a\nRUN --mount=type=bind,source=.,target=/x ls",
        &["whole: line 2: `RUN --mount` reads the context root"],
    );
    check("FROM a\nARG D=d\nRUN --mount=src=$D/x,dst=/x --mount=type=cache,target=/c ls", &["3:d/x"]);
    check(
        "FROM a\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s --mount=type=ssh --mount=type=tmpfs,target=/t ls",
        &[],
    );
    check("FROM a\nRUN --mount=type=bind,from=b,source=/x,target=/x ls", &[]);
    check("FROM a\nRUN --network=none --security=insecure ls", &[]);
    check("FROM a\nRUN ls --mount=type=bind,source=x", &[]);
    check(
        "FROM a\nRUN --mount=type=$X,source=x ls",
        &["whole: line 2: the option `--mount=type=$X,source=x` is not known"],
    );
    check(
        "FROM a\nRUN --mount=source=$X ls",
        &["whole: line 2: the value of `X` in `source=$X` is not known before the build"],
    );
    check("FROM a\nRUN --mount=source=x \\\n --mount=source=y \\\n ls", &["2:x", "2:y"]);
}

#[test]
fn options_that_are_not_known_widen() {
    check("FROM a\nCOPY --new=1 x /", &["whole: line 2: the option `--new=1` is not known"]);
    check("FROM a\nADD --from=b x /", &["whole: line 2: the option `--from=b` is not known"]);
    check("FROM a\nRUN --new x", &["whole: line 2: the option `--new` is not known"]);
    check("FROM a\nCOPY --chown=ä x /", &["whole: line 2: the option `--chown=ä` is not known"]);
    check_error("FROM --new=1 a", Some(1), "`FROM` has no option `--new=1`");
}

#[test]
fn triggers_run_in_child_stages_only() {
    let dockerfile = "FROM a AS x\nARG D=d\nONBUILD COPY $D/t /\nONBUILD RUN --mount=source=m ls\nCOPY own /\n\
         FROM x AS y\nCOPY child /\nFROM y AS z\n";
    assert_eq!(inputs(dockerfile, &with_target("x")), ["5:own"]);
    assert_eq!(inputs(dockerfile, &with_target("y")), ["3:d/t", "4:m", "5:own", "7:child"]);
    // Not inherited any further.
    assert_eq!(inputs(dockerfile, &with_target("z")), ["3:d/t", "4:m", "5:own", "7:child"]);
    check("FROM a AS o\nCOPY o /\nFROM a AS x\nONBUILD COPY --from=o /o /\nFROM x", &["2:o"]);
    check("FROM a AS x\nONBUILD COPY <<EOF /\nCOPY y /\nEOF\nFROM x\nCOPY z /", &["6:z"]);
    check_error("FROM a\nONBUILD FROM b", Some(2), "`FROM` is not allowed behind `ONBUILD`");
    check_error("FROM a\nONBUILD ONBUILD RUN x", Some(2), "`ONBUILD` is not allowed");
    check_error("FROM a\nONBUILD", Some(2), "is not an instruction");
}

#[test]
fn named_contexts_replace_images_and_stages() {
    let check = |dockerfile: &str, contexts: &[&str], paths: &[&str], used: &[&str], bases: &[&str]| {
        let options = with_contexts(contexts);
        assert_eq!(inputs(dockerfile, &options), paths, "{dockerfile}");
        check_bases(dockerfile, &options, bases);
        let used: BTreeSet<String> = used.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(analyzed(dockerfile, &options).used_contexts, used, "{dockerfile}");
    };
    check("FROM a\nCOPY --from=lib /x /\nCOPY y /", &["lib", "other"], &["3:y"], &["lib"], &["a"]);
    check("FROM alpine:latest\nCOPY y /", &["docker.io/library/alpine"], &["2:y"], &["docker.io/library/alpine"], &[]);
    check("FROM a\nRUN --mount=from=lib,target=/l ls", &["lib"], &[], &["lib"], &["a"]);
    // A stage wins over a context where it is only named, but a context replaces the stage itself.
    check("FROM a AS lib\nCOPY 1 /\nFROM b\nCOPY --from=lib / /", &["lib"], &[], &["lib"], &["b"]);
    check("FROM a AS x\nCOPY 1 /\nFROM a\nCOPY --from=x / /\nCOPY 2 /", &["a"], &["2:1", "5:2"], &["a"], &[]);
    check("FROM scratch\nCOPY --from=context / /", &["scratch", "context"], &[], &[], &["context"]);
    // Bound to a platform: the image may be used as well.
    check("FROM a\nCOPY 1 /", &["a::linux/arm64"], &["2:1"], &["a::linux/arm64"], &["a"]);
    check("FROM a\nCOPY --from=b / /", &["b::linux/arm64"], &[], &["b::linux/arm64"], &["a", "b"]);
}

#[test]
fn other_frontends_may_read_anything() {
    check("# syntax=docker/dockerfile:1.7\nFROM a\nCOPY x /", &["3:x"]);
    let whole = ["whole: line 1: the frontend `x/y` is not `docker/dockerfile:1`"];
    check("# syntax=x/y\nFROM a\nCOPY x /", &whole);
    check("# syntax=x/y\nINCLUDE other", &whole);
    let analysis = analyzed("# syntax=x/y\nINCLUDE other", &with_contexts(&["c"]));
    assert!(analysis.stages.is_empty() && !analysis.frontend.unwrap().standard);
    assert_eq!(analysis.used_contexts.len(), 1);
    check_with(
        "FROM a\nCOPY x /",
        &[("BUILDKIT_SYNTAX", "x/y")],
        &["whole: the frontend `x/y` is not `docker/dockerfile:1`"],
    );
    check_with("# syntax=x/y\nFROM a\nCOPY x /", &[("BUILDKIT_SYNTAX", "docker/dockerfile:1")], &["3:x"]);
}

#[test]
fn a_scan_of_the_context_reads_it_whole() {
    let whole = "whole: `BUILDKIT_SBOM_SCAN_CONTEXT` scans the context";
    check("ARG BUILDKIT_SBOM_SCAN_CONTEXT=true\nFROM a\nCOPY x /", &[whole]);
    check("ARG BUILDKIT_SBOM_SCAN_CONTEXT=false\nFROM a\nCOPY x /", &["3:x"]);
    check_with(
        "FROM a\nARG BUILDKIT_SBOM_SCAN_CONTEXT\nCOPY x /",
        &[("BUILDKIT_SBOM_SCAN_CONTEXT", "1")],
        &["whole: line 2: `BUILDKIT_SBOM_SCAN_CONTEXT` scans the context"],
    );
}

#[test]
fn declared_arguments_are_those_of_the_target() {
    let dockerfile = "ARG G=1\nFROM a AS x\nARG X Y=2\nFROM b\nARG Z\n";
    let declared: Vec<String> = analyzed(dockerfile, &options(&[])).declared_args.into_iter().collect();
    assert_eq!(declared, ["G", "Z"]);
    let analysis = analyzed(dockerfile, &with_target("x"));
    assert_eq!(analysis.declared_args.iter().collect::<Vec<_>>(), ["G", "X", "Y"]);
    let given: BTreeMap<String, String> =
        ["X", "Z", "HTTP_PROXY", "SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE", "TARGETARCH", "other"]
            .map(|name| (name.to_owned(), "1".to_owned()))
            .into();
    let relevant = analysis.relevant_args(&given);
    assert_eq!(
        relevant.into_keys().collect::<Vec<_>>(),
        ["BUILDKIT_INLINE_CACHE", "SOURCE_DATE_EPOCH", "TARGETARCH", "X"]
    );
    let custom = analyzed("# syntax=x\nFROM a", &options(&[]));
    assert_eq!(custom.relevant_args(&given).len(), given.len());
}

#[test]
fn each_path_knows_its_instruction() {
    let analysis =
        analyzed("FROM a\nCOPY x /\nFROM b\nCOPY --from=0 / /\nADD x/y /\nRUN --mount=source=z ls", &options(&[]));
    let readers: Vec<_> = analysis.inputs.readers(b"x/y/z").map(|path| (path.line, path.stage, path.reader)).collect();
    assert_eq!(readers, [(2, 0, Reader::Copy), (5, 1, Reader::Add)]);
    let readers: Vec<_> = analysis.inputs.readers(b"z").map(|path| (path.line, path.reader)).collect();
    assert_eq!(readers, [(6, Reader::Mount)]);
}

#[test]
fn reasons_name_what_was_found() {
    let Inputs::WholeContext { reasons } = analyzed("FROM a\nCOPY $x .\nCOPY . .", &options(&[])).inputs else {
        panic!("the context root is a source")
    };
    assert_eq!(reasons[0].kind, WidenKind::Variable { name: "x".to_owned(), source: "$x".to_owned() });
    assert_eq!((reasons[1].line, &reasons[1].kind), (3, &WidenKind::Root { reader: Reader::Copy }));
}

#[test]
fn a_dockerfile_that_does_not_parse_is_an_error_with_its_line() {
    check_error("", None, "it has no `FROM`");
    check_error("# only a comment\n", None, "it has no `FROM`");
    check_error("ARG x", None, "it has no `FROM`");
    check_error("RUN x", Some(1), "only `ARG` may come before");
    check_error("FROM a\n\nFOO x", Some(3), "`FOO` is not an instruction");
    check_error("FROM a b", Some(1), "`FROM` takes an image");
    check_error("FROM", Some(1), "`FROM` takes an image");
    check_error("FROM a AS 1x", Some(1), "`1x` is not a valid stage name");
    check_error("FROM a\nCOPY x", Some(2), "needs a source and a destination");
    check_error("FROM a\nCOPY [\"x\"]", Some(2), "needs a source and a destination");
    check_error("FROM a\nCOPY [1, \"x\"]", Some(2), "other values than strings");
    check_error("FROM a\nCOPY x <<EOF\nEOF", Some(2), "a heredoc as its destination");
    check_error("FROM a\nENV x", Some(2), "`ENV` needs a name and a value");
    check_error("FROM a\nENV x=1 y", Some(2), "has no `=` in `y`");
    check_error("FROM a\nARG", Some(2), "`ARG` needs a name");
    check_error("FROM a\nARG =1", Some(2), "`ARG` needs a name before");
    check_error("# escape=x\nFROM a", Some(1), "the escape character `x`");
    check_error("# escape=`\n# escape=`\nFROM a", Some(2), "the directive `escape` appears twice");
    let error = analyze(b"FROM a\nCOPY ${x /", &options(&[])).unwrap_err();
    assert!(matches!(error, Error::Expansion { line: 2, .. }));
}

#[test]
fn bytes_that_are_no_text_are_read_as_replacement_characters() {
    let analysis = analyze(b"FROM a\nCOPY x\xff /\n", &options(&[])).unwrap();
    assert!(analysis.inputs.covers("x\u{fffd}".as_bytes()));
}

#[test]
fn size_and_work_are_bounded() {
    let check = |dockerfile: String, expected: &str| {
        let error = analyze(dockerfile.as_bytes(), &options(&[])).expect_err(expected);
        assert_eq!(error.to_string(), format!("read the Dockerfile: it has more than {expected}"));
    };
    let stages: String = (1..1001).map(|index| format!("FROM s{} AS s{index}\nENV E{index}=1\n", index - 1)).collect();
    check(format!("FROM a AS s0\n{stages}"), "1000 stages");
    let triggers = "ONBUILD COPY x /\n".repeat(2_000);
    let children: String = (0..99).map(|index| format!("FROM x AS c{index}\n")).collect();
    let users: String = (0..99).map(|index| format!("COPY --from=c{index} / /\n")).collect();
    check(format!("FROM a AS x\n{triggers}{children}FROM a\n{users}"), "100000 instructions to run");
    let doubled: String = (1..17).map(|index| format!("ENV E{index}=$E{}$E{}\n", index - 1, index - 1)).collect();
    let copies: String = (0..200).map(|index| format!("ENV F{index}=$E16\n")).collect();
    check(format!("FROM scratch\nENV E0=xx\n{doubled}{copies}"), "16777216 bytes of variables");
    check_with(
        &format!("FROM scratch\nENV E0=xx\n{doubled}COPY $E16 /"),
        &[],
        &["whole: line 19: a source of `COPY` has 131072 bytes"],
    );
    check_error(&format!("FROM scratch\nENV E0=xx\n{doubled}COPY $E16$E16 /"), Some(19), "longer than 131072 bytes");
}
