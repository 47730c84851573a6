//! OCI layouts on disk: what is written, what is refused, what survives, and that other tools agree.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use shipper_oci::{BlobSource, Descriptor, Digest, Error, Pushed, Repository, Selector, Store, media_type};
use shipper_testkit::{need, require_tool};
use support::{Sample, index_of, tag};

fn open(dir: &Path) -> Repository {
    Store::layout(dir).repository(&"shop/api".parse().unwrap())
}

#[tokio::test]
async fn what_was_pushed_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(&dir.path().join("not/yet/there"));
    assert_eq!(repository.tags().await.unwrap(), []);
    assert!(repository.manifest(&tag("v1").into()).await.unwrap().is_none());
    let sample = Sample::image("one");
    sample.push(&repository, Some("v1")).await;
    repository.put_manifest(&sample.manifest, Some(&tag("latest"))).await.unwrap();
    assert_eq!(repository.tags().await.unwrap(), [tag("latest"), tag("v1")]);
    for selector in
        [Selector::Tag(tag("v1")), Selector::Tag(tag("latest")), Selector::Digest(sample.manifest.digest().clone())]
    {
        assert_eq!(repository.manifest(&selector).await.unwrap().as_ref(), Some(&sample.manifest));
    }
    assert!(repository.has_manifest(sample.manifest.digest()).await.unwrap());
    assert!(!repository.has_manifest(&Digest::of(b"other")).await.unwrap());
    for (descriptor, bytes) in &sample.blobs {
        assert!(repository.has_blob(&descriptor.digest).await.unwrap());
        assert_eq!(&repository.blob(descriptor).await.unwrap(), bytes);
        let to = dir.path().join("pulled");
        repository.pull_blob(descriptor, &to).await.unwrap();
        assert_eq!(&std::fs::read(to).unwrap(), bytes);
    }
    assert!(repository.reference(&tag("v1").into()).ends_with("not/yet/there/shop/api:v1"));
    assert!(repository.reference(&tag("v1").into()).starts_with("oci:"));
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let file = dir.path().join("source");
    std::fs::write(&file, b"content").unwrap();
    let descriptor = Descriptor::of("x/y", b"content");
    let push = || repository.push_blob(&descriptor, BlobSource::File(file.clone()));
    assert_eq!(push().await.unwrap(), Pushed::Uploaded);
    assert_eq!(push().await.unwrap(), Pushed::Existed);
    // A blob file cut short by somebody else is replaced.
    let path = dir.path().join("shop/api/blobs/sha256").join(descriptor.digest.hex());
    std::fs::write(&path, b"con").unwrap();
    assert_eq!(push().await.unwrap(), Pushed::Uploaded);
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
}

