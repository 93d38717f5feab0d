//! The keys that secrets are encrypted by. They come from a file, the environment or a command, never from Postgres; files are
//! read at each use, so that a new key counts without a restart.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bt_model::hex::hex;
use bt_model::secret_value::check_mode;
use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// The variable that may hold the key. No flag does: what is on a command line, everybody on the machine can read.
const VARIABLE: &str = "BTCTL_SECRETS_KEY";
/// Bytes of a key, and of a file or an answer that may hold one.
const SIZE: usize = 32;
const LARGEST: u64 = 1_000;
/// How long a command may take, and how soon after its answer it is not run again for a key that is not known.
const COMMAND: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(10);
/// What distinguishes a key's id from any other hash of it.
const ID: &[u8] = b"btctl secrets key id\0";
/// What to do where there is no key.
const NO_KEY: &str = "this coordinator has no key for secrets: make one (`openssl rand -hex 32 > FILE; chmod 600 FILE`), keep a copy \
     where Postgres' backups are not, and give --secrets-key-file FILE";

/// The keys of secrets.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SecretKeys {
    /// File with the key that secrets are encrypted by: 32 random bytes as 64 hexadecimal digits or as base64. Or put the key
    /// itself into BTCTL_SECRETS_KEY. A file is read again at each use.
    #[arg(long, env = "BTCTL_SECRETS_KEY_FILE", value_name = "FILE", conflicts_with = "secrets_key_command")]
    pub secrets_key_file: Option<PathBuf>,
    /// Shell command that prints the key, such as one that asks a key service.
    #[arg(long, env = "BTCTL_SECRETS_KEY_COMMAND", value_name = "COMMAND")]
    pub secrets_key_command: Option<String>,
    /// File with another key, by which secrets are read but not written: the one before `btctl secrets rotate`, or the next one
    /// of several coordinators; may be repeated.
    #[arg(
        long = "secrets-old-key-file",
        env = "BTCTL_SECRETS_OLD_KEY_FILE",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub secrets_old_key_files: Vec<PathBuf>,
}

impl SecretKeys {
    /// Whether a key is given, by a flag or in the environment.
    pub fn is_given(&self) -> bool {
        self.secrets_key_file.is_some() || self.secrets_key_command.is_some() || given().is_some()
    }
}

/// The key that the environment holds.
fn given() -> Option<Zeroizing<String>> {
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(Zeroizing::new)
}

/// A key that values are encrypted by.
#[derive(Clone)]
pub(crate) struct Key {
    /// By which it is known; says nothing of the key.
    pub(crate) id: String,
    pub(super) bytes: Zeroizing<[u8; SIZE]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    fn of(bytes: Zeroizing<[u8; SIZE]>) -> Self {
        let hash = Sha256::new().chain_update(ID).chain_update(bytes.as_slice()).finalize();
        Self { id: hex(&hash[..8]), bytes }
    }

    /// Reads hexadecimal digits or base64. The error does not say what was read.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = (text.len() == 2 * SIZE).then(|| {
            let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            (0..SIZE).map(|byte| pair(2 * byte)).collect::<Option<Vec<u8>>>()
        });
        let decoded = digits.flatten().or_else(|| STANDARD.decode(text).ok()).map(Zeroizing::new);
        let mut bytes = Zeroizing::new([0; SIZE]);
        match decoded.filter(|decoded| decoded.len() == SIZE) {
            Some(decoded) => bytes.copy_from_slice(&decoded),
            None => {
                return Err("it is no key: 32 random bytes as 64 hexadecimal digits or as base64 are one (`openssl rand -hex \
                            32` makes one)"
                    .to_owned());
            }
        }
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err("all bytes of it are the same; a key is random".to_owned());
        }
        Ok(Self::of(bytes))
    }
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("{NO_KEY}")]
    NotSet,
    #[error("{0}")]
    Unreadable(String),
    #[error("this coordinator lacks the key {0} (--secrets-old-key-file)")]
    Unknown(String),
}

