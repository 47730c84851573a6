//! What a stage looked like when it was left: `lstat` fields and digest of each regular file.
//!
//! Only files that can no longer change without a trace are recorded. The record counts until the next start of the
//! machine, because a power failure can lose written bytes and keep the times. Anything wrong with it: it is empty.

use std::collections::HashMap;
use std::path::Path;

use crate::cache::{DIGEST, FIELDS, fields_of, write_atomically};
use crate::fs::Stat;
use crate::{Entry, Error, FileDigest};

const MAGIC: &[u8; 16] = b"shipper-stage-2\n";

/// The record of a stage.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Whether there is a valid one.
    pub(crate) exists: bool,
    files: HashMap<Vec<u8>, ([u8; FIELDS], [u8; DIGEST])>,
}

impl Record {
    pub(crate) fn load(path: &Path) -> Self {
        let content = std::fs::read(path).ok();
        content.and_then(|content| Self::parse(&content, &boot())).unwrap_or_default()
    }

    fn parse(content: &[u8], boot: &[u8; DIGEST]) -> Option<Self> {
        let (body, checksum) = content.split_at_checked(content.len().checked_sub(DIGEST)?)?;
        if blake3::hash(body).as_bytes() != checksum {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?.strip_prefix(boot)?;
        let mut files = HashMap::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (path, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let (fields, after) = after.split_first_chunk::<FIELDS>()?;
            let (digest, after) = after.split_first_chunk::<DIGEST>()?;
            files.insert(path.to_vec(), (*fields, *digest));
            rest = after;
        }
        rest.is_empty().then_some(Self { exists: true, files })
    }

    /// Replaces the record.
    pub(crate) fn save<'a>(path: &Path, files: impl Iterator<Item = (&'a Entry, &'a Stat)>) -> Result<(), Error> {
        let mut content = [MAGIC.as_slice(), &boot()].concat();
        for (entry, stat) in files {
            let Some(fields) = fields_of(stat) else { continue };
            let name = entry.path.as_bytes();
            let length = u32::try_from(name.len()).expect("because a manifest refuses longer paths");
            content.extend_from_slice(&length.to_le_bytes());
            content.extend_from_slice(name);
            content.extend_from_slice(&fields);
            content.extend_from_slice(&entry.digest.0);
        }
        let checksum = blake3::hash(&content);
        content.extend_from_slice(checksum.as_bytes());
        write_atomically(path, &content)
    }

    /// Whether the file at `path` looks exactly as it was left, and was left with this content.
    pub(crate) fn holds(&self, path: &[u8], stat: &Stat, digest: FileDigest) -> bool {
        let looks = fields_of(stat);
        self.files.get(path).is_some_and(|(fields, recorded)| *recorded == digest.0 && looks == Some(*fields))
    }
}

/// Names this start of the machine, where the system tells.
fn boot() -> [u8; DIGEST] {
    let id = if cfg!(target_os = "linux") { std::fs::read("/proc/sys/kernel/random/boot_id").ok() } else { None };
    blake3::hash(&id.unwrap_or_default()).into()
}
