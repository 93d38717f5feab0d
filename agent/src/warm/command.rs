//! Which commands can run warm: those of a Python interpreter that runs a script, a module or code. Pure.

use serde::Serialize;

/// Options that stand alone, in one letter; any others change what a fork would have to be.
const FLAGS: &str = "bBEIOPqsSu";
/// Options of an interpreter that prints or measures what it does, which a fork would not do again.
const WATCHING: [&str; 5] = ["importtime", "tracemalloc", "showrefcount", "perf", "presite"];
/// Modules that are to be alone with the terminal.
const ALONE: [&str; 2] = ["pdb", "idlelib"];

/// A command that runs Python, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PythonCommand {
    /// The interpreter with its options.
    pub(crate) interpreter: Vec<String>,
    pub(crate) kind: Kind,
    /// The script's path, the module's name, or the code.
    pub(crate) target: String,
    pub(crate) args: Vec<String>,
}

/// What an interpreter is given to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Script,
    Module,
    Code,
    /// Something else, which an interpreter of its own must run.
    Other,
}

/// Takes a command apart; says why it can't run warm if it can't.
pub(crate) fn parse(command: &[String]) -> Result<PythonCommand, String> {
    let [program, rest @ ..] = command else { return Err("there is no command".to_owned()) };
    if !is_python(program) {
        return Err(format!("the command runs {program}, which is not a Python interpreter"));
    }
    let mut words = rest.iter();
    let mut interpreter = vec![program.clone()];
    loop {
        let word = words.next().ok_or_else(|| format!("{program} is given nothing to run"))?;
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            if word == "-" {
                return Err(format!("{program} reads its program from standard input, which is empty"));
            }
            return Ok(PythonCommand {
                interpreter,
                kind: Kind::Script,
                target: word.clone(),
                args: words.cloned().collect(),
            });
        };
        if word == "--check-hash-based-pycs" {
            interpreter.push(word.clone());
            interpreter.extend(words.next().cloned());
            continue;
        }
        let mut flags = String::new();
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            if FLAGS.contains(letter) {
                flags.push(letter);
                continue;
            }
            // The rest of the word, or the next one, is its value.
            let rest = letters.as_str();
            let value = match rest.is_empty() {
                false => rest.to_owned(),
                true => {
                    words.next().cloned().ok_or_else(|| format!("{program} -{letter} lacks its value"))?
                }
            };
            if !flags.is_empty() {
                interpreter.push(format!("-{flags}"));
            }
            flags.clear();
            match letter {
                'W' => interpreter.push(format!("-W{value}")),
                'X' if WATCHING.iter().any(|name| value.starts_with(name)) => {
                    return Err(format!("{program} -X {value} watches an interpreter from its start"));
                }
                'X' => interpreter.push(format!("-X{value}")),
                'c' | 'm' => {
                    if letter == 'm' && ALONE.contains(&value.as_str()) {
                        return Err(format!("{program} -m {value} wants a terminal"));
                    }
                    let kind = if letter == 'c' { Kind::Code } else { Kind::Module };
                    return Ok(PythonCommand {
                        interpreter,
                        kind,
                        target: value,
                        args: words.cloned().collect(),
                    });
                }
                _ => return Err(format!("{program} -{letter} can't run in a fork")),
            }
            break;
        }
        if !flags.is_empty() {
            interpreter.push(format!("-{flags}"));
        }
    }
}

/// `python`, `python3`, `python3.12`, by name or path.
fn is_python(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    let Some(version) = name.strip_prefix("python") else { return false };
    version.is_empty()
        || version.starts_with(|first: char| first.is_ascii_digit())
            && version.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn interpreters_options_and_what_they_run() {
        for (line, interpreter, kind, target, args) in [
            ("python3 a.py", "python3", Kind::Script, "a.py", ""),
            (
                "/usr/bin/python3.12 -u -O a.py -x 1",
                "/usr/bin/python3.12 -u -O",
                Kind::Script,
                "a.py",
                "-x 1",
            ),
            (
                "python -uO -W ignore -Xutf8 -m pkg.mod -m",
                "python -uO -Wignore -Xutf8",
                Kind::Module,
                "pkg.mod",
                "-m",
            ),
            ("python -Iuc print() a", "python -Iu", Kind::Code, "print()", "a"),
            ("python -mpkg", "python", Kind::Module, "pkg", ""),
            (
                "python --check-hash-based-pycs never a.py",
                "python --check-hash-based-pycs never",
                Kind::Script,
                "a.py",
                "",
            ),
        ] {
            let parsed = parse(&words(line)).unwrap();
            let args = if args.is_empty() { Vec::new() } else { words(args) };
            let expected =
                PythonCommand { interpreter: words(interpreter), kind, target: target.to_owned(), args };
            assert_eq!(parsed, expected, "{line}");
        }
    }

    #[test]
    fn what_can_not_run_warm_says_why() {
        for (line, why) in [
            ("/app/run.sh 3", "the command runs /app/run.sh, which is not a Python interpreter"),
            ("pythonic a.py", "not a Python interpreter"),
            ("python3-config a.py", "not a Python interpreter"),
            ("python3", "nothing to run"),
            ("python3 -", "standard input"),
            ("python3 -i a.py", "-i can't run in a fork"),
            ("python3 -v a.py", "-v can't run in a fork"),
            ("python3 -m pdb a.py", "wants a terminal"),
            ("python3 -X importtime a.py", "from its start"),
            ("python3 -W", "lacks its value"),
        ] {
            let told = parse(&words(line)).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
        assert!(parse(&[]).is_err());
    }
}
