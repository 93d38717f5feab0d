//! Reads the journal of an agent's state directory, as `agent/src/journal/record.rs` describes it, and by code of its own.

use std::collections::BTreeSet;
use std::path::Path;

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
