//! What may speak against lending the machine: the hour, its load, a program that runs, its battery.

use std::fs;
use std::path::Path;

use bt_model::schedule;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::load::Load;
use crate::agent::Agent;
use crate::config::AvailabilityOptions;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hours,
    Load,
    Program,
    Battery,
}

/// What is looked at, and what was found.
pub(super) struct Conditions<'o> {
    options: &'o AvailabilityOptions,
    zone: TimeZone,
    zone_name: String,
    load: Load,
    /// What speaks against it, in words as they were when these kinds came up: figures change with each look.
    against: (Vec<Kind>, String),
    /// When something spoke against it last.
    last: Option<Instant>,
}

impl<'o> Conditions<'o> {
    pub(super) fn new(options: &'o AvailabilityOptions) -> Self {
        let zone_name = options.zone_name();
        Self {
            zone: schedule::zone(&zone_name).unwrap_or(TimeZone::UTC),
            zone_name,
            options,
            load: Load::default(),
            against: Default::default(),
            last: None,
        }
    }

    /// Why the machine is not available; empty when it is.
    pub(super) async fn look(&mut self, agent: &Agent) -> String {
        let mut found: Vec<(Kind, String)> = Vec::new();
        if let Some(hours) = &self.options.hours
            && !hours.holds(self.zone.to_datetime(Timestamp::now()))
        {
            found.push((Kind::Hours, format!("its hours are {hours} ({})", self.zone_name)));
        }
        if let Some(limit) = self.options.load
            && let Some(load) = self.load.look(agent).await.filter(|load| *load > limit)
        {
            found.push((Kind::Load, format!("cpu load {load:.2} over {limit}")));
        }
        if !self.options.programs.is_empty()
            && let Some((name, pid)) = running(Path::new("/proc"), &self.options.programs)
        {
            found.push((Kind::Program, format!("{name} runs (process {pid})")));
        }
        if self.options.on_mains && !has_mains(&self.options.power_supplies) {
            found.push((Kind::Battery, "it runs on battery".to_owned()));
        }
        self.judge(found, Instant::now())
    }

    fn judge(&mut self, found: Vec<(Kind, String)>, now: Instant) -> String {
        let (kinds, words): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        if !kinds.is_empty() {
            self.last = Some(now);
            if kinds != self.against.0 {
                self.against = (kinds, words.join("; "));
            }
        } else if self.last.is_some_and(|last| now.duration_since(last) >= self.options.after) {
            self.last = None;
            self.against = Default::default();
        }
        self.against.1.clone()
    }
}

/// The first process of one of these names that is in no container.
fn running(proc: &Path, programs: &[String]) -> Option<(String, u32)> {
    let processes = fs::read_dir(proc).ok()?.filter_map(Result::ok);
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find_map(|pid| {
        let dir = proc.join(pid.to_string());
        let names = names(&dir)?;
        let name = programs.iter().find(|program| names.iter().any(|name| name == *program))?;
        let status = fs::read_to_string(dir.join("status")).ok()?;
        (!is_in_container(&status)).then(|| (name.clone(), pid))
    })
}

/// The kernel's name of a process, which it cuts to 15 letters, and its program's file by its first word and by itself.
fn names(dir: &Path) -> Option<Vec<String>> {
    let file = |path: &str| Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let kernels = fs::read_to_string(dir.join("comm")).ok()?.trim_end().to_owned();
    let words = fs::read(dir.join("cmdline")).unwrap_or_default();
    let first = words.split(|byte| *byte == 0).next().unwrap_or_default();
    let first = file(&String::from_utf8_lossy(first));
    let program = fs::read_link(dir.join("exe")).ok().and_then(|path| file(&path.to_string_lossy()));
    Some([Some(kernels), first, program].into_iter().flatten().collect())
}

/// A process of a container has a number of its own in there.
fn is_in_container(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().count() > 1)
}

