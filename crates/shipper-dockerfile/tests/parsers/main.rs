//! Parsers on outside data: no panic and no contradiction, whatever the bytes (`SHIPPER_FUZZ_CASES` sets how many).

mod checks;

use std::path::Path;

use proptest::prelude::*;

fn cases() -> ProptestConfig {
    let asked = std::env::var("SHIPPER_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(100_000))
}

/// Everything that means something in a Dockerfile or an ignore file, and bytes that mean nothing.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let words = "FROM a AS b\n|FROM b\n|FROM scratch\n|FROM $X\n|COPY x /\n|COPY --from=b / /\n|COPY --from=0 / /\n|\
        ADD $X /\n|RUN --mount=|ARG X=|ENV X=|ONBUILD |# syntax=|# escape=`\n|type=bind,|source=|from=b,|--exclude=|\
        ${X:-|${X#|${X%|${X/a/|}|\"|'|\\|`|[|]|[^|-|,|$|<<E|\nE\n|a|b/c|!|#| |\n|\n|/|..|*|**|?|é|\r|\t|\u{feff}|{2}|(|+|^";
    let words: Vec<Vec<u8>> = words.split('|').map(|word| word.as_bytes().to_vec()).collect();
    let piece = prop_oneof![
        9 => prop::sample::select(words),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_bytes_confuse_the_analysis_of_a_dockerfile(bytes in text()) {
        checks::dockerfile(&bytes);
    }

    #[test]
    fn no_bytes_confuse_an_ignore_file(bytes in text()) {
        checks::ignore_file(&bytes);
    }
}

#[test]
fn the_corpus_of_the_fuzz_targets_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut seen = 0;
    for (target, check) in [("dockerfile", checks::dockerfile as fn(&[u8])), ("ignore_file", checks::ignore_file)] {
        for entry in std::fs::read_dir(corpus.join(target)).expect("a corpus") {
            check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            seen += 1;
        }
    }
    assert!(seen > 0, "no corpus");
}
