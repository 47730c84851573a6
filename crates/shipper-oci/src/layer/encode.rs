//! Compression and both digests in one pass.
//!
//! The compressors see the archive in blocks of one fixed size, so that short reads of a file cannot show in their
//! output.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use flate2::GzBuilder;
use flate2::write::GzEncoder;

use super::Compression;
use crate::{Algorithm, Digest, DigestHasher};

/// Bytes handed to a compressor at a time.
const BLOCK: usize = 128 * 1024;

/// What came out.
pub(crate) struct Written {
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
    /// Compressed size in bytes.
    pub(crate) size: u64,
}

/// Takes an archive, writes it compressed.
pub(super) struct Encoder<'a> {
    block: Vec<u8>,
    diff_id: DigestHasher,
    compressor: Compressor<'a>,
}

enum Compressor<'a> {
    Gzip(GzEncoder<Output<'a>>),
    Zstd(zstd::stream::write::Encoder<'static, Output<'a>>),
}

impl<'a> Encoder<'a> {
    pub(super) fn new(file: &'a File, compression: Compression) -> io::Result<Encoder<'a>> {
        let output = Output {
            file: BufWriter::with_capacity(BLOCK, file),
            digest: DigestHasher::new(Algorithm::Sha256),
            size: 0,
        };
        let compressor = match compression {
            Compression::Gzip => {
                // 255: "unknown" operating system (RFC 1952); the default names the one this was compiled for.
                let builder = GzBuilder::new().mtime(0).operating_system(255);
                Compressor::Gzip(builder.write(output, flate2::Compression::new(6)))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(output, 3)?;
                encoder.include_checksum(true)?;
                // The output without workers differs from that with any number of workers, which all agree.
                let workers = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 4);
                encoder.multithread(u32::try_from(workers).unwrap_or(1))?;
                Compressor::Zstd(encoder)
            }
        };
        Ok(Encoder { block: Vec::with_capacity(BLOCK), diff_id: DigestHasher::new(Algorithm::Sha256), compressor })
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.diff_id.update(&self.block);
        match &mut self.compressor {
            Compressor::Gzip(encoder) => encoder.write_all(&self.block)?,
            Compressor::Zstd(encoder) => encoder.write_all(&self.block)?,
        }
        self.block.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Written> {
        self.write_block()?;
        let mut output = match self.compressor {
            Compressor::Gzip(encoder) => encoder.finish()?,
            Compressor::Zstd(encoder) => encoder.finish()?,
        };
        output.file.flush()?;
        Ok(Written { digest: output.digest.finish(), diff_id: self.diff_id.finish(), size: output.size })
    }
}

impl Write for Encoder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK - self.block.len();
        let taken = bytes.len().min(room);
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.write_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The compressed side: counts and hashes what goes to the file.
struct Output<'a> {
    file: BufWriter<&'a File>,
    digest: DigestHasher,
    size: u64,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
