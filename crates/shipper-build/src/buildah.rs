//! Builds an image from a Dockerfile with `buildah`, without a daemon.
