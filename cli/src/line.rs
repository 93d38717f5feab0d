//! The way to a coordinator: all that were named, and the one that answers. A coordinator that is gone or frozen is left for
//! the next one at once, and that one is stayed with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use bt_proto::bearer::{self, Bearer, Line};
use bt_proto::v1::access_client::AccessClient;
use bt_proto::v1::aliases_client::AliasesClient;
use bt_proto::v1::schedules_client::SchedulesClient;
use bt_proto::v1::secrets_client::SecretsClient;
use bt_proto::v1::sweeps_client::SweepsClient;
use bt_trust::ClientTrust;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::error::{Error, is_broken_off};
use crate::output::say;
use crate::settings::Settings;

const CONNECT: Duration = Duration::from_secs(5);
/// How often a coordinator must show that it is alive while it is asked something, and how long that may take: one that is
/// frozen is found out after both, whatever it was asked.
const KEEPALIVE: Duration = Duration::from_secs(3);
const ALIVE: Duration = Duration::from_secs(5);
/// How much earlier than the next one a coordinator is tried, where several are named.
const HEAD_START: Duration = Duration::from_millis(300);
/// How long several coordinators may take until one of them answers.
const ANSWER: Duration = Duration::from_secs(10);
/// Tries to find a coordinator before the command gives up, with rising pauses between them.
const TRIES: usize = 3;
/// How often a call is asked again, and how long: all coordinators are asked before there is a pause.
const RETRIES: usize = 8;
const RETRYING: Duration = Duration::from_secs(40);
/// What takes longer is mentioned.
const SLOW: Duration = Duration::from_secs(2);
/// The largest answer that is taken.
const LARGEST_MESSAGE: usize = 64 << 20;
/// No coordinator has this method, and each says so at once, whatever else it waits for.
const ANYBODY: &str = "/btctl.v1.Sweeps/IsAnybodyThere";

/// The coordinators that were named. Cheap to clone; all copies know the same one as alive.
#[derive(Clone, Debug)]
pub(crate) struct Coordinators {
    coordinators: Arc<Vec<(String, Channel)>>,
    bearer: Bearer,
    current: Arc<AtomicUsize>,
    /// It was said already that something takes long.
    told: Arc<AtomicBool>,
}

/// A coordinator to ask.
pub(crate) struct CoordinatorClient {
    pub(crate) number: usize,
    pub(crate) sweeps: SweepsClient<Line>,
}

