//! The secrets of a job, before its program starts: those that the coordinator has, and those that this machine holds. They are
//! asked for at each start, and never kept but in the memory that the container sees.

use std::time::Duration;

use bt_engine::ContainerSpec;
use bt_model::id::AttemptId;
use bt_model::manifest::SecretArrival;
use bt_model::reason::Reason;
use bt_model::secret_value::SecretBytes;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::state::Stop;
use super::unless_halted;
use crate::agent::Agent;
use crate::assembly::Assembly;
use crate::job::container::Job;
use crate::job::holdings::Held;
use crate::job::inside::Inside;
use crate::job::secrets::{self, NoSecrets, Valued, has_variables};
use crate::record::masks::Masks;

/// How long a coordinator may be unable to answer before the attempt is put off.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_secs(1);

/// Gives a container that runs one command its secrets.
pub(super) async fn give(
    agent: &Agent,
    held: &Held,
    job: &Job,
    assembly: &Assembly,
    spec: &mut ContainerSpec,
) -> Result<(), Stop> {
    if asks(agent, job) {
        let values = values(agent, held, job).await?;
        secrets::give(&agent.site, job, (&assembly.inside, &assembly.facts), spec, &values)?;
    }
    Ok(())
}

/// Makes room for the secrets of jobs that will share a container.
pub(super) fn make_room(
    agent: &Agent,
    job: &Job,
    inside: &Inside,
    spec: &mut ContainerSpec,
) -> Result<(), Stop> {
    if asks(agent, job) {
        spec.binds.push(secrets::place(&agent.site, job, inside, spec.attempt, &[])?);
    }
    Ok(())
}

/// Gives a job its secrets in a container that it shares with others of its sweep. Says which variables it is to have.
pub(super) async fn renew(
    agent: &Agent,
    held: &Held,
    job: &Job,
    inside: &Inside,
    container: AttemptId,
) -> Result<Vec<(String, String)>, Stop> {
    if !asks(agent, job) {
        return Ok(Vec::new());
    }
    let values = unless_halted(held, values(agent, held, job)).await?;
    secrets::place(&agent.site, job, inside, container, &values)?;
    let variables = values.iter().filter(|(secret, _)| secret.arrival == SecretArrival::Env);
    let text = |value: &SecretBytes| String::from_utf8_lossy(value.bytes()).into_owned();
    Ok(variables.map(|(secret, value)| (secret.name.clone(), text(value))).collect())
}

/// What is to be masked in the log of a job in this container.
pub(super) fn masks(agent: &Agent, job: &Job, container: AttemptId) -> Masks {
    match asks(agent, job) {
        true => agent.site.secrets.masks(container),
        false => Masks::default(),
    }
}

/// A container whose command a shell starts does not start where the image has none.
pub(super) fn without_shell(job: &Job, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(Reason::Image(message)) if has_variables(job) => Stop::Failed(Reason::Image(format!(
            "a secret that comes as a variable needs the program /bin/sh in the image, or comes as a file (`secrets: [NAME]`): \
             {message}"
        ))),
        stop => stop,
    }
}

/// Never of a simulated engine, which has no containers to give them to.
fn asks(agent: &Agent, job: &Job) -> bool {
    !job.manifest.sandbox.secrets.is_empty() && agent.site.engine.mounts_files()
}

/// The values, as they are now.
async fn values(agent: &Agent, held: &Held, job: &Job) -> Result<Vec<Valued>, Stop> {
    held.note("asking for its secrets");
    let stored = fetch(agent, held).await?;
    held.note("");
    Ok(secrets::choose(&agent.site, job, stored)?)
}

impl From<NoSecrets> for Stop {
    fn from(none: NoSecrets) -> Self {
        match none {
            NoSecrets::Here(why) => Self::Refused(why),
            NoSecrets::Anywhere(reason) => Self::Failed(reason),
        }
    }
}

/// Asks a coordinator for those that it has.
async fn fetch(agent: &Agent, held: &Held) -> Result<Vec<v1::SecretValue>, Stop> {
    let began = Instant::now();
    loop {
        let connection = agent.line.link.connection().await;
        let request = v1::FetchSecretsRequest {
            agent_id: agent.site.identity.agent.to_string(),
            session: connection.session,
            attempt: held.id().to_string(),
        };
        let error = match AgentsClient::new(connection.channel).fetch_secrets(request).await {
            Ok(reply) => return Ok(reply.into_inner().secrets),
            Err(error) => error,
        };
        if let Some(stop) = lasting(&error) {
            return Err(stop);
        }
        if began.elapsed() > PATIENCE {
            return Err(Stop::Hindered(Reason::Agent(format!(
                "its secrets can't be had: {}",
                error.message()
            ))));
        }
        held.note(format!("asking for its secrets: {}", error.message()));
        sleep(AGAIN).await;
    }
}

/// What asking again does not mend.
fn lasting(error: &Status) -> Option<Stop> {
    let told = error.message().to_owned();
    match error.code() {
        Code::PermissionDenied | Code::DataLoss => Some(Stop::Failed(Reason::Manifest(told))),
        Code::FailedPrecondition => Some(Stop::Refused(format!("can be sent no secrets: {told}"))),
        Code::Unimplemented => {
            Some(Stop::Refused("talks to a coordinator that knows no secrets; upgrade it".to_owned()))
        }
        _ => None,
    }
}
