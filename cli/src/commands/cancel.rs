//! `btctl cancel`: stops sweeps or jobs for good.

use bt_proto::v1;

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
        for Target { sweep, job } in self.targets {
            let request = v1::CancelRequest { sweep: sweep.clone(), jobs: job.into_iter().collect() };
            let v1::CancelReply { cancelled, stopping, ended } = client.cancel(request).await?;
            let mut told = format!("{sweep}: {cancelled} cancelled");
            if stopping > 0 {
                told += &format!(", {stopping} of them being stopped");
            }
            if ended > 0 {
                told += &format!("; {ended} had ended before");
            }
            say(&told);
        }
        Ok(())
    }
}
