//! How an agent's outputs get into the store, as its owner wishes.

use std::str::FromStr;

use bt_store::Location;

/// What the agent's owner says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// Where the coordinator says that it is, if it is reached there.
    Auto,
    /// Never by itself.
    Relay,
    /// Where it is from here.
    At(Location),
}

impl FromStr for StoreChoice {
    type Err = bt_store::Unreadable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "relay" => Ok(Self::Relay),
            word if !word.contains(['/', ':']) => Err(bt_store::Unreadable::Directory {
                given: word.to_owned(),
                why: format!("write auto, relay, or ./{word} if a directory of that name is meant"),
            }),
            location => location.parse().map(Self::At),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_no_directory() {
        assert_eq!("relay".parse::<StoreChoice>().unwrap(), StoreChoice::Relay);
        let error = "realy".parse::<StoreChoice>().unwrap_err().to_string();
        assert!(error.contains("relay") && error.contains("./realy"), "{error}");
        assert!(matches!("./realy".parse::<StoreChoice>(), Ok(StoreChoice::At(_))));
    }
}
