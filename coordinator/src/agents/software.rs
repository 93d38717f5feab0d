//! What agents find in the images that they run.

use bt_model::id::AgentId;
use bt_model::software::Software;
use bt_proto::convert::Malformed;
use tonic::Status;
use tracing::info;

use super::Agents;
use crate::rpc::status;

/// Bytes of what may be said of one image.
const LARGEST: usize = 1 << 20;

impl Agents {
    /// Notes what an agent found in an image, if it says so; returns whether that is known now.
    pub(super) async fn describe(
        &self,
        agent: AgentId,
        session: u64,
        image_id: &str,
        software: Option<String>,
    ) -> Result<bool, Status> {
        let malformed = |field, value: &str, expected| {
            let value = value.chars().take(80).collect();
            status::malformed(Malformed::Value { field, value, expected })
        };
        let digits = image_id.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() != 64 || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(malformed("image_id", image_id, "sha256: and 64 lower-case hexadecimal digits"));
        }
        let Some(software) = software else {
            let known = self.queue.software(image_id).await.map_err(status::queue)?;
            return Ok(known.is_some());
        };
        if !self.sessions.is_current(agent, session) {
            return Err(Status::failed_precondition("the agent is not connected by this session"));
        }
        let read = Some(software.as_str()).filter(|text| text.len() <= LARGEST).map(Software::from_json);
        let Some(Ok(read)) = read else {
            return Err(malformed("software", &software, "a JSON object of at most 1 MiB"));
        };
        self.queue.describe_image(image_id, &read).await.map_err(status::queue)?;
        let python = read.python.as_deref().unwrap_or("none");
        info!(
            image.id = image_id,
            "what is in the image is known: Python {python}, {} packages",
            read.packages.len()
        );
        Ok(true)
    }
}