impl Coordinators {
    /// Finds a coordinator that answers.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Error> {
        let addresses = settings.coordinators()?;
        let source = settings.token();
        let bearer = source.read().map_err(Error::Usage)?;
        let in_clear = bearer::in_clear(&addresses);
        if source.is_some() && !in_clear.is_empty() {
            say(&format!(
                "warning: the token is sent without encryption to {}: whoever is on the way can read and use it",
                in_clear.join(", ")
            ));
        }
        let mut endpoints = Vec::new();
        for address in &addresses {
            let endpoint = Endpoint::from_shared(address.clone()).map_err(|error| {
                let source = &settings.coordinator.source;
                Error::Usage(format!("coordinator ({source}): {address:?} is not an address: {error}"))
            })?;
            endpoints.push(
                endpoint
                    .connect_timeout(CONNECT)
                    .http2_keep_alive_interval(KEEPALIVE)
                    .keep_alive_timeout(ALIVE)
                    .keep_alive_while_idle(true)
                    .tcp_nodelay(true),
            );
        }
        let trust = settings.trust()?;
        let find = || first_alive(&endpoints, &trust, &bearer);
        let found = find.retry(waits(TRIES - 1)).await.map_err(|cause| {
            Error::Unreachable(format!(
                "no coordinator answers at {} ({}): {cause}. Start one with `btctl up`, or say where it is with \
                 --coordinator or BTCTL_COORDINATOR",
                settings.coordinator.value, settings.coordinator.source
            ))
        })?;
        let (current, channel) = found;
        let channels = endpoints.iter().enumerate().map(|(number, endpoint)| match number == current {
            true => Ok(channel.clone()),
            false => bt_trust::connect_lazy(endpoint, &trust),
        });
        let channels: Vec<_> =
            channels.collect::<Result<_, _>>().map_err(|error| Error::Failed(error.to_string()))?;
        Ok(Self {
            coordinators: Arc::new(addresses.into_iter().zip(channels).collect()),
            bearer,
            current: Arc::new(AtomicUsize::new(current)),
            told: Arc::default(),
        })
    }

    /// A copy that does not mention what takes long.
    pub(crate) fn quiet(&self) -> Self {
        Self { told: Arc::new(AtomicBool::new(true)), ..self.clone() }
    }

    /// The coordinator that answered last.
    pub(crate) fn current(&self) -> CoordinatorClient {
        let (number, line) = self.line();
        let sweeps = SweepsClient::new(line);
        CoordinatorClient { number, sweeps: sweeps.max_decoding_message_size(LARGEST_MESSAGE) }
    }

    fn line(&self) -> (usize, Line) {
        let number = self.current.load(Ordering::Relaxed);
        (number, Line::new(self.coordinators[number].1.clone(), self.bearer.clone()))
    }

    /// As [`ask`](Self::ask), about access.
    pub(crate) async fn ask_access<T, F>(&self, call: impl Fn(AccessClient<Line>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.ask_line(|line| call(AccessClient::new(line).max_decoding_message_size(LARGEST_MESSAGE))).await
    }

    /// As [`ask`](Self::ask), about secrets.
    pub(crate) async fn ask_secrets<T, F>(&self, call: impl Fn(SecretsClient<Line>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.ask_line(|line| call(SecretsClient::new(line))).await
    }

    /// As [`ask`](Self::ask), about schedules.
    pub(crate) async fn ask_schedules<T, F>(
        &self,
        call: impl Fn(SchedulesClient<Line>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let client = |line| SchedulesClient::new(line).max_decoding_message_size(LARGEST_MESSAGE);
        self.ask_line(|line| call(client(line))).await
    }

    /// About schedules, for a call that is asked once.
    pub(crate) fn schedules(&self) -> SchedulesClient<Line> {
        SchedulesClient::new(self.line().1).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// As [`ask`](Self::ask), about aliases of images.
    pub(crate) async fn ask_aliases<T, F>(&self, call: impl Fn(AliasesClient<Line>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.ask_line(|line| call(AliasesClient::new(line).max_decoding_message_size(LARGEST_MESSAGE))).await
    }

    /// About aliases, for a call that is asked once.
    pub(crate) fn aliases(&self) -> AliasesClient<Line> {
        AliasesClient::new(self.line().1)
    }

    /// A call that is asked once.
    pub(crate) fn access(&self) -> AccessClient<Line> {
        AccessClient::new(self.line().1).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Goes over from this coordinator to the next one, unless that was done already.
    pub(crate) fn leave(&self, number: usize) {
        let next = (number + 1) % self.coordinators.len();
        self.current.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    /// Asks until a coordinator answers, or for so long that it is useless. What may not be asked twice is not asked so.
    pub(crate) async fn ask<T, F>(&self, call: impl Fn(SweepsClient<Line>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.ask_line(|line| call(SweepsClient::new(line).max_decoding_message_size(LARGEST_MESSAGE))).await
    }

    async fn ask_line<T, F>(&self, call: impl Fn(Line) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let began = Instant::now();
        let mut pauses = waits(RETRIES).build();
        let mut asked_in_turn = 0;
        let asking = async {
            loop {
                let (number, line) = self.line();
                let status = match call(line).await {
                    Err(status) if is_away(&status) => status,
                    answered => return Ok(answered?),
                };
                self.leave(number);
                asked_in_turn += 1;
                if asked_in_turn < self.coordinators.len() {
                    continue;
                }
                asked_in_turn = 0;
                match pauses.next().filter(|_| began.elapsed() < RETRYING) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(self.hinted(number, status).into()),
                }
            }
        };
        self.told_if_slow(asking).await
    }

    /// What hangs up without a word may be waiting for TLS.
    fn hinted(&self, number: usize, status: Status) -> Status {
        let address = &self.coordinators[number].0;
        let said_why = status.code() == Code::Unavailable && std::error::Error::source(&status).is_none();
        match address.starts_with("http://") && !said_why {
            true => Status::unavailable(format!(
                "the coordinator at {address} hangs up ({}); if it speaks TLS, its address begins with https://",
                status.message()
            )),
            false => status,
        }
    }

    /// Says what is waited for if it takes long, once.
    pub(crate) async fn told_if_slow<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::pin!(call);
        tokio::select! {
            done = &mut call => return done,
            () = sleep(SLOW) => {}
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            let number = self.current.load(Ordering::Relaxed);
            say(&format!(
                "waiting for the coordinator at {}: no answer for {} s; it may be away, or wait for Postgres or the store",
                self.coordinators[number].0,
                SLOW.as_secs()
            ));
        }
        call.await
    }
}

/// The first of these that answers. Each is given a head start before the next one.
async fn first_alive(
    endpoints: &[Endpoint],
    trust: &ClientTrust,
    bearer: &Bearer,
) -> Result<(usize, Channel), String> {
    let is_alone = endpoints.len() == 1;
    let tries = endpoints.iter().enumerate().map(|(number, endpoint)| async move {
        sleep(HEAD_START * u32::try_from(number).unwrap_or(u32::MAX)).await;
        let connected = bt_trust::connect(endpoint, trust).await;
        let channel = connected.map_err(|error| root_cause(&error))?;
        if !is_alone {
            is_alive(Line::new(channel.clone(), bearer.clone())).await?;
        }
        Ok((number, channel))
    });
    let mut tries: FuturesUnordered<_> = tries.collect();
    let mut last = "no address is given".to_owned();
    let trying = async {
        while let Some(tried) = tries.next().await {
            match tried {
                Ok(found) => return Ok(found),
                Err(cause) => last = cause,
            }
        }
        Err(std::mem::take(&mut last))
    };
    match tokio::time::timeout(ANSWER, trying).await {
        Ok(found) => found,
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// Waits for any answer.
async fn is_alive(line: Line) -> Result<(), String> {
    let mut client = Grpc::new(line);
    client.ready().await.map_err(|error| root_cause(&error))?;
    let codec = ProstCodec::<(), ()>::default();
    match client.unary(Request::new(()), PathAndQuery::from_static(ANYBODY), codec).await {
        Err(status) if is_away(&status) => Err(status.message().to_owned()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// True if no coordinator has answered: this one is away, or the line to it broke.
fn is_away(status: &Status) -> bool {
    let is_local = std::error::Error::source(status).is_some();
    status.code() == Code::Unavailable || (is_local && is_broken_off(status))
}

/// Rising pauses between so many tries.
pub(crate) fn waits(times: usize) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(times)
        .with_jitter()
}

/// The innermost message: `connection refused`, not `transport error`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
