use super::*;

fn host(text: &str) -> RegistryHost {
    text.parse().unwrap()
}

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic { username: username.to_owned(), password: password.into() }
}

fn auth(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Sources that read this one file.
fn sources(dir: &Path, content: &str) -> CredentialSources {
    let file = dir.join("config.json");
    std::fs::write(&file, content).unwrap();
    let mut sources = CredentialSources::from_environment(BTreeMap::new(), None);
    sources.files = vec![file];
    sources
}

async fn find(content: &str, registry: &str, repository: &str) -> Result<Option<Credential>> {
    let dir = tempfile::tempdir().unwrap();
    sources(dir.path(), content).find(&host(registry), &repository.parse().unwrap(), None).await
}

#[tokio::test]
async fn entries_are_found_by_host_and_longest_path() {
    let file = format!(
        r#"{{"auths":{{"ghcr.io":{{"auth":"{}"}},"ghcr.io/acme":{{"auth":"{}"}},"ghcr.io/acme/api":{{"auth":"{}"}},
            "https://index.docker.io/v1/":{{"auth":"{}"}},"localhost:5000":{{"username":"u","password":"p"}},
            "empty.test":{{}}}},"HttpHeaders":{{"X":"y"}}}}"#,
        auth("host:1"),
        auth("acme:2:3"),
        auth("api:4\0\0"),
        auth("hub:5"),
    );
    for (registry, repository, expected) in [
        ("ghcr.io", "other/x", Some(basic("host", "1"))),
        ("ghcr.io", "acme/web", Some(basic("acme", "2:3"))),
        ("ghcr.io", "acme/api", Some(basic("api", "4"))),
        ("ghcr.io", "acme/apiary", Some(basic("acme", "2:3"))),
        ("docker.io", "library/ubuntu", Some(basic("hub", "5"))),
        ("registry-1.docker.io", "library/ubuntu", Some(basic("hub", "5"))),
        ("localhost:5000", "a", Some(basic("u", "p"))),
        ("localhost:5001", "a", None),
        ("localhost", "a", None),
        ("empty.test", "a", None),
        ("evil-ghcr.io", "acme/api", None),
    ] {
        assert_eq!(find(&file, registry, repository).await.unwrap(), expected, "{registry}/{repository}");
    }
}

#[tokio::test]
async fn labels_of_a_host_may_be_wildcards_and_a_name_wins_over_them() {
    let file = format!(
        r#"{{"auths":{{"*.dkr.ecr.eu-west-1.amazonaws.com":{{"auth":"{}"}},"1.dkr.ecr.eu-west-1.amazonaws.com":{{"auth":"{}"}},
            "https://*.example.com/acme":{{"auth":"{}"}},"reg-*-x.example.com:5000":{{"auth":"{}"}},"*":{{"auth":"{}"}},
            "*.com":{{"auth":"{4}"}},"a.*.com":{{"auth":"{4}"}},"*:*.example.org":{{"auth":"{4}"}}}}}}"#,
        auth("any:1"),
        auth("one:2"),
        auth("acme:3"),
        auth("port:4"),
        auth("never:5"),
    );
    for (registry, repository, expected) in [
        ("2.dkr.ecr.eu-west-1.amazonaws.com", "a", Some(basic("any", "1"))),
        ("1.dkr.ecr.eu-west-1.amazonaws.com", "a", Some(basic("one", "2"))),
        ("2.dkr.ecr.us-east-1.amazonaws.com", "a", None),
        ("a.2.dkr.ecr.eu-west-1.amazonaws.com", "a", None),
        ("2.dkr.ecr.eu-west-1.amazonaws.com.example.net", "a", None),
        ("2.dkr.ecr.eu-west-1.amazonaws.com:5000", "a", None),
        ("x.example.com", "acme/api", Some(basic("acme", "3"))),
        ("x.example.com", "other", None),
        ("example.com", "acme/api", None),
        ("reg-eu-x.example.com:5000", "a", Some(basic("port", "4"))),
        ("reg-eu-y.example.com:5000", "a", None),
        ("reg-eu-x.example.com", "a", None),
        ("evil.com", "a", None),
        ("a.evil.com", "a", None),
        ("evil.example.org", "a", None),
        ("ghcr.io", "a", None),
    ] {
        assert_eq!(find(&file, registry, repository).await.unwrap(), expected, "{registry}/{repository}");
    }
    for (pattern, label, expected) in
        [("a*b", "ab", true), ("a*b", "axxb", true), ("a*b*c", "abc", true), ("aa*a", "aa", false)]
    {
        assert_eq!(matches(pattern, label), expected, "{pattern} {label}");
    }
}

#[tokio::test]
async fn tokens_win_over_passwords() {
    let file = format!(
        r#"{{"auths":{{"a.test":{{"auth":"{0}","identitytoken":"i"}},"b.test":{{"auth":"{0}","registrytoken":"r"}}}}}}"#,
        auth("u:p")
    );
    assert_eq!(find(&file, "a.test", "x").await.unwrap(), Some(Credential::IdentityToken("i".into())));
    assert_eq!(find(&file, "b.test", "x").await.unwrap(), Some(Credential::RegistryToken("r".into())));
}

