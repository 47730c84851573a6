//! `[sign]` and `[trust]`: what is shipped is signed before it is named, and what nobody trusted has signed is built.

use serde_json::{Value, json};
use shipper_oci::{BlobSource, ClientOptions, Descriptor, ImageManifest, Manifest, Store, media_type};
use shipper_testkit::{DockerRegistry, FakeRegistry, Fault, Mutability, Rule, need};

use crate::support::{Project, program, text};

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shipper-attest/tests/keys");

/// A service of files and one of two platforms, at `registry`.
fn project(registry: &str, tables: &str) -> Project {
    let project = Project::new("");
    project.repo.write("docs/index.md", "docs\n");
    project.repo.write(".gitignore", "dist\n");
    project.repo.write_executable("dist/amd64/tool", program(62));
    project.repo.write_executable("dist/arm64/tool", program(183));
    configure(&project, registry, tables);
    project
}

fn configure(project: &Project, registry: &str, tables: &str) {
    let services = "[service.docs]\nfiles = { '/srv/docs' = 'docs' }\n[service.tool]\n\
                    binary = { 'linux/amd64' = 'dist/amd64/tool', 'linux/arm64' = 'dist/arm64/tool' }\n";
    let text = format!("[project]\nname = 'demo'\nregistry = '{registry}'\n{services}{tables}");
    project.repo.write("shipper.toml", text);
}

fn sign_with(key: &str) -> String {
    format!("[sign]\nkey = '{KEYS}/{key}'\n")
}

fn trust(key: &str) -> String {
    format!("[trust]\nkeys = ['{KEYS}/{key}']\n")
}

/// Action and first reason of each service.
fn planned(project: &Project) -> Vec<(String, String)> {
    let plan = project.plan();
    let services = plan["services"].as_array().expect("services").iter();
    services.map(|one| (text(&one["action"]), text(&one["reasons"][0]["code"]))).collect()
}

fn all(action: &str, reason: &str) -> Vec<(String, String)> {
    vec![(action.to_owned(), reason.to_owned()); 2]
}

fn signatures(project: &Project, key: &str) -> Vec<Option<u64>> {
    let verified = project.run(["verify", "--json", "--key", &format!("{KEYS}/{key}")]).ok().json();
    verified["images"].as_array().expect("images").iter().map(|image| image["signatures"].as_u64()).collect()
}

#[test]
fn what_is_shipped_is_signed_in_registries_with_and_without_lists_and_in_layouts() {
    let docker = need!(DockerRegistry::start());
    let fake = FakeRegistry::start();
    for registry in [docker.host(), fake.host(), "oci:.shipper/images"] {
        let project = project(registry, &(sign_with("p256.pem") + &trust("p256.pub.pem")));
        project.ship();
        assert_eq!(signatures(&project, "p256.pub.pem"), [Some(1), Some(1)], "{registry}");
        assert_eq!(planned(&project), all("reuse", "image-exists"), "{registry}");
    }
}

#[test]
fn an_image_is_reused_by_those_who_trust_one_of_its_keys() {
    let registry = FakeRegistry::start();
    let project = project(registry.host(), &sign_with("p256.pem"));
    project.ship();
    // A key that signs anew each time signs the same image once.
    project.run(["ship", "--force"]).ok();
    assert_eq!(signatures(&project, "p256.pub.pem"), [Some(1), Some(1)]);
    for (tables, expected) in [
        (trust("p256.pub.pem"), all("reuse", "image-exists")),
        (trust("ed25519.pub.pem"), all("build", "untrusted")),
        (format!("[trust]\nkeys = ['{KEYS}/ed25519.pub.pem', '{KEYS}/p256.pub.pem']"), all("reuse", "image-exists")),
    ] {
        configure(&project, registry.host(), &tables);
        assert_eq!(planned(&project), expected, "{tables}");
    }
    // Another key's signature is added to the same image.
    configure(&project, registry.host(), &(trust("ed25519.pub.pem") + &sign_with("ed25519.pem")));
    let why = project.run(["why", "docs"]).ok().stdout;
    assert!(why.contains("has no signature of a trusted key"), "{why}");
    project.ship();
    assert_eq!(planned(&project), all("reuse", "image-exists"));
}

