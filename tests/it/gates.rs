//! `scan` of an environment: which images are asked about, and what each answer means.

use serde_json::json;
use shipper_testkit::{ApiFault, FakeAws, FakeRegistry, Profile};

use crate::support::{Project, Ran, TWO_SERVICES};

const TARGET: &str = r#"
timeout = "60s"

[[env.prod.deploy]]
run = ["sh", "-c", "echo ran >> seen/runs"]
inputs = []
"#;

fn project(registry: &str, scan: &str) -> Project {
    let mut project = Project::two_services();
    configure(&project, registry, scan);
    project.repo.write(".gitignore", "seen\n");
    project.repo.commit("an environment");
    std::fs::create_dir(project.path().join("seen")).expect("creates");
    project
}

fn configure(project: &Project, registry: &str, scan: &str) {
    let registry = format!("name = \"demo\"\nregistry = \"{registry}\"\n");
    let services = TWO_SERVICES.replace("name = \"demo\"\n", &registry);
    let services =
        services.replace("[service.docs]\n", "[service.docs]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n");
    project.repo.write("shipper.toml", format!("{services}\n[env.prod]\nscan = {scan}{TARGET}"));
}

fn lines(project: &Project, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(project.path().join("seen").join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_command_decides_about_images_that_are_new() {
    let script = "echo $SHIPPER_SERVICE ${SHIPPER_DIGEST#sha256:} $0 >> seen/scans; test ! -e seen/bad";
    let project = project("oci:.shipper/images", &format!("[\"sh\", \"-c\", '{script}', \"{{image}}\"]"));
    project.run(["deploy", "prod"]).ok();
    let scans = lines(&project, "scans");
    assert_eq!(scans.len(), 2);
    for (line, service) in scans.iter().zip(["docs", "site"]) {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(words[0] == service && words[2].ends_with(&format!("@sha256:{}", words[1])), "{line}");
    }
    project.run(["deploy", "prod"]).ok().says("prod runs these images");
    project.repo.write("docs/index.md", "changed\n");
    project.repo.write("seen/bad", "");
    let ran = project.run(["deploy", "prod"]).exits(6);
    ran.says("`sh` failed (exit code 1)").says("nothing was changed");
    assert_eq!((lines(&project, "scans").len(), lines(&project, "runs").len()), (3, 1), "docs alone is new");
    let history = project.run(["history", "prod", "--json"]).ok().json();
    assert_eq!(history["deployments"].as_array().map(Vec::len), Some(1), "nothing was written down");
    std::fs::remove_file(project.path().join("seen/bad")).expect("removes");
    project.run(["deploy", "prod"]).ok();
    project.repo.write("seen/bad", "");
    project.run(["rollback", "prod"]).ok();
    assert_eq!((lines(&project, "scans").len(), lines(&project, "runs").len()), (4, 3), "a rollback asks nobody");

    project.repo.write("docs/index.md", "again\n");
    configure(&project, "oci:.shipper/images", "[\"no-such-scanner\"]");
    project.run(["deploy", "prod"]).exits(3).says("`no-such-scanner` is not found");
    configure(&project, "oci:.shipper/images", "\"high\"");
    project.run(["deploy", "prod"]).exits(2).says("ECR knows nothing of").says("write a command");
    assert_eq!(lines(&project, "runs").len(), 3);
}

#[test]
fn findings_of_ecr_are_waited_for_and_counted() {
    let registry = FakeRegistry::builder().profile(Profile::Ecr).start();
    let aws = FakeAws::over(&registry);
    for name in ["demo/docs", "demo/site", "shipper-records"] {
        registry.create_repository(name);
    }
    let host = aws.repository_uri("x").trim_end_matches("/x").to_owned();
    let project = project(&host, "\"high\"");
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.envs(aws.environment());
        Ran::of(&command.output().expect("starts"))
    };
    aws.script_scans(&["IN_PROGRESS", "COMPLETE"], &json!({"MEDIUM": 3, "HIGH": 0, "INFORMATIONAL": 7}));
    let ran = run(&["deploy", "prod"]).ok();
    ran.says("docs: 3 medium, 7 informational (sha256:");
    let begun = aws.actions().iter().filter(|action| *action == "ecr:StartImageScan").count();
    assert_eq!(begun, 3, "the two parts of an index, and one image");
    aws.clear_calls();
    run(&["deploy", "prod"]).ok();
    assert!(!aws.actions().iter().any(|action| action.contains("Scan")), "what runs is not asked about");

    project.repo.write("site/index.html", "changed\n");
    aws.script_scans(&["PENDING", "ACTIVE"], &json!({"CRITICAL": 1, "HIGH": 2, "LOW": 4}));
    run(&["deploy", "prod"]).exits(6).says("it has 1 critical, 2 high, and `scan` of `prod` is `high`");
    aws.script_scans(&["UNSUPPORTED_IMAGE"], &json!({}));
    run(&["deploy", "prod"]).exits(3).says("its scan is unsupported image").says("`scan` can be a command");
    aws.fault(ApiFault::deny("ecr:DescribeImageScanFindings"));
    run(&["deploy", "prod"]).exits(3).says("allow `ecr:DescribeImageScanFindings`");
    assert_eq!(lines(&project, "runs").len(), 1);
    aws.clear_faults();
    aws.script_scans(&["COMPLETE"], &json!({}));
    run(&["deploy", "prod"]).ok().says("site: no findings");
    assert_eq!(lines(&project, "runs").len(), 2);
}
