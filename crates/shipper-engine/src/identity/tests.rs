use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shipper_oci::{BlobSource, ClientOptions, Digest, ImageManifest, Store, media_type};
use shipper_testkit::{DockerRegistry, FakeRegistry, Mutability, need};

use super::*;
use crate::names::{INPUTS_ARTIFACT, KEY};

const PLATFORMS: [&str; 1] = ["linux/amd64"];

/// Long enough for a run that saw nobody, also on a machine that has other things to do.
const PATIENCE: Patience = Patience { grace: Duration::from_millis(1500), pause: Duration::from_millis(20) };

fn key(number: u64) -> BuildKey {
    format!("{number:032x}{number:032x}").parse().expect("a key")
}

fn artifact(key: &BuildKey, subject: Descriptor) -> Manifest {
    let annotations = BTreeMap::from([(KEY.to_owned(), key.to_string())]);
    shipper_oci::artifact(INPUTS_ARTIFACT, &[], Some(subject), &annotations).expect("an artifact").manifest
}

/// An image of the key that no other build gives: what a builder that is not reproducible leaves in the repository.
async fn built(repository: &Repository, key: &BuildKey, by: &str) -> Manifest {
    let empty = Descriptor::of(media_type::EMPTY, b"{}");
    repository.push_blob(&empty, BlobSource::Bytes("{}".into())).await.expect("pushes");
    let config = serde_json::json!({"os": "linux", "architecture": "amd64", "author": by,
        "config": {"Labels": {KEY: key.to_string()}}, "rootfs": {"type": "layers", "diff_ids": []}});
    let config = config.to_string().into_bytes();
    let descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    repository.push_blob(&descriptor, BlobSource::Bytes(config.into())).await.expect("pushes");
    let manifest = Manifest::image(&ImageManifest::new(descriptor, vec![])).expect("a manifest");
    repository.put_manifest(&manifest, None).await.expect("puts");
    manifest
}

async fn settle(repository: &Repository, key: &BuildKey, mine: &Manifest) -> Result<Manifest, Error> {
    let platforms = PLATFORMS.map(str::to_owned);
    let identity = Identity {
        repository,
        trust: &Trust::default(),
        service: "app",
        key,
        platforms: &platforms,
        forced: false,
        may_differ: true,
        patience: PATIENCE,
    };
    identity.settle(mine, Some(&|subject| Ok(artifact(key, subject)))).await
}

/// Several runs build one key at the same time. One digest is named, and each run has it or says that it has not.
async fn race(store: impl Fn() -> Store, key: BuildKey, contenders: usize) -> Digest {
    let mut runs = tokio::task::JoinSet::new();
    for number in 0..contenders {
        let repository = store().repository(&"app".parse().expect("a name"));
        let delay = Duration::from_millis(fastrand::u64(0..40));
        runs.spawn(async move {
            let mine = built(&repository, &key, &number.to_string()).await;
            tokio::time::sleep(delay).await;
            settle(&repository, &key, &mine).await
        });
    }
    let mut agreed = BTreeSet::new();
    while let Some(run) = runs.join_next().await {
        match run.expect("no panic") {
            Ok(image) => drop(agreed.insert(image.digest().clone())),
            Err(Error::Identity { .. }) => {}
            Err(error) => panic!("{:?}", error.chain()),
        }
    }
    assert_eq!(agreed.len(), 1, "runs that succeed have one image: {agreed:?}");
    let digest = agreed.pop_first().expect("one");
    let repository = store().repository(&"app".parse().expect("a name"));
    let named = |name: String| {
        let repository = repository.clone();
        async move { repository.manifest(&Selector::Tag(tag(&name))).await.expect("reads").expect("is there") }
    };
    assert_eq!(*named(key.identity_tag()).await.digest(), digest);
    let inputs = named(key.inputs_tag()).await;
    assert_eq!(inputs.subject().expect("a subject").digest, digest, "the inputs are about the image that is named");
    digest
}

fn registry(host: &str) -> Store {
    Store::parse(host, ClientOptions::default()).expect("a store")
}

/// G12 with a stubbed builder: 200 rounds of two to eight runs against a registry that has no immutable tags.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_two_hundred_races_for_one_key_end_with_one_digest() {
    let server = FakeRegistry::builder().latency(Duration::from_millis(1)).start();
    server.create_repository("app");
    for first in (0..200).step_by(20) {
        let rounds = (first..first + 20).map(|round| {
            let host = server.host().to_owned();
            let contenders = 2 + usize::try_from(round % 7).expect("small");
            race(move || registry(&host), key(round), contenders)
        });
        futures_join(rounds.collect()).await;
    }
    for round in 0..200 {
        // A run that brings to its end what another began may write the same digest once more.
        let history: BTreeSet<_> = server.tag_history("app", &key(round).identity_tag()).into_iter().collect();
        assert_eq!(history.len(), 1, "an identity never moves: {history:?}");
    }
    let left: Vec<_> = server.tags("app").into_iter().filter(|(name, _)| name.starts_with("c-")).collect();
    assert!(left.is_empty(), "announcements are taken back: {left:?}");
}

