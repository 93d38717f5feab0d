//! Pairs that flags give, each key once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;

use crate::error::Error;

/// The pairs as a map; a key that two flags set is refused, since one of them would have no effect.
pub(super) fn once<K: Ord + Display, V>(
    flag: &str,
    pairs: impl Iterator<Item = (K, V)>,
) -> Result<BTreeMap<K, V>, Error> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        match map.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(entry) => {
                return Err(Error::Usage(format!("{flag}: {} is given twice; give it once", entry.key())));
            }
        }
    }
    Ok(map)
}

pub(super) fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Error::Usage(format!("{flag} {text}: write KEY=VALUE"))),
    };
    once(flag, texts.iter().map(pair).collect::<Result<Vec<_>, _>>()?.into_iter())
}
