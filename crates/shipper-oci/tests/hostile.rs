//! Hostile, broken and slow peers: rows N1 to N15 of the threat model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use shipper_oci::{
    BlobSource, ClientOptions, Descriptor, Digest, Error, Repository, Selector, Store, artifact, check_content,
    media_type,
};
use shipper_testkit::evil::{Act, Evil, answer, challenge};
use shipper_testkit::secret::{canary, forms_in};
use shipper_testkit::{Auth, FakeRegistry, Fault, Host, Profile, Rule};
use support::{Sample, quick, repository, tag, with_password};

/// No secret in anything that is printed about an error.
#[track_caller]
fn assert_unprinted(error: &Error, secret: &str) {
    let text =
        format!("{error} {error:?} {:?} {:?}", error.hint(), std::error::Error::source(error).map(ToString::to_string));
    assert!(forms_in(text.as_bytes(), secret).is_empty(), "{text}");
}

/// Short limits of time, two tries.
fn impatient() -> ClientOptions {
    let mut options = quick();
    options.retry.tries = 2;
    options.timeouts.connect = Duration::from_millis(500);
    options.timeouts.header = Duration::from_millis(150);
    options.timeouts.stall = Duration::from_millis(150);
    options
}

/// N1: the password goes to no realm of another owner, however it is spelled.
#[tokio::test]
async fn n1_a_foreign_realm_gets_no_password() {
    let secret = canary("n1");
    let thief = Evil::start(|_| answer(200, &[], r#"{"token":"t"}"#));
    for realm in [
        format!("http://localhost:{}/token", thief.port),
        format!("http://127.0.0.2:{}/token", thief.port),
        format!("http://[::1]:{}/token", thief.port),
        format!("http://user:pass@127.0.0.1:{}/token", thief.port),
        format!("http://127.0.0.1.evil.example:{}/token", thief.port),
        "file:///etc/passwd".to_owned(),
        "//evil.example/token".to_owned(),
        "ftp://127.0.0.1/token".to_owned(),
        String::new(),
    ] {
        let registry = FakeRegistry::builder().auth(Auth::bearer("user", &secret).realm(&realm)).start();
        let repository = repository(registry.host(), with_password(registry.host(), "user", &secret));
        let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
        assert!(matches!(error, Error::UnsafePeer { what: "token realm", .. }), "{realm}: {error:?}");
        assert!(error.is_unknown() && error.hint().is_some());
        assert_unprinted(&error, &secret);
        assert!(registry.log().exposures(&secret).is_empty(), "{realm}");
    }
    assert!(thief.seen().is_empty());
}

/// N1: a realm that the user trusts is used, over https only.
#[tokio::test]
async fn n1_trusted_hosts_are_the_way_to_allow_a_realm() {
    let secret = canary("n1");
    let registry =
        FakeRegistry::builder().auth(Auth::bearer("user", &secret).realm("http://localhost:1/token")).start();
    let mut options = with_password(registry.host(), "user", &secret);
    options.trusted_hosts.insert("localhost:1".to_owned());
    let error = repository(registry.host(), options.clone()).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::UnsafePeer { .. }), "plain http is not trusted: {error:?}");
    let registry =
        FakeRegistry::builder().auth(Auth::bearer("user", &secret).realm("https://localhost:1/token")).start();
    let credential = with_password(registry.host(), "user", &secret).credentials;
    options.credentials = credential;
    let error = repository(registry.host(), options).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "allowed, and nobody listens there: {error:?}");
}

/// N1: no redirect of a token request is followed.
#[tokio::test]
async fn n1_a_token_server_cannot_redirect() {
    let secret = canary("n1");
    let thief = Evil::start(|_| answer(200, &[], r#"{"token":"t"}"#));
    let registry = FakeRegistry::builder().auth(Auth::bearer("user", &secret)).start();
    registry.fault(Rule::new(Fault::redirect(&format!("http://127.0.0.1:{}/", thief.port))).host(Host::Token));
    let repository = repository(registry.host(), with_password(registry.host(), "user", &secret));
    let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::UnsafePeer { .. }), "{error:?}");
    assert!(thief.seen().is_empty());
    assert_unprinted(&error, &secret);
}

/// N2: the target of a redirect sees neither password nor token.
#[tokio::test]
async fn n2_redirects_carry_no_credentials() {
    let secret = canary("n2-password");
    for auth in [Auth::basic("user", &secret), Auth::bearer("user", &secret)] {
        let registry = FakeRegistry::builder().auth(auth).redirect_blobs(true).start();
        let options = with_password(registry.host(), "user", &secret);
        let repository = repository(registry.host(), options);
        let sample = Sample::image("one");
        sample.push(&repository, Some("v1")).await;
        assert_eq!(repository.blob(&sample.blobs[1].0).await.unwrap(), sample.blobs[1].1);
        let log = registry.log();
        let stored: Vec<_> = log.requests.iter().filter(|request| request.host == Host::Storage).collect();
        assert!(!stored.is_empty() && stored.iter().all(|request| request.header("authorization").is_none()));
        for found in log.exposures(&secret) {
            assert!(found.host != Host::Storage && found.place == "header authorization", "{found:?}");
        }
        for token in registry.issued_tokens() {
            assert!(log.exposures(&token).iter().all(|found| found.host == Host::Registry));
        }
    }
}

