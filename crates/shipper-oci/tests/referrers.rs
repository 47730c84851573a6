//! Manifests about manifests: kept by the registry where it can, by the client where it cannot.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use shipper_oci::{
    BlobSource, Descriptor, Error, ImageIndex, Manifest, Repository, Store, artifact, copy, copy_referrers, media_type,
};
use shipper_testkit::{DockerRegistry, FakeRegistry, Fault, Profile, Rule, need};
use support::{Sample, index_of, quick, repository, tag};

/// A referrer of `subject`, whose blobs are in `to`.
async fn note(to: &Repository, subject: Descriptor, kind: &str, text: &str) -> Manifest {
    let annotations = BTreeMap::from([("note".to_owned(), text.to_owned())]);
    let made = artifact(kind, &[("text/plain", text.as_bytes())], Some(subject), &annotations).unwrap();
    for (descriptor, bytes) in made.blobs {
        to.push_blob(&descriptor, BlobSource::Bytes(bytes.into())).await.unwrap();
    }
    made.manifest
}

const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

async fn lists_what_was_put(to: &Repository) {
    let image = Sample::image("one");
    image.push(to, Some("v1")).await;
    let subject = image.manifest.digest();
    assert_eq!(to.referrers(subject, None).await.unwrap(), [], "{to}");
    let mut expected = Vec::new();
    for (kind, text) in [(SBOM, "a"), (SIGNATURE, "b"), (SBOM, "c")] {
        let manifest = note(to, image.manifest.descriptor(), kind, text).await;
        to.put_referrer(&manifest).await.unwrap();
        to.put_referrer(&manifest).await.unwrap();
        expected.push(manifest.digest().clone());
    }
    expected.sort();
    let found = to.referrers(subject, None).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.digest.clone()).collect::<Vec<_>>(), expected, "{to}");
    let signatures = to.referrers(subject, Some(SIGNATURE)).await.unwrap();
    assert_eq!(signatures.len(), 1);
    assert_eq!(signatures[0].artifact_type.as_deref(), Some(SIGNATURE));
    assert_eq!(signatures[0].annotations["note"], "b");
    let error = to.put_referrer(&image.manifest).await.unwrap_err();
    assert!(matches!(error, Error::InvalidManifest { .. }), "{error:?}");
}

#[tokio::test]
async fn referrers_are_found_in_every_kind_of_store() {
    for profile in [Profile::Spec, Profile::Distribution, Profile::Ecr, Profile::Ghcr] {
        let registry = FakeRegistry::builder().profile(profile).page_size(2).start();
        registry.create_repository("shop/api");
        lists_what_was_put(&repository(registry.host(), quick())).await;
        let fallback = registry.tags("shop/api").iter().any(|(tag, _)| tag.starts_with("sha256-"));
        let has_api = matches!(profile, Profile::Spec | Profile::Ecr);
        assert_eq!(fallback, !has_api, "{profile:?}: the index is written only where the registry keeps no list");
    }
    let dir = tempfile::tempdir().unwrap();
    lists_what_was_put(&Store::layout(dir.path()).repository(&"shop/api".parse().unwrap())).await;
    let real = need!(DockerRegistry::start());
    lists_what_was_put(&repository(real.host(), quick())).await;
}

/// What oras, cosign and others put under the tag stays.
#[tokio::test]
async fn entries_of_others_are_kept_and_those_that_are_gone_are_dropped() {
    let registry = FakeRegistry::builder().profile(Profile::Distribution).start();
    let to = repository(registry.host(), quick());
    let image = Sample::image("one");
    image.push(&to, Some("v1")).await;
    let (gone, kept) = (
        note(&to, image.manifest.descriptor(), SBOM, "gone").await,
        note(&to, image.manifest.descriptor(), SBOM, "kept").await,
    );
    to.put_referrer(&gone).await.unwrap();
    to.put_referrer(&kept).await.unwrap();
    assert!(to.delete_manifest(gone.digest()).await.unwrap());
    let new = note(&to, image.manifest.descriptor(), SIGNATURE, "new").await;
    to.put_referrer(&new).await.unwrap();
    let found = to.referrers(image.manifest.digest(), None).await.unwrap();
    let mut expected = [kept.digest().clone(), new.digest().clone()];
    expected.sort();
    assert_eq!(found.iter().map(|entry| entry.digest.clone()).collect::<Vec<_>>(), expected);
}

