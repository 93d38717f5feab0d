//! Text that other programs have written, in the encodings that they use: UTF-8, and UTF-16 with the mark that tells it.

use std::borrow::Cow;

/// Bytes that are no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    #[error("not UTF-8 from byte {0} on")]
    Utf8(usize),
    #[error("it begins as UTF-16 does, and is not: {0}")]
    Utf16(&'static str),
}

/// Reads a file's bytes as text, without the mark that it may begin with (a BOM).
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, NotText> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        bytes => {
            let text = std::str::from_utf8(bytes).map_err(|error| NotText::Utf8(error.valid_up_to()))?;
            Ok(Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)))
        }
    }
}

/// Characters of what is said of a mistake; what is quoted in it may have more.
const LONGEST_REMARK: usize = 1_000;
/// Of these, those that are kept of its end, where it says what would be right.
const KEPT_END: usize = 300;

/// What is said of a mistake, as it may be shown to people and written to logs: on one line, without control characters,
/// and with its middle left out if it quotes too much.
pub fn remark(text: &str) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= LONGEST_REMARK && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    // Each control character becomes the escape that Rust has for it, `\n` or `\u{1b}`.
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.to_string(),
    };
    let shown: String = text.chars().map(escaped).collect();
    let length = shown.chars().count();
    if length <= LONGEST_REMARK {
        return Cow::Owned(shown);
    }
    let (begin, left_out) = (LONGEST_REMARK - KEPT_END - " ... ".len(), length - KEPT_END);
    let shown = shown.chars().enumerate();
    let parts = shown.filter(|(at, _)| *at < begin || *at >= left_out);
    let mut kept = String::new();
    for (at, c) in parts {
        if at == left_out {
            kept.push_str(" ... ");
        }
        kept.push(c);
    }
    Cow::Owned(kept)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, NotText> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NotText::Utf16("it has an odd number of bytes"));
    }
    let decoded = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    decoded.collect::<Result<_, _>>().map_err(|_| NotText::Utf16("half of a character stands alone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_one_short_line_that_keeps_its_end() {
        assert!(matches!(remark("`a` is a list"), Cow::Borrowed("`a` is a list")));
        assert_eq!(
            remark("a\n\u{1b}[2J\u{9b}b\u{e9}"),
            r"a\n\u{1b}[2J\u{9b}b\u{e9}".replace(r"\u{e9}", "\u{e9}")
        );
        let long = remark(&format!("`x` is {}; write y", "\n".repeat(5_000))).into_owned();
        assert_eq!(long.chars().count(), LONGEST_REMARK);
        assert!(
            long.starts_with(r"`x` is \n\n") && long.ends_with("; write y") && long.contains(" ... "),
            "{long}"
        );
    }

    #[test]
    fn text_is_read_in_the_encoding_that_its_mark_tells() {
        let text = "é {𝄞}";
        let units: Vec<u16> = text.encode_utf16().collect();
        let le = units.iter().flat_map(|unit| unit.to_le_bytes());
        let be = units.iter().flat_map(|unit| unit.to_be_bytes());
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            marked(b"\xef\xbb\xbf", text.as_bytes().to_vec()),
            marked(b"\xff\xfe", le.collect()),
            marked(b"\xfe\xff", be.collect()),
        ] {
            assert_eq!(decode(&bytes).unwrap(), text, "{bytes:?}");
        }
        assert_eq!(decode(b"").unwrap(), "");
        assert_eq!(decode(b"ab\xe9"), Err(NotText::Utf8(2)));
        assert!(matches!(decode(b"\xff\xfea"), Err(NotText::Utf16(_))));
        assert!(matches!(decode(b"\xff\xfe\x00\xd8"), Err(NotText::Utf16(_))));
    }
}
