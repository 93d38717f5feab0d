//! Who calls: tokens, cookies and certificates that were shown are looked up once, remembered (secrets by their SHA-256), and
//! looked at again every few seconds, so that a revoked one is refused, and its open calls end, within a heartbeat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bt_model::id::AgentId;
use bt_model::role::Role;
use bt_trust::ShownAgent;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::caller::{self, Basis, Known, Proof, Unknown};
use super::identity::Identity;
use super::root::Root;
use super::secret::{self, ROOT, Shown};
use crate::config::Auth;
use crate::queue::{self, Key, LoggedInWith, Queue};

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
/// How long the answer to whoever signs out may take.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// How long a browser stays logged in.
pub(crate) const PAGE_SESSION: Duration = Duration::from_secs(12 * 3_600);

/// Who callers are. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Queue,
    auth: Auth,
    root: Option<Root>,
    /// Who holds the administrator's token.
    administrator: Identity,
    /// Whoever calls as the coordinator's own user, where that needs no token.
    own_user: Option<Arc<Known>>,
    fresh: Duration,
    known: Mutex<HashMap<Proof, Arc<Known>>>,
    comparing: Semaphore,
}

impl Access {
    pub(crate) fn new(queue: Queue, auth: Auth, root: Option<Root>, heartbeat: Duration) -> Self {
        let (administrator, own_user) = match auth {
            Auth::Local => {
                let own = caller::own_user();
                let local = Identity { is_vouched: true, ..own.clone() };
                (own, Some(Arc::new(Known::new(local, Basis::Root))))
            }
            Auth::Tokens | Auth::None => (caller::root(), None),
        };
        Self(Arc::new(Inner {
            queue,
            auth,
            root,
            administrator,
            own_user,
            fresh: FRESH.min(heartbeat),
            known: Mutex::default(),
            comparing: Semaphore::new(COMPARED),
        }))
    }

    /// False where nobody is asked who they are.
    pub(crate) fn asks(&self) -> bool {
        self.0.auth != Auth::None
    }

    /// Whoever calls as the coordinator's own user, where that needs no token.
    pub(crate) fn own_user(&self) -> Option<&Arc<Known>> {
        self.0.own_user.as_ref()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Whose token this is.
    pub(crate) async fn of_token(&self, text: &str) -> Result<Arc<Known>, Unknown> {
        let key = secret::key(text);
        if let Some(known) = self.remembered(&Proof::Token(key)).await? {
            return Ok(known);
        }
        let began = Instant::now();
        let found = self.look_up(text, &key).await;
        if let Err(Unknown::Refused { .. }) = found {
            sleep_until(began + REFUSAL).await;
        }
        let (identity, basis) = found?;
        Ok(self.remember(Proof::Token(key), identity, basis))
    }

    /// Whose browser has this cookie.
    pub(crate) async fn of_cookie(&self, cookie: &str) -> Result<Arc<Known>, Unknown> {
        let key = secret::key(cookie);
        if let Some(known) = self.remembered(&Proof::Cookie(key)).await? {
            return Ok(known);
        }
        let ended = || Unknown::refused("the session on this page has ended; log in again");
        let with = self.0.queue.page_session(&key).await?.ok_or_else(ended)?;
        let identity = match &with {
            LoggedInWith::Root(own) if self.0.root.is_some_and(|root| root.is(own)) => {
                self.0.administrator.clone()
            }
            LoggedInWith::Root(_) => return Err(ended()),
            LoggedInWith::Token(id) => {
                let proof = self.0.queue.token_to_prove(id).await?.ok_or_else(ended)?;
                caller::of_token(id, proof)?
            }
        };
        Ok(self.remember(Proof::Cookie(key), identity, Basis::Cookie(key, with)))
    }

    /// Which agent showed this certificate.
    pub(crate) async fn of_certificate(&self, shown: ShownAgent) -> Result<Arc<Known>, Unknown> {
        let proof = Proof::Certificate(shown);
        if let Some(known) = self.remembered(&proof).await? {
            return Ok(known);
        }
        let agent = AgentId::from_uuid(shown.agent);
        let joined = self.0.queue.joined_agent(agent).await?;
        let identity = caller::of_certificate(&shown, joined)?;
        Ok(self.remember(proof, identity, Basis::Certificate(agent)))
    }

    /// Whom a proxy calls for.
    pub(crate) fn of_proxy(&self, name: &str, role: Role) -> Result<Arc<Known>, Unknown> {
        caller::of_proxy(name, role).map(Arc::new)
    }

    /// Logs a browser in, and gives its cookie.
    pub(crate) async fn log_in(&self, known: &Known) -> Result<String, Unknown> {
        let with = match &known.basis {
            Basis::Token(id) => LoggedInWith::Token(id.clone()),
            Basis::Cookie(_, with) => with.clone(),
            Basis::Certificate(_) | Basis::Proxy => {
                return Err(Unknown::refused("there is no token to log in with"));
            }
            Basis::Root => {
                let root =
                    self.0.root.ok_or_else(|| Unknown::refused("there is no administrator's token"))?;
                LoggedInWith::Root(root.key())
            }
        };
        self.open_page(&with, PAGE_SESSION).await
    }

    /// Logs in a browser whose user has signed in, and gives its cookie.
    pub(crate) async fn log_in_with(&self, token: &str, holds: Duration) -> Result<String, Unknown> {
        self.open_page(&LoggedInWith::Token(token.to_owned()), holds).await
    }

    async fn open_page(&self, with: &LoggedInWith, holds: Duration) -> Result<String, Unknown> {
        let cookie = secret::cookie().map_err(|error| Unknown::NotNow(error.to_string()))?;
        self.0.queue.open_page_session(&secret::key(&cookie), with, holds).await?;
        Ok(cookie)
    }

    /// Logs a browser out: its open calls end too.
    pub(crate) async fn log_out(&self, cookie: &str) -> Result<(), Unknown> {
        let key = secret::key(cookie);
        if let Some(token) = self.0.queue.sign_out_of_page(&key).await? {
            self.forget(&token);
        }
        self.0.queue.close_page_session(&key).await?;
        if let Some(known) = self.lock().remove(&Proof::Cookie(key)) {
            known.ended.cancel();
        }
        Ok(())
    }

    /// Forgets a token that was revoked: its open calls end at once.
    pub(crate) fn forget(&self, token: &str) {
        self.forget_those(|basis| basis.token() == Some(token));
    }

    /// Forgets a token whose holder signs out. Its open calls end with what is given back, which leaves a moment to answer in.
    pub(crate) fn forget_after_answer(&self, token: &str) -> impl Future<Output = ()> + Send + 'static {
        let forgotten = self.take_those(|basis| basis.token() == Some(token));
        async move {
            sleep(LAST_ANSWER).await;
            forgotten.iter().for_each(|known| known.ended.cancel());
        }
    }

