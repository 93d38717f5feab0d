//! `btctl image inspect`: what an image of this machine is made of, and what to improve in it.

use bt_agent::LocalImage;
use bt_documents::InspectedImage;
use serde_json::Value;

use crate::client::Client;
use crate::commands::results::pairs;
use crate::error::Error;
use crate::output::{Cell, Json, OutputArgs, print_facts, words};
use crate::settings::Settings;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Inspect {
    /// Its name or its id.
    image: String,
    #[command(flatten)]
    output: OutputArgs,
}

impl Inspect {
    pub(super) async fn run(self, settings: &Settings) -> Result<(), Error> {
        let image = LocalImage::find(&self.image).await?;
        // An image can be looked at where there is no coordinator; only one knows what agents have found in it.
        let software = match Client::connect(settings).await {
            Ok(client) => client.software(&image.id).await.unwrap_or_default(),
            Err(_) => Value::Null,
        };
        let python = words::text(&software["python"]);
        let packages = pairs(&software["packages"], usize::MAX);
        let json = Json::of(&InspectedImage {
            id: image.id.clone(),
            size_bytes: image.size_bytes,
            facts: image.facts.iter().cloned().collect(),
            warnings: image.warnings.clone(),
            software,
        })?;
        let first = [("id", Cell::text(&image.id)), ("size_bytes", Cell::Bytes(image.size_bytes))];
        let texts = image.facts.into_iter().chain([("python", python), ("packages", packages)]);
        let warnings = image.warnings.into_iter().map(|warning| ("warning", warning));
        let texts = texts.chain(warnings).map(|(name, text)| (name, Cell::text(text)));
        print_facts(first.into_iter().chain(texts), &json, self.output.output)
    }
}
