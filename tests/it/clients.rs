//! crane, oras and cosign as judges: what is pushed is whole, what refers to it is found by others, and signatures are accepted
//! in both directions.

use serde_json::Value;
use shipper_testkit::{DockerRegistry, FakeRegistry, RegistryClient, need};

use crate::sign::key;
use crate::support::{Project, program, text};

/// One image of files and an index of two platforms, shipped to a registry.
fn shipped(host: &str) -> Project {
    let project = Project::new(
        "[project]\nname = 'demo'\n[service.docs]\nfiles = { '/srv/docs' = 'docs' }\n[service.tool]\n\
         binary = { 'linux/amd64' = 'dist/amd64/tool', 'linux/arm64' = 'dist/arm64/tool' }\n",
    );
    project.repo.write("docs/index.md", "docs\n");
    project.repo.write_executable("dist/amd64/tool", program(62));
    project.repo.write_executable("dist/arm64/tool", program(183));
    project.run(["ship", "--registry", host]).ok();
    project
}

fn digest(project: &Project, reference: &str) -> String {
    text(&project.run(["inspect", "--json", reference]).ok().json()["digest"])
}

/// Digests of what oras finds behind an image, at any depth.
fn discovered(oras: &RegistryClient, reference: &[&str]) -> Vec<String> {
    fn below(node: &Value, found: &mut Vec<String>) {
        for referrer in node["referrers"].as_array().into_iter().flatten() {
            found.push(text(&referrer["digest"]));
            below(referrer, found);
        }
    }
    let told = oras.says(&[&["discover", "--format", "json"], reference].concat());
    let mut found = Vec::new();
    below(&serde_json::from_str(&told).expect("oras prints JSON"), &mut found);
    found.sort();
    found
}

#[test]
fn crane_finds_images_and_indexes_whole_and_copies_are_equal() {
    let crane = need!(RegistryClient::crane());
    let registry = need!(DockerRegistry::start());
    let project = shipped(registry.host());
    for service in ["docs", "tool"] {
        let there = format!("{}/demo/{service}:last-main", registry.host());
        // Every layer is fetched, unpacked and compared with the configuration.
        crane.says(&["validate", "--insecure", "--remote", &there]);
        assert_eq!(crane.says(&["digest", "--insecure", &there]), digest(&project, &there));
        let copied = format!("{}/copied/{service}:1", registry.host());
        project.run(["copy", &there, &copied]).ok();
        crane.says(&["validate", "--insecure", "--remote", &copied]);
        let others = format!("{}/others/{service}:1", registry.host());
        crane.says(&["copy", "--insecure", &there, &others]);
        assert_eq!(digest(&project, &others), digest(&project, &copied));
        project.run(["verify", &others]).ok();
    }
    let listed = crane.says(&["export", "--insecure", &format!("{}/copied/docs:1", registry.host()), "/dev/stdout"]);
    assert!(listed.contains("srv/docs/index.md"), "the layers unpack to the intended tree");
}

