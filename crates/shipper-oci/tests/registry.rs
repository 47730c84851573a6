//! Registries of several kinds: what is asked, how often, and what is believed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::{Arc, Mutex};

use shipper_oci::{BlobSource, Descriptor, Digest, Error, ProgressSink, Pushed, Selector, Store, media_type};
use shipper_testkit::{Auth, FakeRegistry, Fault, Mutability, Profile, Rule};
use support::{Sample, index_of, quick, repository, tag, with_password};

const PROFILES: [Profile; 4] = [Profile::Spec, Profile::Distribution, Profile::Ecr, Profile::Ghcr];

fn start(profile: Profile) -> FakeRegistry {
    let registry = FakeRegistry::builder().profile(profile).start();
    registry.create_repository("shop/api");
    registry
}

#[tokio::test]
async fn what_was_pushed_is_read_back_from_every_kind_of_registry() {
    for profile in PROFILES {
        let registry = start(profile);
        let repository = repository(registry.host(), quick());
        let sample = Sample::image("one");
        assert!(repository.manifest(&tag("v1").into()).await.unwrap().is_none(), "{profile:?}");
        assert!(!repository.has_blob(&sample.blobs[0].0.digest).await.unwrap());
        sample.push(&repository, Some("v1")).await;
        let by_tag = repository.manifest(&tag("v1").into()).await.unwrap().unwrap();
        assert_eq!(by_tag, sample.manifest, "{profile:?}");
        let digest = sample.manifest.digest();
        assert_eq!(repository.manifest(&Selector::Digest(digest.clone())).await.unwrap().unwrap(), sample.manifest);
        assert!(repository.has_manifest(digest).await.unwrap());
        assert!(!repository.has_manifest(&Digest::of(b"other")).await.unwrap());
        for (descriptor, bytes) in &sample.blobs {
            assert!(repository.has_blob(&descriptor.digest).await.unwrap());
            assert_eq!(&repository.blob(descriptor).await.unwrap(), bytes, "{profile:?}");
            let dir = tempfile::tempdir().unwrap();
            let to = dir.path().join("blob");
            repository.pull_blob(descriptor, &to).await.unwrap();
            assert_eq!(&std::fs::read(to).unwrap(), bytes);
        }
        let index = index_of(&[&sample, &sample]);
        repository.put_manifest(&index, Some(&tag("multi"))).await.unwrap();
        assert_eq!(repository.manifest(&tag("multi").into()).await.unwrap().unwrap(), index);
        assert_eq!(repository.tags().await.unwrap(), [tag("multi"), tag("v1")]);
    }
}

#[tokio::test]
async fn a_present_manifest_costs_one_request_and_a_second_push_none_but_questions() {
    let registry = start(Profile::Spec);
    let repository = repository(registry.host(), quick());
    let sample = Sample::image("one");
    sample.push(&repository, Some("v1")).await;
    registry.clear_log();
    repository.manifest(&tag("v1").into()).await.unwrap().unwrap();
    registry.log().assert_len(1);
    registry.clear_log();
    for (descriptor, bytes) in &sample.blobs {
        let pushed = repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await.unwrap();
        assert_eq!(pushed, Pushed::Existed);
    }
    registry.log().assert_len(sample.blobs.len());
    registry.log().assert_no_writes();
}

/// Absence is proven once for each repository by what a stranger was given there, else by what the registry says of itself.
#[tokio::test]
async fn a_registry_that_gave_a_manifest_is_not_asked_who_may_read_there() {
    let registry = start(Profile::Distribution);
    let store = || Store::parse(registry.host(), quick()).unwrap();
    let of = |store: &Store, name: &str| store.repository(&name.parse().unwrap());
    let sample = Sample::image("one");
    sample.push(&of(&store(), "shop/api"), Some("v1")).await;
    let fresh = store();
    let (given, other) = (of(&fresh, "shop/api"), of(&fresh, "shop/other"));
    registry.clear_log();
    assert!(given.manifest(&tag("v1").into()).await.unwrap().is_some());
    assert!(given.manifest(&tag("v2").into()).await.unwrap().is_none());
    assert!(given.manifest(&tag("v3").into()).await.unwrap().is_none());
    registry.log().assert_len(3);
    // Of another repository nothing is known, and then of all.
    for count in [5, 6] {
        assert!(other.manifest(&tag("v1").into()).await.unwrap().is_none());
        registry.log().assert_len(count);
    }
    // Whom a registry knows by a password is told the truth without a question; so is not who is a stranger to it.
    let registry = FakeRegistry::builder().auth(Auth::basic("user", "password")).start();
    registry.create_repository("shop/api");
    let known = repository(registry.host(), with_password(registry.host(), "user", "password"));
    sample.push(&known, Some("v1")).await;
    registry.fault(Rule::new(Fault::status(404)).path("/manifests/"));
    let stranger = repository(registry.host(), quick());
    assert!(stranger.manifest(&tag("v2").into()).await.unwrap_err().is_unknown());
}

