//! What a job says point by point: the account's value with its drawdown, and the metrics of a running job on their way.

use std::collections::BTreeMap;

use bt_documents::ProgressSeries;
use bt_model::metrics::{self, Equity, SeriesPoint};
use bt_model::span;
use jiff::Timestamp;

use super::plot::{LineOf, Lines, Plot, short};
use super::progress::harmless;

/// Bytes of the largest metrics file that is drawn from.
pub(super) const LARGEST: u64 = 4 << 20;
/// Metrics on their way that are drawn.
const METRICS: usize = 6;
/// What a number must be at least to be seconds since 1970, and at least to be thousandths of them.
const SECONDS: f64 = 1e8;
const MILLISECONDS: f64 = 1e11;

/// The curve that a metrics file holds; none if it holds none, or can't be read.
pub(super) fn of_metrics(text: &[u8]) -> Option<Plot> {
    let Equity { points, is_compounded } = metrics::equity(text).ok()??;
    // The highest value so far, from which the drawdown is counted.
    let mut peak = f64::NEG_INFINITY;
    let under = points.iter().map(|point| {
        peak = peak.max(point.number);
        if peak > 0.0 { 100.0 * (point.number / peak - 1.0) } else { 0.0 }
    });
    let under: Vec<f64> = under.collect();
    let numbered =
        |numbers: Vec<f64>| numbers.into_iter().enumerate().map(|(at, number)| (at as f64, number));
    let value = points.iter().map(|point| point.number).collect();
    let title = if is_compounded { "Equity (of 1, from the returns)" } else { "Equity" };
    let deepest = under.iter().copied().fold(0.0, f64::min);
    let about = format!(
        "Equity from {} to {}, {} points; the deepest drawdown is {deepest:.1} %",
        points.first().map(when).unwrap_or_default(),
        points.last().map(when).unwrap_or_default(),
        points.len()
    );
    let panels = [
        Lines {
            title: title.to_owned(),
            height: 180.0,
            from_zero: false,
            write: short,
            lines: vec![LineOf { class: "line", points: numbered(value).collect() }],
        },
        Lines {
            title: "Drawdown (percent)".to_owned(),
            height: 80.0,
            from_zero: true,
            write: short,
            lines: vec![LineOf { class: "under", points: numbered(under).collect() }],
        },
    ];
    Plot::of(about, &panels, |at| points.get(at.round() as usize).map(when).unwrap_or_default())
}

/// A point's time as it is written below it; its place where it has none.
fn when(point: &SeriesPoint) -> String {
    let number = point.time.parse::<f64>().ok().filter(|number| *number >= SECONDS);
    let moment = number.and_then(|number| {
        let seconds = if number >= MILLISECONDS { number / 1_000.0 } else { number };
        Timestamp::from_second(seconds as i64).ok()
    });
    match moment {
        Some(moment) => moment.strftime("%Y-%m-%d").to_string(),
        // Of a date with a time, the date.
        None => harmless(point.time.chars().take(10).collect::<String>()),
    }
}

/// The metrics of a running job on their way, those that a curve is usually drawn of first.
pub(super) fn of_progress(series: &ProgressSeries) -> Option<Plot> {
    let first = series.points.first()?.at?;
    let mut lines: BTreeMap<(bool, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for point in &series.points {
        let Some(at) = point.at else { continue };
        let seconds = at.duration_since(first).as_secs_f64();
        for (name, number) in &point.metrics {
            if let Some(number) = number.as_f64() {
                lines.entry((name != "equity", name)).or_default().push((seconds, number));
            }
        }
    }
    lines.retain(|_, points| points.len() > 1);
    let panels = lines.into_iter().take(METRICS).map(|((_, name), points)| Lines {
        title: harmless(name),
        height: 80.0,
        from_zero: false,
        write: short,
        lines: vec![LineOf { class: "line", points }],
    });
    let panels: Vec<_> = panels.collect();
    let names: Vec<_> = panels.iter().map(|panel| panel.title.as_str()).collect();
    let about = format!("{} on the way, as the job says it", names.join(", "));
    Plot::of(about, &panels, span::of_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equity_is_drawn_with_its_drawdown_and_its_dates() {
        let text =
            br#"{"series": {"equity": [["2020-01-01T00:00:00", 100], ["2020-01-02", 120], ["2020-01-03", 90],
            ["2020-01-04", 130], [1578182400000, 130]]}}"#;
        let plot = of_metrics(text).unwrap();
        assert!(plot.about.contains("from 2020-01-01 to 2020-01-05, 5 points"), "{}", plot.about);
        assert!(plot.about.contains("-25.0 %"), "{}", plot.about);
        let times: Vec<_> = plot.times.iter().map(|mark| mark.text.as_str()).collect();
        assert_eq!(times, ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04", "2020-01-05"]);
        assert_eq!(plot.panels.len(), 2);
        assert!(of_metrics(br#"{"sharpe": 1}"#).is_none());
        assert!(of_metrics(b"no JSON").is_none());
        assert!(of_metrics(br#"{"series": {"equity": [1]}}"#).is_none(), "one point is no line");
    }
}
