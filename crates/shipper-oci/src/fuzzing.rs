//! What must hold for any bytes that a peer or a user gives: the checks that the fuzz targets (`fuzz/`) and the properties
//! share. Not part of the interface; only there with the feature `fuzzing`.

use std::collections::BTreeSet;

use crate::challenge::{self, MAX_CHALLENGES, MAX_PARAMETERS};
use crate::{Descriptor, Manifest, ManifestKind, Reference, media_type};

/// Reads `bytes` as a reference, complete and in Docker's short form.
///
/// # Panics
/// If what is printed of one is not the same reference, or its parts lead elsewhere in a URL or a path.
pub fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for reference in [text.parse::<Reference>(), Reference::parse_docker(&text)].into_iter().flatten() {
        let printed = reference.to_string();
        assert_eq!(printed.parse::<Reference>().as_ref().ok(), Some(&reference), "{printed} is another reference");
        let repository = reference.repository.as_str();
        assert!(!repository.contains("..") && !repository.contains("//"), "{printed} leads elsewhere");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@[]".contains(c);
        assert!(printed.chars().all(is_plain), "{printed:?} has something that a URL reads otherwise");
    }
}

/// Reads `bytes` as the value of `WWW-Authenticate`.
///
/// # Panics
/// If a challenge has no scheme, a name is not a token in lower case, or a limit does not hold.
pub fn challenges(bytes: &[u8]) {
    let found = challenge::parse(&String::from_utf8_lossy(bytes));
    assert!(found.len() <= MAX_CHALLENGES, "{} challenges", found.len());
    for one in found {
        let parameters = one.parameters();
        assert!(parameters.len() <= MAX_PARAMETERS, "{} parameters", parameters.len());
        for name in parameters.iter().map(|(name, _)| name).chain([&one.scheme]) {
            let is_token = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b'"';
            assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?} is no name");
        }
        for (name, value) in parameters {
            assert!(one.parameter(name).is_some() && value.len() <= bytes.len() * 3, "{name:?} came from nowhere");
        }
    }
}

/// Reads `bytes` as a manifest; the first byte says what it was served as.
///
/// # Panics
/// If the bytes are not kept, the document is of another kind than was said, has two meanings, or a descriptor leads elsewhere.
pub fn manifest(bytes: &[u8]) {
    const KINDS: [&str; 4] = [
        media_type::IMAGE_MANIFEST,
        media_type::IMAGE_INDEX,
        media_type::DOCKER_MANIFEST,
        media_type::DOCKER_MANIFEST_LIST,
    ];
    let Some((&served, document)) = bytes.split_first() else { return };
    let served = KINDS.get(usize::from(served) % 5).copied();
    let Ok(manifest) = Manifest::parse(served, document.to_vec()) else { return };
    assert_eq!(manifest.bytes(), document, "other bytes");
    assert!(manifest.digest().matches(document), "another digest");
    assert!(served.is_none_or(|served| served == manifest.media_type()), "another kind than it was served as");
    let read: serde_json::Value = serde_json::from_slice(document).expect("it was read as JSON");
    let fields = read.as_object().expect("it is an object");
    let lower: BTreeSet<String> = fields.keys().map(|name| name.to_ascii_lowercase()).collect();
    let descriptors: Vec<&Descriptor> = match manifest.kind() {
        ManifestKind::Index(index) => {
            assert!(!lower.contains("layers") && !lower.contains("config"), "an index that others read as an image");
            index.manifests.iter().collect()
        }
        ManifestKind::Image(image) => {
            assert!(!lower.contains("manifests"), "an image that others read as an index");
            image.layers.iter().chain([&image.config]).collect()
        }
    };
    for descriptor in descriptors.into_iter().chain(manifest.subject()) {
        let hex = descriptor.digest.hex();
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(hex.len() >= 64 && hex.bytes().all(is_hex), "{hex:?} is no digest");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scramble;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn cases() -> ProptestConfig {
        let asked = std::env::var("SHIPPER_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
        ProptestConfig::with_cases(asked.unwrap_or(100_000))
    }

    fn documents() -> [String; 4] {
        let descriptor = format!(r#"{{"mediaType":"application/octet-stream","digest":"sha256:{HEX}","size":1}}"#);
        let image = format!(r#""config":{descriptor},"layers":[{descriptor}],"subject":{descriptor}"#);
        let index = format!(r#""manifests":[{descriptor}],"annotations":{{"a":"b"}}"#);
        let of = |kind: &str, fields: &str| format!(r#"{{"schemaVersion":2,"mediaType":"{kind}",{fields}}}"#);
        [
            of(media_type::IMAGE_MANIFEST, &image),
            of(media_type::IMAGE_INDEX, &index),
            of(media_type::DOCKER_MANIFEST, &image),
            of(media_type::DOCKER_MANIFEST_LIST, &index),
        ]
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn no_bytes_confuse_references(seed in any::<u64>()) {
            const PIECES: [&str; 24] = [
                "a", "b", "0", "9", "A", ".", "..", "-", "_", "__", "/", "//", ":", "@", "[", "]", "::1", "localhost",
                "ghcr.io", ":5000", "sha256:", "é", "\n", "%2e",
            ];
            let mut input = scramble::text(seed, &PIECES, 20);
            if seed % 2 == 0 {
                input.push_str("@sha256:");
                input.push_str(HEX);
            }
            reference(input.as_bytes());
        }

        #[test]
        fn no_bytes_confuse_challenges(seed in any::<u64>()) {
            const PIECES: [&str; 20] = [
                "Bearer", "Basic", " ", ",", "=", "\"", "\\", "realm", "scope", "x", "é", "\t", "/", ":", "\u{0}", ";",
                "https://h/t", "\u{1F600}", "repository:a:pull", "==",
            ];
            challenges(scramble::text(seed, &PIECES, 60).as_bytes());
        }

        #[test]
        fn no_bytes_confuse_manifests(
            kind in 0..4_usize,
            served in 0..5_u8,
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..4),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = documents()[kind].clone().into_bytes();
            bytes.insert(0, served);
            for (place, byte, insert) in edits {
                let at = 1 + place.index(bytes.len() - 1);
                if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            manifest(&bytes);
        }

        #[test]
        fn no_few_bytes_are_a_manifest(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            manifest(&bytes);
        }
    }

    #[test]
    fn the_checks_reach_what_they_are_about() {
        for (at, document) in documents().iter().enumerate() {
            for served in 0..5_u8 {
                let kind =
                    Manifest::parse(None, document.clone().into_bytes()).expect("it is whole").media_type().to_owned();
                let bytes = [&[served], document.as_bytes()].concat();
                manifest(&bytes);
                assert_eq!(
                    kind,
                    Manifest::parse(Some(&kind), bytes[1..].to_vec()).expect("it is whole").media_type(),
                    "{at}"
                );
            }
        }
    }

    #[test]
    fn the_corpus_of_the_fuzz_targets_passes() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (target, check) in
            [("reference", reference as fn(&[u8])), ("challenges", challenges), ("manifest", manifest)]
        {
            let entries: Vec<_> = std::fs::read_dir(corpus.join(target)).expect("a corpus").collect();
            assert!(!entries.is_empty(), "no corpus");
            for entry in entries {
                check(&std::fs::read(entry.expect("an entry").path()).expect("a file"));
            }
        }
    }
}
