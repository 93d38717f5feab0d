//! A metric of a sweep over its parameters.

use bt_documents::main_metric;
use bt_model::landscape::{self, Importance, Landscape};
use bt_model::metrics::listed;
use bt_model::nearest::nearest;
use bt_proto::convert::present;
use bt_proto::v1;
use tonic::Status;

use super::Clients;
use crate::answers::Standing;
use crate::rpc::status;

impl Clients {
    pub(super) async fn landscape(
        &self,
        request: v1::ShowLandscapeRequest,
    ) -> Result<v1::ShowLandscapeReply, Status> {
        let found = self.find(&request.sweep).await?;
        let row = self.queue.sweep(found.id).await.map_err(status::queue)?;
        let row = row.ok_or_else(|| Status::not_found(format!("sweep {} was removed", found.name)))?;
        let metrics = self.queue.metric_names(found.id).await.map_err(status::queue)?;
        let metric = match present(request.metric) {
            Some(metric) if metrics.contains(&metric) => metric,
            Some(metric) => return Err(not_reported(&found.name, &metric, &metrics)),
            None => {
                let known = self.manifests.get(found.id).await.map_err(status::manifest)?;
                main_metric(known.manifest.goals.keys(), &metrics).unwrap_or_default().to_owned()
            }
        };
        if metric.is_empty() {
            let jobs = row.counts.iter().sum();
            return Ok(v1::ShowLandscapeReply { jobs, ..v1::ShowLandscapeReply::default() });
        }
        let landscape = self.landscapes.get(found.id, &metric, Standing::of(row.counts)).await;
        let landscape = landscape.map_err(status::landscape)?;
        let importance = landscape.importance();
        let (across, down) = (request.across.unwrap_or_default(), request.down.unwrap_or_default());
        for name in [&across, &down].into_iter().filter(|name| !name.is_empty()) {
            if !landscape.axes().iter().any(|axis| axis.name == *name) {
                return Err(no_axis(name, &landscape));
            }
        }
        let axes = landscape.two_axes(&importance, &across, &down);
        Ok(v1::ShowLandscapeReply {
            metrics,
            metric,
            jobs: landscape.jobs() as u32,
            reported: landscape.reported() as u32,
            parameters: landscape.axes().iter().map(|axis| axis.name.clone()).collect(),
            importance: importance.iter().map(|one| weight(&landscape, one)).collect(),
            map: axes.and_then(|axes| map(&landscape, axes)),
        })
    }
}

/// Why nothing can be said by a metric.
pub(super) fn not_reported(sweep: &str, metric: &str, metrics: &[String]) -> Status {
    let there = match metrics {
        [] => "no job has reported any metric yet".to_owned(),
        metrics => {
            let near = nearest(metric, metrics.iter().map(String::as_str));
            let near = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            format!("reported are: {}{near}", listed(metrics.iter()))
        }
    };
    Status::invalid_argument(format!("no job of sweep {sweep} has reported {metric:?}; {there}"))
}

fn no_axis(name: &str, landscape: &Landscape) -> Status {
    let axes: Vec<_> = landscape.axes().iter().map(|axis| axis.name.as_str()).collect();
    Status::invalid_argument(format!(
        "{name:?} is no parameter that differs between the jobs; those are {}",
        axes.join(", ")
    ))
}

fn weight(landscape: &Landscape, importance: &Importance) -> v1::Importance {
    v1::Importance {
        parameter: landscape.axes()[importance.axis].name.clone(),
        share: importance.share,
        correlation: importance.correlation,
    }
}

fn map(landscape: &Landscape, (across, down): (usize, usize)) -> Option<v1::HeatMap> {
    let map = landscape.heat_map(across, down)?;
    let cell = |cell: &landscape::Cell| {
        let value = |value: f64| (cell.reported > 0).then_some(value);
        v1::HeatCell {
            jobs: cell.jobs,
            failed: cell.failed,
            pruned: cell.pruned,
            reported: cell.reported,
            mean: value(cell.mean),
            lowest: value(cell.lowest),
            highest: value(cell.highest),
        }
    };
    Some(v1::HeatMap {
        across: landscape.axes()[across].name.clone(),
        down: landscape.axes()[down].name.clone(),
        cells: map.cells.iter().map(cell).collect(),
        columns: map.columns,
        rows: map.rows,
    })
}