/// N2, N15: where a redirect may not lead.
#[tokio::test]
async fn n2_redirects_into_private_places_are_refused() {
    let elsewhere = Evil::start(|_| answer(200, &[], "x"));
    let registry = FakeRegistry::start();
    let descriptor = Descriptor::of(media_type::LAYER, b"x");
    registry.put_blob("shop/api", &b"x"[..]);
    for target in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "https://169.254.169.254/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "https://metadata.google.internal/".to_owned(),
        "https://10.0.0.1/".to_owned(),
        "https://192.168.0.1/".to_owned(),
        "https://0.0.0.0/".to_owned(),
        "http://example.com/".to_owned(),
        format!("http://user:pass@127.0.0.1:{}/", elsewhere.port),
        "file:///etc/passwd".to_owned(),
        "https://".to_owned(),
        "\u{1}".to_owned(),
    ] {
        registry.clear_faults();
        // A header cannot hold control characters; such a location is as good as none.
        let location = if target.starts_with('\u{1}') { "http://[" } else { &target };
        registry.fault(Rule::new(Fault::redirect(location)).method("GET"));
        let error = repository(registry.host(), quick()).blob(&descriptor).await.unwrap_err();
        assert!(matches!(error, Error::UnsafePeer { .. }), "{target}: {error:?}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn n2_only_three_redirects_are_followed_and_none_of_a_write() {
    let registry = FakeRegistry::start();
    let descriptor = Descriptor::of(media_type::LAYER, b"x");
    registry.fault(Rule::new(Fault::redirect("/v2/shop/api/blobs/again")).method("GET"));
    let repository = repository(registry.host(), quick());
    let error = repository.blob(&descriptor).await.unwrap_err();
    assert!(matches!(&error, Error::UnsafePeer { reason, .. } if reason.contains('3')), "{error:?}");
    registry.log().assert_len(4);

    registry.clear_faults();
    let elsewhere = Evil::start(|_| answer(201, &[], ""));
    registry.fault(
        Rule::new(Fault::redirect(&format!("http://{}/", elsewhere.host()))).when(shipper_testkit::Request::is_write),
    );
    repository.push_blob(&descriptor, BlobSource::Bytes("x".into())).await.unwrap_err();
    repository.put_manifest(&Sample::image("one").manifest, Some(&tag("v1"))).await.unwrap_err();
    assert!(elsewhere.seen().is_empty());
}

/// N3: a layer goes to the registry itself only.
#[tokio::test]
async fn n3_an_upload_location_elsewhere_gets_nothing() {
    let thief = Evil::start(|_| answer(201, &[], ""));
    let secret = canary("n3");
    let registry = FakeRegistry::builder().auth(Auth::basic("user", &secret)).start();
    let descriptor = Descriptor::of(media_type::LAYER, b"secret layer");
    for location in [
        format!("http://127.0.0.1:{}/upload", thief.port),
        format!("http://localhost:{}/upload", registry.address().port()),
        format!("//127.0.0.1:{}/upload", thief.port),
        format!("http://user@{}/upload", registry.host()),
        "ftp://127.0.0.1/upload".to_owned(),
        "http://[".to_owned(),
    ] {
        registry.clear_faults();
        registry.fault(Rule::new(Fault::Header("location".into(), location.clone())).method("POST"));
        let repository = repository(registry.host(), with_password(registry.host(), "user", &secret));
        let error = repository.push_blob(&descriptor, BlobSource::Bytes("secret layer".into())).await.unwrap_err();
        assert!(matches!(error, Error::UnsafePeer { what: "upload location", .. }), "{location}: {error:?}");
        assert_unprinted(&error, &secret);
    }
    assert!(thief.seen().is_empty());
    // A registry behind a proxy that believes to be https is spoken to as before.
    registry.clear_faults();
    let raw = Evil::start(|seen| match seen.method.as_str() {
        "HEAD" => answer(404, &[], ""),
        "POST" => {
            let host = seen.text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            answer(202, &[("location", &format!("https://{host}/v2/shop/api/blobs/uploads/1?state=a%2Fb"))], "")
        }
        "PUT" => answer(201, &[], ""),
        _ => answer(200, &[], "{}"),
    });
    let repository = repository(&raw.host(), quick());
    repository.push_blob(&descriptor, BlobSource::Bytes("secret layer".into())).await.unwrap();
    let put = raw.seen().into_iter().find(|seen| seen.method == "PUT").unwrap();
    assert_eq!(
        put.target,
        format!("/v2/shop/api/blobs/uploads/1?state=a%2Fb&digest=sha256%3A{}", descriptor.digest.hex())
    );
    assert!(put.text.ends_with("secret layer"));
}

/// N4: whatever a manifest says, requests stay inside the repository.
#[tokio::test]
async fn n4_hostile_digests_form_no_request() {
    let registry = FakeRegistry::start();
    let sample = Sample::image("one");
    let text = String::from_utf8(sample.manifest.bytes().to_vec()).unwrap();
    let repository = repository(registry.host(), quick());
    for hostile in
        ["sha256:../../../../admin/secret?x=", "sha256:", "../..", "sha256:ABC", "sha512:00", "sha256:%2e%2e%2f"]
    {
        let bad = text.replace(sample.blobs[0].0.digest.as_str(), hostile);
        registry.put_manifest("shop/api", Some("v1"), media_type::IMAGE_MANIFEST, bad);
        let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidManifest { .. }), "{hostile}: {error:?}");
    }
    for request in registry.log().requests {
        assert!(request.path == "/v2/" || request.path == "/v2/shop/api/manifests/v1", "{}", request.path);
    }
}

/// N5 over the wire: the media type that was announced counts.
#[tokio::test]
async fn n5_a_manifest_served_as_something_else_is_refused() {
    let registry = FakeRegistry::start();
    let sample = Sample::image("one");
    let repository = repository(registry.host(), quick());
    for served in [media_type::IMAGE_INDEX, media_type::DOCKER_MANIFEST, "application/json", "text/html"] {
        registry.put_manifest("shop/api", Some("v1"), served, sample.manifest.shared_bytes());
        let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
        assert!(matches!(error, Error::InvalidManifest { .. }), "{served}: {error:?}");
    }
}

