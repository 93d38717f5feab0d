//! Whether an agent's offer suits a job: the one rule that the scheduler, `explain`, `rerun`, reuse and the agent itself
//! go by, with the words for what does not suit.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::id::AgentId;
use crate::nearest::nearest;
use crate::resources::Resources;
use crate::span;

/// By this label a sweep can ask for one agent.
pub const AGENT_LABEL: &str = "btctl.agent";
/// What the labels begin with by which an agent offers its jobs addresses; the address follows.
pub const ADDRESS_LABEL: &str = "network:";

/// What the label begins with by which an agent allows jobs outside of containers.
pub const DRIVER_LABEL: &str = "driver:";

/// The label of an agent that allows jobs outside of containers.
pub fn process_label() -> (String, String) {
    (format!("{DRIVER_LABEL}process"), "allowed".to_owned())
}

/// The label of an agent that offers its jobs this address.
pub fn address_label(address: &str) -> (String, String) {
    (format!("{ADDRESS_LABEL}{address}"), "offered".to_owned())
}

/// What an agent has to give, for as long as it is connected.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    pub capacity: Resources,
    /// Its own labels, and its id as [`AGENT_LABEL`].
    pub labels: BTreeMap<String, String>,
    /// Name of each volume, and whether it is offered read-only.
    pub volumes: BTreeMap<String, bool>,
    /// What a job gets that asks for no memory.
    pub job_memory_bytes: u64,
    /// Images that its engine had when it connected.
    pub images: HashSet<String>,
    /// The version of the agents' protocol that is spoken with it.
    pub protocol: u32,
    pub secrets: SecretOffer,
    /// When its jobs must have ended, by this process's own clock; none where that is not known.
    pub ends: Option<Instant>,
}

/// Which secrets jobs can have on an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretOffer {
    /// Those that the machine's owner holds there. None: it can give jobs no secrets at all.
    pub held: Option<BTreeSet<String>>,
    /// Nobody on the way can read what the coordinator sends.
    pub line_is_private: bool,
}

/// What a job needs of an agent.
#[derive(Clone, Copy, Debug)]
pub struct Need<'n> {
    pub resources: Resources,
    pub labels: &'n BTreeMap<String, String>,
    /// Name of each volume, and whether read-only is enough.
    pub volumes: &'n BTreeMap<String, bool>,
    /// The first version of the agents' protocol in which it can be asked for; 0: any.
    pub protocol: u32,
    /// Name of each secret, and whether the coordinator has it: then that value is the one that counts.
    pub secrets: &'n BTreeMap<String, bool>,
    /// How long it may take; none where nothing bounds that.
    pub stay: Option<Stay>,
}

/// A time on an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    pub from: Instant,
    pub at_most: Duration,
}

/// All labels of an agent: its own, and its id.
pub fn labels(own: BTreeMap<String, String>, agent: AgentId) -> BTreeMap<String, String> {
    let mut labels = own;
    labels.insert(AGENT_LABEL.to_owned(), agent.to_string());
    labels
}

/// Which of the offered volumes a job gets that asks for `wanted`: the one of that name or, for a path, the innermost of
/// the offered paths that it lies in.
pub fn covering<'o>(offered: impl IntoIterator<Item = &'o str>, wanted: &str) -> Option<&'o str> {
    let covers = |name: &str| {
        let rest = wanted.strip_prefix(name);
        name == wanted || name.starts_with('/') && rest.is_some_and(|rest| rest.starts_with('/'))
    };
    offered.into_iter().filter(|name| covers(name)).max_by_key(|name| name.len())
}

impl Offer {
    /// What a job takes here: the agent's rule decides what the manifest leaves out.
    pub fn needs(&self, asked: &Resources) -> Resources {
        match asked.memory_bytes {
            0 => Resources { memory_bytes: self.job_memory_bytes, ..*asked },
            _ => *asked,
        }
    }

    /// Why a job can't start here now; none if it can.
    pub fn misfit(&self, free: &Resources, need: &Need<'_>) -> Option<Misfit> {
        let resources = self.needs(&need.resources);
        let busy = || (!free.covers(&resources)).then_some(Misfit::Busy { need: resources, free: *free });
        self.lasting_misfit(need).or_else(busy)
    }

