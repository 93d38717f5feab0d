//! Tokens as texts: `btctl_<id>_<secret>`. The id says which one it is and is no secret; the secret has 256 random bits.
//!
//! It is kept as Argon2id with low costs: there is nothing to guess in 256 random bits, so that what slows down the guessing
//! of passwords would only slow down callers.

use std::sync::LazyLock;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use bt_model::hex::hex;
use sha2::{Digest, Sha256};

use crate::queue::Key;

const PREFIX: &str = "btctl_";
/// Letters of an id.
const ID: usize = 12;
/// Digits of a secret.
const SECRET: usize = 64;
/// Letters of the longest text that is looked at.
const LONGEST: usize = 200;
/// The id of the administrator's token that a file holds.
pub(super) const ROOT: &str = "root";
/// Memory in KiB, passes, lanes.
const COST: (u32, u32, u32) = (256, 1, 1);

/// A token that somebody shows.
pub(super) struct Shown<'t> {
    pub(super) id: &'t str,
    secret: &'t str,
}

/// A new token.
pub(super) struct Made {
    pub(super) id: String,
    /// As it is shown, once.
    pub(super) text: String,
}

impl<'t> Shown<'t> {
    /// None if the text can't be a token.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_id = id == ROOT
            || (id.len() == ID && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
        let is_secret = secret.len() == SECRET && secret.bytes().all(|b| b.is_ascii_hexdigit());
        (is_id && is_secret).then_some(Self { id, secret })
    }

    /// Whether the hash is this secret's. Takes a while: to be called where waiting is allowed.
    pub(super) fn is(&self, hash: &str) -> bool {
        PasswordHash::new(hash)
            .is_ok_and(|hash| argon().verify_password(self.secret.as_bytes(), &hash).is_ok())
    }
}

impl Made {
    pub(super) fn new(id: Option<&str>) -> Result<Self, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let id = match id {
            Some(id) => id.to_owned(),
            None => new_id()?,
        };
        let text = format!("{PREFIX}{id}_{}", hex(&random));
        Ok(Self { id, text })
    }
}

/// What is kept of a token. Takes a while.
pub(super) fn hash(token: &str) -> Result<String, String> {
    let shown = Shown::read(token).ok_or("what was to be a token is none")?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| error.to_string())?;
    let hash = argon().hash_password(shown.secret.as_bytes(), &salt);
    Ok(hash.map_err(|error| error.to_string())?.to_string())
}

fn new_id() -> Result<String, getrandom::Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; ID];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

/// A secret for a browser, which has no id: it is found by its SHA-256.
pub(super) fn cookie() -> Result<String, getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(hex(&random))
}

/// By what a secret is known again.
pub(super) fn key(text: &str) -> Key {
    Sha256::digest(text.as_bytes()).into()
}

fn argon() -> &'static Argon2<'static> {
    static ARGON: LazyLock<Argon2<'static>> = LazyLock::new(|| {
        let (memory, passes, lanes) = COST;
        let params = Params::new(memory, passes, lanes, None).unwrap_or_default();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    });
    &ARGON
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(text in "btctl_(root|[a-z0-9_]{11,13})_[0-9a-fA-F]{63,65}\\n?|\\PC{0,300}") {
            if let Some(shown) = Shown::read(&text) {
                prop_assert_eq!(format!("{PREFIX}{}_{}", shown.id, shown.secret), text.as_str());
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            }
        }
    }

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let (made, other) = (Made::new(None).unwrap(), Made::new(None).unwrap());
        let hash = hash(&made.text).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=256,t=1,p=1$"), "{hash}");
        let shown = Shown::read(&made.text).unwrap();
        assert_eq!(shown.id, made.id);
        assert!(shown.is(&hash));
        assert!(!Shown::read(&other.text).unwrap().is(&hash));
        assert!(!shown.is("$argon2id$nonsense"));
        assert!(!hash.contains(shown.secret));
    }

    #[test]
    fn what_can_be_no_token_is_not_looked_up() {
        let made = Made::new(None).unwrap();
        let cut = &made.text[..made.text.len() - 1];
        let long = format!("{}0", made.text);
        for text in ["", "btctl_", "btctl_abc_def", "hunter2", cut, &long, &"btctl_".repeat(1_000_000)] {
            assert!(Shown::read(text).is_none(), "{}", &text[..text.len().min(90)]);
        }
        assert!(Shown::read(&made.text.replace("btctl_", "BTCTL_")).is_none());
        assert!(Shown::read(&Made::new(Some(ROOT)).unwrap().text).is_some());
    }
}
