//! The calls about schedules over gRPC: decode, call, encode.

use bt_proto::v1;
use tonic::{Request, Response, Status};

use crate::clients::Clients;

#[tonic::async_trait]
impl v1::schedules_server::Schedules for Clients {
    async fn add_schedule(
        &self,
        request: Request<v1::AddScheduleRequest>,
    ) -> Result<Response<v1::AddScheduleReply>, Status> {
        let schedule = self.add(request.into_inner()).await?;
        Ok(Response::new(v1::AddScheduleReply { schedule: Some(schedule) }))
    }

    async fn list_schedules(
        &self,
        _: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesReply>, Status> {
        let schedules = self.all_schedules().await?;
        Ok(Response::new(v1::ListSchedulesReply { schedules }))
    }

    async fn show_schedule(
        &self,
        request: Request<v1::ShowScheduleRequest>,
    ) -> Result<Response<v1::ShowScheduleReply>, Status> {
        self.shown_schedule(&request.into_inner().name).await.map(Response::new)
    }

    async fn remove_schedule(
        &self,
        request: Request<v1::RemoveScheduleRequest>,
    ) -> Result<Response<v1::RemoveScheduleReply>, Status> {
        self.forget(&request.into_inner().name).await?;
        Ok(Response::new(v1::RemoveScheduleReply {}))
    }

    async fn pause_schedule(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Result<Response<v1::PauseScheduleReply>, Status> {
        let v1::PauseScheduleRequest { name, paused } = request.into_inner();
        self.hold(&name, paused).await.map(Response::new)
    }

    async fn run_schedule(
        &self,
        request: Request<v1::RunScheduleRequest>,
    ) -> Result<Response<v1::RunScheduleReply>, Status> {
        self.run_now(request.into_inner()).await.map(Response::new)
    }
}
