//! The calls about aliases of images over gRPC: decode, call, encode.

use bt_proto::v1;
use tonic::{Request, Response, Status};

use crate::clients::Clients;

#[tonic::async_trait]
impl v1::aliases_server::Aliases for Clients {
    async fn list_aliases(
        &self,
        _: Request<v1::ListAliasesRequest>,
    ) -> Result<Response<v1::ListAliasesReply>, Status> {
        let aliases = self.all_aliases().await?;
        Ok(Response::new(v1::ListAliasesReply { aliases }))
    }

    async fn show_alias(
        &self,
        request: Request<v1::ShowAliasRequest>,
    ) -> Result<Response<v1::ShowAliasReply>, Status> {
        let changes = self.alias_history(&request.into_inner().alias).await?;
        Ok(Response::new(v1::ShowAliasReply { changes }))
    }

    async fn promote_image(
        &self,
        request: Request<v1::PromoteImageRequest>,
    ) -> Result<Response<v1::ChangeAliasReply>, Status> {
        Clients::promote_image(self, request.into_inner()).await.map(Response::new)
    }

    async fn roll_back_alias(
        &self,
        request: Request<v1::RollBackAliasRequest>,
    ) -> Result<Response<v1::ChangeAliasReply>, Status> {
        self.roll_back(request.into_inner()).await.map(Response::new)
    }

    async fn remove_alias(
        &self,
        request: Request<v1::RemoveAliasRequest>,
    ) -> Result<Response<v1::RemoveAliasReply>, Status> {
        Clients::remove_alias(self, &request.into_inner().alias).await?;
        Ok(Response::new(v1::RemoveAliasReply {}))
    }
}
