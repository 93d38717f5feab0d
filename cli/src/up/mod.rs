//! One machine: a private Postgres, a coordinator and an agent in one process, with all that they keep under one
//! directory.
//!
//! At most one `btctl up` works in a directory, by a lock that ends with the process. What a killed one left behind
//! (its Postgres, its containers) the next one takes over.

mod access;
mod certificate;
mod database;
mod detach;
mod lock;
mod postgres;
mod remembered;

use std::net::SocketAddr;

use bt_agent::{Shutdown, StoreChoice};
use bt_model::encoding::Encoding;
use bt_model::image_policy::ImagePattern;
use bt_store::Location;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::error::Error;
use crate::logging;
use crate::output::say;
use crate::signals::Signals;
use crate::state_dir::{CLIENT_FILE, UpDir};

pub(crate) use certificate::{found_names, in_address, with_local};
pub(crate) use database::{HeldPostgres, running_database};
pub(crate) use detach::{detach, down, is_background, leave_terminal};
pub(crate) use postgres::installed as installed_postgres;

use self::access::Entry;
use self::lock::Lock;
use self::postgres::{Postgres, Server};
use self::remembered::{RememberedArguments, UpArguments};

/// What `btctl up` is to run.
#[derive(Clone, Debug)]
pub(crate) struct UpPlan {
    pub(crate) state_dir: UpDir,
    /// The agent's options; none if there is to be no agent.
    pub(crate) agent: Option<bt_agent::Options>,
    /// An existing server to use instead of a private one.
    pub(crate) database_url: Option<String>,
    pub(crate) postgres_bin: Option<std::path::PathBuf>,
    /// Where results are published; in its own directory if not given.
    pub(crate) store: Option<Location>,
    pub(crate) adopt_store: bool,
    /// Begin without what earlier starts were given.
    pub(crate) forget: bool,
    pub(crate) compress: Encoding,
    pub(crate) listen: Option<SocketAddr>,
    /// Ask nobody, and speak no TLS.
    pub(crate) insecure: bool,
    pub(crate) secrets: bt_coordinator::SecretKeys,
    pub(crate) keeping: bt_coordinator::Keeping,
    pub(crate) telling: bt_coordinator::Telling,
    pub(crate) images: bt_coordinator::ImageRules,
    pub(crate) allow_images: Vec<ImagePattern>,
}

/// The address if none is asked for; another port if this one is taken.
const LISTEN: &str = "127.0.0.1:7600";
const LEASE: std::time::Duration = std::time::Duration::from_secs(60);
const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(15);

/// Runs all of it until a signal.
pub(crate) async fn run(mut plan: UpPlan) -> Result<(), Error> {
    plan.state_dir.create()?;
    let mut lock = Lock::take(&plan.state_dir)?;
    let given = UpArguments {
        store: &mut plan.store,
        database_url: plan.database_url.as_deref(),
        volumes: plan.agent.as_mut().map(|agent| &mut agent.volumes),
    };
    let remembered = RememberedArguments::add_to(given, &plan.state_dir, plan.forget)?;
    let mut signals = Signals::listen()?;
    // What is missing is said before anything is started.
    if let Some(options) = &plan.agent {
        bt_agent::check(options).await?;
    }
    let mut postgres = match plan.database_url {
        Some(_) => None,
        None => Some(start_postgres(&plan, &mut signals).await?),
    };
    let url = match (&plan.database_url, &postgres) {
        (Some(url), _) => url.clone(),
        (None, Some(postgres)) => postgres.url(),
        (None, None) => return Err(Error::Interrupted),
    };
    let ended = serve(&plan, &remembered, url, &mut lock, &mut signals, postgres.as_mut()).await;
    if let Some(postgres) = postgres {
        info!("stopping Postgres");
        postgres.stop().await;
    }
    ended
}

async fn start_postgres(plan: &UpPlan, signals: &mut Signals) -> Result<Postgres, Error> {
    let server = Server::find(plan.postgres_bin.as_deref(), &plan.state_dir)?;
    tokio::select! {
        started = Postgres::start(server) => started,
        () = signals.next() => Err(Error::Interrupted),
    }
}

