//! What an ELF file says about itself: for which machine it is and what it needs to start. Nothing is ever run for this;
//! `ldd` would run the interpreter that the file names.
//!
//! Invariant: no header makes this read more than a few MiB or panic, whatever the file contains.
//!
//! Source: System V ABI, chapters "Object Files" and "Program Loading and Dynamic Linking".

use std::fmt;
use std::fs::File;
use std::path::Path;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::read::{ReadCache, ReadRef, StringTable};
use object::{Endianness, FileKind};

use crate::error::BuildError;
use crate::target::Machine;

/// Longest interpreter path that is read: `PATH_MAX` of Linux.
const MAX_INTERPRETER: u64 = 4096;
/// Longest dynamic section that is read, in bytes; real ones have under a hundred entries of 16 bytes.
const MAX_DYNAMIC: u64 = 1 << 20;
/// Most strings that are read from it.
const MAX_STRINGS: usize = 4096;

/// An ELF file's header, interpreter and dynamic section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) header: Header,
    /// `PT_INTERP`: the dynamic loader, as an absolute path.
    pub(crate) interpreter: Option<String>,
    /// `DT_NEEDED`, in order.
    pub(crate) needed: Vec<String>,
    /// `DT_RPATH` and `DT_RUNPATH`, split at `:`.
    pub(crate) rpath: Vec<String>,
    pub(crate) runpath: Vec<String>,
}

/// The kind of machine that a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) machine: u16,
    pub(crate) bits: u8,
    pub(crate) little_endian: bool,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.little_endian { "little" } else { "big" };
        write!(f, "{}, {} bit, {order} endian", Machine::name_of(self.machine), self.bits)
    }
}

impl From<&Machine> for Header {
    fn from(machine: &Machine) -> Header {
        Header { machine: machine.elf, bits: machine.bits, little_endian: machine.little_endian }
    }
}

impl Elf {
    /// Reads the headers of a file.
    ///
    /// # Errors
    /// [`BuildError::NotElf`] for anything that is not a well-formed executable or shared object; [`BuildError::Io`].
    pub(crate) fn read(path: &Path) -> Result<Elf, BuildError> {
        let file = File::open(path).map_err(BuildError::io("read", path))?;
        let not_elf = |problem: &str| BuildError::NotElf { path: path.to_path_buf(), problem: problem.to_owned() };
        let data = ReadCache::new(file);
        let parsed = match FileKind::parse(&data) {
            Ok(FileKind::Elf64) => parse::<FileHeader64<Endianness>, _>(&data, 64),
            Ok(FileKind::Elf32) => parse::<FileHeader32<Endianness>, _>(&data, 32),
            _ => return Err(not_elf(other_kind((&data).read_bytes_at(0, 4).unwrap_or_default()))),
        };
        parsed.map_err(|problem| not_elf(&problem))
    }

    /// Reads a file that is to run on `machine`.
    ///
    /// # Errors
    /// As [`Elf::read`], and [`BuildError::WrongMachine`].
    pub(crate) fn read_for(path: &Path, machine: &Machine) -> Result<Elf, BuildError> {
        let elf = Elf::read(path)?;
        let wanted = Header::from(machine);
        if elf.header == wanted {
            return Ok(elf);
        }
        Err(BuildError::WrongMachine {
            path: path.to_path_buf(),
            found: elf.header.to_string(),
            wanted: wanted.to_string(),
        })
    }
}

/// What a file is that is no ELF file, by its first bytes.
fn other_kind(magic: &[u8]) -> &'static str {
    match magic {
        [0xcf | 0xce, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe] => "it is a program for macOS",
        [b'M', b'Z', ..] => "it is a program for Windows",
        [b'#', b'!', ..] => "it is a script",
        _ => "it is no program",
    }
}

fn parse<'data, H, R>(data: R, bits: u8) -> Result<Elf, String>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let text = |error: object::read::Error| error.to_string();
    let header = H::parse(data).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Err("it is neither an executable nor a shared object".to_owned());
    }
    let mut found = Elf {
        header: Header { machine: header.e_machine(endian).0, bits, little_endian: endian == Endianness::Little },
        interpreter: None,
        needed: Vec::new(),
        rpath: Vec::new(),
        runpath: Vec::new(),
    };
    let segments = header.program_headers(endian, data).map_err(text)?;
    if segments.is_empty() {
        return Err("it has no program headers".to_owned());
    }
    for segment in segments {
        let size: u64 = segment.p_filesz(endian).into();
        match segment.p_type(endian) {
            elf::PT_INTERP if size > MAX_INTERPRETER => return Err("its interpreter's path is too long".to_owned()),
            elf::PT_INTERP => {
                let bytes = segment.interpreter(endian, data).map_err(text)?.unwrap_or_default();
                found.interpreter = Some(utf8(bytes)?);
            }
            elf::PT_DYNAMIC if size > MAX_DYNAMIC => return Err("its dynamic section is too long".to_owned()),
            elf::PT_DYNAMIC => {
                let entries = segment.dynamic(endian, data).map_err(text)?.unwrap_or_default();
                dynamic::<H, R>(&mut found, entries, segments, endian, data)?;
            }
            _ => {}
        }
    }
    Ok(found)
}

