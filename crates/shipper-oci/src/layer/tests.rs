use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;

const GZIP: LayerOptions = LayerOptions { compression: Compression::Gzip, mtime: 0 };

fn bytes(content: &[u8]) -> LayerSource {
    LayerSource::Bytes(content.to_vec())
}

fn unpacked(layer: &Layer) -> Vec<u8> {
    let file = File::open(&layer.path).unwrap();
    let mut archive = Vec::new();
    match layer.descriptor.media_type.as_str() {
        media_type::LAYER_GZIP => GzDecoder::new(file).read_to_end(&mut archive).unwrap(),
        _ => zstd::stream::read::Decoder::new(file).unwrap().read_to_end(&mut archive).unwrap(),
    };
    archive
}

/// Every entry as another reader of the format sees it: type, mode, owner, path, link text, content length.
fn listing(layer: &Layer) -> Vec<String> {
    let archive = unpacked(layer);
    let mut archive = ::tar::Archive::new(archive.as_slice());
    let mut lines = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let kind = match header.entry_type() {
            ::tar::EntryType::Regular => '-',
            ::tar::EntryType::Directory => 'd',
            ::tar::EntryType::Symlink => 'l',
            other => panic!("{other:?}"),
        };
        let link = entry.link_name_bytes().map_or(String::new(), |link| format!(" -> {}", link.escape_ascii()));
        lines.push(format!(
            "{kind}{:o} {}:{} {}{link} {}",
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            entry.path_bytes().escape_ascii(),
            entry.size(),
        ));
    }
    lines
}

#[test]
fn entries_are_sorted_and_parents_come_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new("test");
    layer.add_file("/usr/bin/tool", bytes(b"#!"), 0o755).unwrap();
    layer.add_file("/usr/bin-old", bytes(b""), 0o644).unwrap();
    layer.add_symlink("/usr/bin/alias", "tool").unwrap();
    layer.add_file("/tmp/x/y", bytes(b"abc"), 0o600).unwrap();
    layer.add_dir("/home/me", 0o700).unwrap().set_owner("/home/me", 65532, 65532).unwrap();
    layer.add_file("/root/.profile", bytes(b""), 0o100_644).unwrap();
    let layer = layer.write(&GZIP, dir.path()).unwrap();
    assert_eq!(
        listing(&layer),
        [
            "d755 0:0 home/ 0",
            "d700 65532:65532 home/me/ 0",
            "d700 0:0 root/ 0",
            "-644 0:0 root/.profile 0",
            "d1777 0:0 tmp/ 0",
            "d755 0:0 tmp/x/ 0",
            "-600 0:0 tmp/x/y 3",
            "d755 0:0 usr/ 0",
            "d755 0:0 usr/bin/ 0",
            "-644 0:0 usr/bin-old 0",
            "l777 0:0 usr/bin/alias -> tool 0",
            "-755 0:0 usr/bin/tool 2",
        ]
        .map(str::to_owned)
        .to_vec()
        .as_slice(),
        "parents before children"
    );
    assert_eq!(layer.created_by, "test");
}

#[test]
fn digests_are_those_of_the_file_and_of_the_archive() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = LayerBuilder::new("test");
        layer.add_file("/f", bytes(&[7; 300_000]), 0o644).unwrap();
        let layer = layer.write(&LayerOptions::new(compression, 5), dir.path()).unwrap();
        let file = fs::read(&layer.path).unwrap();
        assert_eq!(layer.descriptor, Descriptor::of(compression.media_type(), &file));
        assert_eq!(layer.diff_id, Digest::of(&unpacked(&layer)));
        assert!(layer.path.file_name().unwrap().to_str().unwrap().contains(layer.descriptor.digest.hex()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }
}

/// These digests change when a compressor changes its output; then every image gets new layers, which a release has to
/// say. The digests of the archives themselves may never change.
#[test]
fn digests_are_known_constants() {
    let build = |compression| {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = LayerBuilder::new("test");
        let text: Vec<u8> = (0..200_000u64).flat_map(|number| format!("{}\n", number.pow(2)).into_bytes()).collect();
        layer.add_file("/usr/share/numbers", LayerSource::Bytes(text), 0o644).unwrap();
        layer.add_file("/bin/sh", bytes(b"x"), 0o755).unwrap();
        layer.add_symlink("/lib", "usr/lib").unwrap();
        let layer = layer.write(&LayerOptions::new(compression, 0), dir.path()).unwrap();
        [layer.diff_id.to_string(), layer.descriptor.digest.to_string()]
    };
    assert_eq!(build(Compression::Gzip), GOLDEN_GZIP);
    assert_eq!(build(Compression::Zstd), GOLDEN_ZSTD);
}

