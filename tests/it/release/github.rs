//! `shipper release-notes --github` against a stand-in for GitHub's API that does what GitHub does on a bad day.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::support::{Project, Ran};

/// What the API does with one request.
#[derive(Clone, Copy)]
pub(crate) enum Turn {
    /// What it should.
    Right,
    /// This status with these headers and no document.
    Refuse(u16, &'static str),
    /// Takes the text, then somebody else writes theirs.
    Overwritten(&'static str),
    /// Half of the answer.
    Cut,
}

/// A repository with one release.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    release: Value,
    turns: VecDeque<Turn>,
    /// Method and path of each request.
    requests: Vec<String>,
}

impl Api {
    /// A release `v1.1.0` with this text, and what is done with the first requests.
    pub(crate) fn start(body: &str, is_draft: bool, turns: &[Turn]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let release =
            json!({ "id": 7, "tag_name": "v1.1.0", "draft": is_draft, "body": body, "html_url": "https://e.x/7" });
        let state = State { release, turns: turns.iter().copied().collect(), requests: Vec::new() };
        let api = Self { address, state: Arc::new(Mutex::new(state)) };
        let served = api.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that went away is its own business.
                let _ = stream.map(|stream| served.serve(stream));
            }
        });
        api
    }

    fn serve(&self, mut stream: std::net::TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let header = |name: &str| {
            let line = lines.iter().find(|line| line.to_ascii_lowercase().starts_with(name));
            line.and_then(|line| Some(line.split_once(": ")?.1.to_owned()))
        };
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let asked = lines.first().map_or(String::new(), |line| line.replace(" HTTP/1.1", ""));
        let is_known = header("authorization").as_deref() == Some("Bearer secret-token");
        let (status, headers, document, is_cut) = self.answer(&asked, is_known, &body);
        let text = document.to_string();
        let sent = if is_cut { &text[..text.len() / 2] } else { &text };
        write!(
            stream,
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{sent}",
            text.len()
        )
    }

    fn answer(&self, asked: &str, is_known: bool, body: &[u8]) -> (u16, &'static str, Value, bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.push(asked.to_owned());
        if !is_known {
            return (401, "", json!({}), false);
        }
        let turn = state.turns.pop_front().unwrap_or(Turn::Right);
        if let Turn::Refuse(status, headers) = turn {
            return (status, headers, json!({ "message": "no" }), false);
        }
        let is_draft = state.release["draft"] == true;
        let document = match asked {
            "GET /repos/acme/shop/releases/tags/v1.1.0" if !is_draft => state.release.clone(),
            "GET /repos/acme/shop/releases?per_page=100" => {
                json!([{ "id": 1, "tag_name": "v1", "body": null }, state.release])
            }
            "GET /repos/acme/shop/releases/7" => state.release.clone(),
            "PATCH /repos/acme/shop/releases/7" => {
                let change: Value = serde_json::from_slice(body).expect("JSON");
                assert_eq!(change.as_object().map(serde_json::Map::len), Some(1), "{change}");
                state.release["body"] = change["body"].clone();
                let answer = state.release.clone();
                if let Turn::Overwritten(text) = turn {
                    state.release["body"] = json!(text);
                }
                answer
            }
            _ => return (404, "", json!({ "message": "Not Found" }), false),
        };
        (200, "", document, matches!(turn, Turn::Cut))
    }

    pub(crate) fn body(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.release["body"].as_str().unwrap_or_default().to_owned()
    }

    fn writes(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests.iter().filter(|asked| asked.starts_with("PATCH")).count()
    }

    fn publish(&self, project: &Project) -> Ran {
        self.publish_as(project, "secret-token")
    }

    fn publish_as(&self, project: &Project, token: &str) -> Ran {
        let mut command = project.command(["release-notes", "--ref", "refs/tags/v1.1.0", "--github=acme/shop"]);
        command.env("GITHUB_API_URL", &self.address).env("GITHUB_TOKEN", token).env_remove("GH_TOKEN");
        Ran::of(&command.output().expect("the binary starts"))
    }
}

