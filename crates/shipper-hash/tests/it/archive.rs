//! Archives: the same bytes for the same manifest, and readable by other programs.

use std::io::Read as _;
use std::process::Command;

use shipper_hash::{Entry, FileDigest, FileSet, Kind, Manifest, RelPath, Selection};

use crate::project::Project;

fn project() -> Project {
    let project = Project::new();
    project.write("a", "1").write("dir/run.sh", "#!/bin/sh\n").chmod("dir/run.sh", 0o711).mkdir("empty").link("l", "a");
    project.write_bytes(b"caf\xe9", "x").write("block", [7; 512]).write("new\nline", "y");
    // Longer than ustar's name, longer than its prefix and name together, a link longer than its field.
    project.write(&format!("{}/{}", "p".repeat(90), "n".repeat(90)), "z");
    project.write(&format!("{}/{}", "q".repeat(200), "m".repeat(200)), "zz").link("long", &"t/".repeat(80));
    project
}

fn selection() -> Selection<'static> {
    Selection { files: FileSet::Worktree, ..Selection::default() }
}

fn archive(project: &Project) -> Vec<u8> {
    let mut bytes = Vec::new();
    project.context(&selection()).write_tar(&mut bytes).unwrap();
    bytes
}

#[test]
fn an_archive_holds_the_manifest() {
    let project = project();
    let bytes = archive(&project);
    let mut entries = Vec::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
        let path = entry.path_bytes().into_owned();
        let path = RelPath::try_from(path.strip_suffix(b"/").unwrap_or(&path)).unwrap();
        let (kind, content) = match header.entry_type() {
            tar::EntryType::Symlink => (Kind::Symlink, entry.link_name_bytes().unwrap().into_owned()),
            tar::EntryType::Directory => (Kind::EmptyDir, Vec::new()),
            _ => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                let kind = if header.mode().unwrap() == 0o755 { Kind::Executable } else { Kind::File };
                (kind, content)
            }
        };
        entries.push(Entry::new(path, kind, &content));
    }
    assert_eq!(&Manifest::new(entries).unwrap(), project.context(&selection()).manifest());
}

#[test]
fn equal_contexts_give_equal_archives() {
    let (one, other) = (project(), project());
    let bytes = archive(&one);
    assert_eq!(bytes, archive(&other));
    // Changes only with the format: whoever builds from an archive keys by these bytes.
    assert_eq!(FileDigest::of(&bytes).to_string(), "b1aa33c56ed95b791c46331230d48ee67dd3d1ed0f14ae54ddfbbccef815949a");
}

#[test]
fn gnu_tar_reads_what_was_written() {
    let project = project();
    let (file, target) = (project.beside("context.tar"), project.beside("unpacked"));
    std::fs::write(&file, archive(&project)).unwrap();
    std::fs::create_dir(&target).unwrap();
    let output = Command::new("tar").arg("-xpf").arg(&file).arg("-C").arg(&target).output().expect("tar is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = shipper_hash::Tree::open(&target, &shipper_hash::TreeOptions::default()).unwrap();
    let mut context = tree.context(None).unwrap();
    context.add(&selection()).unwrap();
    assert_eq!(context.finish().unwrap().manifest(), project.context(&selection()).manifest());
}
