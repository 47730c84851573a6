//! Files of the stage in a layer.
//!
//! Invariants: nothing outside the stage is read, and no symbolic link is followed: a link becomes a link in the image.
//! Files are executable (0755) or not (0644), as in the stage; directories are 0755.

use std::fs;
use std::path::{Component, Path};

use shipper_oci::{LayerBuilder, LayerSource};

use crate::error::BuildError;

/// Adds each (image path, path in the stage). A directory's content goes below the image path; a file goes to the image
/// path itself, or below it where that ends in `/`.
pub(crate) fn add(layer: &mut LayerBuilder, stage: &Path, files: &[(String, String)]) -> Result<(), BuildError> {
    let mut added: Vec<(Vec<u8>, &str)> = Vec::new();
    for (image_path, source) in files {
        let refuse = |problem| BuildError::FileRefused { path: source.clone(), problem };
        let path = inside(stage, source)?;
        let metadata = fs::symlink_metadata(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BuildError::FileMissing { path: source.clone() },
            _ => BuildError::io("read", &path)(error),
        })?;
        let image_path = if metadata.is_dir() {
            image_path.trim_end_matches('/').as_bytes().to_vec()
        } else if image_path.ends_with('/') {
            let name = path.file_name().ok_or_else(|| refuse("it has no name"))?;
            [image_path.as_bytes(), name.as_encoded_bytes()].concat()
        } else {
            image_path.as_bytes().to_vec()
        };
        let root = if metadata.is_dir() && !image_path.is_empty() {
            layer.add_dir(&image_path, 0o755).map(drop).map_err(BuildError::from)
        } else {
            Ok(())
        };
        root.and_then(|()| add_one(layer, &path, &image_path, source)).map_err(|error| match error {
            BuildError::Image(shipper_oci::Error::LayerConflict { path, other }) => {
                match added.iter().find(|(below, first)| brings(stage, first, below, &other)) {
                    Some((_, first)) => BuildError::FilesConflict {
                        image_path: path,
                        first: (*first).to_owned(),
                        second: source.clone(),
                    },
                    None => shipper_oci::Error::LayerConflict { path, other }.into(),
                }
            }
            error => error,
        })?;
        added.push((image_path, source));
    }
    Ok(())
}

/// Whether a source that was added at `image_path` has brought `other`.
fn brings(stage: &Path, source: &str, image_path: &[u8], other: &str) -> bool {
    let below =
        Path::new(other).strip_prefix(format!("/{}", String::from_utf8_lossy(image_path).trim_start_matches('/')));
    below.is_ok_and(|below| below.as_os_str().is_empty() || stage.join(source).join(below).symlink_metadata().is_ok())
}

/// The path below the stage, with no link on the way.
fn inside(stage: &Path, source: &str) -> Result<std::path::PathBuf, BuildError> {
    let refuse = |problem| BuildError::FileRefused { path: source.to_owned(), problem };
    let mut path = stage.to_path_buf();
    let mut parts = Path::new(source).components().peekable();
    while let Some(part) = parts.next() {
        match part {
            Component::CurDir => continue,
            Component::Normal(name) => path.push(name),
            _ => return Err(refuse("it leads out of the build context")),
        }
        if parts.peek().is_some() && path.is_symlink() {
            return Err(refuse("a symbolic link is on the way"));
        }
    }
    Ok(path)
}

