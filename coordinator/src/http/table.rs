//! Every call of the API: its address, what it takes and answers, in words and as types, and what answers it.

use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};
use bt_analysis::export::Form;
use bt_documents::{
    AddedJobs, Agent, Agents, Assessment, Cancelled, Changed, Comparison, Event, Explained, ExportedJob, Families,
    FamilyTrials, Fleet, ImportedMetrics, Jobs, Limits, LogFilter, Metrics, Outputs, ProgressSeries, Retried,
    RunningJobs, ShownAgent, ShownJob, ShownSweep, Submitted, SweepLandscape, Sweeps, Walk,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    actions, compare, download, events, export, filter, jobs, judged, log, machines, page, reported, submit,
    sweeps,
};
use crate::clients::Clients;

pub(super) struct Route {
    /// Its name in the description.
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    /// `{name}` stands for a part of it.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// What may follow the address, as the keys of a struct.
    pub(super) query: Option<SchemaOf>,
    pub(super) sent: Sent,
    pub(super) answer: Answer,
    pub(super) handler: fn() -> MethodRouter<Clients>,
}

impl Route {
    /// The path as the description writes it, which does not say that the last part may hold slashes.
    pub(super) fn address(&self) -> String {
        self.path.replace("{*", "{")
    }
}

pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What is sent with a call.
#[derive(Clone, Copy)]
pub(super) enum Sent {
    Nothing,
    Json(SchemaOf),
    /// A manifest, in one of the forms that a file of it may have.
    Manifest,
}

#[derive(Clone, Copy)]
pub(super) enum Answer {
    Json(SchemaOf),
    Text,
    Html,
    Bytes,
    /// Server-sent events, each with JSON of this type.
    Events(SchemaOf),
    /// A file of this media type.
    Table(Form),
}

