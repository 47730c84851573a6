//! G2: a run killed at any moment leaves nothing that a later run trusts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use shipper_testkit::{Interrupted, KillPlan};

use crate::support::{Project, TWO_SERVICES, program, text};

/// How many runs are killed.
const ROUNDS: usize = 200;

#[test]
fn a_killed_run_leaves_no_tag_on_an_incomplete_image_and_the_next_run_converges() {
    let project = Project::two_services();
    for file in 0..40 {
        project.repo.write(format!("docs/{file}"), vec![u8::try_from(file).expect("small"); 50_000]);
    }
    // An index of two platforms is one more thing that can be incomplete.
    let binary = "[service.both]\nbinary = { 'linux/amd64' = 'amd64', 'linux/arm64' = 'arm64' }\n";
    project.repo.write("shipper.toml", format!("{TWO_SERVICES}{binary}"));
    project.repo.write("amd64", program(62));
    project.repo.write("arm64", program(183));
    let expected = project.ship_digests();
    let whole = wipe_and_time(&project);
    let mut plan = KillPlan::new(20_261_121, Duration::ZERO, whole);
    let mut killed = 0;
    for round in 0..ROUNDS {
        if round % 4 == 0 {
            wipe(&project);
        }
        let mut command = project.command(["ship", "--quiet"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if matches!(plan.round(&mut command), Interrupted::Killed(_)) {
            killed += 1;
        }
        assert_layout_is_sound(&project.path().join(".shipper/images/demo"));
        if round % 10 == 9 {
            assert_eq!(project.ship_digests(), expected, "after round {round}");
        }
    }
    assert_eq!(project.ship_digests(), expected);
    assert!(killed > ROUNDS / 4, "only {killed} runs were killed in the middle");
}

/// Removes images and the user's cache, so that the next run has everything to do.
fn wipe(project: &Project) {
    for directory in [&project.path().join(".shipper"), project.cache()] {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// How long a run from nothing takes.
fn wipe_and_time(project: &Project) -> Duration {
    wipe(project);
    let began = Instant::now();
    project.ship();
    began.elapsed()
}

/// Every tag of every layout names a manifest whose bytes and blobs are there and match their digests.
fn assert_layout_is_sound(images: &Path) {
    for repository in std::fs::read_dir(images).into_iter().flatten().flatten() {
        let layout = repository.path();
        let Ok(index) = std::fs::read(layout.join("index.json")) else { continue };
        let index: Value = serde_json::from_slice(&index).expect("an index is never torn");
        let mut open: Vec<Value> = index["manifests"].as_array().expect("manifests").clone();
        while let Some(descriptor) = open.pop() {
            let digest = text(&descriptor["digest"]);
            let bytes = std::fs::read(layout.join("blobs").join(digest.replace(':', "/")))
                .unwrap_or_else(|error| panic!("{digest} is named and missing: {error}"));
            assert_eq!(sha256(&bytes), digest);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().expect("a size"));
            let kind = text(&descriptor["mediaType"]);
            if ["application/vnd.oci.image.manifest", "application/vnd.oci.image.index"]
                .iter()
                .any(|of| kind.starts_with(of))
            {
                let manifest: BTreeMap<String, Value> = serde_json::from_slice(&bytes).expect("a manifest");
                open.extend(manifest.get("config").cloned());
                for list in ["layers", "manifests"] {
                    open.extend(manifest.get(list).and_then(Value::as_array).cloned().unwrap_or_default());
                }
            }
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    shipper_oci::Digest::of(bytes).to_string()
}
