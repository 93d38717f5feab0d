//! What manifests are written in: which of three forms, and UTF-8.

use super::error::Error;

/// What a manifest is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Yaml,
    Toml,
    Json,
}

impl Format {
    /// By the file name's extension; YAML when it says nothing.
    pub fn of_path(path: &str) -> Self {
        match path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()) {
            Some(extension) if extension == "toml" => Self::Toml,
            Some(extension) if extension == "json" => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// The text as UTF-8, or where it is none.
pub(super) fn utf8<'t>(text: &'t [u8], origin: &str) -> Result<&'t str, Error> {
    std::str::from_utf8(text).map_err(|error| {
        let (before, after) = text.split_at(error.valid_up_to());
        let line = before.split(|byte| *byte == b'\n');
        let last = line.clone().next_back().map_or(0, |last| String::from_utf8_lossy(last).chars().count());
        Error {
            origin: Some(origin.to_owned()),
            line: u32::try_from(line.count()).ok(),
            column: u32::try_from(last + 1).ok(),
            message: match is_utf16(text) {
                true => "the file is UTF-16; save it as UTF-8".to_owned(),
                false => format!(
                    "not UTF-8: the byte {:#04x} at offset {}; save the file as UTF-8",
                    after.first().copied().unwrap_or_default(),
                    before.len()
                ),
            },
        }
    })
}

/// True for the byte order marks of UTF-16, which PowerShell and Excel write.
fn is_utf16(text: &[u8]) -> bool {
    text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff")
}
