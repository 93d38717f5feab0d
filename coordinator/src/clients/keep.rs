//! What is kept: garbage collected on demand, and results read again.

use std::time::Duration;

use bt_model::id::SweepId;
use bt_proto::v1;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Clients;
use crate::bell::Event;
use crate::collector::{Collected, Collector, Fault};
use crate::queue::{Collectable, Found};
use crate::results::{has_jobs, not_expired};
use crate::rpc::{ANSWERS, Answers, status};
use crate::verify;

type Garbage = mpsc::Sender<Result<v1::Garbage, Status>>;

impl Clients {
    pub(super) async fn send_garbage(
        &self,
        only: Option<SweepId>,
        request: &v1::CollectGarbageRequest,
        answers: &Garbage,
    ) -> Result<(), Status> {
        let collector = self.collector();
        let age = request.older_than_ms.map_or(self.garbage_age, Duration::from_millis);
        let remove = !request.dry_run;
        if let Some(sweep) = only {
            if remove {
                collector.expire().await.map_err(status::collector)?;
            }
            let sweep = self.queue.collectable(sweep, !remove).await.map_err(status::queue)?;
            return collect(&collector, &sweep, age, remove, answers).await;
        }
        let mut sweeps = std::pin::pin!(collector.clone().sweeps(age, true, remove));
        while let Some(sweep) = sweeps.try_next().await.map_err(status::collector)? {
            collect(&collector, &sweep, age, remove, answers).await?;
        }
        Ok(())
    }

    /// Removes from the store what a removed sweep left. If this breaks off, the collector does it.
    pub(super) fn collect_removed(&self, sweep: SweepId) {
        let (collector, queue) = (self.collector(), self.queue.clone());
        self.tasks.spawn(async move {
            let collecting = async {
                let sweep = queue.collectable(sweep, false).await?;
                collector.collect(&sweep, Duration::ZERO, true).await.map(drop)
            };
            if let Err(error) = collecting.await {
                tracing::warn!(error = %error, sweep.id = %sweep, "a removed sweep is left to the collector");
            }
        });
    }

    pub(super) async fn verify(
        &self,
        request: v1::VerifyResultsRequest,
    ) -> Result<Answers<v1::Verified>, Status> {
        let found = match request.repair {
            true => self.find_to_change(&request.sweep).await?.0,
            false => self.find(&request.sweep).await?,
        };
        has_jobs(&found, request.job.as_slice())?;
        let (sender, receiver) = mpsc::channel(ANSWERS);
        let (clients, answers) = (self.clone(), sender.clone());
        self.answer(sender, async move { clients.send_verified(&found, &request, &answers).await });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }

    async fn send_verified(
        &self,
        sweep: &Found,
        request: &v1::VerifyResultsRequest,
        answers: &mpsc::Sender<Result<v1::Verified, Status>>,
    ) -> Result<(), Status> {
        not_expired(sweep)?;
        let mut after = None;
        loop {
            let page = self.queue.results(sweep, request.job, after).await.map_err(status::queue)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.place.job);
            let mut damaged = Vec::new();
            let mut checked = std::pin::pin!(verify::check(&self.store, page));
            while let Some(verified) = checked.try_next().await.map_err(status::store)? {
                if verified.path.is_none() && verified.fault.is_some() {
                    damaged.push(verified.job);
                }
                if answers.send(Ok(verified)).await.is_err() {
                    return Ok(());
                }
            }
            if request.repair && !damaged.is_empty() {
                self.queue.unwrite(sweep.id, &damaged).await.map_err(status::queue)?;
                self.bell.ring(Event::ResultsDamaged);
            }
        }
    }
}

async fn collect(
    collector: &Collector,
    sweep: &Collectable,
    age: Duration,
    remove: bool,
    answers: &Garbage,
) -> Result<(), Status> {
    let Collected { heaps, faults } =
        collector.collect(sweep, age, remove).await.map_err(status::collector)?;
    let of_sweep =
        v1::Garbage { sweep: sweep.id.to_string(), sweep_name: sweep.name.clone(), ..Default::default() };
    let heaps = heaps.into_iter().map(|(heap, amount)| v1::Garbage {
        job: heap.job,
        attempt: heap.attempt,
        why: heap.why.told().to_owned(),
        files: amount.files,
        bytes: amount.size,
        ..of_sweep.clone()
    });
    let faults = faults.into_iter().map(|Fault { path, why }| v1::Garbage {
        path: Some(path),
        fault: Some(why),
        ..of_sweep.clone()
    });
    for garbage in heaps.chain(faults) {
        if answers.send(Ok(garbage)).await.is_err() {
            break;
        }
    }
    Ok(())
}
