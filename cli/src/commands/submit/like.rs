//! `btctl submit --like SWEEP`: the manifest of an earlier sweep, with the very image that it ran.

use bt_model::manifest::Manifest;
use bt_model::parameters::Parameters;
use bt_model::windows;
use bt_proto::v1;
use futures_util::StreamExt;

use crate::client::Client;
use crate::error::Error;
use crate::output::say;

/// The manifest, and what its image was pinned to; empty if it was not yet.
pub(super) async fn manifest_of(client: &Client, sweep: &str) -> Result<(Manifest, Option<String>), Error> {
    let unreadable =
        |error: String| Error::Failed(format!("the manifest of sweep {sweep} can't be read: {error}"));
    let shown = client.show(sweep).await?;
    let mut manifest = Manifest::from_json(&shown.manifest).map_err(|error| unreadable(error.to_string()))?;
    if shown.sweep.image_pin.is_none() {
        say(&format!(
            "warning: no job of sweep {sweep} has started, so {} is not pinned; it runs what that means now",
            manifest.image
        ));
    }
    if manifest.has_rows() {
        let request = v1::ListJobsRequest { sweep: shown.sweep.id, ..v1::ListJobsRequest::default() };
        let mut jobs = client.jobs(request).await?;
        let mut rows = Vec::new();
        while let Some(job) = jobs.next().await {
            let parameters = Parameters::from_json(&job?.parameters);
            rows.push(parameters.map_err(|error| unreadable(error.to_string()))?);
        }
        // They were chosen among the rows of a list already.
        match &manifest.windows {
            // `where` may choose other rows for other windows.
            Some(_) => rows = windows::rows_of(rows),
            None => manifest.filter = None,
        }
        manifest.sample = None;
        manifest = manifest.with_rows(rows);
    }
    Ok((manifest, shown.sweep.image_pin))
}
