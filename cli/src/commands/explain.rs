//! `btctl explain`: why a job does not run, agent by agent, in words.

use bt_documents::Explained;
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::{
    Cell, Column, Json, OutputArgs, OutputFormat, Row, View, print, print_json, reasons, words,
};
use crate::settings::Settings;
use crate::target::Target;

/// Say why a job does not run: what holds it or its sweep back, and why each agent can't take it. For a finished job,
/// say how it ended and what can be done about it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  btctl explain sma-cross/17\n  btctl explain sma-cross -o json")]
pub(crate) struct Explain {
    /// Job; if only a sweep is given, the first job that waits, else the first that runs, else the first that failed.
    #[arg(value_name = "SWEEP[/JOB]")]
    target: Target,
    #[command(flatten)]
    output: OutputArgs,
}

impl Explain {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let Target { sweep, job } = self.target;
        let client = Client::connect(settings).await?;
        let explained = client.explain(v1::ExplainRequest { sweep: sweep.clone(), job }).await?;
        if self.output.output == OutputFormat::Json {
            return print_json(&Json::of(&Explained::try_from(explained)?)?);
        }
        let state = words::job_state(explained.state())?.name();
        let v1::ExplainReply { reasons, agents, job, next, told, .. } = explained;
        match self.output.output {
            OutputFormat::Table | OutputFormat::Wide => {
                print(&format!("{sweep}/{job} is {state}"))?;
                for reason in reasons {
                    print(&format!("  {reason}"))?;
                }
                reasons::lines(&agents).iter().try_for_each(|line| print(&format!("  {line}")))?;
                if !next.is_empty() {
                    print("next:")?;
                }
                next.iter().try_for_each(|step| print(&format!("  {step}")))?;
                if !told.is_empty() {
                    print("notifications:")?;
                }
                told.iter().try_for_each(|one| print(&format!("  {}", crate::output::told(one)?)))
            }
            format => {
                let all = reasons.into_iter().map(|why| (String::new(), why));
                let all =
                    all.chain(agents.into_iter().map(|said| (said.agent.unwrap_or_default(), said.why)));
                let row = |(agent, why): (String, String)| Row {
                    name: why.clone(),
                    cells: [agent, why].map(Cell::text).into(),
                    json: Json::none(),
                };
                let columns = ["agent", "why"].map(Column::always).into();
                View { columns, rows: all.map(row).collect() }.print(format)
            }
        }
    }
}
