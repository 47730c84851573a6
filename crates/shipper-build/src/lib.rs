//! Builders behind one trait: daemonless assembly of Cargo packages and files, and real Dockerfile builders.
