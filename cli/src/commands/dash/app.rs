//! What the dashboard shows and what keys do to it. Nothing here draws or asks.

use std::collections::VecDeque;

use bt_proto::v1;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::Timestamp;

use super::feed::{JobList, News, SweepNews, Wanted};

/// Lines of a log that are kept.
const LOG_LINES: usize = 5_000;
/// Lines that a page of a log moves by.
const PAGE: usize = 10;
/// Sweeps, and jobs of one, that are asked for at most.
const MOST: u32 = 500;

/// Whether the dashboard goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    Quit,
    Interrupted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Sweeps,
    Sweep,
    Agents,
    Log,
}

#[derive(Debug)]
pub(super) struct App {
    pub(super) page: Page,
    pub(super) sweeps: Option<Vec<v1::Sweep>>,
    pub(super) sweep: Option<Box<SweepNews>>,
    pub(super) agents: Option<Vec<v1::Agent>>,
    pub(super) log: VecDeque<String>,
    pub(super) log_end: Option<String>,
    /// Lines that are below the last one that is shown.
    pub(super) below: usize,
    pub(super) away: Option<Timestamp>,
    pub(super) fault: Option<String>,
    pub(super) is_helping: bool,
    /// On a terminal with room for one of them only: the map instead of the jobs.
    pub(super) shows_map: bool,
    pub(super) list: JobList,
    pub(super) job: u32,
    /// Places in the lists of sweeps, jobs and agents.
    pub(super) places: [usize; 3],
    id: String,
    by: Option<String>,
    rows: u32,
}

impl App {
    /// `sweep` is the id of the one that is shown first; without one all are.
    pub(super) fn new(sweep: Option<String>) -> Self {
        Self {
            page: if sweep.is_some() { Page::Sweep } else { Page::Sweeps },
            id: sweep.unwrap_or_default(),
            sweeps: None,
            sweep: None,
            agents: None,
            log: VecDeque::new(),
            log_end: None,
            below: 0,
            away: None,
            fault: None,
            is_helping: false,
            shows_map: false,
            list: JobList::Best,
            job: 0,
            places: [0; 3],
            by: None,
            rows: 24,
        }
    }

    /// What is to be asked for: no more than fits the screen, or than was scrolled to.
    pub(super) fn wanted(&self) -> Wanted {
        // By whole screens, so that not each step down asks anew.
        let rows = |place: usize| ((place as u32 + 2).div_ceil(self.rows) * self.rows).min(MOST);
        match self.page {
            Page::Sweeps => Wanted::Sweeps(rows(self.places[0])),
            Page::Sweep => Wanted::Sweep {
                id: self.id.clone(),
                list: self.list,
                by: self.by.clone(),
                limit: rows(self.places[1]),
            },
            Page::Agents => Wanted::Agents,
            Page::Log => Wanted::Log { sweep: self.id.clone(), job: self.job },
        }
    }