/// A platform's image is reused alone, so it has a signature of its own.
#[test]
fn the_image_of_one_platform_is_reused_with_its_own_signature() {
    let registry = FakeRegistry::start();
    let project = project(registry.host(), &(trust("p256.pub.pem") + &sign_with("p256.pem")));
    project.run(["ship", "tool"]).ok();
    let whole = text(&project.plan()["services"][1]["tag"]);
    registry.delete_tag("demo/tool", &whole);
    let actions = |project: &Project| {
        let platforms = project.plan()["services"][1]["platforms"].take();
        platforms.as_array().expect("platforms").iter().map(|one| text(&one["action"])).collect::<Vec<_>>()
    };
    assert_eq!(actions(&project), ["reuse", "reuse"]);
    configure(&project, registry.host(), &trust("ed25519.pub.pem"));
    assert_eq!(actions(&project), ["build", "build"]);
}

/// An image of an attacker under the identity of a service, who may push there and has no key.
async fn poison(registry: &str, service: &Value) -> String {
    let repository = Store::parse(registry, ClientOptions::default()).expect("a store");
    let repository = repository.repository(&"demo/docs".parse().expect("a name"));
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Cmd": ["/evil"], "Labels": {"dev.shipper.key": service["key"], "dev.shipper.service": "docs"}}});
    let config = config.to_string().into_bytes();
    let descriptor = Descriptor::of(media_type::IMAGE_CONFIG, &config);
    repository.push_blob(&descriptor, BlobSource::Bytes(config.into())).await.expect("pushes");
    let poison = Manifest::image(&ImageManifest::new(descriptor, vec![])).expect("a manifest");
    let tag = text(&service["tag"]).parse().expect("a tag");
    repository.put_manifest(&poison, Some(&tag)).await.expect("puts");
    poison.digest().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_a_signature_gives_way_or_stops_the_run() {
    for immutable in [false, true] {
        let registry = FakeRegistry::start();
        let project = project(registry.host(), "");
        let service = project.plan()["services"][0].clone();
        let identity = text(&service["tag"]);
        let poison = poison(registry.host(), &service).await;
        assert_eq!(project.plan()["services"][0]["action"], "reuse", "without keys it is taken");
        configure(&project, registry.host(), &(trust("p256.pub.pem") + &sign_with("p256.pem")));
        assert_eq!(planned(&project)[0], ("build".to_owned(), "untrusted".to_owned()));
        if immutable {
            registry.set_mutability("demo/docs", Mutability::Immutable);
            project.run(["ship", "docs"]).exits(5).says(&poison);
            continue;
        }
        project.run(["ship", "docs"]).ok();
        assert_ne!(registry.manifest("demo/docs", &identity).expect("an image").digest, poison);
        assert_eq!(planned(&project)[0].0, "reuse");
        project.run(["verify", "docs", "--key", &format!("{KEYS}/p256.pub.pem")]).ok();
    }
}

#[test]
fn a_key_that_is_missing_stops_a_run_that_needs_it_and_no_other() {
    let registry = FakeRegistry::start();
    let project = project(registry.host(), "[sign]\nkey = 'env:NO_SUCH_KEY'\n");
    project.run(["plan"]).ok();
    project.run(["ship", "--no-push"]).ok();
    project.run(["ship", "docs"]).exits(2).says("NO_SUCH_KEY");
    assert_eq!(registry.tags("demo/docs"), [], "nothing was written");
    // A pull request has no keys, and signs nothing.
    project.run(["ship", "--pr", "7", "--trigger", "pull-request"]).ok();
    // Nothing is due.
    project.run(["ship", "docs"]).ok();
    for (tables, says) in [
        ("[sign]\nkey = ''\n".to_owned(), "it names no key"),
        ("[trust]\nkeys = []\n".to_owned(), "leave the line out"),
        ("[trust]\nkeys = ['missing.pem']\n".to_owned(), "missing.pem"),
        (trust("ed25519.pem"), "it is a private key"),
    ] {
        configure(&project, registry.host(), &tables);
        let ran = project.run(["plan"]).exits(2).says(says);
        assert!(!ran.stderr.contains("PRIVATE KEY-----"), "{}", ran.stderr);
    }
}

/// G10, and names are written last.
#[test]
fn signatures_that_can_not_be_read_are_neither_good_nor_bad() {
    let registry = FakeRegistry::start();
    let project = project(registry.host(), &(trust("p256.pub.pem") + &sign_with("p256.pem")));
    registry.fault(Rule::new(Fault::status(403)).path("/referrers/"));
    project.run(["ship", "docs"]).exits(3);
    assert_eq!(registry.tags("demo/docs"), [], "no name without its signature");
    registry.clear_faults();
    project.run(["ship", "docs"]).ok();
    registry.fault(Rule::new(Fault::status(403)).path("/referrers/"));
    project.run(["plan", "docs"]).exits(3);
}

/// Whichever way an image is named, and before anything is copied or run.
#[test]
fn what_is_deployed_by_its_name_is_signed() {
    let (own, live) = (FakeRegistry::start(), FakeRegistry::start());
    let project = project(own.host(), "");
    let target = |name: &str| {
        format!(
            "[[env.{name}.deploy]]\nname = 'main'\nrun = ['sh', '-c', 'echo $SHIPPER_DIGEST_DOCS >> dist/{name}']\n"
        )
    };
    let targets = format!(
        "[env.prod]\nregistry = '{}'\n{}{}[env.'pr-{{pr}}']\ntrust = 'any'\n{}",
        live.host(),
        target("prod"),
        target("staging"),
        target("'pr-{pr}'").replace("dist/'pr-{pr}'", "dist/pr")
    );
    let with = |tables: &str| configure(&project, own.host(), &format!("{tables}{targets}"));
    with("");
    project.run(["ship", "docs"]).ok();
    let tag = text(&project.plan()["services"][0]["tag"]);
    let reference = format!("{}/demo/docs:{tag}", own.host());
    let image = format!("docs={reference}");
    let lines = |name: &str| {
        std::fs::read_to_string(project.path().join("dist").join(name)).map_or(0, |text| text.lines().count())
    };
    let ways: [&[&str]; 4] = [
        &["deploy", "prod", "--image", &image],
        &["deploy", "prod", "--image", &image, "--dry-run"],
        &["deploy", "prod", "docs", "--tag", &tag],
        &["promote", "staging", "--to-env", "prod"],
    ];
    project.run(["deploy", "staging", "--image", &image]).ok();

    with(&trust("p256.pub.pem"));
    let refused = || {
        for way in ways {
            live.clear_log();
            let ran = project.run(way).exits(6).says("has no signature of a trusted key");
            ran.says("hint: who stands by it signs it: `shipper sign");
            live.log().assert_no_writes();
        }
        assert_eq!(lines("prod"), 0);
    };
    refused();
    project.run(["sign", &reference, "--key", &format!("{KEYS}/ed25519.pem")]).ok();
    refused();
    // A pull request has its own environments, which take what nobody signed.
    project.run(["deploy", "pr-7", "--pr", "7", "--trigger", "pull-request", "--image", &image]).ok();
    assert_eq!(lines("pr"), 1);

    project.run(["sign", &reference, "--key", &format!("{KEYS}/p256.pem")]).ok();
    own.fault(Rule::new(Fault::status(403)).path("/referrers/"));
    for way in ways {
        project.run(way).exits(3);
    }
    own.clear_faults();
    for way in ways {
        project.run(way).ok();
    }
    assert_eq!(lines("prod"), 1, "the others find it done");

    // Back to what was there, which another key has not signed.
    with(&(trust("p256.pub.pem") + &sign_with("p256.pem")));
    for content in ["2\n", "3\n"] {
        project.repo.write("docs/index.md", content);
        project.run(["deploy", "prod", "docs"]).ok();
    }
    with(&trust("ed25519.pub.pem"));
    project.run(["rollback", "prod"]).exits(6).says("has no signature of a trusted key");
    with(&trust("p256.pub.pem"));
    project.run(["rollback", "prod"]).ok();
    assert_eq!(lines("prod"), 4);
}
