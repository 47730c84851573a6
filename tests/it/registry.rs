//! Shipping to a registry over the wire: Debian's docker-registry, and its access log as witness.

use shipper_testkit::{Auth, DockerRegistry, FakeRegistry, need, require_tool};

use crate::support::{Project, program, text, tree};

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
    let (registry, curl) = (need!(DockerRegistry::start()), need!(require_tool("curl")));
    let project = Project::two_services();
    let registry_flag = ["--registry", registry.host()];
    let first = project.run(["ship", "--json"].iter().chain(&registry_flag)).ok();
    let last = first.events().pop().expect("events");
    let digest = crate::support::text(&last["images"]["docs"]["digest"]);
    let url = format!("{}/v2/demo/docs/manifests/{digest}", registry.url());
    let deleted = std::process::Command::new(curl).args(["-sf", "-X", "DELETE", &url]).status().expect("curl runs");
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

#[test]
fn a_registry_that_lets_nobody_write_has_refused_the_push() {
    let registry = FakeRegistry::builder().auth(Auth::basic("user", "password").read_only()).start();
    let project = Project::two_services();
    for repository in ["demo/docs", "demo/site"] {
        registry.create_repository(repository);
    }
    let config = serde_json::json!({ "auths": { registry.host(): { "auth": "dXNlcjpwYXNzd29yZA==" } } });
    std::fs::create_dir_all(project.repo.home().join(".docker")).expect("creates");
    std::fs::write(project.repo.home().join(".docker/config.json"), config.to_string()).expect("writes");
    project.run(["plan", "--registry", registry.host()]).ok();
    project.run(["ship", "--registry", registry.host()]).exits(5).says("access denied");
    assert!(registry.tags("demo/docs").is_empty());
}

#[test]
fn an_identity_that_something_else_has_written_is_not_called_irreproducible() {
    let registry = FakeRegistry::start();
    for repository in ["demo/docs", "demo/site"] {
        registry.create_repository(repository);
    }
    let project = Project::two_services();
    let ship = |more: &[&str]| project.run([&["ship", "docs", "--registry", registry.host()], more].concat());
    ship(&[]).ok();
    let tag = registry.tags("demo/docs").into_iter().map(|(name, _)| name).find(|name| name.starts_with("h-"));
    let identity = format!("{}/demo/docs:{}", registry.host(), tag.expect("an identity"));
    // The image of other inputs, with their key.
    project.repo.write("docs/index.md", "other\n");
    ship(&[]).ok();
    project.run(["copy", &format!("{}/demo/docs:last-main", registry.host()), &identity]).ok();
    project.repo.write("docs/index.md", "docs\n");
    let refused = ship(&[]).exits(5).says("says nothing of these inputs: something else has written it");
    assert!(!refused.stderr.contains("reproducible"), "{}", refused.stderr);
    ship(&["--refresh", "docs"]).ok().says("1 built");
}

/// A service of large files and of a program beside them.
const LARGE: &str = "[project]\nname = 'demo'\n[service.app]\nfiles = { '/srv' = 'assets' }\n\
                     binary = { 'linux/amd64' = 'dist/app' }\n";

fn large(config: &str) -> Project {
    let project = Project::new(config);
    let mut state = 7_u64;
    let random = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    project.repo.write("assets/large.bin", random.take(3 << 20).collect::<Vec<u8>>());
    build(&project, 0);
    project
}

/// Another program.
fn build(project: &Project, number: u8) {
    let program = [program(62), vec![number]].concat();
    project.repo.write_executable("dist/app", program);
}

/// How many large layers the last build has written.
fn written(project: &Project) -> usize {
    let files = [project.path().join(".shipper"), project.cache().to_owned()].map(|directory| tree(&directory));
    let is_large = |(name, bytes): &(String, Vec<u8>)| name.ends_with(".tar.gz") && bytes.len() > 1 << 20;
    files.into_iter().flatten().filter(is_large).count()
}

#[test]
fn a_layer_that_the_registry_has_is_not_made_again() {
    let registry = need!(DockerRegistry::start());
    let mut project = large(LARGE);
    project.repo.commit("start");
    let ship = |project: &Project, more: &[&str]| {
        let ran = project.run(["ship", "--json", "--registry", registry.host()].iter().chain(more)).ok();
        text(&ran.events().pop().expect("events")["images"]["app"]["digest"])
    };
    ship(&project, &[]);
    assert_eq!(written(&project), 1, "the first time it is made");
    build(&project, 1);
    let second = ship(&project, &[]);
    assert_eq!(written(&project), 0, "the same files are in the registry");
    project.run(["verify", "--registry", registry.host()]).ok();
    // Made anew it is the same image; who asks for that compares everything.
    assert_eq!(ship(&project, &["--force"]), second);
    assert_eq!(written(&project), 1);

    // Nor on a machine that never built.
    let machine = project.clone_to();
    build(&machine, 2);
    ship(&machine, &[]);
    assert_eq!(written(&machine), 0);
    machine.run(["verify", "--registry", registry.host()]).ok();

    // Other content, another mode, another place, another compression.
    let mut number = 3;
    let mut changed = |change: &dyn Fn(&Project)| {
        build(&machine, number);
        number += 1;
        change(&machine);
        ship(&machine, &[]);
        written(&machine)
    };
    assert_eq!(changed(&|machine| drop(machine.repo.write("assets/small", "x"))), 1);
    assert_eq!(changed(&|_| {}), 0);
    assert_eq!(changed(&|machine| drop(machine.repo.write_executable("assets/small", "x"))), 1);
    assert_eq!(changed(&|machine| drop(machine.repo.write("shipper.toml", LARGE.replace("/srv", "/opt")))), 1);
    assert_eq!(changed(&|_| {}), 0);
    machine.run(["verify", "--registry", registry.host()]).ok();
    // What nobody ships is made all the same.
    machine.repo.write("dist/app", [program(62), vec![99]].concat());
    machine.run(["ship", "--no-push", "--registry", registry.host()]).ok();
    assert_eq!(written(&machine), 1);
}

#[test]
fn a_layer_is_made_where_the_registry_lost_it_or_nobody_signed_its_image() {
    let registry = FakeRegistry::start();
    let project = large(LARGE);
    let ship = |project: &Project| project.run(["ship", "--registry", registry.host()]).ok();
    ship(&project);
    let size = |digest: &String| registry.blob("demo/app", digest).map(|bytes| bytes.len());
    let digest = registry.blobs("demo/app").into_iter().max_by_key(size).expect("blobs");
    registry.delete_blob("demo/app", &digest);
    build(&project, 1);
    ship(&project);
    assert_eq!(written(&project), 1);
    assert!(registry.blob("demo/app", &digest).is_some(), "it is there again");
    project.run(["verify", "--registry", registry.host()]).ok();
    // In a layout it must be whole.
    let local = large(LARGE);
    local.ship();
    build(&local, 1);
    local.ship();
    assert_eq!(written(&local), 0);
    let file = local.layout("demo/app").join("blobs").join(digest.replace(':', "/"));
    std::fs::remove_file(&file).expect("removes");
    std::fs::write(&file, "damaged").expect("writes");
    build(&local, 2);
    local.ship();
    assert_eq!(written(&local), 1);
    local.run(["verify"]).ok();

    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../shipper-attest/tests/keys/p256.pub.pem");
    let trusting = large(&format!("{LARGE}[trust]\nkeys = ['{keys}']\n"));
    build(&trusting, 7);
    ship(&trusting);
    assert_eq!(written(&trusting), 1, "nobody signed the last image");
}
