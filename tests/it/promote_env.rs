//! `promote ENV --to-env ENV`: what runs in one environment is deployed to another, byte for byte and without a builder.

use shipper_testkit::FakeRegistry;

use crate::support::{Project, TWO_SERVICES, text};

/// Two environments with registries of their own, and those of pull requests.
fn project(own: &FakeRegistry, live: &FakeRegistry) -> Project {
    let project = Project::two_services();
    let project_table = format!("name = \"demo\"\nregistry = \"{}\"\n", own.host());
    let target = |name: &str| {
        let script = "echo $SHIPPER_DIGEST_DOCS $SHIPPER_IMAGE_SITE >> seen/$SHIPPER_ENV";
        format!(
            "[[env.{name}.deploy]]\nname = \"main\"\nrun = [\"sh\", \"-c\", \"{script}\"]\ninputs = [\"infra/**\"]\n"
        )
    };
    let config = [
        TWO_SERVICES.replace("name = \"demo\"\n", &project_table),
        target("staging"),
        format!("[env.prod]\nregistry = \"{}\"\n{}", live.host(), target("prod")),
        format!("[env.\"pr-{{pr}}\"]\ntrust = \"any\"\n{}", target("\"pr-{pr}\"")),
    ];
    project.repo.write("shipper.toml", config.concat());
    project.repo.write("infra/main.tf", "one\n");
    project.repo.write(".gitignore", "seen\n");
    project.repo.write("seen/begun", "");
    project
}

fn lines(project: &Project, environment: &str) -> Vec<String> {
    let log = std::fs::read_to_string(project.path().join("seen").join(environment)).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn what_runs_in_one_environment_is_deployed_to_another() {
    let (own, live) = (FakeRegistry::start(), FakeRegistry::start());
    let project = project(&own, &live);
    project.run(["promote", "staging", "--to-env", "prod"]).exits(1).says("nothing runs in `staging`");
    project.run(["deploy", "staging"]).ok();
    let first = lines(&project, "staging").remove(0);
    let (docs, site) = first.split_once(' ').expect("two images");
    // What the checkout is now is not what is promoted.
    project.repo.write("docs/index.md", "2\n");

    live.clear_log();
    let planned = project.run(["promote", "staging", "--to-env", "prod", "--dry-run"]).ok();
    assert!(planned.stdout.contains(&format!("docs {docs}")), "{}", planned.stdout);
    live.log().assert_no_writes();
    assert_eq!(lines(&project, "prod"), Vec::<String>::new());

    let ran = project.run(["promote", "staging", "--to-env", "prod"]).ok().says("Copied");
    assert!(!ran.stderr.contains("built"), "{}", ran.stderr);
    assert_eq!(lines(&project, "prod"), [format!("{docs} {}", site.replace(own.host(), live.host()))]);
    for (name, digest) in [("demo/docs", docs), ("demo/site", site.split_once('@').expect("by digest").1)] {
        let both = [&own, &live].map(|registry| registry.manifest(name, digest).expect("is there").bytes);
        assert_eq!(both[0], both[1]);
        assert_eq!(live.manifest(name, "env-prod").expect("a pin").digest, digest);
    }
    let told = project.run(["history", "prod", "--json"]).ok().json();
    assert_eq!(text(&told["deployments"][0]["images"]["docs"]["digest"]), docs);
    live.clear_log();
    project.run(["promote", "staging", "--to-env", "prod"]).ok().says("prod runs these images");
    live.log().assert_no_writes();

    // One that failed in staging is not what runs there.
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("reads");
    project.repo.write("shipper.toml", config.replacen(">> seen/$SHIPPER_ENV", ">> seen/$SHIPPER_ENV; exit 1", 1));
    project.run(["deploy", "staging"]).exits(6);
    project.repo.write("shipper.toml", config);
    project.run(["promote", "staging", "--to-env", "prod"]).ok().says("prod runs these images");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (own, live) = (FakeRegistry::start(), FakeRegistry::start());
    let project = project(&own, &live);
    project.run(["deploy", "pr-3"]).ok();
    let refused = project.run(["promote", "pr-3", "--to-env", "prod"]).exits(6);
    refused.says("cannot deploy to `prod`: what runs in `pr-3` may be of a run that is not trusted");
    project.run(["promote", "stagin", "--to-env", "prod"]).exits(2).says("did you mean `staging`?");
    project.run(["promote", "staging", "--to-env", "prd"]).exits(2).says("did you mean `prod`?");
    project.run(["promote", "staging", "oci:x:y", "--to-env", "prod"]).exits(2);
    project.run(["promote", "staging", "--to-env", "prod", "--force"]).exits(2);
    project.run(["promote", "staging"]).exits(2);
    project.run(["promote", "oci:x:y", "oci:z:y", "--dry-run"]).exits(2);
    assert_eq!(lines(&project, "prod"), Vec::<String>::new());
    // From one pull request to another, both may.
    project.run(["promote", "pr-3", "--to-env", "pr-4"]).ok();
    assert_eq!(lines(&project, "pr-4"), lines(&project, "pr-3"));
}
