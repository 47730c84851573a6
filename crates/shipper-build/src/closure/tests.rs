use std::fs;

use shipper_oci::Platform;

use super::*;

/// An ELF file for amd64 with these dynamic strings: (tag, text).
fn library(interpreter: Option<&str>, strings: &[(u64, &str)]) -> Vec<u8> {
    let mut table = vec![0u8];
    let mut entries: Vec<(u64, u64)> = Vec::new();
    for (tag, text) in strings {
        entries.push((*tag, table.len() as u64));
        table.extend_from_slice(text.as_bytes());
        table.push(0);
    }
    let interpreter_at = table.len();
    let interpreter_bytes = interpreter.map_or(Vec::new(), |path| [path.as_bytes(), b"\0"].concat());
    table.extend_from_slice(&interpreter_bytes);
    let count = if interpreter.is_some() { 3 } else { 2 };
    let start = 64 + count * 56;
    entries.push((5, start as u64));
    entries.push((0, 0));
    let dynamic: Vec<u8> =
        entries.iter().flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat()).collect();
    let at = start + table.len();
    let mut file = vec![0u8; start];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put(16, &3u16.to_le_bytes());
    put(18, &62u16.to_le_bytes());
    put(20, &1u32.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &u16::try_from(count).unwrap().to_le_bytes());
    let segments =
        [(1u32, 0, at + dynamic.len()), (2, at, dynamic.len()), (3, start + interpreter_at, interpreter_bytes.len())];
    for (number, (kind, offset, size)) in segments.iter().take(count).enumerate() {
        let base = 64 + number * 56;
        put(base, &kind.to_le_bytes());
        put(base + 8, &(*offset as u64).to_le_bytes());
        put(base + 16, &(*offset as u64).to_le_bytes());
        put(base + 32, &(*size as u64).to_le_bytes());
    }
    [file, table, dynamic].concat()
}

const NEEDED: u64 = 1;
const RPATH: u64 = 15;
const RUNPATH: u64 = 29;
const LOADER: &str = "/lib64/ld.so.2";

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        machine.put(LOADER, &library(None, &[]));
        machine.put("/lib/x86_64-linux-gnu/libc.so.6", &library(None, &[(NEEDED, "ld.so.2")]));
        machine
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(&path[1..]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn closure(&self, strings: &[(u64, &str)]) -> Result<Vec<String>, BuildError> {
        self.put("/build/app", &library(Some(LOADER), strings));
        let platform: Platform = "linux/amd64".parse().unwrap();
        let libraries = Libraries::new(self.0.path(), crate::target::Machine::of(&platform).unwrap());
        let files = libraries.closure(&self.0.path().join("build/app"), "/usr/local/bin")?;
        Ok(files
            .into_iter()
            .map(|file| {
                let source = file.source.strip_prefix(self.0.path()).unwrap().display().to_string();
                format!("{}{}={source}", file.image_path, if file.executable { "*" } else { "" })
            })
            .collect())
    }
}

#[test]
fn the_interpreter_and_all_libraries_are_found() {
    let machine = Machine::new();
    machine.put("/usr/lib/libz.so.1", &library(None, &[(NEEDED, "libc.so.6"), (NEEDED, "libm.so.6")]));
    machine.put("/usr/lib64/libm.so.6", &library(None, &[(NEEDED, "libz.so.1")]));
    assert_eq!(
        machine.closure(&[(NEEDED, "libz.so.1"), (NEEDED, "libc.so.6")]).unwrap(),
        [
            "/lib/x86_64-linux-gnu/libc.so.6=lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld.so.2*=lib64/ld.so.2",
            "/usr/lib/libz.so.1=usr/lib/libz.so.1",
            "/usr/lib64/libm.so.6=usr/lib64/libm.so.6",
        ]
    );
}

#[test]
fn a_library_that_only_the_configuration_finds_goes_beside_libc() {
    let machine = Machine::new();
    machine.put("/etc/ld.so.conf", b"/opt/vendor/lib\n");
    machine.put("/opt/vendor/lib/libv.so", &library(None, &[(NEEDED, "libc.so.6")]));
    let files = machine.closure(&[(NEEDED, "libv.so")]).unwrap();
    assert!(files.contains(&"/lib/x86_64-linux-gnu/libv.so=opt/vendor/lib/libv.so".to_owned()), "{files:?}");
}

