//! What is asked about access itself: who one is, tokens, and the audit log.

use std::time::Duration;

use bt_model::role::Role;
use bt_proto::convert::{present, time, timestamp};
use bt_proto::v1;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};
use tracing::info;

use super::call;
use super::identity::check_name;
use super::known::Access;
use super::quotas;
use super::secret::{self, Made, ROOT};
use super::sign_in;
use crate::oidc::Oidc;
use crate::queue::{AuditRow, NewToken, TokenRow};
use crate::rpc::{ANSWERS, Answers, answer, status};

/// How many owners and labels a token has at most.
const MOST_OWNERS: usize = 100;
const MOST_LABELS: usize = 50;
const MOST_USES: u32 = 1_000_000;
/// How long a token may hold.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AccessCalls {
    pub(crate) access: Access,
    pub(crate) oidc: Option<Oidc>,
    pub(crate) tasks: TaskTracker,
    /// An agent that was silent for this long is offline.
    pub(crate) silence: Duration,
}

#[tonic::async_trait]
impl v1::access_server::Access for AccessCalls {
    async fn who_am_i(&self, _: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIReply>, Status> {
        let identity = call::identity().ok_or_else(|| Status::internal("nobody calls"))?;
        Ok(Response::new(v1::WhoAmIReply {
            name: identity.name.clone(),
            role: v1::Role::from(identity.role).into(),
            owners: identity.owners.clone(),
            expires: identity.expires.map(timestamp),
            token: identity.token.clone(),
            authenticated: identity.is_known,
            issuer: identity.issuer.clone(),
        }))
    }

    async fn begin_sign_in(
        &self,
        _: Request<v1::BeginSignInRequest>,
    ) -> Result<Response<v1::BeginSignInReply>, Status> {
        sign_in::begin(self.oidc.as_ref()).await.map(Response::new)
    }

    async fn poll_sign_in(
        &self,
        request: Request<v1::PollSignInRequest>,
    ) -> Result<Response<v1::PollSignInReply>, Status> {
        let code = request.into_inner().device_code;
        sign_in::poll(&self.access, self.oidc.as_ref(), &code).await.map(Response::new)
    }

    async fn sign_out(&self, _: Request<v1::SignOutRequest>) -> Result<Response<v1::SignOutReply>, Status> {
        sign_in::out(&self.access, &self.tasks).await.map(Response::new)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenReply>, Status> {
        let request = request.into_inner();
        let role = Role::try_from(request.role()).map_err(status::malformed)?;
        let new = wanted(request, role).map_err(Status::invalid_argument)?;
        let made = Made::new(None).map_err(|error| Status::internal(error.to_string()))?;
        let (made, hash) = hashed(made).await?;
        let created_by = call::identity().map(|identity| identity.name.clone()).unwrap_or_default();
        let new = NewToken { id: made.id.clone(), hash, created_by, ..new };
        self.access.queue().add_token(&new).await.map_err(status::queue)?;
        let created = self.token(&made.id).await?;
        call::about(&new.name, &made.id);
        call::changed(&json!(null), &json!({ "role": role.name(), "owners": new.owners }));
        info!("a token of {} is made: {} ({role})", new.name, made.id);
        Ok(Response::new(v1::CreateTokenReply { token: made.text, created: Some(created.into()) }))
    }

    async fn list_tokens(
        &self,
        _: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensReply>, Status> {
        let tokens = self.access.queue().tokens().await.map_err(status::queue)?;
        Ok(Response::new(v1::ListTokensReply { tokens: tokens.into_iter().map(Into::into).collect() }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenReply>, Status> {
        let id = request.into_inner().id;
        let before = self.token(&id).await?;
        call::about(&before.name, &id);
        let changed = self.access.queue().revoke_token(&id).await.map_err(status::queue)?;
        self.access.forget(&id);
        let token = self.token(&id).await?;
        info!("the token {id} of {} is revoked", token.name);
        Ok(Response::new(v1::RevokeTokenReply { token: Some(token.into()), changed }))
    }

    async fn revoke_agent(
        &self,
        request: Request<v1::RevokeAgentRequest>,
    ) -> Result<Response<v1::RevokeAgentReply>, Status> {
        let asked = request.into_inner().agent;
        let agent = self.access.queue().find_agent(&asked, self.silence).await.map_err(status::queue)?;
        let joined = self.access.queue().joined_agent(agent).await.map_err(status::queue)?;
        let Some(joined) = joined else {
            return Err(Status::failed_precondition(format!(
                "agent {asked} has no certificate of its own; if it comes with a token, revoke that (btctl token revoke)"
            )));
        };
        call::about(&joined.name, &agent.to_string());
        let changed = self.access.queue().revoke_agent(agent).await.map_err(status::queue)?.is_some();
        call::changed(&json!({ "revoked": joined.revoked }), &json!({ "revoked": true }));
        self.access.forget_agent(agent);
        info!("the certificates of agent {} ({agent}) are revoked", joined.name);
        Ok(Response::new(v1::RevokeAgentReply { name: joined.name, id: agent.to_string(), changed }))
    }

    async fn list_quotas(
        &self,
        _: Request<v1::ListQuotasRequest>,
    ) -> Result<Response<v1::ListQuotasReply>, Status> {
        let quotas = quotas::seen(self.access.queue()).await?;
        Ok(Response::new(v1::ListQuotasReply { quotas }))
    }

    async fn set_quota(
        &self,
        request: Request<v1::SetQuotaRequest>,
    ) -> Result<Response<v1::SetQuotaReply>, Status> {
        let quota = quotas::set(self.access.queue(), request.into_inner()).await?;
        Ok(Response::new(v1::SetQuotaReply { quota: Some(quota) }))
    }

    async fn remove_quota(
        &self,
        request: Request<v1::RemoveQuotaRequest>,
    ) -> Result<Response<v1::RemoveQuotaReply>, Status> {
        quotas::remove(self.access.queue(), request.into_inner().owner).await?;
        Ok(Response::new(v1::RemoveQuotaReply {}))
    }

    type ListAuditStream = Answers<v1::AuditEntry>;

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<Self::ListAuditStream>, Status> {
        let request = request.into_inner();
        let since = request.since.as_ref().map(time).transpose().map_err(status::malformed)?;
        let who = present(request.who);
        let (sender, receiver) = mpsc::channel(ANSWERS);
        let (queue, answers) = (self.access.queue().clone(), sender.clone());
        answer(&self.tasks, sender, async move {
            let mut after = 0;
            loop {
                let page = queue.audit(after, since, who.as_deref()).await.map_err(status::queue)?;
                let Some(last) = page.last() else { return Ok(()) };
                after = last.number;
                for row in page {
                    if answers.send(Ok(row.into())).await.is_err() {
                        return Ok(());
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn verify_audit(
        &self,
        _: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<v1::VerifyAuditReply>, Status> {
        let walked = self.access.queue().walk_audit().await.map_err(status::queue)?;
        let (broken, why) = walked.broken.unzip();
        Ok(Response::new(v1::VerifyAuditReply {
            entries: walked.sound,
            broken,
            why: why.unwrap_or_default().to_owned(),
            hash: walked.hash.to_vec(),
        }))
    }
}

impl AccessCalls {
    async fn token(&self, id: &str) -> Result<TokenRow, Status> {
        let found = self.access.queue().token(id).await.map_err(status::queue)?;
        // What was given may be a whole token, by mistake: it is not said again.
        let shown: String = id.chars().take(12).collect();
        found.ok_or_else(|| {
            Status::not_found(format!("there is no token with the id {shown:?}; `btctl token ls` lists them"))
        })
    }
}

/// A token that was made, and what is kept of it.
pub(super) async fn hashed(made: Made) -> Result<(Made, String), Status> {
    let hashing = spawn_blocking(move || secret::hash(&made.text).map(|hash| (made, hash)));
    let hashed = hashing.await.map_err(|error| Status::internal(error.to_string()))?;
    hashed.map_err(Status::internal)
}

/// What is asked for, if it can be had.
fn wanted(request: v1::CreateTokenRequest, role: Role) -> Result<NewToken, String> {
    let v1::CreateTokenRequest { name, ttl_seconds, owners, uses, labels, .. } = request;
    check_name("a token's name", &name)?;
    if name == ROOT {
        return Err("`root` is who holds the administrator's token of the coordinator's file".to_owned());
    }
    if owners.len() > MOST_OWNERS {
        return Err(format!("a token has {MOST_OWNERS} owners at most"));
    }
    for owner in &owners {
        check_name("an owner", owner)?;
    }
    if role != Role::Agent && (uses.is_some() || !labels.is_empty()) {
        return Err("uses and labels are for agents' tokens (--role agent)".to_owned());
    }
    if role == Role::Agent && !owners.is_empty() {
        return Err("an agent's token has no owners: agents submit nothing".to_owned());
    }
    if labels.len() > MOST_LABELS {
        return Err(format!("a token has {MOST_LABELS} labels at most"));
    }
    if uses.is_some_and(|uses| uses == 0 || uses > MOST_USES) {
        return Err(format!("a token lets in 1 to {MOST_USES} agents"));
    }
    let holds = ttl_seconds.map(Duration::from_secs);
    if holds.is_some_and(|holds| holds.is_zero() || holds > LONGEST) {
        return Err("a token holds for at least a second, and for 10 years at most".to_owned());
    }
    let owners = if owners.is_empty() { vec![name.clone()] } else { owners };
    Ok(NewToken {
        id: String::new(),
        name,
        role,
        owners,
        labels: labels.into_iter().collect(),
        uses,
        hash: String::new(),
        holds,
        created_by: String::new(),
        issuer: None,
        of_page: false,
    })
}

impl From<TokenRow> for v1::Token {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            role: v1::Role::from(row.role).into(),
            owners: row.owners,
            labels: row.labels.into_iter().collect(),
            uses_left: row.uses_left,
            created_by: row.created_by,
            created: Some(timestamp(row.created)),
            expires: row.expires.map(timestamp),
            last_used: row.last_used.map(timestamp),
            revoked: row.revoked.map(timestamp),
            issuer: row.issuer,
        }
    }
}

impl From<AuditRow> for v1::AuditEntry {
    fn from(row: AuditRow) -> Self {
        let AuditRow { number, at, deed, hash } = row;
        Self {
            number,
            at: Some(timestamp(at)),
            who: deed.who,
            role: deed.role.map_or("", Role::name).to_owned(),
            from: deed.from,
            what: deed.what,
            target: deed.target,
            before: deed.before,
            after: deed.after,
            outcome: deed.outcome,
            hash: hash.to_vec(),
        }
    }
}
