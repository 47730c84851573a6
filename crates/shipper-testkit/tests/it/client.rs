//! A client for tests of the registries: one request, one answer, no retries, no opinions.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Media type of an image manifest.
pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image index.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    /// The body as text.
    pub(crate) body: String,
}

impl Answer {
    /// A header, or the empty text.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// The body as JSON, or null.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The code of the first error, or the empty text.
    pub(crate) fn error_code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The target of `Link: <..>; rel="next"`, or the empty text.
    pub(crate) fn next(&self) -> String {
        let link = self.header("link");
        link.strip_prefix('<')
            .and_then(|link| link.split_once('>'))
            .map(|(target, _)| target.to_owned())
            .unwrap_or_default()
    }
}

/// A client of one registry.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    /// Where paths are looked for.
    pub(crate) url: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self::build(url, reqwest::Client::builder())
    }

    fn build(url: &str, builder: reqwest::ClientBuilder) -> Self {
        // reqwest is built without a crypto provider; an error says that another client of this process has set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            http: builder.no_proxy().build().expect("a client"),
            url: url.to_owned(),
        }
    }

    pub(crate) fn without_redirects(self) -> Self {
        Self::build(&self.url, reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()))
    }

    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self::build(&self.url, reqwest::Client::builder().timeout(timeout))
    }

    /// `target` is a path or a whole URL.
    pub(crate) fn try_send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, reqwest::Error> {
        let url = if target.starts_with('/') { format!("{}{target}", self.url) } else { target.to_owned() };
        let method: reqwest::Method = method.parse().expect("a method");
        let mut request = self.http.request(method, url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let response = request.send().await?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = String::from_utf8_lossy(&response.bytes().await?).into_owned();
            Ok(Answer { status, headers, body })
        })
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, target, headers, body).unwrap_or_else(|error| panic!("{method} {target}: {error:?}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    #[track_caller]
    pub(crate) fn get_accepting(&self, target: &str, media_type: &str) -> Answer {
        self.send("GET", target, &[("accept", media_type)], b"")
    }

    /// `PUT` of an upload location, which may have a query of its own.
    #[track_caller]
    pub(crate) fn finish(&self, location: &str, digest: &str, body: &[u8]) -> Answer {
        let separator = if location.contains('?') { '&' } else { '?' };
        self.send("PUT", &format!("{location}{separator}digest={digest}"), &[], body)
    }

    #[track_caller]
    pub(crate) fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let location = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").header("location");
        let stored = self.finish(&location, &digest(bytes), bytes);
        assert_eq!(stored.status, 201, "{stored:?}");
        digest(bytes)
    }
}

/// An image of one configuration and no layer.
pub(crate) struct Image {
    pub(crate) config: String,
    pub(crate) config_digest: String,
    pub(crate) manifest: String,
    pub(crate) digest: String,
}

impl Image {
    pub(crate) fn new(name: &str) -> Self {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{"name":"{name}"}}}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let config_digest = digest(config.as_bytes());
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[]}}"#,
            config.len()
        );
        let digest = digest(manifest.as_bytes());
        Self { config, config_digest, manifest, digest }
    }

    #[track_caller]
    pub(crate) fn push(&self, client: &Client, name: &str, tag: &str) {
        client.push_blob(name, self.config.as_bytes());
        let stored = self.put(client, name, tag);
        assert_eq!(stored.status, 201, "{stored:?}");
    }

    #[track_caller]
    pub(crate) fn put(&self, client: &Client, name: &str, tag: &str) -> Answer {
        client.send("PUT", &format!("/v2/{name}/manifests/{tag}"), &[("content-type", IMAGE)], self.manifest.as_bytes())
    }

    pub(crate) fn index(&self) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{IMAGE}","digest":"{}","size":{}}}]}}"#,
            self.digest,
            self.manifest.len()
        )
    }
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    shipper_testkit::registry::digest_of(bytes)
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
