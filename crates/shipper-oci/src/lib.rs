//! Container images without a daemon: references, registries, OCI layouts, image assembly.
