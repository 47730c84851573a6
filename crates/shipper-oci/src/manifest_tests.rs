use super::*;

fn digest(fill: &str) -> String {
    format!("sha256:{}", fill.repeat(64))
}

fn descriptor(fill: &str) -> String {
    format!(r#"{{"mediaType":"application/octet-stream","digest":"{}","size":1}}"#, digest(fill))
}

fn image_fields() -> String {
    format!(r#""config":{},"layers":[{}]"#, descriptor("a"), descriptor("b"))
}

fn index_fields() -> String {
    format!(r#""manifests":[{}]"#, descriptor("a"))
}

fn document(media_type: Option<&str>, fields: &str) -> String {
    let own = media_type.map(|text| format!(r#""mediaType":"{text}","#)).unwrap_or_default();
    format!(r#"{{"schemaVersion":2,{own}{fields}}}"#)
}

fn parse(served_as: Option<&str>, text: &str) -> Result<Manifest, Error> {
    Manifest::parse(served_as, text.as_bytes().to_vec())
}

#[test]
fn the_four_kinds_are_read_and_bytes_are_kept() {
    use media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, IMAGE_INDEX, IMAGE_MANIFEST};
    for (kind, fields, index) in [
        (IMAGE_MANIFEST, image_fields(), false),
        (DOCKER_MANIFEST, image_fields(), false),
        (IMAGE_INDEX, index_fields(), true),
        (DOCKER_MANIFEST_LIST, index_fields(), true),
    ] {
        let with_parameter = format!("{kind}; charset=utf-8");
        for (own, served) in [
            (Some(kind), None),
            (Some(kind), Some(kind)),
            (None, Some(kind)),
            (Some(kind), Some(with_parameter.as_str())),
        ] {
            // Spaces and a final newline must survive: the digest is of these bytes.
            let text = document(own, &fields).replace(',', " , ") + "\n";
            let manifest = parse(served, &text).unwrap();
            assert_eq!(manifest.as_index().is_some(), index);
            assert_eq!(manifest.media_type(), kind);
            assert_eq!(manifest.bytes(), text.as_bytes());
            assert_eq!(manifest.digest(), &Digest::of(text.as_bytes()));
            assert_eq!(manifest.descriptor().size, text.len() as u64);
        }
    }
    assert!(parse(None, &document(None, &image_fields())).unwrap().as_image().is_some());
    assert!(parse(None, &document(None, &index_fields())).unwrap().as_index().is_some());
}

#[test]
fn documents_with_more_than_one_meaning_are_refused() {
    use media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, IMAGE_INDEX, IMAGE_MANIFEST};
    let kinds = [IMAGE_MANIFEST, DOCKER_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST_LIST];
    let mut refused = 0;
    let mut refuse = |served: Option<&str>, text: &str| {
        let error = parse(served, text).expect_err(text);
        assert!(matches!(error, Error::InvalidManifest { .. }), "{error}");
        refused += 1;
    };
    let both = format!("{},{}", image_fields(), index_fields());
    for kind in kinds {
        // Both kinds of fields, under each own and served type.
        refuse(None, &document(Some(kind), &both));
        refuse(Some(kind), &document(None, &both));
        refuse(Some(kind), &document(Some(kind), &both));
        // Half of the other kind's fields, even when null or empty.
        refuse(None, &document(Some(kind), &format!("{},{}", index_fields(), r#""layers":[]"#)));
        refuse(None, &document(Some(kind), &format!("{},{}", image_fields(), r#""manifests":[]"#)));
        // The fields of the other kind only.
        let other = if kind == IMAGE_MANIFEST || kind == DOCKER_MANIFEST { index_fields() } else { image_fields() };
        refuse(None, &document(Some(kind), &other));
        refuse(Some(kind), &document(None, &other));
        // Served as something else.
        for served in kinds.iter().filter(|served| **served != kind) {
            let own = if kind == IMAGE_MANIFEST || kind == DOCKER_MANIFEST { image_fields() } else { index_fields() };
            refuse(Some(served), &document(Some(kind), &own));
        }
        refuse(Some("text/html"), &document(Some(kind), &image_fields()));
    }
    refuse(None, &document(None, &both));
    refuse(Some("application/json"), &document(None, &image_fields()));
    refuse(None, &document(Some("application/vnd.docker.distribution.manifest.v1+json"), &image_fields()));
    refuse(None, &document(None, &format!(r#"{},"fsLayers":[]"#, image_fields())));
    refuse(None, &document(None, r#""blobs":[],"artifactType":"x/y""#));
    // One key twice, or once more in another case, which Go programs would read.
    refuse(None, &document(None, &format!("{},{}", image_fields(), r#""layers":[]"#)));
    refuse(None, &document(None, &format!("{},{}", image_fields(), r#""Layers":[]"#)));
    refuse(None, &document(None, &format!("{},{}", image_fields(), r#""MANIFESTS":[]"#)));
    refuse(None, &document(Some(IMAGE_MANIFEST), &format!(r#"{},"mediatype":"{IMAGE_INDEX}""#, image_fields())));
    refuse(None, &document(None, &image_fields()).replace("\"schemaVersion\":2", "\"schemaVersion\":1"));
    refuse(None, &document(None, &image_fields()).replace("\"schemaVersion\":2,", ""));
    assert!(refused >= 40, "{refused}");
}

#[test]
fn bad_digests_sizes_and_shapes_are_refused() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "1",
        "\"x\"",
        "{\"schemaVersion\":2}",
        "\u{feff}{}",
        "{\"schemaVersion\":2,\"manifests\":{}}",
        r#"{"schemaVersion":2,"config":null,"layers":[]}"#,
    ] {
        assert!(parse(None, text).is_err(), "{text}");
    }
    let hostile = document(None, &image_fields()).replace(&digest("a"), "sha256:../../../../admin/secret?x=");
    assert!(parse(None, &hostile).is_err());
    assert!(parse(None, &document(None, &image_fields()).replace("\"size\":1", "\"size\":-1")).is_err());
    assert!(parse(None, &document(None, &image_fields()).replace("\"size\":1", "\"size\":1.5")).is_err());
    let mut invalid_utf8 = document(None, &image_fields()).into_bytes();
    invalid_utf8.push(0xff);
    assert!(Manifest::parse(None, invalid_utf8).is_err());
    let unread = document(None, &format!(r#"{},"x":"?""#, image_fields()));
    let invalid_utf8: Vec<u8> = unread.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    assert!(parse(None, &unread).is_ok() && Manifest::parse(None, invalid_utf8).is_err());
}

#[test]
fn limits_hold() {
    let big = document(None, &format!(r#"{},"annotations":{{"a":"{}"}}"#, image_fields(), "x".repeat(4 << 20)));
    assert!(matches!(parse(None, &big), Err(Error::TooLarge { .. })));
    let entries = vec![descriptor("a"); MAX_INDEX_ENTRIES + 1].join(",");
    assert!(matches!(
        parse(None, &document(None, &format!(r#""manifests":[{entries}]"#))),
        Err(Error::TooLarge { .. })
    ));
    let entries = vec![descriptor("a"); MAX_INDEX_ENTRIES].join(",");
    assert!(parse(None, &document(None, &format!(r#""manifests":[{entries}]"#))).is_ok());
    let deep =
        |depth: usize| document(None, &format!(r#"{},"x":{}{}"#, image_fields(), "[".repeat(depth), "]".repeat(depth)));
    assert!(parse(None, &deep(63)).is_ok());
    assert!(parse(None, &deep(64)).is_err());
    assert!(parse(None, &"[".repeat(1 << 20)).is_err());
}

#[test]
fn written_documents_are_stable_and_read_back() {
    let mut image =
        ImageManifest::new(Descriptor::of(media_type::EMPTY, b"{}"), vec![Descriptor::of(media_type::LAYER, b"x")]);
    image.annotations.insert("b".into(), "2".into());
    image.annotations.insert("a".into(), "1".into());
    let manifest = Manifest::image(&image).unwrap();
    assert_eq!(manifest.as_image(), Some(&image));
    assert_eq!(
        std::str::from_utf8(manifest.bytes()).unwrap(),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881","size":1}],"annotations":{"a":"1","b":"2"}}"#
    );
    let index =
        Manifest::index(&ImageIndex::new(vec![manifest.descriptor().with_platform("linux/amd64".parse().unwrap())]))
            .unwrap();
    assert_eq!(index.as_index().unwrap().manifests[0].digest, *manifest.digest());
    // What a reader would refuse is not written.
    let too_many = ImageIndex::new(vec![manifest.descriptor(); MAX_INDEX_ENTRIES + 1]);
    assert!(Manifest::index(&too_many).is_err());
}

#[test]
fn bytes_of_another_digest_are_refused() {
    let text = document(None, &image_fields());
    let error = Manifest::parse_expecting(&Digest::of(b"x"), None, text.clone().into_bytes()).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }));
    let mut hasher = crate::DigestHasher::new(crate::Algorithm::Sha512);
    hasher.update(text.as_bytes());
    let sha512 = hasher.finish();
    assert_eq!(Manifest::parse_expecting(&sha512, None, text.into_bytes()).unwrap().digest(), &sha512);
}

#[test]
fn foreign_layers_are_not_among_the_blobs_to_hold() {
    let foreign = Descriptor::of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"w");
    let layer = Descriptor::of(media_type::LAYER, b"x");
    let image =
        ImageManifest::new(Descriptor::of(media_type::EMPTY, b"{}"), vec![foreign, layer.clone(), layer.clone()]);
    let blobs = image.blobs();
    assert_eq!(blobs.len(), 2, "foreign left out, the repeated layer once");
    assert_eq!(blobs[1], &layer);
}
