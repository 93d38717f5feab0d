//! `btctl reference`: writes the pages of docs/ that are made from the code, so that they can't differ from it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use bt_documents::described;
use clap::{Arg, CommandFactory};
use clap_complete::Shell;
use serde_json::Value;

use super::init;
use crate::commands::Cli;
use crate::completion;
use crate::error::Error;
use crate::files;
use crate::flag_text::{DefaultText, FlagText};
use crate::output::say;
use crate::settings;

/// Write the pages of docs/ that are made from the code: settings, metrics, roles, JSON schemas
/// and the API.
#[derive(Clone, Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Reference {
    /// Directory that holds SETTINGS.md, METRICS.md, ROLES.md, openapi.json and schemas/.
    #[arg(short, long, value_name = "DIR", default_value = "docs", value_parser = files::directory)]
    dir: PathBuf,
    /// Instead of them, write into this directory what packages hold beside the program: man pages, completions, and files of
    /// settings.
    #[arg(long, value_name = "DIR", value_parser = files::directory, conflicts_with = "dir")]
    package: Option<PathBuf>,
}

impl Reference {
    pub(crate) fn run(self) -> Result<(), Error> {
        if let Some(dir) = &self.package {
            return package(dir);
        }
        let schemas = self.dir.join("schemas");
        std::fs::create_dir_all(&schemas).map_err(|error| failed(&schemas, &error))?;
        write(&self.dir.join("SETTINGS.md"), &settings_page()?)?;
        write(&self.dir.join("METRICS.md"), &metrics_page()?)?;
        let roles = bt_coordinator::role_table().map_err(formatted)?;
        write(&self.dir.join("ROLES.md"), &format!("{ROLES}{roles}"))?;
        write(&schemas.join("README.md"), &schemas_page()?)?;
        for described in described() {
            let text = format!("{:#}\n", described.schema.as_value());
            write(&schemas.join(format!("{}.json", described.name)), &text)?;
        }
        let manifest = format!("{:#}\n", manifest_schema());
        write(&schemas.join("manifest.json"), &manifest)?;
        write(&self.dir.join("openapi.json"), &format!("{:#}\n", bt_coordinator::openapi()))?;
        say(&format!(
            "SETTINGS.md, METRICS.md, ROLES.md, openapi.json and schemas/ are written in {}",
            self.dir.display()
        ));
        Ok(())
    }
}

/// The schema of manifests, where each key is described by the help of its flags.
fn manifest_schema() -> Value {
    let command = Cli::command();
    let submit = command.find_subcommand("submit");
    bt_model::manifest::schema(|flag| {
        let arg = submit?.get_arguments().find(|arg| arg.get_long() == Some(flag))?;
        arg.get_long_help().or(arg.get_help()).map(ToString::to_string)
    })
}

