//! STS: who the caller is, and roles for identity tokens; and the place where GitHub Actions hands such tokens out.

use serde_json::Value;

use super::{Answer, Inner, lock, refused};

/// What GitHub shows STS.
pub const GITHUB_IDENTITY: &str = "canary-identity-token-of-a-job";

pub(super) fn answer(inner: &Inner, operation: &str, parameters: &Value) -> Answer {
    match operation {
        "GetCallerIdentity" => caller(inner),
        "AssumeRoleWithWebIdentity" => assume(parameters),
        _ => refused("InvalidAction", operation),
    }
}

fn assume(parameters: &Value) -> Answer {
    if parameters["WebIdentityToken"] != GITHUB_IDENTITY {
        return refused("InvalidIdentityToken", "the token is not one of a job");
    }
    Answer::Xml(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIATESTKIT</AccessKeyId>\
         <SecretAccessKey>canary-secret-of-a-role</SecretAccessKey><SessionToken>canary-session-token</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
            .to_owned(),
    )
}

fn caller(inner: &Inner) -> Answer {
    let account = lock(&inner.account).clone();
    Answer::Xml(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:user/testkit</Arn><UserId>AIDTESTKIT</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    ))
}