/// Where keys come from. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Keyring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: Option<Source>,
    others: Vec<PathBuf>,
}

enum Source {
    File(PathBuf),
    Given(Key),
    Command { text: String, answered: Mutex<Option<(Instant, Key)>> },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Given(_) => "Given",
            Self::Command { .. } => "Command",
        })
    }
}

impl Keyring {
    /// Fails where the settings contradict each other.
    pub(crate) fn new(options: &SecretKeys) -> anyhow::Result<Self> {
        let given = given();
        let SecretKeys { secrets_key_file, secrets_key_command, secrets_old_key_files } = options;
        let current = match (secrets_key_file, given, secrets_key_command) {
            (None, None, None) => None,
            (Some(path), None, None) => Some(Source::File(path.clone())),
            (None, None, Some(text)) => {
                Some(Source::Command { text: text.clone(), answered: Mutex::default() })
            }
            (None, Some(text), None) => {
                let key = Key::read(&text).map_err(|why| anyhow::anyhow!("{VARIABLE}: {why}"))?;
                Some(Source::Given(key))
            }
            _ => anyhow::bail!(
                "the key of secrets is given in two ways; take one of --secrets-key-file, --secrets-key-command and {VARIABLE}"
            ),
        };
        Ok(Self(Arc::new(Inner { current, others: secrets_old_key_files.clone() })))
    }

    /// Reads all keys once, so that a mistake is told at the start.
    pub(crate) async fn check(&self) -> Result<(), KeyError> {
        match self.current().await {
            Ok(_) | Err(KeyError::NotSet) => {}
            Err(error) => return Err(error),
        }
        // The key before need not be there before there is one.
        for path in self.0.others.iter().filter(|path| path.exists()) {
            read_file(path).await?;
        }
        Ok(())
    }

    /// The key by which values are encrypted from now on.
    pub(crate) async fn current(&self) -> Result<Key, KeyError> {
        match &self.0.current {
            None => Err(KeyError::NotSet),
            Some(Source::Given(key)) => Ok(key.clone()),
            Some(Source::File(path)) => read_file(path).await,
            Some(Source::Command { text, answered }) => {
                if let Some((_, key)) = &*answered.lock().unwrap_or_else(PoisonError::into_inner) {
                    return Ok(key.clone());
                }
                ask(text, answered).await
            }
        }
    }

    /// As [`current`](Self::current), and a command is run anew.
    pub(crate) async fn newest(&self) -> Result<Key, KeyError> {
        match &self.0.current {
            Some(Source::Command { text, answered }) => ask(text, answered).await,
            _ => self.current().await,
        }
    }

    /// The key of this id.
    pub(crate) async fn of_id(&self, id: &str) -> Result<Key, KeyError> {
        let current = self.current().await;
        if let Ok(key) = &current
            && key.id == id
        {
            return Ok(key.clone());
        }
        for path in &self.0.others {
            // One that can't be read is no reason not to look at the next.
            if let Ok(key) = read_file(path).await
                && key.id == id
            {
                return Ok(key);
            }
        }
        if let Some(Source::Command { text, answered }) = &self.0.current {
            let asked = answered.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(at, _)| *at);
            if asked.is_none_or(|at| at.elapsed() >= AGAIN) {
                let key = ask(text, answered).await?;
                if key.id == id {
                    return Ok(key);
                }
            }
        }
        current?;
        Err(KeyError::Unknown(id.to_owned()))
    }
}

async fn read_file(path: &Path) -> Result<Key, KeyError> {
    let told = |why: String| KeyError::Unreadable(format!("the key file {}: {why}", path.display()));
    let about = tokio::fs::metadata(path).await.map_err(|error| told(error.to_string()))?;
    check_mode(path, about.mode()).map_err(told)?;
    if about.len() > LARGEST {
        return Err(told(format!("it has {} bytes; a key has 64 digits", about.len())));
    }
    let text = tokio::fs::read_to_string(path).await.map(Zeroizing::new);
    let text = text.map_err(|error| told(error.to_string()))?;
    Key::read(&text).map_err(told)
}

