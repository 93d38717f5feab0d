//! What is sent to queue a sweep, and to add jobs to it.

use bt_model::manifest::{JobSource, Manifest};
use bt_model::parameters::Parameters;

use crate::v1::{self, add_jobs_request, submit_request};

/// Rows of parameters in one message.
const ROWS_IN_MESSAGE: usize = 2_000;

/// The messages that add jobs with these parameters to an open sweep.
pub fn additions(rows: &[Parameters], header: v1::AddJobsHeader) -> Vec<v1::AddJobsRequest> {
    let mut messages = vec![v1::AddJobsRequest { kind: Some(add_jobs_request::Kind::Header(header)) }];
    for piece in rows.chunks(ROWS_IN_MESSAGE) {
        let rows = v1::ParameterRows { rows: piece.iter().map(Parameters::to_json).collect() };
        messages.push(v1::AddJobsRequest { kind: Some(add_jobs_request::Kind::Rows(rows)) });
    }
    messages
}

/// The messages that queue the sweep: a header, and the rows where the manifest has some.
pub fn messages(manifest: &Manifest, header: v1::SubmitHeader) -> Vec<v1::SubmitRequest> {
    let header = v1::SubmitHeader { manifest: manifest.to_json(), ..header };
    let mut messages = vec![v1::SubmitRequest { kind: Some(submit_request::Kind::Header(header)) }];
    if let JobSource::Rows(rows) = &manifest.jobs {
        for piece in rows.chunks(ROWS_IN_MESSAGE) {
            let rows = piece.iter().map(|row| row.to_json()).collect();
            let rows = v1::ParameterRows { rows };
            messages.push(v1::SubmitRequest { kind: Some(submit_request::Kind::Rows(rows)) });
        }
    }
    messages
}
