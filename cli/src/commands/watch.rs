//! `btctl watch`: a sweep, live, until its end; or all that happens.

mod events;

use crate::client::Client;
use crate::error::Error;
use crate::output::Channel;
use crate::progress;
use crate::settings::Settings;
use crate::target;

use events::EventForm;

const HELP: &str = "\
Examples:
  btctl watch sma-cross
  btctl watch sma-cross && btctl top sma-cross --by sharpe
  btctl watch                                    # all that happens, until Ctrl-C
  btctl watch --kinds sweep,agent
  btctl watch -o json --after 812-3 | jq .kind   # what happened behind that event, and what does
Ctrl-C ends the watching; the sweep goes on. If the coordinator goes away, it is waited for.
Exit code of a sweep's watching: 0 if all jobs succeeded or were pruned; 1 if one failed or was cancelled; 130 after Ctrl-C.";

/// Watch a sweep until all of its jobs have finished: progress, speed, running jobs, failures, the best job so far. Without a
/// sweep: print what happens in the whole queue, event by event.
///
/// On a terminal a sweep is redrawn in place; elsewhere a line is printed when something has changed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Watch {
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: Option<String>,
    /// Only events behind this one, by the id that stands in brackets at a line's end (`id` in JSON); from now on if it is
    /// not given. What is not kept any more is told as a gap.
    #[arg(long, value_name = "ID", conflicts_with = "sweep")]
    after: Option<String>,
    /// Only these kinds of events: sweep, jobs, attempts, agent.
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', conflicts_with = "sweep")]
    kinds: Vec<String>,
    /// Form of the events.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM", conflicts_with = "sweep")]
    output: EventForm,
}

impl Watch {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let client = Client::connect(settings).await?;
        let Some(sweep) = self.sweep else {
            return events::watch(&client, self.after, self.kinds, self.output).await;
        };
        let found = client.resolve(&sweep).await?;
        progress::watch(&client, &found.id, &found.name, Channel::Stdout).await
    }
}
