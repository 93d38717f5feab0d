//! Secrets of jobs. Their values are in Postgres encrypted ([`seal`]), by a key from elsewhere ([`keys`]), and in clear only in
//! the memory of a coordinator that is storing one, encrypts it anew, or gives it to the agent that has the lease of a job
//! whose sweep may name it.

mod calls;
mod keys;
pub(crate) mod naming;
mod seal;
mod service;

use bt_model::id::{AgentId, AttemptId};
use bt_proto::v1;
use tonic::Status;
use tracing::{error, info, warn};

use crate::access::call;
use crate::queue::{Queue, SealedSecret, SecretsOfAttempt};
use crate::rpc::status;

pub(crate) use keys::Keyring;
pub use keys::{SecretKeys, make_key_file};

/// Stores, reads and rotates secrets. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Vault {
    queue: Queue,
    keys: Keyring,
}

impl Vault {
    pub(crate) fn new(queue: Queue, keys: Keyring) -> Self {
        Self { queue, keys }
    }

    /// Says at the start which secrets this coordinator can't read.
    pub(crate) async fn look(&self) {
        let keys = match self.queue.secret_keys().await {
            Ok(keys) => keys,
            Err(error) => {
                return warn!(error = %error, "by which keys secrets are encrypted is not known yet");
            }
        };
        for (id, secrets) in keys {
            if let Err(error) = self.keys.of_id(&id).await {
                warn!(
                    key = id,
                    "{secrets} secrets can't be read, and jobs that name them will wait: {error}"
                );
            }
        }
    }

    /// The secrets of an attempt, for the agent that has its lease.
    pub(crate) async fn give(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
    ) -> Result<v1::FetchSecretsReply, Status> {
        if !call::line_is_private() {
            return Err(Status::failed_precondition(
                "its line to the coordinator is not encrypted, and no secret is sent over it; use TLS (btctl coordinator init)",
            ));
        }
        let found = self.queue.secrets_of(agent, session, attempt).await.map_err(status::queue)?;
        let Some(SecretsOfAttempt { owner, granted, denied }) = found else {
            return Err(Status::not_found(format!("attempt {attempt} is not live, or another agent's")));
        };
        if let Some(name) = denied.first() {
            return Err(Status::permission_denied(naming::not_there(name, &owner)));
        }
        let mut secrets = Vec::with_capacity(granted.len());
        for secret in &granted {
            secrets.push(v1::SecretValue {
                name: secret.name.clone(),
                value: self.open(secret).await?.bytes().to_vec(),
            });
        }
        if !granted.is_empty() {
            let names: Vec<_> = granted.into_iter().map(|secret| secret.name).collect();
            info!(attempt.id = %attempt, agent.id = %agent, "secrets are given to the agent: {}", names.join(", "));
            self.queue.note_secret_use(&names).await.map_err(status::queue)?;
        }
        Ok(v1::FetchSecretsReply { secrets })
    }

    async fn open(&self, secret: &SealedSecret) -> Result<bt_model::secret_value::SecretBytes, Status> {
        let named =
            |why: &dyn std::fmt::Display| format!("the secret {} can't be read now: {why}", secret.name);
        let key = self.keys.of_id(&secret.sealed.key).await;
        // Whoever runs the coordinator may be about to give it the key.
        let key = key.map_err(|error| Status::unavailable(named(&error)))?;
        seal::open(&key, secret).map_err(|why| {
            error!("{why}");
            Status::data_loss(why)
        })
    }
}
