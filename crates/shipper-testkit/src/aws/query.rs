//! The AWS query protocol: forms in, XML out.

use serde_json::{Map, Value};

/// Action and parameters of a form. CloudFormation and STS share the protocol; the version tells them apart.
pub(super) fn parse(body: &[u8]) -> (String, Value) {
    let mut parameters = Map::new();
    for (key, value) in url::form_urlencoded::parse(body) {
        parameters.insert(key.into_owned(), Value::String(value.into_owned()));
    }
    let text = |name: &str| parameters.get(name).and_then(Value::as_str).unwrap_or_default();
    let service = match text("Version") {
        "2010-05-15" => "cloudformation",
        "2011-06-15" => "sts",
        _ => "unknown",
    };
    (format!("{service}:{}", text("Action")), Value::Object(parameters))
}

/// Id of the key and `region/service` of a signature.
pub(super) fn signed(authorization: &str) -> (String, String) {
    let credential = authorization.split_once("Credential=").map_or("", |(_, rest)| rest);
    let parts: Vec<&str> = credential.split([',', '/']).collect();
    let scope = parts.get(2..4).map(|scope| scope.join("/")).unwrap_or_default();
    (parts.first().copied().unwrap_or_default().to_owned(), scope)
}

/// Text as XML content.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(super) fn error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error>\
         <RequestId>testkit</RequestId></ErrorResponse>",
        escape(message)
    )
}
