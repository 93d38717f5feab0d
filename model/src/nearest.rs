//! What somebody may have meant who has misspelt a name.

/// The known name that is nearest to a wrong one, if it is near enough to be what was meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |(distance, name): &(usize, &str)| {
        *distance <= (name.chars().count().max(wrong.chars().count()) / 3).max(1)
    };
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    distances.filter(near).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_may_have_been_meant() {
        assert_eq!(nearest("sma-crss", ["sma-cross", "momentum"]), Some("sma-cross"));
        assert_eq!(nearest("fats", ["fast", "slow"]), Some("fast"));
        assert_eq!(nearest("x", ["momentum"]), None);
    }
}