#[test]
fn what_refers_to_an_image_is_found_by_oras_and_what_oras_brings_is_found_here() {
    let oras = need!(RegistryClient::oras());
    let docker = need!(DockerRegistry::start());
    let fake = FakeRegistry::start();
    let project = shipped(docker.host());
    let there = format!("{}/demo/docs:last-main", docker.host());
    let signed = project.run(["sign", "--json", "--key", &key("p256.pem"), &there]).ok().json();
    let signature = text(&signed["signature"]);
    assert_eq!(discovered(&oras, &["--plain-http", &there]), std::slice::from_ref(&signature));

    // A note that oras attaches to the signature: what refers to a referrer.
    std::fs::write(project.path().join("note.txt"), "seen\n").expect("writes");
    let of_signature = format!("{}/demo/docs@{signature}", docker.host());
    let attach = ["attach", "--plain-http", "--artifact-type", "application/vnd.example.note", &of_signature];
    shipper_testkit::run(oras.command(&attach).arg("note.txt:text/plain").current_dir(project.path()));
    let all = discovered(&oras, &["--plain-http", &there]);
    assert_eq!(all.len(), 2, "{all:?}");
    let note = all.iter().find(|digest| **digest != signature).expect("the note");
    let shown = project.run(["inspect", &format!("{}/demo/docs@{note}", docker.host())]).ok().stdout;
    assert!(shown.contains("application/vnd.example.note") && shown.contains(&signature), "{shown}");
    assert!(!shown.contains("platform"), "{shown}");

    // Copied by shipper, to a registry with and one without a list of its own, and to a layout.
    let layout = project.path().join("ours");
    let listed = format!("{}/live/docs:1", fake.host());
    let tagged = format!("{}/other/docs:1", docker.host());
    project.run(["copy", &there, &listed]).ok();
    project.run(["copy", &listed, &tagged]).ok();
    project.run(["copy", &tagged, &format!("oci:{}:1", layout.display())]).ok();
    // In the first one the inputs are in the list as well.
    let inputs = |found: Vec<String>| found.into_iter().filter(|digest| all.contains(digest)).collect::<Vec<_>>();
    assert_eq!(inputs(discovered(&oras, &["--plain-http", &listed])), all);
    assert_eq!(discovered(&oras, &["--plain-http", &tagged]), all);
    assert_eq!(inputs(discovered(&oras, &["--oci-layout", &format!("{}:1", layout.display())])), all);

    // Copied by oras, which keeps referrers in a layout without tags.
    let theirs = project.path().join("theirs");
    let in_layout = format!("{}:1", theirs.display());
    oras.says(&["copy", "--recursive", "--from-plain-http", "--to-oci-layout", &there, &in_layout]);
    let verify = |place: &str| project.run(["verify", "--key", &key("p256.pub.pem"), place]);
    verify(&format!("oci:{in_layout}")).ok();
    let again = format!("{}/again/docs:1", docker.host());
    project.run(["copy", &format!("oci:{in_layout}"), &again]).ok().says("with 2 referrers");
    verify(&again).ok();
    assert_eq!(discovered(&oras, &["--plain-http", &again]), all);
}

#[test]
fn cosign_accepts_our_signatures_and_we_accept_those_of_cosign() {
    let cosign = need!(RegistryClient::cosign());
    let docker = need!(DockerRegistry::start());
    let fake = FakeRegistry::start();
    cosign.says(&["generate-key-pair"]);
    let home = cosign.home().display().to_string();
    for host in [docker.host(), fake.host()] {
        let project = shipped(host);
        for service in ["docs", "tool"] {
            let there = format!("{host}/demo/{service}:last-main");
            let by_digest = format!("{host}/demo/{service}@{}", digest(&project, &there));
            // Without a transparency log, which no machine of a test reaches.
            let verify = |key: &str, what: &str| {
                ["verify", "--insecure-ignore-tlog=true", "--key", key, what].map(str::to_owned)
            };
            let run = |arguments: [String; 5]| cosign.says(&arguments.each_ref().map(String::as_str));
            let refused = |arguments: [String; 5]| cosign.refuses(&arguments.each_ref().map(String::as_str));
            let ours = key("ed25519.pub.pem");
            refused(verify(&ours, &by_digest));
            project.run(["verify", "--key", &ours, &there]).exits(1);
            for pair in ["ed25519", "p256"] {
                project.run(["sign", &there, "--key", &key(&format!("{pair}.pem"))]).ok();
                let told = run(verify(&key(&format!("{pair}.pub.pem")), &by_digest));
                assert!(told.contains(by_digest.rsplit('@').next().expect("a digest")), "{told}");
            }

            let theirs = format!("{home}/cosign.pub");
            refused(verify(&theirs, &by_digest));
            project.run(["verify", "--key", &theirs, &there]).exits(1);
            let sign = ["sign", "--yes", "--tlog-upload=false", "--use-signing-config=false", "--key"];
            cosign.says(&[&sign[..], &[&format!("{home}/cosign.key"), &by_digest]].concat());
            run(verify(&theirs, &by_digest));
            let verified = project.run(["verify", "--json", "--key", &theirs, &there]).ok().json();
            assert_eq!(verified["images"][0]["signatures"], 1, "{verified}");

            // They travel together, and are accepted there by both.
            let promoted = format!("{host}/live/{service}:v1");
            project.run(["promote", &there, &promoted]).ok().says("with 3 referrers");
            for key in [&theirs, &ours, &key("p256.pub.pem")] {
                run(verify(key, &promoted));
                project.run(["verify", "--key", key, &promoted]).ok();
            }
        }
    }
}
