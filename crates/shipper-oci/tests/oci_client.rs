//! Another client, `oci-client`, reads back what this crate wrote, and the other way round.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OciDescriptor, OciManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference as Theirs};
use proptest::prelude::*;
use shipper_oci::{BlobSource, Descriptor, Manifest, ManifestKind, Reference, Repository, Selector, artifact};
use shipper_testkit::{DockerRegistry, FakeRegistry, Profile, need};
use support::{Sample, index_of, quick, repository, tag};

const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

fn client() -> Client {
    Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() })
}

fn ours(host: &str, name: &str) -> Reference {
    format!("{host}/shop/api:{name}").parse().unwrap()
}

/// Everything under `name`, as both see it.
async fn both_read_the_same(host: &str, name: &str, expected: &Manifest, blobs: &[(Descriptor, Vec<u8>)]) {
    let (client, reference) = (client(), Theirs::from(&ours(host, name)));
    let anonymous = RegistryAuth::Anonymous;
    let (bytes, digest) = client.pull_manifest_raw(&reference, &anonymous, &MANIFESTS).await.unwrap();
    assert_eq!((&bytes[..], digest.as_str()), (expected.bytes(), expected.digest().as_str()), "{name}");
    assert_eq!(client.fetch_manifest_digest(&reference, &anonymous).await.unwrap(), expected.digest().as_str());
    let (read, _) = client.pull_manifest(&reference, &anonymous).await.unwrap();
    match (&read, expected.kind()) {
        (OciManifest::Image(theirs), ManifestKind::Image(mine)) => {
            let converted: Vec<Descriptor> =
                theirs.layers.iter().map(|layer| Descriptor::try_from(layer).unwrap()).collect();
            assert_eq!(converted, mine.layers, "{name}");
            assert_eq!(Descriptor::try_from(&theirs.config).unwrap(), mine.config, "{name}");
            assert_eq!(theirs.annotations.clone().unwrap_or_default(), mine.annotations, "{name}");
            assert_eq!(theirs.artifact_type, mine.artifact_type, "{name}");
            let subject = theirs.subject.as_ref().map(|subject| Descriptor::try_from(subject).unwrap());
            assert_eq!(subject, mine.subject, "{name}");
        }
        (OciManifest::ImageIndex(theirs), ManifestKind::Index(mine)) => {
            let digests: Vec<&str> = theirs.manifests.iter().map(|entry| entry.digest.as_str()).collect();
            assert_eq!(digests, mine.manifests.iter().map(|entry| entry.digest.as_str()).collect::<Vec<_>>());
            let platforms = |platform: Option<String>| platform.unwrap_or_default();
            assert_eq!(
                theirs
                    .manifests
                    .iter()
                    .map(|entry| platforms(
                        entry.platform.as_ref().map(|platform| format!("{}/{}", platform.os, platform.architecture))
                    ))
                    .collect::<Vec<_>>(),
                mine.manifests
                    .iter()
                    .map(|entry| platforms(entry.platform.as_ref().map(ToString::to_string)))
                    .collect::<Vec<_>>()
            );
        }
        (theirs, mine) => panic!("{name}: {theirs:?} is not {mine:?}"),
    }
    // The conversions agree with what was read, as documents.
    let converted = OciManifest::try_from(expected).unwrap();
    assert_eq!(serde_json::to_value(&converted).unwrap(), serde_json::to_value(&read).unwrap(), "{name}");
    for (descriptor, bytes) in blobs {
        let mut pulled = Vec::new();
        client.pull_blob(&reference, &OciDescriptor::try_from(descriptor).unwrap(), &mut pulled).await.unwrap();
        assert_eq!(&pulled, bytes, "{name}: {}", descriptor.digest);
    }
}

