//! The dashboard's pictures.

use bt_documents as documents;
use bt_proto::v1;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState, Wrap};
use serde_json::{Map, Value};

use super::app::{App, Page};
use super::feed::{JobList, SweepNews};
use super::heat;
use crate::output::{figures, one_line, words};
use crate::progress;

/// From this width on, jobs and map stand side by side.
const SIDE_BY_SIDE: u16 = 76;
/// Parameters whose importance is shown.
const WEIGHTS: usize = 4;

const QUIET: Style = Style::new().fg(Color::DarkGray);
const BAD: Style = Style::new().fg(Color::Red);
const CHOSEN: Style = Style::new().add_modifier(ratatui::style::Modifier::REVERSED);

const KEYS: &[(&str, &str)] = &[
    ("up, down", "choose; in a log: scroll"),
    ("Enter", "open the sweep; the log of the job"),
    ("Esc", "go back"),
    ("s", "sweeps"),
    ("a", "agents"),
    ("m, M", "the next metric, the one before"),
    ("b", "the best jobs by the metric"),
    ("r", "jobs that run"),
    ("f", "jobs that failed"),
    ("Tab", "jobs or map, where there is not room for both"),
    ("g, G", "the first, the last"),
    ("?", "this help"),
    ("q", "quit"),
];

pub(super) fn draw(app: &App, frame: &mut Frame<'_>) {
    let [title, body, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(heading(app), title);
    match app.page {
        Page::Sweeps => sweeps(app, frame, body),
        Page::Sweep => sweep(app, frame, body),
        Page::Agents => agents(app, frame, body),
        Page::Log => log(app, frame, body),
    }
    frame.render_widget(Line::styled(footer(&app.page), QUIET), keys);
    if app.is_helping {
        help(frame, body);
    }
}

/// Where one is, or what is wrong.
fn heading(app: &App) -> Line<'static> {
    if let Some(away) = progress::away(app.away) {
        return away;
    }
    if let Some(fault) = &app.fault {
        return Line::styled(one_line(fault), BAD);
    }
    let name = app.sweep.as_ref().map(|sweep| one_line(&sweep.shown.sweep.name)).unwrap_or_default();
    let place = match app.page {
        Page::Sweeps => "sweeps".to_owned(),
        Page::Agents => "agents".to_owned(),
        Page::Sweep => format!("sweep {name}"),
        Page::Log => format!("log of {name}/{}", app.job),
    };
    Line::from(vec![Span::raw("btctl  ").bold(), Span::raw(place)])
}

fn footer(page: &Page) -> &'static str {
    match page {
        Page::Sweeps => "Enter open  a agents  ? help  q quit",
        Page::Sweep => "Enter log  m metric  b best  r running  f failed  Esc back  ? help  q quit",
        Page::Agents => "s sweeps  ? help  q quit",
        Page::Log => "up, down scroll  G follow  Esc back  ? help  q quit",
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<_> = KEYS
        .iter()
        .map(|(key, what)| Line::from(vec![Span::raw(format!(" {key:<9} ")).bold(), Span::raw(*what)]))
        .collect();
    let (width, height) = (62.min(area.width), (lines.len() as u16 + 2).min(area.height));
    let place =
        Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 2, width, height);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), place);
}

fn note(frame: &mut Frame<'_>, area: Rect, text: &str) {
    frame.render_widget(Paragraph::new(text.to_owned()).style(QUIET).wrap(Wrap { trim: true }), area);
}

/// A list with one chosen row.
fn list(frame: &mut Frame<'_>, area: Rect, head: &[&str], rows: Vec<Vec<String>>, place: usize) {
    let heads: Vec<String> = head.iter().map(|name| one_line(name).to_uppercase()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).chain(heads.get(column));
        cells.map(|cell| Span::raw(cell.as_str()).width()).max().unwrap_or(0)
    };
    let widths: Vec<_> =
        (0..head.len()).map(|column| Constraint::Length(width(column).min(40) as u16)).collect();
    let rows = rows.into_iter().map(Row::new);
    let table = Table::new(rows, widths)
        .header(Row::new(heads).style(QUIET))
        .column_spacing(2)
        .row_highlight_style(CHOSEN);
    frame.render_stateful_widget(table, area, &mut TableState::default().with_selected(place));
}

