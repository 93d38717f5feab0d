//! The coordinator: keeps the queue in Postgres, dispatches jobs to agents, and publishes what they bring back.
//!
//! Everything durable is in Postgres and in the store; a coordinator holds only caches and open streams, so it can be
//! killed at any time, and any number of them can share one Postgres. Start reading at `queue`.

mod access;
mod agents;
mod answers;
mod assess;
pub mod backup;
mod bell;
mod calculations;
mod certificate;
mod check;
mod chooser;
mod clients;
mod collector;
mod config;
mod decoded;
mod document;
mod door;
mod events;
mod examiner;
mod guard;
mod http;
mod kept_log;
mod landscapes;
mod ledger;
mod libpq;
mod log_filter;
mod loops;
mod manifests;
mod oidc;
mod progress;
mod publisher;
mod pushed_images;
mod queue;
mod relay;
mod resolutions;
mod results;
mod reuse;
mod role_table;
mod rpc;
mod scheduling;
mod secrets;
mod sessions;
mod storage;
mod teller;
mod telling;
mod timer;
mod traced;
mod trials;
mod verify;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bt_model::image_policy::ImagePolicy;
use bt_model::role::Role;
use bt_proto::externalscaler::external_scaler_server::ExternalScalerServer;
use bt_proto::v1::access_server::AccessServer;
use bt_proto::v1::agents_server::AgentsServer;
use bt_proto::v1::aliases_server::AliasesServer;
use bt_proto::v1::schedules_server::SchedulesServer;
use bt_proto::v1::secrets_server::SecretsServer;
use bt_proto::v1::sweeps_server::SweepsServer;
use bt_store::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Request;
use tonic::service::{InterceptorLayer, Routes};
use tonic::transport::Server;
use tracing::{info, warn};
use uuid::Uuid;

use access::{Access, AccessCalls, Root};
use agents::{Agents, Certifier, Terms, Uploads};
use answers::Answers;
use assess::Assessor;
use bell::Bell;
use calculations::Calculations;
use chooser::Chooser;
use clients::{Clients, Keda, RecentDemand};
use collector::Collector;
use door::{Door, Pass};
use events::Events;
use examiner::Examiner;
use guard::{Guard, Proxy};
use landscapes::Landscapes;
use loops::{Dispatcher, Listener, Observer, PutOff, Reconciler};
use manifests::Manifests;
use oidc::Oidc;
use publisher::Publisher;
use queue::{Queue, SchemaRule};
use relay::Relay;
use resolutions::Resolutions;
use reuse::Reuse;
use secrets::{Keyring, Vault};
use sessions::Sessions;
use teller::Teller;
use telling::Ways;
use timer::Timer;
use trials::Trials;

pub use access::{KnownToken, make_admin_token_file, make_token_file};
pub use check::check_config;
pub use config::{Asking, Auth, ImageRules, Keeping, Options, TlsOptions};
pub use http::openapi;
pub use libpq::LibpqTarget;
pub use log_filter::LogFilter;
pub use oidc::{RoleRule, SignIn};
pub use role_table::role_table;
pub use scheduling::Preemption;
pub use secrets::{SecretKeys, make_key_file};
pub use telling::{AllowedHost, Telling};

/// Heartbeats that an offline agent has left out.
const SILENT_BEATS: u32 = 3;
/// How often an idle connection is probed, and how long the answer may take: a cut line is noticed within both.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Calls of one connection at a time; further ones wait with their caller.
const STREAMS: u32 = 256;
/// Bytes of a call's headers.
const HEADERS: u32 = 16 << 10;
/// How long open calls may take to end when the coordinator stops.
const DRAIN: Duration = Duration::from_secs(5);
/// The wait between two tries to reach Postgres at the start, and how long a start tries on in all.
const POSTGRES_AGAIN: Duration = Duration::from_secs(1);
const POSTGRES_WAIT: Duration = Duration::from_secs(60);
/// The largest message a client or an agent may send.
const LARGEST_MESSAGE: usize = 16 << 20;
/// Bytes of parts of pages that are kept.
const MOST_OF_PAGES: usize = 32 << 20;

