//! The clients' side. Each call finds its sweep, asks the queue, and encodes the answer.

use std::time::SystemTime;

use bt_proto::convert::present;
use bt_proto::v1;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Clients;
use super::shown::agent;
use crate::access::call;
use crate::bell::Event;
use crate::pushed_images;
use crate::results::has_jobs;
use crate::rpc::{ANSWERS, Answers, status};
use crate::traced;

#[tonic::async_trait]
impl v1::sweeps_server::Sweeps for Clients {
    async fn submit(
        &self,
        request: Request<Streaming<v1::SubmitRequest>>,
    ) -> Result<Response<v1::SubmitReply>, Status> {
        let began = SystemTime::now();
        let traceparent = request.metadata().get("traceparent").and_then(|text| text.to_str().ok());
        let traceparent = traceparent.map(str::to_owned);
        let submitted = self.receive_submit(request.into_inner().boxed()).await?;
        traced::accepted(&submitted, traceparent.as_deref(), began);
        Ok(Response::new(v1::SubmitReply {
            id: submitted.id.to_string(),
            name: submitted.name,
            jobs: submitted.jobs,
            existed: submitted.existed,
            cut_before: submitted.cut_before,
            look: submitted.look.map(v1::SpentLook::from),
        }))
    }

    async fn estimate_sweep(
        &self,
        request: Request<Streaming<v1::SubmitRequest>>,
    ) -> Result<Response<v1::EstimateSweepReply>, Status> {
        self.estimate(request.into_inner().boxed()).await.map(Response::new)
    }

    async fn add_jobs(
        &self,
        request: Request<Streaming<v1::AddJobsRequest>>,
    ) -> Result<Response<v1::AddJobsReply>, Status> {
        self.receive_jobs(request.into_inner().boxed()).await.map(|added| Response::new(added.into()))
    }

    async fn close_sweep(
        &self,
        request: Request<v1::CloseSweepRequest>,
    ) -> Result<Response<v1::CloseSweepReply>, Status> {
        let (_, changeable) = self.find_to_change(&request.into_inner().sweep).await?;
        let changed = self.queue.close_sweep(changeable).await.map_err(status::queue)?;
        Ok(Response::new(v1::CloseSweepReply { changed }))
    }

    async fn list_sweeps(
        &self,
        request: Request<v1::ListSweepsRequest>,
    ) -> Result<Response<v1::ListSweepsReply>, Status> {
        self.list(request.into_inner()).await.map(Response::new)
    }

    async fn resolve_sweep(
        &self,
        request: Request<v1::ResolveSweepRequest>,
    ) -> Result<Response<v1::ResolveSweepReply>, Status> {
        self.resolve(&request.into_inner().sweep).await.map(Response::new)
    }

    async fn describe_sweep(
        &self,
        request: Request<v1::DescribeSweepRequest>,
    ) -> Result<Response<v1::DescribeSweepReply>, Status> {
        self.tag_and_note(request.into_inner()).await.map(Response::new)
    }

    async fn remove_sweep(
        &self,
        request: Request<v1::RemoveSweepRequest>,
    ) -> Result<Response<v1::RemoveSweepReply>, Status> {
        self.remove(request.into_inner()).await.map(Response::new)
    }

    async fn show_sweep(
        &self,
        request: Request<v1::ShowSweepRequest>,
    ) -> Result<Response<v1::ShowSweepReply>, Status> {
        let found = self.find(&request.into_inner().sweep).await?;
        self.show(&found).await.map(Response::new)
    }

    type ListJobsStream = Answers<v1::Job>;

