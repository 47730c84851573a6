//! Signed statements: DSSE envelopes (secure-systems-lab/dsse `protocol.md`) in Sigstore bundles of version 0.3
//! (sigstore/protobuf-specs `sigstore_bundle.proto`; sigstore/cosign `specs/BUNDLE_SPEC.md`), with a key and no certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::key::{SigningKey, VerifyingKey};
use crate::statement::{STATEMENT_MEDIA_TYPE, Statement, predicate, statement};
use crate::subject::Subject;
use crate::{Error, Result};

/// Media type of a bundle, and type of the artifact that holds one.
pub const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: PublicKey,
}

#[derive(Serialize, Deserialize)]
struct PublicKey {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    /// Always empty in what is written here: cosign takes no signature whose id is not its own name of the key, and writes
    /// none itself. The hint beside the envelope names the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
    sig: String,
}

/// The bytes that are signed (DSSE, "Pre-Authentication Encoding").
fn encoded(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Signs an image: a bundle around the statement that whoever has the key stands by it.
///
/// # Errors
/// [`Error::Signing`].
pub fn sign(subject: &Subject, key: &SigningKey) -> Result<Vec<u8>> {
    sign_statement(&statement(subject, predicate::SIGNATURE, b"{}")?, key)
}

/// Signs a statement of in-toto (JSON): a bundle around it.
///
/// # Errors
/// [`Error::Document`] where it is no statement; [`Error::Signing`].
pub fn sign_statement(statement: &[u8], key: &SigningKey) -> Result<Vec<u8>> {
    Statement::parse(statement)?;
    let hint = key.verifying_key().hint();
    let sig = STANDARD.encode(key.sign(&encoded(STATEMENT_MEDIA_TYPE, statement))?);
    let bundle = Bundle {
        media_type: BUNDLE_MEDIA_TYPE.to_owned(),
        verification_material: Material { public_key: PublicKey { hint } },
        dsse_envelope: Envelope {
            payload: STANDARD.encode(statement),
            payload_type: STATEMENT_MEDIA_TYPE.to_owned(),
            signatures: vec![Signature { keyid: String::new(), sig }],
        },
    };
    serde_json::to_vec(&bundle).map_err(|_| Error::Signing)
}

/// Checks a bundle: that `key` has signed it, and that what it states is about `subject`. Returns the statement, which is
/// read from the bytes that were signed.
///
/// # Errors
/// [`Error::Document`] for what is no bundle, [`Error::Signature`] for one that the key has not signed,
/// [`Error::OtherSubject`] for one about something else.
pub fn verify(bundle: &[u8], key: &VerifyingKey, subject: &Subject) -> Result<Statement> {
    let fault = |reason: String| Error::Document { what: "a Sigstore bundle", reason };
    let bundle: Bundle = serde_json::from_slice(bundle).map_err(|error| fault(error.to_string()))?;
    if bundle.media_type != BUNDLE_MEDIA_TYPE {
        return Err(fault("it is of another version".to_owned()));
    }
    let envelope = &bundle.dsse_envelope;
    if envelope.payload_type != STATEMENT_MEDIA_TYPE {
        return Err(fault("what is signed is no statement".to_owned()));
    }
    let payload = STANDARD.decode(&envelope.payload).map_err(|_| fault("its payload is not base64".to_owned()))?;
    let message = encoded(&envelope.payload_type, &payload);
    // A hint is no proof: every signature is tried.
    let is_signed = envelope
        .signatures
        .iter()
        .any(|signature| STANDARD.decode(&signature.sig).is_ok_and(|signature| key.accepts(&message, &signature)));
    if !is_signed {
        return Err(Error::Signature);
    }
    let statement = Statement::parse(&payload)?;
    statement.is_about(subject)?;
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that `openssl genpkey` wrote for these tests and nothing else.
    const ED25519: &[u8] = include_bytes!("../tests/keys/ed25519.pem");
    const ED25519_PUBLIC: &[u8] = include_bytes!("../tests/keys/ed25519.pub.pem");
    const P256: &[u8] = include_bytes!("../tests/keys/p256.pem");
    const P256_PUBLIC: &[u8] = include_bytes!("../tests/keys/p256.pub.pem");
    const SEC1: &[u8] = include_bytes!("../tests/keys/p256.sec1.pem");
    const RSA: &[u8] = include_bytes!("../tests/keys/p384.pem");

    fn subject(digit: char) -> Subject {
        Subject::new("api", &format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
    }

    fn edited(bundle: &[u8], edit: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let mut value = serde_json::from_slice(bundle).unwrap();
        edit(&mut value);
        value.to_string().into_bytes()
    }

    #[test]
    fn a_signature_is_for_one_image_and_one_key() {
        let pairs = [(ED25519, ED25519_PUBLIC, P256_PUBLIC), (P256, P256_PUBLIC, ED25519_PUBLIC)];
        for (private, public, other) in pairs {
            let (private, public) = (SigningKey::from_pem(private).unwrap(), VerifyingKey::from_pem(public).unwrap());
            assert_eq!(private.verifying_key(), public);
            let bundle = sign(&subject('a'), &private).unwrap();
            assert_eq!(verify(&bundle, &public, &subject('a')).unwrap().predicate_type, predicate::SIGNATURE);
            // The envelopes of others name a key as well, and those of before did.
            let named = edited(&bundle, |it| {
                assert_eq!(it["dsseEnvelope"]["signatures"][0].as_object().unwrap().len(), 1);
                it["dsseEnvelope"]["signatures"][0]["keyid"] = private.verifying_key().hint().into();
            });
            verify(&named, &public, &subject('a')).unwrap();
            let other = VerifyingKey::from_pem(other).unwrap();
            assert_eq!(verify(&bundle, &other, &subject('a')), Err(Error::Signature));
            assert!(matches!(verify(&bundle, &public, &subject('b')), Err(Error::OtherSubject { .. })));

            let forged = statement(&subject('b'), predicate::SIGNATURE, b"{}").unwrap();
            let swapped = edited(&bundle, |it| it["dsseEnvelope"]["payload"] = STANDARD.encode(&forged).into());
            assert_eq!(verify(&swapped, &public, &subject('b')), Err(Error::Signature));
            let typed = edited(&bundle, |it| it["dsseEnvelope"]["payloadType"] = "text/plain".into());
            assert!(matches!(verify(&typed, &public, &subject('a')), Err(Error::Document { .. })));
            let none = edited(&bundle, |it| it["dsseEnvelope"]["signatures"] = serde_json::json!([]));
            assert_eq!(verify(&none, &public, &subject('a')), Err(Error::Signature));
            let version = edited(&bundle, |it| it["mediaType"] = "application/vnd.dev.sigstore.bundle+json".into());
            assert!(matches!(verify(&version, &public, &subject('a')), Err(Error::Document { .. })));
        }
    }

    #[test]
    fn keys_of_the_wrong_kind_are_told_apart_and_never_shown() {
        let reason = |pem: &[u8]| SigningKey::from_pem(pem).unwrap_err().to_string();
        assert!(reason(ED25519_PUBLIC).contains("it is a public key"), "{}", reason(ED25519_PUBLIC));
        assert!(reason(SEC1).contains("PKCS #8"), "{}", reason(SEC1));
        assert!(reason(RSA).contains("neither Ed25519 nor ECDSA"), "{}", reason(RSA));
        assert!(reason(b"ssh-ed25519 AAAA").contains("not PEM"));
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(reason(encrypted).contains("encrypted"), "{}", reason(encrypted));
        let role = VerifyingKey::from_pem(P256).unwrap_err();
        assert_eq!(role, Error::KeyRole { found: "private", needed: "public" });
        assert_eq!(format!("{:?}", SigningKey::from_pem(P256).unwrap()), "SigningKey(***)");
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic() {
        let key = VerifyingKey::from_pem(P256_PUBLIC).unwrap();
        proptest::proptest!(|(bytes: Vec<u8>)| {
            proptest::prop_assert!(verify(&bytes, &key, &subject('a')).is_err());
            proptest::prop_assert!(SigningKey::from_pem(&bytes).is_err());
            proptest::prop_assert!(VerifyingKey::from_pem(&bytes).is_err());
            let _ = Statement::parse(&bytes);
            let _ = crate::cargo_lock(&bytes);
        });
    }
}
