//! How a command line names sweeps and jobs: `SWEEP` or `SWEEP/17`.

use std::fmt;
use std::str::FromStr;

use bt_proto::v1::ResolveSweepReply;

use crate::client::Client;
use crate::error::Error;
use crate::output::say;

/// A sweep, or one job of it. The sweep's name, its id, or a unique prefix of its id of 4 characters or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) sweep: String,
    pub(crate) job: Option<u32>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sweep, job) = match text.split_once('/') {
            None => (text, None),
            Some((sweep, number)) => {
                let job = number.parse().ok().filter(|_| number.bytes().all(|b| b.is_ascii_digit()));
                let job = job.ok_or_else(|| {
                    format!(
                        "{number:?} is not a number of a job; write SWEEP or SWEEP/NUMBER, such as sma-cross/17"
                    )
                })?;
                (sweep, Some(job))
            }
        };
        if sweep.is_empty() {
            return Err("a sweep's name or id is missing; `btctl ls --all` lists them".to_owned());
        }
        Ok(Self { sweep: sweep.to_owned(), job })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.job {
            Some(job) => write!(f, "{}/{job}", self.sweep),
            None => f.write_str(&self.sweep),
        }
    }
}

/// A sweep, where no job can be meant.
pub(crate) fn sweep(text: &str) -> Result<String, String> {
    let target: Target = text.parse()?;
    match target.job {
        None => Ok(target.sweep),
        Some(_) => Err(format!("{text:?} names a job; this command takes a whole sweep: {}", target.sweep)),
    }
}

/// Finds the sweep that a command is to change. If several have this name, says which one it means.
pub(crate) async fn resolve_to_change(client: &Client, text: &str) -> Result<ResolveSweepReply, Error> {
    let sweep = client.resolve(text).await?;
    if sweep.name == text && sweep.same_name > 1 {
        say(&format!(
            "{text} is the newest of {} sweeps of that name, {}; btctl ls --all --name {text} lists them",
            sweep.same_name, sweep.id
        ));
    }
    Ok(sweep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_sweep_or_a_job_of_it() {
        let target = |text: &str| text.parse::<Target>();
        assert_eq!(target("sma"), Ok(Target { sweep: "sma".into(), job: None }));
        assert_eq!(target("sma/17"), Ok(Target { sweep: "sma".into(), job: Some(17) }));
        for wrong in ["", "/1", "sma/", "sma/x", "sma/+1", "sma/1/2", "sma/4294967296"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
        assert!(sweep("sma/1").is_err());
    }
}
