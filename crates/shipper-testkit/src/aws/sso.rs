//! IAM Identity Center (SSO): credentials of a role for a login (portal API, `GetRoleCredentials`), and a new access token
//! for a refresh token (OIDC API, `CreateToken`).

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, Uri};
use serde_json::{Map, Value, json};

use super::{Answer, refused};

/// The secrets of a role that is given for a login.
pub const SSO_SECRETS: [&str; 2] = ["canary-secret-of-a-login", "canary-session-of-a-login"];

#[derive(Default)]
pub(super) struct Logins {
    /// Access tokens of logins that are not over.
    pub(super) tokens: BTreeSet<String>,
    /// Access tokens that refresh tokens are exchanged for.
    pub(super) refreshes: BTreeMap<String, String>,
}

/// Action and parameters of a request, where it is one of these; `bearer` is the token that the portal is shown.
pub(super) fn parse(method: &Method, uri: &Uri, bearer: &str, body: &[u8]) -> Option<(&'static str, Value)> {
    match (method, uri.path()) {
        (&Method::GET, "/federation/credentials") => {
            let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
            let mut parameters: Map<String, Value> =
                query.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect();
            parameters.insert("token".to_owned(), Value::String(bearer.to_owned()));
            Some(("sso:GetRoleCredentials", Value::Object(parameters)))
        }
        (&Method::POST, "/token") => Some(("sso-oidc:CreateToken", serde_json::from_slice(body).unwrap_or_default())),
        _ => None,
    }
}

pub(super) fn answer(logins: &mut Logins, action: &str, parameters: &Value) -> Answer {
    let text = |name: &str| parameters[name].as_str().unwrap_or_default();
    if action == "sso:GetRoleCredentials" {
        if !logins.tokens.contains(text("token")) {
            return Answer::Refused(401, "UnauthorizedException", "Session token not found or invalid".to_owned());
        }
        return Answer::Json(json!({"roleCredentials": {
            "accessKeyId": "ASIALOGIN",
            "secretAccessKey": SSO_SECRETS[0],
            "sessionToken": SSO_SECRETS[1],
            // 2099-01-01, in milliseconds.
            "expiration": 4_070_908_800_000_u64,
        }}));
    }
    let is_refresh = text("grantType") == "refresh_token";
    match logins.refreshes.get(text("refreshToken")).filter(|_| is_refresh) {
        Some(token) => {
            logins.tokens.insert(token.clone());
            Answer::Json(json!({"accessToken": token, "tokenType": "Bearer", "expiresIn": 3600}))
        }
        None => refused("InvalidGrantException", "Invalid refresh token provided"),
    }
}