    /// Why a job can never start here, as the agent is.
    pub fn lasting_misfit(&self, need: &Need<'_>) -> Option<Misfit> {
        if self.protocol < need.protocol {
            return Some(Misfit::TooOld { speaks: self.protocol, needs: need.protocol });
        }
        for (wanted, value) in need.labels {
            let has = self.labels.get(wanted);
            if has != Some(value) {
                return Some(Misfit::Label {
                    wanted: wanted.clone(),
                    value: value.clone(),
                    has: has.cloned(),
                });
            }
        }
        for (wanted, read_only) in need.volumes {
            let names = || self.volumes.keys().map(String::as_str);
            let Some(name) = covering(names(), wanted) else {
                let nearest = nearest(wanted, names()).map(str::to_owned);
                return Some(Misfit::Volume { wanted: wanted.clone(), nearest });
            };
            if self.volumes.get(name) == Some(&true) && !read_only {
                return Some(Misfit::ReadOnly { wanted: wanted.clone() });
            }
        }
        if let Some(misfit) = self.secrets.misfit(need.secrets) {
            return Some(misfit);
        }
        let (needed, capacity) = (self.needs(&need.resources), self.capacity);
        if !capacity.covers(&needed) {
            return Some(Misfit::TooSmall { need: needed, capacity });
        }
        // The last to be looked at: such an agent suits the job but for its end.
        let (stay, ends) = (need.stay?, self.ends?);
        let left = ends.saturating_duration_since(stay.from);
        (stay.at_most > left).then_some(Misfit::TooLate { left, at_most: stay.at_most })
    }
}

impl SecretOffer {
    fn misfit(&self, wanted: &BTreeMap<String, bool>) -> Option<Misfit> {
        let Some(held) = self.held.as_ref().filter(|_| !wanted.is_empty()) else {
            return (!wanted.is_empty()).then_some(Misfit::NoSecrets);
        };
        wanted.iter().find_map(|(name, is_stored)| match is_stored {
            true => (!self.line_is_private).then_some(Misfit::OpenLine),
            false => (!held.contains(name)).then(|| Misfit::Secret { wanted: name.clone() }),
        })
    }
}