#[tokio::test]
async fn an_upload_is_one_post_and_one_put() {
    for profile in PROFILES {
        let registry = start(profile);
        let repository = repository(registry.host(), quick());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("layer");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        let descriptor = Descriptor::of(media_type::LAYER, &bytes);
        assert_eq!(repository.push_blob(&descriptor, BlobSource::File(file)).await.unwrap(), Pushed::Uploaded);
        let log = registry.log();
        log.assert_count("HEAD", "/blobs/", 1);
        log.assert_count("POST", "/blobs/uploads/", 1);
        log.assert_count("PUT", "/blobs/uploads/", 1);
        log.assert_count("PATCH", "", 0);
        assert_eq!(registry.blob("shop/api", descriptor.digest.as_str()).unwrap(), bytes, "{profile:?}");
        let stats = repository.stats();
        assert_eq!(stats.bytes_sent, bytes.len() as u64);
        assert_eq!(stats.requests, log.requests.len() as u64);
        assert_eq!(stats.retries, 0);
    }
}

#[tokio::test]
async fn progress_is_told_from_nothing_to_everything() {
    let registry = start(Profile::Spec);
    let seen: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let mut options = quick();
    let sink = Arc::clone(&seen);
    options.progress =
        Some(ProgressSink::new(move |repository: &shipper_oci::RepositoryName, _: &Digest, done: u64, total: u64| {
            assert_eq!(repository.as_str(), "shop/api");
            sink.lock().unwrap().push((done, total));
        }));
    let repository = repository(registry.host(), options);
    let bytes = vec![1; 1_000_000];
    let descriptor = Descriptor::of(media_type::LAYER, &bytes);
    repository.push_blob(&descriptor, BlobSource::Bytes(bytes.into())).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!((seen[0], seen[seen.len() - 1]), ((0, 1_000_000), (1_000_000, 1_000_000)));
    assert!(seen.is_sorted() && seen.len() > 4, "{seen:?}");
}

#[tokio::test]
async fn mounts_take_201_and_live_with_202() {
    let registry = start(Profile::Spec);
    let repository = repository(registry.host(), quick());
    let layer = Descriptor::of(media_type::LAYER, b"base layer");
    let from = "base".parse().unwrap();
    assert!(!repository.mount_blob(&layer, &from).await.unwrap());
    registry.put_blob("base", &b"base layer"[..]);
    assert!(repository.mount_blob(&layer, &from).await.unwrap());
    assert!(repository.has_blob(&layer.digest).await.unwrap());
    let log = registry.log();
    log.assert_count("POST", "/blobs/uploads/", 2);
    log.assert_count("PUT", "", 0);
    // A registry that refuses the question as such is a no.
    registry.fault(Rule::new(Fault::status(400)).method("POST"));
    assert!(!repository.mount_blob(&layer, &from).await.unwrap());
}

#[tokio::test]
async fn tags_are_read_over_all_pages() {
    let registry = FakeRegistry::builder().page_size(3).start();
    let repository = repository(registry.host(), quick());
    assert_eq!(repository.tags().await.unwrap(), [], "a repository that does not exist has none");
    let sample = Sample::image("one");
    sample.push(&repository, Some("t0")).await;
    for n in 1..10 {
        registry.put_tag("shop/api", &format!("t{n}"), sample.manifest.digest().as_str());
    }
    let tags = repository.tags().await.unwrap();
    assert_eq!(tags, (0..10).map(|n| tag(&format!("t{n}"))).collect::<Vec<_>>());
    let ecr = start(Profile::Ecr);
    repository_of(&ecr).tags().await.unwrap();
}

fn repository_of(registry: &FakeRegistry) -> shipper_oci::Repository {
    repository(registry.host(), quick())
}

