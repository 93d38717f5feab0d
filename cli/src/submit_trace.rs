//! What a client adds to traces: its submit has a trace of its own, and is the beginning of each job's.

use std::time::SystemTime;

use bt_proto::v1::SubmitReply;
use bt_traces::Trace;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// A submit that has begun.
pub(crate) struct SubmitTrace {
    trace: Option<Trace>,
    began: SystemTime,
}

impl SubmitTrace {
    pub(crate) fn begin() -> Self {
        Self { trace: Trace::begin(), began: SystemTime::now() }
    }

    /// Tells the coordinator in which trace it is asked.
    pub(crate) fn name_in(&self, metadata: &mut MetadataMap) {
        if let Some(trace) = &self.trace
            && let Ok(text) = trace.to_string().parse()
        {
            metadata.insert("traceparent", text);
        }
    }

    /// The sweep is queued.
    pub(crate) fn end(&self, submitted: &SubmitReply) {
        let (Some(own), Ok(sweep)) = (&self.trace, submitted.id.parse::<Uuid>()) else { return };
        let said = [
            ("sweep.id", submitted.id.clone()),
            ("sweep.name", submitted.name.clone()),
            ("jobs", submitted.jobs.to_string()),
        ];
        own.first("btctl submit", self.began, None, &said);
        // Its jobs have begun before, if it is the second time.
        if submitted.existed {
            return;
        }
        for job in 0..submitted.jobs {
            if let Some(trace) = Trace::of(sweep.as_bytes(), job, submitted.jobs) {
                let of_job = [&said[..2], &[("job", job.to_string())]].concat();
                trace.first("submit", self.began, Some(own), &of_job);
            }
        }
    }
}
