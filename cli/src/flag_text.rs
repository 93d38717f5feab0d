//! What a flag is called and means, as clap knows it, for the pages and files that are made from the code.

use clap::Arg;

/// A flag or an argument.
pub(crate) struct FlagText {
    /// As it is typed, with the name of its value: `-f, --file FILE`.
    pub(crate) name: String,
    /// Its environment variable.
    pub(crate) variable: Option<String>,
    pub(crate) default: DefaultText,
    pub(crate) meaning: String,
    /// The values that it takes, in brackets, if they are few; empty otherwise.
    pub(crate) choices: String,
}

/// What holds if a flag is not given.
pub(crate) enum DefaultText {
    None,
    Value(String),
    /// It depends on something, which stands in the help's words.
    Words(String),
}

impl FlagText {
    pub(crate) fn of(arg: &Arg) -> Self {
        let takes_values = arg.get_action().takes_values();
        let values = arg.get_value_names().unwrap_or_default().iter().map(|name| name.to_string());
        let value = if takes_values { values.collect::<Vec<_>>().join(" ") } else { String::new() };
        let short = arg.get_short().map(|short| format!("-{short}"));
        let long = arg.get_long().map(|long| format!("--{long}"));
        let names: Vec<String> = short.into_iter().chain(long).collect();
        let name = if names.is_empty() { value } else { format!("{} {value}", names.join(", ")) };
        let meaning = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let (meaning, default) = match said_default(&meaning) {
            Some((meaning, said)) => (meaning, DefaultText::Words(said)),
            None if takes_values && !arg.get_default_values().is_empty() => {
                let values = arg.get_default_values().iter().map(|value| value.to_string_lossy());
                (meaning, DefaultText::Value(values.collect::<Vec<_>>().join(" ")))
            }
            None => (meaning, DefaultText::None),
        };
        let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned());
        Self { name, variable, default, meaning, choices: choices(arg) }
    }
}

/// The help without `[default: ...]`, and what stands there.
fn said_default(meaning: &str) -> Option<(String, String)> {
    let (before, rest) = meaning.split_once("[default: ")?;
    let (said, after) = rest.split_once(']')?;
    Some((format!("{before}{after}"), said.to_owned()))
}

fn choices(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    let shown = values.iter().filter(|value| !value.is_hide_set());
    let names: Vec<&str> = shown.map(|value| value.get_name()).collect();
    match names.as_slice() {
        [] | ["true", "false"] => String::new(),
        names => format!(" ({})", names.join(", ")),
    }
}
