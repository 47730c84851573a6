//! The profile `Distribution` against the real `docker-registry`: the same requests, the same answers.

use shipper_testkit::{DockerRegistry, FakeRegistry, Profile, need};

use crate::client::{self, Answer, Client, IMAGE, INDEX, Image};

/// What must be equal: status, error code and the headers a client decides by. Ports and session ids differ.
fn essence(answer: &Answer) -> String {
    let header = |name: &str| format!("{name}={:?}", answer.header(name));
    let headers: Vec<String> = [
        "docker-content-digest",
        "docker-distribution-api-version",
        "content-type",
        "content-range",
        "etag",
        "oci-subject",
        "range",
        "link",
        "www-authenticate",
    ]
    .map(header)
    .to_vec();
    let location = answer.header("location");
    let shape = match location.split_once("/v2/") {
        Some((_, rest)) => rest.split("/uploads/").next().unwrap_or_default().to_owned(),
        None => location.clone(),
    };
    let absolute = location.starts_with("http://");
    let mut tags: Vec<String> =
        answer.json()["tags"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    tags.sort();
    format!("{} {} {} {absolute} {shape} tags {tags:?}", answer.status, answer.error_code(), headers.join(" "))
}

/// Requests to one server, each with a line about its answer.
struct Conversation {
    client: Client,
    lines: Vec<String>,
    image: Image,
    absent: String,
}

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");
const TYPED: (&str, &str) = ("content-type", IMAGE);

impl Conversation {
    fn say(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.client.send(method, target, headers, body);
        let number = self.lines.len();
        // Session ids and their states differ.
        let path = target.strip_prefix(&self.client.url).unwrap_or(target);
        let shown = match path.split_once("/uploads/") {
            Some((head, query)) if query.starts_with('?') => format!("{head}/uploads/{query}"),
            Some((head, _)) => format!("{head}/uploads/.."),
            None => path.to_owned(),
        };
        self.lines.push(format!("{number} {method} {shown} {headers:?} -> {}", essence(&answer)));
        answer
    }

    fn get(&mut self, target: &str) {
        self.say("GET", target, &[], b"");
    }

    fn open(&mut self) -> String {
        self.say("POST", "/v2/x/blobs/uploads/", &[], b"").header("location")
    }

    fn nothing_there(&mut self) {
        for target in
            ["/v2/", "/v2/x/tags/list", "/v2/x/manifests/latest", "/v2/x/blobs/bad", "/v2/BAD/tags/list", "/nothing"]
        {
            self.get(target);
        }
        self.get(&format!("/v2/x/blobs/{}", self.absent));
        self.say("HEAD", "/v2/x/manifests/latest", &[], b"");
    }

    fn uploads(&mut self) {
        let (digest, absent) = (self.image.config_digest.clone(), self.absent.clone());
        let content = self.image.config.clone().into_bytes();
        let put = |location: &str, digest: &str| format!("{location}&digest={digest}");

        // One request with everything is not supported and opens a session.
        self.say("POST", &format!("/v2/x/blobs/uploads/?digest={digest}"), &[OCTETS], &content);
        let location = self.open();
        self.get(&location);
        let patched = self.say("PATCH", &location, &[OCTETS], &content[..10]).header("location");
        self.get(&patched);
        self.get(&location);
        // `Content-Range` is not looked at.
        let headers = [OCTETS, ("content-range", "90-99")];
        let patched = self.say("PATCH", &patched, &headers, &content[10..20]).header("location");
        self.say("PUT", &put(&patched, &digest), &[OCTETS], &content[20..]);
        self.say("PUT", &put(&patched, &digest), &[OCTETS], &content[20..]);

        let location = self.open();
        self.say("PUT", &put(&location, "bad"), &[OCTETS], &content);
        self.say("PUT", &location, &[OCTETS], &content);
        self.say("PUT", &put(&location, &absent), &[OCTETS], &content);
        // The session went on with those bytes, so the location is an old one.
        self.say("PUT", &put(&location, &digest), &[OCTETS], &content);
        let location = self.open();
        self.say("DELETE", &location, &[], b"");
        self.say("DELETE", &location, &[], b"");
    }

    fn blobs(&mut self) {
        let (digest, absent) = (self.image.config_digest.clone(), self.absent.clone());
        self.say("HEAD", &format!("/v2/x/blobs/{digest}"), &[], b"");
        self.say("GET", &format!("/v2/x/blobs/{digest}"), &[("range", "bytes=1-2")], b"");
        for query in [
            format!("mount={digest}&from=x"),
            format!("mount={digest}"),
            format!("mount={digest}&from=nope"),
            format!("mount={absent}&from=x"),
            "mount=bad&from=x".to_owned(),
        ] {
            self.say("POST", &format!("/v2/y/blobs/uploads/?{query}"), &[], b"");
        }
        self.get("/v2/y/tags/list");
    }

    fn manifests(&mut self) {
        let (digest, absent) = (self.image.digest.clone(), self.absent.clone());
        let text = self.image.manifest.clone();
        let lacking = text.replace(&self.image.config_digest, &absent);
        self.say("PUT", "/v2/x/manifests/v1", &[TYPED], text.as_bytes());
        self.say("PUT", &format!("/v2/x/manifests/{absent}"), &[TYPED], text.as_bytes());
        self.say("PUT", &format!("/v2/x/manifests/{digest}"), &[TYPED], text.as_bytes());
        self.say("PUT", "/v2/x/manifests/v2", &[TYPED], lacking.as_bytes());
        self.say("PUT", "/v2/x/manifests/v2", &[TYPED], b"nope");
        self.say("PUT", "/v2/x/manifests/v2", &[("content-type", "text/plain")], text.as_bytes());
        self.say("PUT", "/v2/x/manifests/-bad", &[TYPED], text.as_bytes());
        self.say("PATCH", "/v2/x/manifests/v1", &[], b"");
        for method in ["GET", "HEAD"] {
            self.say(method, "/v2/x/manifests/v1", &[], b"");
            self.say(method, "/v2/x/manifests/v1", &[("accept", IMAGE)], b"");
            self.say(method, "/v2/x/manifests/v1", &[("accept", "*/*")], b"");
        }
        let several = format!("text/html;q=1, {IMAGE};q=0.5");
        self.say("GET", "/v2/x/manifests/v1", &[("accept", &several)], b"");
        let etag = format!("\"{digest}\"");
        self.say("GET", "/v2/x/manifests/v1", &[("accept", IMAGE), ("if-none-match", &etag)], b"");
        self.say("PUT", "/v2/x/manifests/v1", &[TYPED, ("if-none-match", "*")], text.as_bytes());
    }

    fn indexes_and_artifacts(&mut self) {
        let (index, digest) = (self.image.index(), self.image.digest.clone());
        let typed = [("content-type", INDEX)];
        self.say("PUT", "/v2/x/manifests/idx", &typed, index.as_bytes());
        self.say("PUT", "/v2/x/manifests/idx2", &typed, index.replace(&digest, &self.absent).as_bytes());
        for accept in [IMAGE, INDEX] {
            self.say("GET", "/v2/x/manifests/idx", &[("accept", accept)], b"");
        }
        let artifact = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/x","digest":"{}","size":{}}},"layers":[],"subject":{{"mediaType":"{IMAGE}","digest":"{digest}","size":{}}}}}"#,
            self.image.config_digest,
            self.image.config.len(),
            self.image.manifest.len()
        );
        let target = format!("/v2/x/manifests/{}", client::digest(artifact.as_bytes()));
        self.say("PUT", &target, &[TYPED], artifact.as_bytes());
        self.get(&format!("/v2/x/referrers/{digest}"));
        for query in ["", "?n=1", "?n=1&last=idx"] {
            self.get(&format!("/v2/x/tags/list{query}"));
        }
    }

    fn deletions(&mut self) {
        let blob = format!("/v2/x/blobs/{}", self.image.config_digest);
        let manifest = format!("/v2/x/manifests/{}", self.image.digest);
        let absent = format!("/v2/x/manifests/{}", self.absent);
        for target in ["/v2/x/manifests/v1", &absent, &manifest, &manifest] {
            self.say("DELETE", target, &[], b"");
        }
        self.get("/v2/x/tags/list");
        self.say("GET", "/v2/x/manifests/v1", &[("accept", IMAGE)], b"");
        self.say("GET", "/v2/x/manifests/idx", &[("accept", INDEX)], b"");
        self.say("DELETE", &blob, &[], b"");
        self.say("DELETE", &blob, &[], b"");
    }
}

/// A line for each answer, in the order of the requests.
fn conversation(url: &str) -> Vec<String> {
    let mut talk = Conversation {
        client: Client::new(url),
        lines: Vec::new(),
        image: Image::new("one"),
        absent: format!("sha256:{}", "0".repeat(64)),
    };
    talk.nothing_there();
    talk.uploads();
    talk.blobs();
    talk.manifests();
    talk.indexes_and_artifacts();
    talk.deletions();
    talk.lines
}

#[test]
fn the_profile_answers_as_the_real_server() {
    let real = need!(DockerRegistry::start());
    let fake = FakeRegistry::builder().profile(Profile::Distribution).start();
    let (expected, found) = (conversation(&real.url()), conversation(&fake.url()));
    let differences: Vec<String> = expected
        .iter()
        .zip(&found)
        .filter(|(real, fake)| real != fake)
        .map(|(real, fake)| format!("real {real}\nfake {fake}\n"))
        .collect();
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), expected.len(), differences.join("\n"));
    assert_eq!(expected.len(), found.len());
}
