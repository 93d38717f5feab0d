//! Watching what happens.

use std::future::ready;

use bt_proto::convert::present;
use bt_proto::v1;
use futures_util::{StreamExt, stream};
use tonic::Status;

use super::Clients;
use crate::events::{Wanted, Watcher};
use crate::queue::EventPlace;
use crate::rpc::{Answers, status};

/// What an event may concern.
const KINDS: [&str; 4] = ["sweep", "jobs", "attempts", "agent"];

impl Clients {
    /// Watches events of these kinds (of all where none is named) behind the one with this id, or from now on.
    pub(crate) async fn watch(
        &self,
        after: Option<String>,
        sweep: Option<String>,
        kinds: Vec<String>,
    ) -> Result<Watcher, Status> {
        if let Some(kind) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
            return Err(Status::invalid_argument(format!(
                "{kind:?} is not a kind of event; kinds are {}",
                KINDS.join(", ")
            )));
        }
        let after =
            after.map(|after| after.parse::<EventPlace>()).transpose().map_err(Status::invalid_argument)?;
        let sweep = match sweep {
            None => None,
            Some(sweep) => Some(self.find(&sweep).await?.id),
        };
        self.events.watch(after, Wanted { sweep, kinds }).await.map_err(status::events)
    }

    pub(super) async fn events_as_they_come(
        &self,
        request: v1::WatchEventsRequest,
    ) -> Result<Answers<v1::WatchEventsReply>, Status> {
        let v1::WatchEventsRequest { after, sweep, kinds } = request;
        let watcher = self.watch(present(after), present(sweep), kinds).await?;
        let place = watcher.place().to_string();
        let first = v1::WatchEventsReply { events: Vec::new(), place: Some(place) };
        let replies = stream::try_unfold(watcher, |mut watcher| async move {
            let events = watcher.next().await.map_err(status::events)?;
            let events = events.iter().map(|known| known.json()).collect::<Result<_, _>>();
            let events = events.map_err(status::events)?;
            Ok(Some((v1::WatchEventsReply { events, place: None }, watcher)))
        });
        Ok(stream::once(ready(Ok(first))).chain(replies).boxed())
    }
}
