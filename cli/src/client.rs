//! What can be asked of a coordinator. What can be asked again without harm is asked again while no coordinator answers for
//! a moment: see `line`.

use bt_documents::{Assessment, Family, FamilyTrials};
use bt_proto::bearer::Line;
use bt_proto::v1::sweeps_client::SweepsClient;
use bt_proto::v1::{self, ShowSweepRequest};
use serde::de::DeserializeOwned;
use tonic::{Code, Status, Streaming};

use crate::error::{Error, is_broken_off};
use crate::line::Coordinators;
use crate::settings::Settings;
use crate::submit_trace::SubmitTrace;

pub(crate) use crate::line::waits;

/// A connection to the coordinators that were named. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) line: Coordinators,
}

/// One call, asked again while no coordinator answers.
macro_rules! ask {
    ($client:expr, $call:ident, $request:expr) => {
        $client
            .line
            .ask(|mut sweeps| {
                let request = $request.clone();
                async move { Ok(sweeps.$call(request).await?.into_inner()) }
            })
            .await
    };
}

/// One call, asked once: whoever asks knows whether that may be done again.
macro_rules! ask_once {
    ($client:expr, $call:ident, $request:expr) => {{
        let mut asked = $client.line.current();
        let answer = $client.line.told_if_slow(asked.sweeps.$call($request)).await;
        if answer.as_ref().is_err_and(is_broken_off) {
            $client.line.leave(asked.number);
        }
        answer.map(tonic::Response::into_inner)
    }};
}