/// Serves until `shutdown`, and says on `ready` which address it listens on.
pub async fn run(
    options: Options,
    log: LogFilter,
    ready: oneshot::Sender<SocketAddr>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    options.check().map_err(anyhow::Error::msg)?;
    let oidc = Oidc::new(&options.sign_in, options.telling.public_url.as_ref())?;
    let root = options.asking.admin_token_file.as_deref().map(Root::of).transpose()?;
    let ways = Ways::new(&options.telling)?;
    let keys = Keyring::new(&options.secrets)?;
    keys.check().await?;
    let certificate = certificate::open(&options.tls)?;
    let tls = certificate.as_ref().map(|certificate| certificate.tls.clone());
    let socket = TcpListener::bind(options.listen).await;
    let socket = socket.with_context(|| format!("listen on {}", options.listen))?;
    let address = socket.local_addr().context("read the listening address")?;
    let Some(queue) = connect(&options, &shutdown).await? else {
        return Ok(());
    };
    let opened = storage::open(&options.store, options.adopt_store, &queue, &shutdown).await?;
    let Some((store, store_id)) = opened else { return Ok(()) };
    let access = Access::new(queue.clone(), options.asking.auth, root, options.heartbeat);
    for token in &options.asking.known_tokens {
        token.let_in(&queue).await?;
    }
    let vault = Vault::new(queue.clone(), keys);
    vault.look().await;
    let (record, writer) = access::record::open(queue.clone(), &options.asking).await?;
    let examiner = Arc::new(Examiner::new(&options, tls.clone()));
    let (agents, clients) =
        services(&options, log, queue, vault.clone(), (store, store_id), (ways, examiner), &shutdown);
    if let Some(certificate) = certificate {
        agents.tasks.spawn(certificate.keep(shutdown.clone()));
    }
    let (tasks, sessions, relay) = (agents.tasks.clone(), agents.sessions.clone(), agents.relay.clone());
    tasks.spawn(access.clone().run(shutdown.clone()));
    if let Some(oidc) = oidc.clone() {
        tasks.spawn(oidc.run(shutdown.clone()));
    }
    tasks.spawn(writer.run(shutdown.clone()));
    let timer = Timer { clients: clients.clone(), record: record.clone() };
    tasks.spawn(timer.run(shutdown.clone()));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AgentsServer<Agents>>().await;
    health.set_serving::<SweepsServer<Clients>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(bt_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("read the descriptions of the services")?;
    let silence = options.heartbeat * SILENT_BEATS;
    let access_calls =
        AccessCalls { access: access.clone(), oidc: oidc.clone(), tasks: tasks.clone(), silence };
    let (pages, rights) = http::router(clients.clone(), access.clone(), oidc.clone());
    let proxy = options.asking.proxy_user_header.clone().map(|header| {
        let role = options.asking.proxy_role.unwrap_or(Role::Viewer);
        Arc::new(Proxy { header, from: options.asking.proxy_from.clone(), role })
    });
    let keda = Keda { clients: clients.clone(), access: access.clone(), shutdown: shutdown.clone() };
    let guard = Guard { access, record, rights: rights.into(), proxy, oidc };
    let services = Routes::from(pages)
        .add_service(AccessServer::new(access_calls))
        .add_service(ExternalScalerServer::new(keda))
        .add_service(SecretsServer::new(vault))
        .add_service(AliasesServer::new(clients.clone()))
        .add_service(SchedulesServer::new(clients.clone()).max_decoding_message_size(LARGEST_MESSAGE))
        .add_service(AgentsServer::new(agents).max_decoding_message_size(LARGEST_MESSAGE))
        .add_service(SweepsServer::new(clients).max_decoding_message_size(LARGEST_MESSAGE))
        .add_service(health_service)
        .add_service(reflection);
    let guarded = guard.before(services.prepare().into_axum_router());
    let services = Routes::from(rpc::traffic::measured(guarded)?);
    let server = Server::builder()
        // Beside gRPC: the JSON API.
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(Some(STREAMS))
        .http2_max_header_list_size(Some(HEADERS))
        .layer(InterceptorLayer::new(|call: Request<()>| {
            if let Some(pass) = call.extensions().get::<Pass>() {
                pass.made_a_call();
            }
            Ok(call)
        }))
        .add_routes(services);
    info!("listening on {address}");
    if options.asking.is_insecure(address, &options.tls) {
        let open = match options.asking.auth {
            Auth::Tokens | Auth::Local => "what is said there can be read on the way",
            Auth::None => "nobody is asked who they are",
        };
        warn!("{address} is open to other machines, and {open} (--insecure)");
    }
    // Nobody may be waiting to hear it.
    ready.send(address).ok();
    let incoming = Door::new(socket, tls).incoming();
    let stopping = {
        let shutdown = shutdown.clone();
        async move {
            shutdown.cancelled().await;
            sessions.close_all();
            relay.close_all();
        }
    };
    let serving = server.serve_with_incoming_shutdown(incoming, stopping);
    let bounded = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served.context("serve")?,
        () = bounded => warn!("open calls are cut off"),
    }
    tasks.close();
    if timeout(DRAIN, tasks.wait()).await.is_err() {
        warn!(tasks = tasks.len(), "tasks are left unfinished");
    }
    Ok(())
}

