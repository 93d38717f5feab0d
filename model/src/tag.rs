//! What users write on sweeps: tags, by which they find them again, and a note.

/// Tags of one sweep at most.
pub const MOST_TAGS: usize = 32;
/// Bytes of a tag at most.
const LONGEST_TAG: usize = 63;
/// Characters of a note at most.
const LONGEST_NOTE: usize = 2_000;

/// Checks a tag. The error is a sentence.
pub fn check_tag(tag: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_alphanumeric() || "_.-:=/+".contains(c);
    match tag.is_empty() || tag.len() > LONGEST_TAG || !tag.chars().all(allowed) {
        true => {
            let short: String = tag.chars().take(LONGEST_TAG + 1).collect();
            Err(format!(
                "{short:?} can't be a tag; a tag has 1 to {LONGEST_TAG} letters, digits and _ . - : = / +, such as nightly"
            ))
        }
        false => Ok(()),
    }
}

/// Checks a sweep's tags together.
pub fn check_tags(tags: &[String]) -> Result<(), String> {
    if tags.len() > MOST_TAGS {
        return Err(format!("a sweep has at most {MOST_TAGS} tags, not {}", tags.len()));
    }
    tags.iter().try_for_each(|tag| check_tag(tag))
}

/// Checks a note; an empty one is none.
pub fn check_note(note: &str) -> Result<(), String> {
    let length = note.chars().count();
    if length > LONGEST_NOTE {
        return Err(format!("a note has at most {LONGEST_NOTE} characters, not {length}"));
    }
    match note.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t') {
        Some(c) => Err(format!("a note can't hold the control character {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short_words() {
        for tag in ["nightly", "desk:fx", "v1.2", "täglich", "a/b"] {
            assert_eq!(check_tag(tag), Ok(()));
        }
        for tag in ["", "two words", "a,b", "line\n", &"x".repeat(64)] {
            assert!(check_tag(tag).is_err(), "{tag:?}");
        }
        assert!(check_tags(&vec!["t".to_owned(); 33]).is_err());
        assert!(check_note("for the memo\n").is_ok() && check_note("\u{1b}[31m").is_err());
    }
}
