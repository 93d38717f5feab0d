//! What is sent to queue a sweep.

use bt_model::manifest::{JobSource, Manifest};

use crate::v1::{self, submit_request};

/// Rows of parameters in one message.
const ROWS_IN_MESSAGE: usize = 2_000;

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
