//! Sweeps and agents as clients see them.

use bt_documents::EventName;
use bt_model::layout::sweep_dir;
use bt_model::manifest::mask_address;
use bt_model::resources::Resources;
use bt_proto::convert::{self, present, timestamp};
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use super::explain::{AgentState, state};
use crate::queue::{AgentRow, BestJob, Found, Sharing, SweepRow, ToldRow, Usage};
use crate::rpc::status;

impl Clients {
    /// All agents, and what their attempts take of each.
    pub(super) async fn agents(&self) -> Result<Vec<(AgentRow, Usage)>, Status> {
        let rows = self.queue.agents(self.silence).await;
        let rows = rows.map_err(status::queue)?;
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let used = self.queue.used(&ids).await.map_err(status::queue)?;
        let with_usage = |row: AgentRow| {
            let used = used.get(&row.id).copied().unwrap_or_default();
            (row, used)
        };
        Ok(rows.into_iter().map(with_usage).collect())
    }

    /// A sweep, what its jobs wait for, why some failed, and what runs now.
    pub(super) async fn show(&self, found: &Found) -> Result<v1::ShowSweepReply, Status> {
        let row = self.queue.sweep(found.id).await.map_err(status::queue)?;
        let row = row.ok_or_else(|| Status::not_found(format!("sweep {} was removed", found.name)))?;
        let details = self.queue.sweep_details(found.id).await.map_err(status::queue)?;
        let waiting = match row.counts[0] {
            0 => Vec::new(),
            queued => self.waiting(&details, queued).await?,
        };
        let retrying = match row.counts[0] {
            0 => Vec::new(),
            _ => self.retrying(found).await?,
        };
        let failures = self.queue.failures(found.id).await.map_err(status::queue)?;
        let failures = failures.into_iter().map(|failure| v1::Failures {
            reason: Some((&failure.reason).into()),
            jobs: failure.jobs,
            first_job: failure.first_job,
        });
        let progressing = self.queue.progressing(found.id).await.map_err(status::queue)?;
        let progressing = progressing.into_iter().map(|attempt| v1::Progressing {
            job: attempt.job,
            state: v1::AttemptState::from(attempt.state).into(),
            agent: attempt.agent,
            note: attempt.note,
        });
        let (measured, took, peak_memory_bytes) = self.queue.pace(found.id).await.map_err(status::queue)?;
        let pace = v1::Pace { jobs: measured, seconds: took.as_secs_f64(), peak_memory_bytes };
        Ok(v1::ShowSweepReply {
            pace: (measured > 0).then_some(pace),
            store: sweep_dir(&found.name, found.id),
            sweep: Some(sweep(row)),
            manifest: details.manifest,
            waiting,
            failures: failures.collect(),
            progressing: progressing.collect(),
            reuse: self.show_reuse(found).await?,
            retrying,
            told: self.told(found).await?,
        })
    }

    /// Who was told of a sweep, or is to be.
    pub(super) async fn told(&self, found: &Found) -> Result<Vec<v1::Told>, Status> {
        let told = self.queue.told(found.id).await.map_err(status::queue)?;
        Ok(told.into_iter().map(notification).collect())
    }
}

fn notification(row: ToldRow) -> v1::Told {
    let waits = row.delivered.is_none() && row.given_up.is_none();
    v1::Told {
        receiver: mask_address(&row.receiver.0),
        event: EventName::from(row.event).name().to_owned(),
        event_id: row.event_id.to_string(),
        happened: Some(timestamp(row.happened)),
        tries: row.tries,
        last_error: row.last_error.unwrap_or_default(),
        delivered: row.delivered.map(timestamp),
        given_up: row.given_up.map(timestamp),
        next_try: Some(row.due).filter(|_| waits).map(timestamp),
    }
}

pub(super) fn sweep(row: SweepRow) -> v1::Sweep {
    let [queued, running, succeeded, failed, cancelled, pruned] = row.counts;
    let ended = queued + running == 0 && !row.open;
    v1::Sweep {
        id: row.id.to_string(),
        name: row.name,
        owner: row.owner,
        image: row.image,
        image_pin: row.image_pin,
        image_alias: row.image_alias,
        dev_mounts: row.dev_mounts.iter().map(convert::dev_mount).collect(),
        cancel_reason: present(Some(row.cancel_reason)),
        waits_for: row.waits_for,
        counts: Some(v1::Counts { queued, running, succeeded, failed, cancelled, pruned }),
        created: Some(timestamp(row.created)),
        finished: row.finished.filter(|_| ended).map(timestamp),
        priority: row.priority,
        cancelled: row.cancelled,
        open: row.open,
        paused: row.paused,
        pause_reason: present(Some(row.pause_reason)),
        canary: row.canary.map(|(jobs, passed)| v1::Canary { jobs, passed }),
        kept_until: row.kept_until.map(timestamp),
        expired: row.expired,
        tags: row.tags,
        note: row.note,
        sharing: sharing(row.sharing),
        newest: row.is_newest,
        same_name: row.same_name,
        best: row.best.map(|BestJob { metric, value, job }| v1::BestJob { metric, value, job }),
        jobs_per_minute: row.per_minute.filter(|_| !ended),
        cut_before: row.cut_before,
        look: row.look.map(v1::SpentLook::from),
    }
}

fn sharing(found: Sharing) -> Option<v1::Sharing> {
    let Sharing { containers, why, left_out } = found;
    (containers.is_some() || !left_out.is_empty()).then(|| v1::Sharing {
        containers: convert::containers(containers).into(),
        containers_text: containers.map(|containers| containers.to_string()).unwrap_or_default(),
        why,
        left_out: left_out.into_iter().collect(),
    })
}

pub(super) fn agent(row: AgentRow, used: Usage, insecure: bool) -> v1::Agent {
    let state = state(&row);
    let is_here = !matches!(state, AgentState::Offline | AgentState::NotConnected(_));
    let free = if is_here { row.capacity.less(&used.resources) } else { Resources::default() };
    let offered = |(name, read_only): (String, bool)| match read_only {
        true => format!("{name}:ro"),
        false => name,
    };
    v1::Agent {
        id: row.id.to_string(),
        name: row.name,
        state_text: if row.revoked { "revoked".to_owned() } else { state.to_string() },
        state: state.wire().into(),
        capacity: Some(row.capacity.into()),
        free: Some(free.into()),
        running: used.running,
        labels: row.labels.into_iter().collect(),
        volumes: row.volumes.into_iter().map(offered).collect(),
        version: row.version,
        engine: row.engine,
        last_seen: Some(timestamp(row.last_seen)),
        job_memory_bytes: row.job_memory_bytes,
        about: row.about.into_iter().collect(),
        volume_fingerprints: row.fingerprints.into_iter().collect(),
        contested_by: row.contested_by,
        certificate_expires: row.certificate_expires.map(timestamp),
        ends: row.ends.map(timestamp),
        revoked: row.revoked,
        insecure,
    }
}