async fn they_read_what_was_written(host: &str, to: &Repository) {
    let (one, two) = (Sample::image("one"), Sample::image("two"));
    one.push(to, Some("v1")).await;
    two.push(to, None).await;
    both_read_the_same(host, "v1", &one.manifest, &one.blobs).await;
    let index = index_of(&[&one, &two]);
    to.put_manifest(&index, Some(&tag("multi"))).await.unwrap();
    both_read_the_same(host, "multi", &index, &[]).await;

    let notes = BTreeMap::from([("note".to_owned(), "a".to_owned())]);
    let kind = "application/spdx+json";
    let made = artifact(kind, &[("text/plain", b"text")], Some(one.manifest.descriptor()), &notes).unwrap();
    for (descriptor, bytes) in &made.blobs {
        to.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await.unwrap();
    }
    to.put_referrer(&made.manifest).await.unwrap();
    to.put_manifest(&made.manifest, Some(&tag("about"))).await.unwrap();
    let blobs: Vec<(Descriptor, Vec<u8>)> =
        made.blobs.iter().map(|(descriptor, bytes)| (descriptor.clone(), bytes.to_vec())).collect();
    both_read_the_same(host, "about", &made.manifest, &blobs).await;
    let subject = ours(host, "v1").with_digest(one.manifest.digest().clone());
    let listed = client().pull_referrers(&Theirs::from(&subject), None).await.unwrap();
    let listed: Vec<&str> = listed.manifests.iter().map(|entry| entry.digest.as_str()).collect();
    assert_eq!(listed, [made.manifest.digest().as_str()]);

    let names = client().list_tags(&Theirs::from(&ours(host, "v1")), &RegistryAuth::Anonymous, None, None).await;
    assert_eq!(names.unwrap().tags, to.tags().await.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>());
}

/// They write; what is here reads.
async fn what_they_write_is_read(host: &str, from: &Repository) {
    let (client, sample) = (client(), Sample::image("theirs"));
    let reference = Theirs::from(&ours(host, "theirs"));
    client.store_auth_if_needed(reference.resolve_registry(), &RegistryAuth::Anonymous).await;
    for (descriptor, bytes) in &sample.blobs {
        client.push_blob(&reference, bytes.clone(), descriptor.digest.as_str()).await.unwrap();
    }
    let manifest = OciManifest::try_from(&sample.manifest).unwrap();
    client.push_manifest(&reference, &manifest).await.unwrap();
    let read = from.manifest(&Selector::Tag(tag("theirs"))).await.unwrap().unwrap();
    assert_eq!(read.as_image(), sample.manifest.as_image());
    for (descriptor, bytes) in &sample.blobs {
        assert_eq!(&from.blob(descriptor).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn oci_client_and_this_crate_read_what_the_other_wrote() {
    // oci-client takes the provider of the process.
    rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    for profile in [Profile::Spec, Profile::Distribution, Profile::Ghcr] {
        let registry = FakeRegistry::builder().profile(profile).start();
        registry.create_repository("shop/api");
        let repository = repository(registry.host(), quick());
        they_read_what_was_written(registry.host(), &repository).await;
        what_they_write_is_read(registry.host(), &repository).await;
    }
    let real = need!(DockerRegistry::start());
    let repository = repository(real.host(), quick());
    they_read_what_was_written(real.host(), &repository).await;
    what_they_write_is_read(real.host(), &repository).await;
}

#[test]
fn what_is_no_reference_there_is_refused_here() {
    for (registry, repository, name, says) in [
        ("a/b", "shop/api", "v1", "a/b"),
        ("example.com", "Shop", "v1", "Shop"),
        ("example.com", "shop/../api", "v1", "shop/../api"),
        ("example.com", "shop", "a b", "a b"),
    ] {
        let theirs = Theirs::with_tag(registry.to_owned(), repository.to_owned(), name.to_owned());
        let error = Reference::try_from(&theirs).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let negative = OciDescriptor { size: -1, digest: format!("sha256:{:064}", 0), ..OciDescriptor::default() };
    assert!(Descriptor::try_from(&negative).unwrap_err().to_string().contains("negative"));
    assert!(Descriptor::try_from(&OciDescriptor { digest: "md5:0".to_owned(), ..negative }).is_err());
}

proptest! {
    /// Both parsers give complete references the same parts, and the conversions lose none.
    #[test]
    fn references_mean_the_same_to_both(
        host in "[a-z][a-z0-9]{0,8}\\.[a-z]{2,5}(:[1-9][0-9]{1,3})?",
        name in "[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?(/[a-z0-9]{1,6}){0,3}",
        tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
        digest in proptest::option::of("sha256:[0-9a-f]{64}"),
    ) {
        prop_assume!(tag.is_some() || digest.is_some());
        let text = format!(
            "{host}/{name}{}{}",
            tag.map(|tag| format!(":{tag}")).unwrap_or_default(),
            digest.map(|digest| format!("@{digest}")).unwrap_or_default()
        );
        let mine: Reference = text.parse().unwrap();
        let theirs: Theirs = text.parse().unwrap();
        prop_assert_eq!(&Theirs::from(&mine), &theirs);
        prop_assert_eq!(Reference::try_from(&theirs).unwrap(), mine);
    }
}
