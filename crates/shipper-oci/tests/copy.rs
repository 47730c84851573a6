//! Copies between layouts and registries: equal digests, few requests, no bytes twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;
use std::time::Duration;

use shipper_oci::{
    BlobSource, Descriptor, Error, ImageManifest, Manifest, Repository, Selector, Store, copy, media_type,
};
use shipper_testkit::{DockerRegistry, FakeRegistry, Fault, Profile, Rule, Skopeo, need, require_tool};
use support::{Sample, index_of, quick, repository, tag};

/// An image of `layers` layers with made-up bytes, in `repository`.
async fn image_of(repository: &Repository, layers: u8, size: usize, salt: u8) -> Manifest {
    let mut descriptors = Vec::new();
    for n in 0..layers {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8 ^ n ^ (u8::from(n == 0) * (64 + salt))).collect();
        let descriptor = Descriptor::of(media_type::LAYER, &bytes);
        repository.push_blob(&descriptor, BlobSource::Bytes(bytes.into())).await.unwrap();
        descriptors.push(descriptor);
    }
    let config = format!(r#"{{"architecture":"amd64","os":"linux","salt":{salt}}}"#).into_bytes();
    let descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    repository.push_blob(&descriptor, BlobSource::Bytes(config.into())).await.unwrap();
    let manifest = Manifest::image(&ImageManifest::new(descriptor, descriptors)).unwrap();
    repository.put_manifest(&manifest, Some(&tag(&format!("v{salt}")))).await.unwrap();
    manifest
}

#[tokio::test]
async fn an_index_travels_between_all_kinds_of_stores_with_equal_digests() {
    let dir = tempfile::tempdir().unwrap();
    let (left, right) = (FakeRegistry::start(), FakeRegistry::builder().profile(Profile::Distribution).start());
    let name = "shop/api".parse().unwrap();
    let source = Store::layout(dir.path().join("source")).repository(&name);
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(&source, None).await;
    two.push(&source, None).await;
    let index = index_of(&[&one, &two]);
    source.put_manifest(&index, Some(&tag("v1"))).await.unwrap();

    let stations = [
        Store::layout(dir.path().join("second")).repository(&name),
        repository(left.host(), quick()),
        repository(right.host(), quick()),
        Store::layout(dir.path().join("last")).repository(&name),
    ];
    let mut from = source;
    for to in stations {
        let report = copy(&from, &tag("v1").into(), &to, &[tag("v1"), tag("latest")]).await.unwrap();
        assert_eq!(&report.digest, index.digest());
        assert_eq!((report.manifests, report.tags, report.uploaded), (3, 2, 4), "{to}");
        for selector in [tag("v1").into(), tag("latest").into(), Selector::Digest(index.digest().clone())] {
            assert_eq!(to.manifest(&selector).await.unwrap().unwrap(), index, "{to}");
        }
        for (descriptor, bytes) in one.blobs.iter().chain(&two.blobs) {
            assert_eq!(&to.blob(descriptor).await.unwrap(), bytes);
        }
        // Once more: nothing to do.
        let again = copy(&from, &tag("v1").into(), &to, &[tag("v1"), tag("latest")]).await.unwrap();
        // A layout's files are looked at all the same: somebody may have damaged them.
        let existed = if to.to_string().starts_with("oci:") { 4 } else { 0 };
        assert_eq!((again.manifests, again.tags, again.uploaded, again.existed), (0, 0, 0, existed), "{to}");
        from = to;
    }
}

/// B2: a push that changes nothing is one request.
#[tokio::test]
async fn a_second_copy_costs_one_request() {
    let dir = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start();
    let from = Store::layout(dir.path()).repository(&"a".parse().unwrap());
    image_of(&from, 10, 1000, 1).await;
    copy(&from, &tag("v1").into(), &repository(registry.host(), quick()), &[tag("v1")]).await.unwrap();
    registry.clear_log();
    copy(&from, &tag("v1").into(), &repository(registry.host(), quick()), &[tag("v1")]).await.unwrap();
    registry.log().assert_len(1);
}

/// B3: the earlier image under the tag proves the layers that did not change.
#[tokio::test]
async fn one_changed_layer_of_ten_costs_seven_requests_and_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start();
    let from = Store::layout(dir.path()).repository(&"a".parse().unwrap());
    let size = 400_000;
    image_of(&from, 10, size, 1).await;
    image_of(&from, 10, size, 2).await;
    let to = repository(registry.host(), quick());
    copy(&from, &tag("v1").into(), &to, &[tag("latest")]).await.unwrap();
    registry.clear_log();
    let report = copy(&from, &tag("v2").into(), &to, &[tag("latest")]).await.unwrap();
    assert_eq!((report.uploaded, report.existed), (2, 9));
    let log = registry.log();
    // A look at the tag; question, session and bytes of the layer; session and bytes of the configuration; the manifest.
    log.assert_len(7);
    assert!(log.bytes_in() < size as u64 + 8_000, "{log}");
}

