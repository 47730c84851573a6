//! Which token servers a registry may name: the rule that keeps a password with the party it belongs to.
//!
//! A challenge says where to fetch a token, and the password goes there. A hostile or hijacked registry would name its
//! own server (CVE-2020-15157 and its relatives), so the place must belong to the registry's owner.

use url::Url;

use crate::RegistryHost;
use crate::address::Zone;

/// Second-level labels below country codes under which names of different owners lie (`example.co.uk`).
const SHARED_SECOND_LEVEL: [&str; 8] = ["com", "org", "net", "gov", "edu", "mil", "info", "gouv"];

/// Domains below which each name has another owner.
const SHARED_DOMAINS: [&str; 37] = [
    "amazonaws.com",
    "appspot.com",
    "awsapprunner.com",
    "azure-api.net",
    "azurecontainerapps.io",
    "azurecr.cn",
    "azurecr.io",
    "azurecr.us",
    "azurefd.net",
    "azurewebsites.net",
    "cloudapp.net",
    "cloudfront.net",
    "cloudsmith.io",
    "cr.cloud",
    "digitaloceanspaces.com",
    "duckdns.org",
    "fly.dev",
    "gcr.io",
    "github.dev",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "jfrog.io",
    "netlify.app",
    "ngrok.app",
    "ngrok.dev",
    "ngrok.io",
    "nip.io",
    "onrender.com",
    "pages.dev",
    "pkg.dev",
    "r2.dev",
    "run.app",
    "sslip.io",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// Pairs of registry and token server that share an owner but, by the rules here, no domain.
const PAIRS: [(&str, &str); 3] = [
    ("docker.io", "auth.docker.io"),
    ("index.docker.io", "auth.docker.io"),
    ("registry-1.docker.io", "auth.docker.io"),
];

/// Why a realm is refused; `Ok` when credentials may go there. `plain` says that the registry itself speaks plain http.
pub(crate) fn check(registry: &RegistryHost, realm: &Url, plain: bool) -> Result<(), &'static str> {
    if !realm.username().is_empty() || realm.password().is_some() {
        return Err("it holds a user name");
    }
    match realm.scheme() {
        "https" => {}
        "http" if plain => {}
        _ => return Err("it is not https"),
    }
    let Some(host) = realm.host_str() else { return Err("it has no host") };
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    let name = registry.name();
    if host == name || PAIRS.contains(&(name, host.as_str())) {
        return Ok(());
    }
    // Of the machine itself and of addresses, only the very same is the same owner.
    if Zone::of_host(&host) != Zone::Public || Zone::of_host(name) != Zone::Public {
        return Err("its host is another than the registry's");
    }
    match (registrable(name), registrable(&host)) {
        (Some(own), Some(other)) if own == other => Ok(()),
        _ => Err("its host shares no domain with the registry"),
    }
}

