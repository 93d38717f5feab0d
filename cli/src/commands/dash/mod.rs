//! `btctl dash`: the cluster on one screen.

mod app;
mod draw;
mod feed;
mod heat;

use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::interval;

use self::app::{App, Verdict};
use self::feed::News;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Channel, FullScreen};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::target;

/// News that wait for the next picture.
const NEWS: usize = 1_000;
/// How often what changes by itself, such as ages, is drawn anew; and how often news are, at most.
const REDRAW: Duration = Duration::from_millis(500);
const PICTURE: Duration = Duration::from_millis(50);

const HELP: &str = "\
Examples:
  btctl dash
  btctl dash sma-cross
Keys are shown in the last line; ? explains them, q quits. Only what is on the screen is asked for, so that it works over slow \
lines. A coordinator that goes away is waited for.";

/// Look at sweeps, their best jobs, agents and logs, live on the whole terminal.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Dash {
    /// The sweep to begin with; all of them if not given.
    #[arg(value_name = "SWEEP", value_parser = target::sweep)]
    sweep: Option<String>,
}

impl Dash {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Error> {
        FullScreen::check("btctl dash")?;
        let client = Client::connect(settings).await?;
        let sweep = match &self.sweep {
            Some(sweep) => Some(client.resolve(sweep).await?.id),
            None => None,
        };
        let mut signals = Signals::listen()?;
        let client = client.quiet();
        let mut screen = FullScreen::enter()?;
        let verdict = tokio::select! {
            verdict = show(&client, App::new(sweep), &mut screen) => verdict?,
            () = signals.next() => Verdict::Interrupted,
        };
        drop(screen);
        if verdict == Verdict::Interrupted { Err(Error::Interrupted) } else { Ok(()) }
    }
}

async fn show(client: &Client, mut app: App, screen: &mut FullScreen) -> Result<Verdict, Error> {
    app.set_rows(rows());
    let (wanted, wants) = watch::channel(app.wanted());
    let (sender, mut news) = mpsc::channel(NEWS);
    let feeding = feed::feed(client.clone(), wants, sender);
    tokio::pin!(feeding);
    let mut events = EventStream::new();
    let mut redraw = interval(REDRAW);
    loop {
        screen.draw(|frame| draw::draw(&app, frame))?;
        tokio::select! {
            _ = redraw.tick() => {}
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => match app.press(key) {
                    Verdict::GoOn => {}
                    verdict => return Ok(verdict),
                },
                Some(Ok(_)) => app.set_rows(rows()),
                Some(Err(error)) => return Err(Error::Failed(format!("keys can't be read: {error}"))),
                None => return Ok(Verdict::Quit),
            },
            Some(one) = news.recv() => {
                app.take(one);
                take_rest(&mut app, &mut news);
                // A log that is printed fast is not drawn line by line.
                tokio::time::sleep(PICTURE).await;
            }
            () = &mut feeding => return Ok(Verdict::Quit),
        }
        let now = app.wanted();
        wanted.send_if_modified(|before| {
            let is_other = *before != now;
            *before = now;
            is_other
        });
    }
}

fn take_rest(app: &mut App, news: &mut mpsc::Receiver<News>) {
    for _ in 0..NEWS {
        match news.try_recv() {
            Ok(one) => app.take(one),
            Err(_) => return,
        }
    }
}

fn rows() -> u16 {
    u16::try_from(Channel::Stdout.size().1).unwrap_or(u16::MAX)
}