#[tokio::test]
async fn sources_that_are_not_what_their_descriptor_says_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let descriptor = Descriptor::of("x/y", b"content");
    for wrong in ["contenT", "conten", "content and more", ""] {
        let error = repository.push_blob(&descriptor, BlobSource::Bytes(wrong.into())).await.unwrap_err();
        assert!(error.is_corrupt(), "{error}");
        assert!(!repository.has_blob(&descriptor.digest).await.unwrap());
    }
    assert_eq!(std::fs::read_dir(dir.path().join("shop/api/.tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn no_tag_is_written_for_an_incomplete_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    let refused = async |manifest: &shipper_oci::Manifest| {
        let error = repository.put_manifest(manifest, Some(&tag("v1"))).await.unwrap_err();
        assert!(matches!(error, Error::Incomplete { .. }), "{error}");
        assert_eq!(repository.tags().await.unwrap(), []);
    };
    refused(&one.manifest).await;
    let (config, bytes) = &one.blobs[0];
    repository.push_blob(config, BlobSource::Bytes(bytes.clone().into())).await.unwrap();
    refused(&one.manifest).await;
    one.push(&repository, None).await;
    // Of an index, every child must be there, and each child must be complete.
    let index = index_of(&[&one, &two]);
    refused(&index).await;
    let child = two.manifest.descriptor();
    repository.push_blob(&child, BlobSource::Bytes(two.manifest.shared_bytes())).await.unwrap();
    refused(&index).await;
    two.push(&repository, None).await;
    repository.put_manifest(&index, Some(&tag("v1"))).await.unwrap();
    // A blob of the right name but another size is missing too.
    let layer = dir.path().join("shop/api/blobs/sha256").join(one.blobs[1].0.digest.hex());
    std::fs::write(&layer, b"short").unwrap();
    assert!(matches!(repository.put_manifest(&one.manifest, None).await, Err(Error::Incomplete { .. })));
}

#[tokio::test]
async fn moving_and_deleting_tags_leaves_the_other_entries_alone() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(&repository, Some("keep")).await;
    one.push(&repository, Some("move")).await;
    // An entry of another tool, with a field that this crate does not know.
    let path = dir.path().join("shop/api/index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["foreign"] = 1.into();
    let mut entry = index["manifests"][0].clone();
    entry["annotations"] = serde_json::json!({"org.example": "x"});
    entry["unknown"] = serde_json::json!([1, 2]);
    index["manifests"].as_array_mut().unwrap().push(entry.clone());
    std::fs::write(&path, index.to_string()).unwrap();

    two.push(&repository, Some("move")).await;
    assert_eq!(repository.manifest(&tag("move").into()).await.unwrap().as_ref(), Some(&two.manifest));
    assert_eq!(repository.manifest(&tag("keep").into()).await.unwrap().as_ref(), Some(&one.manifest));
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(index["foreign"], 1);
    assert!(index["manifests"].as_array().unwrap().contains(&entry));

    assert!(repository.delete_tag(&tag("move")).await.unwrap());
    assert!(!repository.delete_tag(&tag("move")).await.unwrap());
    assert!(repository.has_manifest(two.manifest.digest()).await.unwrap());
    assert!(repository.delete_manifest(one.manifest.digest()).await.unwrap());
    assert!(!repository.delete_manifest(one.manifest.digest()).await.unwrap());
    assert_eq!(repository.tags().await.unwrap(), []);
}

#[tokio::test]
async fn a_child_of_an_index_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let one = Sample::image("one");
    one.push(&repository, None).await;
    let index = index_of(&[&one]);
    repository.put_manifest(&index, Some(&tag("v1"))).await.unwrap();
    let error = repository.delete_manifest(one.manifest.digest()).await.unwrap_err();
    assert!(error.to_string().contains("v1"), "{error}");
    assert!(repository.delete_manifest(index.digest()).await.unwrap());
    assert!(repository.delete_manifest(one.manifest.digest()).await.unwrap());
}

#[tokio::test]
async fn an_immutable_tag_never_moves() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push_blobs(&repository).await;
    two.push_blobs(&repository).await;
    repository.put_immutable(&one.manifest, &tag("h-1")).await.unwrap();
    repository.put_immutable(&one.manifest, &tag("h-1")).await.unwrap();
    let error = repository.put_immutable(&two.manifest, &tag("h-1")).await.unwrap_err();
    assert!(error.is_conflict());
    assert!(matches!(&error, Error::Conflict { existing, wanted, .. }
        if existing == one.manifest.digest() && wanted == two.manifest.digest()));
    assert_eq!(repository.manifest(&tag("h-1").into()).await.unwrap().as_ref(), Some(&one.manifest));
}

#[tokio::test]
async fn what_is_lost_is_absent_for_who_writes_it_and_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    for (name, sample) in [("v1", &one), ("v2", &two)] {
        sample.push(&repository, Some(name)).await;
    }
    let (v1, digest) = (tag("v1"), one.manifest.digest().clone());
    let blob = dir.path().join("shop/api/blobs/sha256").join(digest.hex());
    let whole = std::fs::read(&blob).unwrap();
    for damage in [None, Some(&whole[..9]), Some(b"{}")] {
        match damage {
            None => std::fs::remove_file(&blob).unwrap(),
            Some(bytes) => std::fs::write(&blob, bytes).unwrap(),
        }
        assert!(repository.manifest(&v1.clone().into()).await.unwrap_err().is_corrupt());
        assert_eq!(repository.sound_manifest(&v1.clone().into()).await.unwrap(), None);
        assert_eq!(repository.tagged_digest(&v1).await.unwrap(), Some(digest.clone()));
        // Another image does not get the name; the same one does.
        assert!(repository.put_immutable(&two.manifest, &v1).await.unwrap_err().is_conflict());
        repository.put_immutable(&one.manifest, &v1).await.unwrap();
        assert_eq!(repository.sound_manifest(&v1.clone().into()).await.unwrap().unwrap().digest(), &digest);
    }
    assert_eq!(repository.tagged_digest(&tag("v3")).await.unwrap(), None);
    std::fs::write(dir.path().join("shop/api/index.json"), b"broken").unwrap();
    assert!(repository.sound_manifest(&v1.clone().into()).await.is_err(), "an index that is not read proves nothing");
}