/// N6: bytes, sizes and claimed digests are checked.
#[tokio::test]
async fn n6_wrong_bytes_are_never_handed_out() {
    let sample = Sample::image("one");
    let size = sample.manifest.bytes().len();
    let (layer, bytes) = &sample.blobs[1];
    let mut faults = vec![
        Fault::Body("banana".into()),
        Fault::Body("".into()),
        Fault::Truncate(10),
        Fault::ResetAfter(10),
        Fault::Header("docker-content-digest".into(), "banana".into()),
        Fault::Header("docker-content-digest".into(), Digest::of(b"other").to_string()),
    ];
    faults.extend((0..20).map(|n| Fault::Flip(n * size / 20)));
    for fault in faults {
        let registry = FakeRegistry::start();
        let repository = repository(registry.host(), quick());
        sample.push(&repository, Some("v1")).await;
        registry.fault(Rule::new(fault.clone()).method("GET"));
        let by_digest = Selector::Digest(sample.manifest.digest().clone());
        for selector in [tag("v1").into(), by_digest] {
            let result = repository.manifest(&selector).await;
            // A changed letter may give another valid document, which then is what the tag names; never under the digest.
            if let Ok(found) = result {
                let found = found.unwrap();
                assert!(matches!(selector, Selector::Tag(_)), "{fault:?}");
                assert!(found.digest().matches(found.bytes()));
            }
        }
        if !matches!(fault, Fault::Header(..)) {
            let error = repository.blob(layer).await.unwrap_err();
            assert!(error.is_corrupt() || error.is_retryable(), "{fault:?}: {error:?}");
            let dir = tempfile::tempdir().unwrap();
            repository.pull_blob(layer, &dir.path().join("blob")).await.unwrap_err();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{fault:?}: something was left");
        }
        let _ = bytes;
    }
}

/// N6: a HEAD that lies about the size or the digest is not believed.
#[tokio::test]
async fn n6_head_answers_are_compared() {
    let registry = FakeRegistry::start();
    let repository = repository(registry.host(), quick());
    let sample = Sample::image("one");
    sample.push(&repository, Some("v1")).await;
    let (descriptor, bytes) = &sample.blobs[0];
    registry.fault(
        Rule::new(Fault::Header("docker-content-digest".into(), Digest::of(b"other").to_string())).method("HEAD"),
    );
    assert!(matches!(repository.has_blob(&descriptor.digest).await, Err(Error::DigestMismatch { .. })));
    assert!(matches!(repository.has_manifest(sample.manifest.digest()).await, Err(Error::DigestMismatch { .. })));
    registry.clear_faults();
    let mut larger = descriptor.clone();
    larger.size += 1;
    let error = repository.push_blob(&larger, BlobSource::Bytes(bytes.clone().into())).await.unwrap_err();
    assert!(matches!(error, Error::SizeMismatch { .. }), "{error:?}");
}

/// N6: after a PUT, both the answer's digest and the tag are compared.
#[tokio::test]
async fn n6_a_put_that_stored_something_else_is_seen() {
    let registry = FakeRegistry::start();
    let repository = repository(registry.host(), quick());
    let sample = Sample::image("one");
    sample.push_blobs(&repository).await;
    let other = Digest::of(b"other").to_string();
    registry.fault(Rule::new(Fault::Header("docker-content-digest".into(), other)).method("PUT").path("/manifests/"));
    assert!(matches!(
        repository.put_manifest(&sample.manifest, Some(&tag("v1"))).await,
        Err(Error::DigestMismatch { .. })
    ));
    registry.clear_faults();
    registry.fault(Rule::new(Fault::status(404)).method("GET").path("/manifests/"));
    assert!(repository.put_manifest(&sample.manifest, Some(&tag("v2"))).await.is_err());
}

/// N7: no answer fills the memory.
#[tokio::test]
async fn n7_endless_answers_end() {
    let endless = |head: &'static str| {
        Evil::start(move |seen| {
            if seen.target == "/v2/" {
                return answer(200, &[], "{}");
            }
            let head = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").into_bytes();
            vec![Act::Say(head), Act::Forever(vec![b' '; 1 << 20], Duration::ZERO)]
        })
    };
    let allowed = |repository: &Repository, limit: u64| {
        let received = repository.stats().bytes_received;
        assert!(received < limit, "{received} bytes were read");
    };
    let raw = endless("200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json");
    let target = repository(&raw.host(), quick());
    let error = target.manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    allowed(&target, 6 << 20);
    let error = target.tags().await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    let blob = Descriptor::of(media_type::LAYER, b"five!");
    let error = target.blob(&blob).await.unwrap_err();
    assert!(matches!(error, Error::SizeMismatch { expected: 5, .. }), "{error:?}");
    allowed(&target, 20 << 20);

    let raw = endless("400 Bad");
    let target = repository(&raw.host(), quick());
    target.manifest(&tag("v1").into()).await.unwrap_err();
    allowed(&target, 2 << 20);

    // Announced instead of sent.
    let raw =
        Evil::start(|_| vec![Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec()), Act::Hang]);
    let error = repository(&raw.host(), quick()).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

/// N7: a token answer is bounded too, and so is the nesting of what is parsed.
#[tokio::test]
async fn n7_token_answers_and_nesting_are_bounded() {
    let registry = FakeRegistry::builder().auth(Auth::bearer("user", "password")).start();
    registry.fault(Rule::new(Fault::Body(vec![b' '; 1 << 20].into())).host(Host::Token));
    let target = repository(registry.host(), with_password(registry.host(), "user", "password"));
    let error = target.manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    let registry = FakeRegistry::start();
    registry.put_manifest("shop/api", Some("v1"), media_type::IMAGE_MANIFEST, "[".repeat(4 << 20));
    let error = repository(registry.host(), quick()).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::InvalidManifest { .. }), "{error:?}");
    // An encoding that nobody asked for is not unpacked.
    registry.fault(Rule::new(Fault::Header("content-encoding".into(), "gzip".into())));
    let error = repository(registry.host(), quick()).manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

