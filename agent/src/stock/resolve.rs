//! What an image's name stands for, asked by a coordinator before any job of its sweep starts here.

use std::time::Duration;

use bt_model::manifest::Pull;
use bt_proto::convert::present;
use bt_proto::v1;
use bt_proto::v1::agents_client::AgentsClient;
use tokio::time::sleep;
use tonic::Code;
use tracing::warn;

use super::images::{ImageRequest, Images};
use crate::line::Line;

/// How often an answer is sent that a coordinator did not take. One that was restarted asks again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Gets the image, as for a job, and answers with its pin, or why it can't be had.
pub(crate) async fn answer(images: &Images, line: &Line, request: v1::ResolveImage) {
    let v1::ResolveImage { sweep, image, platform, pull } = request;
    let platform = present(platform);
    let pull = pull.parse().unwrap_or(Pull::Missing);
    let wanted = ImageRequest { platform: platform.as_deref(), pull };
    let found = match images.refusal(&image, None).await {
        Ok(None) => images.resolve(&image, &wanted, &|_| {}).await.map_err(|error| error.to_string()),
        Ok(Some(why)) => Err(format!("the agent {why}")),
        Err(error) => Err(error.to_string()),
    };
    let (pin, failed) = match found {
        Ok(pin) => (Some(pin), None),
        Err(why) => (None, Some(why)),
    };
    for _ in 0..TRIES {
        let connection = line.link.connection().await;
        let answer = v1::PinImageRequest {
            agent_id: line.site.identity.agent.to_string(),
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
