//! Tokens that files of the coordinator's machine hold (`--known-token`), so that a machine can be let in before anybody has
//! called. They are in Postgres as any other: they can be listed and revoked, and one that was revoked stays so.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use bt_model::role::Role;

use super::check_name;
use super::secret::{self, ROOT, Shown};
use super::token_file;
use crate::queue::{NewToken, Queue};

/// A token that a file holds, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownToken {
    name: String,
    role: Role,
    file: PathBuf,
}

impl FromStr for KnownToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || {
            format!("{text:?} is no known token; write NAME:ROLE=FILE, e.g. pool:agent=/etc/btctl/pool.token")
        };
        let (whose, file) = text.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(shape)?;
        let (name, role) = whose.rsplit_once(':').ok_or_else(shape)?;
        check_name("a token's name", name)?;
        let role = role.parse::<Role>().map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), role, file: file.into() })
    }
}

impl KnownToken {
    /// Lets in who has it, unless it was revoked.
    pub(crate) async fn let_in(&self, queue: &Queue) -> anyhow::Result<()> {
        let named = || format!("--known-token {}:{}={}", self.name, self.role.name(), self.file.display());
        self.add(queue).await.with_context(named)
    }

    async fn add(&self, queue: &Queue) -> anyhow::Result<()> {
        let text = token_file::read_or_make(&self.file, None)?;
        let shown = Shown::read(&text).context("it holds no token")?;
        ensure!(shown.id != ROOT, "it holds the administrator's token (--admin-token-file)");
        let mut known = queue.token_to_prove(shown.id).await?;
        if known.is_none() {
            let new = NewToken {
                id: shown.id.to_owned(),
                name: self.name.clone(),
                role: self.role,
                owners: vec![self.name.clone()],
                labels: BTreeMap::new(),
                uses: None,
                hash: secret::hash(&text).map_err(anyhow::Error::msg)?,
                holds: None,
                created_by: ROOT.to_owned(),
                issuer: None,
                of_page: false,
            };
            let added = queue.add_token(&new).await;
            known = queue.token_to_prove(shown.id).await?;
            // Another coordinator may have been first; what then stands there is looked at below.
            if known.is_none() {
                added?;
            }
        }
        let Some(known) = known else { bail!("it is not in Postgres") };
        ensure!(
            known.name == self.name && known.role == self.role,
            "it holds the token of {} with the role {}; name that, or remove the file, and a new token is made",
            known.name,
            known.role.name()
        );
        ensure!(
            shown.is(&known.hash),
            "it holds another token than the one with the id {} that was made; remove the file, and a new token is made",
            shown.id
        );
        if known.revoked || known.expired {
            tracing::warn!(
                "the token in {} holds no more (`btctl token ls`); remove the file, and a new one is made",
                self.file.display()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_token_is_a_name_a_role_and_a_file() {
        let read = "pool:agent=/etc/btctl/pool.token".parse::<KnownToken>().unwrap();
        assert_eq!((read.name.as_str(), read.role), ("pool", Role::Agent));
        assert_eq!(read.file, PathBuf::from("/etc/btctl/pool.token"));
        for wrong in ["pool", "pool=/f", "pool:agent=", "pool:boss=/f", ":agent=/f", "=:agent"] {
            let error = wrong.parse::<KnownToken>().unwrap_err();
            assert!(!error.is_empty(), "{wrong}");
        }
    }
}
