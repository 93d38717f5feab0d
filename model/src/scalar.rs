//! What a word without quotes means: a number, a boolean, nothing, or text.
//!
//! One rule for YAML, CSV files and flags: a word is a number only where JSON can carry it to the job byte for byte, and
//! where it fits the type that it is compared as. All other words are text and keep their spelling: `007`, `+5`, `.5`,
//! `0x10`, `1_000`, `2024-01-05`.

use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// Where `deserialize_any` meets a number that is no whole number of 64 bits, serde_json hands out a map with this one
/// key, whose value is the number as a text.
pub(crate) const NUMBER: &str = "$serde_json::private::Number";

/// A word that was written without quotes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bare {
    /// Only YAML and JSON have it: `null`, `~`, or nothing at all.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

/// What the word is in YAML and JSON.
pub(crate) fn bare(word: &str) -> Bare {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Bare::Null,
        "true" => return Bare::Bool(true),
        "false" => return Bare::Bool(false),
        _ => {}
    }
    match number(word) {
        Some(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Bare::Int(int),
            (None, Some(float)) => Bare::Float(float),
            (None, None) => Bare::Text,
        },
        None => Bare::Text,
    }
}

/// What the word is in a CSV file or a flag, where `null` and `~` are text.
pub(crate) fn value(word: &str) -> Value {
    match word {
        "true" => true.into(),
        "false" => false.into(),
        _ => number(word).map_or_else(|| word.into(), Value::Number),
    }
}

/// The word as a number that keeps its spelling.
pub(crate) fn number(word: &str) -> Option<Number> {
    let raw: &RawValue = serde_json::from_str(word).ok()?;
    number_of_raw(raw).filter(|number| raw.get() == word && fits(number))
}

/// The number that the JSON is, with its spelling: serde_json's own reader would write `1e5` as `1e+5`.
pub(crate) fn number_of_raw(raw: &RawValue) -> Option<Number> {
    let text = raw.get();
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    is_number.then(|| Number::from_string_unchecked(text.to_owned()))
}

/// True for whole numbers of 64 bits and for finite floats. A float that becomes zero though it has other digits does
/// not fit.
pub(crate) fn fits(number: &Number) -> bool {
    let text = number.as_str();
    if !text.contains(['.', 'e', 'E']) {
        return number.as_i64().is_some();
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.contains(|c: char| ('1'..='9').contains(&c));
    number.as_f64().is_some_and(|float| float != 0.0 || is_zero)
}

/// What an unquoted word that is text looks like in other languages, and how it would be that here.
pub(crate) fn look_alike(word: &str) -> Option<String> {
    match word.to_ascii_lowercase().as_str() {
        bool @ ("true" | "false") if bool != word => return Some(format!("write {bool} for a boolean")),
        ".inf" | "+.inf" | "-.inf" | ".nan" | "inf" | "-inf" | "nan" => {
            return Some("a number must be finite".to_owned());
        }
        _ => {}
    }
    if let Some(number) = range_number(word).filter(|_| number(word).is_none()) {
        return Some(format!("write {number} for a number"));
    }
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    let based = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| i64::from_str_radix(digits.strip_prefix(prefix)?, radix).ok());
    if let Some(number) = based {
        return Some(format!("write {number} for a number"));
    }
    let is_long = digits.len() > 18 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_long.then(|| "it is too long for a number of 64 bits".to_owned())
}

/// A number at the end of a range. Its spelling reaches no job, so the forms that only JSON lacks are taken too: `.5`,
/// `5.`, `+5`.
pub(crate) fn range_number(word: &str) -> Option<Number> {
    if let Some(number) = number(word) {
        return Some(number);
    }
    let (sign, rest) = match word.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let end = rest.find(['e', 'E']).unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(end);
    let mantissa = match mantissa.split_once('.') {
        Some(("", "")) => return None,
        Some(("", fraction)) => format!("0.{fraction}"),
        Some((whole, "")) => format!("{whole}.0"),
        _ => mantissa.to_owned(),
    };
    number(&format!("{sign}{mantissa}{}", exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_spelling() {
        for word in
            ["0", "-0", "5", "-17", "1.10", "-0.0", "1e5", "1E5", "1e-05", "1.5e+3", "9223372036854775807"]
        {
            let number = number(word).unwrap_or_else(|| panic!("{word} is a number"));
            assert_eq!(number.as_str(), word);
            assert_eq!(Value::Number(number).to_string(), word);
        }
        let long = "0.12345678901234567890123";
        assert_eq!(value(long).to_string(), long);
        assert_eq!(bare("1.10"), Bare::Float(1.1));
        assert_eq!(bare("-0"), Bare::Int(0));
    }

    #[test]
    fn all_other_words_are_text() {
        for word in [
            "000001",
            "007",
            "-08",
            "08.5",
            "0x10",
            "0o7",
            "0b1",
            "+5",
            "1_000",
            "2023_01",
            ".5",
            "5.",
            "1e",
            "1e400",
            "1e-400",
            "-1e999",
            ".inf",
            ".nan",
            "inf",
            "nan",
            "NaN",
            "Infinity",
            "yes",
            "no",
            "on",
            "off",
            "True",
            "FALSE",
            "2024-01-05",
            "12:30:00",
            "1.2.3",
            "9223372036854775808",
            "12345678901234567890123",
            " 5",
            "5 ",
            "5\t",
            "\u{661}",
            "-",
            "+",
            ".",
            "1 000",
            "5%",
            "--5",
        ] {
            assert_eq!(bare(word), Bare::Text, "{word}");
            assert_eq!(value(word), Value::from(word), "{word}");
        }
        for word in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(bare(word), Bare::Null, "{word}");
            assert_eq!(value(word), Value::from(word), "{word}");
        }
    }

    #[test]
    fn text_that_looks_like_something_else_is_explained() {
        for (word, part) in [
            ("True", "write true"),
            ("FALSE", "write false"),
            (".5", "write 0.5"),
            ("5.", "write 5.0"),
            ("+5", "write 5 "),
            ("0x10", "write 16"),
            (".inf", "finite"),
            ("12345678901234567890", "64 bits"),
        ] {
            let why = look_alike(word).unwrap_or_else(|| panic!("{word}"));
            assert!(why.contains(part), "{word}: {why}");
        }
        for word in ["5", "1.10", "true", "yes", "off", "abc", "2024-01-05", "007", "", "1.2.3"] {
            assert_eq!(look_alike(word), None, "{word}");
        }
    }
}
