//! When the machine's owner lends it, as settings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bt_model::schedule::{self, Hours};

/// When the agent takes jobs, and what becomes of those that run when it does not.
#[derive(Clone, Debug, clap::Args)]
pub struct AvailabilityOptions {
    /// Take jobs only in these hours of the week, e.g. "mon-fri 19:00-07:00, sat-sun": days, hours, or both, separated by
    /// commas. Hours that end before they begin go on into the next day.
    #[arg(long = "available", env = "BTCTL_AGENT_AVAILABLE", value_name = "HOURS")]
    pub hours: Option<Hours>,
    /// Time zone of --available, e.g. Europe/Zurich; the machine's if not given.
    #[arg(long = "available-zone", env = "BTCTL_AGENT_AVAILABLE_ZONE", value_name = "ZONE", value_parser = zone)]
    pub zone: Option<String>,
    /// Take jobs only while other programs than jobs use no more than this part of the machine's cpus, e.g. 0.5 for half
    /// of them.
    #[arg(long = "available-load", env = "BTCTL_AGENT_AVAILABLE_LOAD", value_name = "PART", value_parser = part)]
    pub load: Option<f64>,
    /// Take no jobs while a program of this name runs on the machine outside of containers; may be repeated, in the
    /// variable separated by commas.
    #[arg(
        long = "unavailable-while",
        env = "BTCTL_AGENT_UNAVAILABLE_WHILE",
        value_delimiter = ',',
        value_name = "NAME",
        value_parser = program
    )]
    pub programs: Vec<String>,
    /// Take jobs only while the machine has power from the mains.
    #[arg(long = "available-on-mains", env = "BTCTL_AGENT_AVAILABLE_ON_MAINS")]
    pub on_mains: bool,
    /// How long nothing may speak against it before the agent takes jobs again.
    #[arg(long = "available-after", env = "BTCTL_AGENT_AVAILABLE_AFTER", default_value = "1m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub after: Duration,
    /// What becomes of running jobs when the machine is no longer available: `freeze` lets them stand still until it is
    /// again (they keep their memory), `hand-back` stops them and gives them to other agents at no cost to them, and
    /// `finish` lets them run to their end.
    #[arg(
        long,
        env = "BTCTL_AGENT_WHEN_UNAVAILABLE",
        default_value = "freeze",
        value_name = "freeze|hand-back|finish"
    )]
    pub when_unavailable: WhenUnavailable,
    /// How long jobs stay frozen before they are handed back.
    #[arg(long, env = "BTCTL_AGENT_FREEZE_LIMIT", default_value = "15m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub freeze_limit: Duration,
    /// Where the kernel tells of mains and batteries.
    #[arg(long, hide = true, default_value = "/sys/class/power_supply", value_name = "DIR")]
    pub power_supplies: PathBuf,
}

/// What becomes of running jobs when the machine is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WhenUnavailable {
    Freeze,
    HandBack,
    Finish,
}

impl AvailabilityOptions {
    /// True if anything is to be looked at.
    pub(crate) fn are_any(&self) -> bool {
        self.hours.is_some() || self.load.is_some() || !self.programs.is_empty() || self.on_mains
    }

    /// The name of the zone that the hours are of.
    pub(crate) fn zone_name(&self) -> String {
        let own = || zone_of_link(&std::fs::read_link("/etc/localtime").ok()?);
        self.zone.clone().or_else(own).unwrap_or_else(|| "UTC".to_owned())
    }

    /// For people; nothing where the machine is always available.
    pub(crate) fn shown(&self) -> Option<String> {
        let hours = self.hours.as_ref().map(|hours| format!("{hours} ({})", self.zone_name()));
        let load = self.load.map(|load| format!("cpu load up to {load}"));
        let programs =
            (!self.programs.is_empty()).then(|| format!("not while {} runs", self.programs.join(" or ")));
        let mains = self.on_mains.then(|| "on mains".to_owned());
        let all: Vec<_> = [hours, load, programs, mains].into_iter().flatten().collect();
        let then = match self.when_unavailable {
            WhenUnavailable::Freeze => "then jobs are frozen",
            WhenUnavailable::HandBack => "then jobs are handed back",
            WhenUnavailable::Finish => "then jobs finish",
        };
        (!all.is_empty()).then(|| format!("{}; else not, and {then}", all.join("; ")))
    }
}

/// The zone that a link into the database of time zones names, if btctl knows it.
fn zone_of_link(target: &Path) -> Option<String> {
    let (_, name) = target.to_str()?.split_once("zoneinfo/")?;
    schedule::zone(name).is_ok().then(|| name.to_owned())
}

fn zone(text: &str) -> Result<String, String> {
    schedule::zone(text).map(|_| text.to_owned())
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part < 1.0);
    part.ok_or_else(|| "write a part of all cpus between 0 and 1, such as 0.5 for half of them".to_owned())
}

fn program(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.is_empty() || text.contains('/') {
        true => Err("write the name of a program as `ps` shows it, such as tws, without a path".to_owned()),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn read(args: &[&str]) -> Result<AvailabilityOptions, String> {
        let command = AvailabilityOptions::augment_args(clap::Command::new("agent"));
        let matches = command.try_get_matches_from([&["agent"], args].concat());
        let matches = matches.map_err(|error| error.to_string())?;
        AvailabilityOptions::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_checked_and_shown() {
        let none = read(&[]).unwrap();
        assert!(!none.are_any() && none.shown().is_none());
        assert_eq!(none.when_unavailable, WhenUnavailable::Freeze);
        let all = ["--available", "sat-sun", "--available-zone", "Asia/Tokyo", "--available-load", "0.5"];
        let more = ["--unavailable-while", "tws", "--available-on-mains", "--when-unavailable", "finish"];
        let all = read(&[&all[..], &more[..]].concat()).unwrap();
        let shown = "sat-sun (Asia/Tokyo); cpu load up to 0.5; not while tws runs; on mains; else not, and then jobs finish";
        assert_eq!(all.shown().unwrap(), shown);
        for (flag, value, part) in [
            ("--available", "weekend", "no day"),
            ("--available-zone", "Mars/Base", "is not a time zone"),
            ("--available-load", "50", "between 0 and 1"),
            ("--available-load", "NaN", "between 0 and 1"),
            ("--unavailable-while", "/usr/bin/tws", "without a path"),
            ("--when-unavailable", "kill", "freeze"),
        ] {
            let error = read(&[flag, value]).unwrap_err();
            assert!(error.contains(part), "{flag} {value}: {error}");
        }
    }

    #[test]
    fn the_machines_zone_is_read_from_its_link() {
        let zone = |target: &str| zone_of_link(Path::new(target));
        assert_eq!(zone("/usr/share/zoneinfo/Europe/Zurich").as_deref(), Some("Europe/Zurich"));
        assert_eq!(zone("../usr/share/zoneinfo/Mars/Base"), None);
        assert_eq!(zone("/etc/adjtime"), None);
    }
}
