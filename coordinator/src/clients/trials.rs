//! How often ideas were tried.

use bt_documents::{Family, FamilyHoldout, FamilyLook, FamilyTrials, SweepTrials};
use bt_model::manifest::Holdout;
use bt_model::nearest::nearest;
use bt_proto::v1;
use serde::Serialize;
use tonic::{Code, Status};

use super::Clients;
use crate::rpc::status;
use crate::trials::Count;

/// Families that are listed.
const MOST_FAMILIES: u32 = 1_000;

impl Clients {
    pub(crate) async fn families(&self) -> Result<Vec<Family>, Status> {
        let families = self.queue.families(MOST_FAMILIES).await.map_err(status::queue)?;
        let family = |row: crate::queue::FamilyRow| Family {
            family: row.family,
            sweeps: row.sweeps,
            jobs: row.jobs,
            latest_at: row.latest,
        };
        Ok(families.into_iter().map(family).collect())
    }

    /// The trials of a family, or of that of a sweep.
    pub(crate) async fn family_trials(&self, named: &str) -> Result<FamilyTrials, Status> {
        let mut family = named.to_owned();
        let mut count = self.trials.of_family(&family, None).await.map_err(status::landscape)?;
        if count.sweeps.is_empty() {
            family = self.family_of_sweep(named).await?;
            count = self.trials.of_family(&family, None).await.map_err(status::landscape)?;
        }
        let holdout = self.family_holdout(&family).await?;
        Ok(shown(family, count, holdout))
    }

    /// What a family's jobs see no data of, and who has looked at it.
    async fn family_holdout(&self, family: &str) -> Result<Option<FamilyHoldout>, Status> {
        let Some(row) = self.queue.holdout(family).await.map_err(status::queue)? else { return Ok(None) };
        let looks = self.queue.looks(family).await.map_err(status::queue)?;
        let Holdout { from, looks: of, date, volumes } = row.holdout;
        Ok(Some(FamilyHoldout {
            from: from.to_string(),
            date,
            volumes,
            looks: of,
            spent: row.spent,
            owner: row.owner,
            sweep: row.sweep.to_string(),
            set_at: row.set,
            spent_looks: looks.into_iter().map(FamilyLook::from).collect(),
        }))
    }

    async fn family_of_sweep(&self, named: &str) -> Result<String, Status> {
        let found = match self.find(named).await {
            Ok(found) => found,
            Err(error) if error.code() == Code::NotFound => {
                let families = self.families().await?;
                let hint = match nearest(named, families.iter().map(|family| family.family.as_str())) {
                    Some(family) => format!("did you mean {family:?}?"),
                    None => "`btctl trials` lists the families".to_owned(),
                };
                return Err(Status::not_found(format!("no family and no sweep is named {named:?}; {hint}")));
            }
            Err(error) => return Err(error),
        };
        match self.queue.family_of(found.id).await.map_err(status::queue)? {
            family if family.is_empty() => Err(Status::failed_precondition(format!(
                "sweep {} was queued by an earlier btctl, which noted no family",
                found.name
            ))),
            family => Ok(family),
        }
    }

    pub(super) async fn count_trials(
        &self,
        request: v1::CountTrialsRequest,
    ) -> Result<v1::CountTrialsReply, Status> {
        let document = match request.family {
            Some(family) => written(&self.family_trials(&family).await?)?,
            None => written(&self.families().await?)?,
        };
        Ok(v1::CountTrialsReply { document })
    }
}

/// As JSON.
pub(super) fn written(document: &impl Serialize) -> Result<String, Status> {
    serde_json::to_string(document).map_err(|error| Status::internal(error.to_string()))
}

fn shown(family: String, count: Count, holdout: Option<FamilyHoldout>) -> FamilyTrials {
    let sweeps = count.sweeps.into_iter().map(|counted| SweepTrials {
        id: counted.sweep.id.to_string(),
        name: counted.sweep.name,
        owner: counted.sweep.owner,
        submitted_at: counted.sweep.submitted,
        jobs: counted.sweep.jobs,
        tried: counted.tried,
        failed: counted.failed,
        pruned: counted.pruned,
        trials: counted.trials,
        new: counted.new,
        removed: counted.sweep.removed,
        cut_before: counted.sweep.cut_before,
        look: counted.sweep.look,
    });
    FamilyTrials { family, trials: count.trials, tried: count.tried, sweeps: sweeps.collect(), holdout }
}
