//! Agents' sessions: who may speak for an agent, and which attempts are its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use bt_model::encoding::Encoding;
use bt_model::id::{AgentId, AttemptId, SweepId};
use bt_model::layout::AttemptPlace;
use bt_model::manifest::Containers;
use bt_model::placement::SecretOffer;
use bt_model::resources::Resources;
use bt_model::state::AttemptState;
use serde_json::json;
use sqlx::query_file;

use super::claim::interval;
use super::connections::Connection;
use super::row::{Pg, signed, unsigned};
use super::{Error, Queue, Sharing};

/// What an agent says of itself when it connects.
#[derive(Clone, Debug)]
pub(crate) struct Greeting {
    pub(crate) agent: AgentId,
    pub(crate) name: String,
    pub(crate) session: u64,
    pub(crate) capacity: Resources,
    pub(crate) labels: BTreeMap<String, String>,
    /// Name of each volume, and whether it is offered read-only.
    pub(crate) volumes: BTreeMap<String, bool>,
    pub(crate) version: String,
    pub(crate) engine: String,
    /// What a job gets that asks for no memory.
    pub(crate) job_memory_bytes: u64,
    /// What is only shown, by name.
    pub(crate) about: BTreeMap<String, String>,
    pub(crate) fingerprints: Fingerprints,
    /// The machine and the state directory that it is from; empty if it does not say.
    pub(crate) place: String,
    /// The version of the protocol that is spoken with it.
    pub(crate) protocol: u32,
    pub(crate) secrets: SecretOffer,
    /// How long jobs may still run on it; none where its end is not known.
    pub(crate) ends_in: Option<Duration>,
}

/// A session that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Another one of the same id was alive, and it was not this agent's own: what that one holds is not lost.
    pub(crate) took_over: bool,
}

/// Sessions a minute that may take over from a living one without saying where they are from.
const TAKEOVERS: i32 = 5;

/// Of volumes whose owner asked for it: 64 hexadecimal digits by the volume's name, nothing while that is not known.
pub(crate) type Fingerprints = BTreeMap<String, String>;

/// A heartbeat.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    pub(crate) attempts: Vec<AttemptId>,
    pub(crate) unhealthy: String,
    /// Why its machine's owner does not lend it now. It drains as well then.
    pub(crate) unavailable: String,
    pub(crate) draining: bool,
    pub(crate) notes: Vec<(AttemptId, String)>,
    /// How outputs get into the store from there, for people; empty while that is not decided.
    pub(crate) transfer: String,
    pub(crate) fingerprints: Fingerprints,
}

/// What the queue knows of the attempts that an agent holds or should hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    /// Of the attempts that the agent named: those that the queue knows as this agent's.
    pub(crate) known: HashMap<AttemptId, AttemptState>,
    /// Live attempts of this agent that it did not name.
    pub(crate) missing: Vec<(AttemptId, AttemptState)>,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    /// Attempts that it named and that are not live any more.
    pub(crate) gone: Vec<AttemptId>,
    /// An operator has taken the agent out of service.
    pub(crate) drained: bool,
}