fn add_one(layer: &mut LayerBuilder, path: &Path, image_path: &[u8], source: &str) -> Result<(), BuildError> {
    let metadata = fs::symlink_metadata(path).map_err(BuildError::io("read", path))?;
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(BuildError::io("read", path))?;
        layer.add_symlink(image_path, target.as_os_str().as_encoded_bytes())?;
    } else if metadata.is_file() {
        let mode = if is_executable(&metadata) { 0o755 } else { 0o644 };
        layer.add_file(image_path, LayerSource::Path(path.to_path_buf()), mode)?;
    } else if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(BuildError::io("read", path))? {
            let entry = entry.map_err(BuildError::io("read", path))?;
            let below = [image_path, b"/", entry.file_name().as_encoded_bytes()].concat();
            if entry.path().is_dir() && !entry.path().is_symlink() {
                layer.add_dir(&below, 0o755)?;
            }
            add_one(layer, &entry.path(), &below, source)?;
        }
    } else {
        let problem = "it is neither a file, a directory nor a symbolic link";
        return Err(BuildError::FileRefused { path: source.to_owned(), problem });
    }
    Ok(())
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use shipper_oci::LayerOptions;

    use super::*;

    fn stage() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, mode: u32| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("web/index.html", 0o600);
        write("web/bin/run", 0o711);
        fs::create_dir(dir.path().join("web/empty")).unwrap();
        symlink("../../etc", dir.path().join("web/link")).unwrap();
        dir
    }

    fn digest(stage: &Path, files: &[(&str, &str)]) -> Result<shipper_oci::Digest, BuildError> {
        let mut layer = LayerBuilder::new("files");
        let files: Vec<_> = files.iter().map(|(image, path)| ((*image).to_owned(), (*path).to_owned())).collect();
        add(&mut layer, stage, &files)?;
        let out = tempfile::tempdir().unwrap();
        Ok(layer.write(&LayerOptions::default(), out.path())?.diff_id)
    }

    #[test]
    fn two_sources_of_one_path_are_both_named() {
        let dir = stage();
        fs::write(dir.path().join("other.html"), "other").unwrap();
        let files = [("/srv/www", "web"), ("/srv/www/index.html", "other.html")];
        for files in [files, [files[1], files[0]]] {
            let error = digest(dir.path(), &files).unwrap_err();
            let BuildError::FilesConflict { image_path, first, second } = error else { panic!("{error:?}") };
            assert_eq!((&*image_path, &*first, &*second), ("/srv/www/index.html", files[0].1, files[1].1));
        }
        // A file where another source needs a directory.
        let error = digest(dir.path(), &[("/srv", "other.html"), ("/srv/www", "web")]).unwrap_err();
        assert_eq!(error.to_string(), "`/srv/www` would come from `other.html` and from `web`");
    }

    #[test]
    fn a_directory_is_copied_with_links_modes_and_empty_directories() {
        let dir = stage();
        let mut expected = LayerBuilder::new("files");
        let source = |path: &str| LayerSource::Path(dir.path().join(path));
        expected.add_dir("/srv/www", 0o755).unwrap();
        expected.add_file("/srv/www/index.html", source("web/index.html"), 0o644).unwrap();
        expected.add_file("/srv/www/bin/run", source("web/bin/run"), 0o755).unwrap();
        expected.add_dir("/srv/www/empty", 0o755).unwrap();
        expected.add_symlink("/srv/www/link", "../../etc").unwrap();
        let out = tempfile::tempdir().unwrap();
        let expected = expected.write(&LayerOptions::default(), out.path()).unwrap().diff_id;
        for (image, path) in [("/srv/www", "web"), ("/srv/www/", "./web/"), ("/srv/www", "web/.")] {
            assert_eq!(digest(dir.path(), &[(image, path)]).unwrap(), expected, "{image} {path}");
        }
    }

    #[test]
    fn a_file_goes_to_a_name_or_into_a_directory() {
        let dir = stage();
        let one = digest(dir.path(), &[("/a/index.html", "web/index.html")]).unwrap();
        assert_eq!(digest(dir.path(), &[("/a/", "web/index.html")]).unwrap(), one);
        assert_ne!(digest(dir.path(), &[("/a", "web/index.html")]).unwrap(), one);
        digest(dir.path(), &[("/", "web")]).unwrap();
        digest(dir.path(), &[("/", "."), ("/extra", "web/bin/run")]).unwrap();
        digest(dir.path(), &[("/l", "web/link")]).unwrap();
    }

    #[test]
    fn nothing_outside_the_stage_is_read() {
        let dir = stage();
        let check = |path: &str, expected: &str| {
            let error = digest(dir.path(), &[("/x", path)]).unwrap_err();
            assert!(error.to_string().contains(expected), "{path}: {error}");
        };
        check("../web", "leads out");
        check("/etc", "leads out");
        check("web/../../x", "leads out");
        check("web/link/passwd", "a symbolic link is on the way");
        check("none", "there is no none");
        assert!(digest(dir.path(), &[("relative", "web")]).is_err());
        assert!(digest(dir.path(), &[("/a/../b", "web")]).is_err());
    }
}
