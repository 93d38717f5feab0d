//! Which value each of a job's secrets has, and how a container gets them.

use bt_engine::{Bind, ContainerSpec, ImageFacts};
use bt_model::id::AttemptId;
use bt_model::manifest::{JobUser, SecretArrival, SecretUse};
use bt_model::reason::Reason;
use bt_model::secret_value::SecretBytes;
use bt_proto::v1;

use crate::job::container::{Job, words_of};
use crate::job::inside::Inside;
use crate::site::Site;
use crate::site::secrets::wrapped;

/// A secret with its value.
pub(crate) type Valued = (SecretUse, SecretBytes);

/// Why a job can't have its secrets.
#[derive(Debug)]
pub(crate) enum NoSecrets {
    /// Not here. The sentence goes on after the agent's name.
    Here(String),
    /// Nowhere.
    Anywhere(Reason),
}

/// What the coordinator has counts; what this machine holds is for names that it has not.
pub(crate) fn choose(
    site: &Site,
    job: &Job,
    mut stored: Vec<v1::SecretValue>,
) -> Result<Vec<Valued>, NoSecrets> {
    let mut values = Vec::new();
    for secret in &job.manifest.sandbox.secrets {
        let name = &secret.name;
        let value = match stored.iter_mut().find(|stored| stored.name == *name) {
            Some(stored) => SecretBytes::new(std::mem::take(&mut stored.value)),
            None => match site.offer.secrets.value(name) {
                Some(Ok(value)) => value,
                Some(Err(why)) => {
                    return Err(NoSecrets::Here(format!("can't read its secret {name}: {why}")));
                }
                None => {
                    let told = format!("holds no secret {name} (--secret), and neither does the coordinator");
                    return Err(NoSecrets::Here(told));
                }
            },
        };
        let is_text = !value.bytes().contains(&0) && std::str::from_utf8(value.bytes()).is_ok();
        if secret.arrival == SecretArrival::Env && !is_text {
            let told =
                format!("the secret {name} is no text, so that it can't be a variable; take it as a file");
            return Err(NoSecrets::Anywhere(Reason::Manifest(told)));
        }
        values.push((secret.clone(), value));
    }
    Ok(values)
}

/// Puts the values where a container finds them.
pub(crate) fn place(
    site: &Site,
    job: &Job,
    inside: &Inside,
    container: AttemptId,
    values: &[Valued],
) -> Result<Bind, NoSecrets> {
    let owner = match job.manifest.user {
        JobUser::Auto => site.identity.unprivileged(),
        JobUser::Ids { uid, gid } => (uid, gid),
        JobUser::Image => inside.login.ids.ok_or_else(|| {
            NoSecrets::Anywhere(Reason::Image(
                "its user can't be found in its /etc/passwd, and secrets are for one user; name it (`user: UID:GID`)".to_owned(),
            ))
        })?,
    };
    let placed = site.secrets.place(container, values, owner);
    placed.map_err(|why| NoSecrets::Here(format!("can give jobs no secrets: {why}")))
}

/// Gives a container that runs one command its secrets: a mount, and a command that sets its variables.
pub(crate) fn give(
    site: &Site,
    job: &Job,
    (inside, facts): (&Inside, &ImageFacts),
    spec: &mut ContainerSpec,
    values: &[Valued],
) -> Result<(), NoSecrets> {
    spec.binds.push(place(site, job, inside, spec.attempt, values)?);
    if has_variables(job) {
        let words = words_of(spec, &facts.entrypoint, &facts.command).map_err(NoSecrets::Anywhere)?;
        let words = wrapped(words);
        (spec.entrypoint, spec.command) = (Some(words[..1].to_vec()), words[1..].to_vec());
    }
    Ok(())
}

/// True if some of the job's secrets come as variables.
pub(crate) fn has_variables(job: &Job) -> bool {
    job.manifest.sandbox.secrets.iter().any(|secret| secret.arrival == SecretArrival::Env)
}
