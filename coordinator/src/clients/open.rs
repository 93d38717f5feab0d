//! Jobs that are added to an open sweep. They are checked as the rows of a manifest are.

use bt_model::manifest::Manifest;
use bt_model::parameters::Parameters;
use bt_proto::convert::Malformed;
use bt_proto::v1::{self, add_jobs_request};
use sha2::{Digest, Sha256};
use tonic::Status;
use tracing::info;

use super::Clients;
use super::submit::LARGEST_LIST;
use crate::bell::Event;
use crate::queue::AddedJobs;
use crate::rpc::incoming::{self, Incoming};
use crate::rpc::status;

impl Clients {
    pub(crate) async fn receive_jobs(
        &self,
        mut incoming: Incoming<v1::AddJobsRequest>,
    ) -> Result<AddedJobs, Status> {
        let first = incoming::next(&mut incoming).await?.and_then(|message| message.kind);
        let Some(add_jobs_request::Kind::Header(header)) = first else {
            return Err(status::out_of_order("an AddJobsHeader"));
        };
        let (mut rows, mut size) = (Vec::new(), 0);
        while let Some(message) = incoming::next(&mut incoming).await? {
            let Some(add_jobs_request::Kind::Rows(piece)) = message.kind else {
                return Err(status::malformed(Malformed::Missing("rows")));
            };
            size += piece.rows.iter().map(String::len).sum::<usize>();
            if size > LARGEST_LIST {
                return Err(Status::invalid_argument(
                    "the list of parameters is larger than 256 MiB, the limit for one addition; add it in parts",
                ));
            }
            rows.extend(piece.rows);
        }
        self.add_jobs(&header.sweep, &header.idempotency_key, &rows).await
    }

    /// Adds jobs with these parameters, which are JSON objects.
    pub(crate) async fn add_jobs(
        &self,
        sweep: &str,
        key: &str,
        rows: &[String],
    ) -> Result<AddedJobs, Status> {
        if key.is_empty() || key.chars().count() > 200 {
            return Err(Status::invalid_argument("an idempotency key has 1 to 200 characters"));
        }
        if rows.is_empty() {
            return Err(Status::invalid_argument(
                "there are no jobs to add: give the parameters of one at least",
            ));
        }
        let (found, changeable) = self.find_to_change(sweep).await?;
        self.allow_image_of(found.id).await?;
        let read = rows.iter().map(|row| Parameters::from_json(row)).collect::<Result<Vec<_>, _>>();
        let read = read.map_err(|error| Status::invalid_argument(error.to_string()))?;
        // Their spelling and their spaces do not matter.
        let written: Vec<_> = read.iter().map(Parameters::to_json).collect();
        let known = self.manifests.get(found.id).await.map_err(status::manifest)?;
        let manifest = Manifest { sample: None, ..known.manifest.clone() }.with_rows(read);
        let fulfilled = self.expand(&found.name, &manifest).await?.len() as usize;
        if fulfilled < rows.len() {
            return Err(Status::invalid_argument(format!(
                "{} of {} jobs do not fulfil the sweep's `where`: {}",
                rows.len() - fulfilled,
                rows.len(),
                manifest.filter.as_deref().unwrap_or_default()
            )));
        }
        let mut hash = Sha256::new();
        for row in &written {
            hash.update(row.as_bytes());
            hash.update(b"\n");
        }
        let fingerprint = hash.finalize().into();
        let added = self.queue.add_jobs(changeable, key, &fingerprint, &written).await;
        let added = added.map_err(status::queue)?;
        if !added.existed {
            info!(sweep.id = %found.id, jobs = added.jobs, "jobs are added to sweep {}", found.name);
        }
        self.bell.ring(Event::JobsRetried);
        Ok(added)
    }
}

impl From<AddedJobs> for v1::AddJobsReply {
    fn from(added: AddedJobs) -> Self {
        let AddedJobs { first_job, jobs, existed } = added;
        Self { first_job, jobs, existed }
    }
}
