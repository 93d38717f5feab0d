//! `btctl results open`: a result in the very image that made it.

use bt_proto::v1;

use crate::client::Client;
use crate::commands::debug::session;
use crate::error::Error;
use crate::settings::Settings;
use crate::target::Target;

const EXAMPLES: &str = "\
Examples:
  btctl results open sma-cross/17 --in-image                   # Python, where the image has it, else a shell
  echo 'import pickle; print(pickle.load(open(\"equity.pkl\", \"rb\")))' | btctl results open sma-cross/17 --in-image
  btctl results open sma-cross/17 --in-image -- python -m pickle stats.pkl
What a pickle needs to be loaded is in that image, and what it does while it is loaded it does in a container without \
network on an agent. To have the files here: btctl results get.";

/// Open a published result in the image that made it: a shell in a container on an agent, with the files in the results
/// directory. Changes to them are thrown away.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Open {
    /// Job; the sweep's first one if only a sweep is given.
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    /// On an agent, in the image that the job ran.
    #[arg(long)]
    in_image: bool,
    /// Program to run there, and its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Open {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let Target { sweep, job } = self.target;
        let job = job.unwrap_or(0);
        if !self.in_image {
            return Err(Error::Usage(format!(
                "say where: --in-image opens it in the image that made it; to have the files here, btctl results get \
                 {sweep}/{job} -d DIR"
            )));
        }
        let client = Client::connect(settings).await?;
        let start = v1::DebugStart {
            sweep,
            job,
            with_results: true,
            command: self.command,
            ..v1::DebugStart::default()
        };
        session(&client, start, Vec::new()).await
    }
}
