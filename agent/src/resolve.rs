//! What an image's name stands for, asked by a coordinator before any job of its sweep starts here.

use std::sync::Arc;
use std::time::Duration;

use bt_model::manifest::Pull;
use bt_proto::convert::present;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use tokio::time::sleep;
use tonic::Code;
use tracing::warn;

use crate::agent::Agent;
use crate::images::Wanted;

/// How often an answer is sent that a coordinator did not take. One that was restarted asks again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Gets the image, as for a job, and answers with its pin, or why it can't be had.
pub(crate) async fn answer(agent: Arc<Agent>, request: v1::ResolveImage) {
    let v1::ResolveImage { sweep, image, platform, pull } = request;
    let platform = present(platform);
    let wanted = Wanted { platform: platform.as_deref(), pull: pull.parse().unwrap_or(Pull::Missing) };
    let (pin, failed) = match agent.resolve_image(&image, &wanted, &|_| {}).await {
        Ok(pin) => (Some(pin), None),
        Err(error) => (None, Some(error.to_string())),
    };
    for _ in 0..TRIES {
        let connection = agent.link.connection().await;
        let answer = v1::PinImageRequest {
            agent_id: agent.identity.agent.to_string(),
            session: connection.session,
            image: pin.clone(),
            sweep: Some(sweep.clone()),
            failed: failed.clone(),
            ..v1::PinImageRequest::default()
        };
        match AgentsClient::new(connection.channel).pin_image(answer).await {
            Err(status) if status.code() == Code::Unavailable => {
                warn!(sweep.id = sweep, error = status.message(), "what {image} stands for is told again");
                sleep(PAUSE).await;
            }
            // Whoever no longer wants to know needs no answer.
            Ok(_) | Err(_) => return,
        }
    }
}
