//! What owners may have and do: operators set it, and everybody sees their own.

use bt_proto::convert::present;
use bt_proto::v1;
use serde_json::json;
use tonic::Status;
use tracing::info;

use super::call;
use crate::queue::{EVERYBODY, OwnerRow, OwnerUse, Queue, Quota, Sphere, UNLIMITED};
use crate::rpc::status;

/// Letters of an owner's name.
const LONGEST_OWNER: usize = 200;

/// What the caller may see: all, or that of its owners.
pub(crate) async fn seen(queue: &Queue) -> Result<Vec<v1::OwnerQuota>, Status> {
    let owners = call::sphere(|sphere| match sphere {
        Sphere::Everybodys => None,
        Sphere::Of(owners) => Some(owners.to_vec()),
    });
    let rows = queue.quotas(owners.as_deref()).await.map_err(status::queue)?;
    Ok(rows.into_iter().map(wire).collect())
}

/// Sets what is given, and leaves the rest as it was.
pub(super) async fn set(queue: &Queue, request: v1::SetQuotaRequest) -> Result<v1::OwnerQuota, Status> {
    let owner = named(request.owner)?;
    let v1::Quota { queued, running, cpu_millis, submits_per_minute, bytes } =
        request.quota.unwrap_or_default();
    let quota = Quota { queued, running, cpu_millis, submits_per_minute, bytes };
    let given = [queued, running, cpu_millis, submits_per_minute, bytes];
    if given.iter().all(Option::is_none) {
        return Err(Status::invalid_argument(
            "no quota is given; give one of queued, running, cpus, submits a minute, or bytes",
        ));
    }
    if let Some(most) = given.into_iter().flatten().find(|most| *most > UNLIMITED) {
        return Err(Status::invalid_argument(format!("a quota is {UNLIMITED} at most, not {most}")));
    }
    let before = row(queue, &owner).await?;
    queue.set_quota(&owner, &quota).await.map_err(status::queue)?;
    let after = row(queue, &owner).await?;
    noted(&owner, before.as_ref(), after.as_ref());
    let after = after.ok_or_else(|| Status::internal("the quota that was set is not there"))?;
    info!("the quota of {} is set", shown(&owner));
    Ok(wire(after))
}

pub(super) async fn remove(queue: &Queue, owner: Option<String>) -> Result<(), Status> {
    let owner = named(owner)?;
    let before = row(queue, &owner).await?;
    if !queue.remove_quota(&owner).await.map_err(status::queue)? {
        return Err(Status::not_found(format!("{} has no quota of its own", shown(&owner))));
    }
    let after = row(queue, &owner).await?;
    noted(&owner, before.as_ref(), after.as_ref());
    info!("the quota of {} is removed", shown(&owner));
    Ok(())
}

/// Whose quota is meant; nobody's in particular where none is named.
fn named(owner: Option<String>) -> Result<String, Status> {
    match owner {
        None => Ok(EVERYBODY.to_owned()),
        Some(owner) if (1..=LONGEST_OWNER).contains(&owner.chars().count()) => {
            present(Some(owner)).ok_or_else(|| Status::invalid_argument("an owner has a name"))
        }
        Some(owner) => Err(Status::invalid_argument(format!(
            "an owner's name has 1 to {LONGEST_OWNER} characters, not {}",
            owner.chars().count()
        ))),
    }
}

async fn row(queue: &Queue, owner: &str) -> Result<Option<OwnerRow>, Status> {
    let rows = queue.quotas(Some(&[owner.to_owned()])).await.map_err(status::queue)?;
    Ok(rows.into_iter().find(|row| row.owner == owner))
}

fn noted(owner: &str, before: Option<&OwnerRow>, after: Option<&OwnerRow>) {
    let quota = |row: Option<&OwnerRow>| {
        row.filter(|row| row.set).map(|row| {
            json!({
                "queued": row.quota.queued,
                "running": row.quota.running,
                "cpu_millis": row.quota.cpu_millis,
                "submits_per_minute": row.quota.submits_per_minute,
                "bytes": row.quota.bytes,
            })
        })
    };
    call::about(shown(owner), "");
    call::changed(&json!(quota(before)), &json!(quota(after)));
}

fn shown(owner: &str) -> &str {
    if owner == EVERYBODY { "everybody else" } else { owner }
}

fn wire(row: OwnerRow) -> v1::OwnerQuota {
    let Quota { queued, running, cpu_millis, submits_per_minute, bytes } = row.quota;
    let OwnerUse { queued: now, running: run, cpu_millis: cpus, submits, bytes: kept, lately } = row.used;
    v1::OwnerQuota {
        owner: Some(row.owner).filter(|owner| owner != EVERYBODY),
        quota: Some(v1::Quota { queued, running, cpu_millis, submits_per_minute, bytes }),
        set: row.set,
        used: Some(v1::QuotaUse {
            queued: now,
            running: run,
            cpu_millis: cpus,
            submits,
            bytes: kept,
            lately,
        }),
    }
}
