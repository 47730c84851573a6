//! The fake registry by itself: wire behaviour of each profile, faults, credentials, the log.

use std::time::Duration;

use crate::client::{self, Client, IMAGE, INDEX, Image};
use shipper_testkit::{Auth, FakeRegistry, Fault, Host, Mutability, Profile, Rule};

const PROFILES: [Profile; 4] = [Profile::Spec, Profile::Distribution, Profile::Ecr, Profile::Ghcr];

fn start(profile: Profile) -> FakeRegistry {
    FakeRegistry::builder().profile(profile).start()
}

#[test]
fn a_pushed_image_comes_back_with_equal_bytes() {
    for profile in PROFILES {
        let registry = start(profile);
        registry.create_repository("team/app");
        let client = Client::new(&registry.url());
        let image = Image::new("hello");
        image.push(&client, "team/app", "v1");
        let pulled = client.get_accepting(&format!("/v2/team/app/manifests/{}", image.digest), IMAGE);
        assert_eq!((pulled.status, &pulled.body), (200, &image.manifest), "{profile:?}");
        let blob = client.get(&format!("/v2/team/app/blobs/{}", image.config_digest));
        assert_eq!(blob.body, image.config, "{profile:?}");
        assert_eq!(registry.tags("team/app"), [("v1".to_owned(), image.digest.clone())], "{profile:?}");
    }
}

#[test]
fn redirected_blobs_refuse_credentials_and_other_signatures() {
    let registry = start(Profile::Ecr);
    let digest = registry.put_blob("app", "content");
    let client = Client::new(&registry.url()).without_redirects();
    let redirect = client.get(&format!("/v2/app/blobs/{digest}"));
    assert_eq!(redirect.status, 307);
    let location = redirect.header("location");
    assert!(location.starts_with(&format!("http://{}/app/{digest}?", registry.storage_host())), "{location}");
    assert_eq!(client.send("GET", &location, &[], b"").body, "content");
    assert_eq!(client.send("GET", &location, &[("authorization", "Basic eDp5")], b"").status, 400);
    assert_eq!(client.send("GET", &location.replace(registry.signature(), "0"), &[], b"").status, 403);
    assert_eq!(registry.log().requests.iter().filter(|request| request.host == Host::Storage).count(), 3);
}

#[test]
fn ecr_needs_the_repository_and_drops_uploads_without_it() {
    let registry = start(Profile::Ecr);
    let client = Client::new(&registry.url());
    assert!(client.try_send("POST", "/v2/app/blobs/uploads/", &[], b"").is_err());
    assert_eq!(client.get("/v2/app/manifests/v1").error_code(), "NAME_UNKNOWN");
    let kind = FakeRegistry::builder().profile(Profile::Ecr).drop_uploads_to_missing(false).start();
    let answer = Client::new(&kind.url()).send("POST", "/v2/app/blobs/uploads/", &[], b"");
    assert_eq!((answer.status, answer.error_code().as_str()), (404, "NAME_UNKNOWN"));
}

#[test]
fn ecr_loses_the_second_patch_and_answers_201() {
    let registry = start(Profile::Ecr);
    registry.create_repository("app");
    let client = Client::new(&registry.url());
    let location = client.send("POST", "/v2/app/blobs/uploads/", &[], b"").header("location");
    let first = vec![7_u8; 5 << 20];
    assert_eq!(client.send("PATCH", &location, &[], &first).status, 201);
    assert_eq!(client.send("PATCH", &location, &[], b"tail").status, 201);
    let whole = [&first[..], b"tail"].concat();
    let refused = client.finish(&location, &client::digest(&whole), b"");
    assert_eq!(refused.error_code(), "DIGEST_INVALID");
    let location = client.send("POST", "/v2/app/blobs/uploads/", &[], b"").header("location");
    assert_eq!(client.send("PATCH", &location, &[], b"small").status, 201);
    assert_eq!(client.send("PATCH", &location, &[], b"tail").status, 400);
}

#[test]
fn ghcr_takes_four_mebibytes_in_one_patch() {
    let registry = start(Profile::Ghcr);
    let client = Client::new(&registry.url());
    let location = client.send("POST", "/v2/o/app/blobs/uploads/", &[], b"").header("location");
    assert!(location.starts_with('/'), "{location}");
    assert_eq!(client.send("PATCH", &location, &[], &vec![0; (4 << 20) + 1]).status, 413);
    assert_eq!(client.send("PATCH", &location, &[], &vec![0; 4 << 20]).status, 202);
}