/// Why an agent can't run a job, now or ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Its release does not know yet how such jobs run.
    TooOld { speaks: u32, needs: u32 },
    /// It lacks a label, or has it with another value.
    Label { wanted: String, value: String, has: Option<String> },
    Volume {
        wanted: String,
        /// What it offers under a name that may have been meant.
        nearest: Option<String>,
    },
    /// It offers the volume read-only, and the job wants to write.
    ReadOnly { wanted: String },
    /// It can give jobs no secrets.
    NoSecrets,
    /// Neither it nor the coordinator has this one.
    Secret { wanted: String },
    /// What the coordinator would send it could be read on the way.
    OpenLine,
    /// It ends before the job's time would be over.
    TooLate { left: Duration, at_most: Duration },
    /// It is smaller than the job.
    TooSmall { need: Resources, capacity: Resources },
    /// It is large enough but busy.
    Busy { need: Resources, free: Resources },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld { speaks, needs } => write!(
                f,
                "it is too old: it speaks version {speaks} of the agents' protocol, and these jobs need version {needs}; \
                 upgrade it"
            ),
            Self::Label { wanted, has: None, .. } if wanted.starts_with(DRIVER_LABEL) => {
                f.write_str("it allows no process jobs (btctl agent --allow-process)")
            }
            Self::Label { wanted, value, has: None } => match wanted.strip_prefix(ADDRESS_LABEL) {
                Some(address) => {
                    write!(f, "it offers jobs no network address {address} (btctl agent --allow-address {address})")
                }
                None => write!(f, "it has no label {wanted}={value}"),
            },
            Self::Label { wanted, value, has: Some(has) } => {
                write!(f, "its label {wanted} is {has}, not {value}")
            }
            Self::Volume { wanted, nearest: None } => write!(f, "it offers no volume {wanted}"),
            Self::Volume { wanted, nearest: Some(nearest) } => {
                write!(f, "it offers no volume {wanted}; did you mean {nearest}?")
            }
            Self::ReadOnly { wanted } => {
                write!(f, "it offers volume {wanted} read-only, and the job wants to write to it")
            }
            Self::NoSecrets => f.write_str(
                "it can give jobs no secrets: its release is too old, or it has no directory in memory for them (`btctl agents \
                 show` says which)",
            ),
            Self::Secret { wanted } => write!(
                f,
                "it holds no secret {wanted} (btctl agent --secret {wanted}=FILE), and neither does the coordinator (btctl \
                 secrets set {wanted})"
            ),
            Self::OpenLine => f.write_str(
                "its line to the coordinator is not encrypted, and no secret is sent over it; use TLS (btctl coordinator init)",
            ),
            Self::TooLate { left, at_most } => write!(
                f,
                "its lifetime is over too soon: it lets jobs run for {} more, and this one may take {} (its `timeout`)",
                span::of_seconds(left.as_secs_f64().floor()),
                span::of_seconds(at_most.as_secs_f64().ceil())
            ),
            Self::Busy { need, free } if free.jobs < need.jobs => {
                f.write_str("it is busy: it runs as many jobs at once as it takes")
            }
            Self::TooSmall { need, capacity } => {
                write!(f, "a job needs {need}, and it has {capacity} in all")
            }
            Self::Busy { need, free } => {
                write!(f, "it is busy: a job needs {need}, and {free} is free")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_offered_path_covers() {
        let offered = ["prices", "/srv", "/srv/data", "/srv/data/eod"];
        let found = |wanted| covering(offered, wanted);
        assert_eq!(found("prices"), Some("prices"));
        assert_eq!(found("/srv/data"), Some("/srv/data"));
        assert_eq!(found("/srv/data/2026"), Some("/srv/data"));
        assert_eq!(found("/srv/data/eod/x"), Some("/srv/data/eod"));
        assert_eq!(found("/srv/database"), Some("/srv"));
        assert_eq!(found("/srvx"), None);
        assert_eq!(found("prices/eod"), None);
    }

    #[test]
    fn an_inner_path_that_is_read_only_is_not_written_to() {
        let offer = Offer {
            volumes: [("/srv".to_owned(), false), ("/srv/data".to_owned(), true)].into(),
            ..Offer::default()
        };
        let fits = |path: &str, read_only| {
            let volumes = BTreeMap::from([(path.to_owned(), read_only)]);
            let need = Need {
                resources: Resources::default(),
                labels: &BTreeMap::new(),
                volumes: &volumes,
                protocol: 0,
                secrets: &BTreeMap::new(),
                stay: None,
            };
            offer.lasting_misfit(&need)
        };
        assert_eq!(fits("/srv/data/x", false), Some(Misfit::ReadOnly { wanted: "/srv/data/x".into() }));
        assert_eq!(fits("/srv/data/x", true), None);
        assert_eq!(fits("/srv/x", false), None);
        let wrong = fits("/srw", true).unwrap().to_string();
        assert_eq!(wrong, "it offers no volume /srw; did you mean /srv?");
    }

    #[test]
    fn a_secret_is_the_coordinators_or_the_machines() {
        let told = |held: Option<&[&str]>, line_is_private, wanted: &[(&str, bool)]| {
            let held = held.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            let offer = Offer { secrets: SecretOffer { held, line_is_private }, ..Offer::default() };
            let secrets = wanted.iter().map(|(name, stored)| ((*name).to_owned(), *stored)).collect();
            let need = Need {
                resources: Resources::default(),
                labels: &BTreeMap::new(),
                volumes: &BTreeMap::new(),
                protocol: 0,
                secrets: &secrets,
                stay: None,
            };
            offer.lasting_misfit(&need)
        };
        assert_eq!(told(None, false, &[]), None);
        assert_eq!(told(None, true, &[("A", true)]), Some(Misfit::NoSecrets));
        assert_eq!(told(Some(&[]), true, &[("A", true)]), None);
        assert_eq!(told(Some(&["A"]), false, &[("A", true)]), Some(Misfit::OpenLine));
        assert_eq!(told(Some(&["A"]), false, &[("A", false)]), None);
        assert_eq!(told(Some(&["A"]), true, &[("B", false)]), Some(Misfit::Secret { wanted: "B".into() }));
    }

    #[test]
    fn a_job_that_may_outlast_its_agent_is_not_given_to_it() {
        let now = Instant::now();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let told = |takes: Option<u64>, ends: Option<u64>| {
            let offer = Offer { ends: ends.map(|ends| now + minutes(ends)), ..Offer::default() };
            let (labels, volumes, secrets) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            let need = Need {
                resources: Resources::default(),
                labels: &labels,
                volumes: &volumes,
                protocol: 0,
                secrets: &secrets,
                stay: takes.map(|takes| Stay { from: now, at_most: minutes(takes) }),
            };
            offer.lasting_misfit(&need)
        };
        for (takes, ends) in
            [(None, None), (Some(5), None), (None, Some(5)), (Some(5), Some(5)), (Some(5), Some(9))]
        {
            assert_eq!(told(takes, ends), None, "{takes:?} {ends:?}");
        }
        let late = told(Some(9), Some(5)).unwrap();
        assert_eq!(late, Misfit::TooLate { left: minutes(5), at_most: minutes(9) });
        assert!(late.to_string().contains("for 5m 0s more, and this one may take 9m 0s"), "{late}");
    }
}
