//! The processes of one job, found in `/proc`: whatever it started, also what no longer has its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Sample;

/// Linux counts cpu time for programs in hundredths of a second.
const TICK_MICROS: u64 = 10_000;
/// How often it is looked again whether all are gone that were killed.
const LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(10);

/// One process, as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    group: i32,
    is_dead: bool,
    ticks: u64,
    /// When it began: with its number it is known from all others.
    began: u64,
}

/// All that is known of a job's processes.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The first process, for as long as its number is its own.
    pub(super) leader: Option<i32>,
    /// What every process of the job has in its environment, unless it took it out.
    pub(super) mark: String,
    /// Numbers and beginnings of those that were ever seen.
    seen: BTreeSet<(i32, u64)>,
}

impl Tree {
    pub(super) fn new(mark: String, leader: Option<i32>) -> Self {
        Self { leader, mark, seen: BTreeSet::new() }
    }

    /// Those that live. With `by_mark`, each process of the machine is also looked at for the job's mark.
    pub(super) fn members(&mut self, by_mark: bool) -> Vec<i32> {
        let all = all();
        let mut found: BTreeSet<i32> = all
            .iter()
            .filter(|(pid, stat)| {
                let in_group = self.leader.is_some_and(|leader| **pid == leader || stat.group == leader);
                in_group || self.seen.contains(&(**pid, stat.began)) || by_mark && self.is_marked(**pid)
            })
            .map(|(pid, _)| *pid)
            .collect();
        // Children of children.
        loop {
            let more: Vec<i32> = all
                .iter()
                .filter(|(pid, stat)| found.contains(&stat.parent) && !found.contains(pid))
                .map(|(pid, _)| *pid)
                .collect();
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        self.seen.extend(found.iter().filter_map(|pid| Some((*pid, all.get(pid)?.began))));
        found.retain(|pid| all.get(pid).is_some_and(|stat| !stat.is_dead));
        found.into_iter().collect()
    }

    fn is_marked(&self, pid: i32) -> bool {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
    }

    /// What its processes use now.
    pub(super) fn sample(&mut self) -> Sample {
        let mut sample = Sample::default();
        for pid in self.members(false) {
            let ticks = stat(pid).map_or(0, |stat| stat.ticks);
            sample.cpu_micros += ticks * TICK_MICROS;
            sample.memory_bytes += memory(pid);
            sample.written_bytes += number_after(&format!("/proc/{pid}/io"), "write_bytes:").unwrap_or(0);
        }
        sample
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        for pid in self.members(true) {
            send(pid, signal);
        }
    }

    /// Kills all, until none is found. False if some are left.
    pub(super) fn kill(&mut self) -> bool {
        for _ in 0..LOOKS {
            let members = self.members(true);
            if members.is_empty() {
                return true;
            }
            members.into_iter().for_each(|pid| send(pid, Signal::KILL));
            std::thread::sleep(LOOK);
        }
        false
    }
}

fn send(pid: i32, signal: Signal) {
    // One that has just ended needs none.
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, signal).ok();
    }
}

fn all() -> BTreeMap<i32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: i32) -> Option<Stat> {
    read_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn read_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        is_dead: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        // Its own, and those of its children that have ended.
        ticks: (11..15).filter_map(number).sum(),
        began: number(19)?,
    })
}

/// A page that several share counts in parts, where the kernel says so.
fn memory(pid: i32) -> u64 {
    let shared = number_after(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
    let own = || number_after(&format!("/proc/{pid}/status"), "VmRSS:");
    shared.or_else(own).unwrap_or(0) * 1024
}

fn number_after(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_anything_in_it_does_not_confuse() {
        let line = "7 (a) Z (b) S 3 5 5 0 -1 4194304 1 2 3 4 10 20 1 2 20 0 1 0 999 1 1";
        let expected = Stat { parent: 3, group: 5, is_dead: false, ticks: 33, began: 999 };
        assert_eq!(read_stat(line), Some(expected));
        assert_eq!(read_stat("7 (a"), None);
    }
}