/// B4: a tag more is the manifest once more, and no blob.
#[tokio::test]
async fn retagging_keeps_the_digest_and_moves_no_blob() {
    let registry = FakeRegistry::start();
    let to = repository(registry.host(), quick());
    let manifest = image_of(&to, 3, 100, 1).await;
    registry.clear_log();
    let report = copy(&to, &tag("v1").into(), &to, &[tag("stable")]).await.unwrap();
    assert_eq!(&report.digest, manifest.digest());
    let log = registry.log();
    // Read it, write it.
    log.assert_len(2);
    log.assert_count("*", "/blobs/", 0);
    assert_eq!(registry.tags("shop/api").len(), 2);
}

/// B5: within one registry, blobs are mounted.
#[tokio::test]
async fn copies_within_a_registry_mount_and_carry_no_bytes() {
    let registry = FakeRegistry::start();
    let store = Store::parse(registry.host(), quick()).unwrap();
    let (from, to) =
        (store.repository(&"build/api".parse().unwrap()), store.repository(&"release/api".parse().unwrap()));
    image_of(&from, 10, 1000, 1).await;
    registry.clear_log();
    let report = copy(&from, &tag("v1").into(), &to, &[tag("v1")]).await.unwrap();
    assert_eq!((report.mounted, report.uploaded, report.bytes), (11, 0, 0));
    let log = registry.log();
    // Manifest, look at the tag, eleven mounts, write.
    log.assert_len(14);
    log.assert_count("HEAD", "", 0);
}

/// A registry that does not mount (202) gets the bytes in the session it opened.
#[tokio::test]
async fn a_refused_mount_becomes_an_upload_without_another_question() {
    let registry = FakeRegistry::builder().profile(Profile::Ecr).start();
    for name in ["build/api", "release/api"] {
        registry.create_repository(name);
    }
    let store = Store::parse(registry.host(), quick()).unwrap();
    let (from, to) =
        (store.repository(&"build/api".parse().unwrap()), store.repository(&"release/api".parse().unwrap()));
    image_of(&from, 2, 1000, 1).await;
    registry.clear_log();
    let report = copy(&from, &tag("v1").into(), &to, &[tag("v1")]).await.unwrap();
    assert_eq!((report.mounted, report.uploaded), (0, 3));
    let log = registry.log();
    log.assert_count("POST", "release/api/blobs/uploads/", 3);
    log.assert_count("PUT", "release/api/blobs/uploads/", 3);
    log.assert_count("HEAD", "", 0);
}

#[tokio::test]
async fn a_missing_source_or_part_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::layout(dir.path());
    let (from, to) = (store.repository(&"a".parse().unwrap()), store.repository(&"b".parse().unwrap()));
    let error = copy(&from, &tag("v1").into(), &to, &[tag("v1")]).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("a:v1"), "{error}");
    let manifest = image_of(&from, 2, 100, 1).await;
    let gone = &manifest.as_image().unwrap().layers[1].digest;
    std::fs::remove_file(dir.path().join("a/blobs/sha256").join(gone.hex())).unwrap();
    let error = copy(&from, &tag("v1").into(), &to, &[tag("v1")]).await.unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains(gone.as_str()), "{error}");
    assert!(to.tags().await.unwrap().is_empty());
}

/// Bytes that rot between two registries never become a complete upload.
#[tokio::test]
async fn a_corrupt_source_blob_is_not_copied() {
    let (left, right) = (FakeRegistry::start(), FakeRegistry::start());
    let (from, to) = (repository(left.host(), quick()), repository(right.host(), quick()));
    let manifest = image_of(&from, 1, 300_000, 1).await;
    let layer = &manifest.as_image().unwrap().layers[0].digest;
    let mut bytes = left.blob("shop/api", layer.as_str()).unwrap().to_vec();
    bytes[150_000] ^= 1;
    left.corrupt_blob("shop/api", layer.as_str(), bytes);
    let error = copy(&from, &tag("v1").into(), &to, &[tag("v1")]).await.unwrap_err();
    assert!(matches!(&error, Error::DigestMismatch { expected, .. } if expected == layer), "{error:?}");
    assert!(right.blobs("shop/api").iter().all(|digest| digest != layer.as_str()));
    assert!(right.tags("shop/api").is_empty());
}

/// N9, B7: a bad network costs repetitions, not success.
#[tokio::test]
async fn a_copy_survives_a_registry_in_trouble() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let registry = FakeRegistry::start();
        for (n, fault) in
            [Fault::status(503), Fault::throttled(0), Fault::Reset, Fault::LoseReply, Fault::ResetReading(1000)]
                .into_iter()
                .enumerate()
        {
            registry.fault(Rule::new(fault).sometimes(seed * 10 + n as u64, 2));
        }
        let from = Store::layout(dir.path()).repository(&"a".parse().unwrap());
        let manifest = image_of(&from, 10, 50_000, 1).await;
        let to = repository(registry.host(), quick());
        let report = copy(&from, &tag("v1").into(), &to, &[tag("v1")]).await.unwrap();
        assert_eq!(&report.digest, manifest.digest());
        registry.clear_faults();
        assert_eq!(to.manifest(&tag("v1").into()).await.unwrap().unwrap(), manifest);
        for blob in manifest.as_image().unwrap().blobs() {
            assert!(to.has_blob(&blob.digest).await.unwrap());
        }
    }
}

