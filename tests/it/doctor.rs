//! `doctor`: what is installed, reachable and allowed, and that looking changes nothing.

use serde_json::{Value, json};
use shipper_testkit::{Auth, DockerRegistry, FakeRegistry, need};

use crate::support::{Project, Ran, text, tree};

/// The answers with this code.
fn answers(ran: &Ran, code: &str) -> Vec<Value> {
    let document = ran.json();
    document["checks"].as_array().expect("a list").iter().filter(|check| check["code"] == code).cloned().collect()
}

/// The only answer with this code.
#[track_caller]
fn answer(ran: &Ran, code: &str) -> Value {
    let answers = answers(ran, code);
    assert_eq!(answers.len(), 1, "{}", ran.stdout);
    answers.into_iter().next().expect("one")
}

fn log_in(project: &Project, host: &str, user: &str, password: &str) {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let config = json!({ "auths": { host: { "auth": auth } } });
    std::fs::create_dir_all(project.repo.home().join(".docker")).expect("creates");
    std::fs::write(project.repo.home().join(".docker/config.json"), config.to_string()).expect("writes");
}

fn doctor(project: &Project, registry: &str) -> Ran {
    project.run(["doctor", "--json", "--registry", registry])
}

#[test]
fn a_registry_that_wants_a_password_is_broken_until_there_is_one_and_nothing_is_changed() {
    use shipper_testkit::docker_registry::{PASSWORD, USER};
    let registry = need!(DockerRegistry::start_with_password());
    let project = Project::two_services();
    let refused = doctor(&project, registry.host()).exits(1);
    for pull in answers(&refused, "pull") {
        assert_eq!(pull["verdict"], "broken", "{pull}");
        assert!(text(&pull["cure"]).contains("docker login"), "{pull}");
    }
    assert_eq!(answers(&refused, "pull").len(), 2);
    log_in(&project, registry.host(), USER, PASSWORD);
    let before = tree(project.path());
    let found = doctor(&project, registry.host()).ok();
    let subjects: Vec<String> = answers(&found, "push").iter().map(|push| text(&push["subject"])).collect();
    assert_eq!(subjects, ["docs", "site"].map(|name| format!("{}/demo/{name}", registry.host())));
    assert!(answers(&found, "push").iter().all(|push| push["verdict"] == "fine"), "{}", found.stdout);
    assert_eq!(answer(&found, "clock")["verdict"], "fine");
    assert_eq!(tree(project.path()), before);
    assert!(tree(&registry.data()).is_empty(), "the registry has nothing");
    assert!(tree(project.cache()).is_empty(), "the cache has nothing");
    // The same for people.
    let shown = project.run(["doctor", "--registry", registry.host()]).ok().stdout;
    assert!(
        shown.lines().any(|line| line.starts_with("fine") && line.ends_with("it can be read and written")),
        "{shown}"
    );
}

#[test]
fn who_may_only_read_is_told_so() {
    let registry = FakeRegistry::builder().auth(Auth::bearer("user", "password").read_only()).start();
    let project = Project::two_services();
    for repository in ["demo/docs", "demo/site"] {
        registry.create_repository(repository);
    }
    log_in(&project, registry.host(), "user", "password");
    let found = doctor(&project, registry.host()).exits(1);
    for push in answers(&found, "push") {
        assert_eq!(push["verdict"], "broken", "{push}");
        assert!(text(&push["message"]).starts_with("it can be read, but not written"), "{push}");
    }
    assert_eq!(answers(&found, "push").len(), 2);
}

#[test]
fn a_registry_that_does_not_answer_is_not_known() {
    let project = Project::two_services();
    // A port that nobody listens at: it was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let found = doctor(&project, &free.to_string()).exits(3);
    assert!(answers(&found, "pull").iter().all(|pull| pull["verdict"] == "unknown"), "{}", found.stdout);
    // What is broken weighs more.
    std::fs::write(project.cache().join("file"), "").expect("writes");
    let mut command = project.command(["doctor", "--json", "--registry", &free.to_string()]);
    command.env("SHIPPER_CACHE_DIR", project.cache().join("file/below"));
    let found = Ran::of(&command.output().expect("starts")).exits(1);
    let cache = answer(&found, "cache-directory");
    assert_eq!(cache["verdict"], "broken");
    assert!(text(&cache["cure"]).contains("SHIPPER_CACHE_DIR"), "{cache}");
}

#[test]
fn every_registry_of_the_configuration_is_looked_at_once() {
    let (own, prod) = (FakeRegistry::start(), FakeRegistry::start());
    let (own_host, prod_host) = (own.host(), prod.host());
    let project = Project::new(&format!(
        "[project]\nname = 'demo'\nregistry = '{own_host}'\nuntrusted = '{own_host}/untrusted'\n[service.docs]\nfiles = {{ '/d' = 'docs' }}\n\
         [env.a]\nregistry = '{prod_host}'\n[[env.a.deploy]]\nrun = ['true']\n[env.b]\nregistry = '{prod_host}'\n[[env.b.deploy]]\nrun = ['true']\n"
    ));
    project.repo.write("docs/a", "a");
    let found = project.run(["doctor", "--json"]).ok();
    let mut subjects: Vec<String> = answers(&found, "push").iter().map(|push| text(&push["subject"])).collect();
    subjects.sort();
    let mut expected: Vec<String> =
        [(own_host, "demo/docs"), (own_host, "untrusted/demo/docs"), (prod_host, "demo/docs")]
            .into_iter()
            .flat_map(|(host, name)| {
                let records = name.replace("demo/docs", "shipper-records");
                [format!("{host}/{name}"), format!("{host}/{records}")]
            })
            .collect();
    expected.sort();
    assert_eq!(subjects, expected);
}

