//! The JSON that scripts read.

use crate::support::{Project, Ran, text};

#[test]
fn a_plan_is_one_document() {
    let project = Project::two_services();
    let plan = project.plan();
    assert_eq!(plan["format"], "1.0");
    assert_eq!(plan["branch"], "main");
    assert_eq!(text(&plan["commit"]), project.repo.head());
    assert_eq!(plan["dirty"], false);
    let docs = &plan["services"][0];
    assert_eq!((text(&docs["service"]), text(&docs["action"])), ("docs".to_owned(), "build".to_owned()));
    let key = text(&docs["key"]);
    assert_eq!(key.len(), 64);
    assert_eq!(text(&docs["tag"]), format!("h-{}", &key[..32]));
    assert!(text(&docs["context"]).starts_with("ctx1-"));
    assert!(docs["image"].is_null());
    assert_eq!(docs["reasons"][0]["code"], "never-built");
    assert_eq!(docs["platforms"][0]["key"], docs["key"]);

    project.ship();
    let docs = &project.plan()["services"][0];
    assert!(text(&docs["image"]).contains("demo/docs@sha256:"), "{docs}");
    assert_eq!(docs["estimate-ms"], 0);

    project.repo.write("docs/index.md", "other\n");
    assert_eq!(project.plan()["dirty"], true);
}

