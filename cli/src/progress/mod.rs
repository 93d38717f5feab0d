//! Watching a sweep to its end: redrawn in place on a terminal, a line now and then elsewhere.

mod heard;
mod lines;
mod picture;
mod rate;
mod standing;
mod summary;

use std::time::Duration;

use bt_documents::SweepReport;
use bt_proto::v1;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use self::heard::SILENT;
pub(crate) use self::heard::{Heard, pause_after};
use self::lines::Lines;
pub(crate) use self::picture::{away, bar, picture};
pub(crate) use self::standing::{Details, Standing, list};
use crate::client::Client;
use crate::error::Error;
use crate::output::{Block, Channel, reader_left};

/// How often the coordinator is asked.
const LOOK: Duration = Duration::from_millis(500);
/// How long it may be away where nobody sees that it is. On a terminal the user decides.
const AWAY: Duration = Duration::from_secs(600);

/// Shows a sweep until every job is finished. Ctrl-C ends the watching, not the sweep.
pub(crate) async fn watch(client: &Client, id: &str, name: &str, channel: Channel) -> Result<(), Error> {
    let mut display = Display::on(channel);
    let ended = tokio::select! {
        ended = to_the_end(client, id, &mut display) => Some(ended),
        left = reader_left(), if channel == Channel::Stdout => Some(Err(left)),
        pressed = tokio::signal::ctrl_c() => match pressed {
            Ok(()) => None,
            Err(error) => Some(Err(Error::Failed(format!("Ctrl-C can't be heard: {error}")))),
        },
    };
    if let Some(ended) = ended {
        let shown = ended?;
        display.clear()?;
        let best = display.standing.and_then(|standing| standing.best);
        return summary::summarise(&shown, best.as_ref(), channel);
    }
    // A newer sweep may have taken the name meanwhile. Nobody who wants to leave waits for the answer for long.
    let resolved = tokio::time::timeout(SILENT, client.resolve(name)).await;
    let is_newest = resolved.is_ok_and(|sweep| sweep.is_ok_and(|sweep| sweep.id == id));
    let address = if is_newest { name } else { id };
    let again = if channel == Channel::Stdout { "watch" } else { "wait" };
    channel.say(&format!(
        "\nthe sweep goes on: btctl {again} {address} shows its progress again, btctl cancel {address} stops it"
    ))?;
    Err(Error::Interrupted)
}

async fn to_the_end(client: &Client, id: &str, display: &mut Display) -> Result<SweepReport, Error> {
    let client = client.quiet();
    let (mut details, mut heard) = (Details::default(), Heard::now());
    loop {
        let look = look(&client, id, &mut details, display.is_drawn());
        let looked = heard.answer(look, |away| display.show(away)).await;
        match looked {
            Ok(Ok((shown, running, best))) => {
                let mut standing = match display.standing.take() {
                    Some(before) => Standing { shown, ..before },
                    None => Standing::first(shown),
                };
                let v1::Counts { succeeded, failed, cancelled, pruned, .. } = standing.shown.counts;
                standing.rate.note(Instant::now(), succeeded + failed + cancelled + pruned);
                (standing.running, standing.best) = (running, best);
                if standing.is_over() {
                    return Ok(display.standing.insert(standing).shown.clone());
                }
                display.standing = Some(standing);
                display.show(None)?;
            }
            // It comes back, and the sweep with it.
            Ok(Err(_)) if display.is_drawn() || heard.silence() < AWAY => {}
            Ok(Err(error)) | Err(error) => {
                display.clear()?;
                return Err(error);
            }
        }
        sleep(LOOK).await;
    }
}

type Looked = (SweepReport, Vec<v1::Job>, Option<standing::Best>);

async fn look(client: &Client, id: &str, details: &mut Details, in_full: bool) -> Result<Looked, Error> {
    let shown = client.show(id).await?;
    if !in_full {
        return Ok((shown, Vec::new(), None));
    }
    let running = Details::running(client, &shown).await?;
    let best = details.best(client, &shown).await?;
    Ok((shown, running, best))
}

struct Display {
    channel: Channel,
    /// On a terminal.
    block: Option<Block>,
    lines: Lines,
    standing: Option<Standing>,
}

impl Display {
    fn on(channel: Channel) -> Self {
        Self { channel, block: Block::on(channel), lines: Lines::on(channel), standing: None }
    }

    fn is_drawn(&self) -> bool {
        self.block.is_some()
    }

    fn show(&mut self, since: Option<Timestamp>) -> Result<(), Error> {
        let away = away(since);
        let Some(block) = &mut self.block else {
            return match (away, &self.standing) {
                (Some(line), _) => self.lines.away(&line.to_string()),
                (None, Some(standing)) => self.lines.update(&standing.shown),
                (None, None) => Ok(()),
            };
        };
        match &mut self.standing {
            Some(standing) => {
                standing.away = since;
                let (width, _) = self.channel.size();
                block.draw(&picture(standing, width))
            }
            None => block.draw(&away.into_iter().collect::<Vec<_>>()),
        }
    }

    fn clear(&mut self) -> Result<(), Error> {
        self.block.as_mut().map_or(Ok(()), Block::clear)
    }
}
