//! How much of a sweep's best result is luck.

use std::sync::Arc;

use bt_proto::v1;
use tonic::Status;

use super::Clients;
use super::trials::written;
use crate::assess::{Judged, Question};
use crate::results::has_jobs;
use crate::rpc::status;

impl Clients {
    pub(crate) async fn judged(&self, sweep: &str, question: Question) -> Result<Arc<Judged>, Status> {
        let found = self.find(sweep).await?;
        has_jobs(&found, question.benchmark.as_slice())?;
        self.assessor.assess(&found, question).await.map_err(status::assess)
    }

    pub(super) async fn assess(
        &self,
        request: v1::AssessSweepRequest,
    ) -> Result<v1::AssessSweepReply, Status> {
        let v1::AssessSweepRequest { sweep, by, benchmark, blocks } = request;
        let judged = self.judged(&sweep, Question { by, benchmark, blocks }).await?;
        Ok(v1::AssessSweepReply { document: written(&judged.assessment)? })
    }
}
