//! Bytes with their place, of which as few are held as can be.

use std::io::{self, BufReader, Read};

use super::Error;

/// Bytes of a line: names and numbers of old pickles are lines.
const MOST_OF_LINE: usize = 64 << 10;
/// What is kept of a text: names are shorter.
pub(crate) const KEPT: usize = 256;

pub(crate) struct Reader<R> {
    from: BufReader<R>,
    at: u64,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from: BufReader::with_capacity(256 << 10, from), at: 0 }
    }

    /// The place of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn broken(&self, what: impl Into<String>) -> Error {
        Error::Broken { at: self.at, what: what.into() }
    }

    /// None at the end.
    pub(crate) fn byte(&mut self) -> Result<Option<u8>, Error> {
        let mut byte = [0];
        loop {
            match self.from.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    self.at += 1;
                    return Ok(Some(byte[0]));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?.ok_or_else(|| self.ends())?;
        }
        Ok(bytes)
    }

    /// An unsigned little-endian number of so many bytes, 8 at most.
    pub(crate) fn number(&mut self, bytes: u8) -> Result<u64, Error> {
        let mut number = 0;
        for place in 0..bytes {
            number |= u64::from(self.bytes::<1>()?[0]) << (8 * u32::from(place));
        }
        Ok(number)
    }

    /// Without its end.
    pub(crate) fn line(&mut self) -> Result<String, Error> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                None => return Err(self.ends()),
                Some(b'\n') => break,
                Some(byte) if line.len() < MOST_OF_LINE => line.push(byte),
                Some(_) => return Err(self.broken(format!("a line has more than {MOST_OF_LINE} bytes"))),
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// So many bytes, of which the first ones are kept.
    pub(crate) fn skip(&mut self, length: u64) -> Result<Vec<u8>, Error> {
        let keep = length.min(KEPT as u64);
        let mut kept = Vec::new();
        let read = self.from.by_ref().take(keep).read_to_end(&mut kept)? as u64;
        self.at += read;
        let skipped = io::copy(&mut self.from.by_ref().take(length - keep), &mut io::sink())?;
        self.at += skipped;
        match read + skipped == length {
            true => Ok(kept),
            false => Err(self.ends()),
        }
    }

    fn ends(&self) -> Error {
        self.broken("it ends in the middle")
    }
}