#[tokio::test]
async fn a_damaged_file_is_an_error_that_does_not_quote_it() {
    for content in [
        "{",
        r#"{"auths":{"a.test":{"auth":"canary-not-base64"}}}"#,
        r#"{"auths":"canary"}"#,
        &format!(r#"{{"auths":{{"a.test":{{"auth":"{}"}}}}}}"#, auth("canary-without-colon")),
    ] {
        let error = find(content, "a.test", "x").await.unwrap_err();
        assert!(error.is_unknown(), "{error:?}");
        assert!(!format!("{error:?}{error}").contains("canary"), "{error}");
        assert!(error.to_string().contains("config.json"), "{error}");
    }
}

#[test]
fn files_are_searched_in_the_order_of_docker_and_podman() {
    let environment =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect();
    let home = Path::new("/home/u");
    let files = |pairs: &[(&str, &str)]| CredentialSources::from_environment(environment(pairs), Some(home)).files;
    let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(files(&[]), paths(&["/home/u/.docker/config.json", "/home/u/.config/containers/auth.json"]));
    assert_eq!(
        files(&[
            ("REGISTRY_AUTH_FILE", "/r"),
            ("DOCKER_CONFIG", "/d"),
            ("XDG_RUNTIME_DIR", "/run/u"),
            ("XDG_CONFIG_HOME", "/c")
        ]),
        paths(&["/r", "/d/config.json", "/run/u/containers/auth.json", "/c/containers/auth.json"])
    );
    assert_eq!(CredentialSources::from_environment(environment(&[("DOCKER_CONFIG", "")]), None).files, paths(&[]));
}

#[cfg(unix)]
mod helpers {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Sources with one helper, `docker-credential-test`, that is this shell script.
    fn with_helper(dir: &Path, script: &str, config: &str) -> CredentialSources {
        let path = dir.join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut sources = sources(dir, config);
        let search = format!("{}:/usr/bin:/bin", dir.display());
        sources.environment = BTreeMap::from([("PATH".into(), search.into())]);
        sources
    }

    const STORE: &str = r#"{"credsStore":"test"}"#;

    async fn ask(
        sources: &CredentialSources,
        registry: &str,
        refused: Option<&Credential>,
    ) -> Result<Option<Credential>> {
        // Another thread may be about to start a program while this one holds the script open for writing.
        for _ in 0..50 {
            match sources.find(&host(registry), &"x".parse().unwrap(), refused).await {
                Err(error) if error.to_string().contains("Text file busy") => tokio::task::yield_now().await,
                result => return result,
            }
        }
        panic!("the script stayed busy");
    }

    #[tokio::test]
    async fn a_helper_is_asked_once_per_server_until_its_answer_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"read -r server; echo run >> "$(dirname "$0")/runs"
            secret=s$(wc -l < "$(dirname "$0")/runs" | tr -d ' ')
            echo "{\"ServerURL\":\"$server\",\"Username\":\"$server\",\"Secret\":\"$secret\"}""#;
        let sources = with_helper(dir.path(), script, STORE);
        let runs = || std::fs::read_to_string(dir.path().join("runs")).unwrap().lines().count();
        let [first, second] = ["s1", "s2"].map(|secret| basic("ghcr.io", secret));
        for _ in 0..2 {
            assert_eq!(ask(&sources, "ghcr.io", None).await.unwrap().as_ref(), Some(&first));
        }
        assert_eq!(runs(), 1);
        // Two requests that were refused with the first answer: one question more.
        for _ in 0..2 {
            assert_eq!(ask(&sources, "ghcr.io", Some(&first)).await.unwrap().as_ref(), Some(&second));
        }
        assert_eq!(runs(), 2);
        let hub = Some(basic("https://index.docker.io/v1/", "s3"));
        assert_eq!(ask(&sources, "docker.io", None).await.unwrap(), hub);
    }

    #[tokio::test]
    async fn helpers_for_one_host_come_before_the_store_and_files_after() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            format!(r#"{{"credHelpers":{{"a.test":"test"}},"auths":{{"b.test":{{"auth":"{}"}}}}}}"#, auth("file:f"));
        let sources = with_helper(dir.path(), r#"echo '{"Username":"<token>","Secret":"refresh"}'"#, &config);
        assert_eq!(ask(&sources, "a.test", None).await.unwrap(), Some(Credential::IdentityToken("refresh".into())));
        assert_eq!(ask(&sources, "b.test", None).await.unwrap(), Some(basic("file", "f")));
    }

    #[tokio::test]
    async fn a_helper_that_knows_nothing_leaves_it_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(r#"{{"credsStore":"test","auths":{{"a.test":{{"auth":"{}"}}}}}}"#, auth("file:f"));
        let sources = with_helper(dir.path(), "echo credentials not found in native keychain; exit 1", &config);
        assert_eq!(ask(&sources, "a.test", None).await.unwrap(), Some(basic("file", "f")));
        assert_eq!(ask(&sources, "b.test", None).await.unwrap(), None);
    }

    #[tokio::test]
    async fn failing_helpers_are_errors() {
        for (script, config, expected) in [
            ("echo locked; exit 1", STORE, "locked"),
            ("echo canary-not-json", STORE, "not the expected JSON"),
            ("exec sleep 60", STORE, "did not answer"),
            ("exec cat /dev/zero", STORE, "too much"),
            ("true", r#"{"credsStore":"missing"}"#, "not installed"),
            ("true", r#"{"credsStore":"../../bin/sh"}"#, "characters"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut sources = with_helper(dir.path(), script, config);
            sources.helper_timeout = Duration::from_millis(if expected == "did not answer" { 100 } else { 10_000 });
            let error = ask(&sources, "a.test", None).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{script}: {error}");
            assert!(error.is_unknown() && !error.to_string().contains("canary"), "{error}");
        }
    }
}
