//! Who calls: tokens and cookies that were shown are looked up once, remembered by their SHA-256, and looked at again every
//! few seconds, so that a revoked one is refused, and its open calls end, within a heartbeat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::identity::Identity;
use super::root::Root;
use super::secret::{self, ROOT, Shown};
use crate::queue::{self, Key, LoggedInWith, Proof, Queue};

/// How long what was looked up holds at most without being looked at again.
const FRESH: Duration = Duration::from_secs(10);
/// How long it holds while Postgres can't be reached: nobody can revoke a token then either.
const WITHOUT_POSTGRES: Duration = Duration::from_secs(300);
/// How long what nobody uses is remembered, and how much of it at most.
const REMEMBERED: Duration = Duration::from_secs(60);
const MOST: usize = 50_000;
/// Tokens that are compared at once, and how long others may wait for that.
const COMPARED: usize = 2;
const TURN: Duration = Duration::from_secs(5);
/// When a refusal is told: a token that is not there takes as long as one with a wrong secret.
const REFUSAL: Duration = Duration::from_millis(25);
/// How long a browser stays logged in.
pub(crate) const PAGE_SESSION: Duration = Duration::from_secs(12 * 3_600);

/// Who callers are. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Queue,
    /// False: nobody is asked.
    asks: bool,
    root: Option<Root>,
    fresh: Duration,
    known: Mutex<HashMap<Key, Arc<Known>>>,
    comparing: Semaphore,
}

/// A caller that is known. Open calls hold it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) identity: Arc<Identity>,
    basis: Basis,
    /// Cancelled when the token or the cookie holds no more.
    pub(crate) ended: CancellationToken,
    seen: Mutex<Seen>,
}

#[derive(Clone, Debug)]
enum Basis {
    Root,
    Token(String),
    Cookie(Key, LoggedInWith),
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it was known to hold.
    held: Instant,
    used: Instant,
}

/// Why a caller is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("{why}")]
    Refused {
        why: String,
        /// Of whose token it is, if it is one that held once.
        name: Option<String>,
    },
    /// It may be known in a moment.
    #[error("{0}")]
    NotNow(String),
}

impl Unknown {
    fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), name: None }
    }
}

impl From<queue::Error> for Unknown {
    fn from(error: queue::Error) -> Self {
        if !error.is_transient() {
            tracing::error!(error = %error, "a caller could not be looked up");
        }
        Self::NotNow(format!("who calls can't be found out now: {error}"))
    }
}

impl Access {
    pub(crate) fn new(queue: Queue, asks: bool, root: Option<Root>, heartbeat: Duration) -> Self {
        Self(Arc::new(Inner {
            queue,
            asks,
            root,
            fresh: FRESH.min(heartbeat),
            known: Mutex::default(),
            comparing: Semaphore::new(COMPARED),
        }))
    }

