//! Which variables are not to be shown: by their names, since that is all there is to go by.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::manifest::mask_address;

/// What is shown instead of a secret.
pub const REDACTED: &str = "***";
/// A name with one of these in it names a secret.
const WITHIN: [&str; 6] = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL"];
/// So does a name with a part that ends with one of these (`API_KEY`, `APIKEY_2`).
const ENDS: [&str; 2] = ["KEY", "KEYS"];
/// Words that end so, and mean something else.
const WORDS: [&str; 4] = ["MONKEY", "MONKEYS", "TURKEY", "TURKEYS"];
/// And a name with a part that is one of these.
const PARTS: [&str; 2] = ["PWD", "AUTH"];
/// Parameters are shown everywhere under their own names.
const PARAMETER: &str = "BT_PARAM_";
/// The shell's own word for a directory.
const DIRECTORIES: [&str; 2] = ["PWD", "OLDPWD"];

/// True if a variable of this name looks like a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if name.starts_with(PARAMETER) || DIRECTORIES.contains(&name.as_str()) {
        return false;
    }
    let mut parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    let is_key = |part: &str| {
        let part = part.trim_end_matches(|c: char| c.is_ascii_digit());
        ENDS.iter().any(|end| part.ends_with(end)) && !WORDS.iter().any(|word| part.ends_with(word))
    };
    WITHIN.iter().any(|word| name.contains(word)) || parts.any(|part| PARTS.contains(&part) || is_key(part))
}

/// The same variables, without the values of secrets.
pub fn redact(env: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |(name, value): (String, String)| match is_secret(&name) {
        true => (name, REDACTED.to_owned()),
        false => (name, value),
    };
    env.into_iter().map(shown).collect()
}

/// Takes the values of secrets out of a manifest's JSON.
pub fn redact_manifest(manifest: &mut Value) {
    for address in manifest.get_mut("notify").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(written) = address.as_str() {
            *address = mask_address(written).into();
        }
    }
    let Some(env) = manifest.get_mut("env").and_then(Value::as_object_mut) else { return };
    for (_, value) in env.iter_mut().filter(|(name, _)| is_secret(name)) {
        *value = REDACTED.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide() {
        for name in [
            "TOKEN",
            "GH_TOKEN",
            "aws_secret_access_key",
            "DB_PASSWORD",
            "PGPASSWD",
            "API_KEY",
            "APIKEY",
            "KEYS",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "DB_PWD",
            "HTTP_AUTH",
            "SSH_KEY_2",
            "api-key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PATH", "LOG_LEVEL", "KEYBOARD", "MONKEY", "AUTHOR", "PWD", "BT_PARAM_KEY", "TZ", "FAST"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_manifest_keeps_all_but_the_values() {
        let mut manifest = serde_json::json!({
            "env": { "API_KEY": "x", "LEVEL": "info" },
            "notify": ["slack+https://hooks.slack.com/services/T/B/x", "mailto:ann@quant.example"]
        });
        redact_manifest(&mut manifest);
        let shown = r#"{"env":{"API_KEY":"***","LEVEL":"info"},"notify":["slack+https://hooks.slack.com/***","mailto:ann@quant.example"]}"#;
        assert_eq!(manifest.to_string(), shown);
    }
}
