//! Text that a job left, as a page shows it, and what is said of what is no text.

use bt_pickles::Inspection;
use serde_json::Value;

use super::super::progress::harmless_lines;

/// Lines that are shown.
const LINES: usize = 200;
/// Bytes of JSON, laid out, that are shown.
const LAID_OUT: usize = 128 << 10;
/// Bytes of what is no text that are shown, and how many in a line.
const BYTES: usize = 256;
const ROW: usize = 16;

/// Whether these first bytes of a file are text: the last character may be cut.
pub(super) fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !head.contains(&0)
}

/// The first lines.
pub(super) fn beginning(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    let lines: Vec<&str> = text.split_inclusive('\n').take(LINES).collect();
    harmless_lines(lines.concat().trim_start_matches('\u{feff}'))
}

/// What of the text is shown.
pub(super) fn how_much(head: &[u8], is_whole: bool) -> &'static str {
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    match is_whole && lines <= LINES {
        true => "The whole text.",
        false => "Its first lines.",
    }
}

/// JSON, one value a line, and whether that is all of it; or why it is no JSON.
pub(super) fn laid_out(text: &[u8]) -> Result<(String, bool), String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| format!("It is not JSON as the standard has it: {error}."))?;
    let mut text = serde_json::to_string_pretty(&value).map_err(|error| error.to_string())?;
    let is_all = text.len() <= LAID_OUT;
    if !is_all {
        text.truncate(text.floor_char_boundary(LAID_OUT));
        text.push_str("\n…");
    }
    Ok((harmless_lines(&text), is_all))
}

/// `00000000  80 04 95 1a  ...`
pub(super) fn bytes(head: &[u8]) -> String {
    let rows = head[..head.len().min(BYTES)].chunks(ROW).enumerate().map(|(row, bytes)| {
        let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let signs = bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' });
        format!("{:08x}  {:<47}  {}\n", row * ROW, digits.join(" "), signs.collect::<String>())
    });
    rows.collect()
}

/// Names that are listed of a pickle.
const NAMES: usize = 100;

/// What loading a pickle would import, the dangerous first.
pub(super) fn imports(found: &Inspection) -> String {
    let mut lines: Vec<String> = found
        .names
        .iter()
        .take(NAMES)
        .map(|name| {
            format!("{:<10} {}  used {}, called {}", name.standing.name(), name.name, name.used, name.called)
        })
        .collect();
    lines.extend(
        found.names.len().checked_sub(NAMES).filter(|more| *more > 0).map(|more| format!("and {more} more")),
    );
    for (count, what) in [
        (found.computed_calls, "calls of what it computes itself: nobody knows of what"),
        (found.unnamed, "names that it computes itself: nobody knows which"),
        (found.elsewhere, "objects that are kept elsewhere, or numbered"),
    ] {
        if count > 0 {
            lines.push(format!("{count} {what}"));
        }
    }
    let first =
        if found.names.is_empty() { "Loading it would import nothing." } else { "Loading it would import:" };
    lines.insert(0, first.to_owned());
    lines.join("\n") + "\n"
}

/// What a pickle is, by its first and last bytes, and what is wrong with it.
pub(super) fn pickle(head: &[u8], end: &[u8]) -> (String, Option<String>) {
    let what = match head {
        [0x80, protocol, ..] => format!("A pickle of protocol {protocol}"),
        // Files of joblib and pandas may be compressed.
        [0x1f, 0x8b, ..] => return ("A pickle, compressed with gzip".to_owned(), None),
        [b'B', b'Z', b'h', ..] => return ("A pickle, compressed with bzip2".to_owned(), None),
        [0xfd, b'7', b'z', ..] => return ("A pickle, compressed with xz".to_owned(), None),
        [0x78, ..] => return ("A pickle, compressed with zlib".to_owned(), None),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return ("A pickle, compressed with zstd".to_owned(), None),
        _ => "A pickle of protocol 0 or 1, if it is one".to_owned(),
    };
    // The last of a pickle's instructions is to stop.
    let remark = (end != b".").then(|| "It does not end as a pickle does: it may be cut off.".to_owned());
    (what, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_harmless() {
        assert!(
            is_text("é".as_bytes())
                && is_text(&"é".as_bytes()[..1])
                && !is_text(b"caf\xe9 x")
                && !is_text(b"\0")
        );
        let many = "line\n".repeat(1_000);
        assert_eq!(beginning(many.as_bytes()).lines().count(), LINES);
        assert_eq!(how_much(many.as_bytes(), true), "Its first lines.");
        assert_eq!(beginning(b"\xef\xbb\xbfa\x1b[31m\tb\n"), "a\u{fffd}[31m\tb\n");
    }

    #[test]
    fn json_is_laid_out_and_what_is_none_says_why() {
        let (text, is_all) = laid_out(br#"{"b": 1.50, "a": [1]}"#).unwrap();
        assert_eq!((text.as_str(), is_all), ("{\n  \"b\": 1.50,\n  \"a\": [\n    1\n  ]\n}", true));
        let long = format!("[{}1]", "1,".repeat(60_000));
        assert!(!laid_out(long.as_bytes()).unwrap().1);
        for wrong in ["{", r#"{"a": NaN}"#, &"[".repeat(100_000)] {
            assert!(laid_out(wrong.as_bytes()).is_err());
        }
    }

    #[test]
    fn what_a_pickle_would_import_is_listed() {
        let bad = bt_pickles::inspect(&b"cposix\nsystem\n(Vid\ntR."[..]).unwrap();
        assert_eq!(imports(&bad), "Loading it would import:\ndangerous  posix.system  used 1, called 1\n");
        let plain = bt_pickles::inspect(&b"K\x01."[..]).unwrap();
        assert_eq!(imports(&plain), "Loading it would import nothing.\n");
    }

    #[test]
    fn a_pickle_is_described_by_its_first_and_last_bytes() {
        assert_eq!(pickle(&[0x80, 4, 0x95], b"."), ("A pickle of protocol 4".to_owned(), None));
        assert!(pickle(&[0x80, 5], b"x").1.is_some());
        assert!(pickle(b"(dp0\n", b".").0.contains("0 or 1"));
        assert!(bytes(&[0, b'A']).starts_with("00000000  00 41 "));
    }
}
