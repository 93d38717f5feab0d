//! The bounds of single values, wherever they come from: a file, a flag, the wire.

use std::collections::BTreeMap;

use super::error::Error;
use super::size::LEAST_MEMORY;
use super::volume;
use crate::resources::ByteSize;

pub const MAX_RETRIES: u32 = 100;
/// A command has no more words than this.
pub const MAX_WORDS: usize = 1000;
/// No word is longer: Linux takes 128 KiB with the byte that ends it, for an argument as for a variable with its name.
pub const MAX_WORD: usize = (128 << 10) - 1;
/// No more bytes in all arguments and variables: Linux takes 2 MiB, and some are left for what the image sets.
pub const MAX_ARGUMENTS: usize = (2 << 20) - (128 << 10);
/// No more environment variables, labels, or volumes than these.
pub const MAX_ENV: usize = 1000;
pub const MAX_LABELS: usize = 64;
pub const MAX_VOLUMES: usize = 64;

pub(super) fn name(name: String) -> Result<String, Error> {
    if volume::is_name(&name) {
        return Ok(name);
    }
    let name: String = name.chars().take(80).collect();
    Err(Error::new(format!(
        "{name:?} is not a name for a sweep: letters, digits and `_.-`, a letter or digit first, 63 at most"
    )))
}

/// The grammar of names is asked of new manifests alone.
pub(super) fn image(image: String) -> Result<String, Error> {
    match image.is_empty() || image.len() > 512 {
        true => Err(Error::new("`image` has 1 to 512 bytes; write name:tag or name@sha256:...")),
        false => Ok(image),
    }
}

pub(super) fn command(words: Vec<String>) -> Result<Vec<String>, Error> {
    if words.len() > MAX_WORDS {
        return Err(Error::new(format!("`command` has {} words; {MAX_WORDS} are the most", words.len())));
    }
    for word in &words {
        text("command", word)?;
    }
    if words.first().is_some_and(String::is_empty) {
        return Err(Error::new("`command` starts with an empty word; its first word is the program"));
    }
    Ok(words)
}

pub(super) fn text(owner: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::new(format!("`{owner}` holds a NUL character, which no program can be given")));
    }
    if text.len() > MAX_WORD {
        return Err(Error::new(format!(
            "`{owner}` has a text of {} bytes; {MAX_WORD} are the most that Linux passes to a program. Put it into a file \
             or a volume",
            text.len()
        )));
    }
    Ok(())
}

pub(super) fn env_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 256 || name.contains(['=', '\0']) || name.contains(char::is_whitespace)
    {
        return Err(Error::new(format!("{name:?} is not a name for an environment variable")));
    }
    let is_ours = name.starts_with("BT_PARAM_")
        || ["BT_SWEEP", "BT_JOB", "BT_ATTEMPT", "ALGORITHM_INPUT_PATH"].contains(&name);
    if is_ours {
        return Err(Error::new(format!("`env` sets {name}, which btctl sets itself; take another name")));
    }
    Ok(())
}

pub(super) fn label(name: &str, value: &str) -> Result<(), Error> {
    let fits =
        |text: &str| text.len() <= 128 && text.chars().all(|c| !c.is_control() && c != '=' && c != ',');
    if name.is_empty() || !fits(name) || !fits(value) {
        return Err(Error::new(format!(
            "{name:?}: {value:?} is not a label; name and value have no `=` and no `,`, and 128 bytes at most"
        )));
    }
    Ok(())
}

/// Refuses values that no agent has for the labels that btctl gives to agents. Sweeps that were queued before are read without
/// this check.
pub(crate) fn machine_labels(labels: &BTreeMap<String, String>) -> Result<(), Error> {
    for (name, value) in labels {
        let (known, right): (&[&str], _) = match (name.as_str(), value.to_ascii_lowercase().as_str()) {
            ("arch", "x86_64" | "x86-64" | "x64" | "amd64") => (&["amd64", "arm64"], Some("amd64")),
            ("arch", "aarch64" | "arm64" | "armv8") => (&["amd64", "arm64"], Some("arm64")),
            ("arch", _) => (&["amd64", "arm64"], None),
            ("os", "linux") => (&["linux"], Some("linux")),
            ("os", _) => (&["linux"], None),
            _ => continue,
        };
        if known.contains(&value.as_str()) {
            continue;
        }
        let hint = match right {
            Some(right) => format!("; did you mean {right}?"),
            None => format!("; agents have {}", known.join(" or ")),
        };
        return Err(Error::new(format!("`agents` asks for {name}: {value:?}, which no agent has{hint}")));
    }
    Ok(())
}

pub(super) fn memory(bytes: u64) -> Result<u64, Error> {
    if bytes < LEAST_MEMORY {
        return Err(Error::new(format!(
            "`memory` is {}; no container starts with less than {}",
            ByteSize(bytes),
            ByteSize(LEAST_MEMORY)
        )));
    }
    Ok(bytes)
}

pub(super) fn shm(bytes: u64) -> Result<u64, Error> {
    above_zero("shm", bytes)
}

pub(super) fn disk(bytes: u64) -> Result<u64, Error> {
    above_zero("disk", bytes)
}

fn above_zero(key: &str, bytes: u64) -> Result<u64, Error> {
    match bytes {
        0 => Err(Error::new(format!("`{key}` is 0; leave it out for the default"))),
        _ => Ok(bytes),
    }
}

pub(super) fn results(path: String) -> Result<String, Error> {
    volume::absolute_path(&path)
        .map_err(|why| Error::new(format!("`results` {why}; write a directory such as /results")))
}

pub(super) fn metrics(path: String) -> Result<String, Error> {
    volume::relative_path(&path).map_err(|why| Error::new(format!("`metrics` {why}")))
}

pub(super) fn returns(path: String) -> Result<String, Error> {
    volume::relative_path(&path).map_err(|why| Error::new(format!("`returns.path` {why}")))?;
    match path.ends_with(".csv") || path.ends_with(".parquet") {
        true => Ok(path),
        false => Err(Error::new(format!("`returns.path` is {path:?}; a table ends in .csv or .parquet"))),
    }
}

pub(super) fn progress(path: String) -> Result<String, Error> {
    volume::relative_path(&path).map_err(|why| Error::new(format!("`progress` {why}")))
}

/// Whether there is such a zone is checked when the manifest is submitted.
pub(super) fn timezone(name: String) -> Result<String, Error> {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || "+-".contains(c))
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_+-:".contains(c))
    };
    if name.len() <= 64 && name.split('/').all(is_part) {
        return Ok(name);
    }
    let name: String = name.chars().take(80).collect();
    Err(Error::new(format!("`timezone` has {name:?}; write an IANA name such as Asia/Kolkata or UTC")))
}
