//! How a published result came about.

use tonic::Status;

use super::Clients;
use crate::document::Writer;
use crate::queue::Found;
use crate::rpc::status;

impl Clients {
    /// How a published result came about: what `result.json` says, but for the logs.
    pub(super) async fn record(&self, sweep: &Found, job: u32) -> Result<String, Status> {
        let published = self.results().published(sweep, job).await?;
        let known = self.manifests.get(sweep.id).await.map_err(status::manifest)?;
        let document = Writer::new(&known).and_then(|writer| writer.document(&published));
        let document = document.map_err(status::document)?;
        let mut json =
            serde_json::to_value(&document).map_err(|error| Status::internal(error.to_string()))?;
        // `to_value` writes numbers anew; these keep the manifest's spelling.
        json["parameters"] = document.parameters.clone();
        let serde_json::Value::Object(mut json) = json else {
            return Err(Status::internal("a record is a JSON object"));
        };
        json.shift_remove("logs");
        Ok(serde_json::Value::Object(json).to_string())
    }
}
