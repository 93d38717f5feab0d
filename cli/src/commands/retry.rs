//! `btctl retry`: queues jobs again that failed or were cancelled.

use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::say;
use crate::settings::Settings;
use crate::target::Target;

/// Queue failed or cancelled jobs again; jobs that succeeded stay as they are.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  btctl retry sma-cross\n  btctl retry --failed sma-cross\n  btctl retry sma-cross/17"
)]
pub(crate) struct Retry {
    #[arg(required = true, value_name = "SWEEP[/JOB]")]
    targets: Vec<Target>,
    /// Leave the cancelled ones.
    #[arg(long)]
    failed: bool,
}

impl Retry {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        for Target { sweep, job } in self.targets {
            let request = v1::RetryRequest {
                sweep: sweep.clone(),
                jobs: job.into_iter().collect(),
                failed_only: self.failed,
            };
            let queued = client.retry(request).await?.queued;
            say(&match (job, queued) {
                (Some(job), 0) => {
                    format!("{sweep}/{job}: it has neither failed nor been cancelled; nothing is queued")
                }
                (None, 0) => format!("{sweep}: no job has failed or been cancelled; nothing is queued"),
                (Some(job), _) => format!("{sweep}/{job}: queued again"),
                (None, queued) => format!("{sweep}: {queued} queued again"),
            });
        }
        Ok(())
    }
}
