//! Secrets on the wire: they are never printed, whatever message they are in.

use std::fmt;

use crate::v1::SecretValue;

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue").field("name", &self.name).field("value", &"***").finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{FetchSecretsReply, SetSecretRequest};

    #[test]
    fn no_message_prints_a_value() {
        let secret = || SecretValue { name: "KEY".to_owned(), value: b"hunter2!".to_vec() };
        let set = SetSecretRequest { secret: Some(secret()), owners: None };
        let fetched = FetchSecretsReply { secrets: vec![secret()] };
        for printed in [format!("{set:?}"), format!("{fetched:#?}")] {
            assert!(printed.contains("KEY") && printed.contains("***"), "{printed}");
            // Neither as a text nor as numbers.
            assert!(!printed.contains("hunter2") && !printed.contains("104"), "{printed}");
        }
    }
}
