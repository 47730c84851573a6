//! A context as a tar archive whose bytes depend on nothing but the manifest.
//!
//! ustar headers with owner 0, time 0, modes 0644 and 0755; entries in the order of the manifest, directories only
//! where they are empty. A pax header comes before an entry only where ustar cannot express it: a path that does not
//! fit, a link target longer than 100 bytes, a file of 8 GiB or more. Content is verified while it is copied.

use std::io::Write;

use tar::{Builder, EntryType, Header};

use crate::stage::mode;
use crate::{Context, Entry, Error, Kind};

/// Largest size that eleven octal digits hold.
const MAX_USTAR_SIZE: u64 = 0o777_7777_7777;
const BLOCK: usize = 512;

impl Context {
    /// Writes the context as an uncompressed tar archive; equal manifests give equal bytes.
    ///
    /// # Errors
    /// [`Error::ChangedSinceHashed`] if a file is no longer what was hashed, [`Error::Io`] if `writer` fails or a file
    /// cannot be read. What was written by then is not to be used.
    pub fn write_tar(&self, writer: impl Write) -> Result<(), Error> {
        if !self.on_disk {
            return Err(Error::OnlyInCommit);
        }
        let failed = |source| Error::io("write", std::path::Path::new("the archive"), source);
        let mut archive = Builder::new(writer);
        let mut buffer = Vec::new();
        for entry in self.manifest().entries() {
            let mut header = Header::new_ustar();
            let mut extensions: Vec<(&str, Vec<u8>)> = Vec::new();
            let path = archive_path(entry);
            if header.set_path(crate::path::platform_path(&path)?).is_err() {
                // Readers that know no pax see the beginning.
                header = Header::new_ustar();
                let shown = path.len().min(header.as_old().name.len());
                header.as_old_mut().name[..shown].copy_from_slice(&path[..shown]);
                extensions.push(("path", path));
            }
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            match entry.kind {
                Kind::Symlink => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    let target = self.link_target(entry)?;
                    // Byte by byte: the target is text, not a path to be tidied.
                    if header.set_link_name_literal(&target).is_err() {
                        extensions.push(("linkpath", target));
                    }
                }
                Kind::EmptyDir | Kind::Gitlink => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(0o755);
                    header.set_size(0);
                }
                kind => {
                    header.set_entry_type(EntryType::Regular);
                    header.set_mode(mode(kind));
                    if entry.size > MAX_USTAR_SIZE {
                        extensions.push(("size", entry.size.to_string().into_bytes()));
                        header.set_size(0);
                    } else {
                        header.set_size(entry.size);
                    }
                }
            }
            header.set_cksum();
            if !extensions.is_empty() {
                let records = extensions.iter().map(|(name, value)| (*name, value.as_slice()));
                archive.append_pax_extensions(records).map_err(failed)?;
            }
            let writer = archive.get_mut();
            writer.write_all(header.as_bytes()).map_err(failed)?;
            if entry.kind.is_file() {
                self.copy(entry, &mut buffer, |bytes| writer.write_all(bytes))?;
                writer.write_all(padding(entry.size)).map_err(failed)?;
            }
        }
        archive.into_inner().and_then(|mut writer| writer.flush()).map_err(failed)
    }
}

/// The path as archives have it: a directory ends in `/`.
fn archive_path(entry: &Entry) -> Vec<u8> {
    let mut path = entry.path.as_bytes().to_vec();
    if matches!(entry.kind, Kind::EmptyDir | Kind::Gitlink) {
        path.push(b'/');
    }
    path
}

/// Zeros that fill the last block of `size` bytes.
fn padding(size: u64) -> &'static [u8] {
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let used = (size % BLOCK as u64) as usize;
    &ZEROS[..(BLOCK - used) % BLOCK]
}
