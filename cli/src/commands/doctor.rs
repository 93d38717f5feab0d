//! `btctl doctor`: what an agent would make of this machine, and what stands in the way.

use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::output::OutputArgs;
use crate::settings::Settings;
use crate::up;

/// Look at this machine as an agent would: its size and what jobs get of it, its container engine, the coordinator.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    output: OutputArgs,
}

impl Doctor {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let diagnosis = bt_agent::diagnose(&bt_agent::Options::unset()).await?;
        let mut facts = diagnosis.facts;
        let mut troubles = diagnosis.troubles;
        let sizing = &diagnosis.sizing;
        let size = |name: &str| crate::output::words::size(sizing[name].as_u64().unwrap_or(0));
        facts.push(("default_threads", sizing["threads"].to_string()));
        facts.push(("default_memory", size("memory_bytes")));
        facts.push(("default_shm", size("shm_bytes")));
        facts.push(("max_jobs", sizing["max_jobs"].to_string()));
        // Only `btctl up` needs it here.
        let postgres = up::installed_postgres();
        let postgres =
            postgres.map_or_else(|| "not installed".to_owned(), |place| place.display().to_string());
        facts.push(("postgres", postgres));
        match Client::connect(settings).await {
            Ok(client) => {
                let agents = client.agents().await?.len();
                facts.push(("coordinator", format!("{} ({agents} agents)", settings.coordinator.value)));
            }
            Err(_) => facts.push(("coordinator", format!("none answers at {}", settings.coordinator.value))),
        }
        let mut json = serde_json::Map::new();
        json.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        json.insert("sizing".to_owned(), diagnosis.sizing.clone());
        json.insert("troubles".to_owned(), json!(troubles));
        let told = troubles.iter().map(|trouble| ("trouble", trouble.clone()));
        crate::output::print_facts(facts.into_iter().chain(told), &json.into(), self.output.output)?;
        match troubles.is_empty() {
            true => Ok(()),
            false => Err(Error::Failed(troubles.swap_remove(0))),
        }
    }
}
