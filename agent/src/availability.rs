//! Whether the machine's owner lends it now: what is looked at stands in `conditions`. While it is not available the agent
//! takes no new jobs, and those that run are frozen, handed back, or left to finish.

mod conditions;
mod load;

use std::sync::Arc;
use std::time::Duration;

use bt_engine::{Error, FoundState};
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::Agent;
use crate::config::WhenUnavailable;
use crate::record::ending::Halt;
use conditions::Conditions;

/// How often it is looked whether the machine is available.
const LOOK: Duration = Duration::from_secs(2);
/// How long containers that are being started hold up that all are frozen; the next look finds them.
const STARTING: Duration = Duration::from_secs(5);

/// Looks whether the machine is available, until `end`.
pub(crate) async fn run(agent: Arc<Agent>, end: CancellationToken) {
    let options = &agent.site.options.availability;
    let mut conditions = Conditions::new(options);
    let mut given_back = false;
    loop {
        let why = conditions.look(&agent).await;
        match (agent.away.why().as_str(), why.as_str()) {
            ("", "") => {}
            ("", why) => info!("the machine is not available: {why}"),
            (_, "") => info!("the machine is available again"),
            _ => {}
        }
        let is_away = !why.is_empty();
        agent.away.note(why);
        match (is_away, options.when_unavailable) {
            (false, _) => {
                given_back = false;
                thaw(&agent).await;
            }
            (true, WhenUnavailable::Finish) => thaw(&agent).await,
            (true, WhenUnavailable::HandBack) => {
                thaw(&agent).await;
                hand_back(&agent, "");
            }
            (true, WhenUnavailable::Freeze) if given_back => hand_back(&agent, ""),
            (true, WhenUnavailable::Freeze) => {
                let too_long = agent.away.stretches.open_since().is_some_and(|since| {
                    let frozen = Duration::try_from(Timestamp::now().duration_since(since));
                    frozen.is_ok_and(|frozen| frozen >= options.freeze_limit)
                });
                let more = match too_long {
                    true => ", for longer than --freeze-limit".to_owned(),
                    false => match freeze(&agent).await {
                        Ok(()) => String::new(),
                        Err(error) => {
                            warn!("what runs is handed back, since it can't be frozen: {error}");
                            format!(", and what runs can't be frozen ({error})")
                        }
                    },
                };
                if !more.is_empty() {
                    given_back = true;
                    thaw(&agent).await;
                    hand_back(&agent, &more);
                }
            }
        }
        // Where nothing is looked at, only what an earlier run has frozen is to be thawed.
        let is_over = !options.are_any() && agent.away.stretches.open_since().is_none();
        if is_over || timeout(LOOK, end.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// Lets all containers of the agent stand still.
async fn freeze(agent: &Agent) -> Result<(), Error> {
    let away = &agent.away;
    let count = agent.holdings.count();
    if away.stretches.open_since().is_none() && count == 0 && !agent.is_busy() {
        return Ok(());
    }
    away.frozen.send_replace(true);
    away.stretches.begin(Timestamp::now());
    let _alone = timeout(STARTING, away.starts.write()).await;
    for found in agent.site.engine.list(agent.site.identity.agent).await? {
        let Some(container) = found.attempt else { continue };
        if found.state == FoundState::Running && !found.is_frozen {
            agent.site.engine.freeze(container).await?;
            info!(%container, "frozen");
        }
    }
    for held in agent.holdings.all() {
        held.note(format!("frozen: {}", away.told()));
    }
    Ok(())
}

/// Lets what was frozen go on.
async fn thaw(agent: &Agent) {
    let away = &agent.away;
    if away.stretches.open_since().is_none() {
        return;
    }
    let thawing = async {
        for found in agent.site.engine.list(agent.site.identity.agent).await? {
            if let Some(container) = found.attempt.filter(|_| found.is_frozen) {
                agent.site.engine.thaw(container).await?;
                info!(%container, "it goes on");
            }
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = thawing.await {
        warn!("what is frozen can't go on yet: {error}");
        return;
    }
    away.stretches.end(Timestamp::now());
    away.frozen.send_replace(false);
    for held in agent.holdings.all() {
        held.note("");
    }
}

/// Stops what runs and hands it back, at no cost. What only has to be stored goes on.
fn hand_back(agent: &Agent, more: &str) {
    for held in agent.holdings.all() {
        held.halt(Halt::Release(format!("{}{more}", agent.away.told())));
    }
}
