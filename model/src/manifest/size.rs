//! Amounts: bytes, cpus, times.

use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::error::Error;

/// Docker starts no container with less.
pub const LEAST_MEMORY: u64 = 6 << 20;
const MOST_CPUS: u32 = 100_000;
/// Longer than anyone waits for a backtest, short enough for every clock.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// `1GiB`, `1g`, `512m`, `64MiB`, `1.5g` or a number of bytes. As in docker, every unit is binary: `k`, `ki`, `kb` and
/// `kib` are all 1024.
pub fn parse_size(text: &str) -> Result<u64, Error> {
    let fails = || {
        let short: String = text.chars().take(40).collect();
        Error::new(format!("{short:?} is not a size; write 512m, 1GiB or a number of bytes"))
    };
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let shift = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "ki" | "kb" | "kib" => 10,
        "m" | "mi" | "mb" | "mib" => 20,
        "g" | "gi" | "gb" | "gib" => 30,
        "t" | "ti" | "tb" | "tib" => 40,
        "p" | "pi" | "pb" | "pib" => 50,
        _ => return Err(fails()),
    };
    let number = Decimal::from_str(number).map_err(|_| fails())?;
    let bytes = number.checked_mul(Decimal::from(1_u64 << shift));
    // Postgres and Docker have signed sizes.
    let bytes = bytes.and_then(|bytes| bytes.trunc().to_u64()).filter(|bytes| *bytes <= i64::MAX as u64);
    bytes.ok_or_else(fails)
}

/// A number of cpus such as `0.5`, as thousandths.
pub fn parse_cpus(text: &str) -> Result<u64, Error> {
    let fails = |why: &str| {
        let short: String = text.chars().take(40).collect();
        Error::new(format!("{short:?} is not a number of cpus: {why}; write 1, 0.5 or 2.25"))
    };
    let cpus = Decimal::from_str(text.trim()).map_err(|_| fails("it is not a number"))?;
    if cpus <= Decimal::ZERO {
        return Err(fails("it must be greater than zero"));
    }
    if cpus > Decimal::from(MOST_CPUS) {
        return Err(fails("no machine has so many"));
    }
    let millis = cpus * Decimal::ONE_THOUSAND;
    if !millis.is_integer() {
        return Err(fails("thousandths are the smallest part"));
    }
    millis.to_u64().ok_or_else(|| fails("it is not a number"))
}

/// `15m`, `1h 30m`, `90s`, or a number of seconds.
pub fn parse_timeout(text: &str) -> Result<Duration, Error> {
    let fails = |why: &str| {
        let short: String = text.chars().take(40).collect();
        Error::new(format!("{short:?} is not a timeout: {why}; write 15m, 1h 30m, or a number of seconds"))
    };
    let text = text.trim();
    let timeout = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| fails("it can't be waited for"))?,
        Err(_) => parse_time(text).map_err(|why| fails(&why))?,
    };
    if timeout < Duration::from_millis(1) {
        return Err(fails("it must be greater than zero"));
    }
    if timeout > LONGEST_TIMEOUT {
        return Err(fails("a year is the longest"));
    }
    Ok(timeout)
}

/// A time with units. `M` is refused: it is a month in some programs and a minute in others.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let units = text.split(|c: char| !c.is_ascii_alphabetic());
    if units.into_iter().any(|unit| unit == "M") {
        return Err("M may be minutes or months; write m for minutes, or days as in 30d".to_owned());
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        let sizes = [
            ("0", 0),
            ("1024", 1024),
            ("1k", 1024),
            ("1kb", 1024),
            ("1KiB", 1024),
            ("64MiB", 64 << 20),
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("1 GB", 1 << 30),
            ("2t", 2 << 40),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "g", "-1", "1x", "1gg", "1..2", "1e3", "99999999999p"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_are_exact() {
        assert_eq!(parse_cpus("0.2"), Ok(200));
        assert_eq!(parse_cpus("64"), Ok(64_000));
        for (text, part) in [
            ("0", "greater than zero"),
            ("-1", "greater than zero"),
            ("0.0001", "thousandths"),
            ("x", "not a number"),
        ] {
            let error = parse_cpus(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn timeouts_have_units_or_are_seconds() {
        assert_eq!(parse_timeout("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_timeout("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_timeout("1.5"), Ok(Duration::from_millis(1500)));
        for text in ["0", "0s", "-5", "NaN", "inf", "15 parsecs", "900000h", "10M", "1h 5M", "5 M"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }
}