    async fn list_jobs(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<Self::ListJobsStream>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        has_jobs(&found, request.job.as_slice())?;
        let (sender, receiver) = mpsc::channel(ANSWERS);
        let (clients, answers) = (self.clone(), sender.clone());
        self.answer(sender, async move { clients.send_jobs(&found, &request, &answers).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn show_landscape(
        &self,
        request: Request<v1::ShowLandscapeRequest>,
    ) -> Result<Response<v1::ShowLandscapeReply>, Status> {
        self.landscape(request.into_inner()).await.map(Response::new)
    }

    async fn assess_sweep(
        &self,
        request: Request<v1::AssessSweepRequest>,
    ) -> Result<Response<v1::AssessSweepReply>, Status> {
        self.assess(request.into_inner()).await.map(Response::new)
    }

    async fn count_trials(
        &self,
        request: Request<v1::CountTrialsRequest>,
    ) -> Result<Response<v1::CountTrialsReply>, Status> {
        self.count_trials(request.into_inner()).await.map(Response::new)
    }

    async fn show_walk(
        &self,
        request: Request<v1::ShowWalkRequest>,
    ) -> Result<Response<v1::ShowWalkReply>, Status> {
        self.walk(request.into_inner()).await.map(Response::new)
    }

    async fn cancel(&self, request: Request<v1::CancelRequest>) -> Result<Response<v1::CancelReply>, Status> {
        self.cancel_jobs(request.into_inner()).await.map(Response::new)
    }

    async fn retry(&self, request: Request<v1::RetryRequest>) -> Result<Response<v1::RetryReply>, Status> {
        self.retry_jobs(request.into_inner()).await.map(Response::new)
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Result<Response<v1::PauseReply>, Status> {
        let (_, changeable) = self.find_to_change(&request.into_inner().sweep).await?;
        let changed = self.queue.pause(changeable).await.map_err(status::queue)?;
        self.bell.ring(Event::SweepPaused);
        Ok(Response::new(v1::PauseReply { changed }))
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Result<Response<v1::ResumeReply>, Status> {
        let (_, changeable) = self.find_to_change(&request.into_inner().sweep).await?;
        let changed = self.queue.resume(changeable).await.map_err(status::queue)?;
        self.bell.ring(Event::SweepResumed);
        Ok(Response::new(v1::ResumeReply { changed }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainReply>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        let job = match request.job {
            Some(job) => job,
            None => self.queue.job_to_explain(found.id).await.map_err(status::queue)?,
        };
        has_jobs(&found, &[job])?;
        self.explain_job(&found, job).await.map(Response::new)
    }

    type ReportStream = Answers<v1::ReportReply>;

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        self.report_in_pieces(request.into_inner().sweep).await.map(Response::new)
    }

    type LogsStream = Answers<v1::LogLine>;

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        has_jobs(&found, &[request.job])?;
        let (sender, receiver) = mpsc::channel(ANSWERS);
        let (relay, answers) = (self.relay.clone(), sender.clone());
        self.answer(sender, async move { relay.send_log(&found, &request, &answers).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type ListOutputsStream = Answers<v1::JobOutput>;

    async fn list_outputs(
        &self,
        request: Request<v1::ListOutputsRequest>,
    ) -> Result<Response<Self::ListOutputsStream>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        has_jobs(&found, request.job.as_slice())?;
        if present(request.attempt).is_some() && !request.partial {
            return Err(Status::invalid_argument(
                "an `attempt` is listed with `partial`; results have one attempt",
            ));
        }
        let (sender, receiver) = mpsc::channel(ANSWERS);
        let (clients, answers) = (self.clone(), sender.clone());
        self.answer(sender, async move {
            match request.partial {
                true => clients.send_partial(&found, &request, &answers).await,
                false => clients.results().send_outputs(&found, request.job, &answers).await,
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn show_result(
        &self,
        request: Request<v1::ShowResultRequest>,
    ) -> Result<Response<v1::ShowResultReply>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        has_jobs(&found, &[request.job])?;
        let record = self.record(&found, request.job).await?;
        Ok(Response::new(v1::ShowResultReply { record }))
    }

    type DownloadStream = Answers<v1::DownloadReply>;

    async fn download(
        &self,
        request: Request<v1::DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        has_jobs(&found, &[request.job])?;
        let content = match present(request.attempt) {
            None => self.results().content(&found, request.job, &request.path, request.offset).await?,
            Some(number) => self.partial_content(&found, &request, number).await?,
        };
        Ok(Response::new(content))
    }

    type DownloadManyStream = Answers<v1::DownloadManyReply>;

    async fn download_many(
        &self,
        request: Request<v1::DownloadManyRequest>,
    ) -> Result<Response<Self::DownloadManyStream>, Status> {
        Ok(Response::new(self.small_outputs(request.into_inner()).await?))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsReply>, Status> {
        let only = match present(request.into_inner().agent) {
            None => None,
            Some(agent) => Some(self.find_agent(&agent).await?),
        };
        let mut agents = self.agents().await?;
        agents.retain(|(row, _)| only.is_none_or(|only| row.id == only));
        let agents = agents.into_iter().map(|(row, used)| agent(row, used, self.is_insecure));
        Ok(Response::new(v1::ListAgentsReply { agents: agents.collect() }))
    }

    async fn list_attempts(
        &self,
        request: Request<v1::ListAttemptsRequest>,
    ) -> Result<Response<v1::ListAttemptsReply>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        has_jobs(&found, &[request.job])?;
        self.history(&found, request.job).await.map(Response::new)
    }

    async fn show_progress(
        &self,
        request: Request<v1::ShowProgressRequest>,
    ) -> Result<Response<v1::ShowProgressReply>, Status> {
        let request = request.into_inner();
        let found = self.find(&request.sweep).await?;
        has_jobs(&found, &[request.job])?;
        self.progress(&found, request.job).await.map(Response::new)
    }

    async fn list_running(
        &self,
        request: Request<v1::ListRunningRequest>,
    ) -> Result<Response<v1::ListRunningReply>, Status> {
        self.running(present(request.into_inner().agent)).await.map(Response::new)
    }

    type DebugStream = Answers<v1::DebugOutput>;

    async fn debug(
        &self,
        request: Request<Streaming<v1::DebugInput>>,
    ) -> Result<Response<Self::DebugStream>, Status> {
        self.open_debug(request.into_inner()).await.map(Response::new)
    }

    async fn push_image(
        &self,
        request: Request<Streaming<v1::PushImageRequest>>,
    ) -> Result<Response<v1::PushImageReply>, Status> {
        self.receive_image(request.into_inner()).await.map(Response::new)
    }

    async fn missing_layers(
        &self,
        request: Request<v1::MissingLayersRequest>,
    ) -> Result<Response<v1::MissingLayersReply>, Status> {
        self.missing_layers(request.into_inner()).await.map(Response::new)
    }

    async fn show_software(
        &self,
        request: Request<v1::ShowSoftwareRequest>,
    ) -> Result<Response<v1::ShowSoftwareReply>, Status> {
        let software = self.queue.software(&request.into_inner().image_id).await.map_err(status::queue)?;
        let software = software.map(|software| serde_json::to_string(&software)).transpose();
        let software = software.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(v1::ShowSoftwareReply { software }))
    }

    async fn list_images(
        &self,
        _request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesReply>, Status> {
        let rows = self.queue.images().await.map_err(status::queue)?;
        Ok(Response::new(v1::ListImagesReply { images: rows.into_iter().map(pushed_images::wire).collect() }))
    }

    async fn remove_image(
        &self,
        request: Request<v1::RemoveImageRequest>,
    ) -> Result<Response<v1::RemoveImageReply>, Status> {
        let removed = self.take_image_out(&request.into_inner().image).await?;
        Ok(Response::new(v1::RemoveImageReply { removed }))
    }

    async fn drain_agent(
        &self,
        request: Request<v1::DrainAgentRequest>,
    ) -> Result<Response<v1::DrainAgentReply>, Status> {
        self.drain_or_undrain(request.into_inner()).await.map(Response::new)
    }

    async fn get_demand(
        &self,
        request: Request<v1::GetDemandRequest>,
    ) -> Result<Response<v1::GetDemandReply>, Status> {
        self.demand(request.into_inner()).await.map(Response::new)
    }

    async fn list_limits(
        &self,
        _request: Request<v1::ListLimitsRequest>,
    ) -> Result<Response<v1::ListLimitsReply>, Status> {
        self.limits().await.map(Response::new)
    }

    async fn set_limit(
        &self,
        request: Request<v1::SetLimitRequest>,
    ) -> Result<Response<v1::SetLimitReply>, Status> {
        self.limit(request.into_inner()).await.map(Response::new)
    }

    async fn remove_limit(
        &self,
        request: Request<v1::RemoveLimitRequest>,
    ) -> Result<Response<v1::RemoveLimitReply>, Status> {
        self.unlimit(&request.into_inner().name).await.map(Response::new)
    }

    async fn import_metrics(
        &self,
        request: Request<Streaming<v1::ImportMetricsRequest>>,
    ) -> Result<Response<v1::ImportMetricsReply>, Status> {
        self.receive_metrics(request.into_inner().boxed()).await.map(Response::new)
    }

    async fn list_volume_files(
        &self,
        request: Request<v1::ListVolumeFilesRequest>,
    ) -> Result<Response<v1::ListVolumeFilesReply>, Status> {
        self.list_files(request.into_inner()).await.map(Response::new)
    }

    async fn examine(&self, _: Request<v1::ExamineRequest>) -> Result<Response<v1::ExamineReply>, Status> {
        Ok(Response::new(self.examiner.examine().await))
    }

    type CollectGarbageStream = Answers<v1::Garbage>;

    async fn collect_garbage(
        &self,
        request: Request<v1::CollectGarbageRequest>,
    ) -> Result<Response<Self::CollectGarbageStream>, Status> {
        let request = request.into_inner();
        let only = match present(request.sweep.clone()) {
            None => None,
            Some(sweep) => Some(self.find(&sweep).await?.id),
        };
        if request.dry_run {
            call::changes_nothing();
        }
        let (sender, receiver) = mpsc::channel(ANSWERS);
        let (clients, answers) = (self.clone(), sender.clone());
        self.answer(sender, async move { clients.send_garbage(only, &request, &answers).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type WatchEventsStream = Answers<v1::WatchEventsReply>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.events_as_they_come(request.into_inner()).await.map(Response::new)
    }

    type VerifyResultsStream = Answers<v1::Verified>;

    async fn verify_results(
        &self,
        request: Request<v1::VerifyResultsRequest>,
    ) -> Result<Response<Self::VerifyResultsStream>, Status> {
        self.verify(request.into_inner()).await.map(Response::new)
    }
}
