//! Text as a part of an address: what stands for itself there stays, and every other byte is written as `%XX` (RFC 3986).

/// The text with every byte written as `%XX` but letters, digits, `-`, `.`, `_`, `~` and those of `kept`.
pub fn encoded(text: &[u8], kept: &[u8]) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte);
    text.iter()
        .map(|byte| if stays(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_an_address_or_begin_another_part_is_escaped() {
        assert_eq!(encoded(b"a/b c#?%.txt", b"/"), "a/b%20c%23%3F%25.txt");
        assert_eq!(encoded("a/\u{e9}~".as_bytes(), b""), "a%2F%C3%A9~");
    }
}
