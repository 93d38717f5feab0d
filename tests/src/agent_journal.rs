//! Reads and writes the journal of an agent's state directory, as `agent/src/journal/record.rs` describes it, and by code of its own.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use uuid::Uuid;

const MAGIC: usize = b"btctl agent journal 1\n".len();
const HEAD: usize = 8;
const KEY: usize = 19;

/// What is noted now: the attempts, in hexadecimal digits, and the keys.
pub fn agent_notes(state_dir: &Path) -> BTreeSet<(String, String)> {
    let mut notes = BTreeSet::new();
    let journal = std::fs::read(state_dir.join("journal")).unwrap_or_default();
    let mut rest = journal.get(MAGIC..).unwrap_or_default();
    // A record that is still being written is not there yet.
    while let Some(length) = rest.first_chunk().map(|length| u32::from_le_bytes(*length) as usize)
        && let Some(body) = rest.get(HEAD..HEAD + length)
        && body.len() >= KEY
    {
        rest = &rest[HEAD + length..];
        let attempt: String = body[1..17].iter().map(|byte| format!("{byte:02x}")).collect();
        let key_end = KEY + usize::from(u16::from_le_bytes([body[17], body[18]]));
        let key = String::from_utf8_lossy(&body[KEY..key_end]).into_owned();
        match body[0] {
            1 => drop(notes.insert((attempt, key))),
            2 => drop(notes.remove(&(attempt, key))),
            _ => notes.retain(|(noted, _)| *noted != attempt),
        }
    }
    notes
}

/// Adds a note to the journal of an agent that does not run.
pub fn add_agent_note(state_dir: &Path, attempt: Uuid, key: &str, value: &str) {
    let mut body = vec![1];
    body.extend(attempt.as_bytes());
    body.extend(u16::try_from(key.len()).expect("a short key").to_le_bytes());
    body.extend(key.bytes().chain(value.bytes()));
    let length = u32::try_from(body.len()).expect("a short note");
    let record = [&length.to_le_bytes()[..], &crc32c(&body).to_le_bytes(), &body].concat();
    let mut journal =
        OpenOptions::new().append(true).open(state_dir.join("journal")).expect("open the journal");
    journal.write_all(&record).expect("write the journal");
}

/// The CRC of iSCSI, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    });
    !crc
}