#[test]
fn origin_means_another_directory_in_the_image() {
    let machine = Machine::new();
    machine.put("/build/lib/libown.so", &library(None, &[(NEEDED, "libdeep.so")]));
    machine.put("/build/lib/libdeep.so", &library(None, &[]));
    for (tag, found) in [(RPATH, true), (RUNPATH, false)] {
        let files = machine.closure(&[(NEEDED, "libown.so"), (tag, "$ORIGIN/lib:/none")]);
        match files {
            Ok(files) => {
                assert!(found);
                assert_eq!(
                    files,
                    [
                        "/lib64/ld.so.2*=lib64/ld.so.2",
                        "/usr/local/bin/lib/libdeep.so=build/lib/libdeep.so",
                        "/usr/local/bin/lib/libown.so=build/lib/libown.so",
                    ]
                );
            }
            // DT_RUNPATH is not inherited.
            Err(BuildError::LibraryMissing { library, .. }) => {
                assert_eq!((library.as_str(), found), ("libdeep.so", false));
            }
            Err(error) => panic!("{error}"),
        }
    }
    machine.put("/build/lib/libown.so", &library(None, &[(NEEDED, "libdeep.so"), (RUNPATH, "${ORIGIN}/../more")]));
    machine.put("/build/more/libdeep.so", &library(None, &[]));
    let files = machine.closure(&[(NEEDED, "libown.so"), (RPATH, "$ORIGIN/lib")]).unwrap();
    assert!(files.contains(&"/usr/local/bin/more/libdeep.so=build/lib/../more/libdeep.so".to_owned()), "{files:?}");
}

#[test]
fn files_of_another_machine_are_passed_over() {
    let machine = Machine::new();
    let mut foreign = library(None, &[]);
    foreign[18] = 183;
    machine.put("/lib/x86_64-linux-gnu/libz.so.1", &foreign);
    machine.put("/usr/lib/libz.so.1", &library(None, &[]));
    let files = machine.closure(&[(NEEDED, "libz.so.1")]).unwrap();
    assert!(files.contains(&"/usr/lib/libz.so.1=usr/lib/libz.so.1".to_owned()), "{files:?}");
}

#[test]
fn old_name_service_plug_ins_come_along_with_libc() {
    let machine = Machine::new();
    machine.put("/lib/x86_64-linux-gnu/libnss_dns.so.2", &library(None, &[(NEEDED, "libresolv.so.2")]));
    machine.put("/lib/x86_64-linux-gnu/libresolv.so.2", &library(None, &[]));
    assert_eq!(machine.closure(&[(NEEDED, "libc.so.6")]).unwrap().len(), 4);
    assert_eq!(machine.closure(&[]).unwrap().len(), 1, "not without libc");
}

#[test]
fn what_is_missing_is_named() {
    let machine = Machine::new();
    let error = machine.closure(&[(NEEDED, "libnone.so.3")]).unwrap_err();
    assert!(
        matches!(&error, BuildError::LibraryMissing { library, needed_by } if library == "libnone.so.3" && needed_by.ends_with("app"))
    );
    assert!(error.hint().is_some());
    fs::remove_file(machine.0.path().join(&LOADER[1..])).unwrap();
    let error = machine.closure(&[]).unwrap_err();
    assert!(matches!(&error, BuildError::LibraryMissing { library, .. } if library == LOADER));
}

#[test]
fn a_library_named_by_path_is_taken_from_there() {
    let machine = Machine::new();
    machine.put("/opt/x/liba.so", &library(None, &[]));
    let files = machine.closure(&[(NEEDED, "/opt/x/../x/liba.so")]).unwrap();
    assert!(files.contains(&"/opt/x/liba.so=opt/x/../x/liba.so".to_owned()), "{files:?}");
    assert!(machine.closure(&[(NEEDED, "relative/liba.so")]).is_err());
}

/// The loader of this machine as the judge: it lists what it would load.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_closure_of_this_program_is_what_its_loader_says() {
    let program = std::env::current_exe().unwrap();
    let platform = Platform::host();
    let machine = crate::target::Machine::of(&platform).unwrap();
    let files = Libraries::new(Path::new("/"), machine).closure(&program, "/usr/local/bin").unwrap();
    let loader = files.iter().find(|file| file.executable).unwrap();
    let output = std::process::Command::new(&loader.source).arg("--list").arg(&program).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let mut expected: Vec<&str> =
        listed.lines().filter_map(|line| line.split_once(" => ")).map(|(name, _)| name.trim()).collect();
    let mut found: Vec<&str> = files
        .iter()
        .filter(|file| !file.executable)
        .map(|file| base_name(&file.image_path))
        .filter(|name| !NSS.contains(name) && *name != "libresolv.so.2")
        .collect();
    expected.retain(|name| !name.starts_with('/') && *name != base_name(&loader.image_path));
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}