/// A project whose images of `v1.1.0` are there, and what is said of them.
fn released() -> (Project, String) {
    let project = Project::two_services();
    project.run(["ship", "--ref", "refs/tags/v1.1.0"]).ok();
    let block = project.run(["release-notes", "--ref", "refs/tags/v1.1.0"]).ok().stdout;
    (project, block)
}

#[test]
fn a_release_gets_its_notes_once_and_keeps_its_text() {
    let (project, block) = released();
    for is_draft in [false, true] {
        let api = Api::start("What is new: \"é\"\r\n\r\n", is_draft, &[]);
        api.publish(&project).ok().says("Wrote the release v1.1.0 of acme/shop: https://e.x/7");
        assert_eq!(api.body(), format!("What is new: \"é\"\r\n\r\n{block}"));
        api.publish(&project).ok().says("Unchanged the release v1.1.0 of acme/shop");
        assert_eq!(api.writes(), 1);
    }
}

#[test]
fn who_writes_meanwhile_is_not_overwritten() {
    let (project, block) = released();
    let (right, theirs) = (Turn::Right, Turn::Overwritten("theirs"));
    let api = Api::start("ours", false, &[right, theirs]);
    api.publish(&project).ok();
    assert_eq!((api.body(), api.writes()), (format!("theirs\n\n{block}"), 2));
    let again = Turn::Overwritten("theirs again");
    let api = Api::start("ours", false, &[right, again, right, right, again, right, right, again]);
    api.publish(&project)
        .exits(5)
        .says("its text was another one when it was read back")
        .says("hint: let one job write");
    assert_eq!((api.body().as_str(), api.writes()), ("theirs again", 3));
}

#[test]
fn refusals_name_what_is_missing() {
    let (project, _) = released();
    let check = |turns: &[Turn], code: i32, says: &str, writes: usize| {
        let api = Api::start("ours", false, turns);
        api.publish(&project).exits(code).says(says);
        assert_eq!(api.writes(), writes, "{says}");
    };
    let right = Turn::Right;
    let denied = Turn::Refuse(403, "x-accepted-github-permissions: contents=write\r\n");
    check(&[right, denied], 3, "the token may not do this; accepted is contents=write", 1);
    check(&[right, Turn::Refuse(403, "")], 3, "hint: give the job or the token `contents: write`", 1);
    // Asked to wait, it waits, but not for an hour.
    check(&[Turn::Refuse(429, "retry-after: 0\r\n"), right, Turn::Refuse(403, "retry-after: 0\r\n")], 0, "Wrote", 2);
    check(&[Turn::Refuse(429, "retry-after: 3600\r\n")], 3, "GitHub takes no more requests for now", 0);
    check(&[Turn::Refuse(403, "x-ratelimit-remaining: 0\r\n")], 3, "hint: try again later", 0);
    check(&[right, Turn::Refuse(409, "")], 3, "GitHub answered 409", 1);
    // What was cut off is no answer.
    check(&[Turn::Cut], 3, "cannot write the notes of acme/shop v1.1.0", 0);
    check(&[Turn::Refuse(404, ""), Turn::Refuse(404, "")], 1, "there is no such release", 0);
    let long = Api::start(&"x".repeat(125_000), false, &[]);
    long.publish(&project).exits(2).says("characters, and may have 125000");
    let broken = Api::start("<!-- shipper:images:end -->", false, &[]);
    broken.publish(&project).exits(2).says("its marks are no pair");
    assert_eq!(long.writes() + broken.writes(), 0);
}

#[test]
fn a_token_is_needed_and_never_shown() {
    let (project, _) = released();
    let api = Api::start("ours", false, &[]);
    api.publish_as(&project, "").exits(2).says("hint: set GITHUB_TOKEN");
    let ran = api.publish_as(&project, "another-token").exits(3);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("another-token"), "{}", ran.stderr);
    let without = project.run(["release-notes", "--ref", "refs/heads/main", "--github=acme/shop"]);
    assert_eq!(without.code, Some(1), "{}", without.stderr);
    project.run(["release-notes", "--github=acme"]).exits(2).says("write OWNER/NAME");
}
