//! How a sweep stands, as lines for a terminal of any width.

use bt_documents as documents;
use bt_proto::v1;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::standing::Standing;
use crate::output::{one_line, reasons, tries, words};

/// Running jobs, reasons for failures, and reasons for waiting that are shown.
const RUNNING: usize = 5;
const FAILURES: usize = 3;
const REASONS: usize = 2;
/// No bar is longer.
const BAR: usize = 60;
/// The width of a line's title.
const MARGIN: usize = 9;

const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red);
const BUSY: Style = Style::new().fg(Color::Yellow);
const QUIET: Style = Style::new().fg(Color::DarkGray);

pub(crate) fn picture(standing: &Standing, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![head(standing), bar(&standing.shown.counts, width)];
    lines.extend(packed(counts(&standing.shown.counts), width));
    lines.extend(packed(speed(standing), width));
    lines.extend(away(standing.away));
    lines.extend(running(standing));
    lines.extend(failures(standing));
    lines.extend(waiting(standing));
    lines.extend(best(standing));
    lines
}

/// `sma-cross  running for 1m 42s`
fn head(standing: &Standing) -> Line<'static> {
    let sweep = &standing.shown.sweep;
    let state = documents::SweepState::from(sweep);
    let style = match state {
        documents::SweepState::Succeeded => GOOD,
        documents::SweepState::Failed | documents::SweepState::Cancelled => BAD,
        documents::SweepState::Running => BUSY,
        documents::SweepState::Queued | documents::SweepState::Paused | documents::SweepState::Open => {
            Style::new()
        }
    };
    let since = words::between(sweep.created.as_ref(), sweep.finished.as_ref()).unwrap_or_default();
    Line::from(vec![
        Span::raw(one_line(&sweep.name)).bold(),
        Span::raw("  "),
        Span::styled(state.name(), style),
        Span::styled(format!("  {since} since it was submitted"), QUIET),
    ])
}

/// A sign for each share of the jobs, so that the bar needs no colours: `█` succeeded, `x` failed, `-` cancelled, `~` pruned,
/// `▒` running, `░` queued.
pub(crate) fn bar(counts: &v1::Counts, width: usize) -> Line<'static> {
    let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = *counts;
    let total = u64::from(words::total(counts).max(1));
    let finished = u64::from(succeeded + failed + cancelled + pruned);
    // Not 100 % before the last one has finished.
    let percent = format!(" {:>3} %", finished * 100 / total);
    let length = width.saturating_sub(percent.width()).clamp(1, BAR);
    let parts = [
        (succeeded, '█', GOOD),
        (failed, 'x', BAD),
        (cancelled, '-', QUIET),
        (pruned, '~', QUIET),
        (running, '▒', BUSY),
        (queued, '░', QUIET),
    ];
    let widths = shares(parts.map(|(jobs, ..)| jobs), length);
    let mut spans: Vec<_> = parts
        .iter()
        .zip(widths)
        .map(|((_, sign, style), width)| Span::styled(sign.to_string().repeat(width), *style))
        .collect();
    spans.push(Span::raw(percent));
    Line::from(spans)
}

/// The signs of each part. What there is has one at least where there is room; their sum is the length.
fn shares(parts: [u32; 6], length: usize) -> [usize; 6] {
    let total = parts.iter().map(|jobs| u64::from(*jobs)).sum::<u64>().max(1);
    let mut widths = parts.map(|jobs| (u64::from(jobs) * length as u64 / total) as usize);
    for (width, jobs) in widths.iter_mut().zip(parts) {
        *width = (*width).max(usize::from(jobs > 0));
    }
    loop {
        let sum: usize = widths.iter().sum();
        let longest = (0..6).max_by_key(|part| widths[*part]).unwrap_or(0);
        match sum.cmp(&length) {
            std::cmp::Ordering::Equal => return widths,
            std::cmp::Ordering::Greater => widths[longest] -= 1,
            std::cmp::Ordering::Less if parts[longest] == 0 => return widths,
            std::cmp::Ordering::Less => widths[longest] += length - sum,
        }
    }
}

fn counts(counts: &v1::Counts) -> Vec<Span<'static>> {
    let v1::Counts { queued, running, succeeded, failed, cancelled, pruned } = *counts;
    let of = |jobs: u32, word: &str, style: Style| {
        let style = if jobs == 0 { QUIET } else { style };
        Span::styled(format!("{jobs} {word}"), style)
    };
    let mut spans = vec![
        Span::raw(format!("{}/{} finished", succeeded + failed + cancelled + pruned, words::total(counts))),
        of(succeeded, "succeeded", GOOD),
        of(failed, "failed", BAD),
        of(running, "running", BUSY),
        of(queued, "queued", Style::new()),
    ];
    if cancelled > 0 {
        spans.push(of(cancelled, "cancelled", Style::new()));
    }
    if pruned > 0 {
        spans.push(of(pruned, "pruned", Style::new()));
    }
    spans
}

