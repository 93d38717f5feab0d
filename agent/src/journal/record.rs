//! A record of the journal, as bytes:
//!
//! ```text
//! length of the body   4 bytes, little-endian, as all numbers here
//! CRC-32C of the body  4 bytes
//! body: kind           1 byte: 1 a note, 2 a note is dropped, 3 an attempt is forgotten
//!       attempt        16 bytes
//!       length of key  2 bytes
//!       key, value     the rest
//! ```

use bt_model::id::AttemptId;
use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc, Table};
use uuid::Uuid;

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// Bytes before the body.
const HEAD: usize = 8;
/// Bytes of a body without key and value.
const FIXED: usize = 19;
/// The largest body. An ending names 100,000 outputs at most, in 8 MiB of names.
const LARGEST: usize = 256 << 20;

const NOTE: u8 = 1;
const DROP: u8 = 2;
const FORGET: u8 = 3;

/// A change of what is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Note {
        attempt: AttemptId,
        key: String,
        value: Bytes,
    },
    /// One note is dropped.
    Drop {
        attempt: AttemptId,
        key: String,
    },
    /// All notes of an attempt are dropped.
    Forget {
        attempt: AttemptId,
    },
}

impl Record {
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Note { attempt, key, value } => encode_note(*attempt, key, value, into),
            Self::Drop { attempt, key } => encode(DROP, *attempt, key, &[], into),
            Self::Forget { attempt } => encode(FORGET, *attempt, "", &[], into),
        }
    }

    /// The record at the beginning of these bytes, and its length; nothing if there is none that is whole.
    pub(super) fn decode(bytes: &Bytes) -> Option<(Self, usize)> {
        let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let (length, checksum) = (number(0)? as usize, number(4)?);
        if !(FIXED..=LARGEST).contains(&length) || bytes.len() < HEAD + length {
            return None;
        }
        let body = bytes.slice(HEAD..HEAD + length);
        if CRC.checksum(&body) != checksum {
            return None;
        }
        let attempt = AttemptId::from_uuid(Uuid::from_bytes(*body.get(1..)?.first_chunk()?));
        let key_end = FIXED + usize::from(u16::from_le_bytes(*body.get(17..)?.first_chunk()?));
        let key = std::str::from_utf8(body.get(FIXED..key_end)?).ok()?.to_owned();
        let record = match body[0] {
            // A copy: what is kept must not keep all that was read with it.
            NOTE => Self::Note { attempt, key, value: Bytes::copy_from_slice(&body[key_end..]) },
            DROP => Self::Drop { attempt, key },
            FORGET => Self::Forget { attempt },
            _ => return None,
        };
        Some((record, HEAD + length))
    }
}

/// Bytes of a note in the file.
pub(super) fn size(key: &str, value: &[u8]) -> u64 {
    (HEAD + FIXED + key.len() + value.len()) as u64
}

pub(super) fn encode_note(attempt: AttemptId, key: &str, value: &[u8], into: &mut Vec<u8>) {
    encode(NOTE, attempt, key, value, into);
}

fn encode(kind: u8, attempt: AttemptId, key: &str, value: &[u8], into: &mut Vec<u8>) {
    let length = FIXED + key.len() + value.len();
    let head = into.len();
    into.reserve(HEAD + length);
    into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    into.push(kind);
    into.extend_from_slice(attempt.uuid().as_bytes());
    into.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
    into.extend_from_slice(key.as_bytes());
    into.extend_from_slice(value);
    let checksum = CRC.checksum(&into[head + HEAD..]);
    into[head + 4..head + HEAD].copy_from_slice(&checksum.to_le_bytes());
}
