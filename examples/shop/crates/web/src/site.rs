//! Answers the requests of a browser.

use std::io;
use std::path::{Path, PathBuf};

use shop_http::{Request, Response};

use crate::files;

/// A directory of files and the address of the interface.
#[derive(Debug)]
pub(crate) struct Site {
    /// Canonical, so that a resolved path can be compared with it.
    root: PathBuf,
    api: String,
}

impl Site {
    /// Serves `root`; the page calls `api`.
    pub(crate) fn open(root: &Path, api: &str) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, api: api.trim_end_matches('/').to_owned() })
    }

    pub(crate) fn handle(&self, request: &Request) -> Response {
        if !matches!(request.method(), "GET" | "HEAD") {
            return Response::text(405, "only GET and HEAD\n").with_header("allow", "GET, HEAD");
        }
        match request.path() {
            "/health" => Response::text(200, "ok\n"),
            "/config.json" => Response::json(200, format!(r#"{{"api":"{}"}}"#, json_escape(&self.api)))
                .with_header("cache-control", "no-store"),
            path => self.file(path),
        }
    }

    fn file(&self, path: &str) -> Response {
        match files::find(&self.root, path) {
            Ok(Some(found)) => Response::new(200, found.media_type, found.content)
                .with_header("cache-control", "no-cache")
                .with_header("x-content-type-options", "nosniff")
                .with_header("referrer-policy", "no-referrer"),
            Ok(None) => Response::text(404, "not found\n"),
            Err(error) => {
                eprintln!("{path}: {error}");
                Response::text(500, "the file cannot be read\n")
            }
        }
    }
}

/// The address comes from the environment, not from a visitor; it still must not break the document.
fn json_escape(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect::<String>().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("shop-web-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("public/art")).unwrap();
            fs::write(path.join("public/index.html"), "<p>home</p>").unwrap();
            fs::write(path.join("public/art/lamp.svg"), "<svg/>").unwrap();
            fs::write(path.join("public/.hidden"), "x").unwrap();
            fs::write(path.join("secret.txt"), "x").unwrap();
            Self(path)
        }

        fn site(&self) -> Site {
            Site::open(&self.0.join("public"), "http://api:8080/").unwrap()
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn files_come_with_their_type() {
        let directory = Temporary::new("types");
        let site = directory.site();
        for (path, status, media_type) in [
            ("/", 200, "text/html; charset=utf-8"),
            ("/index.html", 200, "text/html; charset=utf-8"),
            ("/art/lamp.svg", 200, "image/svg+xml"),
            ("/config.json", 200, "application/json"),
            ("/art", 404, "text/plain; charset=utf-8"),
            ("/missing", 404, "text/plain; charset=utf-8"),
            ("/index.html/x", 404, "text/plain; charset=utf-8"),
            ("/.hidden", 404, "text/plain; charset=utf-8"),
            ("/../secret.txt", 404, "text/plain; charset=utf-8"),
            ("/%2e%2e/secret.txt", 404, "text/plain; charset=utf-8"),
        ] {
            let response = site.handle(&Request::new("GET", path, ""));
            assert_eq!((response.status(), response.header("content-type")), (status, Some(media_type)), "{path}");
        }
        assert_eq!(site.handle(&Request::new("POST", "/", "")).status(), 405);
        assert_eq!(site.handle(&Request::new("GET", "/config.json", "")).body(), b"{\"api\":\"http://api:8080\"}\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_root_is_not_followed() {
        let directory = Temporary::new("links");
        let site = directory.site();
        std::os::unix::fs::symlink("../secret.txt", directory.0.join("public/out.txt")).unwrap();
        std::os::unix::fs::symlink("index.html", directory.0.join("public/in.html")).unwrap();
        assert_eq!(site.handle(&Request::new("GET", "/out.txt", "")).status(), 404);
        assert_eq!(site.handle(&Request::new("GET", "/in.html", "")).status(), 200);
    }

    #[test]
    fn a_root_that_is_no_directory_is_refused_at_the_start() {
        let directory = Temporary::new("root");
        assert!(Site::open(&directory.0.join("public/index.html"), "").is_err());
        assert!(Site::open(&directory.0.join("nothing"), "").is_err());
    }
}
