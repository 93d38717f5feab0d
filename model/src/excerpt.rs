//! What is shown and kept of texts that strangers have written.

/// The first so many letters of a text, without control characters.
pub fn excerpt(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_stays_on_its_line() {
        assert_eq!(excerpt("a\u{1b}[31m\nb\u{7f}", 10), "a[31mb");
        assert_eq!(excerpt("\u{0}aäb", 2), "aä");
        assert_eq!(excerpt("", 2), "");
    }
}