#[test]
fn a_patch_that_leaves_a_gap_is_refused_with_the_offset() {
    let registry = start(Profile::Spec);
    let client = Client::new(&registry.url());
    let location = client.send("POST", "/v2/app/blobs/uploads/", &[], b"").header("location");
    assert_eq!(client.send("PATCH", &location, &[("content-range", "0-4")], b"hello").status, 202);
    let refused = client.send("PATCH", &location, &[("content-range", "9-12")], b"gap!");
    assert_eq!((refused.status, refused.header("range").as_str()), (416, "0-4"));
    assert_eq!(client.send("GET", &location, &[], b"").header("range"), "0-4");
    assert_eq!(client.finish(&location, &client::digest(b"hello"), b"").status, 201);
}

#[test]
fn mounts_follow_the_profile() {
    let mounted = |registry: &FakeRegistry, name: &str, from: &str, digest: &str| {
        let target = format!("/v2/{name}/blobs/uploads/?mount={digest}&from={from}");
        Client::new(&registry.url()).send("POST", &target, &[], b"").status
    };
    let spec = start(Profile::Spec);
    let digest = spec.put_blob("a/x", "blob");
    assert_eq!(mounted(&spec, "b/y", "a/x", &digest), 201);
    assert_eq!(mounted(&spec, "b/z", "a/other", &digest), 202);

    let ghcr = start(Profile::Ghcr);
    ghcr.put_blob("a/x", "blob");
    assert_eq!(mounted(&ghcr, "b/y", "a/x", &digest), 202);
    assert_eq!(mounted(&ghcr, "a/y", "a/x", &digest), 201);

    let ecr = start(Profile::Ecr);
    ecr.put_blob("x", "blob");
    ecr.create_repository("y");
    ecr.set_blob_mounting(true);
    assert_eq!(mounted(&ecr, "y", "x", &digest), 202, "no manifest refers to it");
    let manifest = format!(r#"{{"schemaVersion":2,"config":{{"digest":"{digest}"}},"layers":[]}}"#);
    ecr.put_manifest("x", Some("v1"), IMAGE, manifest);
    assert_eq!(mounted(&ecr, "y", "x", &digest), 201);
    ecr.set_blob_mounting(false);
    ecr.create_repository("z");
    assert_eq!(mounted(&ecr, "z", "x", &digest), 202);
}

#[test]
fn an_immutable_tag_refuses_even_equal_bytes() {
    let registry = start(Profile::Ecr);
    registry.set_mutability("app", Mutability::ImmutableExcept(vec!["latest*".to_owned()]));
    let client = Client::new(&registry.url());
    let image = Image::new("one");
    image.push(&client, "app", "h-1");
    image.push(&client, "app", "latest");
    assert_eq!(image.put(&client, "app", "h-1").error_code(), "TAG_INVALID");
    assert_eq!(image.put(&client, "app", "latest").status, 201);
    assert_eq!(registry.tag_history("app", "h-1"), std::slice::from_ref(&image.digest));
    assert_eq!(registry.tag_history("app", "latest").len(), 2);
}

#[test]
fn a_manifest_needs_its_blobs_and_an_index_its_children() {
    let registry = start(Profile::Spec);
    let client = Client::new(&registry.url());
    let image = Image::new("one");
    let refused = image.put(&client, "app", "v1");
    assert_eq!((refused.status, refused.error_code().as_str()), (404, "MANIFEST_BLOB_UNKNOWN"));
    let index = image.index();
    let put = || client.send("PUT", "/v2/app/manifests/all", &[("content-type", INDEX)], index.as_bytes());
    assert_eq!(put().status, 404);
    image.push(&client, "app", "v1");
    assert_eq!(put().status, 201);
}

#[test]
fn referrers_are_listed_filtered_and_paged() {
    let registry = FakeRegistry::builder().page_size(2).start();
    let client = Client::new(&registry.url());
    let image = Image::new("subject");
    image.push(&client, "app", "v1");
    for number in 0..3 {
        let kind = if number == 0 { "application/x.a" } else { "application/x.b" };
        let artifact = format!(
            r#"{{"schemaVersion":2,"artifactType":"{kind}","annotations":{{"n":"{number}"}},"config":{{"digest":"{}"}},"layers":[],"subject":{{"digest":"{}"}}}}"#,
            image.config_digest, image.digest
        );
        let target = format!("/v2/app/manifests/{}", client::digest(artifact.as_bytes()));
        let stored = client.send("PUT", &target, &[("content-type", IMAGE)], artifact.as_bytes());
        assert_eq!(stored.header("oci-subject"), image.digest);
    }
    let first = client.get(&format!("/v2/app/referrers/{}", image.digest));
    assert_eq!(first.json()["manifests"].as_array().map(Vec::len), Some(2));
    let second = client.get(&first.next());
    assert_eq!(second.json()["manifests"].as_array().map(Vec::len), Some(1));
    assert!(second.header("link").is_empty());
    let filtered = client.get(&format!("/v2/app/referrers/{}?artifactType=application/x.a", image.digest));
    assert_eq!(filtered.json()["manifests"][0]["annotations"]["n"], "0");
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
}

#[test]
fn tags_are_paged_to_their_end() {
    for (profile, expected) in [(Profile::Spec, 3), (Profile::Ecr, 3), (Profile::Distribution, 1)] {
        let registry = start(profile);
        registry.create_repository("app");
        let client = Client::new(&registry.url());
        let image = Image::new("one");
        for number in 0..5 {
            image.push(&client, "app", &format!("t{number}"));
        }
        let (mut target, mut tags, mut pages) = ("/v2/app/tags/list?n=2".to_owned(), Vec::new(), 0);
        while !target.is_empty() {
            let page = client.get(&target);
            tags.extend(page.json()["tags"].as_array().cloned().unwrap_or_default());
            target = page.next();
            pages += 1;
        }
        assert_eq!((tags.len(), pages), (5, expected), "{profile:?}");
    }
    let refused = Client::new(&start_with_app(Profile::Ecr).url()).get("/v2/app/tags/list?n=1001");
    assert_eq!(refused.status, 405);
}

fn start_with_app(profile: Profile) -> FakeRegistry {
    let registry = start(profile);
    registry.create_repository("app");
    registry
}

#[test]
fn basic_credentials_are_asked_for_and_expire() {
    let auth = Auth::basic("AWS", "canary-password").expires_after(2);
    let registry = FakeRegistry::builder().profile(Profile::Ecr).auth(auth).start();
    let client = Client::new(&registry.url());
    let refused = client.get("/v2/");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Basic realm="));
    let login = |password: &str| client.send("GET", "/v2/", &[("authorization", &client::basic("AWS", password))], b"");
    assert_eq!([login("canary-password").status, login("canary-password").status], [200, 200]);
    assert_eq!(login("canary-password").error_code(), "DENIED");
    registry.set_password("canary-second");
    assert_eq!(login("canary-password").status, 401);
    assert_eq!(login("canary-second").status, 200);
    let log = registry.log();
    assert_eq!(log.exposures("canary-password").len(), 4);
    assert!(log.exposures("canary-password").iter().all(|found| found.place == "header authorization"));
}

#[test]
fn bearer_tokens_open_their_scope_and_run_out() {
    let auth = Auth::bearer("user", "canary-password").expires_after(2).anonymous_pull();
    let registry = FakeRegistry::builder().auth(auth).start();
    let client = Client::new(&registry.url());
    let challenge = client.send("POST", "/v2/app/blobs/uploads/", &[], b"").header("www-authenticate");
    let expected = format!(
        "Bearer realm=\"http://{}/token\",service=\"{}\",scope=\"repository:app:pull,push\"",
        registry.token_host(),
        registry.host()
    );
    assert_eq!(challenge, expected);
    let token = |user: Option<&str>, scope: &str| {
        let target = format!("http://{}/token?service=x&scope=repository:app:{scope}", registry.token_host());
        let login = user.map(|password| ("authorization", client::basic("user", password)));
        let headers: Vec<(&str, &str)> = login.iter().map(|(name, value)| (*name, value.as_str())).collect();
        client.send("GET", &target, &headers, b"")
    };
    assert_eq!(token(Some("wrong-password"), "pull").status, 401);
    let post = |bearer: &str| {
        let header = format!("Bearer {bearer}");
        client.send("POST", "/v2/app/blobs/uploads/", &[("authorization", &header)], b"").status
    };
    let text = |answer: &client::Answer| answer.json()["token"].as_str().unwrap_or_default().to_owned();
    let anonymous = text(&token(None, "pull,push"));
    assert_eq!(post(&anonymous), 401, "an anonymous token may only pull");
    let good = text(&token(Some("canary-password"), "pull,push"));
    assert_eq!([post(&good), post(&good), post(&good)], [202, 202, 401]);
    assert_eq!(registry.issued_tokens(), [anonymous, good]);
}

#[test]
fn each_fault_does_what_its_name_says() {
    let registry = start(Profile::Spec);
    let digest = registry.put_blob("app", "0123456789");
    let target = format!("/v2/app/blobs/{digest}");
    let client = Client::new(&registry.url());
    let with = |fault: Fault| {
        registry.clear_faults();
        registry.fault(Rule::new(fault));
        client.try_send("GET", &target, &[], b"")
    };
    let body = |fault: Fault| with(fault).expect("an answer").body;
    let throttled = with(Fault::throttled(7)).expect("an answer");
    assert_eq!((throttled.status, throttled.header("retry-after").as_str()), (429, "7"));
    assert_eq!(body(Fault::Flip(13)), "0122456789");
    assert_eq!(body(Fault::Body("other".into())), "other");
    assert_eq!(body(Fault::Drip { bytes: 3, pause: Duration::from_millis(1) }), "0123456789");
    assert_eq!(body(Fault::Delay(Duration::from_millis(1))), "0123456789");
    let foreign = with(Fault::Header("docker-content-digest".into(), "sha256:0".into())).expect("an answer");
    assert_eq!(foreign.header("docker-content-digest"), "sha256:0");
    let absent = with(Fault::NoHeader("docker-content-digest".into())).expect("an answer");
    assert_eq!(absent.header("docker-content-digest"), "");
    for fault in [Fault::Reset, Fault::LoseReply, Fault::Truncate(4), Fault::ResetAfter(4), Fault::Truncate(0)] {
        let label = format!("{fault:?}");
        assert!(with(fault).is_err(), "{label}");
    }
    let impatient = Client::new(&registry.url()).with_timeout(Duration::from_millis(200));
    for fault in [Fault::Hang, Fault::HangAfter(4)] {
        registry.clear_faults();
        registry.fault(Rule::new(fault));
        assert!(impatient.try_send("GET", &target, &[], b"").is_err());
    }
}

#[test]
fn a_truncated_body_ends_at_the_exact_byte() {
    use std::io::{Read as _, Write as _};
    let registry = start(Profile::Spec);
    let content = vec![b'x'; 3 << 20];
    let digest = registry.put_blob("app", content);
    for cut in [0, 1, 70_000, 2 << 20] {
        registry.clear_faults();
        registry.fault(Rule::new(Fault::Truncate(cut)));
        let mut stream = std::net::TcpStream::connect(registry.host()).expect("a connection");
        write!(stream, "GET /v2/app/blobs/{digest} HTTP/1.1\r\nhost: x\r\n\r\n").expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer that ends");
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert_eq!(answer.len() - head, cut);
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        assert!(text.contains(&format!("content-length: {}", 3 << 20)), "{text}");
    }
}

#[test]
fn a_lost_reply_has_its_effect_and_a_reset_has_none() {
    let image = Image::new("one");
    for (fault, stored) in
        [(Fault::LoseReply, true), (Fault::Reset, false), (Fault::ResetReading(10), false), (Fault::status(500), false)]
    {
        let registry = start(Profile::Spec);
        let client = Client::new(&registry.url());
        image.push(&client, "app", "first");
        registry.fault(Rule::new(fault.clone()).method("PUT").path("/manifests/"));
        let outcome =
            client.try_send("PUT", "/v2/app/manifests/v1", &[("content-type", IMAGE)], image.manifest.as_bytes());
        assert!(outcome.is_err() || matches!(fault, Fault::Status { .. }), "{fault:?}");
        assert_eq!(registry.manifest("app", "v1").is_some(), stored, "{fault:?}");
    }
}

#[test]
fn the_log_counts_requests_bytes_and_connections() {
    let registry = start(Profile::Spec);
    let client = Client::new(&registry.url());
    let digest = registry.put_blob("app", vec![0_u8; 100_000]);
    client.get(&format!("/v2/app/blobs/{digest}"));
    client.get("/v2/app/manifests/none");
    let log = registry.log();
    log.assert_len(2);
    log.assert_no_writes();
    log.assert_count("GET", "/blobs/", 1);
    assert_eq!(log.connections(), 1, "kept alive:\n{log}");
    assert_eq!(log.requests[0].bytes_out, 100_000);
    client.send("POST", &format!("/v2/app/blobs/uploads/?digest={}", client::digest(b"abc")), &[], b"abc");
    assert_eq!((registry.log().writes().len(), registry.log().bytes_in()), (1, 3));
    registry.clear_log();
    registry.log().assert_len(0);
}

#[test]
fn a_stored_secret_is_found_and_a_corrupted_blob_keeps_its_digest() {
    let registry = start(Profile::Spec);
    let digest = registry.put_blob("app", "a canary-12345678 in a layer");
    assert_eq!(registry.stored_exposures("canary-12345678"), [format!("app@{digest}")]);
    registry.corrupt_blob("app", &digest, "rotten");
    let pulled = Client::new(&registry.url()).get(&format!("/v2/app/blobs/{digest}"));
    assert_eq!((pulled.body.as_str(), pulled.header("docker-content-digest")), ("rotten", digest));
}

#[test]
fn dropping_the_registry_frees_its_port_even_with_a_hanging_request() {
    let registry = start(Profile::Spec);
    registry.fault(Rule::new(Fault::Hang));
    let url = registry.url();
    let hanging = std::thread::spawn(move || Client::new(&url).try_send("GET", "/v2/", &[], b"").is_err());
    while registry.log().requests.is_empty() {
        std::thread::yield_now();
    }
    let address = registry.address();
    drop(registry);
    assert!(hanging.join().expect("the client thread"));
    assert!(std::net::TcpStream::connect(address).is_err());
}