impl Queue {
    /// Opens a session. From then on nothing that an older session of this agent says has any effect. While one is alive,
    /// heard of within `silence`, another holder of the same id is refused.
    pub(crate) async fn say_hello(&self, greeting: &Greeting, silence: Duration) -> Result<Opened, Error> {
        let silence = interval(silence)?;
        let held = greeting.secrets.held.as_ref().map(|held| held.iter().cloned().collect::<Vec<_>>());
        let opened = query_file!(
            "queries/session/say_hello.sql",
            greeting.agent.uuid(),
            greeting.name,
            signed::<i64>(greeting.session)?,
            signed::<i64>(greeting.capacity.cpu_millis)?,
            signed::<i64>(greeting.capacity.memory_bytes)?,
            signed::<i32>(greeting.capacity.gpus)?,
            serde_json::json!(greeting.labels),
            serde_json::json!(greeting.volumes),
            greeting.version,
            greeting.engine,
            signed::<i64>(greeting.capacity.disk_bytes)?,
            signed::<i32>(greeting.capacity.jobs.clamp(1, i32::MAX as u32))?,
            signed::<i64>(greeting.job_memory_bytes.max(1))?,
            serde_json::json!(greeting.about),
            serde_json::json!(greeting.fingerprints),
            greeting.place,
            silence,
            TAKEOVERS,
            signed::<i32>(greeting.protocol)?,
            held.as_deref(),
            greeting.secrets.line_is_private,
            greeting.ends_in.map(interval).transpose()?,
        )
        .fetch_optional(&self.by_key)
        .await?;
        if let Some(opened) = opened {
            return Ok(Opened { took_over: opened.took_over });
        }
        let (id, place) = (greeting.agent.uuid(), &greeting.place);
        let contested = query_file!("queries/session/contest_agent.sql", id, place, silence, TAKEOVERS);
        match contested.fetch_optional(&self.by_key).await? {
            Some(holder) => {
                Err(Error::Contested { agent: greeting.agent, name: holder.name, place: holder.place })
            }
            None => Err(Error::Superseded(greeting.agent)),
        }
    }

    /// Notes that a session's stream has ended.
    pub(crate) async fn disconnected(&self, agent: AgentId, session: u64) -> Result<(), Error> {
        let session = signed::<i64>(session)?;
        query_file!("queries/session/disconnect_agent.sql", agent.uuid(), session)
            .execute(&self.by_key)
            .await?;
        Ok(())
    }

    /// Compares the attempts that an agent says it holds with those it was leased.
    pub(crate) async fn holding(&self, agent: AgentId, named: &[AttemptId]) -> Result<Holding, Error> {
        let ids: Vec<_> = named.iter().map(|attempt| attempt.uuid()).collect();
        let known = query_file!("queries/session/known_attempts.sql", &ids, agent.uuid())
            .fetch_all(&self.by_key)
            .await?;
        let live = query_file!("queries/session/live_attempts_of_agent.sql", agent.uuid())
            .fetch_all(&self.by_key)
            .await?;
        let named: HashSet<_> = named.iter().copied().collect();
        Ok(Holding {
            known: known.into_iter().map(|row| (AttemptId::from_uuid(row.id), row.state.0)).collect(),
            missing: live
                .into_iter()
                .map(|row| (AttemptId::from_uuid(row.id), row.state.0))
                .filter(|(id, _)| !named.contains(id))
                .collect(),
        })
    }

    /// Renews the leases of the attempts that a heartbeat names.
    pub(crate) async fn heartbeat(
        &self,
        agent: AgentId,
        session: u64,
        pulse: &Pulse,
        term: Duration,
    ) -> Result<Beat, Error> {
        let mut tx = self.by_key.begin().await?;
        let session = signed::<i64>(session)?;
        let seen = query_file!(
            "queries/session/heartbeat.sql",
            agent.uuid(),
            session,
            pulse.unhealthy,
            pulse.draining,
            serde_json::json!(pulse.fingerprints),
            pulse.transfer,
            pulse.unavailable,
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::Superseded(agent))?;
        let ids: Vec<_> = pulse.attempts.iter().map(|id| id.uuid()).collect();
        let term = interval(term)?;
        let renewed = query_file!("queries/session/renew_leases.sql", &ids, agent.uuid(), term)
            .fetch_all(&mut *tx)
            .await?;
        note_progress(&mut tx, agent, &pulse.notes).await?;
        tx.commit().await?;
        let renewed: HashSet<_> = renewed.iter().map(|row| row.id).collect();
        let gone = |id: &&AttemptId| !renewed.contains(&id.uuid());
        let gone = pulse.attempts.iter().filter(gone).copied().collect();
        Ok(Beat { gone, drained: seen.drained })
    }

    /// Where the files of one of this agent's attempts belong, how far the attempt is, and how its outputs are stored as
    /// far as is known.
    pub(crate) async fn attempt_place(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
    ) -> Result<(AttemptPlace, AttemptState, Encoding), Error> {
        let session = signed::<i64>(session)?;
        let row = query_file!("queries/session/attempt_place.sql", attempt.uuid(), agent.uuid(), session)
            .fetch_optional(&self.by_key)
            .await?
            .ok_or(Error::NoAttempt(attempt))?;
        let place = AttemptPlace {
            sweep_name: row.name,
            sweep: SweepId::from_uuid(row.sweep_id),
            jobs: unsigned(row.jobs)?,
            job: unsigned(row.job)?,
            attempt: unsigned(row.number)?,
        };
        Ok((place, row.state.0, row.encoding.0))
    }

