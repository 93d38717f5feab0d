//! Finding, listing, describing and removing sweeps.

use bt_model::tag::{check_note, check_tags};
use bt_proto::convert::{present, time};
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use super::shown::sweep;
use crate::access::call;
use crate::queue::SweepFilter;
use crate::rpc::status;

/// Sweeps that a list holds if the client names no limit, and at most.
const SWEEPS: u32 = 100;
const MOST_SWEEPS: u32 = 10_000;

impl Clients {
    pub(super) async fn resolve(&self, text: &str) -> Result<v1::ResolveSweepReply, Status> {
        let found = self.find(text).await?;
        Ok(v1::ResolveSweepReply {
            id: found.id.to_string(),
            name: found.name,
            jobs: found.known,
            room: found.jobs,
            newest: found.is_newest,
            same_name: found.same_name,
        })
    }

    pub(super) async fn list(&self, request: v1::ListSweepsRequest) -> Result<v1::ListSweepsReply, Status> {
        let limit = present(request.limit).map_or(SWEEPS, |limit| limit.min(MOST_SWEEPS));
        let states = request.states().filter(|state| *state != v1::SweepState::Unspecified);
        let states = states.map(|state| {
            let name = state.as_str_name().to_ascii_lowercase();
            name.trim_start_matches("sweep_state_").to_owned()
        });
        let filter = SweepFilter {
            states: states.collect(),
            owner: present(request.owner.clone()),
            name: present(request.name.clone()).map(|name| pattern(&name)),
            since: request.since.as_ref().map(time).transpose().map_err(status::malformed)?,
            tags: request.tags,
            all: request.all,
        };
        let rows = self.queue.sweeps(&filter, limit).await.map_err(status::queue)?;
        let hidden = match filter.all {
            true => 0,
            false => self.queue.finished_sweeps(&filter).await.map_err(status::queue)?,
        };
        Ok(v1::ListSweepsReply { sweeps: rows.into_iter().map(sweep).collect(), hidden })
    }

    pub(super) async fn tag_and_note(
        &self,
        request: v1::DescribeSweepRequest,
    ) -> Result<v1::DescribeSweepReply, Status> {
        let v1::DescribeSweepRequest { sweep, add_tags, remove_tags, note } = request;
        let checked = check_tags(&add_tags).and_then(|()| check_note(note.as_deref().unwrap_or_default()));
        checked.map_err(Status::invalid_argument)?;
        let (found, changeable) = self.find_to_change(&sweep).await?;
        let described =
            self.queue.describe_sweep(changeable, &found, &add_tags, &remove_tags, note.as_deref());
        let described = described.await.map_err(status::queue)?;
        Ok(v1::DescribeSweepReply { tags: described.tags, note: described.note })
    }

    pub(super) async fn remove(
        &self,
        request: v1::RemoveSweepRequest,
    ) -> Result<v1::RemoveSweepReply, Status> {
        let (found, changeable) = self.find_to_change(&request.sweep).await?;
        if request.dry_run {
            call::changes_nothing();
        }
        // Its end is noted a moment after its last job's.
        self.queue.end_sweeps().await.map_err(status::queue)?;
        let removal =
            self.queue.remove_sweep(changeable, &found, request.dry_run).await.map_err(status::queue)?;
        if !request.dry_run {
            tracing::info!(sweep.id = %found.id, "sweep {} was removed", found.name);
            self.collect_removed(found.id);
        }
        Ok(v1::RemoveSweepReply { files: removal.files, bytes: removal.bytes })
    }
}

/// A pattern with `*` as `like` has it.
fn pattern(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '*' => pattern.push('%'),
            '%' | '_' | '\\' => pattern.extend(['\\', c]),
            c => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        assert_eq!(super::pattern("sma_*"), "sma\\_%");
        assert_eq!(super::pattern("100%"), "100\\%");
    }
}