/// What packages hold beside the program, at the places that it has below their root.
fn package(root: &Path) -> Result<(), Error> {
    let made = |path: &str| {
        let dir = root.join(path);
        std::fs::create_dir_all(&dir).map_err(|error| failed(&dir, &error)).map(|()| dir)
    };
    let man = made("usr/share/man/man1")?;
    clap_mangen::generate_to(Cli::command(), &man).map_err(|error| failed(&man, &error))?;
    let completions = [
        (Shell::Bash, "usr/share/bash-completion/completions", "btctl"),
        (Shell::Zsh, "usr/share/zsh/site-functions", "_btctl"),
        (Shell::Fish, "usr/share/fish/vendor_completions.d", "btctl.fish"),
    ];
    for (shell, dir, name) in completions {
        write(&made(dir)?.join(name), &completion::script(shell)?)?;
    }
    let settings = made("etc/btctl")?;
    for service in ["coordinator", "agent"] {
        let about = format!("# What btctl-{service}.service is told. Take the `# ` off what you set.\n");
        let text = init::env_file(&Cli::command(), &[service], &BTreeSet::new());
        write(&settings.join(format!("{service}.env")), &format!("{about}{text}"))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::Failed(format!("{} can't be written: {error}", path.display()))
}

fn formatted(error: std::fmt::Error) -> Error {
    Error::Failed(error.to_string())
}

const SCHEMAS: &str = "\
# Schemas of manifests, and of the JSON that commands print

Each file is a JSON Schema (2020-12), and `btctl reference` writes all of them from the code.
[manifest.json](manifest.json) is the schema of a [manifest](../MANIFEST.md): editors that know it complete and check the
keys, for example with the line `# yaml-language-server: $schema=manifest.json` in a YAML file beside it.
[notification.json](notification.json) describes what a [webhook](../NOTIFY.md) gets. The others describe what commands print
with `-o json`; [OUTPUT.md](../OUTPUT.md) says what may change.

| command | schema |
| --- | --- |
";

fn schemas_page() -> Result<String, Error> {
    let mut page = SCHEMAS.to_owned();
    for described in described() {
        for command in described.commands {
            let when = if described.when.is_empty() { String::new() } else { format!(" {}", described.when) };
            writeln!(page, "| `btctl {command}`{when} | [{0}.json]({0}.json) |", described.name)
                .map_err(formatted)?;
        }
    }
    Ok(page)
}

const ROLES: &str = "\
# Roles

`btctl reference` writes this page from the code: it is the table that the coordinator goes by, and a test makes each call
with each role. [TRUST.md](TRUST.md) says how callers say who they are.

";

const METRICS: &str = "\
# Metrics

`btctl reference` writes this page from the code. A coordinator serves them at `/metrics` on its one port, an agent on the
address that `--metrics-address` gives; [MONITORING.md](MONITORING.md) says how to read them. Names and labels stay as
they are; more are added. The values of labels are words of the program: no sweep, job, owner, agent or path is among them.
Histograms count in the buckets that are listed, in seconds.
";

fn metrics_page() -> Result<String, Error> {
    let mut page = METRICS.to_owned();
    let sections = [
        ("both", "Coordinators and agents"),
        ("coordinator", "Coordinators"),
        ("agent", "Agents, and the coordinator of `btctl up`"),
    ];
    for (server, title) in sections {
        write!(page, "\n## {title}\n\n| name | kind | labels | meaning |\n| --- | --- | --- | --- |\n")
            .map_err(formatted)?;
        for measure in bt_measures::MEASURES.iter().filter(|measure| measure.server == server) {
            let labels: Vec<_> = measure.labels.iter().map(|label| format!("`{label}`")).collect();
            let buckets: Vec<_> = measure.buckets.iter().map(f64::to_string).collect();
            let kind = match buckets.is_empty() {
                true => measure.kind.name().to_owned(),
                false => format!("{}: {}", measure.kind.name(), buckets.join(", ")),
            };
            writeln!(
                page,
                "| `{}` | {kind} | {} | {} |",
                measure.name,
                labels.join(", "),
                cell(measure.help)
            )
            .map_err(formatted)?;
        }
    }
    Ok(page)
}

const SETTINGS: &str = "\
# Settings

`btctl reference` writes this page from the code. A flag wins over an environment variable, a variable over a file, and a
file over the default. `btctl config show` prints the settings of the client and where each comes from.

## Files

The client reads the file that `BTCTL_CONFIG` names. Without it, it reads `btctl/client.toml` in the user's configuration
directory (`$XDG_CONFIG_HOME`, else `~/.config`), and then the one that `btctl up` writes into its state directory.

| key | flag | variable | default | meaning |
| --- | --- | --- | --- | --- |
";

fn settings_page() -> Result<String, Error> {
    let mut page = SETTINGS.to_owned();
    for key in settings::KEYS {
        let flag = key.flag.map(|flag| format!("`{flag}`")).unwrap_or_default();
        let settings::SettingKey { name, variable, default, meaning, .. } = key;
        writeln!(page, "| `{name}` | {flag} | `{variable}` | {default} | {meaning} |").map_err(formatted)?;
    }
    page.push_str("\n## Variables without a flag\n\n| variable | meaning |\n| --- | --- |\n");
    for (variable, meaning) in settings::VARIABLES {
        writeln!(page, "| `{variable}` | {meaning} |").map_err(formatted)?;
    }
    page.push_str(
        "\nA program that a job runs finds other variables; [MANIFEST.md](MANIFEST.md) lists them.\n",
    );
    let mut command = Cli::command();
    command.build();
    for inner in command.get_subcommands() {
        command_section(inner, "btctl", &mut page)?;
    }
    Ok(page)
}

/// A section for each command that is not hidden.
fn command_section(command: &clap::Command, above: &str, page: &mut String) -> Result<(), Error> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(());
    }
    let path = format!("{above} {}", command.get_name());
    let inner = || command.get_subcommands().filter(|inner| inner.get_name() != "help");
    // A command that can't be called by itself is named with those below it.
    if command.has_subcommands() && !command.is_subcommand_negates_reqs_set() {
        return inner().try_for_each(|inner| command_section(inner, &path, page));
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    write!(page, "\n## {path}\n\n{about}.\n").map_err(formatted)?;
    let is_own = |arg: &&Arg| {
        !arg.is_hide_set() && !arg.is_global_set() && !["help", "version"].contains(&arg.get_id().as_str())
    };
    let mut args = command.get_arguments().filter(is_own).peekable();
    if args.peek().is_some() {
        page.push_str("\n| flag | variable | default | meaning |\n| --- | --- | --- | --- |\n");
    }
    args.try_for_each(|arg| page.write_str(&row(arg))).map_err(formatted)?;
    inner().try_for_each(|inner| command_section(inner, &path, page))
}

fn row(arg: &Arg) -> String {
    let flag = FlagText::of(arg);
    let variable = flag.variable.map(|name| format!("`{name}`")).unwrap_or_default();
    let default = match flag.default {
        DefaultText::None => String::new(),
        DefaultText::Value(value) => format!("`{}`", cell(&value)),
        DefaultText::Words(words) => cell(&words),
    };
    format!(
        "| `{}` | {variable} | {default} | {}{} |\n",
        cell(flag.name.trim()),
        cell(&flag.meaning),
        flag.choices
    )
}

/// The text as it stands in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}