/// Both services, and the loops behind them, which run until `shutdown`.
fn services(
    options: &Options,
    log: LogFilter,
    queue: Queue,
    vault: Vault,
    (store, store_id): (Store, Uuid),
    (ways, examiner): (Ways, Arc<Examiner>),
    shutdown: &CancellationToken,
) -> (Agents, Clients) {
    let bell = Bell::default();
    let policy = Arc::new(options.image_policy());
    let (tasks, resolutions) = (TaskTracker::new(), Resolutions::default());
    let (manifests, sessions) = (Manifests::new(queue.clone()), Sessions::default());
    let publisher = Publisher::new(queue.clone(), manifests.clone(), store.clone(), bell.clone());
    let silence = options.heartbeat * SILENT_BEATS;
    let reuse = Reuse::new(queue.clone(), manifests.clone(), sessions.clone(), bell.clone(), silence);
    let (ledger, writer) = ledger::open(queue.clone(), sessions.clone(), bell.clone());
    let (hearing, noting) = progress::open(queue.clone(), manifests.clone());
    let relay = Relay::new(queue.clone(), store.clone(), sessions.clone(), tasks.clone());
    let terms = Terms {
        lease: options.lease,
        heartbeat: options.heartbeat,
        silence,
        store_id,
        encoding: options.compress,
    };
    let agents = Agents {
        queue: queue.clone(),
        store: store.clone(),
        sessions: sessions.clone(),
        ledger,
        hearing,
        reuse,
        vault,
        uploads: Uploads::default(),
        relay: relay.clone(),
        bell: bell.clone(),
        tasks: tasks.clone(),
        terms,
        certifier: Certifier { authority: options.tls.tls_dir.clone(), holds: options.tls.agent_cert_ttl },
        images: policy.clone(),
        resolutions: resolutions.clone(),
    };
    let calculations = Calculations::default();
    let events = Events::new(queue.clone(), shutdown.clone());
    tasks.spawn(events.clone().run());
    let landscapes = Landscapes::new(queue.clone(), manifests.clone(), calculations.clone());
    let trials = Trials::new(queue.clone(), manifests.clone(), calculations.clone());
    let clients = Clients {
        queue: queue.clone(),
        store: store.clone(),
        sessions: sessions.clone(),
        manifests: manifests.clone(),
        relay,
        bell,
        events: events.clone(),
        assessor: Assessor::new(queue.clone(), manifests.clone(), landscapes.clone(), trials.clone()),
        landscapes,
        trials,
        parts: Answers::new(MOST_OF_PAGES),
        calculations,
        tasks: tasks.clone(),
        silence,
        is_insecure: options.asking.is_insecure(options.listen, &options.tls),
        garbage_age: options.keeping.keep_unpublished,
        ways: ways.clone(),
        examiner,
        images: policy.clone(),
        preemption: options.preemption,
        resolutions,
        recent_demand: RecentDemand::default(),
        log,
    };
    tasks.spawn(clients.clone().measure_demand(shutdown.clone()));
    tasks.spawn(Teller::new(queue.clone(), clients.clone(), ways).run(shutdown.clone()));
    // It ends when nothing can hand reports in any more.
    tasks.spawn(writer.run());
    tasks.spawn(noting.run());
    tasks.spawn(publisher.run(shutdown.clone()));
    start_loops(&agents, manifests, policy, options, shutdown);
    let telling = storage::keep_telling(queue.clone(), store.clone(), store_id, shutdown.clone());
    tasks.spawn(telling);
    let collector = Collector { queue, store };
    let collecting = collector::run(
        collector,
        options.keeping.gc_every,
        options.keeping.keep_unpublished,
        shutdown.clone(),
    );
    tasks.spawn(collecting);
    (agents, clients)
}

