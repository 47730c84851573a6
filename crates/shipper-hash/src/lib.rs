//! Content keys for container builds: file sets, context manifests, build keys, staged directories.
