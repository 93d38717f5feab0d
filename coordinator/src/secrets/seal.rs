//! Encrypts values: AES-256-GCM with a random nonce. Name and owners are authenticated with the value, so that nobody who can
//! write to Postgres can give one secret the value of another, or let others name it.

use bt_model::secret_value::SecretBytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::keys::Key;
use crate::queue::{Sealed, SealedSecret};

/// What is authenticated begins with this: values of another format are never taken for these.
const FORMAT: &[u8] = b"btctl secret 1";

/// Encrypts a value.
pub(super) fn seal(key: &Key, name: &str, owners: &[String], value: &SecretBytes) -> Result<Sealed, String> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(|error| format!("the system gives no random bytes: {error}"))?;
    let mut bytes = value.bytes().to_vec();
    let bound = Aad::from(bound(name, owners));
    let sealed =
        cipher(key)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut bytes);
    sealed.map_err(|_| format!("the secret {name} can't be encrypted"))?;
    Ok(Sealed { key: key.id.clone(), nonce: nonce.to_vec(), bytes })
}

/// Decrypts a value. Fails if anything of the row was changed.
pub(super) fn open(key: &Key, secret: &SealedSecret) -> Result<SecretBytes, String> {
    let SealedSecret { name, owners, sealed } = secret;
    let changed = || {
        format!("the secret {name} is not as it was stored: its row was changed in Postgres; set it again")
    };
    let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| changed())?;
    let mut bytes = Zeroizing::new(sealed.bytes.clone());
    let opened = cipher(key)?.open_in_place(nonce, Aad::from(bound(name, owners)), &mut bytes);
    Ok(SecretBytes::new(opened.map_err(|_| changed())?.to_vec()))
}

fn cipher(key: &Key) -> Result<LessSafeKey, String> {
    let key = UnboundKey::new(&AES_256_GCM, key.bytes.as_slice());
    Ok(LessSafeKey::new(key.map_err(|_| "the key can't be used".to_owned())?))
}

/// What a value belongs to. No two have the same bytes: each part has its length before it.
fn bound(name: &str, owners: &[String]) -> Vec<u8> {
    let mut bound = FORMAT.to_vec();
    for part in std::iter::once(name).chain(owners.iter().map(String::as_str)) {
        bound.extend((part.len() as u64).to_be_bytes());
        bound.extend(part.as_bytes());
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8) -> Key {
        let digits: String = (0..32).map(|n| format!("{:02x}", first.wrapping_add(n))).collect();
        Key::read(&digits).unwrap()
    }

    fn secret(name: &str, owners: &[&str], sealed: Sealed) -> SealedSecret {
        let owners = owners.iter().map(|owner| (*owner).to_owned()).collect();
        SealedSecret { name: name.to_owned(), owners, sealed }
    }

    #[test]
    fn only_the_row_as_it_was_written_is_opened() {
        let value = SecretBytes::new(b"hunter2-hunter2".to_vec());
        let sealed = seal(&key(1), "KEY", &["ann".to_owned()], &value).unwrap();
        assert!(!sealed.bytes.windows(7).any(|bytes| bytes == b"hunter2"));
        assert_eq!(sealed.key, key(1).id);
        assert_ne!(
            seal(&key(1), "KEY", &["ann".to_owned()], &value).unwrap(),
            sealed,
            "each has a nonce of its own"
        );
        let opens = |key: &Key, secret: &SealedSecret| open(key, secret).ok();
        let whole = secret("KEY", &["ann"], sealed.clone());
        assert_eq!(opens(&key(1), &whole), Some(value));
        assert_eq!(opens(&key(2), &whole), None);
        for other in [secret("OTHER", &["ann"], sealed.clone()), secret("KEY", &["bob"], sealed.clone())] {
            assert_eq!(opens(&key(1), &other), None, "{other:?}");
        }
        assert_eq!(opens(&key(1), &secret("KEY", &["ann", "*"], sealed.clone())), None);
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert_eq!(opens(&key(1), &secret("KEY", &["ann"], changed)), None);
        }
        let told = open(&key(2), &whole).unwrap_err();
        assert!(told.contains("KEY") && !told.contains("hunter2"), "{told}");
    }
}
