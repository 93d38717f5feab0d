//! Compression of stored files, in pieces and in bounded memory.

use std::io::{self, Write};

use zstd::stream::raw::{Decoder as RawDecoder, InBuffer, Operation, OutBuffer};
use zstd::stream::write::Encoder as ZstdEncoder;

/// What zstd itself takes for a fair trade of time for room.
const LEVEL: i32 = 3;
/// Bytes that are unpacked at once, however small their compressed form is.
const PIECE: usize = 256 << 10;

/// Compresses a file piece by piece.
pub struct Encoder {
    zstd: ZstdEncoder<'static, Vec<u8>>,
}

/// Undoes it.
pub struct Decoder {
    zstd: RawDecoder<'static>,
    /// Bytes that zstd still wants; none at the end of a frame.
    wanted: usize,
    /// It may have more to give without more input.
    more: bool,
}

impl Encoder {
    pub fn new() -> io::Result<Self> {
        let mut zstd = ZstdEncoder::new(Vec::new(), LEVEL)?;
        zstd.include_checksum(true)?;
        Ok(Self { zstd })
    }

    /// Takes a piece, and gives what is ready; that may be nothing.
    pub fn encode(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        self.zstd.write_all(piece)?;
        Ok(std::mem::take(self.zstd.get_mut()))
    }

    /// Gives the rest.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        self.zstd.finish()
    }
}

impl Decoder {
    pub fn new() -> io::Result<Self> {
        Ok(Self { zstd: RawDecoder::new()?, wanted: 0, more: false })
    }

    /// Takes from the front of `input` and returns what it decodes to; nothing once all of it is used up. A piece may hold a
    /// thousand times its size, so it is not given at once.
    pub fn decode(&mut self, input: &mut &[u8]) -> io::Result<Option<Vec<u8>>> {
        while !input.is_empty() || self.more {
            let mut piece = vec![0; PIECE];
            let mut from = InBuffer::around(input);
            let mut to = OutBuffer::around(piece.as_mut_slice());
            self.wanted = self.zstd.run(&mut from, &mut to)?;
            let (read, written) = (from.pos(), to.pos());
            *input = &input[read..];
            // At the end of a frame, asking for more would begin another.
            self.more = written == PIECE && self.wanted > 0;
            if written > 0 {
                piece.truncate(written);
                return Ok(Some(piece));
            }
            if read == 0 {
                break;
            }
        }
        Ok(None)
    }

    /// Fails if what was taken is not whole.
    pub fn finish(self) -> io::Result<()> {
        match self.wanted {
            0 => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the compressed data breaks off")),
        }
    }
}

/// All of a small file, compressed.
pub fn compress(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = Encoder::new()?;
    let mut all = encoder.encode(data)?;
    all.extend(encoder.finish()?);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(mut input: &[u8], at_once: usize) -> io::Result<Vec<u8>> {
        let mut decoder = Decoder::new()?;
        let mut all = Vec::new();
        while !input.is_empty() {
            let (mut head, rest) = input.split_at(at_once.min(input.len()));
            while let Some(piece) = decoder.decode(&mut head)? {
                assert!(piece.len() <= PIECE);
                all.extend(piece);
            }
            input = rest;
        }
        decoder.finish().map(|()| all)
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let texts = [
            vec![],
            b"x".to_vec(),
            vec![0; 5 << 20],
            (0..3 << 20).map(|n: u32| (n.wrapping_mul(n) >> 7) as u8).collect(),
        ];
        for text in texts {
            let mut encoder = Encoder::new().unwrap();
            let mut packed = Vec::new();
            for piece in text.chunks(700_001) {
                packed.extend(encoder.encode(piece).unwrap());
            }
            packed.extend(encoder.finish().unwrap());
            for at_once in [1, 4096, usize::MAX] {
                if at_once > 1 || packed.len() < 10_000 {
                    assert!(decoded(&packed, at_once).unwrap() == text, "{} bytes", text.len());
                }
            }
        }
    }

    #[test]
    fn what_breaks_off_or_is_damaged_is_told() {
        let packed = compress(&[7; 100_000]).unwrap();
        assert!(decoded(&packed[..packed.len() - 1], 10).is_err());
        let mut damaged = packed.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert!(decoded(&damaged, 10).is_err(), "the checksum is compared");
        assert!(decoded(b"no zstd at all", 5).is_err());
    }
}
