//! Cost of the pure parts of a key: root hash, encoding and diff of manifests, in entries per second.
//!
//! `cargo bench -p shipper-hash`. Figures against a peer come from `cargo xtask bench`.

use divan::Bencher;
use divan::counter::ItemsCount;
use shipper_hash::{Entry, Kind, Manifest, RelPath};

const SIZES: [usize; 2] = [1_000, 50_000];

fn main() {
    divan::main();
}

/// A manifest like that of a source tree: directories of a hundred files.
fn manifest(files: usize, content: &[u8]) -> Manifest {
    let entries = (0..files).map(|file| {
        let path = format!("crates/part-{:04}/src/file_{file:06}.rs", file / 100);
        Entry::new(RelPath::try_from(path.as_str()).expect("a plain path"), Kind::File, content)
    });
    Manifest::new(entries.collect()).expect("paths differ")
}

#[divan::bench(args = SIZES)]
fn root_hash(bencher: Bencher<'_, '_>, files: usize) {
    let manifest = manifest(files, b"fn main() {}\n");
    bencher.counter(ItemsCount::new(files)).bench(|| manifest.hash());
}

#[divan::bench(args = SIZES)]
fn encode_and_decode(bencher: Bencher<'_, '_>, files: usize) {
    let manifest = manifest(files, b"fn main() {}\n");
    bencher.counter(ItemsCount::new(files)).bench(|| Manifest::decode(&manifest.encode()));
}

#[divan::bench(args = SIZES)]
fn diff_of_equal_manifests(bencher: Bencher<'_, '_>, files: usize) {
    let (old, new) = (manifest(files, b"old"), manifest(files, b"old"));
    bencher.counter(ItemsCount::new(files)).bench(|| old.diff(&new));
}
