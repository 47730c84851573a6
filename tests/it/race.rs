//! Runs of several machines that build one key at the same time with a builder that is not reproducible.

use std::collections::BTreeSet;
use std::process::Stdio;

use shipper_testkit::{DockerRegistry, need, require_tool};

use crate::support::{Project, Ran, text};

/// G12 with real builds: what buildah gives differs by the time in it, because a directive makes shipper leave times alone.
#[test]
fn g12_machines_that_race_with_a_real_builder_end_with_one_digest() {
    need!(require_tool("buildah"));
    let registry = need!(DockerRegistry::start());
    let mut first = Project::new("[project]\nname = 'demo'\n[service.app]\ndockerfile = 'Dockerfile'\n");
    first.repo.write("Dockerfile", "# escape=\\\nFROM scratch\nCOPY app.txt /\n");
    for round in 0..5 {
        first.repo.write("app.txt", format!("round {round}\n"));
        first.repo.commit("round");
        let machines = [first.clone_to(), first.clone_to()];
        let runs: Vec<_> = machines
            .iter()
            .map(|machine| {
                let mut command = machine.command(["ship", "--json", "--registry", registry.host()]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
            })
            .collect();
        let mut agreed = BTreeSet::new();
        for run in runs {
            let ran = Ran::of(&run.wait_with_output().expect("ends"));
            assert!(matches!(ran.code, Some(0 | 5)), "{}\n{}", ran.stdout, ran.stderr);
            if ran.code == Some(0) {
                agreed.insert(text(&ran.events().pop().expect("events")["images"]["app"]["digest"]));
            }
        }
        assert_eq!(agreed.len(), 1, "{agreed:?}");
        let verified = machines[0].run(["verify", "--json", "--registry", registry.host()]).ok().json();
        assert_eq!(Some(text(&verified["images"][0]["digest"])), agreed.pop_first());
        for machine in &machines {
            machine.run(["ship", "--registry", registry.host()]).ok().says("nothing is due");
        }
    }
}