    pub(super) fn set_rows(&mut self, rows: u16) {
        self.rows = u32::from(rows.max(1));
    }

    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Away(since) => self.away = since,
            News::Fault(fault) => self.fault = Some(fault),
            News::Sweeps(sweeps) => {
                self.fault = None;
                self.sweeps = Some(sweeps);
            }
            News::Agents(agents) => {
                self.fault = None;
                self.agents = Some(agents);
            }
            // One that was left may still answer.
            News::Sweep(news) if news.shown.sweep.id == self.id && news.list == self.list => {
                self.fault = None;
                self.sweep = Some(news);
            }
            News::Sweep(_) => {}
            News::LogLine(line) if self.page == Page::Log => {
                if self.log.len() == LOG_LINES {
                    self.log.pop_front();
                }
                self.log.push_back(line);
                // Whoever has scrolled up keeps what is read.
                self.below += usize::from(self.below > 0);
            }
            News::LogEnd(end) if self.page == Page::Log => self.log_end = Some(end),
            News::LogLine(_) | News::LogEnd(_) => {}
        }
        let lengths = [
            self.sweeps.as_ref().map_or(0, Vec::len),
            self.sweep.as_ref().map_or(0, |sweep| sweep.jobs.len()),
            self.agents.as_ref().map_or(0, Vec::len),
        ];
        for (place, length) in self.places.iter_mut().zip(lengths) {
            *place = (*place).min(length.saturating_sub(1));
        }
    }

    pub(super) fn press(&mut self, key: KeyEvent) -> Verdict {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Verdict::Interrupted;
        }
        if std::mem::take(&mut self.is_helping) && key.code != KeyCode::Char('q') {
            return Verdict::GoOn;
        }
        match key.code {
            KeyCode::Char('q') => return Verdict::Quit,
            KeyCode::Char('?') => self.is_helping = true,
            KeyCode::Char('s') => self.page = Page::Sweeps,
            KeyCode::Char('a') => self.page = Page::Agents,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.go_back(),
            KeyCode::Enter | KeyCode::Right => self.open(),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(-1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll(1),
            KeyCode::PageUp => self.scroll(-(PAGE as isize)),
            KeyCode::PageDown => self.scroll(PAGE as isize),
            KeyCode::Home | KeyCode::Char('g') => self.scroll(isize::MIN / 2),
            KeyCode::End | KeyCode::Char('G') => self.scroll(isize::MAX / 2),
            code if self.page == Page::Sweep => self.press_on_sweep(code),
            _ => {}
        }
        Verdict::GoOn
    }

    fn press_on_sweep(&mut self, code: KeyCode) {
        let list = match code {
            KeyCode::Char('m') => return self.turn_metric(1),
            KeyCode::Char('M') => return self.turn_metric(-1),
            KeyCode::Tab => {
                self.shows_map = !self.shows_map;
                return;
            }
            KeyCode::Char('b') => JobList::Best,
            KeyCode::Char('r') => JobList::Running,
            KeyCode::Char('f') => JobList::Failed,
            KeyCode::Char('l') => return self.open(),
            _ => return,
        };
        self.list = list;
        self.places[1] = 0;
        if let Some(sweep) = &mut self.sweep {
            (sweep.list, sweep.jobs) = (list, Vec::new());
        }
    }

    /// The next metric, or the one before.
    fn turn_metric(&mut self, by: isize) {
        let Some(landscape) = self.sweep.as_ref().map(|sweep| &sweep.landscape) else { return };
        let length = landscape.metrics.len() as isize;
        let shown = self.by.as_ref().unwrap_or(&landscape.metric);
        let Some(place) = landscape.metrics.iter().position(|metric| metric == shown) else { return };
        self.by = Some(landscape.metrics[(place as isize + by).rem_euclid(length) as usize].clone());
        self.places[1] = 0;
    }

    fn scroll(&mut self, by: isize) {
        let list = match self.page {
            Page::Sweeps => 0,
            Page::Sweep => 1,
            Page::Agents => 2,
            Page::Log => {
                self.below = self.below.saturating_add_signed(-by).min(self.log.len());
                return;
            }
        };
        let length = match list {
            0 => self.sweeps.as_ref().map_or(0, Vec::len),
            1 => self.sweep.as_ref().map_or(0, |sweep| sweep.jobs.len()),
            _ => self.agents.as_ref().map_or(0, Vec::len),
        };
        self.places[list] = self.places[list].saturating_add_signed(by).min(length.saturating_sub(1));
    }

    fn open(&mut self) {
        match self.page {
            Page::Sweeps => {
                let sweep = self.sweeps.as_ref().and_then(|sweeps| sweeps.get(self.places[0]));
                let Some(sweep) = sweep else { return };
                if self.id != sweep.id {
                    (self.id, self.by, self.sweep) = (sweep.id.clone(), None, None);
                    (self.list, self.places[1]) = (JobList::Best, 0);
                }
                self.page = Page::Sweep;
            }
            Page::Sweep => {
                let job = self.sweep.as_ref().and_then(|sweep| sweep.jobs.get(self.places[1]));
                let Some(job) = job else { return };
                self.job = job.number;
                (self.log, self.log_end, self.below) = (VecDeque::new(), None, 0);
                self.page = Page::Log;
            }
            Page::Agents | Page::Log => {}
        }
    }

    fn go_back(&mut self) {
        self.page = match self.page {
            Page::Log => Page::Sweep,
            Page::Sweeps | Page::Sweep | Page::Agents => Page::Sweeps,
        };
    }
}

