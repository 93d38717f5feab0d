//! The calls of operators over gRPC: decode, call, encode.

use bt_proto::v1;
use tonic::{Request, Response, Status};

use super::Vault;

#[tonic::async_trait]
impl v1::secrets_server::Secrets for Vault {
    async fn set_secret(
        &self,
        request: Request<v1::SetSecretRequest>,
    ) -> Result<Response<v1::SetSecretReply>, Status> {
        self.set(request.into_inner()).await.map(Response::new)
    }

    async fn list_secrets(
        &self,
        _: Request<v1::ListSecretsRequest>,
    ) -> Result<Response<v1::ListSecretsReply>, Status> {
        self.list().await.map(Response::new)
    }

    async fn remove_secret(
        &self,
        request: Request<v1::RemoveSecretRequest>,
    ) -> Result<Response<v1::RemoveSecretReply>, Status> {
        self.remove(&request.into_inner().name).await.map(Response::new)
    }

    async fn rotate_secrets(
        &self,
        _: Request<v1::RotateSecretsRequest>,
    ) -> Result<Response<v1::RotateSecretsReply>, Status> {
        self.rotate().await.map(Response::new)
    }
}
