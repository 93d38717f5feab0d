//! The numbers of one column, all with the same number of decimals, so that people can compare them at a glance.

/// Significant digits that people read of a column's largest number.
const DIGITS: usize = 6;
/// Decimals that a column keeps even if its largest number has many digits, and has at most if that is not below one.
const DECIMALS: (usize, usize) = (2, 5);

/// The numbers with the decimals that the longest of them needs, but no more than people read. A number that would
/// become zero is written with an exponent. What is not a number is left as it is.
pub(super) fn align(numbers: &[&str]) -> Vec<String> {
    let needed = numbers.iter().map(|text| decimals(text)).max().unwrap_or(0);
    let shown = needed.min(most(numbers));
    numbers.iter().map(|text| with_decimals(text, shown)).collect()
}

/// Decimals that are not zeros at the end.
fn decimals(text: &str) -> usize {
    match text.split_once(['e', 'E']) {
        _ if !is_number(text) => 0,
        Some(_) => DECIMALS.1 + DIGITS,
        None => text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len()),
    }
}

fn is_number(text: &str) -> bool {
    text.parse().is_ok_and(f64::is_finite)
}

/// Decimals that people read, by the largest number.
fn most(numbers: &[&str]) -> usize {
    let largest = numbers.iter().filter_map(|text| text.parse::<f64>().ok()).filter(|n| n.is_finite());
    let largest = largest.fold(0.0, |largest: f64, number| largest.max(number.abs()));
    if largest == 0.0 {
        return DECIMALS.1;
    }
    let magnitude = largest.log10().floor();
    match magnitude < 0.0 {
        // 0.00123: as many digits behind the zeros.
        true => DECIMALS.1 + (-magnitude as usize) - 1,
        false => DIGITS.saturating_sub(magnitude as usize + 1).clamp(DECIMALS.0, DECIMALS.1),
    }
}

fn with_decimals(text: &str, shown: usize) -> String {
    let is_plain = !text.contains(['e', 'E']) && is_number(text);
    if is_plain && decimals(text) <= shown {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        return match shown {
            0 => whole.to_owned(),
            _ => format!("{whole}.{fraction:0<shown$}"),
        };
    }
    let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) else {
        return text.to_owned();
    };
    let rounded = format!("{number:.shown$}");
    let is_lost = number != 0.0 && rounded.parse() == Ok(0.0_f64);
    if is_lost || number.abs() >= 1e15 { format!("{number:.3e}") } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_one_precision() {
        assert_eq!(align(&["0.5212568063781154", "-1.25", "2"]), ["0.52126", "-1.25000", "2.00000"]);
        assert_eq!(align(&["0.5", "0.25", "10"]), ["0.50", "0.25", "10.00"]);
        assert_eq!(align(&["1.0", "20", ""]), ["1", "20", ""]);
        assert_eq!(align(&["-42.365571648191406", "319.7516010000005"]), ["-42.366", "319.752"]);
        assert_eq!(align(&["1234567.891", "0.5"]), ["1234567.89", "0.50"]);
        assert_eq!(align(&["0.00012345678", "0.0001"]), ["0.00012346", "0.00010000"]);
    }

    #[test]
    fn nothing_becomes_zero_or_loses_whole_digits() {
        assert_eq!(align(&["0.5", "0.00000012345"]), ["0.50000", "1.235e-7"]);
        assert_eq!(align(&["1e-7", "2.5"]), ["1.000e-7", "2.50000"]);
        assert_eq!(align(&["12345678901234567890", "0.5"]), ["12345678901234567890.0", "0.5"]);
        assert_eq!(align(&["2020-01-01.csv", "nan", "exit(1)"]), ["2020-01-01.csv", "nan", "exit(1)"]);
    }
}
