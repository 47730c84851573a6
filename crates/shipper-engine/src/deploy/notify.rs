//! One webhook is told how deployments end that somebody should know of: failures, images that are kept out, and the first success
//! after a failure.
//!
//! Sources of the renderings: Slack documentation, "Sending messages using incoming webhooks" and "Escaping text"; Microsoft Learn,
//! "Create incoming webhooks with Workflows" (adaptive cards); Discord documentation, "Execute Webhook".
//!
//! Invariants: a webhook never decides how a deployment ends, nor keeps it for longer than [`PATIENCE`]; its URL is in no text,
//! event or record; it is told no output of a command.

use std::time::Duration;

use serde_json::{Value, json};
use shipper_oci::Webhook;
use shipper_plan::NotifyFormat;
use shipper_report::ExitCode;

use super::Deployed;
use crate::project::client_options;
use crate::{Error, Events, Project};

/// How long the webhook may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest message, in characters: Discord's limit is 2,000.
const LONGEST: usize = 1800;

/// How a deployment ended, as a webhook is told.
struct Notice<'a> {
    command: &'a str,
    environment: &'a str,
    /// `failed`, `rolled-back`, `refused`, `recovered`.
    what: &'static str,
    code: ExitCode,
    record: Option<&'a str>,
    problem: Vec<String>,
    hint: Option<String>,
}

impl<'a> Notice<'a> {
    /// `None` for an end that nobody has to be told of.
    fn of(command: &'a str, environment: &'a str, ended: &'a Result<Deployed, Error>) -> Option<Self> {
        let error = match ended {
            Ok(deployed) if deployed.recovered => {
                return Some(Self {
                    command,
                    environment,
                    what: "recovered",
                    code: ExitCode::Done,
                    record: deployed.record.as_deref(),
                    problem: Vec::new(),
                    hint: None,
                });
            }
            Ok(_) => return None,
            Err(error) => error,
        };
        let what = match (error, error.exit_code()) {
            // Another one is at work, and will be told of where it fails.
            (Error::Deploy(shipper_deploy::Error::Held { .. } | shipper_deploy::Error::TakenOver { .. }), _) => {
                return None;
            }
            (Error::Gate { .. } | Error::GateUnknown { .. }, _) => "refused",
            (_, ExitCode::RolledBack) => "rolled-back",
            (_, ExitCode::Unknown | ExitCode::BuildFailed | ExitCode::PushFailed | ExitCode::DeployFailed) => "failed",
            // What was mistyped or interrupted is known to whoever did so.
            _ => return None,
        };
        Some(Self {
            command,
            environment,
            what,
            code: error.exit_code(),
            record: error.record(),
            problem: error.chain(),
            hint: error.hint(),
        })
    }

    /// What the webhook is sent.
    fn render(&self, project: &Project, format: NotifyFormat) -> Value {
        let text = |escape: fn(&str) -> String| self.text(&project.settings.name.value, escape);
        match format {
            NotifyFormat::Json => json!({
                "format": shipper_report::FORMAT,
                "event": self.what,
                "project": project.settings.name.value,
                "environment": self.environment,
                "command": self.command,
                "exit-code": self.code.code(),
                "record": self.record,
                "commit": crate::git::head(&project.root).commit,
                "actor": super::execute::actor(&project.environment.iter().collect()),
                "problem": self.problem,
                "hint": self.hint,
            }),
            NotifyFormat::Slack => json!({ "text": text(slack) }),
            NotifyFormat::Discord => json!({ "content": text(plain), "allowed_mentions": { "parse": [] } }),
            NotifyFormat::Teams => json!({
                "type": "message",
                "attachments": [{
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": [{ "type": "TextBlock", "text": text(plain), "wrap": true }],
                    },
                }],
            }),
        }
    }

    /// The same in lines for people.
    fn text(&self, project: &str, escape: fn(&str) -> String) -> String {
        let ended = match self.what {
            "recovered" => "runs again",
            "rolled-back" => "was rolled back",
            "refused" => "was refused an image",
            _ => "failed",
        };
        let mut lines = vec![format!("{project}: `{}` of {} {ended}", self.command, self.environment)];
        lines.extend(self.problem.iter().cloned());
        lines.extend(self.hint.iter().map(|hint| format!("hint: {hint}")));
        lines.extend(self.record.map(|record| format!("record {record}")));
        let text: String = escape(&lines.join("\n")).chars().take(LONGEST).collect();
        text
    }
}

/// Slack reads these three as markup, mentions of everybody among it.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn plain(text: &str) -> String {
    text.to_owned()
}

/// Tells the webhook, where there is one and something to tell.
pub(super) async fn notify(
    project: &Project,
    command: &str,
    environment: &str,
    ended: &Result<Deployed, Error>,
    events: &Events,
) {
    let Some(notice) = Notice::of(command, environment, ended) else { return };
    let untold = |why: &str| events.warn(None, format!("the webhook was not told: {why}"));
    let notify = match project.config.notify() {
        Ok(Some(notify)) => notify,
        Ok(None) => return,
        Err(error) => return untold(&error.to_string()),
    };
    let Some(url) = project.environment.get(&notify.env).filter(|url| !url.is_empty()) else {
        return untold(&format!("{} is not set", notify.env));
    };
    let document = notice.render(project, notify.format).to_string();
    let opened = client_options(&project.environment, &project.logins).and_then(|options| Webhook::new(url, options));
    let Ok(webhook) = opened else {
        return untold(&format!("{} holds no https URL", notify.env));
    };
    match tokio::time::timeout(PATIENCE, webhook.post(document.into_bytes())).await {
        Ok(Ok(200..=299)) => {}
        Ok(Ok(status)) => untold(&format!("it answered {status}")),
        // The error has the URL in it.
        Ok(Err(_)) => untold("it could not be reached"),
        Err(_) => untold("it gave no answer in time"),
    }
}