/// N8: silence ends in an error, at every place where it can fall.
#[tokio::test]
async fn n8_silent_and_slow_peers_time_out() {
    let head =
        || Act::Say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n".to_vec());
    let drip = |bytes: &[u8]| Act::Forever(bytes.to_vec(), Duration::from_millis(20));
    let cases: [(&str, Vec<Act>); 5] = [
        ("silent", vec![Act::Hang]),
        ("slow header", vec![Act::Say(b"HTTP/1.1 200 OK\r\n".to_vec()), drip(b"x-a: b\r\n")]),
        ("silent body", vec![head(), Act::Hang]),
        ("slow body", vec![head(), drip(b" ")]),
        ("half a body", vec![head(), Act::Say(vec![b' '; 50_000]), Act::Hang]),
    ];
    for (name, acts) in cases {
        let raw = Evil::start(move |_| acts.clone());
        let started = Instant::now();
        let error = repository(&raw.host(), impatient()).manifest(&tag("v1").into()).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{name}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
        assert!(error.is_unknown() && error.is_retryable());
    }
}

/// N8: an upload that the peer does not read stops; one that it reads slowly goes on.
#[tokio::test]
async fn n8_a_stalled_upload_stops_and_a_slow_one_does_not() {
    // Large enough for no socket buffer to swallow.
    let bytes: Vec<u8> = vec![7; 32 << 20];
    let descriptor = Descriptor::of(media_type::LAYER, &bytes);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let slow = Arc::new(AtomicUsize::new(0));
    let pace = Arc::clone(&slow);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let pace = Arc::clone(&pace);
            tokio::spawn(async move {
                let mut buffer = vec![0; 256 * 1024];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
                let reply = match head.split(' ').next().unwrap_or_default() {
                    "HEAD" => "HTTP/1.1 404 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                    "GET" => "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
                    "POST" => "HTTP/1.1 202 Go\r\nconnection: close\r\nlocation: /v2/u\r\ncontent-length: 0\r\n\r\n",
                    _ => {
                        if pace.load(Ordering::Relaxed) == 0 {
                            std::future::pending::<()>().await;
                        }
                        let mut left = 32 << 20;
                        let body = head.find("\r\n\r\n").map_or(count, |end| end + 4);
                        left -= count - body;
                        while left > 0 {
                            left -= stream.read(&mut buffer).await.unwrap_or(left);
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        "HTTP/1.1 201 Done\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                    }
                };
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    let repository = repository(&host, impatient());
    let error = repository.push_blob(&descriptor, BlobSource::Bytes(bytes.clone().into())).await.unwrap_err();
    assert!(matches!(&error, Error::Timeout { what, .. } if what.contains("stalled")), "{error:?}");
    slow.store(1, Ordering::Relaxed);
    repository.push_blob(&descriptor, BlobSource::Bytes(bytes.into())).await.unwrap();
}

/// N9: what is worth repeating is repeated, within bounds.
#[tokio::test]
async fn n9_failures_are_repeated_within_bounds() {
    let sample = Sample::image("one");
    for fault in [
        Fault::status(500),
        Fault::status(502),
        Fault::status(503),
        Fault::status(504),
        Fault::status(408),
        Fault::throttled(0),
        Fault::Reset,
        Fault::LoseReply,
        Fault::Truncate(3),
        Fault::ResetAfter(3),
    ] {
        let registry = FakeRegistry::start();
        let repository = repository(registry.host(), quick());
        // Each step fails twice.
        for method in ["HEAD", "GET", "POST"] {
            registry.fault(Rule::new(fault.clone()).method(method).times(2));
        }
        registry.fault(Rule::new(fault.clone()).method("PUT").path("/blobs/").times(2));
        registry.fault(Rule::new(fault.clone()).method("PUT").path("/manifests/").times(2));
        sample.push(&repository, Some("v1")).await;
        assert_eq!(repository.manifest(&tag("v1").into()).await.unwrap().unwrap(), sample.manifest, "{fault:?}");
        assert_eq!(repository.blob(&sample.blobs[1].0).await.unwrap(), sample.blobs[1].1);
        if !matches!(fault, Fault::Truncate(_) | Fault::ResetAfter(_)) {
            assert!(repository.stats().retries >= 8, "{fault:?}: {:?}", repository.stats());
        }
    }
    // G14: under constant failure each step has five tries.
    let registry = FakeRegistry::start();
    registry.fault(Rule::new(Fault::status(503)));
    let repository = repository(registry.host(), quick());
    let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
    assert!(error.is_unknown() && error.is_retryable(), "{error:?}");
    registry.log().assert_len(5);
    for status in [400, 404, 405, 409, 501, 507] {
        registry.clear_faults();
        registry.clear_log();
        registry.fault(Rule::new(Fault::status(status)));
        assert!(repository.manifest(&tag("v1").into()).await.is_err(), "{status}");
        registry.log().assert_count("GET", "/manifests/", 1);
    }
}

/// G14: each step of a push and of a pull has five tries under constant failure, whatever it is made of.
#[tokio::test]
async fn g14_no_step_is_tried_more_than_five_times() {
    let sample = Sample::image("one");
    let (blob, bytes) = (&sample.blobs[1].0, &sample.blobs[1].1);
    let dir = tempfile::tempdir().unwrap();
    for fault in [Fault::status(503), Fault::throttled(0), Fault::Reset] {
        let registry = FakeRegistry::start();
        // Each client has a budget of its own.
        let fresh = || repository(registry.host(), quick());
        sample.push(&fresh(), Some("v1")).await;
        let failing = |method: &str, path: &str| {
            registry.clear_faults();
            registry.clear_log();
            registry.fault(Rule::new(fault.clone()).method(method).path(path));
        };
        let new = (Descriptor::of(media_type::LAYER, b"new"), BlobSource::Bytes("new".into()));

        failing("HEAD", "/blobs/");
        fresh().push_blob(&new.0, new.1.clone()).await.unwrap_err();
        registry.log().assert_len(5);

        failing("POST", "/blobs/");
        fresh().push_blob(&new.0, new.1.clone()).await.unwrap_err();
        registry.log().assert_count("POST", "/blobs/", 5);
        registry.log().assert_count("PUT", "/blobs/", 0);

        failing("PUT", "/blobs/");
        fresh().push_blob(&new.0, new.1.clone()).await.unwrap_err();
        let log = registry.log();
        log.assert_count("PUT", "/blobs/", 5);
        // Before an upload begins again, the registry is asked whether it has arrived after all.
        let steps: Vec<&str> = log.requests.iter().map(|request| request.method.as_str()).collect();
        assert_eq!(steps, ["HEAD", "POST", "PUT"].repeat(5), "{fault:?}\n{log}");

        failing("PUT", "/manifests/");
        fresh().put_manifest(&sample.manifest, Some(&tag("v2"))).await.unwrap_err();
        registry.log().assert_len(5);

        failing("GET", "/manifests/");
        fresh().manifest(&tag("v1").into()).await.unwrap_err();
        registry.log().assert_len(5);

        failing("GET", "/blobs/");
        fresh().blob(blob).await.unwrap_err();
        registry.log().assert_len(5);
        registry.clear_log();
        fresh().pull_blob(blob, &dir.path().join("blob")).await.unwrap_err();
        registry.log().assert_len(5);
        registry.clear_log();
        let to = FakeRegistry::start();
        shipper_oci::copy_blob(&fresh(), blob, &repository(to.host(), quick())).await.unwrap_err();
        registry.log().assert_count("GET", "/blobs/", 5);
        assert_eq!(to.blobs("shop/api"), Vec::<String>::new());
        registry.clear_faults();
        assert_eq!(&fresh().blob(blob).await.unwrap(), bytes);
    }
}

/// A body that breaks off counts as a try of the step that it belongs to.
#[tokio::test]
async fn g14_a_body_that_always_breaks_off_is_read_five_times() {
    let sample = Sample::image("one");
    let registry = FakeRegistry::start();
    let fresh = || repository(registry.host(), quick());
    sample.push(&fresh(), Some("v1")).await;
    registry.fault(Rule::new(Fault::Truncate(1)).method("GET"));
    registry.clear_log();
    fresh().manifest(&tag("v1").into()).await.unwrap_err();
    registry.log().assert_len(5);
    registry.clear_log();
    fresh().blob(&sample.blobs[1].0).await.unwrap_err();
    registry.log().assert_len(5);
    // One request in two fails before it is answered, the other one in its body.
    registry.clear_faults();
    registry.clear_log();
    for nth in 1..=10 {
        let fault = if nth % 2 == 0 { Fault::Truncate(1) } else { Fault::status(503) };
        registry.fault(Rule::new(fault).method("GET").nth(nth));
    }
    fresh().manifest(&tag("v1").into()).await.unwrap_err();
    registry.log().assert_len(5);
}

#[tokio::test]
async fn n9_retry_after_is_kept() {
    let registry = FakeRegistry::start();
    let mut options = quick();
    options.retry.retry_after_cap = Duration::from_millis(300);
    let repository = repository(registry.host(), options);
    Sample::image("one").push(&repository, Some("v1")).await;
    registry.fault(Rule::new(Fault::throttled(3600)).method("GET").times(1));
    let started = Instant::now();
    repository.manifest(&tag("v1").into()).await.unwrap().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    registry.fault(Rule::new(Fault::throttled(7)));
    let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
    assert!(matches!(error, Error::RateLimited { retry_after: Some(wait), .. } if wait.as_secs() == 7), "{error:?}");
    assert!(error.hint().unwrap().contains("7s"));
}

/// N10: a token that expires at any request of a push is renewed there.
#[tokio::test]
async fn n10_tokens_that_expire_at_any_step_are_renewed() {
    let sample = Sample::image("one");
    for uses in 1..8 {
        for profile in [Profile::Spec, Profile::Distribution, Profile::Ghcr] {
            let auth = Auth::bearer("user", "password").expires_after(uses).expires_in(None);
            let registry = FakeRegistry::builder().profile(profile).auth(auth).start();
            let repository = repository(registry.host(), with_password(registry.host(), "user", "password"));
            sample.push(&repository, Some("v1")).await;
            assert_eq!(repository.manifest(&tag("v1").into()).await.unwrap().unwrap(), sample.manifest);
            assert_eq!(repository.tags().await.unwrap(), [tag("v1")]);
        }
    }
    // All tokens at once, between steps.
    let registry = FakeRegistry::builder().auth(Auth::bearer("user", "password").access_token_field()).start();
    let repository = repository(registry.host(), with_password(registry.host(), "user", "password"));
    sample.push(&repository, Some("v1")).await;
    registry.revoke_tokens();
    repository.manifest(&tag("v1").into()).await.unwrap().unwrap();
    registry.revoke_tokens();
    repository.blob(&sample.blobs[0].0).await.unwrap();
    registry.revoke_tokens();
    repository.put_manifest(&sample.manifest, Some(&tag("v2"))).await.unwrap();
}

/// One token for many requests that start together.
#[tokio::test(flavor = "multi_thread")]
async fn n10_a_token_is_fetched_once_for_all_who_wait() {
    let registry =
        FakeRegistry::builder().auth(Auth::bearer("user", "password")).latency(Duration::from_millis(20)).start();
    registry.create_repository("shop/api");
    let repository = repository(registry.host(), with_password(registry.host(), "user", "password"));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16 {
        let repository = repository.clone();
        tasks.spawn(async move { repository.manifest(&tag(&format!("t{n}")).into()).await.unwrap() });
    }
    assert!(tasks.join_all().await.iter().all(Option::is_none));
    assert_eq!(registry.issued_tokens().len(), 1);
    let log = registry.log();
    // One ping, one token, and each question once.
    log.assert_len(18);
}

/// Credentials that only identity tokens allow, and pulls without any.
#[tokio::test]
async fn n10_identity_tokens_and_anonymous_tokens_work() {
    use shipper_oci::{Credential, Credentials};
    let registry = FakeRegistry::builder().auth(Auth::bearer("user", "refresh-me-please").anonymous_pull()).start();
    let mut options = quick();
    let credential = Credential::IdentityToken("refresh-me-please".into());
    options.credentials = Credentials::fixed([(registry.host().parse().unwrap(), credential)].into());
    Sample::image("one").push(&repository(registry.host(), options), Some("v1")).await;
    assert!(registry.log().exposures("refresh-me-please").iter().all(|found| found.host == Host::Token));
    let stranger = repository(registry.host(), quick());
    assert!(stranger.manifest(&tag("v1").into()).await.unwrap().is_some());
    assert!(stranger.manifest(&tag("v2").into()).await.unwrap().is_none());
    let error = stranger.put_manifest(&Sample::image("one").manifest, Some(&tag("v3"))).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. } | Error::Denied { .. }), "{error:?}");
}

/// N11: a token server in trouble is never read as "the image is not there".
#[tokio::test]
async fn n11_a_failing_token_server_is_an_error() {
    for fault in [
        Fault::status(500),
        Fault::status(403),
        Fault::status(404),
        Fault::Body("garbage".into()),
        Fault::Body("{}".into()),
        Fault::Body(r#"{"token":""}"#.into()),
        Fault::Body(r#"{"token":"a\u0000b"}"#.into()),
        Fault::Body(r#"{"token":"a\r\nX-Injected: 1"}"#.into()),
        Fault::Body(r#"{"token":17}"#.into()),
        Fault::Reset,
        Fault::Truncate(5),
    ] {
        let registry = FakeRegistry::builder().auth(Auth::bearer("user", "password").anonymous_pull()).start();
        registry.create_repository("shop/api");
        registry.fault(Rule::new(fault.clone()).host(Host::Token));
        for options in [with_password(registry.host(), "user", "password"), quick()] {
            let repository = repository(registry.host(), options);
            for result in [
                repository.manifest(&tag("v1").into()).await.map(|found| found.is_some()),
                repository.has_blob(&Digest::of(b"x")).await,
                repository.tags().await.map(|tags| !tags.is_empty()),
            ] {
                let error = result.unwrap_err();
                assert!(error.is_unknown(), "{fault:?}: {error:?}");
            }
        }
    }
}

/// N11: which 404 is proof, and which is not.
#[tokio::test]
async fn n11_only_a_registrys_own_404_proves_absence() {
    let manifest_unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}"#;
    let with_v2 = |v2: u16, body: &'static str| {
        let raw = Evil::start(move |seen| {
            if seen.target != "/v2/" {
                answer(404, &[("content-type", "application/json")], body)
            } else if v2 == 401 {
                challenge("Negotiate")
            } else {
                answer(v2, &[], "")
            }
        });
        (repository(&raw.host(), quick()), raw)
    };
    for (v2, body, proof) in [
        (200, manifest_unknown, true),
        (200, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, true),
        (200, "", true),
        (200, "404 page not found\n", true),
        (404, manifest_unknown, false),
        (404, "", false),
        (500, "", false),
        (401, manifest_unknown, false),
        (200, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#, false),
        (200, r#"{"errors":[{"code":"DENIED"},{"code":"MANIFEST_UNKNOWN"}]}"#, false),
    ] {
        let (repository, _raw) = with_v2(v2, body);
        match repository.manifest(&tag("v1").into()).await {
            Ok(None) => assert!(proof, "{v2} {body}"),
            Ok(Some(_)) => panic!("there is none"),
            Err(error) => assert!(!proof && error.is_unknown() && !error.is_not_found(), "{v2} {body}: {error:?}"),
        }
    }
    // What a stranger is told does not count where the registry asks for authentication.
    let raw = Evil::start(|seen| {
        let authorized = seen.text.to_ascii_lowercase().contains("authorization: basic");
        match (seen.target.as_str(), authorized) {
            ("/v2/", false) => challenge("Basic realm=\"x\""),
            (_, true) => {
                answer(200, &[("content-type", media_type::IMAGE_MANIFEST)], Sample::image("one").manifest.bytes())
            }
            _ => answer(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
        }
    });
    let known = repository(&raw.host(), with_password(&raw.host(), "user", "password"));
    assert!(known.manifest(&tag("v1").into()).await.unwrap().is_some());
    let stranger = repository(&raw.host(), quick());
    assert!(matches!(stranger.manifest(&tag("v1").into()).await, Err(Error::Unauthorized { .. })));
}

/// G10: with every fault at every probe (14 probes, 27 faults), what is there is never reported as absent.
#[tokio::test(flavor = "multi_thread")]
async fn g10_no_fault_makes_present_things_absent() {
    let faults = || {
        let mut all: Vec<Fault> =
            [301, 400, 401, 402, 403, 405, 408, 409, 410, 418, 425, 429, 451, 500, 501, 502, 503, 504, 511]
                .map(Fault::status)
                .into();
        all.extend([
            Fault::status(404),
            Fault::Reset,
            Fault::LoseReply,
            Fault::Truncate(1),
            Fault::Body("".into()),
            Fault::Body("null".into()),
            Fault::Body("<html>login</html>".into()),
            Fault::Header("content-type".into(), "text/html".into()),
        ]);
        all
    };
    let sample = Sample::image("one");
    let (registry, other) = (FakeRegistry::start(), FakeRegistry::start());
    let mut options = quick();
    options.retry.tries = 1;
    let repository = repository(registry.host(), options.clone());
    let elsewhere = support::repository(other.host(), options);
    sample.push(&repository, Some("v1")).await;
    let note =
        artifact("application/vnd.example.note", &[], Some(sample.manifest.descriptor()), &BTreeMap::new()).unwrap();
    for (descriptor, bytes) in note.blobs {
        repository.push_blob(&descriptor, BlobSource::Bytes(bytes.into())).await.unwrap();
    }
    repository.put_referrer(&note.manifest).await.unwrap();
    let (digest, blob) = (sample.manifest.digest(), &sample.blobs[0].0);
    let (v1, dir) = (Selector::Tag(tag("v1")), tempfile::tempdir().unwrap());
    let mut asked = 0;
    for (number, fault) in std::iter::once(None).chain(faults().into_iter().map(Some)).enumerate() {
        registry.clear_faults();
        registry.fault(Rule::new(fault.clone().unwrap_or(Fault::Delay(Duration::ZERO))));
        let layout = Store::layout(dir.path().join(number.to_string())).repository(&"shop/api".parse().unwrap());
        let answers = [
            ("manifest by tag", repository.manifest(&v1).await.map(|found| found.is_some())),
            ("manifest by digest", repository.manifest(&digest.clone().into()).await.map(|found| found.is_some())),
            ("what a tag names", repository.tagged_digest(&tag("v1")).await.map(|found| found.is_some())),
            ("has manifest", repository.has_manifest(digest).await),
            ("has blob", repository.has_blob(&blob.digest).await),
            ("blob", repository.blob(blob).await.map(|_| true)),
            ("check blob", repository.check_blob(blob).await.map(|()| true)),
            ("pull blob", repository.pull_blob(blob, &dir.path().join("blob")).await.map(|()| true)),
            ("copy blob", shipper_oci::copy_blob(&repository, blob, &elsewhere).await.map(|_| true)),
            ("copy", shipper_oci::copy(&repository, &v1, &layout, &[tag("v1")]).await.map(|_| true)),
            ("tags", repository.tags().await.map(|tags| !tags.is_empty())),
            ("referrers", repository.referrers(digest, None).await.map(|found| !found.is_empty())),
            ("standing", repository.standing().await.map(|found| found.is_some_and(|found| found.exists))),
            (
                "content",
                match check_content(&repository, &sample.manifest).await.faults.into_iter().next() {
                    None => Ok(true),
                    Some(found) => Err(found.error),
                },
            ),
        ];
        for (probe, answer) in answers {
            asked += 1;
            match answer {
                Ok(true) => {}
                // `null` and an empty list of a page are the registry's word for "no tags": that is a lie, not a fault.
                Ok(false) => panic!("{probe} under {fault:?} says absent"),
                Err(error) => {
                    assert!(!error.is_not_found(), "{probe} under {fault:?}: {error:?}");
                    assert!(fault.is_some(), "{probe}: {error:?}");
                }
            }
        }
        let _ = std::fs::remove_file(dir.path().join("blob"));
        for digest in other.blobs("shop/api") {
            other.delete_blob("shop/api", &digest);
        }
    }
    assert!(asked >= 12 * 25, "{asked}");
}

/// A blob store behind the registry that refuses or misses is trouble, not absence and not a wrong password.
#[tokio::test]
async fn g10_the_target_of_a_redirect_neither_challenges_nor_proves_absence() {
    let secret = canary("storage");
    for status in [401, 403, 404] {
        let storage = Evil::start(move |_| answer(status, &[("www-authenticate", "Basic realm=\"x\"")], ""));
        let registry = FakeRegistry::builder().auth(Auth::bearer("user", &secret)).start();
        registry.fault(Rule::new(Fault::redirect(&format!("http://{}/x", storage.host()))).path("/blobs/"));
        let repository = repository(registry.host(), with_password(registry.host(), "user", &secret));
        let blob = Descriptor::of(media_type::LAYER, b"x");
        for error in [repository.blob(&blob).await.unwrap_err(), repository.has_blob(&blob.digest).await.unwrap_err()] {
            assert!(matches!(error, Error::Registry { .. }) && error.is_unknown(), "{status}: {error:?}");
            assert!(error.to_string().contains(&storage.host()), "{error}");
        }
        assert!(storage.seen().iter().all(|seen| !seen.text.to_ascii_lowercase().contains("authorization")));
        let log = registry.log();
        assert!(
            log.exposures(&secret).iter().all(|found| found.host == Host::Token),
            "the password went to the registry"
        );
    }
}

/// G3: a registry that repeats what it was sent makes this client print no part of a credential, wherever it says it.
#[tokio::test]
async fn g3_what_a_registry_repeats_of_a_request_is_not_shown() {
    let secret = canary("repeated");
    for (basic, place) in (0..10).map(|number| (number % 2 == 0, number / 2)) {
        let raw = Evil::start(move |seen| {
            let own = seen.header("host");
            if seen.target.starts_with("/token") {
                return answer(200, &[], r#"{"token":"a-token-of-some-length"}"#);
            }
            let sent = seen.header("authorization");
            let Some((_, sent)) = sent.split_once(' ') else {
                return match basic {
                    true => challenge("Basic realm=\"x\""),
                    false => challenge(&format!("Bearer realm=\"http://{own}/token\",service=\"x\"")),
                };
            };
            let plain = sent.trim_end_matches('=');
            let envelope =
                format!(r#"{{"errors":[{{"code":"{sent}","message":"you sent {}{sent}"}}]}}"#, "x".repeat(180));
            match place {
                0 => answer(400, &[], envelope),
                1 => answer(418, &[], format!("authorization: {sent}")),
                2 => answer(200, &[("content-type", &format!("text/{plain}"))], "{}"),
                3 => answer(200, &[], format!(r#"{{"schemaVersion":"{sent}","mediaType":"{sent}"}}"#)),
                _ => answer(302, &[("location", &format!("http://{plain}.example.com/"))], ""),
            }
        });
        let repository = repository(&raw.host(), with_password(&raw.host(), "user", &secret));
        let error = repository.manifest(&tag("v1").into()).await.unwrap_err();
        for secret in [secret.as_str(), "a-token-of-some-length"] {
            assert_unprinted(&error, secret);
        }
    }
}

/// N13: nothing that a peer says makes this client panic.
#[tokio::test]
async fn n13_broken_answers_are_errors() {
    for (status, headers) in [
        (202, vec![]),
        (202, vec![("location", "")]),
        (202, vec![("location", "\u{7f}")]),
        (202, vec![("location", "http://")]),
        (202, vec![("location", "?")]),
        (201, vec![]),
        (200, vec![("docker-content-digest", "x")]),
        (204, vec![("location", "/a")]),
        (401, vec![("www-authenticate", "Bearer realm=\"\u{e9}\"")]),
        (401, vec![("www-authenticate", "Bearer")]),
        (401, vec![("www-authenticate", "\"")]),
        (401, vec![]),
        (999, vec![]),
        (429, vec![("retry-after", "99999999999999999999")]),
        (429, vec![("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]),
        (429, vec![("retry-after", "-1")]),
    ] {
        let owned: Vec<(String, String)> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let raw = Evil::start(move |seen| {
            let headers: Vec<(&str, &str)> = owned.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            if seen.method == "HEAD" { answer(404, &[], "") } else { answer(status, &headers, "{}") }
        });
        for options in [quick(), with_password(&raw.host(), "user", "password")] {
            let repository = repository(&raw.host(), options);
            let sample = Sample::image("one");
            let (descriptor, bytes) = &sample.blobs[0];
            let pushed = repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await;
            assert!(pushed.is_err(), "{status} {headers:?}: {pushed:?}");
            let put = repository.put_manifest(&sample.manifest, Some(&tag("v1"))).await;
            assert!(put.is_err(), "{status} {headers:?}");
            let _ = repository.mount_blob(descriptor, &"x".parse().unwrap()).await;
            let _ = repository.tags().await;
            let _ = repository.delete_tag(&tag("v1")).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("SHIPPER_SOAK").is_some() { 5_000 } else { 200 }))]

    /// N13: answers with random damage, everywhere in head and body.
    #[test]
    fn n13_damaged_answers_never_panic(
        kind in 0..4_usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let sample = Sample::image("one");
        let base = match kind {
            0 => answer(200, &[("content-type", media_type::IMAGE_MANIFEST)], sample.manifest.bytes()),
            1 => answer(401, &[("www-authenticate", "Bearer realm=\"http://127.0.0.1:1/t\",service=\"s\",scope=\"repository:a:pull\"")], ""),
            2 => answer(202, &[("location", "/v2/shop/api/blobs/uploads/1"), ("docker-content-digest", sample.manifest.digest().as_str())], ""),
            _ => answer(200, &[("link", "</v2/a>; rel=\"next\"")], r#"{"name":"a","tags":["x","y"]}"#),
        };
        let Some(Act::Say(mut bytes)) = base.into_iter().next() else { unreachable!() };
        for (place, byte) in edits {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(1));
        }
        let raw = Evil::start(move |_| vec![Act::Say(bytes.clone())]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut options = with_password(&raw.host(), "user", "password");
            options.retry.tries = 1;
            options.timeouts = impatient().timeouts;
            let repository = repository(&raw.host(), options);
            if let Ok(Some(found)) = repository.manifest(&tag("v1").into()).await {
                assert!(found.digest().matches(found.bytes()));
            }
            let (descriptor, bytes) = &sample.blobs[0];
            let _ = repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await;
            let _ = repository.tags().await;
        });
    }

    /// G3: whatever the replies, the password and the token appear nowhere but at their host, and in no error.
    #[test]
    fn g3_hostile_scripts_do_not_get_the_password(
        script in proptest::collection::vec(0..9_usize, 1..8),
        basic in any::<bool>(),
    ) {
        let (secret, token) = (canary("password"), canary("token").replace('/', "-"));
        let thief = Evil::start(|_| answer(200, &[], r#"{"token":"stolen"}"#));
        let port = thief.port;
        let step = AtomicUsize::new(0);
        let given = token.clone();
        let raw = Evil::start(move |seen| {
            let host = format!("127.0.0.1:{port}");
            let next = script[step.fetch_add(1, Ordering::Relaxed) % script.len()];
            if seen.target.starts_with("/token") {
                return if next == 8 { answer(307, &[("location", &format!("http://{host}/"))], "") } else { answer(200, &[], format!(r#"{{"token":"{given}"}}"#)) };
            }
            let own = seen.text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            match next {
                0 => answer(302, &[("location", &format!("http://{host}/x?sig=1"))], ""),
                1 => challenge(&format!("Bearer realm=\"http://localhost:{port}/token\",service=\"x\"")),
                2 => answer(202, &[("location", &format!("http://{host}/upload"))], ""),
                3 if basic => challenge("Basic realm=\"x\""),
                3 => challenge(&format!("Bearer realm=\"http://{own}/token\",service=\"x\"")),
                // What was sent, echoed.
                4 => answer(400, &[], format!(r#"{{"errors":[{{"code":"X","message":{:?}}}]}}"#, seen.text)),
                5 => answer(200, &[("link", &format!("<http://{host}/v2/next>; rel=\"next\""))], r#"{"tags":["a"]}"#),
                6 => answer(503, &[("retry-after", "0")], ""),
                7 => answer(403, &[], "denied"),
                _ => answer(404, &[], ""),
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let repository = repository(&raw.host(), with_password(&raw.host(), "user", &secret));
            let sample = Sample::image("one");
            let (descriptor, bytes) = &sample.blobs[0];
            let errors = [
                repository.manifest(&tag("v1").into()).await.err(),
                repository.push_blob(descriptor, BlobSource::Bytes(bytes.clone().into())).await.err(),
                repository.put_manifest(&sample.manifest, Some(&tag("v1"))).await.err(),
                repository.tags().await.err(),
                repository.delete_tag(&tag("v1")).await.err(),
            ];
            for error in errors.iter().flatten() {
                assert_unprinted(error, &secret);
                assert_unprinted(error, &token);
            }
            let printed = format!("{repository:?}");
            assert!(forms_in(printed.as_bytes(), &secret).is_empty());
        });
        for seen in thief.seen() {
            prop_assert!(!seen.text.to_ascii_lowercase().contains("authorization"), "{}", seen.text);
            prop_assert!(forms_in(seen.text.as_bytes(), &secret).is_empty());
            prop_assert!(forms_in(seen.text.as_bytes(), &token).is_empty());
        }
        // Not even in a URL to the own host, which proxies write down.
        for seen in raw.seen() {
            prop_assert!(forms_in(seen.target.as_bytes(), &secret).is_empty());
        }
    }
}