    /// Notes how a live attempt's outputs are stored.
    pub(crate) async fn note_encoding(&self, attempt: AttemptId, encoding: Encoding) -> Result<(), Error> {
        query_file!("queries/session/note_encoding.sql", attempt.uuid(), Pg(encoding) as _)
            .execute(&self.by_key)
            .await?;
        Ok(())
    }

    /// Writes the image that a sweep runs if none is written yet; answers with the one that is.
    pub(crate) async fn pin_image(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
        image: &str,
    ) -> Result<String, Error> {
        let (id, agent, session) = (attempt.uuid(), agent.uuid(), signed::<i64>(session)?);
        let pin = async || {
            let row = query_file!("queries/session/pin_of_attempt.sql", id, agent, session)
                .fetch_optional(&self.by_key);
            Ok::<_, Error>(row.await?.ok_or(Error::NoAttempt(attempt))?.image_pin)
        };
        // A sweep's first attempts all ask at once, and wait for each other where they write.
        if let Some(pin) = pin().await? {
            return Ok(pin);
        }
        query_file!("queries/session/pin_image.sql", id, agent, session, image).execute(&self.by_key).await?;
        pin().await?.ok_or(Error::NoAttempt(attempt))
    }

    /// Notes what an agent has found of how the jobs of a live attempt's sweep can run.
    pub(crate) async fn note_sharing(
        &self,
        agent: AgentId,
        session: u64,
        attempt: AttemptId,
        sharing: &Sharing,
    ) -> Result<(), Error> {
        let Sharing { containers, why, left_out } = sharing;
        let noted = query_file!(
            "queries/session/note_sharing.sql",
            attempt.uuid(),
            agent.uuid(),
            signed::<i64>(session)?,
            containers.map(Containers::name),
            why,
            json!(left_out)
        );
        match noted.execute(&self.by_key).await?.rows_affected() {
            0 => Err(Error::NoAttempt(attempt)),
            _ => Ok(()),
        }
    }

    /// Takes an agent out of service, or back: no job is leased to it from then on.
    pub(crate) async fn drain(&self, agent: AgentId, drain: bool) -> Result<(), Error> {
        let drained = query_file!("queries/session/drain_agent.sql", agent.uuid(), drain)
            .fetch_optional(&self.by_key)
            .await?;
        drained.map(drop).ok_or_else(|| Error::NoAgent(format!("there is no agent {agent}")))
    }

    /// Says what an attempt waits for, for people.
    pub(crate) async fn note(&self, agent: AgentId, attempt: AttemptId, note: &str) -> Result<(), Error> {
        let mut tx = self.by_key.begin().await?;
        note_progress(&mut tx, agent, &[(attempt, note.to_owned())]).await?;
        Ok(tx.commit().await?)
    }

    /// Of these attempts of an agent, those that are not live any more.
    pub(crate) async fn taken_away(
        &self,
        agent: AgentId,
        attempts: &[AttemptId],
    ) -> Result<Vec<AttemptId>, Error> {
        let holding = self.holding(agent, attempts).await?;
        let live = |id: &&AttemptId| holding.known.get(id).is_some_and(|state| state.is_live());
        Ok(attempts.iter().filter(|id| !live(id)).copied().collect())
    }
}

async fn note_progress(
    connection: &mut Connection,
    agent: AgentId,
    notes: &[(AttemptId, String)],
) -> Result<(), Error> {
    if notes.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = notes.iter().map(|(id, _)| id.uuid()).collect();
    let texts: Vec<_> = notes.iter().map(|(_, text)| text.clone()).collect();
    query_file!("queries/session/note_progress.sql", agent.uuid(), &ids, &texts).execute(connection).await?;
    Ok(())
}