/// Whether the machine has power from the mains, as far as the kernel tells. One without a battery always has.
fn has_mains(supplies: &Path) -> bool {
    let read = |dir: &Path, file: &str| {
        fs::read_to_string(dir.join(file)).map(|text| text.trim().to_owned()).unwrap_or_default()
    };
    let entries = fs::read_dir(supplies).into_iter().flatten().filter_map(Result::ok);
    let (mut is_plugged, mut has_plug, mut has_battery, mut is_discharging) = (false, false, false, false);
    for dir in entries.map(|entry| entry.path()) {
        match read(&dir, "type").as_str() {
            // Of a mouse or a headset.
            _ if read(&dir, "scope") == "Device" => {}
            "Battery" => {
                has_battery = true;
                is_discharging |= read(&dir, "status") == "Discharging";
            }
            "Mains" | "USB" | "Wireless" => {
                has_plug = true;
                is_plugged |= read(&dir, "online") == "1";
            }
            _ => {}
        }
    }
    is_plugged || !(is_discharging || (has_plug && has_battery))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Options;

    #[test]
    fn the_machine_is_available_again_after_a_time_of_quiet() {
        let options = AvailabilityOptions { after: Duration::from_secs(60), ..Options::unset().availability };
        let mut conditions = Conditions::new(&options);
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let load = |text: &str| vec![(Kind::Load, text.to_owned())];
        assert_eq!(conditions.judge(Vec::new(), at(0)), "");
        assert_eq!(conditions.judge(load("load 0.8"), at(2)), "load 0.8");
        assert_eq!(conditions.judge(load("load 0.9"), at(4)), "load 0.8", "figures alone are no news");
        assert_eq!(conditions.judge(Vec::new(), at(63)), "load 0.8");
        let both = vec![(Kind::Load, "load 0.7".to_owned()), (Kind::Battery, "battery".to_owned())];
        assert_eq!(conditions.judge(both, at(64)), "load 0.7; battery");
        assert_eq!(conditions.judge(Vec::new(), at(123)), "load 0.7; battery");
        assert_eq!(conditions.judge(Vec::new(), at(124)), "");
    }

    #[test]
    fn a_program_is_found_by_its_name_outside_of_containers_alone() {
        let find = |name: &str| running(Path::new("/proc"), &[name.to_owned()]);
        let own = fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
        assert!(find(&own).is_some() && find("no such program").is_none());
        let dir = tempfile::tempdir().unwrap();
        let process = dir.path().join("77");
        fs::create_dir(&process).unwrap();
        fs::write(process.join("comm"), "java\n").unwrap();
        fs::write(process.join("cmdline"), "/opt/ibkr/tws\0-x\0").unwrap();
        fs::write(process.join("status"), "Name:\tjava\nNSpid:\t77\n").unwrap();
        let find = |name: &str| running(dir.path(), &[name.to_owned()]);
        assert_eq!((find("tws"), find("java")), (Some(("tws".into(), 77)), Some(("java".into(), 77))));
        assert_eq!(find("tw"), None);
        fs::write(process.join("status"), "Name:\tjava\nNSpid:\t77\t1\n").unwrap();
        assert_eq!(find("tws"), None);
    }

    #[test]
    fn mains_are_told_from_batteries() {
        let dir = tempfile::tempdir().unwrap();
        let supply = |name: &str, files: &[(&str, &str)]| {
            let path = dir.path().join(name);
            fs::create_dir_all(&path).unwrap();
            for (file, text) in files {
                fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
        };
        assert!(has_mains(dir.path()), "a machine without a battery");
        supply("hid", &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging")]);
        assert!(has_mains(dir.path()), "a mouse");
        supply("AC", &[("type", "Mains"), ("online", "0")]);
        assert!(has_mains(dir.path()), "no battery to run on");
        supply("BAT0", &[("type", "Battery"), ("status", "Discharging")]);
        assert!(!has_mains(dir.path()));
        supply("BAT0", &[("status", "Not charging")]);
        assert!(!has_mains(dir.path()), "unplugged");
        supply("AC", &[("online", "1")]);
        assert!(has_mains(dir.path()));
    }
}
