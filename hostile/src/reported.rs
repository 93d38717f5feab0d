//! What jobs leave and say: metrics, progress, logs, pickles.

use bt_model::log::{LogLine, Stream};
use bt_model::metrics::{self, MAX_METRICS, Mapping};
use bt_model::progress;
use bt_model::software::Software;
use bt_proto::v1;
use serde_json::{Map, Value};

use crate::refusal;

pub(crate) fn metrics(input: &[u8]) {
    let read = refusal::read(metrics::parse(input));
    let equity = refusal::read(metrics::equity(input));
    if let Some(Some(equity)) = equity {
        assert!(equity.points.iter().all(|point| point.number.is_finite()), "{equity:?}");
    }
    let Some(read) = read else { return };
    are_numbers(&read.numbers);
    assert!(read.left_out.iter().all(|name| !read.numbers.contains_key(name)));
    refusal::read(read.require(&["sharpe".to_owned(), "a\u{1b}b".to_owned()]));
    match read.returns {
        Some(Ok(returns)) => {
            // A period without a return is NaN.
            assert!(!returns.values().iter().any(|value| value.is_infinite()));
            assert!(returns.times().is_sorted());
            let again = bt_model::returns::Returns::try_from(v1::Returns::from(&returns));
            let again = again.expect("it travels");
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(again.times(), returns.times());
            assert_eq!(bits(again.values()), bits(returns.values()));
        }
        Some(Err(refused)) => refusal::check(&refused),
        None => {}
    }
    // Written as a metrics file, they are the same.
    let again = metrics::parse(Value::Object(read.numbers.clone()).to_string().as_bytes());
    if !read.numbers.is_empty() && !read.numbers.contains_key("series") {
        assert_eq!(again.map(|again| again.numbers), Ok(read.numbers));
    }
}

/// Metrics of other programs. What stands before the first empty line says which are taken.
pub(crate) fn import(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (lines, rest) = text.split_once("\n\n").unwrap_or(("", &text));
    let mappings: Option<Vec<Mapping>> =
        lines.lines().take(5).map(|line| refusal::read(line.parse())).collect();
    for mappings in [mappings.unwrap_or_default(), Vec::new()] {
        for read in [metrics::read_json, metrics::read_csv] {
            if let Some(numbers) = refusal::read(read(rest.as_bytes(), &mappings)) {
                are_numbers(&numbers);
            }
        }
    }
}

#[track_caller]
fn are_numbers(numbers: &Map<String, Value>) {
    assert!(numbers.len() <= MAX_METRICS);
    for (name, value) in numbers {
        assert!(metrics::check_name(name).is_ok(), "{name:?}");
        assert!(value.as_f64().is_some_and(f64::is_finite), "{name:?} is {value}");
    }
}

pub(crate) fn progress(input: &[u8]) {
    if let Some(read) = refusal::read(progress::parse(input)) {
        assert!(read.fraction.is_none_or(|fraction| (0.0..=1.0).contains(&fraction)), "{read:?}");
        assert!(read.metrics.values().all(|value| value.is_finite()), "{read:?}");
        assert_eq!(read.clone().bounded(), read, "it is within its bounds");
        read.fraction.map(progress::percent);
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let software = Software::read(text);
    let told = serde_json::to_string(&software).expect("it is JSON");
    assert_eq!(Software::from_json(&told).ok(), Some(software));
    if let Err(error) = Software::from_json(text) {
        refusal::check(&error);
    }
}

pub(crate) fn log(input: &[u8]) {
    let time = std::time::SystemTime::UNIX_EPOCH.try_into().expect("it is a time");
    // What a job wrote comes back byte for byte.
    let mut kept = Vec::new();
    for line in LogLine::split(time, Stream::Stdout, input) {
        line.encode(&mut kept);
    }
    let lines = kept.split_inclusive(|byte| *byte == b'\n').map(LogLine::decode);
    let lines: Result<Vec<_>, _> = lines.collect();
    let lines = lines.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lines.concat_texts(), input);
    // Any line is one or is refused.
    for line in input.split_inclusive(|byte| *byte == b'\n').take(20) {
        if let Some(line) = refusal::read(LogLine::decode(line)) {
            let mut kept = Vec::new();
            line.encode(&mut kept);
            assert_eq!(LogLine::decode(&kept).ok(), Some(line));
        }
    }
}

trait Texts {
    fn concat_texts(&self) -> Vec<u8>;
}

impl Texts for Vec<LogLine> {
    fn concat_texts(&self) -> Vec<u8> {
        self.iter().flat_map(|line| line.text.clone()).collect()
    }
}

pub(crate) fn pickle(input: &[u8]) {
    if let Some(found) = refusal::read(bt_pickles::inspect(input)) {
        assert_eq!(found.bytes, input.len() as u64);
        assert!(
            found.opcodes <= found.bytes && found.payload <= found.bytes && found.longest <= found.payload
        );
        let used: u64 = found.names.iter().map(|name| name.used).sum();
        assert!(used <= found.opcodes, "{found:?}");
    }
}
