//! STS: who the caller is.

use serde_json::Value;

use super::{Answer, Inner, lock, refused};

pub(super) fn answer(inner: &Inner, operation: &str, _parameters: &Value) -> Answer {
    if operation != "GetCallerIdentity" {
        return refused("InvalidAction", operation);
    }
    let account = lock(&inner.account).clone();
    Answer::Xml(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:user/testkit</Arn><UserId>AIDTESTKIT</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    ))
}
