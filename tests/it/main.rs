//! Drives the real binary, one module per subject.
