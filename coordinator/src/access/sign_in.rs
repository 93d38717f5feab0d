//! Who signs in with the firm's identity provider gets a token, as others are given one: it is listed, can be revoked, and ends
//! after a while.

use std::time::Duration;

use bt_proto::v1;
use serde_json::json;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tracing::info;

use super::call;
use super::known::Access;
use super::secret::Made;
use super::service::hashed;
use crate::oidc::{Error, Oidc, Person, Polled};
use crate::queue::NewToken;
use crate::rpc::status;

/// Where there is nobody to sign in with.
fn configured(oidc: Option<&Oidc>) -> Result<&Oidc, Status> {
    oidc.ok_or_else(|| {
        Status::failed_precondition(
            "this coordinator has no identity provider to sign in with (--oidc-issuer); an administrator makes a token: btctl \
             token create",
        )
    })
}

/// The device flow begins.
pub(super) async fn begin(oidc: Option<&Oidc>) -> Result<v1::BeginSignInReply, Status> {
    let oidc = configured(oidc)?;
    let begun = oidc.begin_device().await?;
    Ok(v1::BeginSignInReply {
        device_code: begun.device_code,
        user_code: begun.user_code,
        verification_uri: begun.address.into(),
        verification_uri_complete: begun.complete.map(Into::into),
        expires_in_seconds: begun.holds.as_secs(),
        interval_seconds: begun.interval.as_secs(),
        issuer: oidc.issuer().to_owned(),
    })
}

/// Whether somebody has signed in by now.
pub(super) async fn poll(
    access: &Access,
    oidc: Option<&Oidc>,
    code: &str,
) -> Result<v1::PollSignInReply, Status> {
    let oidc = configured(oidc)?;
    call::signs_in("", None);
    let person = match oidc.poll_device(code).await? {
        Polled::Done(person) => person,
        Polled::Pending { slow_down } => {
            call::changes_nothing();
            return Ok(v1::PollSignInReply { slow_down, ..Default::default() });
        }
    };
    let (made, created) = access.sign_in(oidc, &person, false).await?;
    Ok(v1::PollSignInReply { token: Some(made.text), created: Some(created), slow_down: false })
}

/// The token of the call ends, if somebody signed in for it.
pub(super) async fn out(access: &Access, tasks: &TaskTracker) -> Result<v1::SignOutReply, Status> {
    let identity = call::identity().ok_or_else(|| Status::internal("nobody calls"))?;
    let (Some(id), Some(_)) = (&identity.token, &identity.issuer) else {
        return Err(Status::failed_precondition(
            "this call is not made by somebody who signed in (btctl login); an administrator revokes other tokens: btctl token \
             revoke",
        ));
    };
    call::about(&identity.name, id);
    access.queue().revoke_token(id).await.map_err(status::queue)?;
    tasks.spawn(access.forget_after_answer(id));
    info!("{} signed out", identity.name);
    let token = access.queue().token(id).await.map_err(status::queue)?;
    Ok(v1::SignOutReply { token: token.map(Into::into) })
}

impl Access {
    /// Makes a token for somebody who signed in.
    pub(super) async fn sign_in(
        &self,
        oidc: &Oidc,
        person: &Person,
        of_page: bool,
    ) -> Result<(Made, v1::Token), Status> {
        let Person { name, role } = person;
        call::signs_in(name, Some(*role));
        let made = Made::new(None).map_err(|error| Status::internal(error.to_string()))?;
        let (made, hash) = hashed(made).await?;
        let new = NewToken {
            id: made.id.clone(),
            name: name.clone(),
            role: *role,
            owners: vec![name.clone()],
            labels: Default::default(),
            uses: None,
            hash,
            holds: Some(oidc.session()),
            created_by: oidc.host().to_owned(),
            issuer: Some(oidc.issuer().to_owned()),
            of_page,
        };
        self.queue().forget_sign_ins().await.map_err(status::queue)?;
        self.queue().add_token(&new).await.map_err(status::queue)?;
        call::about(name, &made.id);
        call::changed(&json!(null), &json!({ "role": role.name(), "issuer": oidc.issuer() }));
        info!("{name} ({role}) signed in with {}: token {}", oidc.host(), made.id);
        let row = self.queue().token(&made.id).await.map_err(status::queue)?;
        let row = row.ok_or_else(|| Status::internal("the token that was made is gone"))?;
        Ok((made, row.into()))
    }

    /// Logs in a browser whose user came back from the issuer, and gives its cookie.
    pub(crate) async fn sign_in_to_page(&self, oidc: &Oidc, person: &Person) -> Result<String, Status> {
        let (made, _) = self.sign_in(oidc, person, true).await?;
        let held: Duration = oidc.session();
        self.log_in_with(&made.id, held).await.map_err(|error| Error::Away(error.to_string()).into())
    }
}
