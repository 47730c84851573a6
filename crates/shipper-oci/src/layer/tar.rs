//! The archive format: `ustar` headers, with `pax` records only for what they cannot say (long or non-ASCII paths, link
//! texts, sizes above 8 GiB, large ids and times).
//!
//! Own headers instead of the `tar` crate's writer, which would choose GNU extensions for long names.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use ::tar::{EntryType, Header};

use super::{LayerSource, encode::Encoder, invalid};
use crate::Error;

const BLOCK: u64 = 512;
/// Largest number in an 11-digit octal field (size, mtime): 8 GiB - 1.
const MAX_LONG: u64 = 0o77_777_777_777;
/// Largest number in a 7-digit octal field (uid, gid).
const MAX_ID: u64 = 0o7_777_777;
const NAME: usize = 100;
const PREFIX: usize = 155;

type Owner = (u32, u32);

/// Writes entries, which the caller sorts.
pub(super) struct Archive<'a, 'f> {
    out: &'a mut Encoder<'f>,
    out_path: &'a Path,
    mtime: u64,
    buffer: Vec<u8>,
}

impl<'a, 'f> Archive<'a, 'f> {
    pub(super) fn new(out: &'a mut Encoder<'f>, out_path: &'a Path, mtime: u64) -> Archive<'a, 'f> {
        Archive { out, out_path, mtime, buffer: vec![0; 64 * 1024] }
    }

    pub(super) fn directory(&mut self, path: &[u8], mode: u32, owner: Owner) -> Result<(), Error> {
        self.header(&[path, b"/"].concat(), EntryType::Directory, mode, owner, 0, b"")
    }

    pub(super) fn symlink(&mut self, path: &[u8], target: &[u8], owner: Owner) -> Result<(), Error> {
        self.header(path, EntryType::Symlink, 0o777, owner, 0, target)
    }

    pub(super) fn file(&mut self, path: &[u8], source: &LayerSource, mode: u32, owner: Owner) -> Result<(), Error> {
        match source {
            LayerSource::Bytes(bytes) => {
                let size = bytes.len() as u64;
                self.header(path, EntryType::Regular, mode, owner, size, b"")?;
                self.put(bytes)?;
                self.pad(size)
            }
            LayerSource::Path(file) => self.file_from(path, file, mode, owner),
        }
    }

    fn file_from(&mut self, path: &[u8], source: &Path, mode: u32, owner: Owner) -> Result<(), Error> {
        let mut file = File::open(source).map_err(Error::io("read", source))?;
        let metadata = file.metadata().map_err(Error::io("read", source))?;
        if !metadata.is_file() {
            return Err(invalid(&[b"/", path].concat(), "its source is not a regular file"));
        }
        let size = metadata.len();
        self.header(path, EntryType::Regular, mode, owner, size, b"")?;
        let mut left = size;
        loop {
            // One byte more than is left, so that a file that grew is seen.
            let want = usize::try_from(left + 1).unwrap_or(usize::MAX).min(self.buffer.len());
            let got = match file.read(&mut self.buffer[..want]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                got => got.map_err(Error::io("read", source))?,
            };
            if got as u64 > left || (got == 0 && left > 0) {
                return Err(Error::SourceChanged { path: source.to_path_buf(), expected: size });
            }
            if got == 0 {
                break;
            }
            left -= got as u64;
            self.out.write_all(&self.buffer[..got]).map_err(Error::io("write", self.out_path))?;
        }
        self.pad(size)
    }

    /// Two zero blocks end an archive.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.out.write_all(&[0; 2 * BLOCK as usize]).map_err(Error::io("write", self.out_path))
    }

    pub(super) fn header(
        &mut self,
        path: &[u8],
        kind: EntryType,
        mode: u32,
        owner: Owner,
        size: u64,
        link: &[u8],
    ) -> Result<(), Error> {
        let split = split(path);
        let (uid, gid) = (u64::from(owner.0), u64::from(owner.1));
        let mut records = Vec::new();
        if std::str::from_utf8(path).is_err() || std::str::from_utf8(link).is_err() {
            record(&mut records, "hdrcharset", b"BINARY");
        }
        if split.is_none() {
            record(&mut records, "path", path);
        }
        if !fits(link) {
            record(&mut records, "linkpath", link);
        }
        for (key, value, limit) in
            [("size", size, MAX_LONG), ("uid", uid, MAX_ID), ("gid", gid, MAX_ID), ("mtime", self.mtime, MAX_LONG)]
        {
            if value > limit {
                record(&mut records, key, value.to_string().as_bytes());
            }
        }
        if !records.is_empty() {
            let length = records.len() as u64;
            let mut header = self.fields(EntryType::XHeader, 0o644, (0, 0), length);
            set_text(&mut header, b"", &[b"PaxHeaders/", path].concat(), b"");
            self.put_header(header)?;
            self.put(&records)?;
            self.pad(length)?;
        }
        let mut header = self.fields(kind, mode, owner, size);
        let (prefix, name) = split.unwrap_or((b"", path));
        set_text(&mut header, prefix, name, link);
        self.put_header(header)
    }

    /// A header without names; what does not fit is left zero, because a record says it.
    fn fields(&self, kind: EntryType, mode: u32, owner: Owner, size: u64) -> Header {
        let within = |value: u64, limit: u64| if value > limit { 0 } else { value };
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(within(u64::from(owner.0), MAX_ID));
        header.set_gid(within(u64::from(owner.1), MAX_ID));
        header.set_size(within(size, MAX_LONG));
        header.set_mtime(within(self.mtime, MAX_LONG));
        header
    }

    fn put_header(&mut self, mut header: Header) -> Result<(), Error> {
        header.set_cksum();
        self.put(header.as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::io("write", self.out_path))
    }

    fn pad(&mut self, size: u64) -> Result<(), Error> {
        let zeros = [0; BLOCK as usize];
        let length = (BLOCK - size % BLOCK) % BLOCK;
        self.put(&zeros[..usize::try_from(length).unwrap_or(0)])
    }
}

/// The two name fields of `ustar` for a path that needs no record: at most 155 bytes, a `/`, and at most 100 bytes.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if fits(path) {
        return Some((b"", path));
    }
    if !path.is_ascii() {
        return None;
    }
    let first = path.len().checked_sub(NAME + 1)?;
    // The trailing `/` of a directory cannot be the one that is left out.
    let last = (path.len() - 2).min(PREFIX);
    let at = (first..=last).find(|at| path[*at] == b'/' && *at > 0)?;
    Some((&path[..at], &path[at + 1..]))
}

/// Whether a text can stand in a 100-byte field as it is.
fn fits(text: &[u8]) -> bool {
    text.len() <= NAME && text.is_ascii()
}

/// Fills the name fields. A text that does not fit gets a shortened ASCII stand-in, for readers that ignore records.
fn set_text(header: &mut Header, prefix: &[u8], name: &[u8], link: &[u8]) {
    let fill = |field: &mut [u8], text: &[u8]| {
        for (to, from) in field.iter_mut().zip(text) {
            *to = if from.is_ascii() { *from } else { b'_' };
        }
    };
    if let Some(ustar) = header.as_ustar_mut() {
        fill(&mut ustar.prefix, prefix);
        fill(&mut ustar.name, name);
        fill(&mut ustar.linkname, link);
    }
}

/// Appends `<length> <key>=<value>\n`, where the length counts itself (POSIX.1-2017 `pax`, "pax Extended Header").
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}
