//! `notify` of a project: which ends of deployments a webhook is told, in which form, and that it decides nothing.

use shipper_testkit::Webhook;

use crate::support::{Project, Ran, TWO_SERVICES, text};

/// The secret in the URL, which nobody is to see.
const SECRET: &str = shipper_testkit::webhook::WEBHOOK_SECRET;

fn project() -> Project {
    let mut project = Project::two_services();
    configure(&project, "json", "");
    project.repo.write(".gitignore", "seen\n");
    project.repo.commit("an environment");
    std::fs::create_dir(project.path().join("seen")).expect("creates");
    project
}

fn configure(project: &Project, format: &str, environment: &str) {
    let notify = format!("name = \"demo\"\nnotify = {{ env = \"HOOK\", format = \"{format}\" }}\n");
    let services = TWO_SERVICES.replace("name = \"demo\"\n", &notify);
    let target =
        "[[env.prod.deploy]]\nrun = [\"sh\", \"-c\", \"echo output of a command; test ! -e seen/fail\"]\ninputs = []\n";
    project.repo.write("shipper.toml", format!("{services}\n[env.prod]\n{environment}\n{target}"));
}

/// A run that is told the URL; it says it nowhere.
fn run(project: &Project, url: &str, arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    command.env("HOOK", url);
    let ran = Ran::of(&command.output().expect("starts"));
    assert!(!ran.stderr.contains(SECRET) && !ran.stdout.contains(SECRET), "{}", ran.stderr);
    ran
}

#[test]
fn failures_gates_and_recoveries_are_told_and_nothing_else() {
    let (project, hook) = (project(), Webhook::start());
    run(&project, hook.url(), &["deploy", "prod"]).ok();
    run(&project, hook.url(), &["deploy", "prod"]).ok();
    run(&project, hook.url(), &["deploy", "prd"]).exits(2);
    assert_eq!(hook.told(), [] as [serde_json::Value; 0]);

    project.repo.write("seen/fail", "");
    project.repo.write("docs/index.md", "changed\n");
    run(&project, hook.url(), &["deploy", "prod", "--dry-run"]).ok();
    run(&project, hook.url(), &["-vvv", "deploy", "prod"]).exits(6);
    let told = hook.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let told = &told[0];
    for (field, expected) in [("event", "failed"), ("project", "demo"), ("environment", "prod"), ("command", "deploy")]
    {
        assert_eq!(told[field], expected);
    }
    assert_eq!((&told["format"], &told["exit-code"]), (&"1.0".into(), &6.into()));
    assert!(text(&told["record"]).starts_with("d-prod-") && text(&told["commit"]).len() >= 40, "{told}");
    assert_eq!(told["problem"], serde_json::json!(["cannot deploy: `deploy-1` failed (exit code 1)"]));
    assert!(!told.to_string().contains("output of a command"), "{told}");

    std::fs::remove_file(project.path().join("seen/fail")).expect("removes");
    run(&project, hook.url(), &["deploy", "prod"]).ok();
    let told = hook.told();
    assert_eq!((told.len(), &told[0]["event"], &told[0]["problem"]), (1, &"recovered".into(), &serde_json::json!([])));
    run(&project, hook.url(), &["deploy", "prod", "--force"]).ok();
    assert_eq!(hook.told().len(), 0, "it is told once");

    configure(&project, "json", "scan = [\"false\"]");
    project.repo.write("docs/index.md", "again\n");
    run(&project, hook.url(), &["deploy", "prod"]).exits(6);
    assert_eq!(hook.told()[0]["event"], "refused");
}

#[test]
fn each_kind_of_chat_gets_what_it_takes() {
    let (project, hook) = (project(), Webhook::start());
    project.repo.write("seen/fail", "");
    let told = |format: &str| {
        configure(&project, format, "");
        run(&project, hook.url(), &["deploy", "prod"]).exits(6);
        hook.told().pop().expect("it was told")
    };
    let begins = "demo: `deploy` of prod failed\ncannot deploy: `deploy-1` failed (exit code 1)\n";
    let slack = told("slack");
    assert!(text(&slack["text"]).starts_with(begins), "{slack}");
    let discord = told("discord");
    assert!(text(&discord["content"]).starts_with(begins), "{discord}");
    assert_eq!(discord["allowed_mentions"]["parse"], serde_json::json!([]), "nobody is called by a text");
    let teams = told("teams");
    let card = &teams["attachments"][0]["content"];
    assert_eq!((&teams["type"], &card["type"]), (&"message".into(), &"AdaptiveCard".into()));
    assert!(text(&card["body"][0]["text"]).starts_with(begins), "{teams}");
    // What Slack would read as markup.
    configure(&project, "slack", "scan = [\"<!channel>&\"]");
    run(&project, hook.url(), &["deploy", "prod"]).exits(3);
    let slack = text(&hook.told()[0]["text"]);
    assert!(slack.contains("`&lt;!channel&gt;&amp;`") && !slack.contains("<!"), "{slack}");
}

#[test]
fn a_webhook_decides_nothing() {
    let (project, hook) = (project(), Webhook::start());
    project.repo.write("seen/fail", "");
    hook.answer(500);
    run(&project, hook.url(), &["deploy", "prod"]).exits(6).says("the webhook was not told: it answered 500");
    // A redirect is not followed.
    hook.answer(302);
    run(&project, hook.url(), &["deploy", "prod"]).exits(6).says("it answered 302");
    for (url, says) in [
        ("", "HOOK is not set"),
        ("not a URL", "HOOK holds no https URL"),
        ("http://127.0.0.1:9/canary-secret-of-a-webhook", "it could not be reached"),
        ("http://example.com/canary-secret-of-a-webhook", "the webhook was not told"),
    ] {
        run(&project, url, &["deploy", "prod"]).exits(6).says(says);
    }
    configure(&project, "json", "");
    let config = std::fs::read_to_string(project.path().join("shipper.toml")).expect("reads");
    project.repo.write("shipper.toml", config.replace("\"HOOK\"", "\"https://hooks.example.com/x\""));
    run(&project, "", &["deploy", "prod"]).exits(2).says("project.notify.env").says("put it into a variable");
}
