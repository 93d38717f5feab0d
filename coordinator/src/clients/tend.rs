//! What operators change: agents that get no new jobs, and limits that all sweeps share.

use bt_model::manifest::check_limit;
use bt_proto::v1;
use serde_json::json;
use tonic::Status;

use super::Clients;
use super::shown::agent;
use crate::access::call;
use crate::bell::Event;
use crate::rpc::status;

impl Clients {
    pub(super) async fn limits(&self) -> Result<v1::ListLimitsReply, Status> {
        let limits = self.queue.limits().await.map_err(status::queue)?;
        let limits = limits.into_iter().map(|limit| v1::Limit {
            name: limit.name,
            capacity: limit.capacity,
            used: limit.used,
            set: limit.set,
        });
        Ok(v1::ListLimitsReply { limits: limits.collect() })
    }

    pub(super) async fn drain_or_undrain(
        &self,
        request: v1::DrainAgentRequest,
    ) -> Result<v1::DrainAgentReply, Status> {
        let id = self.find_agent(&request.agent).await?;
        call::about(&request.agent, &id.to_string());
        call::changed(&json!(null), &json!({ "drained": !request.undrain }));
        self.queue.drain(id, !request.undrain).await.map_err(status::queue)?;
        self.sessions.drain(id, !request.undrain);
        self.bell.ring(Event::AgentDrained);
        let found = self.agents().await?.into_iter().find(|(row, _)| row.id == id);
        Ok(v1::DrainAgentReply { agent: found.map(|(row, used)| agent(row, used, self.is_insecure)) })
    }

    pub(super) async fn limit(&self, request: v1::SetLimitRequest) -> Result<v1::SetLimitReply, Status> {
        check_limit(&request.name, request.capacity)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        call::about(&request.name, "");
        let before = self.limit_now(&request.name).await?;
        call::changed(&json!(before), &json!(request.capacity));
        self.queue.set_limit(&request.name, request.capacity).await.map_err(status::queue)?;
        self.bell.ring(Event::LimitSet);
        Ok(v1::SetLimitReply {})
    }

    pub(super) async fn unlimit(&self, name: &str) -> Result<v1::RemoveLimitReply, Status> {
        call::about(name, "");
        call::changed(&json!(self.limit_now(name).await?), &json!(null));
        match self.queue.remove_limit(name).await.map_err(status::queue)? {
            true => Ok(v1::RemoveLimitReply {}),
            false => Err(Status::not_found(format!("there is not a limit {name:?}"))),
        }
    }

    /// What a limit is set to; nothing if it is not set.
    async fn limit_now(&self, name: &str) -> Result<Option<u32>, Status> {
        let limits = self.queue.limits().await.map_err(status::queue)?;
        Ok(limits.into_iter().find(|limit| limit.name == name && limit.set).map(|limit| limit.capacity))
    }
}