    /// False where nobody is asked who they are.
    pub(crate) fn asks(&self) -> bool {
        self.0.asks
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Whose token this is.
    pub(crate) async fn of_token(&self, text: &str) -> Result<Arc<Known>, Unknown> {
        let key = secret::key(text);
        if let Some(known) = self.remembered(&key).await? {
            return Ok(known);
        }
        let began = Instant::now();
        let found = self.look_up(text, &key).await;
        if let Err(Unknown::Refused { .. }) = found {
            sleep_until(began + REFUSAL).await;
        }
        let (identity, basis) = found?;
        Ok(self.remember(key, identity, basis))
    }

    /// Whose browser has this cookie.
    pub(crate) async fn of_cookie(&self, cookie: &str) -> Result<Arc<Known>, Unknown> {
        let key = secret::key(cookie);
        if let Some(known) = self.remembered(&key).await? {
            return Ok(known);
        }
        let ended = || Unknown::refused("the session on this page has ended; log in again");
        let with = self.0.queue.page_session(&key).await?.ok_or_else(ended)?;
        let identity = match &with {
            LoggedInWith::Root(own) if self.0.root.is_some_and(|root| root.is(own)) => root_identity(),
            LoggedInWith::Root(_) => return Err(ended()),
            LoggedInWith::Token(id) => {
                let proof = self.0.queue.token_to_prove(id).await?.ok_or_else(ended)?;
                holds(&proof)?;
                identity(id, proof)
            }
        };
        Ok(self.remember(key, identity, Basis::Cookie(key, with)))
    }

    /// Logs a browser in, and gives its cookie.
    pub(crate) async fn log_in(&self, known: &Known) -> Result<String, Unknown> {
        let with = match &known.basis {
            Basis::Token(id) => LoggedInWith::Token(id.clone()),
            Basis::Cookie(_, with) => with.clone(),
            Basis::Root => {
                let root =
                    self.0.root.ok_or_else(|| Unknown::refused("there is no administrator's token"))?;
                LoggedInWith::Root(root.key())
            }
        };
        let cookie = secret::cookie().map_err(|error| Unknown::NotNow(error.to_string()))?;
        self.0.queue.open_page_session(&secret::key(&cookie), &with, PAGE_SESSION).await?;
        Ok(cookie)
    }

    /// Logs a browser out: its open calls end too.
    pub(crate) async fn log_out(&self, cookie: &str) -> Result<(), Unknown> {
        let key = secret::key(cookie);
        self.0.queue.close_page_session(&key).await?;
        if let Some(known) = self.lock().remove(&key) {
            known.ended.cancel();
        }
        Ok(())
    }

    /// Forgets a token that was revoked: its open calls end at once.
    pub(crate) fn forget(&self, token: &str) {
        self.lock().retain(|_, known| {
            let is_its = match &known.basis {
                Basis::Token(id) | Basis::Cookie(_, LoggedInWith::Token(id)) => id == token,
                Basis::Root | Basis::Cookie(_, LoggedInWith::Root(_)) => false,
            };
            if is_its {
                known.ended.cancel();
            }
            !is_its
        });
    }

    async fn look_up(&self, text: &str, key: &Key) -> Result<(Identity, Basis), Unknown> {
        let shown = Shown::read(text).ok_or_else(|| {
            Unknown::refused("what was given is not a token: one looks like btctl_ID_SECRET; is it cut off?")
        })?;
        let unknown = || Unknown::refused("this token is not known here");
        if shown.id == ROOT {
            return match self.0.root {
                Some(root) if root.is(key) => Ok((root_identity(), Basis::Root)),
                _ => Err(unknown()),
            };
        }
        let proof = self.0.queue.token_to_prove(shown.id).await?.ok_or_else(unknown)?;
        let id = shown.id.to_owned();
        if !self.is_it(text.to_owned(), proof.hash.clone()).await? {
            return Err(unknown());
        }
        holds(&proof)?;
        Ok((identity(&id, proof), Basis::Token(id)))
    }

    /// Whether a token's hash is this, on one of few threads.
    async fn is_it(&self, text: String, hash: String) -> Result<bool, Unknown> {
        let turn = timeout(TURN, self.0.comparing.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Unknown::NotNow("too many tokens are looked at now; try again".to_owned()));
        };
        let comparing = spawn_blocking(move || Shown::read(&text).is_some_and(|shown| shown.is(&hash)));
        comparing.await.map_err(|error| Unknown::NotNow(format!("a token could not be compared: {error}")))
    }

    fn remember(&self, key: Key, identity: Identity, basis: Basis) -> Arc<Known> {
        let now = Instant::now();
        let mut all = self.lock();
        if all.len() >= MOST {
            all.retain(|_, known| Arc::strong_count(known) > 1);
        }
        let known = Arc::new(Known {
            identity: Arc::new(identity),
            basis,
            ended: CancellationToken::new(),
            seen: Mutex::new(Seen { held: now, used: now }),
        });
        all.insert(key, known.clone());
        known
    }

    /// What was looked up before, if it still holds.
    async fn remembered(&self, key: &Key) -> Result<Option<Arc<Known>>, Unknown> {
        let Some(known) = self.lock().get(key).cloned() else { return Ok(None) };
        let now = Instant::now();
        let held = {
            let mut seen = known.seen();
            seen.used = now;
            seen.held
        };
        if known.has_expired() {
            self.end(key, &known);
            return Ok(None);
        }
        if now - held <= self.0.fresh {
            return Ok(Some(known));
        }
        match self.still_hold(std::slice::from_ref(&known)).await {
            Ok(hold) if hold[0] => Ok(Some(known)),
            Ok(_) => {
                self.end(key, &known);
                Ok(None)
            }
            Err(error) if error.is_transient() && now - held <= WITHOUT_POSTGRES => Ok(Some(known)),
            Err(error) => Err(error.into()),
        }
    }