/// Runs the coordinator and the agent, and keeps Postgres up, until a signal or a failure. The agent ends first, so
/// that it can hand back what it holds.
async fn serve(
    plan: &UpPlan,
    remembered: &RememberedArguments,
    database_url: String,
    lock: &mut Lock,
    signals: &mut Signals,
    postgres: Option<&mut Postgres>,
) -> Result<(), Error> {
    let store = plan.store.clone().unwrap_or_else(|| Location::Directory(plan.state_dir.store_dir()));
    let listen = listen_address(plan.listen).await?;
    let entry = Entry::new(&plan.state_dir, listen, plan.insecure)?;
    let options = bt_coordinator::Options {
        fair_share_half_life: None,
        database_url,
        no_migrate: false,
        listen,
        store: store.clone(),
        adopt_store: plan.adopt_store,
        compress: plan.compress,
        lease: LEASE,
        heartbeat: HEARTBEAT,
        tls: entry.tls.clone(),
        asking: entry.asking.clone(),
        secrets: secret_keys(plan)?,
        keeping: plan.keeping,
        sign_in: bt_coordinator::SignIn::default(),
        telling: plan.telling.clone(),
        images: plan.images,
        allow_images: plan.allow_images.clone(),
        preemption: bt_coordinator::Preemption::default(),
    };
    let stop = CancellationToken::new();
    let (ready, mut is_ready) = oneshot::channel();
    let coordinator =
        async { Ok::<(), Error>(bt_coordinator::run(options, logging::CONTROL, ready, stop.clone()).await?) };
    let guard = async {
        match postgres {
            Some(postgres) => postgres.keep_up().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(coordinator, guard);
    let address = loop {
        tokio::select! {
            address = &mut is_ready => match address {
                Ok(address) => break address,
                // It stopped before it was ready, and says why.
                Err(_) => return coordinator.await,
            },
            served = &mut coordinator => return served,
            () = &mut guard => {}
            () = signals.next() => stop.cancel(),
        }
    };
    remembered.write(&plan.state_dir)?;
    announce(plan, &entry, address, &store, lock)?;
    let shutdown = Shutdown::default();
    let agent = agent(plan, &entry, address, shutdown.clone());
    tokio::pin!(agent);
    loop {
        tokio::select! {
            served = &mut coordinator => return served,
            worked = &mut agent => {
                stop.cancel();
                return worked.and(coordinator.await);
            }
            () = &mut guard => {}
            () = signals.next() => match shutdown.drain.is_cancelled() {
                false => {
                    info!("ending: running jobs may finish; once more to stop them at once");
                    shutdown.drain.cancel();
                }
                true => shutdown.now.cancel(),
            },
        }
    }
}

/// The keys of secrets: what was given, or a key of the state directory's own, outside of the database.
fn secret_keys(plan: &UpPlan) -> Result<bt_coordinator::SecretKeys, Error> {
    let mut keys = plan.secrets.clone();
    if !keys.is_given() {
        let path = plan.state_dir.secrets_key();
        bt_coordinator::make_key_file(&path)
            .map_err(|error| Error::Failed(format!("{} can't be made: {error}", path.display())))?;
        keys.secrets_key_file = Some(path);
    }
    Ok(keys)
}

/// Runs the agent, or where there is to be none waits for the end.
async fn agent(plan: &UpPlan, entry: &Entry, address: SocketAddr, shutdown: Shutdown) -> Result<(), Error> {
    let Some(options) = plan.agent.clone() else {
        shutdown.drain.cancelled().await;
        return Ok(());
    };
    let coordinator = entry.client_file(address).coordinator.unwrap_or_default();
    let place = bt_agent::Place {
        token: entry.agent_token(&plan.state_dir, &coordinator).await?,
        coordinators: vec![coordinator],
        trust: entry.trust(),
        joins: false,
        state_dir: plan.state_dir.agent_dir(),
        store: StoreChoice::Auto,
    };
    Ok(bt_agent::run(options, place, shutdown).await?)
}

/// The address that was asked for, or the usual one, or where that is taken any other of this machine.
async fn listen_address(asked: Option<SocketAddr>) -> Result<SocketAddr, Error> {
    if let Some(asked) = asked {
        return Ok(asked);
    }
    let usual: SocketAddr =
        LISTEN.parse().map_err(|error| Error::Failed(format!("{LISTEN} is not an address: {error}")))?;
    match TcpListener::bind(usual).await {
        Ok(_) => Ok(usual),
        Err(error) => {
            warn!("{usual} can't be listened on ({error}); another port is taken");
            Ok(SocketAddr::new(usual.ip(), 0))
        }
    }
}

/// Where a process on this machine reaches a server that listens on this address.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

/// Writes down where things are, and says it.
fn announce(
    plan: &UpPlan,
    entry: &Entry,
    address: SocketAddr,
    store: &Location,
    lock: &mut Lock,
) -> Result<(), Error> {
    let file = entry.client_file(address);
    let coordinator = file.coordinator.clone().unwrap_or_default();
    plan.state_dir.write_toml(CLIENT_FILE, &file)?;
    lock.announce(&coordinator)?;
    let mut told = format!(
        "btctl is up\n  coordinator  {coordinator}\n  page         {coordinator}/\n  results      {}\n  state        {}\n",
        store,
        plan.state_dir.dir().display()
    );
    match plan.state_dir.is_default() {
        true => told += "  try          btctl submit --image IMAGE --wait -- COMMAND",
        false => {
            told += &format!(
                "  try          BTCTL_CONFIG={} btctl submit --image IMAGE --wait -- COMMAND",
                plan.state_dir.client_file().display()
            );
        }
    }
    say(&told);
    if let Some(others) = entry.for_others(address) {
        say(&others);
    }
    Ok(())
}