/// Blobs travel side by side, at most four.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_run_in_parallel() {
    let dir = tempfile::tempdir().unwrap();
    let latency = Duration::from_millis(20);
    let registry = FakeRegistry::builder().latency(latency).start();
    let from = Store::layout(dir.path()).repository(&"a".parse().unwrap());
    image_of(&from, 11, 1000, 1).await;
    let started = std::time::Instant::now();
    copy(&from, &tag("v1").into(), &repository(registry.host(), quick()), &[tag("v1")]).await.unwrap();
    let requests = registry.log().requests.len() as u32;
    assert!(requests >= 36, "{requests}");
    assert!(started.elapsed() < latency * requests * 2 / 3, "{requests} requests took {:?}", started.elapsed());
    assert!(registry.log().connections() <= 5, "{}", registry.log());
}

#[tokio::test]
async fn the_real_registry_takes_and_gives_what_skopeo_agrees_with() {
    let registry = need!(DockerRegistry::start());
    let skopeo = need!(Skopeo::find());
    let _ = &skopeo;
    let dir = tempfile::tempdir().unwrap();
    let from = Store::layout(dir.path()).repository(&"a".parse().unwrap());
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(&from, Some("one")).await;
    two.push(&from, None).await;
    let index = index_of(&[&one, &two]);
    from.put_manifest(&index, Some(&tag("multi"))).await.unwrap();
    let to = repository(registry.host(), quick());
    copy(&from, &tag("one").into(), &to, &[tag("one")]).await.unwrap();
    copy(&from, &tag("multi").into(), &to, &[tag("multi"), tag("latest")]).await.unwrap();
    let mut tags = to.tags().await.unwrap();
    tags.sort();
    assert_eq!(tags, [tag("latest"), tag("multi"), tag("one")]);

    // skopeo sees the same digests.
    let program = need!(require_tool("skopeo"));
    let image = format!("docker://{}/shop/api", registry.host());
    for (name, digest) in [("one", one.manifest.digest()), ("multi", index.digest())] {
        let output = shipper_testkit::run(Command::new(&program).args([
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("{image}:{name}"),
        ]));
        assert_eq!(&shipper_oci::Digest::of(&output.stdout), digest);
    }
    // Back into a layout, and what skopeo pushed can be read.
    let back = Store::layout(dir.path().join("back")).repository(&"b".parse().unwrap());
    let report = copy(&to, &tag("multi").into(), &back, &[tag("multi")]).await.unwrap();
    assert_eq!(&report.digest, index.digest());
    shipper_testkit::run(Command::new(&program).args([
        "--insecure-policy",
        "copy",
        "--dest-tls-verify=false",
        &format!("oci:{}:one", dir.path().join("a").display()),
        &format!("{image}:by-skopeo"),
    ]));
    let pushed = to.manifest(&tag("by-skopeo").into()).await.unwrap().unwrap();
    assert_eq!(to.blob(&pushed.as_image().unwrap().config).await.unwrap(), one.blobs[0].1);

    // Mounts, deletes and absence as the real one does them.
    let other = to.store().repository(&"other".parse().unwrap());
    assert!(other.mount_blob(&one.blobs[1].0, to.name()).await.unwrap());
    assert!(
        !other.mount_blob(&one.blobs[1].0, &"nowhere".parse().unwrap()).await.unwrap()
            || other.has_blob(&one.blobs[1].0.digest).await.unwrap()
    );
    assert!(matches!(to.delete_tag(&tag("latest")).await, Err(Error::Unsupported { .. })));
    assert!(to.delete_manifest(index.digest()).await.unwrap());
    assert!(to.manifest(&tag("multi").into()).await.unwrap().is_none());
    assert!(to.store().repository(&"never/was".parse().unwrap()).tags().await.unwrap().is_empty());
    assert!(matches!(
        to.put_manifest(&Sample::image("unknown").manifest, Some(&tag("x"))).await,
        Err(Error::Incomplete { .. })
    ));
}

#[tokio::test]
async fn the_real_registry_with_a_password() {
    use shipper_testkit::docker_registry::{PASSWORD, USER};

    let registry = need!(DockerRegistry::start_with_password());
    let to = repository(registry.host(), support::with_password(registry.host(), USER, PASSWORD));
    Sample::image("one").push(&to, Some("v1")).await;
    assert!(to.manifest(&tag("v2").into()).await.unwrap().is_none());
    let stranger = repository(registry.host(), quick());
    assert!(matches!(stranger.manifest(&tag("v1").into()).await, Err(Error::Unauthorized { .. })));
}
