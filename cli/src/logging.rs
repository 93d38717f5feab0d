//! What servers say, on standard error: lines for people, or JSON for machines.

use tracing_subscriber::EnvFilter;

use crate::output::terminal;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LogFormat {
    /// What is logged: error, warn, info, debug, or a filter such as info,bt_agent=debug.
    #[arg(long, env = "BTCTL_LOG", default_value = "info", value_name = "FILTER")]
    log: EnvFilter,
    /// Form of the log.
    #[arg(long, env = "BTCTL_LOG_FORMAT", value_enum, default_value_t, value_name = "FORM")]
    log_format: LogForm,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum LogForm {
    #[default]
    Text,
    Json,
}

/// Starts logging; called once, by a server.
pub(crate) fn start(format: &LogFormat) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = !no_color && terminal::is_stderr();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(format.log.clone())
        .with_writer(terminal::log)
        .with_ansi(ansi);
    match format.log_format {
        LogForm::Text => logs.with_target(false).init(),
        LogForm::Json => logs.json().flatten_event(true).init(),
    }
}
