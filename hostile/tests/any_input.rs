//! Everything that was ever found, and seeds that are changed at random, as the fuzzer would for longer.

use std::fs;
use std::path::{Path, PathBuf};

use bt_hostile::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestError, TestRunner};

/// Inputs that are made of a target's seeds.
const CASES: u32 = 100;
/// Bytes of a seed that is changed: what grows with a file's length is not looked for here.
const LONGEST: usize = 8 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// What is committed for a target.
fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = fuzz().join("corpus").join(target.name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("it can be read"))).collect()
}

#[test]
fn each_kind_of_input_has_a_program_and_seeds() {
    for target in TARGETS {
        assert!(corpus(target).len() > 1, "{} has no seeds", target.name);
        let program = fuzz().join("fuzz_targets").join(target.name).with_extension("rs");
        let text = fs::read_to_string(&program).unwrap_or_default();
        assert!(text.contains(&format!("{:?}", target.name)), "{}", program.display());
        let listed = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
        assert!(listed.contains(&format!("name = {:?}", target.name)), "{}", target.name);
    }
    for entry in fs::read_dir(fuzz().join("corpus")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|target| *target.name == *name), "{name:?} is no kind of input");
    }
}

#[test]
fn what_was_found_once_holds() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        for (path, input) in corpus(target) {
            let checked = std::panic::catch_unwind(|| (target.check)(&input));
            wrong.extend(checked.is_err().then_some(path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Remove(Index, u8),
    Insert(Index, Vec<u8>),
    Repeat(Index, u8, u8),
    /// What begins there in another seed, from there on.
    Cross(Index, Index, Index),
}

/// What ends, opens or escapes something in some form.
const TOKENS: &[&str] = &[
    "\0",
    "\n",
    "\r",
    "\u{1b}[2J",
    "\"",
    "'",
    "{{",
    "}}",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "&a ",
    "*a",
    "<<: ",
    "!!",
    ": ",
    ",",
    "..",
    "../",
    "/",
    "%00",
    "-1",
    "1e999",
    "99999999999999999999",
    "NaN",
    "\u{feff}",
    "\u{202e}",
    "=cmd|",
    "~0123abcd",
];

fn change() -> impl Strategy<Value = Change> {
    let token = proptest::sample::select(TOKENS).prop_map(|token| token.as_bytes().to_vec());
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, length)| Change::Remove(at, length)),
        (any::<Index>(), token).prop_map(|(at, token)| Change::Insert(at, token)),
        (any::<Index>(), any::<u8>(), any::<u8>())
            .prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        any::<(Index, Index, Index)>().prop_map(|(at, other, there)| Change::Cross(at, other, there)),
    ]
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = |at: &Index, input: &Vec<u8>| at.index(input.len() + 1);
        match self {
            Self::Set(at, byte) => {
                let at = place(at, input);
                if let Some(changed) = input.get_mut(at) {
                    *changed = *byte;
                }
            }
            Self::Remove(at, length) => {
                let at = place(at, input);
                let end = (at + usize::from(*length)).min(input.len());
                input.drain(at..end);
            }
            Self::Insert(at, token) => {
                let at = place(at, input);
                input.splice(at..at, token.iter().copied());
            }
            Self::Repeat(at, length, times) => {
                let at = place(at, input);
                let end = (at + usize::from(*length)).min(input.len());
                let piece = input[at..end].repeat(usize::from(*times));
                input.splice(at..at, piece);
            }
            Self::Cross(at, other, there) => {
                let at = place(at, input);
                let other = &seeds[other.index(seeds.len())];
                input.truncate(at);
                input.extend(&other[place(there, other)..]);
            }
        }
        input.truncate(LONGEST);
    }
}

/// What did not hold, and for which input: it is kept in a file, as the fuzzer keeps what it finds.
fn found(target: &Target, ended: Result<(), TestError<Vec<u8>>>) -> Option<String> {
    match ended.err()? {
        TestError::Fail(why, input) => {
            let dir = fuzz().join("artifacts").join(target.name);
            fs::create_dir_all(&dir).expect("it can be made");
            let file = dir.join("test");
            fs::write(&file, &input).expect("it can be written");
            let shown = String::from_utf8_lossy(&input).into_owned();
            Some(format!("{}: {why} for {shown:?}, kept in {}", target.name, file.display()))
        }
        TestError::Abort(why) => Some(format!("{}: {why}", target.name)),
    }
}

#[test]
fn seeds_that_are_changed_at_random_have_an_answer() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        let mut seeds: Vec<_> = corpus(target).into_iter().map(|(_, seed)| seed).collect();
        seeds.iter_mut().for_each(|seed| seed.truncate(LONGEST));
        let mut runner =
            TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let input =
            (any::<Index>(), proptest::collection::vec(change(), 1..6)).prop_map(|(seed, changes)| {
                let mut input = seeds[seed.index(seeds.len())].clone();
                changes.iter().for_each(|change| change.apply(&mut input, &seeds));
                input
            });
        let ended = runner.run(&input, |input| {
            (target.check)(&input);
            Ok(())
        });
        wrong.extend(found(target, ended));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn any_bytes_have_an_answer() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        let mut runner =
            TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let ended = runner.run(&proptest::collection::vec(any::<u8>(), 0..200), |input| {
            (target.check)(&input);
            Ok(())
        });
        wrong.extend(found(target, ended));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