#[tokio::test]
async fn deleting_says_what_was_there_and_what_is_not_supported() {
    for profile in PROFILES {
        let registry = start(profile);
        let repository = repository_of(&registry);
        let sample = Sample::image("one");
        sample.push(&repository, Some("v1")).await;
        let deleted = repository.delete_tag(&tag("v1")).await;
        match profile {
            Profile::Distribution | Profile::Ghcr => {
                let error = deleted.unwrap_err();
                assert!(matches!(error, Error::Unsupported { .. }), "{profile:?}: {error}");
                assert!(error.hint().is_some());
            }
            _ => {
                assert!(deleted.unwrap(), "{profile:?}");
                assert!(!repository.delete_tag(&tag("v1")).await.unwrap());
            }
        }
        let deleted = repository.delete_manifest(sample.manifest.digest()).await;
        if profile == Profile::Ghcr {
            assert!(matches!(deleted, Err(Error::Unsupported { .. })), "{profile:?}");
        } else {
            assert!(deleted.unwrap(), "{profile:?}");
            assert!(!repository.delete_manifest(sample.manifest.digest()).await.unwrap());
            assert!(repository.manifest(&tag("v1").into()).await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn an_incomplete_manifest_is_named_as_such() {
    for profile in PROFILES {
        let registry = start(profile);
        let repository = repository_of(&registry);
        let error = repository.put_manifest(&Sample::image("one").manifest, Some(&tag("v1"))).await.unwrap_err();
        assert!(matches!(error, Error::Incomplete { .. }), "{profile:?}: {error:?}");
        assert!(registry.tags("shop/api").is_empty());
    }
}

/// E3: a registry with immutable tags says "already exists" for the same manifest too.
#[tokio::test]
async fn an_immutable_tag_takes_the_same_manifest_again_and_refuses_another() {
    for profile in PROFILES {
        let registry = start(profile);
        registry.set_mutability("shop/api", Mutability::Immutable);
        let repository = repository_of(&registry);
        let (one, two) = (Sample::image("one"), Sample::image("two"));
        one.push(&repository, Some("v1")).await;
        repository.put_manifest(&one.manifest, Some(&tag("v1"))).await.unwrap();
        repository.put_immutable(&one.manifest, &tag("v1")).await.unwrap();
        two.push_blobs(&repository).await;
        for result in [
            repository.put_manifest(&two.manifest, Some(&tag("v1"))).await,
            repository.put_immutable(&two.manifest, &tag("v1")).await,
        ] {
            let error = result.unwrap_err();
            assert!(
                matches!(&error, Error::Conflict { existing, wanted, .. }
                if existing == one.manifest.digest() && wanted == two.manifest.digest()),
                "{profile:?}: {error:?}"
            );
        }
        assert_eq!(registry.tag_history("shop/api", "v1"), [one.manifest.digest().to_string()], "it never moved");
    }
}

/// G4 for registries without immutable tags: the client looks before it writes.
#[tokio::test]
async fn without_help_of_the_registry_put_immutable_still_does_not_move_a_tag() {
    let registry = start(Profile::Spec);
    let repository = repository_of(&registry);
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(&repository, Some("v1")).await;
    two.push_blobs(&repository).await;
    registry.clear_log();
    assert!(repository.put_immutable(&two.manifest, &tag("v1")).await.unwrap_err().is_conflict());
    registry.log().assert_no_writes();
    // A plain write moves it: that is what aliases are.
    repository.put_manifest(&two.manifest, Some(&tag("v1"))).await.unwrap();
    assert_eq!(repository.manifest(&tag("v1").into()).await.unwrap().unwrap(), two.manifest);
}

/// A writer that wins between our PUT and our read is seen.
#[tokio::test]
async fn a_tag_that_names_something_else_when_read_back_is_a_conflict() {
    let registry = start(Profile::Spec);
    let repository = repository_of(&registry);
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push_blobs(&repository).await;
    two.push(&repository, None).await;
    let body = Fault::Body(two.manifest.shared_bytes());
    registry.fault(Rule::new(body).method("GET").path("/manifests/v1"));
    registry.fault(
        Rule::new(Fault::Header("docker-content-digest".into(), two.manifest.digest().to_string()))
            .method("GET")
            .path("/manifests/v1"),
    );
    assert!(repository.put_manifest(&one.manifest, Some(&tag("v1"))).await.unwrap_err().is_conflict());
}

#[tokio::test]
async fn a_prefix_is_part_of_every_repository() {
    let registry = FakeRegistry::start();
    let store = Store::parse(&format!("{}/acme/images", registry.host()), quick()).unwrap();
    assert!(store.is_remote());
    assert_eq!(store.describe(), format!("{}/acme/images", registry.host()));
    let repository = store.repository(&"shop/api".parse().unwrap());
    Sample::image("one").push(&repository, Some("v1")).await;
    assert_eq!(registry.repositories(), ["acme/images/shop/api"]);
    assert_eq!(repository.reference(&tag("v1").into()), format!("{}/acme/images/shop/api:v1", registry.host()));
}

#[test]
fn stores_are_parsed_strictly() {
    for good in ["oci:dir", "oci:/a/b", "ghcr.io", "ghcr.io/acme", "localhost:5000/a/b", "[::1]:5000", "docker.io/acme"]
    {
        assert_eq!(Store::parse(good, quick()).unwrap().describe(), good);
    }
    for bad in ["", "oci:", "acme", "acme/x", "https://ghcr.io", "ghcr.io/", "ghcr.io/UP", "ghcr.io/a:b", "u@ghcr.io"] {
        assert!(Store::parse(bad, quick()).is_err(), "{bad}");
    }
    let mut options = quick();
    options.root_certificates = vec![b"not a certificate".to_vec()];
    assert!(matches!(Store::parse("ghcr.io", options), Err(Error::Options { .. })), "N14: a bad option is not ignored");
}

/// Making a client must not cost the loading of certificate roots.
#[test]
fn a_store_is_made_without_loading_anything() {
    let started = std::time::Instant::now();
    for _ in 0..200 {
        Store::parse("ghcr.io/acme", quick()).unwrap();
    }
    assert!(started.elapsed() < std::time::Duration::from_millis(200), "{:?}", started.elapsed());
}

#[tokio::test]
async fn ecr_drops_uploads_to_missing_repositories_and_the_error_says_so() {
    let registry = FakeRegistry::builder().profile(Profile::Ecr).start();
    let repository = repository_of(&registry);
    let sample = Sample::image("one");
    assert!(repository.manifest(&tag("v1").into()).await.unwrap().is_none(), "NAME_UNKNOWN is absence");
    let (descriptor, bytes) = &sample.blobs[0];
    let error = repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { what, .. } if what.starts_with("start upload")), "{error:?}");
    let real = Error::Unreachable {
        host: "1.dkr.ecr.eu-west-1.amazonaws.com".into(),
        what: "start upload of blob x".into(),
        source: "closed".into(),
    };
    assert!(real.hint().unwrap().contains("repository does not exist"));
}

/// N12: as `docker-credential-ecr-login` and ECR do it, the password expires with 403 and comes anew from the source.
#[tokio::test]
async fn an_expired_ecr_password_is_fetched_anew() {
    use shipper_oci::{Credential, CredentialFuture, CredentialProvider, Credentials, RegistryHost, RepositoryName};

    struct Rotating(Mutex<u32>);
    impl CredentialProvider for Rotating {
        fn credential<'a>(
            &'a self,
            _: &'a RegistryHost,
            _: &'a RepositoryName,
            refused: Option<&'a Credential>,
        ) -> CredentialFuture<'a> {
            let password = |number: u32| Credential::Basic {
                username: "AWS".into(),
                password: format!("password-{number}").into(),
            };
            Box::pin(async move {
                let mut number = self.0.lock().unwrap();
                *number += u32::from(refused == Some(&password(*number)));
                Ok(Some(password(*number)))
            })
        }
    }

    let registry =
        FakeRegistry::builder().profile(Profile::Ecr).auth(Auth::basic("AWS", "password-0").expires_after(3)).start();
    registry.create_repository("shop/api");
    let mut options = quick();
    options.credentials = Credentials::new(Rotating(Mutex::new(0)));
    let repository = repository(registry.host(), options);
    for _ in 0..3 {
        assert!(repository.manifest(&tag("v1").into()).await.unwrap().is_none());
    }
    registry.set_password("password-1");
    assert!(repository.manifest(&tag("v1").into()).await.unwrap().is_none());
    registry.log().assert_count("GET", "/v2/shop/api/", 5);
    // And one that stays wrong is an error after two tries, not a loop.
    registry.set_password("password-9");
    registry.clear_log();
    let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    registry.log().assert_len(2);
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_unauthorized_with_a_hint() {
    for auth in [Auth::basic("user", "right"), Auth::bearer("user", "right")] {
        let registry = FakeRegistry::builder().auth(auth).start();
        for options in [quick(), with_password(registry.host(), "user", "wrong")] {
            let error = repository(registry.host(), options).manifest(&tag("v1").into()).await.unwrap_err();
            assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
            assert!(error.is_unknown() && error.hint().unwrap().contains(registry.host()), "{error:?}");
            assert!(!format!("{error:?} {error}").contains("wrong"), "{error:?}");
        }
    }
}

/// What is asked only to save work has no body.
#[tokio::test]
async fn whether_a_name_seems_to_be_there_is_one_question_without_a_body() {
    let registry = FakeRegistry::start();
    let repository = repository(registry.host(), quick());
    let sample = Sample::image("one");
    sample.push(&repository, Some("v1")).await;
    let digest = sample.manifest.digest().clone();
    for (selector, is_there) in [(tag("v1").into(), true), (digest.into(), true), (tag("v2").into(), false)] {
        registry.clear_log();
        assert_eq!(repository.seems_to_have(&selector).await.unwrap(), is_there, "{selector}");
        registry.log().assert_count("HEAD", "/manifests/", 1);
        registry.log().assert_len(1);
    }
    registry.fault(Rule::new(Fault::status(403)));
    repository.seems_to_have(&tag("v1").into()).await.unwrap_err();
}