/// The part of a name that one owner holds, as well as that can be said without the full list of public suffixes: the
/// last two labels, three below a shared second level. `None` for addresses and for names whose siblings are foreign.
fn registrable(host: &str) -> Option<&str> {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let [.., second, top] = labels[..] else { return None };
    let shared = top.len() == 2 && (second.len() <= 2 || SHARED_SECOND_LEVEL.contains(&second));
    let wanted = if shared { 3 } else { 2 };
    if labels.len() < wanted {
        return None;
    }
    let length: usize = labels[labels.len() - wanted..].iter().map(|label| label.len() + 1).sum();
    let domain = &host[host.len() + 1 - length..];
    let foreign = SHARED_DOMAINS
        .iter()
        .any(|shared| domain == *shared || host.strip_suffix(shared).is_some_and(|rest| rest.ends_with('.')));
    // `x.amazonaws.com.cn` has a shared second level and is shared below it again.
    (!foreign && !host.ends_with(".amazonaws.com.cn")).then_some(domain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(registry: &str, realm: &str) -> bool {
        let registry: RegistryHost = registry.parse().unwrap();
        check(&registry, &realm.parse().unwrap(), registry.is_loopback()).is_ok()
    }

    #[test]
    fn realms_of_the_same_owner_are_allowed() {
        for (registry, realm) in [
            ("docker.io", "https://auth.docker.io/token"),
            ("registry-1.docker.io", "https://auth.docker.io/token"),
            ("ghcr.io", "https://ghcr.io/token"),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("registry.digitalocean.com", "https://api.digitalocean.com/v2/registry/auth"),
            ("registry.example.co.uk", "https://auth.example.co.uk/t"),
            ("acme.azurecr.io", "https://acme.azurecr.io/oauth2/token"),
            ("127.0.0.1:5000", "http://127.0.0.1:5001/token"),
            ("localhost:5000", "https://localhost/token"),
            ("10.0.0.1:443", "https://10.0.0.1/token"),
        ] {
            assert!(allowed(registry, realm), "{registry} {realm}");
        }
    }

    #[test]
    fn realms_of_others_are_refused() {
        for (registry, realm) in [
            ("ghcr.io", "https://evil.example/token"),
            ("ghcr.io", "http://ghcr.io/token"),
            ("ghcr.io", "https://ghcr.io.evil.example/token"),
            ("ghcr.io", "https://evil-ghcr.io/token"),
            ("ghcr.io", "https://user:pass@ghcr.io/token"),
            ("ghcr.io", "file:///etc/passwd"),
            ("a.co.uk", "https://b.co.uk/t"),
            ("a.com.au", "https://b.com.au/t"),
            ("a.azurecr.io", "https://b.azurecr.io/t"),
            ("1.dkr.ecr.eu-west-1.amazonaws.com", "https://evil.s3.amazonaws.com/t"),
            ("1.dkr.ecr.cn-north-1.amazonaws.com.cn", "https://evil.s3.amazonaws.com.cn/t"),
            ("registry.example.com", "https://169.254.169.254/t"),
            ("registry.example.com", "https://localhost/t"),
            ("127.0.0.1:5000", "http://localhost:5001/token"),
            ("127.0.0.1:5000", "http://127.0.0.2:5000/token"),
            ("10.0.0.1:443", "https://10.0.0.2/token"),
            ("1.2.3.4:443", "https://9.2.3.4/token"),
        ] {
            assert!(!allowed(registry, realm), "{registry} {realm}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// Whatever both are called: a password goes to the registry's own host, to a pair of the table, or to a public name
        /// with the same last two labels at least, and always over https unless the registry itself is plain.
        #[test]
        fn a_password_goes_only_to_the_same_owner(seed in any::<u64>(), plain in any::<bool>()) {
            const LABELS: [&str; 20] = [
                "a.", "b.", "evil.", "ghcr.", "registry.", "auth.", "docker.", "io.", "com.", "co.", "uk.", "cn.", "amazonaws.",
                "azurecr.", "localhost.", "127.0.0.1.", "10.0.0.1.", "169.254.169.254.", "example.", "net.",
            ];
            let host = |seed| crate::scramble::text(seed, &LABELS, 4).trim_end_matches('.').to_owned();
            let (own, other) = (host(seed), host(seed.rotate_left(17) ^ 0x5eed));
            let Ok(registry) = own.parse::<RegistryHost>() else { return Ok(()) };
            let scheme = ["https", "http", "ftp"][usize::try_from(seed % 3).unwrap()];
            let user = if seed % 7 == 0 { "user@" } else { "" };
            let Ok(realm) = Url::parse(&format!("{scheme}://{user}{other}/token")) else { return Ok(()) };
            let verdict = check(&registry, &realm, plain);
            let (name, realm_host) = (registry.name(), realm.host_str().unwrap_or_default());
            let is_right_scheme = scheme == "https" || (scheme == "http" && plain);
            if name == realm_host && is_right_scheme && user.is_empty() {
                prop_assert_eq!(verdict, Ok(()), "{} {}", registry, realm);
            }
            if verdict.is_err() {
                return Ok(());
            }
            prop_assert!(is_right_scheme && user.is_empty(), "{} {}", registry, realm);
            if name == realm_host || PAIRS.contains(&(name, realm_host)) {
                return Ok(());
            }
            let last = |host: &str| host.rsplit('.').take(2).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(last(name), last(realm_host));
            prop_assert_eq!(last(name).len(), 2, "{} {}", registry, realm);
            prop_assert!(Zone::of_host(name) == Zone::Public && Zone::of_host(realm_host) == Zone::Public);
            let is_shared = |host: &str| {
                let below = |shared: &&str| host.strip_suffix(*shared).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                SHARED_DOMAINS.iter().any(below)
            };
            prop_assert!(!is_shared(name) && !is_shared(realm_host), "{} {}", registry, realm);
            // Where on that host makes no difference.
            let mut further = realm.clone();
            further.set_path("/elsewhere");
            prop_assert_eq!(check(&registry, &further, plain), Ok(()));
        }
    }
}