impl Client {
    pub(crate) async fn connect(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { line: Coordinators::open(settings).await? })
    }

    /// A client that says nothing of a coordinator that does not answer, for those who show that themselves.
    pub(crate) fn quiet(&self) -> Self {
        Self { line: self.line.quiet() }
    }

    /// Which coordinator is asked now.
    pub(crate) fn asked(&self) -> usize {
        self.line.current().number
    }

    /// An answer of this coordinator broke off: the next one is asked from now on.
    pub(crate) fn leave(&self, asked: usize) {
        self.line.leave(asked);
    }

    /// Queues a sweep. The idempotency key in the header makes it safe to ask again.
    pub(crate) async fn submit(&self, messages: Vec<v1::SubmitRequest>) -> Result<v1::SubmitReply, Error> {
        let messages = std::sync::Arc::new(messages);
        let trace = SubmitTrace::begin();
        let submit = |mut sweeps: SweepsClient<Line>| {
            let mut request = tonic::Request::new(tokio_stream::iter(messages.as_ref().clone()));
            trace.name_in(request.metadata_mut());
            async move { Ok(sweeps.submit(request).await?.into_inner()) }
        };
        let submitted = self.line.ask(submit).await?;
        trace.end(&submitted);
        Ok(submitted)
    }

    pub(crate) async fn estimate(
        &self,
        messages: Vec<v1::SubmitRequest>,
    ) -> Result<v1::EstimateSweepReply, Error> {
        let messages = std::sync::Arc::new(messages);
        let estimate = |mut sweeps: SweepsClient<Line>| {
            let request = tonic::Request::new(tokio_stream::iter(messages.as_ref().clone()));
            async move { Ok(sweeps.estimate_sweep(request).await?.into_inner()) }
        };
        self.line.ask(estimate).await
    }

    pub(crate) async fn sweeps(&self, request: v1::ListSweepsRequest) -> Result<v1::ListSweepsReply, Error> {
        ask!(self, list_sweeps, request)
    }

    /// The sweep that a text means.
    pub(crate) async fn resolve(&self, sweep: &str) -> Result<v1::ResolveSweepReply, Error> {
        let request = v1::ResolveSweepRequest { sweep: sweep.to_owned() };
        ask!(self, resolve_sweep, request)
    }

    /// What happens, until either side leaves.
    pub(crate) async fn watch_events(
        &self,
        request: v1::WatchEventsRequest,
    ) -> Result<Streaming<v1::WatchEventsReply>, Error> {
        ask!(self, watch_events, request)
    }

    pub(crate) async fn describe_sweep(
        &self,
        request: v1::DescribeSweepRequest,
    ) -> Result<v1::DescribeSweepReply, Error> {
        ask!(self, describe_sweep, request)
    }

    /// Asked once: the second time it would not be there.
    pub(crate) async fn remove_sweep(
        &self,
        request: v1::RemoveSweepRequest,
    ) -> Result<v1::RemoveSweepReply, Error> {
        Ok(ask_once!(self, remove_sweep, request)?)
    }

    pub(crate) async fn show(&self, sweep: &str) -> Result<bt_documents::SweepReport, Error> {
        let request = ShowSweepRequest { sweep: sweep.to_owned() };
        let reply = ask!(self, show_sweep, request)?;
        Ok(reply.try_into()?)
    }

    pub(crate) async fn landscape(
        &self,
        request: v1::ShowLandscapeRequest,
    ) -> Result<v1::ShowLandscapeReply, Error> {
        ask!(self, show_landscape, request)
    }

    /// How much of a sweep's best result is luck.
    pub(crate) async fn assess(&self, request: v1::AssessSweepRequest) -> Result<Assessment, Error> {
        read(&ask!(self, assess_sweep, request)?.document)
    }

    /// How often an idea was tried, which a family names or a sweep of it.
    pub(crate) async fn trials(&self, family: String) -> Result<FamilyTrials, Error> {
        let request = v1::CountTrialsRequest { family: Some(family) };
        read(&ask!(self, count_trials, request)?.document)
    }

    /// The families that were tried last.
    pub(crate) async fn families(&self) -> Result<Vec<Family>, Error> {
        let request = v1::CountTrialsRequest { family: None };
        read(&ask!(self, count_trials, request)?.document)
    }

    /// The files of a volume, as an agent says that offers it.
    pub(crate) async fn volume_files(
        &self,
        from: &bt_model::manifest::VolumeFiles,
    ) -> Result<v1::ListVolumeFilesReply, Error> {
        let request = v1::ListVolumeFilesRequest { volume: from.volume.clone(), glob: from.glob.clone() };
        ask!(self, list_volume_files, request)
    }

    pub(crate) async fn jobs(&self, request: v1::ListJobsRequest) -> Result<Streaming<v1::Job>, Error> {
        ask!(self, list_jobs, request)
    }

    /// All attempts of a job, the first one first.
    pub(crate) async fn attempts(&self, sweep: &str, job: u32) -> Result<Vec<v1::Attempt>, Error> {
        let request = v1::ListAttemptsRequest { sweep: sweep.to_owned(), job };
        Ok(ask!(self, list_attempts, request)?.attempts)
    }

    /// How far the latest attempt of a job is or was, and its metrics on the way.
    pub(crate) async fn progress(&self, sweep: &str, job: u32) -> Result<v1::ShowProgressReply, Error> {
        let request = v1::ShowProgressRequest { sweep: sweep.to_owned(), job };
        ask!(self, show_progress, request)
    }

    pub(crate) async fn walk(&self, sweep: &str, metric: Option<String>) -> Result<v1::ShowWalkReply, Error> {
        let request = v1::ShowWalkRequest { sweep: sweep.to_owned(), metric };
        ask!(self, show_walk, request)
    }

    /// The jobs that run now, on one agent or (without an id) on all.
    pub(crate) async fn running(&self, agent: Option<String>) -> Result<v1::ListRunningReply, Error> {
        let request = v1::ListRunningRequest { agent };
        ask!(self, list_running, request)
    }

    pub(crate) async fn cancel(&self, request: v1::CancelRequest) -> Result<v1::CancelReply, Error> {
        ask!(self, cancel, request)
    }

    /// Asked once: jobs that failed again in the meantime must not be queued twice.
    pub(crate) async fn retry(&self, request: v1::RetryRequest) -> Result<v1::RetryReply, Error> {
        Ok(ask_once!(self, retry, request)?)
    }

    /// False if nothing changed.
    pub(crate) async fn pause(&self, sweep: &str) -> Result<bool, Error> {
        let request = v1::PauseRequest { sweep: sweep.to_owned() };
        Ok(ask!(self, pause, request)?.changed)
    }

    pub(crate) async fn add_jobs(
        &self,
        messages: Vec<v1::AddJobsRequest>,
    ) -> Result<v1::AddJobsReply, Error> {
        let messages = std::sync::Arc::new(messages);
        let add = |mut sweeps: SweepsClient<Line>| {
            let request = tonic::Request::new(tokio_stream::iter(messages.as_ref().clone()));
            async move { Ok(sweeps.add_jobs(request).await?.into_inner()) }
        };
        self.line.ask(add).await
    }

    /// False if nothing changed.
    pub(crate) async fn close_sweep(&self, sweep: &str) -> Result<bool, Error> {
        let request = v1::CloseSweepRequest { sweep: sweep.to_owned() };
        Ok(ask!(self, close_sweep, request)?.changed)
    }

    /// False if nothing changed.
    pub(crate) async fn resume(&self, sweep: &str) -> Result<bool, Error> {
        let request = v1::ResumeRequest { sweep: sweep.to_owned() };
        Ok(ask!(self, resume, request)?.changed)
    }

    pub(crate) async fn explain(&self, request: v1::ExplainRequest) -> Result<v1::ExplainReply, Error> {
        ask!(self, explain, request)
    }

    pub(crate) async fn report(&self, sweep: &str) -> Result<Streaming<v1::ReportReply>, Error> {
        let request = v1::ReportRequest { sweep: sweep.to_owned() };
        ask!(self, report, request)
    }

    pub(crate) async fn demand(&self, request: v1::GetDemandRequest) -> Result<v1::GetDemandReply, Error> {
        ask!(self, get_demand, request)
    }

    pub(crate) async fn limits(&self) -> Result<Vec<v1::Limit>, Error> {
        let request = v1::ListLimitsRequest {};
        Ok(ask!(self, list_limits, request)?.limits)
    }

    pub(crate) async fn set_limit(&self, request: v1::SetLimitRequest) -> Result<(), Error> {
        ask!(self, set_limit, request).map(drop)
    }

    /// Asked once: the second time it would not be there.
    pub(crate) async fn remove_limit(&self, request: v1::RemoveLimitRequest) -> Result<(), Error> {
        ask_once!(self, remove_limit, request)?;
        Ok(())
    }

    pub(crate) async fn logs(&self, request: v1::LogsRequest) -> Result<Streaming<v1::LogLine>, Error> {
        ask!(self, logs, request)
    }

    pub(crate) async fn outputs(
        &self,
        request: v1::ListOutputsRequest,
    ) -> Result<Streaming<v1::JobOutput>, Error> {
        ask!(self, list_outputs, request)
    }

    /// The provenance of a published result: a JSON object.
    pub(crate) async fn result(&self, sweep: &str, job: u32) -> Result<String, Error> {
        let request = v1::ShowResultRequest { sweep: sweep.to_owned(), job };
        Ok(ask!(self, show_result, request)?.record)
    }

    /// Asked once: whoever reads the pieces knows how to go on where they break off.
    pub(crate) async fn download(
        &self,
        request: v1::DownloadRequest,
    ) -> Result<Streaming<v1::DownloadReply>, Status> {
        ask_once!(self, download, request)
    }

    /// Asked once, likewise.
    pub(crate) async fn download_many(
        &self,
        request: v1::DownloadManyRequest,
    ) -> Result<Streaming<v1::DownloadManyReply>, Status> {
        ask_once!(self, download_many, request)
    }

    /// Adds metrics to jobs. Asked again, it finds them there.
    pub(crate) async fn import_metrics(
        &self,
        messages: Vec<v1::ImportMetricsRequest>,
    ) -> Result<v1::ImportMetricsReply, Error> {
        let messages = std::sync::Arc::new(messages);
        let import = |mut sweeps: SweepsClient<Line>| {
            let messages = messages.clone();
            // Piece by piece, so that no second copy of all is made.
            let stream =
                tokio_stream::iter((0..messages.len()).filter_map(move |at| messages.get(at).cloned()));
            async move { Ok(sweeps.import_metrics(stream).await?.into_inner()) }
        };
        self.line.ask(import).await
    }

    /// Garbage as it is found, and removed unless it is a dry run.
    pub(crate) async fn garbage(
        &self,
        request: v1::CollectGarbageRequest,
    ) -> Result<Streaming<v1::Garbage>, Error> {
        ask!(self, collect_garbage, request)
    }

    pub(crate) async fn verify(
        &self,
        request: v1::VerifyResultsRequest,
    ) -> Result<Streaming<v1::Verified>, Error> {
        ask!(self, verify_results, request)
    }

    /// A shell; asked once, as keys are.
    pub(crate) async fn debug(
        &self,
        messages: tokio::sync::mpsc::Receiver<v1::DebugInput>,
    ) -> Result<Streaming<v1::DebugOutput>, Error> {
        let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
        Ok(ask_once!(self, debug, messages)?)
    }

    /// Which of these layers are not in the store: their SHA-256. None from a coordinator of an earlier version.
    pub(crate) async fn missing_layers(&self, layers: Vec<v1::Layer>) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let request = v1::MissingLayersRequest { layers };
        match ask_once!(self, missing_layers, request) {
            Ok(reply) => Ok(Some(reply.missing)),
            Err(status) if status.code() == Code::Unimplemented => Ok(None),
            Err(status) => Err(Error::broken_off(status)),
        }
    }

    /// Asked once: what was read of the image is gone.
    pub(crate) async fn push_image(
        &self,
        messages: tokio::sync::mpsc::Receiver<v1::PushImageRequest>,
    ) -> Result<v1::PushImageReply, Status> {
        let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
        // Its answer comes when all has been sent, however long that takes.
        let mut asked = self.line.current();
        let answer = asked.sweeps.push_image(messages).await;
        if answer.as_ref().is_err_and(is_broken_off) {
            self.line.leave(asked.number);
        }
        answer.map(tonic::Response::into_inner)
    }

    /// What is in an image that some job has run: a JSON object, or null.
    pub(crate) async fn software(&self, image_id: &str) -> Result<serde_json::Value, Error> {
        let request = v1::ShowSoftwareRequest { image_id: image_id.to_owned() };
        let text = ask!(self, show_software, request)?.software;
        let unreadable = |error| Error::Failed(format!("what is in image {image_id} can't be read: {error}"));
        match text {
            None => Ok(serde_json::Value::Null),
            Some(text) => serde_json::from_str(&text).map_err(unreadable),
        }
    }

    pub(crate) async fn images(&self) -> Result<Vec<v1::Image>, Error> {
        let request = v1::ListImagesRequest {};
        Ok(ask!(self, list_images, request)?.images)
    }

    /// Asked once: the second time it would not be there.
    pub(crate) async fn remove_image(&self, image: &str) -> Result<(), Error> {
        ask_once!(self, remove_image, v1::RemoveImageRequest { image: image.to_owned() })?;
        Ok(())
    }

    pub(crate) async fn drain(&self, agent: &str, undrain: bool) -> Result<v1::Agent, Error> {
        let request = v1::DrainAgentRequest { agent: agent.to_owned(), undrain };
        Ok(ask!(self, drain_agent, request)?.agent.unwrap_or_default())
    }

    pub(crate) async fn examine(&self) -> Result<v1::ExamineReply, Error> {
        ask!(self, examine, v1::ExamineRequest {})
    }

    pub(crate) async fn agents(&self) -> Result<Vec<v1::Agent>, Error> {
        let request = v1::ListAgentsRequest::default();
        Ok(ask!(self, list_agents, request)?.agents)
    }

    /// The agent that a text means: its id, its name, or the beginning of its id.
    pub(crate) async fn agent(&self, agent: &str) -> Result<v1::Agent, Error> {
        let request = v1::ListAgentsRequest { agent: Some(agent.to_owned()) };
        let mut agents = ask!(self, list_agents, request)?.agents;
        agents.pop().ok_or_else(|| Error::NotFound(format!("there is no agent {agent:?}")))
    }
}

/// A document that came as JSON.
fn read<T: DeserializeOwned>(document: &str) -> Result<T, Error> {
    serde_json::from_str(document)
        .map_err(|error| Error::Failed(format!("the coordinator's answer can't be read: {error}")))
}
