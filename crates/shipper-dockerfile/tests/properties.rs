//! Laws of an analysis, on generated Dockerfiles and on arbitrary bytes.

use proptest::prelude::*;
use shipper_dockerfile::{Analysis, BuildOptions, Inputs, analyze};
use std::collections::BTreeSet;

/// One stage without its `FROM` line; `{n}` becomes the number of an earlier stage.
fn stage_body() -> impl Strategy<Value = Vec<String>> {
    let source = prop::sample::select(vec![
        "a",
        "a/b",
        "*.rs",
        "c/*/d",
        ".",
        "$V",
        "${V:-x}",
        "${U:-y}/z",
        "$TARGETARCH",
        "../e",
    ]);
    let statement = prop_oneof![
        5 => (prop::sample::select(vec!["COPY", "ADD", "COPY --link", "ONBUILD COPY"]), source.clone())
            .prop_map(|(keyword, source)| format!("{keyword} {source} /dest/")),
        2 => source.prop_map(|source| format!("RUN --mount=type=bind,source={source},target=/m make")),
        1 => Just("RUN --mount=type=cache,target=/m make".to_owned()),
        2 => prop::sample::select(vec!["ARG V", "ARG V=v", "ENV V=w", "ARG U=u$V", "ENV V=$U", "ARG TARGETARCH"]).prop_map(str::to_owned),
        2 => Just("COPY --from={n} /x /".to_owned()),
        1 => Just("COPY --from=image:1 /x /".to_owned()),
        1 => Just("COPY [\"q r\", \"$V\", \"/dest/\"]".to_owned()),
        1 => Just("RUN <<E cat\nCOPY no /\nE".to_owned()),
    ];
    prop::collection::vec(statement, 0..5)
}

/// The texts of the stages of a file.
fn stages() -> impl Strategy<Value = Vec<String>> {
    let base = prop::sample::select(vec!["img", "scratch", "s{n}", "img:$G"]);
    prop::collection::vec((base, stage_body(), any::<prop::sample::Index>()), 1..5).prop_map(|stages| {
        let text = |(index, (base, body, pick)): (usize, (&str, Vec<String>, prop::sample::Index))| {
            let earlier = if index == 0 { None } else { Some(pick.index(index)) };
            let numbered = |line: &str| match earlier {
                Some(number) => line.replace("{n}", &number.to_string()),
                None => line.replace("--from={n}", "--from=other").replace("s{n}", "img"),
            };
            let lines: Vec<String> = body.iter().map(|line| numbered(line) + "\n").collect();
            format!("FROM {} AS s{index}\n{}", numbered(base), lines.concat())
        };
        stages.into_iter().enumerate().map(text).collect()
    })
}

fn options(target: Option<usize>) -> BuildOptions {
    BuildOptions {
        target: target.map(|index| format!("s{index}")),
        args: [("V".to_owned(), "given".to_owned())].into(),
        platform: Some("linux/arm64".to_owned()),
        named_contexts: BTreeSet::new(),
    }
}

fn run(stages: &[String], target: Option<usize>) -> Analysis {
    let text = format!("ARG G=1\n{}", stages.concat());
    analyze(text.as_bytes(), &options(target)).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// The patterns, or `None` for the whole context.
fn patterns(analysis: &Analysis) -> Option<BTreeSet<Vec<u8>>> {
    match &analysis.inputs {
        Inputs::Paths(paths) => Some(paths.iter().map(|path| path.pattern.clone()).collect()),
        Inputs::WholeContext { .. } => None,
    }
}

/// What the file reads if every stage ran: no stage graph, only the texts.
fn reads_of_all(stages: &[String]) -> Option<BTreeSet<Vec<u8>>> {
    let mut all = BTreeSet::new();
    for index in 0..stages.len() {
        all.extend(patterns(&run(stages, Some(index)))?);
    }
    Some(all)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_stage_that_nobody_uses_changes_nothing(stages in stages(), extra in stage_body()) {
        let before = run(&stages, Some(stages.len() - 1));
        let mut more = stages.clone();
        let body: String = extra.iter().map(|line| line.replace("{n}", "0") + "\n").collect();
        more.push(format!("FROM unused AS extra\n{body}"));
        let after = run(&more, Some(stages.len() - 1));
        prop_assert_eq!(patterns(&before), patterns(&after));
        prop_assert_eq!(before.bases, after.bases);
        prop_assert_eq!(before.declared_args, after.declared_args);
    }

    #[test]
    fn comments_and_continued_lines_change_nothing_but_line_numbers(stages in stages()) {
        let before = run(&stages, None);
        let spaced: Vec<String> = stages.iter().map(|stage| {
            let lines: Vec<String> = stage.lines().map(|line| {
                if line.starts_with("COPY") && !line.contains("no /") { line.replacen(' ', " \\\n# comment\n\n   ", 1) } else { line.to_owned() }
            }).collect();
            format!("# comment\n\n{}\n", lines.join("\n"))
        }).collect();
        let after = run(&spaced, None);
        prop_assert_eq!(patterns(&before), patterns(&after));
        prop_assert_eq!(
            before.bases.iter().map(|base| &base.reference).collect::<Vec<_>>(),
            after.bases.iter().map(|base| &base.reference).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_target_reads_no_less_than_the_stages_it_is_built_from(stages in stages()) {
        let whole = run(&stages, None);
        for (index, stage) in whole.stages.iter().enumerate().filter(|(_, stage)| stage.reachable) {
            let part = run(&stages, Some(index));
            prop_assert!(stage.line <= whole.stages[whole.target].line);
            if let Some(all) = patterns(&whole) {
                let some = patterns(&part);
                prop_assert!(some.is_some_and(|some| some.is_subset(&all)));
            }
            for base in part.bases {
                prop_assert!(whole.bases.contains(&base));
            }
        }
    }

    #[test]
    fn nothing_is_read_that_no_stage_reads(stages in stages()) {
        if let (Some(some), Some(all)) = (patterns(&run(&stages, None)), reads_of_all(&stages)) {
            prop_assert!(some.is_subset(&all));
        }
    }

    #[test]
    fn each_covered_path_has_a_reader(stages in stages(), path in "[a-e](/[a-e]){0,2}") {
        let analysis = run(&stages, None);
        let readers = analysis.inputs.readers(path.as_bytes()).count();
        match analysis.inputs {
            Inputs::Paths(_) => prop_assert_eq!(readers > 0, analysis.inputs.covers(path.as_bytes())),
            Inputs::WholeContext { reasons } => prop_assert!(!reasons.is_empty()),
        }
    }
}