fn sweeps(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let Some(sweeps) = &app.sweeps else { return note(frame, area, "asking for the sweeps ...") };
    if sweeps.is_empty() {
        return note(frame, area, "there are no sweeps yet: btctl submit -f sweep.yaml");
    }
    let head = ["name", "state", "finished", "", "running", "queued", "failed", "age", "owner"];
    let row = |sweep: &v1::Sweep| {
        let counts = sweep.counts.unwrap_or_default();
        let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = counts;
        let count = |jobs: u32| if jobs == 0 { String::new() } else { jobs.to_string() };
        vec![
            one_line(&sweep.name),
            documents::SweepState::from(sweep).name().to_owned(),
            format!("{}/{}", succeeded + failed + cancelled + pruned, words::total(&counts)),
            share(&counts),
            count(running),
            count(queued),
            count(failed),
            words::between(sweep.created.as_ref(), None).unwrap_or_default(),
            one_line(&sweep.owner),
        ]
    };
    list(frame, area, &head, sweeps.iter().map(row).collect(), app.places[0]);
}

/// The bar without its percentage, which stands beside it as counts.
fn share(counts: &v1::Counts) -> String {
    progress::bar(counts, 16).to_string().split(' ').next().unwrap_or_default().to_owned()
}

fn sweep(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let Some(news) = &app.sweep else { return note(frame, area, "asking for the sweep ...") };
    let mut top = vec![progress::bar(&news.shown.counts, usize::from(area.width)), counts(news)];
    for failures in news.shown.failures.iter().take(2) {
        let reason = words::reason(failures.reason.clone()).ok().flatten().unwrap_or_default();
        let text =
            format!("{} failed: {}, such as job {}", failures.jobs, one_line(&reason), failures.first_job);
        top.push(Line::styled(text, BAD));
    }
    let [above, below] =
        Layout::vertical([Constraint::Length(top.len() as u16 + 1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(top), above);
    match (area.width >= SIDE_BY_SIDE, app.shows_map) {
        (true, _) => {
            let [left, right] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)])
                .spacing(2)
                .areas(below);
            jobs(app, news, frame, left);
            map(&news.landscape, frame, right);
        }
        (false, false) => jobs(app, news, frame, below),
        (false, true) => map(&news.landscape, frame, below),
    }
}

fn counts(news: &SweepNews) -> Line<'static> {
    let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = news.shown.counts;
    let state = documents::SweepState::from(&news.shown.sweep).name();
    let mut text =
        format!("{state}: {succeeded} succeeded, {failed} failed, {running} running, {queued} queued");
    if cancelled > 0 {
        text += &format!(", {cancelled} cancelled");
    }
    if pruned > 0 {
        text += &format!(", {pruned} pruned");
    }
    let pace = news.shown.pace.map(documents::Pace::from);
    let left = pace.and_then(|pace| pace.left(&documents::Counts::from(news.shown.counts)));
    text.extend(left.map(|left| format!("; about {left} left")));
    Line::from(text)
}

