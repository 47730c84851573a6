//! System files of an image from scratch: users, a temporary directory, root certificates, name service order.
//!
//! Nothing here comes from the machine that builds. The certificates are Mozilla's, as the crate `webpki-root-certs`
//! carries them: a bundle of the machine would make digests depend on the machine. [`ca_bundle_digest`] names the bundle,
//! so that a build key can change with it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shipper_oci::{Digest, LayerBuilder, LayerSource};

use crate::error::BuildError;

/// Where OpenSSL, Go and rustls look on Debian; the variable tells programs with another default.
pub(crate) const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
pub(crate) const CA_VARIABLE: &str = "SSL_CERT_FILE";

/// User and group `nonroot`, as in Google's distroless images.
pub(crate) const NONROOT: u32 = 65532;

const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n\
    nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nnonroot:x:65532:\n";

/// Largest number of a user or group that runtimes take (runc, `MaxID` of moby/sys/user).
const MAX_ID: u32 = i32::MAX as u32;

/// Whether an image from scratch knows a user: a number, or a name of its own `/etc/passwd`.
///
/// ```
/// assert!(shipper_build::is_user_of_scratch("nonroot") && !shipper_build::is_user_of_scratch("www-data"));
/// ```
#[must_use]
pub fn is_user_of_scratch(user: &str) -> bool {
    is_known(user, PASSWD)
}

/// Whether an image from scratch knows a group: a number, or a name of its own `/etc/group`.
#[must_use]
pub fn is_group_of_scratch(group: &str) -> bool {
    is_known(group, GROUP)
}

fn is_known(name: &str, table: &str) -> bool {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        name.parse::<u32>().is_ok_and(|number| number <= MAX_ID)
    } else {
        table.lines().any(|line| line.split(':').next() == Some(name))
    }
}

/// Adds users, groups, the home of `nonroot` and `/tmp`.
pub(crate) fn add_users(layer: &mut LayerBuilder) -> Result<(), BuildError> {
    layer.add_file("/etc/passwd", text(PASSWD), 0o644)?;
    layer.add_file("/etc/group", text(GROUP), 0o644)?;
    layer.add_dir("/home/nonroot", 0o700)?.set_owner("/home/nonroot", NONROOT, NONROOT)?;
    layer.add_dir("/tmp", 0o1777)?;
    Ok(())
}

/// Adds the bundle of root certificates.
pub(crate) fn add_certificates(layer: &mut LayerBuilder) -> Result<(), BuildError> {
    layer.add_file(CA_BUNDLE, text(&BUNDLE), 0o644)?;
    Ok(())
}

/// Adds the order in which glibc looks names up.
pub(crate) fn add_name_service(layer: &mut LayerBuilder) -> Result<(), BuildError> {
    layer.add_file("/etc/nsswitch.conf", text("passwd: files\ngroup: files\nhosts: files dns\n"), 0o644)?;
    Ok(())
}

/// The digest of the root certificates that `ca_certificates` puts into an image; it changes when a new release of
/// shipper carries new ones, and belongs into the key of every image that has them.
///
/// ```
/// assert_eq!(shipper_build::ca_bundle_digest().hex().len(), 64);
/// ```
#[must_use]
pub fn ca_bundle_digest() -> Digest {
    Digest::of(BUNDLE.as_bytes())
}

/// PEM (RFC 7468), in the order of the crate.
static BUNDLE: LazyLock<String> = LazyLock::new(|| {
    let mut bundle = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        bundle.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        for start in (0..text.len()).step_by(64) {
            bundle.push_str(&text[start..text.len().min(start + 64)]);
            bundle.push('\n');
        }
        bundle.push_str("-----END CERTIFICATE-----\n");
    }
    bundle
});

fn text(content: &str) -> LayerSource {
    LayerSource::Bytes(content.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_pem() {
        assert!(BUNDLE.starts_with("-----BEGIN CERTIFICATE-----\nMII"));
        let begins = BUNDLE.matches("-----BEGIN CERTIFICATE-----\n").count();
        assert!(begins > 100, "{begins}");
        assert_eq!(begins, BUNDLE.matches("\n-----END CERTIFICATE-----\n").count());
        assert!(BUNDLE.lines().all(|line| line.len() <= 64));
    }

    /// Every line has the number of fields that passwd(5) and group(5) ask for.
    #[test]
    fn user_files_are_well_formed() {
        for (text, fields) in [(PASSWD, 7), (GROUP, 4)] {
            assert!(text.lines().all(|line| line.split(':').count() == fields), "{text}");
            assert!(text.contains(&format!("nonroot:x:{NONROOT}:")));
        }
    }
}
