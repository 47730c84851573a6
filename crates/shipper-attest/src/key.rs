//! Keys in PEM: Ed25519, and ECDSA on P-256 with SHA-256. Private ones as PKCS #8 (RFC 5958), public ones as
//! SubjectPublicKeyInfo (RFC 5480, RFC 8410), as `openssl genpkey` and `openssl pkey -pubout` write them.
//!
//! Invariant: no part of a private key is in an error or in the `Debug` of anything.

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use crate::subject::sha256_bytes;
use crate::{Error, Result};

/// What comes before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, section 4).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What comes before the 65 bytes of an uncompressed point of P-256 (RFC 5480, section 2).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What a PEM text holds, by the words between its dashes.
fn section(pem: &[u8]) -> Result<SectionKind> {
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
    match sections.next() {
        Some(Ok((kind, _))) => Ok(kind),
        Some(Err(_)) => Err(Error::Key { reason: "it is not PEM" }),
        None if contains(pem, b"ENCRYPTED") => {
            Err(Error::Key { reason: "it is encrypted; keys with a password are not read" })
        }
        None => Err(Error::Key { reason: "it is not PEM, or not of a kind that is known" }),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A private key.
pub struct SigningKey(Private);

enum Private {
    Ed25519(Box<Ed25519KeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// The key in a PEM text.
    ///
    /// # Errors
    /// [`Error::Key`] for what is no such key, [`Error::KeyRole`] for a public one.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        match section(pem)? {
            SectionKind::PrivateKey => {}
            SectionKind::PublicKey => return Err(Error::KeyRole { found: "public", needed: "private" }),
            SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey => {
                return Err(Error::Key { reason: "it is not PKCS #8; `openssl pkcs8 -topk8 -nocrypt` converts it" });
            }
            _ => return Err(Error::Key { reason: "it is PEM of something else" }),
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| Error::Key { reason: "it is not PEM" })?;
        let der = der.secret_pkcs8_der();
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self(Private::Ed25519(Box::new(pair))));
        }
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new()) {
            Ok(pair) => Ok(Self(Private::P256(Box::new(pair)))),
            Err(_) => Err(Error::Key { reason: "it is neither Ed25519 nor ECDSA on P-256" }),
        }
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Private::Ed25519(pair) => VerifyingKey { kind: Kind::Ed25519, raw: pair.public_key().as_ref().to_vec() },
            Private::P256(pair) => VerifyingKey { kind: Kind::P256, raw: pair.public_key().as_ref().to_vec() },
        }
    }

    /// Signs bytes: 64 bytes of Ed25519, or a DER sequence of ECDSA.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.0 {
            Private::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Private::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| Error::Signing)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ed25519,
    P256,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    kind: Kind,
    raw: Vec<u8>,
}

impl VerifyingKey {
    /// The key in a PEM text.
    ///
    /// # Errors
    /// [`Error::Key`] for what is no such key, [`Error::KeyRole`] for a private one.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        match section(pem)? {
            SectionKind::PublicKey => {}
            SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey => {
                return Err(Error::KeyRole { found: "private", needed: "public" });
            }
            _ => return Err(Error::Key { reason: "it is PEM of something else" }),
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| Error::Key { reason: "it is not PEM" })?;
        let der: &[u8] = &der;
        for (kind, prefix, length) in [(Kind::Ed25519, &ED25519_PREFIX[..], 32), (Kind::P256, &P256_PREFIX[..], 65)] {
            if let Some(raw) = der.strip_prefix(prefix).filter(|raw| raw.len() == length) {
                return Ok(Self { kind, raw: raw.to_vec() });
            }
        }
        Err(Error::Key { reason: "it is neither Ed25519 nor ECDSA on P-256" })
    }

    /// The key as SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let prefix = match self.kind {
            Kind::Ed25519 => &ED25519_PREFIX[..],
            Kind::P256 => &P256_PREFIX[..],
        };
        [prefix, &self.raw].concat()
    }

    /// What others may find the key by: SHA-256 of its DER form in base64, as cosign has it.
    #[must_use]
    pub fn hint(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(sha256_bytes(&self.to_der()))
    }

    /// Whether `signature` was made by the private half for `message`.
    pub(crate) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            Kind::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.raw).verify(message, signature).is_ok(),
            Kind::P256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.raw).verify(message, signature).is_ok(),
        }
    }
}
