//! Every series that btctl serves. Units are Prometheus's base units: seconds and bytes.

use crate::{Counter, Gauge, Histogram, Kind, Measure};

/// Bounds of what is over in a moment, such as a statement or a call.
const QUICK: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
/// Bounds of what jobs take.
const LONG: &[f64] = &[
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0,
];

macro_rules! measures {
    ($(
        $(#[doc = $help:literal])+
        $server:ident $kind:ident $constant:ident = $name:literal [$($label:literal),*] $(in $buckets:ident)?;
    )+) => {
        $(
            $(#[doc = $help])+
            pub static $constant: $kind<{ 0 $(+ measures!(@one $label))* }> =
                $kind::new($name, [$($label),*]);
        )+

        /// The table.
        pub static MEASURES: &[Measure] = &[$(
            Measure {
                name: $name,
                kind: Kind::$kind,
                help: concat!($($help),+).trim_ascii(),
                labels: &[$($label),*],
                server: stringify!($server),
                buckets: measures!(@buckets $($buckets)?),
            },
        )+];
    };
    (@one $label:literal) => { 1 };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

measures! {
    /// 1; the label says which version of btctl runs.
    both Gauge BUILD = "btctl_build_info" ["version"];
    /// When the process started, in seconds since 1970.
    both Gauge STARTED = "btctl_start_time_seconds" [];

    /// Jobs of the sweeps that have not finished, by state; `held` are queued ones that may not start: their sweep is paused, or they wait for an identical job. Every coordinator tells the same: take the maximum.
    coordinator Gauge JOBS = "btctl_jobs" ["state"];
    /// Sweeps that have not finished, by state. Every coordinator tells the same: take the maximum.
    coordinator Gauge SWEEPS = "btctl_sweeps" ["state"];
    /// Sweeps with jobs to start for which no agent is fit that is connected to this coordinator and takes jobs.
    coordinator Gauge SWEEPS_WITHOUT_AGENT = "btctl_sweeps_without_agent" [];
    /// Results that are published and whose result.json is not written yet, 10000 at most. Every coordinator tells the same: take the maximum.
    coordinator Gauge UNWRITTEN = "btctl_results_unwritten" [];
    /// Agents that were heard of within the last hour, by state; `gone` are those that are silent now. Every coordinator tells the same: take the maximum.
    coordinator Gauge AGENTS = "btctl_agents" ["state"];
    /// Agents that are connected to this coordinator.
    coordinator Gauge CONNECTED = "btctl_agents_connected" [];
    /// Cpus of the agents that are connected to this coordinator: offered to jobs, and used by them.
    coordinator Gauge CAPACITY_CPUS = "btctl_capacity_cpus" ["use"];
    /// Memory of the agents that are connected to this coordinator: offered to jobs, and used by them.
    coordinator Gauge CAPACITY_MEMORY = "btctl_capacity_memory_bytes" ["use"];
    /// Jobs at once of the agents that are connected to this coordinator: offered, and used.
    coordinator Gauge CAPACITY_SLOTS = "btctl_capacity_slots" ["use"];

    /// Jobs that are to run side by side for the queue to be done in 15 minutes. Every coordinator tells the same: take the maximum.
    coordinator Gauge DEMAND_JOBS = "btctl_demand_jobs" [];
    /// Cpus that these jobs ask for.
    coordinator Gauge DEMAND_CPUS = "btctl_demand_cpus" [];
    /// Memory that these jobs ask for; of those that ask for none, nothing.
    coordinator Gauge DEMAND_MEMORY = "btctl_demand_memory_bytes" [];
    /// Gpus that these jobs ask for.
    coordinator Gauge DEMAND_GPUS = "btctl_demand_gpus" [];
    /// Jobs that this coordinator has leased to agents.
    coordinator Counter CLAIMED = "btctl_jobs_claimed_total" [];
    /// How long one claim of jobs took in Postgres.
    coordinator Histogram CLAIM_TIME = "btctl_claim_duration_seconds" [] in QUICK;
    /// How long jobs were ready before they were leased to an agent.
    coordinator Histogram JOB_WAIT = "btctl_job_wait_seconds" [] in LONG;
    /// How long jobs' containers ran, by how the attempt ended.
    coordinator Histogram JOB_RUN = "btctl_job_run_seconds" ["outcome"] in LONG;
    /// Attempts that this coordinator has ended to make room for a sweep of a higher priority (`preempt`).
    coordinator Counter PREEMPTED = "btctl_jobs_preempted_total" [];
    /// Attempts that have ended, by outcome and, of failed ones, by the kind of the reason.
    coordinator Counter ATTEMPTS = "btctl_attempts_ended_total" ["outcome", "reason"];
    /// Leases that agents' heartbeats have renewed.
    coordinator Counter LEASES_RENEWED = "btctl_leases_renewed_total" [];
    /// Leases that ran out: their agents were not heard of in time.
    coordinator Counter LEASES_LOST = "btctl_leases_lost_total" [];
    /// Bytes of the results that were published.
    coordinator Counter PUBLISHED_BYTES = "btctl_published_bytes_total" [];
    /// Files of the results that were published.
    coordinator Counter PUBLISHED_FILES = "btctl_published_files_total" [];

    /// Times of schedules that something was done about, by what: submitted, skipped, failed.
    coordinator Counter SCHEDULE_RUNS = "btctl_schedule_runs_total" ["outcome"];
    /// The next time of any schedule, in seconds since 1970; not a number if none comes. Every coordinator tells the same. One that
    /// has passed minutes ago says that nobody submits.
    coordinator Gauge SCHEDULE_NEXT = "btctl_schedule_next_timestamp_seconds" [];
    /// Schedules whose calendars end within 60 days. Every coordinator tells the same.
    coordinator Gauge SCHEDULES_ENDING = "btctl_schedules_ending" [];

    /// 1 if Postgres answered the last time that it was asked, else 0.
    coordinator Gauge POSTGRES_UP = "btctl_postgres_up" [];
    /// Sessions with Postgres, by what they do.
    coordinator Gauge POSTGRES_SESSIONS = "btctl_postgres_sessions" ["state"];
    /// How long a session with Postgres was waited for, until it was set up and had answered.
    coordinator Histogram POSTGRES_ACQUIRE = "btctl_postgres_acquire_duration_seconds" [] in QUICK;
    /// How long statements took, by the part of the queue that they belong to.
    coordinator Histogram POSTGRES_STATEMENT = "btctl_postgres_statement_duration_seconds" ["group"] in QUICK;
    /// Statements that failed, by the part of the queue that they belong to.
    coordinator Counter POSTGRES_FAILED = "btctl_postgres_statements_failed_total" ["group"];

    /// Calls over gRPC that have ended, by method and code; streams count when they end.
    coordinator Counter GRPC = "btctl_grpc_requests_total" ["method", "code"];
    /// How long calls over gRPC took, by method; of streams, how long they were open.
    coordinator Histogram GRPC_TIME = "btctl_grpc_request_duration_seconds" ["method"] in QUICK;
    /// Calls over HTTP, by route and status code.
    coordinator Counter HTTP = "btctl_http_requests_total" ["route", "code"];
    /// How long calls over HTTP took until their answer began, by route.
    coordinator Histogram HTTP_TIME = "btctl_http_request_duration_seconds" ["route"] in QUICK;

    /// Operations on the store, by outcome.
    both Counter STORE = "btctl_store_operations_total" ["operation", "outcome"];
    /// How long operations on the store took.
    both Histogram STORE_TIME = "btctl_store_operation_duration_seconds" ["operation"] in QUICK;

    /// Calls to the container engine, by outcome.
    agent Counter ENGINE = "btctl_engine_calls_total" ["operation", "outcome"];
    /// How long calls to the container engine took; those that last as long as a job are left out.
    agent Histogram ENGINE_TIME = "btctl_engine_call_duration_seconds" ["operation"] in QUICK;
    /// Agents of this process that are connected to a coordinator.
    agent Gauge AGENT_CONNECTED = "btctl_agent_connected" [];
    /// Attempts that this process works on.
    agent Gauge AGENT_ATTEMPTS = "btctl_agent_attempts" [];
    /// Bytes of outputs that were sent to the store, by the way they went: directly, or through the coordinator.
    agent Counter AGENT_SENT = "btctl_agent_sent_bytes_total" ["way"];
    /// Free space of the agent's disk.
    agent Gauge AGENT_DISK_FREE = "btctl_agent_disk_free_bytes" [];
    /// Space of the agent's disk that is kept free: when it is reached, the agent takes no jobs.
    agent Gauge AGENT_DISK_RESERVE = "btctl_agent_disk_reserve_bytes" [];
}
