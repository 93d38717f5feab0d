//! How programs write numbers that are not finite, which JSON has no word for: Python's `NaN` and `-Infinity`, and what C
//! prints for them (`-nan`, `inf`, `nan(0x8000)`, and on Windows `1.#INF`, `-1.#IND`).

use std::borrow::Cow;

/// What a number that is not finite becomes before the text is read as JSON.
const NULL: &str = "null";

/// The text with `null` for numbers that are not finite; what stands in quotes stays. Columns may shift behind one, lines
/// do not.
pub(crate) fn without_non_finite(text: &str) -> Cow<'_, str> {
    let mut json = String::new();
    // Where the part of the text begins that was not copied yet.
    let mut copied = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'"' {
            at += end_of_text(&text[at..]);
            continue;
        }
        // A word begins where no other goes on, so that no part of one is taken for it.
        match non_finite(&bytes[at..]) {
            Some(length) => {
                json.push_str(&text[copied..at]);
                json.push_str(NULL);
                at += length;
                copied = at;
            }
            None => at += word(&bytes[at..]).max(1),
        }
    }
    match copied {
        0 => Cow::Borrowed(text),
        _ => {
            json.push_str(&text[copied..]);
            Cow::Owned(json)
        }
    }
}

/// How long the word at the beginning is.
fn word(bytes: &[u8]) -> usize {
    let is_part = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-' | b'#') || !byte.is_ascii()
    };
    bytes.iter().take_while(|byte| is_part(byte)).count()
}

/// How long the number is at the beginning, if it is one that is not finite.
fn non_finite(bytes: &[u8]) -> Option<usize> {
    let length = word(bytes);
    let word = &bytes[..length];
    let number = match word {
        [b'-' | b'+', number @ ..] => number,
        number => number,
    };
    let is = |name: &str| number.eq_ignore_ascii_case(name.as_bytes());
    if is("nan") {
        // C may add what kind of NaN it is.
        return Some(length + parenthesis(&bytes[length..]));
    }
    let names =
        ["inf", "infinity", "1.#inf", "1.#inf00", "1.#qnan", "1.#qnan0", "1.#snan", "1.#ind", "1.#ind00"];
    names.into_iter().any(is).then_some(length)
}

/// How long `(...)` is at the beginning: letters, digits and `_`, as C has them.
fn parenthesis(bytes: &[u8]) -> usize {
    let [b'(', rest @ ..] = bytes else { return 0 };
    let inner = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    match rest.get(inner) {
        Some(b')') => inner + 2,
        _ => 0,
    }
}

/// Where the text in quotes at the beginning ends.
fn end_of_text(quoted: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            // The opening quote counts as escaped.
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    quoted.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_becomes_null() {
        for spelling in [
            "NaN",
            "nan",
            "-nan",
            "+nan",
            "NAN",
            "-nan(ind)",
            "nan(0x8000000000000)",
            "nan()",
            "inf",
            "-inf",
            "INF",
            "+Infinity",
            "-Infinity",
            "1.#INF",
            "-1.#INF",
            "1.#QNAN",
            "-1.#IND",
            "1.#INF00",
        ] {
            assert_eq!(
                without_non_finite(&format!("{{\"a\":{spelling},\"b\": 1}}")),
                "{\"a\":null,\"b\": 1}",
                "{spelling}"
            );
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            r#"{"nan": 1, "a \" inf": -2.5e-3, "é": null}"#,
            "{\"a\": nano, \"b\": infinite}",
            "{\"a\": nan(}",
            "{\"a\": 1.#IN}",
            "",
            "\"",
        ] {
            let read = without_non_finite(text);
            assert_eq!(read.replace("null(", "nan("), text);
        }
    }
}
