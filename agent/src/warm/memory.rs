//! What is remembered of warm sweeps: the modules that an image's commands import, and the sweeps that can't run warm.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bt_model::id::SweepId;
use bt_model::manifest::Containers;

use super::command::PythonCommand;

/// Commands that are remembered; when there are more, all are learned anew.
const KEPT: usize = 256;

/// What is known of a command in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Modules that its jobs have imported, in that order.
    pub(crate) learned: Vec<String>,
    /// Modules that are left to the jobs, each with why.
    pub(crate) left_out: BTreeMap<String, String>,
}

/// What the agent remembers until it ends.
#[derive(Debug, Default)]
pub(crate) struct Warmth {
    known: Mutex<HashMap<(String, PythonCommandKey), Known>>,
    cold: Mutex<HashMap<SweepId, Containers>>,
    told: Mutex<HashMap<SweepId, BTreeMap<String, String>>>,
}

/// The interpreter and what it runs.
type PythonCommandKey = (Vec<String>, String);

impl Warmth {
    pub(crate) fn known(&self, image_id: &str, command: &PythonCommand) -> Known {
        lock(&self.known).get(&key(image_id, command)).cloned().unwrap_or_default()
    }

    pub(crate) fn remember(&self, image_id: &str, command: &PythonCommand, known: Known) {
        let mut all = lock(&self.known);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(key(image_id, command), known);
    }

    /// Whether it is new for the sweep's owner that these modules are left out.
    pub(crate) fn is_news(&self, sweep: SweepId, left_out: &BTreeMap<String, String>) -> bool {
        let mut told = lock(&self.told);
        if told.len() >= KEPT {
            told.clear();
        }
        told.insert(sweep, left_out.clone()).as_ref() != Some(left_out)
    }

    /// How the jobs of a sweep run, if they can't run warm.
    pub(crate) fn cold(&self, sweep: SweepId) -> Option<Containers> {
        lock(&self.cold).get(&sweep).copied()
    }

    /// Notes that the jobs of a sweep can't run warm. A container each is the last resort.
    pub(crate) fn cool(&self, sweep: SweepId, containers: Containers) {
        let mut cold = lock(&self.cold);
        if cold.len() >= KEPT {
            cold.clear();
        }
        let now = cold.entry(sweep).or_insert(containers);
        if *now != Containers::Each {
            *now = containers;
        }
    }
}

fn key(image_id: &str, command: &PythonCommand) -> (String, PythonCommandKey) {
    (image_id.to_owned(), (command.interpreter.clone(), command.target.clone()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_each_is_the_last_resort() {
        let (warmth, sweep) = (Warmth::default(), SweepId::random());
        assert_eq!(warmth.cold(sweep), None);
        for (found, expected) in [
            (Containers::Reuse, Containers::Reuse),
            (Containers::Each, Containers::Each),
            (Containers::Reuse, Containers::Each),
        ] {
            warmth.cool(sweep, found);
            assert_eq!(warmth.cold(sweep), Some(expected));
        }
    }

    #[test]
    fn what_is_learned_is_of_one_image_and_command() {
        let warmth = Warmth::default();
        let command = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            super::super::command::parse(&words).unwrap()
        };
        let known = Known { learned: vec!["numpy".to_owned()], ..Known::default() };
        warmth.remember("i", &command("python a.py 1"), known.clone());
        assert_eq!(warmth.known("i", &command("python a.py 2")), known);
        for (image, line) in [("j", "python a.py 1"), ("i", "python b.py 1"), ("i", "python -O a.py 1")] {
            assert_eq!(warmth.known(image, &command(line)), Known::default(), "{image} {line}");
        }
    }
}
