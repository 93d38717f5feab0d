//! Values of flags that describe a sweep.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;

use bt_model::manifest::{ALL_GPUS, VolumeMount};

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

pub(super) fn gpus(text: &str) -> Result<u32, String> {
    match text.trim() {
        "all" => Err(ALL_GPUS.to_owned()),
        text => text.parse().map_err(|_| "write how many gpus each job needs, such as 1".to_owned()),
    }
}

pub(super) fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Error::Usage(format!("{flag} {text}: write KEY=VALUE"))),
    };
    once(flag, texts.iter().map(pair).collect::<Result<Vec<_>, _>>()?.into_iter())
}

pub(crate) fn volume(text: &str) -> Result<VolumeMount, String> {
    text.parse().map_err(|error: bt_model::manifest::Error| error.to_string())
}

pub(super) fn at(flag: &'static str) -> impl Fn(bt_model::manifest::Error) -> Error {
    move |error| Error::Usage(format!("{flag}: {error}"))
}