const GOLDEN_GZIP: [&str; 2] = [
    "sha256:85bcbf3cae0da3f8bc932dfac2c0e908ef4bbdfcc3d48bd9f5772b5c1b6e4692",
    "sha256:5bd33b625647f4d4c50b6672ea979d7c31d19f7c67f9b0739ef309925ce0be71",
];
const GOLDEN_ZSTD: [&str; 2] =
    [GOLDEN_GZIP[0], "sha256:161e829d0523f5f832768e73d9632cc835200c721a400de5e23a517b3309db29"];

/// Workers of zstd must not show, however many this machine has.
#[test]
fn zstd_gives_the_same_bytes_with_any_number_of_workers() {
    let text: Vec<u8> = (0..3_000_000u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
    let compress = |workers| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.multithread(workers).unwrap();
        encoder.write_all(&text).unwrap();
        Digest::of(&encoder.finish().unwrap())
    };
    assert_eq!(compress(1), compress(2));
    assert_eq!(compress(1), compress(4));
}

#[test]
fn metadata_of_the_source_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let digest = |name: &str, seconds: u64| {
        let path = dir.path().join(name);
        fs::write(&path, "same").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        let mut layer = LayerBuilder::new("test");
        layer.add_file("/f", LayerSource::Path(path), 0o644).unwrap();
        layer.write(&GZIP, dir.path()).unwrap().descriptor.digest
    };
    assert_eq!(digest("a", 1), digest("b", 2_000_000_000));
}

#[test]
fn a_source_that_is_not_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let write = |source: &Path| {
        let mut layer = LayerBuilder::new("test");
        layer.add_file("/f", LayerSource::Path(source.to_path_buf()), 0o644).unwrap();
        layer.write(&GZIP, dir.path()).unwrap_err()
    };
    assert!(matches!(write(&dir.path().join("none")), Error::Io { action: "read", .. }));
    let error = write(dir.path());
    assert!(matches!(error, Error::InvalidImagePath { .. } | Error::Io { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a failed layer leaves nothing");
}

/// `/proc` files say that they are empty and are not: the same as a file that grew while it was read.
#[cfg(target_os = "linux")]
#[test]
fn a_source_that_is_longer_than_its_length_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new("test");
    layer.add_file("/f", LayerSource::Path("/proc/self/status".into()), 0o644).unwrap();
    let error = layer.write(&GZIP, dir.path()).unwrap_err();
    assert!(matches!(error, Error::SourceChanged { expected: 0, .. }), "{error}");
}

#[test]
fn paths_that_no_image_can_have_are_refused() {
    for bad in
        ["", "/", "a", "./a", "/a/", "//a", "/a//b", "/a/../b", "/a/.", "/..", "/a\0b", "/x/.wh.y", "/.wh..wh..opq"]
    {
        let mut layer = LayerBuilder::new("test");
        let error = layer.add_file(bad, bytes(b""), 0o644).unwrap_err();
        assert!(matches!(error, Error::InvalidImagePath { .. }), "{bad:?}: {error}");
        assert!(layer.is_empty());
    }
    for good in ["/a", "/a b/c\n", "/...", "/a/..b", "/ü", "/wh.x"] {
        LayerBuilder::new("test").add_file(good, bytes(b""), 0o644).unwrap();
    }
    assert!(LayerBuilder::new("test").add_symlink("/a", "").is_err());
    assert!(LayerBuilder::new("test").set_owner("/a", 1, 1).is_err());
}

#[test]
fn a_path_is_one_thing_only() {
    let check = |first: &str, second: &str, expected: Option<(&str, &str)>| {
        let mut layer = LayerBuilder::new("test");
        layer.add_file(first, bytes(b"1"), 0o644).unwrap();
        match (layer.add_file(second, bytes(b"2"), 0o644), expected) {
            (Ok(_), None) => {}
            (Err(Error::LayerConflict { path, other }), Some(pair)) => assert_eq!((&*path, &*other), pair),
            (result, _) => panic!("{first} {second}: {result:?}"),
        }
    };
    check("/a", "/b", None);
    check("/a", "/ab", None);
    check("/a", "/a", Some(("/a", "/a")));
    check("/a", "/a/b/c", Some(("/a/b/c", "/a")));
    check("/a/b/c", "/a", Some(("/a", "/a/b/c")));
    check("/a-b/c", "/a", None);
    let mut layer = LayerBuilder::new("test");
    layer.add_symlink("/lib", "usr/lib").unwrap();
    assert!(layer.add_file("/lib/x", bytes(b""), 0o644).is_err(), "a layer never writes through its own link");
    layer.add_symlink("/lib", "usr/lib").unwrap();
    assert!(layer.add_dir("/lib", 0o755).is_err());
    layer.add_dir("/d", 0o700).unwrap().add_file("/d/f", bytes(b""), 0o644).unwrap().add_dir("/d", 0o750).unwrap();
}

#[test]
fn long_and_foreign_names_survive() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("/{}/{}", "d".repeat(120), "f".repeat(90));
    let longer = format!("/{}/{}", "d".repeat(160), "f".repeat(90));
    let name = format!("/{}", "n".repeat(101));
    let edge = format!("/{}", "e".repeat(100));
    let mut layer = LayerBuilder::new("test");
    for path in [long.as_bytes(), longer.as_bytes(), name.as_bytes(), edge.as_bytes(), "/zü".as_bytes(), b"/z\xff"] {
        layer.add_file(path, bytes(b"x"), 0o644).unwrap();
    }
    layer.add_symlink("/link", "t".repeat(101)).unwrap();
    let layer = layer.write(&GZIP, dir.path()).unwrap();
    let lines = listing(&layer);
    for expected in [&long, &longer, &name, &edge] {
        assert!(lines.contains(&format!("-644 0:0 {} 1", &expected[1..])), "{expected}");
    }
    assert!(lines.contains(&"-644 0:0 z\\xc3\\xbc 1".to_owned()) && lines.contains(&"-644 0:0 z\\xff 1".to_owned()));
    assert!(lines.contains(&format!("l777 0:0 link -> {} 0", "t".repeat(101))));
    let archive = unpacked(&layer);
    let records = archive.windows(10).filter(|window| window == b"PaxHeaders").count();
    assert_eq!(
        records, 7,
        "only what ustar cannot say: both long directories, `longer`, `name`, two foreign names, the link"
    );
}

