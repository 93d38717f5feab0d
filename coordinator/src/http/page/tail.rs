//! The end of a job's log.

use std::collections::VecDeque;

use bt_proto::v1;
use bt_proto::v1::sweeps_server::Sweeps as _;
use futures_util::StreamExt;
use tonic::{Code, Request};

use crate::clients::Clients;
use crate::http::reply::Refused;

/// Bytes that are shown at most.
const BYTES: usize = 64 << 10;

/// The end of its log; or nothing, and why there is nothing.
pub(super) async fn log(
    clients: &Clients,
    sweep: &str,
    job: u32,
    lines_shown: usize,
) -> Result<(String, String), Refused> {
    let request = v1::LogsRequest { sweep: sweep.to_owned(), job, ..v1::LogsRequest::default() };
    let mut lines = match clients.logs(Request::new(request)).await {
        Ok(lines) => lines.into_inner(),
        Err(status) => return Ok((String::new(), status.message().to_owned())),
    };
    let (mut last, mut bytes) = (VecDeque::new(), 0);
    while let Some(line) = lines.next().await {
        let line = match line {
            Ok(line) => line,
            Err(status)
                if matches!(status.code(), Code::NotFound | Code::FailedPrecondition | Code::Unavailable) =>
            {
                return Ok((joined(&last), status.message().to_owned()));
            }
            Err(status) => return Err(status.into()),
        };
        bytes += line.text.len();
        last.push_back(line.text);
        while last.len() > lines_shown || (bytes > BYTES && last.len() > 1) {
            bytes -= last.pop_front().map_or(0, |line: Vec<u8>| line.len());
        }
    }
    Ok((joined(&last), "It has printed nothing.".to_owned()))
}

fn joined(lines: &VecDeque<Vec<u8>>) -> String {
    let all: Vec<u8> = lines.iter().flatten().copied().collect();
    let cut = all.len().saturating_sub(BYTES);
    String::from_utf8_lossy(&all[cut..]).into_owned()
}