fn speed(standing: &Standing) -> Vec<Span<'static>> {
    let counts = &standing.shown.counts;
    let rest = counts.queued + counts.running;
    let by_pace = || {
        let pace = documents::Pace::from(standing.shown.pace?);
        pace.left(&documents::Counts::from(*counts))
    };
    let left = standing.rate.left(rest).or_else(by_pace).filter(|_| rest > 0);
    let mut spans: Vec<_> = standing.rate.words().map(Span::raw).into_iter().collect();
    spans.extend(left.map(|left| Span::raw(format!("about {left} left"))));
    spans
}

/// `coordinator away since 14:03:22; waiting for it`
pub(crate) fn away(since: Option<Timestamp>) -> Option<Line<'static>> {
    let time = since?.to_zoned(TimeZone::system()).strftime("%H:%M:%S");
    Some(Line::styled(format!("coordinator away since {time}; waiting for it"), BAD.bold()))
}

fn running(standing: &Standing) -> Vec<Line<'static>> {
    let shown = &standing.running[..standing.running.len().min(RUNNING)];
    let width = |texts: Vec<usize>| texts.into_iter().max().unwrap_or(0);
    let number = width(shown.iter().map(|job| job.number.to_string().len()).collect());
    let agent = width(shown.iter().map(|job| one_line(&job.agent).width()).collect());
    let lines = shown.iter().enumerate().map(|(index, job)| {
        let ran = match &job.started {
            Some(started) => words::between(Some(started), None).unwrap_or_default(),
            None => "starting".to_owned(),
        };
        let name = one_line(&job.agent);
        let fill = " ".repeat(agent - name.width());
        let note = one_line(&job.note);
        let text = format!("job {:<number$}  {name}{fill}  {ran}  {note}", job.number);
        row(if index == 0 { "running" } else { "" }, text.trim_end().to_owned(), Style::new())
    });
    let mut lines: Vec<_> = lines.collect();
    let more = (standing.shown.counts.running as usize).saturating_sub(shown.len());
    if more > 0 && !shown.is_empty() {
        lines.push(row("", format!("and {more} more"), QUIET));
    }
    lines
}

fn failures(standing: &Standing) -> Vec<Line<'static>> {
    let address = words::address(&standing.shown.sweep);
    let failures = &standing.shown.failures;
    let lines = failures.iter().take(FAILURES).enumerate().map(|(index, failures)| {
        let reason = words::reason(failures.reason.clone()).ok().flatten().unwrap_or_default();
        let text = format!("{} {reason}: btctl logs {address}/{}", failures.jobs, failures.first_job);
        row(if index == 0 { "failed" } else { "" }, text, BAD)
    });
    let mut lines: Vec<_> = lines.collect();
    if failures.len() > FAILURES {
        lines.push(row("", format!("and {} more reasons", failures.len() - FAILURES), QUIET));
    }
    if let Ok(Some(again)) = tries::line(&standing.shown.retrying) {
        lines.push(row("retries", again, BUSY));
    }
    lines
}

fn waiting(standing: &Standing) -> Vec<Line<'static>> {
    if standing.shown.counts.running > 0 || standing.shown.counts.queued == 0 {
        return Vec::new();
    }
    let (whys, more) = reasons::first(reasons::lines(&standing.shown.waiting), REASONS);
    let mut lines: Vec<_> = whys
        .into_iter()
        .enumerate()
        .map(|(index, why)| row(if index == 0 { "waiting" } else { "" }, why, Style::new()))
        .collect();
    if more > 0 {
        let address = words::address(&standing.shown.sweep);
        lines.push(row("", format!("and {more} more reasons: btctl explain {address}"), QUIET));
    }
    lines
}

fn best(standing: &Standing) -> Option<Line<'static>> {
    let best = standing.best.as_ref()?;
    Some(row("best", best.words(), GOOD))
}

fn row(what: &str, text: String, style: Style) -> Line<'static> {
    Line::from(vec![Span::styled(format!("{what:<MARGIN$}"), QUIET), Span::styled(one_line(&text), style)])
}

/// The items on as few lines as hold them.
fn packed(items: Vec<Span<'static>>, width: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if line.width() + 2 + item.width() <= width => {
                line.push_span("  ");
                line.push_span(item);
            }
            _ => lines.push(Line::from(item)),
        }
    }
    lines
}

#[cfg(test)]
mod tests;
