//! What operators ask about secrets.

use bt_model::manifest::check_secret_name;
use bt_model::secret_value::SecretBytes;
use bt_proto::convert::timestamp;
use bt_proto::v1;
use serde_json::json;
use tonic::Status;
use tracing::info;

use super::keys::KeyError;
use super::{Vault, seal};
use crate::access::rights::Right;
use crate::access::{call, check_name};
use crate::queue::{SealedSecret, SecretRow};
use crate::rpc::status;

/// Secrets at most, and owners of one.
const MOST: usize = 1_000;
const MOST_OWNERS: usize = 100;
/// Stands for all owners.
const EVERYBODY: &str = "*";

impl Vault {
    pub(super) async fn set(&self, request: v1::SetSecretRequest) -> Result<v1::SetSecretReply, Status> {
        let v1::SetSecretRequest { secret, owners } = request;
        let secret = secret.ok_or_else(|| Status::invalid_argument("no secret is given"))?;
        let (name, value) = (secret.name, SecretBytes::new(secret.value));
        if !call::line_is_private() {
            return Err(Status::failed_precondition(format!(
                "the secret {name} came over a line that is not encrypted, and is not stored: whoever was on the way may have \
                 read it. Use TLS (btctl coordinator init), or call from the coordinator's machine; and take another value"
            )));
        }
        check_secret_name(&name).map_err(Status::invalid_argument)?;
        value.check().map_err(|why| Status::invalid_argument(format!("the value of {name}: {why}")))?;
        let owners =
            owners.map(|owners| checked(owners.names)).transpose().map_err(Status::invalid_argument)?;
        let key = self.keys.current().await.map_err(|error| match error {
            KeyError::NotSet => Status::failed_precondition(error.to_string()),
            error => Status::unavailable(error.to_string()),
        })?;
        let mut change = self.queue.change_secrets().await.map_err(status::queue)?;
        let before = change.owners_of(&name).await.map_err(status::queue)?;
        if before.is_none() && change.all().await.map_err(status::queue)?.len() >= MOST {
            return Err(Status::resource_exhausted(format!("there are {MOST} secrets, which is the most")));
        }
        let owners = owners.or_else(|| before.clone()).unwrap_or_default();
        let sealed = seal::seal(&key, &name, &owners, &value).map_err(Status::internal)?;
        let set_by = call::identity().map(|identity| identity.name.clone()).unwrap_or_default();
        let stored = SealedSecret { name: name.clone(), owners: owners.clone(), sealed };
        change.put(&stored, &set_by).await.map_err(status::queue)?;
        change.finish().await.map_err(status::queue)?;
        call::about(&name, "");
        let shown = |owners: &Vec<String>| json!({ "owners": owners });
        call::changed(&before.as_ref().map_or(json!(null), shown), &shown(&owners));
        info!("the secret {name} is set");
        let secret = self.queue.secrets(None).await.map_err(status::queue)?;
        let secret = secret.into_iter().find(|row| row.name == name).map(Into::into);
        Ok(v1::SetSecretReply { secret, replaced: before.is_some() })
    }

    /// Those that the caller may name.
    pub(super) async fn list(&self) -> Result<v1::ListSecretsReply, Status> {
        let owners = match call::identity() {
            _ if call::may(Right::UseSecrets) => None,
            Some(identity) if identity.may(Right::Submit) => Some(identity.owners.clone()),
            _ => return Ok(v1::ListSecretsReply::default()),
        };
        let secrets = self.queue.secrets(owners.as_deref()).await.map_err(status::queue)?;
        Ok(v1::ListSecretsReply { secrets: secrets.into_iter().map(Into::into).collect() })
    }

    pub(super) async fn remove(&self, name: &str) -> Result<v1::RemoveSecretReply, Status> {
        check_secret_name(name).map_err(Status::invalid_argument)?;
        let mut change = self.queue.change_secrets().await.map_err(status::queue)?;
        let before = change.owners_of(name).await.map_err(status::queue)?;
        if !change.remove(name).await.map_err(status::queue)? {
            return Err(Status::not_found(format!(
                "there is no secret {name}; `btctl secrets ls` lists them"
            )));
        }
        change.finish().await.map_err(status::queue)?;
        call::about(name, "");
        call::changed(&json!({ "owners": before }), &json!(null));
        info!("the secret {name} is removed");
        Ok(v1::RemoveSecretReply {})
    }

    /// Encrypts all secrets by the current key, in one transaction: all of them or none.
    pub(super) async fn rotate(&self) -> Result<v1::RotateSecretsReply, Status> {
        let key = self.keys.newest().await.map_err(|error| Status::failed_precondition(error.to_string()))?;
        let mut change = self.queue.change_secrets().await.map_err(status::queue)?;
        let (mut rotated, mut unchanged) = (0, 0);
        for secret in change.all().await.map_err(status::queue)? {
            if secret.sealed.key == key.id {
                unchanged += 1;
                continue;
            }
            let before = self.keys.of_id(&secret.sealed.key).await.map_err(|error| {
                Status::failed_precondition(format!(
                    "nothing is rotated, since the secret {} can't be read: {error}",
                    secret.name
                ))
            })?;
            let opened = seal::open(&before, &secret).map_err(Status::data_loss)?;
            let sealed = seal::seal(&key, &secret.name, &secret.owners, &opened).map_err(Status::internal)?;
            change.reseal(&secret.name, &sealed).await.map_err(status::queue)?;
            rotated += 1;
        }
        change.finish().await.map_err(status::queue)?;
        call::about("all secrets", "");
        call::changed(&json!(null), &json!({ "key": key.id, "rotated": rotated }));
        info!(key = key.id, "{rotated} secrets are encrypted by another key");
        Ok(v1::RotateSecretsReply { rotated, unchanged, key: key.id })
    }
}

fn checked(mut owners: Vec<String>) -> Result<Vec<String>, String> {
    if owners.len() > MOST_OWNERS {
        return Err(format!("a secret has {MOST_OWNERS} owners at most"));
    }
    for owner in owners.iter().filter(|owner| *owner != EVERYBODY) {
        check_name("an owner", owner)?;
    }
    owners.sort_unstable();
    owners.dedup();
    Ok(owners)
}

impl From<SecretRow> for v1::Secret {
    fn from(row: SecretRow) -> Self {
        let SecretRow { name, owners, key, set_by, set, last_used } = row;
        Self { name, owners, set_by, set: Some(timestamp(set)), last_used: last_used.map(timestamp), key }
    }
}
