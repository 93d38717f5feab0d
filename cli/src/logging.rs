//! What servers say, on standard error: lines for people, or JSON for machines. What is logged can be changed while they run.

use std::sync::{Mutex, OnceLock, PoisonError};

use bt_coordinator::LogFilter;
use tokio::task::JoinSet;
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::error::Error;
use crate::output::terminal;
use crate::signals::Details;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LogFormat {
    /// What is logged: error, warn, info, debug, or a filter such as info,bt_agent=debug. SIGUSR2 changes it to debug, and
    /// back.
    #[arg(long, env = "BTCTL_LOG", default_value = "info", value_name = "FILTER", value_parser = parse)]
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

/// What SIGUSR2 turns on: all that btctl itself says, and not what its libraries do.
const DETAILS: &str = "info,btctl=debug,bt_agent=debug,bt_coordinator=debug,bt_engine=debug,bt_store=debug";

/// For who changes it from elsewhere.
pub(crate) const CONTROL: LogFilter = LogFilter { read: filter, change };

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging; called once, by a server. It listens for SIGUSR2 as long as what this returns lives.
pub(crate) fn start(format: &LogFormat) -> Result<JoinSet<()>, Error> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = !no_color && terminal::is_stderr();
    let (filter, handle) = reload::Layer::new(format.log.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(terminal::log).with_ansi(ansi);
    let lines = match format.log_format {
        LogForm::Text => lines.with_target(false).boxed(),
        LogForm::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    FILTER.get_or_init(|| handle);
    let mut details = Details::listen()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            details.next().await;
            toggle();
        }
    });
    Ok(tasks)
}

/// What is logged now.
fn filter() -> String {
    FILTER.get().and_then(|handle| handle.with_current(ToString::to_string).ok()).unwrap_or_default()
}

/// Reads a filter. One word that is no level would be taken as the name of a part, and all else fall silent.
fn parse(text: &str) -> Result<EnvFilter, String> {
    let refused = |why: &str| {
        format!("it is not a filter ({why}); it is error, warn, info, debug, or such as info,bt_agent=debug")
    };
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    match text.split(',').map(str::trim).find(|word| !word.contains(['=', '[']) && !is_level(word)) {
        Some("") => return Err(refused("nothing stands there")),
        Some(word) => return Err(refused(&format!("{word} is no level"))),
        None => {}
    }
    EnvFilter::try_new(text.trim()).map_err(|error| refused(&error.to_string()))
}

/// Logs by another filter from now on.
fn change(filter: &str) -> Result<(), String> {
    let parsed = parse(filter).map_err(|error| format!("{filter:?}: {error}"))?;
    let handle = FILTER.get().ok_or("nothing is logged here")?;
    handle.reload(parsed).map_err(|error| error.to_string())?;
    warn!("what is logged from now on: {}", filter.trim());
    Ok(())
}

/// To all that btctl says, or back to what was logged before.
fn toggle() {
    static BEFORE: Mutex<Option<String>> = Mutex::new(None);
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let next = match before.take() {
        Some(before) => before,
        None => {
            *before = Some(filter());
            DETAILS.to_owned()
        }
    };
    if let Err(error) = change(&next) {
        tracing::error!("what is logged can't be changed: {error}");
    }
}