/// cosign and crane list the media type of the configuration, whatever the type of the artifact is.
#[tokio::test]
async fn a_type_that_a_list_does_not_tell_is_read_from_the_manifest() {
    let registry = FakeRegistry::builder().profile(Profile::Distribution).start();
    let dir = tempfile::tempdir().unwrap();
    let layout = Store::layout(dir.path()).repository(&"shop/api".parse().unwrap());
    for to in [repository(registry.host(), quick()), layout] {
        let image = Sample::image("one");
        image.push(&to, Some("v1")).await;
        let subject = image.manifest.digest();
        let mut entries = Vec::new();
        for (kind, text, listed) in
            [(SIGNATURE, "a", Some(media_type::EMPTY)), (SBOM, "b", None), (SBOM, "c", Some(SBOM))]
        {
            let manifest = note(&to, image.manifest.descriptor(), kind, text).await;
            to.put_manifest(&manifest, None).await.unwrap();
            entries.push(Descriptor { artifact_type: listed.map(str::to_owned), ..manifest.descriptor() });
        }
        let signature = entries[0].digest.clone();
        let list = Manifest::index(&ImageIndex::new(entries)).unwrap();
        to.put_manifest(&list, Some(&tag(&subject.as_str().replace(':', "-")))).await.unwrap();
        let found = to.referrers(subject, Some(SIGNATURE)).await.unwrap();
        assert_eq!(found.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), [&signature], "{to}");
        assert_eq!(found[0].artifact_type.as_deref(), Some(SIGNATURE));
        assert_eq!(to.referrers(subject, Some(SBOM)).await.unwrap().len(), 2);
        registry.clear_log();
        assert_eq!(to.referrers(subject, None).await.unwrap().len(), 3);
        registry.log().assert_count("GET", "/manifests/sha256:", 0);
    }
}

/// As oras leaves them: in `index.json`, without a tag and in no list.
#[tokio::test]
async fn referrers_without_a_list_are_found_in_layouts() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Store::layout(dir.path()).repository(&"shop/api".parse().unwrap());
    let image = Sample::image("one");
    image.push(&layout, Some("v1")).await;
    let listed = note(&layout, image.manifest.descriptor(), SBOM, "listed").await;
    layout.put_referrer(&listed).await.unwrap();
    let found = note(&layout, image.manifest.descriptor(), SIGNATURE, "found").await;
    let other = note(&layout, listed.descriptor(), SBOM, "about another").await;
    let path = dir.path().join("shop/api/index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for manifest in [&found, &other, &listed] {
        layout.put_manifest(manifest, None).await.unwrap();
        index["manifests"].as_array_mut().unwrap().push(serde_json::to_value(manifest.descriptor()).unwrap());
    }
    // One that is gone, and one that is nothing that can be read, say nothing.
    for bytes in [&b"gone"[..], b"{"] {
        let entry = Descriptor::of(media_type::IMAGE_MANIFEST, bytes);
        index["manifests"].as_array_mut().unwrap().push(serde_json::to_value(&entry).unwrap());
        if bytes == b"{" {
            layout.push_blob(&entry, BlobSource::Bytes(bytes.into())).await.unwrap();
        }
    }
    std::fs::write(&path, index.to_string()).unwrap();
    let digests = |entries: Vec<Descriptor>| entries.into_iter().map(|entry| entry.digest).collect::<Vec<_>>();
    let mut expected = vec![listed.digest().clone(), found.digest().clone()];
    expected.sort();
    assert_eq!(digests(layout.referrers(image.manifest.digest(), None).await.unwrap()), expected);
    let signatures = layout.referrers(image.manifest.digest(), Some(SIGNATURE)).await.unwrap();
    assert_eq!(digests(signatures), [found.digest().clone()]);
    // They travel like all others.
    let registry = FakeRegistry::start();
    let to = repository(registry.host(), quick());
    copy(&layout, &tag("v1").into(), &to, &[tag("v1")]).await.unwrap();
    let report = copy_referrers(&layout, &image.manifest, &to, &|_| true).await.unwrap();
    assert_eq!((report.referrers, report.written), (3, 3));
    // What is listed as an artifact and cannot be read is not passed over.
    let damaged = dir.path().join("shop/api/blobs").join(found.digest().as_str().replace(':', "/"));
    index["manifests"][2]["artifactType"] = SIGNATURE.into();
    std::fs::write(&path, index.to_string()).unwrap();
    std::fs::remove_file(&damaged).unwrap();
    std::fs::write(&damaged, "x").unwrap();
    layout.referrers(image.manifest.digest(), None).await.unwrap_err();
}