/// The jobs of a sweep: their value of the metric, and the parameters that differ, the most important first.
fn jobs(app: &App, news: &SweepNews, frame: &mut Frame<'_>, area: Rect) {
    let [title, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let metric = &news.landscape.metric;
    let (text, nothing) = match news.list {
        JobList::Best if metric.is_empty() => ("best jobs".to_owned(), "no job has reported a metric yet"),
        JobList::Best => (format!("best jobs by {}", one_line(metric)), "asking ..."),
        JobList::Running => ("running jobs".to_owned(), "no job runs now"),
        JobList::Failed => ("failed jobs".to_owned(), "no job has failed"),
    };
    frame.render_widget(Line::from(text).bold(), title);
    if news.jobs.is_empty() {
        return note(frame, area, nothing);
    }
    let mut names: Vec<&str> = news.landscape.importance.iter().map(|one| one.parameter.as_str()).collect();
    names.extend(news.landscape.parameters.iter().map(String::as_str));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let second = match news.list {
        JobList::Best => metric.as_str(),
        JobList::Running => "agent",
        JobList::Failed => "reason",
    };
    let value = |job: &v1::Job| match news.list {
        JobList::Best => read(documents::metrics(job.metrics()).ok().as_ref(), metric),
        JobList::Running => {
            let ran = words::between(job.started.as_ref(), None).unwrap_or_default();
            format!("{} {ran}", one_line(&job.agent))
        }
        JobList::Failed => words::reason(job.reason.clone()).ok().flatten().unwrap_or_default(),
    };
    let values: Vec<String> = news.jobs.iter().map(value).collect();
    let values = match news.list {
        JobList::Best => right(figures(&values.iter().map(String::as_str).collect::<Vec<_>>())),
        JobList::Running | JobList::Failed => values,
    };
    let numbers = right(news.jobs.iter().map(|job| job.number.to_string()).collect());
    let rows = news.jobs.iter().zip(numbers).zip(values).map(|((job, number), value)| {
        let own = documents::parameters(&job.parameters).ok();
        let mut row = vec![number, value];
        row.extend(names.iter().map(|name| read(own.as_ref(), name)));
        row
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let head: Vec<&str> = ["job", second].into_iter().chain(names.iter().copied()).collect();
    list(frame, area, &head, rows, app.places[1]);
}

fn read(map: Option<&Map<String, Value>>, name: &str) -> String {
    map.and_then(|map| map.get(name)).map(|value| one_line(&words::text(value))).unwrap_or_default()
}

/// Aligned to the right.
fn right(texts: Vec<String>) -> Vec<String> {
    let width = texts.iter().map(String::len).max().unwrap_or(0);
    texts.into_iter().map(|text| format!("{text:>width$}")).collect()
}

fn map(landscape: &v1::ShowLandscapeReply, frame: &mut Frame<'_>, area: Rect) {
    let Some(map) = &landscape.map else {
        let why = match landscape.reported {
            0 => "the map is drawn when jobs have reported a metric",
            _ => "the jobs differ in fewer than two parameters: there is no map",
        };
        return note(frame, area, why);
    };
    let weights = landscape.importance.len().min(WEIGHTS);
    let room = usize::from(area.height).saturating_sub(2 + weights);
    let (across, down) = (one_line(&map.across), one_line(&map.down));
    let mut lines = vec![
        Line::from(format!("{} over {across} (across), {down} (down)", one_line(&landscape.metric))).bold(),
    ];
    lines.extend(heat::lines(map, usize::from(area.width), room));
    if weights > 0 {
        lines.push(Line::styled("what matters", QUIET));
    }
    lines.extend(landscape.importance.iter().take(weights).map(|one| {
        let direction = match one.correlation {
            Some(rho) if rho >= 0.1 => "; more is higher",
            Some(rho) if rho <= -0.1 => "; more is lower",
            _ => "",
        };
        Line::from(format!("{:>3.0} %  {}{direction}", 100.0 * one.share, one_line(&one.parameter)))
    }));
    frame.render_widget(Paragraph::new(lines), area);
}

fn agents(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let Some(agents) = &app.agents else { return note(frame, area, "asking for the agents ...") };
    if agents.is_empty() {
        return note(frame, area, "no agent has ever connected: btctl agent");
    }
    let row = |agent: &v1::Agent| {
        let (all, free) = (agent.capacity.unwrap_or_default(), agent.free.unwrap_or_default());
        let used = |all: u64, free: u64, unit: fn(u64) -> String| {
            format!("{} of {}", unit(all.saturating_sub(free)), unit(all))
        };
        vec![
            one_line(&agent.name),
            one_line(&agent.state_text),
            agent.running.to_string(),
            used(all.cpu_millis, free.cpu_millis, words::cpus),
            used(all.memory_bytes, free.memory_bytes, words::size),
            if all.gpus == 0 {
                String::new()
            } else {
                format!("{} of {}", all.gpus - free.gpus.min(all.gpus), all.gpus)
            },
        ]
    };
    let head = ["name", "state", "running", "cpus in use", "memory in use", "gpus"];
    list(frame, area, &head, agents.iter().map(row).collect(), app.places[2]);
}

fn log(app: &App, frame: &mut Frame<'_>, area: Rect) {
    let mut lines: Vec<Line<'_>> = app.log.iter().map(|line| Line::from(line.as_str())).collect();
    match &app.log_end {
        Some(end) => lines.push(Line::styled(one_line(end), QUIET)),
        None if lines.is_empty() => lines.push(Line::styled("waiting for the job's first line ...", QUIET)),
        None => {}
    }
    let height = usize::from(area.height);
    let end = lines.len().saturating_sub(app.below).max(height.min(lines.len()));
    let start = end.saturating_sub(height);
    frame.render_widget(Paragraph::new(lines[start..end].to_vec()), area);
}
