//! `btctl submit --estimate`: how long a sweep would take, and what it would cost.

use bt_documents::{Estimate, JobTime};
use bt_model::estimate::PRICE_LABEL;
use bt_model::span::of_seconds;
use bt_proto::v1;

use crate::client::Client;
use crate::error::Error;
use crate::output::{self, Json, OutputFormat};

pub(super) async fn tell(
    client: &Client,
    messages: Vec<v1::SubmitRequest>,
    format: OutputFormat,
) -> Result<(), Error> {
    let estimate = Estimate::from(client.estimate(messages).await?);
    if format == OutputFormat::Json {
        return output::print_json(&Json::of(&estimate)?);
    }
    lines(&estimate).iter().try_for_each(|line| output::print(line))
}

fn lines(estimate: &Estimate) -> Vec<String> {
    let Estimate { jobs, job_time, agents, at_once, seconds, ahead_seconds, ahead_unknown, .. } = estimate;
    let mut lines = vec![match job_time {
        Some(JobTime { seconds, jobs: measured, sweep }) => {
            format!(
                "{}, {} each, as {} of {sweep} took",
                count(*jobs, "job"),
                of_seconds(*seconds),
                count(*measured, "job")
            )
        }
        None => format!(
            "{}; how long one takes is not known: no job of this family has succeeded. Run a few of them first, e.g. with \
             --sample 10",
            count(*jobs, "job")
        ),
    }];
    let place = format!("{at_once} at once on {}", count(*agents, "agent"));
    lines.push(match seconds {
        _ if *at_once == 0 => "no agent could run them now:".to_owned(),
        Some(seconds) => format!("{place}: {} if nothing else runs", of_seconds(*seconds)),
        None => place,
    });
    lines.extend(estimate.why.iter().map(|why| format!("  {why}")));
    if *ahead_seconds > 0.0 || *ahead_unknown > 0 {
        let unknown = match ahead_unknown {
            0 => String::new(),
            some => format!("; of {} this is not known", count(*some, "sweep")),
        };
        lines.push(format!(
            "up to {} more for what waits with the same or a higher priority{unknown}",
            of_seconds(*ahead_seconds)
        ));
    }
    lines.extend(estimate.cpu_hours.map(|hours| format!("{hours:.2} cpu hours")));
    lines.extend(estimate.cost.map(|cost| {
        let unpriced = match estimate.unpriced {
            0 => String::new(),
            some => format!(" ({} without one)", count(some, "agent")),
        };
        format!("costs about {cost:.2}, by the agents' label {PRICE_LABEL}{unpriced}")
    }));
    lines
}

fn count(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
