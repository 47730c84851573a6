//! Shipping to a registry over the wire: Debian's docker-registry, and its access log as witness.

use shipper_testkit::{DockerRegistry, need};

use crate::support::Project;

/// Methods that change a registry.
fn writes(registry: &DockerRegistry) -> Vec<String> {
    let log = registry.log();
    let changing = log.requests.iter().filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD"));
    changing.map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[test]
fn a_second_clone_with_an_empty_cache_builds_and_uploads_nothing() {
    let registry = need!(DockerRegistry::start());
    let project = Project::two_services();
    let ship = |project: &Project| project.run(["ship", "--registry", registry.host()]).ok();
    ship(&project).says("2 built");
    assert!(!writes(&registry).is_empty());
    registry.clear_log();
    let clone = project.clone_to();
    ship(&clone).says("nothing is due");
    assert_eq!(writes(&registry), Vec::<String>::new());
    let log = registry.log();
    let manifests = log.requests.iter().filter(|request| request.path.contains("/manifests/")).count();
    assert_eq!(manifests, 2, "one GET an image: {:#?}", log.requests);
    assert!(!log.requests.iter().any(|request| request.path.contains("/blobs/")), "no blob is asked for");
}

#[test]
fn a_deleted_image_makes_exactly_its_service_due() {
    let registry = need!(DockerRegistry::start());
    let project = Project::two_services();
    let registry_flag = ["--registry", registry.host()];
    let first = project.run(["ship", "--json"].iter().chain(&registry_flag)).ok();
    let last = first.events().pop().expect("events");
    let digest = crate::support::text(&last["images"]["docs"]["digest"]);
    let url = format!("{}/v2/demo/docs/manifests/{digest}", registry.url());
    let deleted = std::process::Command::new("curl").args(["-sf", "-X", "DELETE", &url]).status().expect("curl runs");
    assert!(deleted.success());
    let plan = project.run(["plan", "--json"].iter().chain(&registry_flag)).ok().json();
    assert_eq!(plan["services"][0]["action"], "build");
    let code = crate::support::text(&plan["services"][0]["reasons"][0]["code"]);
    assert!(matches!(code.as_str(), "image-missing" | "never-built"), "{code}");
    assert_eq!(plan["services"][1]["action"], "reuse");
    let again = project.run(["ship", "--json"].iter().chain(&registry_flag)).ok().events().pop().expect("events");
    assert_eq!(again["images"]["docs"]["digest"], digest);
}

#[test]
fn a_machine_that_never_built_names_the_changed_file() {
    let registry = need!(DockerRegistry::start());
    let project = Project::two_services();
    project.run(["ship", "--registry", registry.host()]).ok();
    let clone = project.clone_to();
    clone.repo.write("site/index.html", "other");
    let plan = clone.run(["plan", "--json", "--registry", registry.host()]).ok().json();
    let site = &plan["services"][1];
    assert_eq!(site["reasons"][0]["files"][0]["path"], "site/index.html");
    assert_eq!(site["reasons"][0]["files"][0]["change"], "content");
}

#[test]
fn a_registry_with_a_password_takes_it_from_the_docker_configuration() {
    let registry = need!(DockerRegistry::start_with_password());
    let project = Project::two_services();
    project.run(["plan", "--registry", registry.host()]).exits(3).says("credentials");
    let auth = {
        use base64::Engine as _;
        let pair = format!("{}:{}", shipper_testkit::docker_registry::USER, shipper_testkit::docker_registry::PASSWORD);
        base64::engine::general_purpose::STANDARD.encode(pair)
    };
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.host());
    std::fs::create_dir_all(project.repo.home().join(".docker")).expect("creates");
    std::fs::write(project.repo.home().join(".docker/config.json"), config).expect("writes");
    project.run(["ship", "--registry", registry.host()]).ok().says("2 built");
    project.run(["ship", "--registry", registry.host()]).ok().says("nothing is due");
}
