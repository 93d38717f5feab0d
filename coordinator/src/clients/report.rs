//! A sweep's report, in pieces that fit into messages.

use bt_proto::v1;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tonic::Status;

use super::Clients;
use crate::rpc::Answers;

/// Bytes of a report in one message.
const PIECE: usize = 64 << 10;

impl Clients {
    pub(super) async fn report_in_pieces(&self, sweep: String) -> Result<Answers<v1::ReportReply>, Status> {
        let report = Bytes::from(crate::http::report(self, sweep).await?);
        let pieces = (0..report.len()).step_by(PIECE).map(move |from| {
            let to = report.len().min(from + PIECE);
            Ok(v1::ReportReply { html: report[from..to].to_vec() })
        });
        Ok(stream::iter(pieces).boxed())
    }
}