/// Without compare-and-swap each writer must look again.
#[tokio::test(flavor = "multi_thread")]
async fn writers_at_the_same_time_do_not_lose_each_others_entries() {
    let registry = FakeRegistry::builder().profile(Profile::Distribution).start();
    let to = repository(registry.host(), quick());
    let image = Sample::image("one");
    image.push(&to, Some("v1")).await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..4 {
        let to = repository(registry.host(), quick());
        let subject = image.manifest.descriptor();
        writers.spawn(async move {
            let manifest = note(&to, subject, SBOM, &format!("{number}")).await;
            to.put_referrer(&manifest).await.unwrap();
        });
    }
    writers.join_all().await;
    assert_eq!(to.referrers(image.manifest.digest(), None).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_registry_that_cannot_answer_is_not_one_without_referrers() {
    let registry = FakeRegistry::start();
    let to = repository(registry.host(), quick());
    let image = Sample::image("one");
    image.push(&to, Some("v1")).await;
    for fault in [Fault::status(500), Fault::status(403), Fault::Body("{}".into()), Fault::Truncate(5)] {
        registry.fault(Rule::new(fault).path("/referrers/"));
        to.referrers(image.manifest.digest(), None).await.unwrap_err();
        registry.clear_faults();
    }
    registry.fault(
        Rule::new(Fault::Header(
            "link".into(),
            format!("</v2/shop/api/referrers/{}>; rel=\"next\"", image.manifest.digest()),
        ))
        .path("/referrers/"),
    );
    let error = to.referrers(image.manifest.digest(), None).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

/// An index whose first image has an SBOM, which is signed, as is the index.
async fn signed_index(to: &Repository) -> (Manifest, [Manifest; 3]) {
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(to, None).await;
    two.push(to, None).await;
    let index = index_of(&[&one, &two]);
    to.put_manifest(&index, Some(&tag("v1"))).await.unwrap();
    let sbom = note(to, one.manifest.descriptor(), SBOM, "packages").await;
    let of_sbom = note(to, sbom.descriptor(), SIGNATURE, "of the SBOM").await;
    let of_index = note(to, index.descriptor(), SIGNATURE, "of the index").await;
    for referrer in [&sbom, &of_sbom, &of_index] {
        to.put_referrer(referrer).await.unwrap();
    }
    (index, [sbom, of_sbom, of_index])
}

#[tokio::test]
async fn what_refers_to_an_image_to_its_parts_and_to_referrers_is_copied_once() {
    let dir = tempfile::tempdir().unwrap();
    for (number, of_source) in [Profile::Spec, Profile::Distribution].into_iter().enumerate() {
        let source = FakeRegistry::builder().profile(of_source).page_size(1).start();
        let from = repository(source.host(), quick());
        let (index, referrers) = signed_index(&from).await;
        let mut destinations = vec![Store::layout(dir.path().join(number.to_string())).repository(from.name())];
        let registries = [Profile::Spec, Profile::Distribution, Profile::Ecr]
            .map(|profile| FakeRegistry::builder().profile(profile).start());
        for registry in &registries {
            registry.create_repository("shop/api");
            destinations.push(repository(registry.host(), quick()));
        }
        for to in &destinations {
            copy(&from, &tag("v1").into(), to, &[tag("v1")]).await.unwrap();
            let report = copy_referrers(&from, &index, to, &|_| true).await.unwrap();
            assert_eq!((report.referrers, report.written), (3, 3), "{to}");
            // Three texts, and one configuration that all share.
            assert_eq!((report.uploaded, report.existed), (4, 0), "{to}");
            for referrer in &referrers {
                let subject = &referrer.subject().unwrap().digest;
                let found = to.referrers(subject, referrer.artifact_type()).await.unwrap();
                assert!(found.iter().any(|entry| entry.digest == *referrer.digest()), "{to}");
            }
            let again = copy_referrers(&from, &index, to, &|_| true).await.unwrap();
            assert_eq!((again.referrers, again.written, again.bytes), (3, 0, 0), "{to}");
        }
        for registry in &registries {
            registry.clear_log();
        }
        for to in &destinations {
            copy_referrers(&from, &index, to, &|_| true).await.unwrap();
        }
        for registry in &registries {
            registry.log().assert_no_writes();
        }
    }
}

#[tokio::test]
async fn only_what_is_wanted_and_what_names_the_image_as_its_subject_is_copied() {
    let source = FakeRegistry::builder().profile(Profile::Distribution).start();
    let from = repository(source.host(), quick());
    let (index, _) = signed_index(&from).await;
    let dir = tempfile::tempdir().unwrap();
    let to = Store::layout(dir.path()).repository(from.name());
    let signatures = |kind: Option<&str>| kind == Some(SIGNATURE);
    let report = copy_referrers(&from, &index, &to, &signatures).await.unwrap();
    assert_eq!(report.referrers, 1, "what refers to something that is not wanted is not looked for");
    // A list under the tag of another image, as whoever can write tags may put it.
    let other = Sample::image("other");
    other.push(&from, Some("other")).await;
    let list = |digest: &shipper_oci::Digest| tag(&digest.as_str().replace(':', "-"));
    let of_index = from.manifest(&list(index.digest()).into()).await.unwrap().unwrap();
    from.put_manifest(&of_index, Some(&list(other.manifest.digest()))).await.unwrap();
    assert_eq!(from.referrers(other.manifest.digest(), None).await.unwrap().len(), 1);
    let report = copy_referrers(&from, &other.manifest, &to, &|_| true).await.unwrap();
    assert_eq!((report.referrers, report.written), (0, 0));
}

/// One question each for the index and its two images, and one to learn that the registry keeps no lists.
#[tokio::test]
async fn an_image_without_referrers_costs_a_list_of_each_part_and_nothing_at_the_destination() {
    for (profile, asked) in [(Profile::Spec, 3), (Profile::Distribution, 4)] {
        let (source, destination) = (FakeRegistry::builder().profile(profile).start(), FakeRegistry::start());
        let (from, to) = (repository(source.host(), quick()), repository(destination.host(), quick()));
        let (one, two) = (Sample::image("one"), Sample::image("two"));
        one.push(&from, None).await;
        two.push(&from, None).await;
        let index = index_of(&[&one, &two]);
        from.put_manifest(&index, Some(&tag("v1"))).await.unwrap();
        source.clear_log();
        let report = copy_referrers(&from, &index, &to, &|_| true).await.unwrap();
        assert_eq!(report.referrers, 0);
        source.log().assert_count("GET", "/shop/api/", asked);
        destination.log().assert_len(0);
        copy_referrers(&from, &index, &from, &|_| true).await.unwrap();
        source.log().assert_count("*", "/shop/api/", asked);
    }
}
