//! Registries behind a proxy and a certificate authority of a company, and pushes that are cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use shipper_oci::{BlobSource, Descriptor, ImageManifest, Manifest, Repository, media_type};
use shipper_testkit::{DockerRegistry, FakeRegistry, Fault, Proxy, Rule, TlsFront, need};

use crate::support::{Project, Ran};

/// A name that no resolver knows.
const NAME: &str = "registry.test";

fn run(project: &Project, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SHIPPER_CA_FILE"] {
        command.env_remove(name);
    }
    Ran::of(&command.envs(environment.iter().copied()).output().expect("the binary starts"))
}

#[test]
fn images_go_through_a_proxy_to_a_registry_with_a_certificate_authority_of_its_own() {
    let registry = FakeRegistry::start();
    for repository in ["demo/docs", "demo/site"] {
        registry.create_repository(repository);
    }
    let front = need!(TlsFront::start(NAME, registry.address()));
    let proxy = Proxy::start(BTreeMap::from([(format!("{NAME}:443"), front.address())]));
    let project = Project::two_services();
    let authority = front.authority();
    let authority = authority.to_str().expect("plain");
    let with_password = proxy.url().replace("http://", "http://proxyuser:proxysecret@");
    let ship = ["ship", "--registry", NAME];

    let through = [("HTTPS_PROXY", with_password.as_str()), ("SHIPPER_CA_FILE", authority)];
    run(&project, &through, &ship).ok().says("2 built");
    run(&project, &through, &ship).ok().says("nothing is due");
    run(&project, &through, &["verify", "--registry", NAME]).ok();
    assert!(registry.tags("demo/docs").iter().any(|(name, _)| name.starts_with("h-")));
    let asked = proxy.requests();
    assert!(!asked.is_empty() && asked.iter().all(|head| head.starts_with("CONNECT registry.test:443 ")), "{asked:?}");
    // The proxy's own password is for the proxy.
    assert!(asked.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic")), "{asked:?}");
    assert_eq!(registry.log().exposures("proxysecret").len(), 0);

    let by_flag = ["--ca-file", authority, "inspect", "registry.test/demo/docs:last-local"];
    let direct = [("HTTPS_PROXY", with_password.as_str()), ("NO_PROXY", "example.com,.test")];
    let count = proxy.requests().len();
    run(&project, &direct, &by_flag).exits(3).says("could not be reached");
    assert_eq!(proxy.requests().len(), count, "a host in NO_PROXY is reached directly");

    let unknown = run(&project, &[("https_proxy", &proxy.url())], &ship).exits(3);
    unknown.says("could not be reached").says("certificate").says("hint: if this registry is the right one");
    let nothing = project.path().join("nothing.pem");
    let nothing = nothing.to_str().expect("plain");
    run(&project, &[("SHIPPER_CA_FILE", nothing)], &ship).exits(2).says("cannot be read").says(nothing);
    let readme = project.path().join("README.md");
    let no_certificate = ["--ca-file", readme.to_str().expect("plain"), "inspect", "registry.test/x:1"];
    run(&project, &[], &no_certificate).exits(2).says("certificate");
    let refused = run(&project, &[("HTTPS_PROXY", "ftp://proxyuser:proxysecret@x")], &ship).exits(2);
    assert!(!refused.says("the proxy for https is not").stderr.contains("proxysecret"));
    // This machine is never reached through a proxy.
    let local = ["ship", "--registry", registry.host()];
    run(&project, &[("ALL_PROXY", "http://127.0.0.1:1")], &local).ok();
}

/// An image of eight layers of 300 KiB in a layout, and the digests of its blobs.
async fn layered(project: &Project) -> (String, BTreeSet<String>) {
    let layout = project.path().join("layered");
    let repository = Repository::layout(&layout);
    let mut layers = Vec::new();
    for number in 0..8_u8 {
        let bytes: Vec<u8> =
            (0..300 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ number).collect();
        let layer = Descriptor::of(media_type::LAYER_GZIP, &bytes);
        repository.push_blob(&layer, BlobSource::Bytes(bytes.into())).await.expect("pushes");
        layers.push(layer);
    }
    let config = Descriptor::of(media_type::IMAGE_CONFIG, b"{\"os\":\"linux\"}");
    repository.push_blob(&config, BlobSource::Bytes("{\"os\":\"linux\"}".into())).await.expect("pushes");
    let blobs = layers.iter().chain([&config]).map(|blob| blob.digest.to_string()).collect();
    let manifest = Manifest::image(&ImageManifest::new(config, layers)).expect("a manifest");
    repository.put_manifest(&manifest, Some(&"1".parse().expect("a tag"))).await.expect("puts");
    (format!("oci:{}:1", layout.display()), blobs)
}

/// Blobs that arrived, from the requests that brought them.
fn arrived(registry: &FakeRegistry) -> Vec<String> {
    let log = registry.log();
    let puts = log.requests.iter().filter(|one| one.method == "PUT" && one.path.contains("/blobs/uploads/"));
    let done = puts.filter(|one| one.status == Some(201));
    done.map(|one| one.query.split("digest=").nth(1).expect("a digest").replace("%3A", ":")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_killed_sends_only_what_is_missing_the_next_time() {
    let registry = FakeRegistry::start();
    registry.create_repository("app");
    let project = Project::two_services();
    let (source, blobs) = layered(&project).await;
    let to = format!("{}/app:1", registry.host());
    // Five blobs arrive; what comes then is held up for ever.
    registry.fault(Rule::new(Fault::Hang).method("PUT").path("/blobs/uploads/").skip(5));
    let mut first = project.command(["push", &source, &to]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let began = Instant::now();
    while arrived(&registry).len() < 5 {
        assert!(began.elapsed() < Duration::from_secs(30), "five blobs arrive");
        std::thread::sleep(Duration::from_millis(5));
    }
    first.kill().expect("kills");
    first.wait().expect("ends");
    registry.clear_faults();
    let there: BTreeSet<String> = registry.blobs("app").into_iter().collect();
    assert_eq!(there.len(), 5);
    assert!(registry.tags("app").is_empty(), "nothing is named");

    registry.clear_log();
    project.run(["push", &source, &to]).ok().says(&format!("({} of 9 blobs", blobs.len() - there.len()));
    let sent: Vec<String> = arrived(&registry);
    assert_eq!(sent.len(), 4, "each once: {sent:?}");
    assert_eq!(sent.into_iter().collect::<BTreeSet<_>>(), &blobs - &there, "exactly what was missing");
    registry.clear_log();
    project.run(["push", &source, &to]).ok();
    assert_eq!(arrived(&registry), Vec::<String>::new());
}

/// Nine blobs that are mounted, the image, a look at the name, and the name; and what lies beside the image is looked for: the
/// registry's list, which there is none of, the tag in its place, and the configuration for the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_within_a_registry_asks_nothing_twice() {
    let registry = need!(DockerRegistry::start());
    let project = Project::two_services();
    let (source, blobs) = layered(&project).await;
    let (from, to) = (format!("{}/build/app:1", registry.host()), format!("{}/release/app:1", registry.host()));
    project.run(["push", &source, &from]).ok();
    registry.clear_log();
    project.run(["copy", &from, &to]).ok().says("(9 of 9 blobs, 0 B)");
    let log = registry.log();
    log.assert_count("POST", "/v2/release/app/blobs/uploads/", blobs.len());
    log.assert_count("PUT", "", 1);
    log.assert_len(blobs.len() + 6);
    // Again: the image, the name, and what lies beside it.
    registry.clear_log();
    project.run(["copy", &from, &to]).ok();
    registry.log().assert_len(5);
    // Within one repository nothing lies elsewhere.
    registry.clear_log();
    project.run(["copy", &from, &format!("{}/build/app:2", registry.host())]).ok();
    registry.log().assert_len(2);
}