#[tokio::test]
async fn without_a_name_the_only_image_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let unnamed = async || repository.unnamed_image().await;
    assert!(unnamed().await.unwrap_err().is_not_found());
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(&repository, Some("h-1")).await;
    one.push(&repository, Some("last-main")).await;
    let only = Selector::Digest(one.manifest.digest().clone());
    assert_eq!(unnamed().await.unwrap(), only);
    // What refers to it is no image, nor is the list of that.
    let artifact = shipper_oci::artifact("x/note", &[("x/y", b"note")], Some(one.manifest.descriptor()), &[].into());
    let artifact = artifact.unwrap();
    for (descriptor, bytes) in &artifact.blobs {
        repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await.unwrap();
    }
    repository.put_referrer(&artifact.manifest).await.unwrap();
    repository.put_manifest(&artifact.manifest, Some(&tag("m-1"))).await.unwrap();
    assert_eq!(unnamed().await.unwrap(), only);
    // The parts of an index belong to it.
    two.push(&repository, Some("h-2")).await;
    let error = unnamed().await.unwrap_err();
    assert!(matches!(&error, Error::Ambiguous { names, .. } if names.len() == 2), "{error}");
    let index = index_of(&[&one, &two]);
    repository.put_manifest(&index, Some(&tag("h-3"))).await.unwrap();
    assert_eq!(unnamed().await.unwrap(), Selector::Digest(index.digest().clone()));
    repository.put_manifest(&two.manifest, Some(&tag("latest"))).await.unwrap();
    assert_eq!(unnamed().await.unwrap(), Selector::latest());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writers_agree_on_one_digest() {
    let dir = tempfile::tempdir().unwrap();
    let samples: Vec<_> = (0..8).map(|n| Sample::image(&n.to_string())).collect();
    for sample in &samples {
        sample.push_blobs(&open(dir.path())).await;
    }
    let rounds = std::env::var("SHIPPER_SOAK").map_or(25, |_| 500);
    for round in 0..rounds {
        let tag = tag(&format!("h-{round}"));
        let mut tasks = tokio::task::JoinSet::new();
        for sample in &samples {
            // A store of its own each, as processes would have.
            let (repository, manifest, tag) = (open(dir.path()), sample.manifest.clone(), tag.clone());
            tasks.spawn(async move {
                match repository.put_immutable(&manifest, &tag).await {
                    Ok(()) => (true, manifest.digest().clone()),
                    Err(Error::Conflict { existing, .. }) => (false, existing),
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let results = tasks.join_all().await;
        assert_eq!(results.iter().filter(|(won, _)| *won).count(), 1);
        assert!(results.iter().all(|(_, digest)| *digest == results[0].1));
    }
    assert_eq!(open(dir.path()).tags().await.unwrap().len(), rounds, "no writer lost another's entry");
}

#[tokio::test]
async fn damage_is_an_error_and_not_an_absence() {
    let check = async |damage: &dyn Fn(&Path, &Sample), expected: fn(&Error) -> bool| {
        let dir = tempfile::tempdir().unwrap();
        let repository = open(dir.path());
        let sample = Sample::image("one");
        sample.push(&repository, Some("v1")).await;
        damage(&dir.path().join("shop/api"), &sample);
        let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
        assert!(expected(&error), "{error:?}");
        assert!(!error.is_not_found());
    };
    let blob = |root: &Path, sample: &Sample| root.join("blobs/sha256").join(sample.manifest.digest().hex());
    check(&|root, _| std::fs::write(root.join("index.json"), "").unwrap(), |e| matches!(e, Error::Layout { .. })).await;
    check(&|root, _| std::fs::write(root.join("index.json"), "{}").unwrap(), |e| matches!(e, Error::Layout { .. }))
        .await;
    check(&|root, sample| std::fs::remove_file(blob(root, sample)).unwrap(), |e| matches!(e, Error::Layout { .. }))
        .await;
    check(
        &|root, sample| {
            let path = blob(root, sample);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[10] ^= 1;
            std::fs::write(path, bytes).unwrap();
        },
        |e| matches!(e, Error::DigestMismatch { .. }),
    )
    .await;
    // A digest that climbs out of the layout is refused while it is read.
    check(
        &|root, sample| {
            let path = root.join("index.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, text.replace(sample.manifest.digest().as_str(), "sha256:../../../../etc/passwd"))
                .unwrap();
        },
        |e| matches!(e, Error::Layout { .. }),
    )
    .await;
    check(
        &|root, _| {
            let path = root.join("index.json");
            let mut index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let mut twin = index["manifests"][0].clone();
            twin["digest"] = Digest::of(b"twin").as_str().into();
            index["manifests"].as_array_mut().unwrap().push(twin);
            std::fs::write(path, index.to_string()).unwrap();
        },
        |e| matches!(e, Error::Layout { .. }),
    )
    .await;
}

#[tokio::test]
async fn names_that_collide_with_the_layout_itself_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["blobs", "shop/blobs", "shop/index.json/x", "oci-layout"] {
        let repository = Store::layout(dir.path()).repository(&name.parse().unwrap());
        assert!(matches!(repository.tags().await, Err(Error::InvalidReference { .. })), "{name}");
        assert!(matches!(repository.manifest(&tag("v1").into()).await, Err(Error::InvalidReference { .. })), "{name}");
    }
}

#[tokio::test]
async fn mounting_links_the_blob_of_another_repository() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = ("base".parse().unwrap(), open(dir.path()));
    let sample = Sample::image("one");
    let (layer, bytes) = &sample.blobs[1];
    assert!(!to.mount_blob(layer, &from).await.unwrap());
    sample.push_blobs(&to.store().repository(&from)).await;
    assert!(to.mount_blob(layer, &from).await.unwrap());
    assert!(to.mount_blob(layer, &from).await.unwrap());
    assert_eq!(&to.blob(layer).await.unwrap(), bytes);
}

#[tokio::test]
async fn large_blobs_are_not_read_into_memory() {
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let descriptor = Descriptor::new("x/y", Digest::of(b""), 5 << 20);
    assert!(matches!(repository.blob(&descriptor).await, Err(Error::TooLarge { .. })));
    let absent = Descriptor::of(media_type::IMAGE_CONFIG, b"{}");
    assert!(repository.blob(&absent).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn skopeo_and_umoci_read_what_was_written() {
    let (skopeo, umoci) = (need!(require_tool("skopeo")), need!(require_tool("umoci")));
    let dir = tempfile::tempdir().unwrap();
    let repository = open(dir.path());
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(&repository, Some("v1")).await;
    two.push(&repository, Some("v2")).await;
    repository.put_manifest(&index_of(&[&one, &two]), Some(&tag("multi"))).await.unwrap();
    let root = dir.path().join("shop/api");
    let image = |tag: &str| format!("oci:{}:{tag}", root.display());
    for (tag, sample) in [("v1", &one), ("v2", &two), ("multi", &one)] {
        let output = shipper_testkit::run(Command::new(&skopeo).args([
            "--override-os",
            "linux",
            "--override-arch",
            "amd64",
            "inspect",
            "--no-tags",
            &image(tag),
        ]));
        let inspected: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        if tag != "multi" {
            assert_eq!(inspected["Digest"], sample.manifest.digest().as_str());
        }
        assert_eq!(inspected["Layers"][0], sample.blobs[1].0.digest.as_str());
    }
    let listed = shipper_testkit::run(Command::new(&umoci).args(["ls", "--layout"]).arg(&root));
    let mut listed: Vec<_> = std::str::from_utf8(&listed.stdout).unwrap().lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["multi", "v1", "v2"]);
    let bundle = dir.path().join("bundle");
    let image = format!("{}:v2", root.display());
    shipper_testkit::run(Command::new(&umoci).args(["unpack", "--rootless", "--image", &image]).arg(&bundle));
    assert_eq!(std::fs::read_to_string(bundle.join("rootfs/file")).unwrap(), "two");
    // Its collection of garbage keeps everything that is named.
    shipper_testkit::run(Command::new(&umoci).args(["gc", "--layout"]).arg(&root));
    assert!(repository.manifest(&tag("multi").into()).await.unwrap().is_some());
    assert_eq!(repository.blob(&two.blobs[1].0).await.unwrap(), two.blobs[1].1);
}

#[tokio::test]
async fn what_skopeo_and_umoci_wrote_is_read() {
    let (skopeo, umoci) = (need!(require_tool("skopeo")), need!(require_tool("umoci")));
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("store/shop/api");
    std::fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    shipper_testkit::run(Command::new(&umoci).args(["init", "--layout"]).arg(&foreign));
    shipper_testkit::run(Command::new(&umoci).args(["new", "--image", &format!("{}:empty", foreign.display())]));
    let ours = open(&dir.path().join("other"));
    let sample = Sample::image("one");
    sample.push(&ours, Some("v1")).await;
    let from = format!("oci:{}:v1", dir.path().join("other/shop/api").display());
    shipper_testkit::run(Command::new(&skopeo).args([
        "--insecure-policy",
        "copy",
        &from,
        &format!("oci:{}:v1", foreign.display()),
    ]));
    let repository = open(&dir.path().join("store"));
    assert_eq!(repository.tags().await.unwrap(), [tag("empty"), tag("v1")]);
    assert!(repository.manifest(&tag("empty").into()).await.unwrap().unwrap().as_image().is_some());
    let copied = repository.manifest(&tag("v1").into()).await.unwrap().unwrap();
    assert_eq!(repository.blob(&copied.as_image().unwrap().config).await.unwrap(), sample.blobs[0].1);
    // And may be added to.
    let two = Sample::image("two");
    two.push(&repository, Some("v2")).await;
    shipper_testkit::run(Command::new(&skopeo).args([
        "inspect",
        "--no-tags",
        &format!("oci:{}:v2", foreign.display()),
    ]));
    assert_eq!(repository.tags().await.unwrap().len(), 3);
}

const VICTIM: &str = "SHIPPER_OCI_TEST_VICTIM";

/// Not a test of its own: the process that [`kills_leave_no_tag_on_an_incomplete_manifest`] starts and kills.
#[tokio::test]
async fn victim_writes_until_killed() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let repository = open(Path::new(&dir));
    for round in 0_u64.. {
        let nonce = format!("{}-{round}", std::process::id());
        let (one, two) = (Sample::image(&format!("{nonce}-a")), Sample::image(&format!("{nonce}-b")));
        one.push(&repository, Some("moving")).await;
        two.push(&repository, None).await;
        repository.put_immutable(&index_of(&[&one, &two]), &tag(&format!("h-{nonce}"))).await.unwrap();
    }
}

#[tokio::test]
async fn kills_leave_no_tag_on_an_incomplete_manifest() {
    let rounds: u64 = std::env::var("SHIPPER_SOAK").map_or(60, |_| 1_000);
    let dir = tempfile::tempdir().unwrap();
    let mut tags_seen = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim_writes_until_killed", "--test-threads", "1"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Spread over start-up and the first few images; the exact moment does not matter, only that it varies.
        tokio::time::sleep(Duration::from_micros(3_000 + round * 7_919 % 25_000)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        // Each survivor must do with what the killed left: check everything that is named, then write on.
        if round % 10 == 9 {
            let repository = open(dir.path());
            for tag in repository.tags().await.unwrap() {
                check_whole(&repository, &tag.into()).await;
                tags_seen += 1;
            }
        }
    }
    let repository = open(dir.path());
    Sample::image("after").push(&repository, Some("after")).await;
    check_whole(&repository, &tag("after").into()).await;
    assert!(tags_seen > 0, "no victim lived long enough to write a tag");
}

async fn check_whole(repository: &Repository, selector: &Selector) {
    let manifest = repository.manifest(selector).await.unwrap().unwrap();
    if let Some(index) = manifest.as_index() {
        for child in &index.manifests {
            Box::pin(check_whole(repository, &child.digest.clone().into())).await;
        }
    }
    if let Some(image) = manifest.as_image() {
        for blob in image.blobs() {
            repository.blob(blob).await.unwrap();
        }
    }
}