#[test]
fn a_plan_is_written_to_a_file_as_well() {
    let project = Project::two_services();
    project.run(["plan", "--out", "plan.json"]).ok();
    let written = std::fs::read_to_string(project.path().join("plan.json")).expect("written");
    let written: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(written["services"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_run_is_lines_of_events_and_the_record_holds_the_same() {
    let project = Project::two_services();
    let ran = project.run(["ship", "--json"]).ok();
    let events = ran.events();
    let names: Vec<String> = events.iter().map(|event| text(&event["event"])).collect();
    assert_eq!((names[0].as_str(), names[names.len() - 1].as_str()), ("run-started", "run-finished"));
    for wanted in ["context-hashed", "plan-ready", "action-started", "action-finished"] {
        assert!(names.iter().any(|name| name == wanted), "{wanted} in {names:?}");
    }
    assert_eq!(events[0]["format"], "1.0");
    let last = &events[events.len() - 1];
    assert_eq!((last["outcome"].as_str(), last["exit-code"].as_u64()), (Some("ok"), Some(0)));
    let docs = &last["images"]["docs"];
    assert_eq!(docs["action"], "build");
    let reference = text(&docs["reference"]);
    assert!(reference.contains(":h-") && reference.ends_with(&text(&docs["digest"])), "{reference}");

    let record = format!(".shipper/runs/{}.jsonl", text(&events[0]["run"]));
    let record = std::fs::read_to_string(project.path().join(record)).expect("a record");
    let lasting: Vec<&str> = ran.stdout.lines().filter(|line| !line.contains("\"action-progress\"")).collect();
    assert_eq!(record.lines().collect::<Vec<_>>(), lasting);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_ends_its_processes_and_says_so() {
    let project = Project::two_services();
    let config = format!("{}check = [['sh', '-c', 'echo waiting; exec sleep 600']]\n", crate::support::TWO_SERVICES);
    project.repo.write("shipper.toml", config);
    let mut command = project.command(["ship", "--json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("a pipe")));
    let mut seen = lines.by_ref().map_while(Result::ok);
    assert!(seen.any(|line| line.contains("waiting")), "the check begins");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signals");
    let last = lines.map_while(Result::ok).last().expect("a last event");
    let last: serde_json::Value = serde_json::from_str(&last).expect("JSON");
    assert_eq!((&last["event"], &last["exit-code"]), (&"run-finished".into(), &130.into()));
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    project.repo.write("shipper.toml", crate::support::TWO_SERVICES);
    project.ship();
}

#[test]
fn a_failed_run_ends_with_its_exit_code() {
    let project = Project::new("[service.a]\nfiles = { '/a' = 'a' }\ncheck = [['false']]");
    project.repo.write("a", "a");
    let events = project.run(["ship", "--json"]).exits(4).events();
    let error = events.iter().find(|event| event["event"] == "error").expect("an error event");
    assert!(text(&error["chain"][0]).starts_with("cannot check `a`"), "{error}");
    let last = &events[events.len() - 1];
    assert_eq!((last["outcome"].as_str(), last["exit-code"].as_u64()), (Some("failed"), Some(4)));
}

#[test]
fn settings_are_told_with_their_origin() {
    let project = Project::two_services();
    let mut command = project.command(["config", "--json"]);
    let ran = crate::support::Ran::of(&command.env("SHIPPER_REGISTRY", "example.com").output().expect("starts")).ok();
    let document = ran.json();
    let rows = document["settings"].as_array().expect("rows");
    let row = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key} in {rows:?}"));
    assert_eq!(row("project.name")["origin"], "shipper.toml");
    assert_eq!(row("project.registry")["value"], "example.com");
    assert_eq!(row("project.registry")["origin"], "environment SHIPPER_REGISTRY");
    assert_eq!(row("project.repository")["origin"], "default");
}

#[test]
fn an_error_is_json_too() {
    let project = Project::two_services();
    for (arguments, code) in [
        (["plan", "--json", "doc"], 2),
        (["plan", "--json", "--registry=127.0.0.1:1"], 3),
        (["ship", "--json", "--registry=127.0.0.1:1"], 3),
        (["inspect", "--json", "oci:nowhere:x"], 1),
        (["why", "--json", "doc"], 2),
        (["hash", "--json", "nowhere"], 2),
    ] {
        let ran = project.run(arguments).exits(code);
        let mut events = ran.events();
        // A run ends with what became of it.
        let finished = if arguments[0] == "ship" { events.pop() } else { None };
        let error = events.pop().expect("a line");
        assert_eq!(finished.as_ref().unwrap_or(&error)["exit-code"], code, "{}", ran.stdout);
        assert_eq!(error["event"], "error", "{}", ran.stdout);
        let first = error["chain"][0].as_str().expect("a text");
        assert!(first.starts_with("cannot "), "{error}");
        assert!(ran.stderr.contains(first), "{error}: {}", ran.stderr);
    }
}

#[test]
fn arguments_that_mean_nothing_are_told_in_json_too() {
    let project = Project::two_services();
    for arguments in [["plan", "--json", "--lokced"], ["--json", "ship", "--lokced"], ["plan", "--json", "--format"]] {
        let ran = project.run(arguments).exits(2);
        let [error] = &ran.events()[..] else { panic!("{}", ran.stdout) };
        assert_eq!((text(&error["event"]), &error["exit-code"]), ("error".to_owned(), &2.into()), "{error}");
        let problem = ["unexpected argument '--lokced' found", "a value is required for '--format <CI>'"];
        let told = text(&error["chain"][0]);
        let told = told.strip_prefix("cannot read the arguments: ").expect("the beginning");
        assert!(problem.iter().any(|problem| told.starts_with(problem)), "{error}");
        assert!(ran.stderr.contains("For more information"), "{}", ran.stderr);
    }
    let ran = project.run(["--json", "base"]).exits(2);
    assert!(text(&ran.json()["chain"][0]).ends_with("a subcommand or an argument is missing"), "{}", ran.stdout);
    // After `--` it is a name.
    assert_eq!(project.run(["plan", "--", "--json"]).exits(2).stdout, "");
}

#[test]
fn events_that_nobody_gets_are_a_failure() {
    let project = Project::two_services();
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("a device");
    let mut command = project.command(["ship", "--json"]);
    let ran = Ran::of(&command.stdout(full()).output().expect("starts")).exits(3);
    ran.says("cannot write the output");
    // It was done all the same.
    project.run(["ship"]).ok().says("nothing is due");
    // What failed counts more, and people are told of it too.
    let mut command = project.command(["ship", "nothing", "--json"]);
    Ran::of(&command.stdout(full()).output().expect("starts")).exits(2).says("cannot find service `nothing`");
}