#[test]
fn large_numbers_get_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let file = File::create(&path).unwrap();
    let mut encoder = encode::Encoder::new(&file, Compression::Gzip).unwrap();
    let mut archive = tar::Archive::new(&mut encoder, &path, 1 << 40);
    archive.header(b"big", ::tar::EntryType::Regular, 0o644, (4_000_000_000, 7), 9 << 30, b"").unwrap();
    encoder.finish().unwrap();
    let mut text = Vec::new();
    GzDecoder::new(File::open(&path).unwrap()).read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    for record in ["19 size=9663676416\n", "18 uid=4000000000\n", "23 mtime=1099511627776\n"] {
        assert!(text.contains(record), "{record:?}");
    }
    assert!(!text.contains("gid="));
}

/// The system's `tar` as a second reader.
#[cfg(target_os = "linux")]
#[test]
fn the_tar_of_this_machine_reads_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let mut layer = LayerBuilder::new("test").owner(1000, 1000);
    let long = format!("{}/{}", "ü".repeat(80), "f".repeat(140));
    layer.add_file(format!("/{long}"), bytes(b"content"), 0o644).unwrap();
    layer.add_symlink("/link", &long).unwrap();
    let layer = layer.write(&LayerOptions::new(Compression::Gzip, 1_700_000_000), dir.path()).unwrap();
    let output = std::process::Command::new("tar")
        .args(["--utc", "--numeric-owner", "--quoting-style=literal", "-tvzf"])
        .arg(&layer.path)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("every Linux system that builds this has tar");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains(&format!("-rw-r--r-- 1000/1000         7 2023-11-14 22:13 {long}\n")), "{lines}");
    assert!(lines.contains(&format!(" link -> {long}\n")), "{lines}");
}

proptest! {
    #[test]
    fn whatever_is_added_is_read_back(
        files in proptest::collection::btree_map("/[a-cü.]{1,30}(/[a-c]{1,40}){0,6}", proptest::collection::vec(any::<u8>(), 0..2000), 1..12)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut layer = LayerBuilder::new("test");
        let mut added = BTreeMap::new();
        for (path, content) in files {
            if layer.add_file(&path, LayerSource::Bytes(content.clone()), 0o644).is_ok() {
                added.insert(path.as_bytes()[1..].to_vec(), content);
            }
        }
        let layer = layer.write(&GZIP, dir.path()).unwrap();
        let archive = unpacked(&layer);
        let mut read = BTreeMap::new();
        let mut order = Vec::new();
        for entry in ::tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path_bytes().into_owned();
            order.push(path.strip_suffix(b"/").unwrap_or(&path).to_vec());
            if entry.header().entry_type().is_file() {
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                read.insert(path, content);
            }
        }
        prop_assert_eq!(read, added);
        prop_assert!(order.is_sorted() && order.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