async fn ask(command: &str, answered: &Mutex<Option<(Instant, Key)>>) -> Result<Key, KeyError> {
    let told = |why: String| KeyError::Unreadable(format!("--secrets-key-command: {why}"));
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = timeout(COMMAND, shell.output()).await;
    let output = output.map_err(|_| told(format!("it has not ended within {} s", COMMAND.as_secs())))?;
    let output = output.map_err(|error| told(error.to_string()))?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(told(format!("it failed: {}", output.status)));
    }
    let text = std::str::from_utf8(&printed).map_err(|_| told("what it prints is no text".to_owned()))?;
    let key = Key::read(text).map_err(|why| told(format!("what it prints: {why}")))?;
    *answered.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), key.clone()));
    Ok(key)
}

/// Writes a new key to this file, unless it is there.
pub fn make_key_file(path: &Path) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut random = Zeroizing::new([0; SIZE]);
    getrandom::fill(&mut *random).map_err(std::io::Error::other)?;
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        file => file?,
    };
    let text = Zeroizing::new(format!("{}\n", hex(&*random)));
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DIGITS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn ring(file: Option<&Path>, command: Option<&str>, others: &[&Path]) -> Keyring {
        let options = SecretKeys {
            secrets_key_file: file.map(Path::to_owned),
            secrets_key_command: command.map(str::to_owned),
            secrets_old_key_files: others.iter().map(|path| path.to_path_buf()).collect(),
        };
        Keyring::new(&options).unwrap()
    }

    #[test]
    fn digits_and_base64_are_the_same_key() {
        let key = Key::read(&format!("{DIGITS}\n")).unwrap();
        let base64 = Key::read(" AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= ").unwrap();
        assert_eq!((&key.id, &key.bytes), (&base64.id, &base64.bytes));
        assert!(!format!("{key:?}").contains("0102"), "{key:?}");
        for wrong in
            ["", "hunter2", &DIGITS[1..], &"00".repeat(32), &format!("{DIGITS}00"), "zz".repeat(32).as_str()]
        {
            let told = Key::read(wrong).unwrap_err();
            assert!(wrong.is_empty() || !told.contains(wrong), "{told}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_at_each_use_and_is_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("key"), dir.path().join("old"));
        assert_eq!(ring(None, None, &[]).current().await.unwrap_err(), KeyError::NotSet);
        make_key_file(&path).unwrap();
        let keys = ring(Some(&path), None, &[&old]);
        let first = keys.current().await.unwrap();
        make_key_file(&path).unwrap();
        assert_eq!(keys.current().await.unwrap().id, first.id, "what is there stays");
        std::fs::rename(&path, &old).unwrap();
        make_key_file(&path).unwrap();
        let second = keys.current().await.unwrap();
        assert_ne!(first.id, second.id);
        assert_eq!(keys.of_id(&first.id).await.unwrap().bytes, first.bytes);
        assert_eq!(keys.of_id("0000").await.unwrap_err(), KeyError::Unknown("0000".to_owned()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let told = keys.check().await.unwrap_err().to_string();
        assert!(told.contains("chmod o="), "{told}");
    }

    #[tokio::test]
    async fn a_command_prints_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, DIGITS).unwrap();
        let command = format!("cat {}", path.display());
        let keys = ring(None, Some(&command), &[]);
        let first = keys.current().await.unwrap();
        std::fs::write(&path, DIGITS.replace("1f", "2f")).unwrap();
        assert_eq!(keys.current().await.unwrap().id, first.id, "it is not run each time");
        assert_ne!(keys.newest().await.unwrap().id, first.id);
        for (command, words) in [("exit 3", "it failed"), ("echo hunter2", "is no key")] {
            let told = ring(None, Some(command), &[]).current().await.unwrap_err().to_string();
            assert!(told.contains(words) && !told.contains("hunter2"), "{told}");
        }
    }
}