async fn futures_join<F: Future<Output = Digest> + Send + 'static>(futures: Vec<F>) {
    let mut set: tokio::task::JoinSet<_> = futures.into_iter().collect();
    while let Some(done) = set.join_next().await {
        done.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_races_in_a_real_registry_and_in_layouts_end_with_one_digest() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..20 {
        race(|| Store::layout(directory.path()), key(round), 4).await;
    }
    let server = need!(DockerRegistry::start());
    for round in 0..5 {
        let host = server.host().to_owned();
        race(move || registry(&host), key(round), 3).await;
    }
}

#[tokio::test]
async fn what_a_killed_run_began_is_brought_to_its_end() {
    let server = FakeRegistry::start();
    server.create_repository("app");
    let repository = registry(server.host()).repository(&"app".parse().expect("a name"));
    let first = built(&repository, &key(1), "the killed run").await;
    repository
        .put_manifest(&artifact(&key(1), first.descriptor()), Some(&tag(&key(1).inputs_tag())))
        .await
        .expect("puts");
    let second = built(&repository, &key(1), "the next run").await;
    assert_eq!(settle(&repository, &key(1), &second).await.expect("settles").digest(), first.digest());

    // Where nothing can be made of it, it is replaced.
    let gone = Descriptor::of(media_type::IMAGE_MANIFEST, b"gone");
    repository.put_manifest(&artifact(&key(2), gone), Some(&tag(&key(2).inputs_tag()))).await.expect("puts");
    let mine = built(&repository, &key(2), "x").await;
    assert_eq!(settle(&repository, &key(2), &mine).await.expect("settles").digest(), mine.digest());
    let inputs =
        repository.manifest(&Selector::Tag(tag(&key(2).inputs_tag()))).await.expect("reads").expect("is there");
    assert_eq!(inputs.subject().expect("a subject").digest, *mine.digest());
}

#[tokio::test]
async fn announcements_of_runs_that_are_gone_are_not_waited_for_without_end() {
    let server = FakeRegistry::start();
    server.create_repository("app");
    let repository = registry(server.host()).repository(&"app".parse().expect("a name"));
    let lost = built(&repository, &key(1), "lost").await;
    let claim = Claim::announce(&repository, &key(1), lost.digest()).await.expect("announces");
    std::mem::forget(claim);
    // One of long ago, as a registry that deletes nothing keeps it.
    let announced = server.tags("app").into_iter().find(|(name, _)| name.starts_with("c-")).expect("an announcement");
    let old = format!("c-{}-0000000000001-00000000", &key(2).identity_tag()[2..]);
    server.put_tag("app", &old, &announced.1);
    let began = Instant::now();
    let mine = built(&repository, &key(2), "mine").await;
    settle(&repository, &key(2), &mine).await.expect("settles");
    assert!(began.elapsed() < PATIENCE.grace, "nobody waits for an announcement of long ago");
    let mine = built(&repository, &key(1), "mine").await;
    assert_eq!(settle(&repository, &key(1), &mine).await.expect("settles").digest(), mine.digest());
    assert!(began.elapsed() < PATIENCE.grace * 4);
}

/// G4: eight runs write one immutable name with eight images, 500 times; it has one digest for life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_an_immutable_tag_keeps_its_first_digest_under_racing_writers() {
    let server = FakeRegistry::start();
    server.create_repository("app");
    let store = || registry(server.host()).repository(&"app".parse().expect("a name"));
    let mut images = Vec::new();
    for writer in 0..8 {
        images.push(built(&store(), &key(1), &writer.to_string()).await);
    }
    let repositories: Vec<Repository> = (0..8).map(|_| store()).collect();
    server.set_mutability("app", Mutability::Immutable);
    for round in 0..500 {
        let name = tag(&format!("v{round}"));
        let mut writers = tokio::task::JoinSet::new();
        for (repository, image) in repositories.iter().cloned().zip(images.iter().cloned()) {
            let name = name.clone();
            writers.spawn(async move { (image.digest().clone(), repository.put_immutable(&image, &name).await) });
        }
        let mut winners = Vec::new();
        while let Some(written) = writers.join_next().await {
            match written.expect("no panic") {
                (digest, Ok(())) => winners.push(digest.to_string()),
                (_, Err(error)) => assert!(error.is_conflict(), "{error}"),
            }
        }
        assert_eq!(
            server.tag_history("app", name.as_str()),
            winners,
            "one writer succeeds, and it is the one that is there"
        );
    }
}