/// Connects to Postgres, and waits for a while if it may be there soon. What only a person can put right ends the start
/// at once. None if it is time to stop.
async fn connect(options: &Options, shutdown: &CancellationToken) -> anyhow::Result<Option<Queue>> {
    let rule = if options.no_migrate { SchemaRule::MustBeCurrent } else { SchemaRule::BringUpToDate };
    let began = Instant::now();
    let mut told = String::new();
    loop {
        let connected = tokio::select! {
            connected = Queue::connect(&options.database_url, options.lease, rule) => connected,
            () = shutdown.cancelled() => return Ok(None),
        };
        match connected {
            Ok(queue) => return Ok(Some(queue)),
            Err(error) if error.is_transient() && began.elapsed() < POSTGRES_WAIT => {
                // Once for each cause.
                let cause = error.to_string();
                if cause != told {
                    warn!("waiting for Postgres, for {} s at most: {cause}", POSTGRES_WAIT.as_secs());
                    told = cause;
                }
            }
            Err(error) if error.is_transient() => {
                bail!("{error} (tried for {} s)", POSTGRES_WAIT.as_secs())
            }
            Err(error) => return Err(error.into()),
        }
        if timeout(POSTGRES_AGAIN, shutdown.cancelled()).await.is_ok() {
            return Ok(None);
        }
    }
}

fn start_loops(
    agents: &Agents,
    manifests: Manifests,
    images: Arc<ImagePolicy>,
    options: &Options,
    shutdown: &CancellationToken,
) {
    let Agents { queue, sessions, bell, tasks, terms, .. } = agents;
    tasks.spawn(agents.reuse.clone().run_settling(shutdown.clone()));
    tasks.spawn(agents.reuse.clone().run_following(shutdown.clone()));
    tasks.spawn(agents.uploads.clone().run(shutdown.clone()));
    let dispatcher = Dispatcher {
        queue: queue.clone(),
        manifests: manifests.clone(),
        memory: Default::default(),
        put_off: PutOff::new("starting jobs of sweep"),
        sessions: sessions.clone(),
        bell: bell.clone(),
        lease: terms.lease,
        fair_share_half_life: options.fair_share_half_life,
        images,
        preemption: options.preemption,
    };
    tasks.spawn(dispatcher.run(shutdown.clone()));
    let chooser = Chooser { queue: queue.clone(), manifests: manifests.clone(), bell: bell.clone() };
    tasks.spawn(chooser.run(shutdown.clone()));
    let reconciler = Reconciler {
        id: Uuid::new_v4(),
        queue: queue.clone(),
        lease: terms.lease,
        heartbeat: terms.heartbeat,
    };
    tasks.spawn(reconciler.run(shutdown.clone()));
    queue::measured::begin();
    let observer = Observer {
        queue: queue.clone(),
        silence: terms.silence,
        fair_share_half_life: options.fair_share_half_life,
    };
    tasks.spawn(observer.run(shutdown.clone()));
    let listener = Listener { queue: queue.clone(), sessions: sessions.clone(), bell: bell.clone() };
    tasks.spawn(listener.run(shutdown.clone()));
}