    fn end(&self, key: &Key, known: &Known) {
        known.ended.cancel();
        self.lock().remove(key);
    }

    /// Which of these still hold, and notes that they do.
    async fn still_hold(&self, known: &[Arc<Known>]) -> Result<Vec<bool>, queue::Error> {
        let now = Instant::now();
        let tokens: Vec<_> =
            known.iter().filter_map(|known| known.basis.token().map(str::to_owned)).collect();
        let cookies: Vec<_> =
            known.iter().filter_map(|known| known.basis.cookie().map(|key| key.to_vec())).collect();
        let tokens = if tokens.is_empty() { tokens } else { self.0.queue.tokens_that_hold(&tokens).await? };
        let cookies = if cookies.is_empty() {
            Vec::new()
        } else {
            self.0.queue.page_sessions_that_hold(&cookies).await?
        };
        let holds = |known: &Arc<Known>| {
            let token = known.basis.token().is_none_or(|id| tokens.iter().any(|held| held == id));
            let cookie = known.basis.cookie().is_none_or(|key| cookies.contains(key));
            let holds = token && cookie && !known.has_expired();
            if holds {
                known.seen().held = now;
            }
            holds
        };
        Ok(known.iter().map(holds).collect())
    }

    /// Looks again and again at those who call, until the end.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        if !self.asks() {
            return;
        }
        let mut beats = interval(self.0.fresh / 2);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = beats.tick() => {}
            }
            if let Err(error) = self.look_again().await {
                warn!(error = %error, "who calls can't be looked at again now");
            }
        }
    }

    async fn look_again(&self) -> Result<(), queue::Error> {
        let now = Instant::now();
        let (keys, known): (Vec<_>, Vec<_>) = {
            let mut all = self.lock();
            all.retain(|_, known| Arc::strong_count(known) > 1 || now - known.seen().used < REMEMBERED);
            all.iter().map(|(key, known)| (*key, known.clone())).unzip()
        };
        if known.is_empty() {
            return Ok(());
        }
        let used = known.iter().filter(|known| now - known.seen().used < REMEMBERED);
        let used: Vec<_> = used.filter_map(|known| known.basis.token().map(str::to_owned)).collect();
        if !used.is_empty() {
            self.0.queue.note_use(&used).await?;
        }
        let hold = self.still_hold(&known).await?;
        for ((key, known), holds) in keys.iter().zip(&known).zip(hold) {
            if !holds {
                info!("the token of {} holds no more; its calls end", known.identity.name);
                self.end(key, known);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Known>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_expired(&self) -> bool {
        self.identity.expires.is_some_and(|expires| expires <= Timestamp::now())
    }
}

impl Basis {
    fn token(&self) -> Option<&str> {
        match self {
            Self::Token(id) | Self::Cookie(_, LoggedInWith::Token(id)) => Some(id),
            Self::Root | Self::Cookie(_, LoggedInWith::Root(_)) => None,
        }
    }

    fn cookie(&self) -> Option<&Key> {
        match self {
            Self::Cookie(key, _) => Some(key),
            Self::Root | Self::Token(_) => None,
        }
    }
}

fn holds(proof: &Proof) -> Result<(), Unknown> {
    let name = &proof.name;
    let why = match (proof.revoked, proof.expired, proof.expires) {
        (true, ..) => format!("this token of {name} was revoked"),
        (_, true, Some(expired)) => {
            format!("this token of {name} expired at {expired}; an administrator makes a new one")
        }
        _ => return Ok(()),
    };
    Err(Unknown::Refused { why, name: Some(name.clone()) })
}

fn identity(id: &str, proof: Proof) -> Identity {
    let Proof { name, role, owners, expires, .. } = proof;
    Identity { name, role, owners, token: Some(id.to_owned()), expires, is_known: true }
}

fn root_identity() -> Identity {
    let name = ROOT.to_owned();
    Identity { owners: vec![name.clone()], name, is_known: true, ..Identity::anybody() }
}
