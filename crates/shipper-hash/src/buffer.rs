//! Bytes in memory that is got in large pieces: with 78,000 files, each page that is touched first costs more than looking at
//! a file does.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Deref;

/// Bytes from which on large pages are asked for; as large as one is on most machines.
#[cfg(target_os = "linux")]
const LARGE: usize = 2 << 20;

/// Bytes that grow at the end.
pub(crate) struct Buffer {
    memory: Memory,
    length: usize,
}

/// Zero bytes that wait to be used.
enum Memory {
    Heap(Vec<u8>),
    #[cfg(target_os = "linux")]
    Large(memmap2::MmapMut),
}

impl Memory {
    fn new(size: usize) -> Self {
        #[cfg(target_os = "linux")]
        if size >= LARGE
            && let Ok(map) = memmap2::MmapMut::map_anon(size)
        {
            // Where there are none, pages are small as everywhere.
            let _ = map.advise(memmap2::Advice::HugePage);
            return Self::Large(map);
        }
        Self::Heap(vec![0; size])
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Self::Large(map) => map,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Self::Large(map) => map,
        }
    }
}

impl Buffer {
    pub(crate) fn with_capacity(size: usize) -> Self {
        Self { memory: Memory::new(size), length: 0 }
    }

    /// The content of a file, of `size` bytes as far as is known.
    pub(crate) fn read(mut file: File, size: usize) -> io::Result<Self> {
        // One byte more than expected, so that the end of the file is seen.
        let mut buffer = Self::with_capacity(size + 1);
        loop {
            let from = buffer.length;
            if from == buffer.memory.bytes().len() {
                buffer.grow(from.max(1));
                buffer.length = from;
            }
            match file.read(&mut buffer.memory.bytes_mut()[from..]) {
                Ok(0) => return Ok(buffer),
                Ok(count) => buffer.length += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Adds `count` bytes, which are to be written over.
    pub(crate) fn grow(&mut self, count: usize) -> &mut [u8] {
        let (from, end) = (self.length, self.length + count);
        if end > self.memory.bytes().len() {
            let mut larger = Memory::new(end.max(2 * from));
            larger.bytes_mut()[..from].copy_from_slice(self);
            self.memory = larger;
        }
        self.length = end;
        &mut self.memory.bytes_mut()[from..end]
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// The same bytes, to be changed.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[..self.length]
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory.bytes()[..self.length]
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len(), memory: Memory::Heap(bytes) }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.length);
        copy.grow(self.length).copy_from_slice(self);
        copy
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_what_they_are_while_it_grows() {
        for size in [0, 1, 5000, 3 << 20] {
            let mut buffer = Buffer::with_capacity(size);
            let mut expected = Vec::new();
            for piece in 0..600_u32 {
                let bytes = vec![piece.to_le_bytes()[0]; 9973];
                buffer.grow(bytes.len()).copy_from_slice(&bytes);
                expected.extend_from_slice(&bytes);
            }
            assert!(*buffer == *expected && *buffer.clone() == *expected);
            buffer.truncate(10_000);
            buffer.as_mut()[0] = 7;
            expected.truncate(10_000);
            expected[0] = 7;
            assert!(*buffer == *expected && *Buffer::from(expected.clone()) == *expected);
        }
    }

    #[test]
    fn a_file_is_read_whatever_its_size_was_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for length in [0, 1, 70_000, 5 << 20] {
            let content: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
            std::fs::write(&path, &content).unwrap();
            for said in [0, 1, content.len(), content.len() + 10] {
                let read = Buffer::read(File::open(&path).unwrap(), said).unwrap();
                assert!(*read == *content, "{length} bytes, said to be {said}");
            }
        }
    }
}