#[test]
fn a_missing_builder_is_broken_only_where_it_is_needed() {
    let empty = tempfile::tempdir().expect("a directory");
    let run = |project: &Project, builder: &str| {
        let mut command = project.command(["doctor", "--json"]);
        Ran::of(&command.env("PATH", empty.path()).env("SHIPPER_BUILDER", builder).output().expect("starts"))
    };
    let files = Project::two_services();
    let found = run(&files, "auto").ok();
    assert!(answers(&found, "builder").is_empty());
    assert_eq!(answer(&found, "git-program")["verdict"], "note", "shipper itself needs no git");
    assert_eq!(answer(&found, "container-engine")["subject"], "engine");
    let dockerfile = Project::new("[service.app]\ndockerfile = 'Dockerfile'\n");
    dockerfile.repo.write("Dockerfile", "FROM scratch\n");
    for builder in ["auto", "buildah", "buildx"] {
        let found = answer(&run(&dockerfile, builder).exits(1), "builder");
        assert_eq!(found["verdict"], "broken");
        assert!(text(&found["cure"]).contains("install"), "{found}");
    }
}

#[test]
fn what_the_checkout_lacks_is_noted_with_its_cure() {
    let mut project = Project::two_services();
    let of = |project: &Project, code: &str| answer(&project.run(["doctor", "--json"]).ok(), code);
    for code in ["checkout", "owner", "history", "changes"] {
        assert_eq!(of(&project, code)["verdict"], "fine", "{code}");
    }
    project.repo.write("docs/index.md", "other\n");
    assert_eq!(of(&project, "changes")["verdict"], "note");
    project.repo.commit("more");
    let clone = Project::shallow(&project, "1");
    let history = of(&clone, "history");
    assert_eq!((&history["verdict"], &history["cure"]), (&"note".into(), &"git fetch --unshallow".into()));
    std::fs::remove_dir_all(clone.path().join(".git")).expect("removes");
    assert_eq!(of(&clone, "checkout")["verdict"], "note");
    std::fs::create_dir(clone.path().join(".git")).expect("creates");
    let broken = clone.run(["doctor", "--json"]).exits(1);
    assert_eq!(answer(&broken, "checkout")["verdict"], "broken");
}

#[cfg(feature = "aws")]
mod ecr {
    use shipper_testkit::{ApiFault, Auth, FakeAws, FakeRegistry, Profile};

    use super::{answer, answers};
    use crate::support::{Project, Ran, text};

    const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    struct World {
        registry: FakeRegistry,
        aws: FakeAws,
        project: Project,
    }

    impl World {
        fn new() -> Self {
            let registry =
                FakeRegistry::builder().profile(Profile::Ecr).auth(Auth::basic("AWS", "canary-password")).start();
            let aws = FakeAws::over(&registry);
            let project = Project::two_services();
            Self { registry, aws, project }
        }

        fn run(&self, arguments: &[&str]) -> Ran {
            let mut command = self.project.command(arguments);
            command.envs(self.aws.environment());
            Ran::of(&command.output().expect("starts"))
        }

        fn doctor(&self) -> Ran {
            self.run(&["doctor", "--json", "--registry", HOST])
        }
    }

    #[test]
    fn cures_of_ecr_are_commands_after_which_nothing_is_wrong() {
        let world = World::new();
        let found = world.doctor().exits(1);
        for repository in answers(&found, "repository") {
            assert_eq!(repository["verdict"], "broken");
            assert!(text(&repository["cure"]).contains("shipper ecr ensure"), "{repository}");
        }
        world.run(&["ecr", "ensure", "--registry", HOST]).ok();
        let found = world.doctor().ok();
        assert!(answers(&found, "mutability").iter().all(|check| check["verdict"] == "note"), "{}", found.stdout);
        assert!(text(&answers(&found, "lifecycle")[0]["message"]).contains("nothing is ever deleted"));
        assert_eq!(answer(&found, "mounting")["verdict"], "note");
        world.run(&["ecr", "ensure", "--lock-tags", "--registry", HOST]).ok();
        world.registry.set_blob_mounting(true);
        let repository = format!("{HOST}/demo/docs");
        world.run(&["ecr", "lifecycle", "apply", "--repository", &repository]).ok();
        let before = world.aws.calls().len();
        let found = world.doctor().ok();
        assert!(answers(&found, "mutability").iter().all(|check| check["verdict"] == "fine"), "{}", found.stdout);
        assert!(text(&answers(&found, "lifecycle")[0]["message"]).contains("was never evaluated"));
        assert_eq!(answer(&found, "mounting")["verdict"], "fine");
        let changing = ["Put", "Create", "Delete", "Set", "Start", "Tag", "BatchDelete"];
        for call in &world.aws.calls()[before..] {
            let operation = call.action.rsplit(':').next().unwrap_or_default();
            assert!(!changing.iter().any(|prefix| operation.starts_with(prefix)), "{}", call.action);
        }
    }

    #[test]
    fn what_aws_refuses_to_say_is_not_known() {
        let world = World::new();
        for name in ["demo/docs", "demo/site"] {
            world.registry.create_repository(name);
        }
        world.aws.fault(ApiFault::deny("ecr:GetLifecyclePolicy"));
        let found = world.doctor().exits(3);
        assert!(answers(&found, "lifecycle").iter().any(|check| check["verdict"] == "unknown"), "{}", found.stdout);
    }

    #[test]
    fn a_creation_template_makes_a_missing_repository_no_fault() {
        let world = World::new();
        world.run(&["ecr", "ensure", "--template", "demo", "--registry", HOST]).ok();
        let found = world.doctor();
        assert!(answers(&found, "repository").iter().all(|check| check["verdict"] == "fine"), "{}", found.stdout);
    }
}
