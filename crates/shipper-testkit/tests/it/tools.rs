//! skopeo and umoci against the fake registry, and the fixtures around Debian's tools.

use shipper_testkit::{Auth, DockerRegistry, FakeRegistry, Profile, Skopeo, Umoci, docker_registry, need};

/// A layout with one image that holds one file, made by umoci.
fn layout(umoci: &Umoci, directory: &std::path::Path) -> String {
    let file = directory.join("hello");
    std::fs::write(&file, "hello\n").expect("a file");
    let layout = directory.join("layout");
    umoci.image(&layout, "v1", &[(&file, "/srv/hello")]);
    format!("oci:{}:v1", layout.display())
}

#[test]
fn skopeo_copies_an_image_in_and_out_with_the_same_digest() {
    let (skopeo, umoci) = (need!(Skopeo::find()), need!(Umoci::find()));
    for profile in [Profile::Spec, Profile::Distribution, Profile::Ecr, Profile::Ghcr] {
        let directory = tempfile::tempdir().expect("a directory");
        let source = layout(&umoci, directory.path());
        let registry = FakeRegistry::builder().profile(profile).start();
        registry.create_repository("team/app");
        let remote = format!("docker://{}/team/app:v1", registry.host());
        skopeo.copy(&source, &remote);
        let back = directory.path().join("back");
        skopeo.copy(&remote, &format!("oci:{}:v1", back.display()));
        let digest = skopeo.digest(&source);
        assert_eq!(skopeo.digest(&remote), digest, "{profile:?}");
        assert_eq!(skopeo.digest(&format!("oci:{}:v1", back.display())), digest, "{profile:?}");
        assert_eq!(registry.tags("team/app"), [("v1".to_owned(), digest)], "{profile:?}");
        let root = umoci.unpack(&back, "v1", &directory.path().join("bundle"));
        assert_eq!(std::fs::read_to_string(root.join("srv/hello")).expect("the file"), "hello\n");
    }
}

#[test]
fn skopeo_signs_in_by_basic_and_by_bearer() {
    let (skopeo, umoci) = (need!(Skopeo::find()), need!(Umoci::find()));
    for auth in [Auth::basic("user", "canary-password"), Auth::bearer("user", "canary-password")] {
        let directory = tempfile::tempdir().expect("a directory");
        let source = layout(&umoci, directory.path());
        let registry = FakeRegistry::builder().auth(auth).start();
        let remote = format!("docker://{}/team/app:v1", registry.host());
        assert!(!skopeo.try_copy(&source, &remote).status.success(), "without credentials");
        let signed = need!(Skopeo::find()).with_credentials("user", "canary-password");
        signed.copy(&source, &remote);
        assert_eq!(signed.digest(&remote), signed_digest(&registry));
        let exposed = registry.log().exposures("canary-password");
        assert!(exposed.iter().all(|found| found.place == "header authorization"), "{exposed:?}");
        assert!(registry.stored_exposures("canary-password").is_empty());
    }
}

fn signed_digest(registry: &FakeRegistry) -> String {
    registry.manifest("team/app", "v1").expect("a pushed image").digest
}

#[test]
fn a_real_registry_is_started_logged_and_stopped() {
    let (skopeo, umoci) = (need!(Skopeo::find()), need!(Umoci::find()));
    let registry = need!(DockerRegistry::start());
    let directory = tempfile::tempdir().expect("a directory");
    let source = layout(&umoci, directory.path());
    let remote = format!("docker://{}/team/app:v1", registry.host());
    skopeo.copy(&source, &remote);
    let log = registry.log();
    log.assert_count("PUT", "/v2/team/app/manifests/v1", 1);
    assert_eq!(log.matching("PUT", "/manifests/v1")[0].status, Some(201), "{log}");
    registry.clear_log();
    assert_eq!(skopeo.digest(&remote), skopeo.digest(&source));
    assert_eq!(skopeo.tags(&format!("docker://{}/team/app", registry.host())), ["v1"]);
    registry.log().assert_no_writes();
    let host = registry.host().to_owned();
    drop(registry);
    assert!(std::net::TcpStream::connect(host).is_err());
}

#[test]
fn a_real_registry_asks_for_the_password() {
    let (skopeo, umoci) = (need!(Skopeo::find()), need!(Umoci::find()));
    let registry = need!(DockerRegistry::start_with_password());
    let directory = tempfile::tempdir().expect("a directory");
    let source = layout(&umoci, directory.path());
    let remote = format!("docker://{}/app:v1", registry.host());
    assert!(!skopeo.try_copy(&source, &remote).status.success());
    let signed = need!(Skopeo::find()).with_credentials(docker_registry::USER, docker_registry::PASSWORD);
    signed.copy(&source, &remote);
    assert_eq!(signed.config(&remote)["os"], "linux");
}