const fn json<T: JsonSchema>() -> Answer {
    Answer::Json(schema::<T>)
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What the `{name}`s in addresses stand for.
pub(super) const PARTS: &[(&str, &str, &str)] = &[
    (
        "sweep",
        "string",
        "A sweep: its id, its name (the newest of that name), or the beginning of its id, 4 characters or more",
    ),
    ("job", "integer", "A job's number in its sweep, from 0 on"),
    ("path", "string", "A file's path below the results directory; its slashes stay slashes"),
    ("agent", "string", "An agent: its id, its name, or the beginning of its id"),
];

pub(super) static ROUTES: &[Route] = &[
    Route {
        name: "list_sweeps",
        method: "get",
        path: "/api/sweeps",
        summary: "Sweeps, the newest first",
        query: Some(schema::<sweeps::ListSweeps>),
        sent: Sent::Nothing,
        answer: json::<Sweeps>(),
        handler: || get(sweeps::list),
    },
    Route {
        name: "submit",
        method: "post",
        path: "/api/sweeps",
        summary: "Queue a sweep; what is sent is its manifest",
        query: Some(schema::<submit::SubmitSweep>),
        sent: Sent::Manifest,
        answer: json::<Submitted>(),
        handler: || post(submit::submit).layer(DefaultBodyLimit::max(submit::LARGEST)),
    },
    Route {
        name: "show_sweep",
        method: "get",
        path: "/api/sweeps/{sweep}",
        summary: "A sweep with its manifest, why jobs wait, and what failed",
        query: None,
        sent: Sent::Nothing,
        answer: json::<ShownSweep>(),
        handler: || get(sweeps::show),
    },
    Route {
        name: "show_landscape",
        method: "get",
        path: "/api/sweeps/{sweep}/landscape",
        summary: "A metric over the sweep's parameters: which matter, and a map over two of them",
        query: Some(schema::<sweeps::ShowLandscape>),
        sent: Sent::Nothing,
        answer: json::<SweepLandscape>(),
        handler: || get(sweeps::landscape),
    },
    Route {
        name: "show_walk",
        method: "get",
        path: "/api/sweeps/{sweep}/walk",
        summary: "A walk-forward: what was chosen in each window, and the curve of all tests",
        query: Some(schema::<sweeps::ShowWalk>),
        sent: Sent::Nothing,
        answer: json::<Walk>(),
        handler: || get(sweeps::walk),
    },
    Route {
        name: "cancel",
        method: "post",
        path: "/api/sweeps/{sweep}/cancel",
        summary: "Cancel a sweep, or some of its jobs",
        query: None,
        sent: Sent::Json(schema::<actions::Cancel>),
        answer: json::<Cancelled>(),
        handler: || post(actions::cancel),
    },
    Route {
        name: "retry",
        method: "post",
        path: "/api/sweeps/{sweep}/retry",
        summary: "Queue failed and cancelled jobs again",
        query: None,
        sent: Sent::Json(schema::<actions::Retry>),
        answer: json::<Retried>(),
        handler: || post(actions::retry),
    },
    Route {
        name: "pause",
        method: "post",
        path: "/api/sweeps/{sweep}/pause",
        summary: "Start no more jobs of a sweep; those that run go on",
        query: None,
        sent: Sent::Json(schema::<actions::Nothing>),
        answer: json::<Changed>(),
        handler: || post(actions::pause),
    },
    Route {
        name: "resume",
        method: "post",
        path: "/api/sweeps/{sweep}/resume",
        summary: "Go on with a paused sweep",
        query: None,
        sent: Sent::Json(schema::<actions::Nothing>),
        answer: json::<Changed>(),
        handler: || post(actions::resume),
    },
    Route {
        name: "explain_sweep",
        method: "get",
        path: "/api/sweeps/{sweep}/explain",
        summary: "Why the first job that waits does not run; else how the first that runs, or failed, stands",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Explained>(),
        handler: || get(jobs::explain_sweep),
    },
    Route {
        name: "report",
        method: "get",
        path: "/api/sweeps/{sweep}/report.html",
        summary: "The sweep's page as one file, without scripts and links, to keep, send or print",
        query: None,
        sent: Sent::Nothing,
        answer: Answer::Html,
        handler: || get(page::get_report),
    },
    Route {
        name: "list_jobs",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs",
        summary: "Jobs of a sweep, by number in pages, or ranked by a metric",
        query: Some(schema::<jobs::ListJobs>),
        sent: Sent::Nothing,
        answer: json::<Jobs>(),
        handler: || get(jobs::list),
    },
    Route {
        name: "add_jobs",
        method: "post",
        path: "/api/sweeps/{sweep}/jobs",
        summary: "Add jobs to an open sweep, all of them or none",
        query: Some(schema::<submit::AddJobs>),
        sent: Sent::Json(schema::<submit::JobsToAdd>),
        answer: json::<AddedJobs>(),
        handler: || post(submit::add).layer(DefaultBodyLimit::max(submit::LARGEST)),
    },
    Route {
        name: "close",
        method: "post",
        path: "/api/sweeps/{sweep}/close",
        summary: "Take no more jobs; an open sweep ends with those that it has",
        query: None,
        sent: Sent::Json(schema::<actions::Nothing>),
        answer: json::<Changed>(),
        handler: || post(actions::close),
    },
    Route {
        name: "list_metrics",
        method: "get",
        path: "/api/sweeps/{sweep}/metrics",
        summary: "Names of the metrics that a sweep's jobs have reported",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Metrics>(),
        handler: || get(reported::list),
    },
    Route {
        name: "import_metrics",
        method: "post",
        path: "/api/sweeps/{sweep}/metrics",
        summary: "Add metrics to jobs that have succeeded",
        query: None,
        sent: Sent::Json(schema::<reported::ImportMetrics>),
        answer: json::<ImportedMetrics>(),
        handler: || post(reported::import).layer(DefaultBodyLimit::max(submit::LARGEST)),
    },
    Route {
        name: "export_parquet",
        method: "get",
        path: "/api/sweeps/{sweep}/export.parquet",
        summary: "All jobs with parameters and metrics as a table with typed columns",
        query: None,
        sent: Sent::Nothing,
        answer: Answer::Table(Form::Parquet),
        handler: || get(export::parquet),
    },
    Route {
        name: "export_csv",
        method: "get",
        path: "/api/sweeps/{sweep}/export.csv",
        summary: "The same table as CSV",
        query: None,
        sent: Sent::Nothing,
        answer: Answer::Table(Form::Csv),
        handler: || get(export::csv),
    },
    Route {
        name: "export_json",
        method: "get",
        path: "/api/sweeps/{sweep}/export.json",
        summary: "All jobs as a list of objects",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Vec<ExportedJob<'static>>>(),
        handler: || get(export::json),
    },
    Route {
        name: "compare",
        method: "get",
        path: "/api/compare",
        summary: "Two sweeps' metrics at the points that both have",
        query: Some(schema::<compare::CompareSweeps>),
        sent: Sent::Nothing,
        answer: json::<Comparison>(),
        handler: || get(compare::compare),
    },
    Route {
        name: "assess_sweep",
        method: "get",
        path: "/api/sweeps/{sweep}/assess",
        summary: "How much of the best result is luck",
        query: Some(schema::<judged::AssessSweep>),
        sent: Sent::Nothing,
        answer: json::<Assessment>(),
        handler: || get(judged::assess),
    },
    Route {
        name: "list_families",
        method: "get",
        path: "/api/families",
        summary: "Families: sweeps that test one idea, the latest first",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Families>(),
        handler: || get(judged::families),
    },
    Route {
        name: "count_trials",
        method: "get",
        path: "/api/trials",
        summary: "How often an idea was tried, by whom and in which sweeps",
        query: Some(schema::<judged::CountTrials>),
        sent: Sent::Nothing,
        answer: json::<FamilyTrials>(),
        handler: || get(judged::trials),
    },
    Route {
        name: "show_job",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs/{job}",
        summary: "A job and all of its attempts",
        query: None,
        sent: Sent::Nothing,
        answer: json::<ShownJob>(),
        handler: || get(jobs::show),
    },
    Route {
        name: "explain",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs/{job}/explain",
        summary: "Why a job does not run, agent by agent",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Explained>(),
        handler: || get(jobs::explain),
    },
    Route {
        name: "show_progress",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs/{job}/progress",
        summary: "How far the latest attempt of a job is or was, and its metrics on the way",
        query: None,
        sent: Sent::Nothing,
        answer: json::<ProgressSeries>(),
        handler: || get(jobs::progress),
    },
    Route {
        name: "read_log",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs/{job}/log",
        summary: "What a job printed, as text; with `follow` as it comes",
        query: Some(schema::<log::ReadLog>),
        sent: Sent::Nothing,
        answer: Answer::Text,
        handler: || get(log::read),
    },
    Route {
        name: "list_outputs",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs/{job}/outputs",
        summary: "The files that a job has published",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Outputs>(),
        handler: || get(jobs::outputs),
    },
    Route {
        name: "download",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs/{job}/outputs/{*path}",
        summary: "A published file, whole or a range; `ETag` and `Repr-Digest` hold its SHA-256",
        query: None,
        sent: Sent::Nothing,
        answer: Answer::Bytes,
        handler: || get(download::download),
    },
    Route {
        name: "show_result",
        method: "get",
        path: "/api/sweeps/{sweep}/jobs/{job}/result",
        summary: "How a published result came about: what `result.json` says",
        query: None,
        sent: Sent::Nothing,
        answer: json::<bt_store::ResultDocument>(),
        handler: || get(jobs::result),
    },
    Route {
        name: "watch_events",
        method: "get",
        path: "/api/events",
        summary: "What happens from now on, as server-sent events",
        query: Some(schema::<events::WatchEvents>),
        sent: Sent::Nothing,
        answer: Answer::Events(schema::<Event>),
        handler: || get(events::watch),
    },
    Route {
        name: "list_running",
        method: "get",
        path: "/api/running",
        summary: "Jobs that agents work on now, the oldest first",
        query: None,
        sent: Sent::Nothing,
        answer: json::<RunningJobs>(),
        handler: || get(machines::running),
    },
    Route {
        name: "show_fleet",
        method: "get",
        path: "/api/fleet",
        summary: "What agents offered and what of it was used, minute by minute, over the last day",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Fleet>(),
        handler: || get(machines::fleet),
    },
    Route {
        name: "list_agents",
        method: "get",
        path: "/api/agents",
        summary: "All agents",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Agents>(),
        handler: || get(machines::agents),
    },
    Route {
        name: "show_agent",
        method: "get",
        path: "/api/agents/{agent}",
        summary: "An agent and the jobs that it works on",
        query: None,
        sent: Sent::Nothing,
        answer: json::<ShownAgent>(),
        handler: || get(machines::agent),
    },
    Route {
        name: "drain",
        method: "post",
        path: "/api/agents/{agent}/drain",
        summary: "Give an agent no new jobs, or give it jobs again",
        query: None,
        sent: Sent::Json(schema::<actions::Drain>),
        answer: json::<Agent>(),
        handler: || post(actions::drain),
    },
    Route {
        name: "list_limits",
        method: "get",
        path: "/api/limits",
        summary: "Capacities that jobs of all sweeps share",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Limits>(),
        handler: || get(machines::limits),
    },
    Route {
        name: "read_log_filter",
        method: "get",
        path: "/api/log",
        summary: "What this coordinator logs",
        query: None,
        sent: Sent::Nothing,
        answer: json::<LogFilter>(),
        handler: || get(filter::read),
    },
    Route {
        name: "change_log_filter",
        method: "post",
        path: "/api/log",
        summary: "Change what this coordinator logs, until it ends",
        query: None,
        sent: Sent::Json(schema::<filter::Change>),
        answer: json::<LogFilter>(),
        handler: || post(filter::change),
    },
];
