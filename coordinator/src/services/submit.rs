//! Takes a sweep: reads all that the client sends, checks it, and queues it whole.

use std::collections::BTreeMap;

use bt_model::manifest::Manifest;
use bt_model::parameters::Parameters;
use bt_proto::convert::Malformed;
use bt_proto::v1::{self, submit_request};
use sha2::{Digest, Sha256};
use tonic::{Status, Streaming};
use tracing::info;

use super::{Services, status};
use crate::queue::{Jobs, Submission, Submitted};

/// Bytes of parameter lists that one submit may hold; a matrix takes none.
const LARGEST_LIST: usize = 1 << 30;

impl Services {
    pub(super) async fn receive_submit(
        &self,
        incoming: Streaming<v1::SubmitRequest>,
    ) -> Result<Submitted, Status> {
        let order = Order::receive(incoming).await?;
        let (manifest, fingerprint) = (order.manifest, order.fingerprint);
        let invalid = |error: bt_model::manifest::Error| Status::invalid_argument(error.to_string());
        let jobs = manifest.expand().map_err(invalid)?;
        let submission = Submission {
            name: manifest.name.clone(),
            owner: order.header.owner,
            idempotency_key: order.header.idempotency_key,
            fingerprint,
            manifest: manifest.to_json(),
            jobs: jobs.len(),
            priority: manifest.priority,
            policy: manifest.policy.clone(),
            needs: manifest.resources(),
            labels: manifest.agents.clone(),
            volumes: volumes(&manifest),
            image: manifest.image.clone(),
        };
        let parameters = match jobs.points() {
            Some(_) if jobs.is_whole() => Jobs::Whole,
            Some(points) => Jobs::Points(Box::new(points)),
            None => Jobs::Written(Box::new(jobs.iter().map(|parameters| parameters.to_json()))),
        };
        let submitted = self.queue.submit(&submission, parameters).await;
        let submitted = submitted.map_err(status::queue)?;
        if !submitted.existed {
            info!(
                sweep.id = %submitted.id,
                jobs = submitted.jobs,
                "sweep {} of {} is queued", submitted.name, submission.owner
            );
        }
        self.work.notify_one();
        Ok(submitted)
    }
}

/// All that a client sent.
struct Order {
    header: v1::SubmitHeader,
    manifest: Manifest,
    fingerprint: [u8; 32],
}

impl Order {
    async fn receive(mut incoming: Streaming<v1::SubmitRequest>) -> Result<Self, Status> {
        let first = incoming.message().await?.and_then(|message| message.kind);
        let Some(submit_request::Kind::Header(header)) = first else {
            return Err(status::out_of_order("a SubmitHeader"));
        };
        if header.idempotency_key.is_empty() || header.idempotency_key.chars().count() > 200 {
            return Err(Status::invalid_argument("an idempotency key has 1 to 200 characters"));
        }
        let manifest = Manifest::from_json(&header.manifest)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut hash = Sha256::new();
        hash.update(header.manifest.as_bytes());
        let mut rows = Vec::new();
        let mut size = 0;
        while let Some(message) = incoming.message().await? {
            let Some(submit_request::Kind::Rows(piece)) = message.kind else {
                return Err(status::malformed(Malformed::Missing("rows")));
            };
            for row in piece.rows {
                size += row.len();
                if size > LARGEST_LIST {
                    return Err(Status::invalid_argument("the list of parameters is larger than 1 GiB"));
                }
                hash.update(row.as_bytes());
                hash.update(b"\n");
                let parameters = Parameters::from_json(&row)
                    .map_err(|error| Status::invalid_argument(error.to_string()))?;
                rows.push(parameters);
            }
        }
        let manifest = if rows.is_empty() { manifest } else { manifest.with_rows(rows) };
        Ok(Self { header, manifest, fingerprint: hash.finalize().into() })
    }
}

/// The volumes that a sweep needs, each with whether read-only is enough for all its mounts.
fn volumes(manifest: &Manifest) -> BTreeMap<String, bool> {
    let mut needed = BTreeMap::new();
    for mount in &manifest.volumes {
        let read_only = needed.entry(mount.volume.clone()).or_insert(true);
        *read_only &= mount.read_only;
    }
    needed
}