fn dynamic<'data, H, R>(
    found: &mut Elf,
    entries: &[H::Dyn],
    segments: &[H::ProgramHeader],
    endian: Endianness,
    data: R,
) -> Result<(), String>
where
    H: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let live = || entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL);
    let Some(address) = live().find(|entry| entry.tag(endian) == elf::DT_STRTAB).map(|entry| entry.val(endian)) else {
        return Ok(());
    };
    let strings = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
        let start: u64 = segment.p_vaddr(endian).into();
        let (offset, size) = segment.file_range(endian);
        let within = address.checked_sub(start).filter(|within| *within < size)?;
        Some(StringTable::new(data, offset.checked_add(within)?, offset.checked_add(size)?))
    });
    let strings: StringTable<'data, R> = strings.ok_or("its string table is nowhere in the file")?;
    let mut count = 0;
    for entry in live() {
        let list = match entry.tag(endian) {
            elf::DT_NEEDED => &mut found.needed,
            elf::DT_RPATH => &mut found.rpath,
            elf::DT_RUNPATH => &mut found.runpath,
            _ => continue,
        };
        count += 1;
        if count > MAX_STRINGS {
            return Err("its dynamic section has too many strings".to_owned());
        }
        let bytes = entry.string(endian, strings).map_err(|error| error.to_string())?;
        let text = utf8(bytes)?;
        if entry.tag(endian) == elf::DT_NEEDED {
            list.push(text);
        } else {
            list.extend(text.split(':').filter(|dir| !dir.is_empty()).map(str::to_owned));
        }
    }
    Ok(())
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a path in it is not UTF-8".to_owned())?;
    if text.chars().any(char::is_control) {
        return Err("a path in it contains control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let check = |bytes: &[u8], expected: &str| {
            let (_dir, path) = write(bytes);
            let error = Elf::read(&path).unwrap_err();
            assert!(matches!(&error, BuildError::NotElf { .. }) && error.to_string().contains(expected), "{error}");
        };
        check(b"", "no program");
        check(b"#!/bin/sh\necho hello\n", "a script");
        check(b"MZ\x90\x00\x03", "for Windows");
        check(b"\xcf\xfa\xed\xfe\x07", "for macOS");
        check(b"\x7fELF", "ELF");
        let mut header = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
        header.resize(64, 0);
        check(&header, "neither an executable");
        header[16] = 2;
        check(&header, "no program headers");
    }

    /// The test program itself is a dynamic executable of this machine.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn a_dynamic_program_names_its_loader_and_libraries() {
        let path = std::env::current_exe().unwrap();
        let machine = Machine::of(&shipper_oci::Platform::host()).unwrap();
        let elf = Elf::read_for(&path, machine).unwrap();
        assert!(elf.interpreter.unwrap().contains("/ld-"));
        assert!(elf.needed.iter().any(|name| name.starts_with("libc.so.")), "{:?}", elf.needed);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_for_another_machine_is_refused() {
        let other = if cfg!(target_arch = "aarch64") { "linux/amd64" } else { "linux/arm64" };
        let machine = Machine::of(&other.parse().unwrap()).unwrap();
        let error = Elf::read_for(&std::env::current_exe().unwrap(), machine).unwrap_err();
        assert!(matches!(&error, BuildError::WrongMachine { found, wanted, .. } if found != wanted), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn damaged_files_never_panic(seed in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24), cut: prop::sample::Index) {
            let mut bytes = sample();
            for (index, value) in seed {
                let at = index.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len()) + 1);
            let (_dir, path) = write(&bytes);
            let _ = Elf::read(&path);
        }
    }

    /// A 64-bit file with an interpreter, a dynamic section and a string table.
    fn sample() -> Vec<u8> {
        let mut file = vec![0u8; 64 + 3 * 56];
        file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &3u16.to_le_bytes());
        put(18, &62u16.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &3u16.to_le_bytes());
        let strings = b"\0libc.so.6\0$ORIGIN/../lib:/opt\0/lib64/ld.so\0";
        let start = 64 + 3 * 56;
        let dynamic: Vec<u8> = [(1u64, 1u64), (29, 11), (5, start as u64), (0, 0)]
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let at = start + strings.len();
        let mut segment = |number: usize, kind: u32, offset: usize, size: usize| {
            let base = 64 + number * 56;
            put(base, &kind.to_le_bytes());
            for field in [8, 16] {
                put(base + field, &(offset as u64).to_le_bytes());
            }
            put(base + 32, &(size as u64).to_le_bytes());
        };
        segment(0, 1, 0, at + dynamic.len());
        segment(1, 2, at, dynamic.len());
        segment(2, 3, start + 31, 13);
        file.extend_from_slice(strings);
        file.extend_from_slice(&dynamic);
        file
    }

    #[test]
    fn a_file_without_sections_is_read_by_its_program_headers() {
        let (_dir, path) = write(&sample());
        let elf = Elf::read(&path).unwrap();
        assert_eq!(elf.header.to_string(), "amd64, 64 bit, little endian");
        assert_eq!(elf.needed, ["libc.so.6"]);
        assert_eq!(elf.runpath, ["$ORIGIN/../lib", "/opt"]);
        assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld.so"));
    }
}