    /// Forgets an agent whose certificates were revoked.
    pub(crate) fn forget_agent(&self, agent: AgentId) {
        self.forget_those(|basis| basis.agent() == Some(agent));
    }

    fn forget_those(&self, are: impl Fn(&Basis) -> bool) {
        self.take_those(are).iter().for_each(|known| known.ended.cancel());
    }

    fn take_those(&self, are: impl Fn(&Basis) -> bool) -> Vec<Arc<Known>> {
        self.lock().extract_if(|_, known| are(&known.basis)).map(|(_, known)| known).collect()
    }

    async fn look_up(&self, text: &str, key: &Key) -> Result<(Identity, Basis), Unknown> {
        let shown = Shown::read(text).ok_or_else(|| {
            Unknown::refused("what was given is not a token: one looks like btctl_ID_SECRET; is it cut off?")
        })?;
        let unknown = || Unknown::refused("this token is not known here");
        if shown.id == ROOT {
            return match self.0.root {
                Some(root) if root.is(key) => Ok((self.0.administrator.clone(), Basis::Root)),
                _ => Err(unknown()),
            };
        }
        let proof = self.0.queue.token_to_prove(shown.id).await?.ok_or_else(unknown)?;
        let id = shown.id.to_owned();
        if !self.is_it(text.to_owned(), proof.hash.clone()).await? {
            return Err(unknown());
        }
        Ok((caller::of_token(&id, proof)?, Basis::Token(id)))
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

    fn remember(&self, proof: Proof, identity: Identity, basis: Basis) -> Arc<Known> {
        let mut all = self.lock();
        if all.len() >= MOST {
            all.retain(|_, known| Arc::strong_count(known) > 1);
        }
        let known = Arc::new(Known::new(identity, basis));
        all.insert(proof, known.clone());
        known
    }

    /// What was looked up before, if it still holds.
    async fn remembered(&self, proof: &Proof) -> Result<Option<Arc<Known>>, Unknown> {
        let Some(known) = self.lock().get(proof).cloned() else { return Ok(None) };
        let now = Instant::now();
        let held = {
            let mut seen = known.seen();
            seen.used = now;
            seen.held
        };
        if known.has_expired() {
            self.end(proof, &known);
            return Ok(None);
        }
        if now - held <= self.0.fresh {
            return Ok(Some(known));
        }
        match self.still_hold(std::slice::from_ref(&known)).await {
            Ok(hold) if hold[0] => Ok(Some(known)),
            Ok(_) => {
                self.end(proof, &known);
                Ok(None)
            }
            Err(error) if error.is_transient() && now - held <= WITHOUT_POSTGRES => Ok(Some(known)),
            Err(error) => Err(error.into()),
        }
    }

    fn end(&self, proof: &Proof, known: &Known) {
        self.lock().remove(proof);
        known.ended.cancel();
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
        let agents: Vec<_> = known.iter().filter_map(|known| known.basis.agent()).collect();
        let agents = match agents.is_empty() {
            true => agents,
            false => self.0.queue.joined_agents_that_hold(&agents).await?,
        };
        let holds = |known: &Arc<Known>| {
            let token = known.basis.token().is_none_or(|id| tokens.iter().any(|held| held == id));
            let cookie = known.basis.cookie().is_none_or(|key| cookies.contains(key));
            let agent = known.basis.agent().is_none_or(|agent| agents.contains(&agent));
            let holds = token && cookie && agent && !known.has_expired();
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
        let (proofs, known): (Vec<_>, Vec<_>) = {
            let mut all = self.lock();
            all.retain(|_, known| Arc::strong_count(known) > 1 || now - known.seen().used < REMEMBERED);
            all.iter().map(|(proof, known)| (*proof, known.clone())).unzip()
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
        for ((proof, known), holds) in proofs.iter().zip(&known).zip(hold) {
            if !holds {
                info!("what {} has shown holds no more; its calls end", known.identity.name);
                self.end(proof, known);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Proof, Arc<Known>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