#[cfg(test)]
mod tests {
    use bt_documents::SweepReport;

    use super::*;

    fn press(app: &mut App, code: KeyCode) -> Verdict {
        app.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn sweeps(ids: &[&str]) -> News {
        News::Sweeps(
            ids.iter().map(|id| v1::Sweep { id: (*id).to_owned(), ..v1::Sweep::default() }).collect(),
        )
    }

    fn sweep(id: &str, metric: &str) -> News {
        let sweep = v1::Sweep { id: id.to_owned(), ..v1::Sweep::default() };
        let reply = v1::ShowSweepReply { sweep: Some(sweep), ..v1::ShowSweepReply::default() };
        let landscape = v1::ShowLandscapeReply {
            metrics: ["cagr", "sharpe"].map(str::to_owned).into(),
            metric: metric.to_owned(),
            ..v1::ShowLandscapeReply::default()
        };
        let jobs = vec![v1::Job { number: 7, ..v1::Job::default() }];
        let shown = SweepReport::try_from(reply).unwrap();
        News::Sweep(Box::new(SweepNews { shown, landscape, list: JobList::Best, jobs }))
    }

    #[test]
    fn keys_lead_from_the_sweeps_to_a_log_and_back() {
        let mut app = App::new(None);
        app.take(sweeps(&["a", "b"]));
        press(&mut app, KeyCode::Down);
        press(&mut app, KeyCode::Down);
        press(&mut app, KeyCode::Enter);
        let by = |by: Option<&str>| Wanted::Sweep {
            id: "b".to_owned(),
            list: JobList::Best,
            by: by.map(str::to_owned),
            limit: 24,
        };
        assert_eq!(app.wanted(), by(None));
        app.take(sweep("a", "sharpe"));
        assert!(app.sweep.is_none(), "the one that was left may still answer");
        app.take(sweep("b", "sharpe"));
        press(&mut app, KeyCode::Char('m'));
        assert_eq!(app.wanted(), by(Some("cagr")));
        press(&mut app, KeyCode::Char('M'));
        assert_eq!(app.wanted(), by(Some("sharpe")));
        press(&mut app, KeyCode::Enter);
        assert_eq!(app.wanted(), Wanted::Log { sweep: "b".to_owned(), job: 7 });
        app.take(News::LogLine("x".to_owned()));
        assert_eq!(app.log, ["x"]);
        press(&mut app, KeyCode::Esc);
        assert_eq!(app.wanted(), by(Some("sharpe")));
        press(&mut app, KeyCode::Esc);
        assert_eq!(app.wanted(), Wanted::Sweeps(24));
    }

    #[test]
    fn no_more_is_asked_for_than_was_scrolled_to() {
        let mut app = App::new(None);
        app.set_rows(10);
        app.take(sweeps(&["x"; 40]));
        for (steps, limit) in [(8, 10), (1, 20), (9, 20), (1, 30)] {
            for _ in 0..steps {
                press(&mut app, KeyCode::Down);
            }
            assert_eq!(app.wanted(), Wanted::Sweeps(limit));
        }
        app.take(sweeps(&["x"]));
        assert_eq!(app.wanted(), Wanted::Sweeps(10));
    }

    #[test]
    fn the_help_is_closed_by_any_key_and_q_quits() {
        let mut app = App::new(None);
        press(&mut app, KeyCode::Char('?'));
        assert!(app.is_helping);
        press(&mut app, KeyCode::Char('a'));
        assert_eq!((app.is_helping, &app.page), (false, &Page::Sweeps));
        assert_eq!(press(&mut app, KeyCode::Char('q')), Verdict::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(app.press(interrupt), Verdict::Interrupted);
    }
}
