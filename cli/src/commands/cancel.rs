//! `btctl cancel`: stops sweeps or jobs for good.

use bt_proto::v1;

use crate::batch::Batch;
use crate::client::Client;
use crate::error::Error;
use crate::output::say;
use crate::settings::Settings;
use crate::target::Target;

/// Cancel sweeps or jobs: what is queued does not start, what runs is stopped.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl cancel sma-cross\n  btctl cancel sma-cross/3 sma-cross/4")]
pub(crate) struct Cancel {
    #[arg(required = true, value_name = "SWEEP[/JOB]")]
    targets: Vec<Target>,
}

impl Cancel {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let mut batch = Batch::of_named(self.targets.len());
        for target in self.targets {
            let Target { sweep, job } = &target;
            let request = v1::CancelRequest { sweep: sweep.clone(), jobs: job.iter().copied().collect() };
            let outcome = client.cancel(request).await;
            let Some(v1::CancelReply { cancelled, stopping, ended }) =
                batch.note(&target.to_string(), outcome)?
            else {
                continue;
            };
            let mut told = format!("{sweep}: {cancelled} cancelled");
            if stopping > 0 {
                told += &format!(", {stopping} of them being stopped");
            }
            if ended > 0 {
                told += &format!("; {ended} had ended before");
            }
            say(&told);
        }
        batch.finish()
    }
}
