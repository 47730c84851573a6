//! Bytes that are checked against their descriptor while they pass.
//!
//! Invariant: nothing downstream of a [`Verifier`] is used before [`Verifier::finish`] said yes, and nothing beyond the
//! stated size is passed on.

use std::borrow::Borrow;
use std::io::{self, Write};

use crate::{Descriptor, DigestHasher, Error, Result};

/// Counts and hashes what is written through it.
pub(crate) struct Verifier<D> {
    descriptor: D,
    hasher: DigestHasher,
    seen: u64,
}

impl<D: Borrow<Descriptor>> Verifier<D> {
    pub(crate) fn new(descriptor: D) -> Verifier<D> {
        let hasher = descriptor.borrow().digest.hasher();
        Verifier { descriptor, hasher, seen: 0 }
    }

    /// Adds bytes; fails as soon as there are more than the descriptor says.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        if self.seen > self.descriptor.borrow().size {
            return Err(self.wrong_size());
        }
        self.hasher.update(bytes);
        Ok(())
    }

    /// Whether size and digest are those of the descriptor.
    pub(crate) fn finish(self) -> Result<()> {
        if self.seen != self.descriptor.borrow().size {
            return Err(self.wrong_size());
        }
        let found = self.hasher.finish();
        if found == self.descriptor.borrow().digest {
            Ok(())
        } else {
            Err(Error::DigestMismatch {
                what: "blob".to_owned(),
                expected: self.descriptor.borrow().digest.clone(),
                found,
            })
        }
    }

    fn wrong_size(&self) -> Error {
        Error::SizeMismatch {
            what: format!("blob {}", self.descriptor.borrow().digest),
            expected: self.descriptor.borrow().size,
            found: self.seen,
        }
    }
}

/// Copies a reader to a writer, verifying. An error of either is mapped by the caller's functions.
pub(crate) fn copy(
    descriptor: &Descriptor,
    from: &mut impl io::Read,
    to: &mut impl Write,
    read_error: impl FnOnce(io::Error) -> Error,
    write_error: impl FnOnce(io::Error) -> Error,
) -> Result<()> {
    let mut verifier = Verifier::new(descriptor);
    let length = usize::try_from(descriptor.size.saturating_add(1)).unwrap_or(usize::MAX).clamp(1, 1 << 20);
    let mut buffer = vec![0; length];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return verifier.finish(),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read_error(error)),
        };
        verifier.update(&buffer[..count])?;
        if let Err(error) = to.write_all(&buffer[..count]) {
            return Err(write_error(error));
        }
    }
}
