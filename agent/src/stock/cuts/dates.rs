//! Columns of dates in tables that jobs read and write.

use bt_model::returns::{time_of_dated_integer, time_of_dated_number, time_of_text};
use parquet::record::Field;

/// What dates stand under where a manifest does not say: also pandas' names for an index without one.
const DATES: [&str; 9] =
    ["date", "datetime", "timestamp", "time", "day", "index", "", "unnamed: 0", "__index_level_0__"];
/// Columns that an error lists.
const LISTED: usize = 20;

/// The place of a column of dates that nobody has named. `besides` holds something else.
pub(crate) fn find(names: &[&str], besides: Option<usize>) -> Option<usize> {
    DATES.iter().find_map(|known| {
        let is_it =
            |(index, name): (usize, &&str)| Some(index) != besides && name.eq_ignore_ascii_case(known);
        names.iter().enumerate().position(is_it)
    })
}

/// Columns for an error's reader.
pub(crate) fn listed(names: &[&str]) -> String {
    let mut listed: Vec<_> = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
    if names.len() > LISTED {
        listed.push(format!("{} more", names.len() - LISTED));
    }
    listed.join(", ")
}

/// A header's name of a column, as people write it.
pub(crate) fn name_of(cell: &str) -> &str {
    cell.trim_start_matches('\u{feff}').trim()
}

/// Seconds since 1970 of a date in a text.
pub(crate) fn of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let integer = || text.parse().ok().and_then(time_of_dated_integer);
    let number = || text.parse().ok().and_then(time_of_dated_number);
    time_of_text(text).or_else(integer).or_else(number)
}

/// Seconds since 1970 of a date in a Parquet file; `nanos` says that its whole numbers count nanoseconds.
pub(crate) fn of_field(field: &Field, nanos: bool) -> Option<i64> {
    match field {
        Field::Date(days) => Some(i64::from(*days) * 86_400),
        Field::TimestampMillis(millis) => Some(millis.div_euclid(1_000)),
        Field::TimestampMicros(micros) => Some(micros.div_euclid(1_000_000)),
        Field::Long(number) if nanos => Some(number.div_euclid(1_000_000_000)),
        Field::Int(number) => time_of_dated_integer(i64::from(*number)),
        Field::UInt(number) => time_of_dated_integer(i64::from(*number)),
        Field::Long(number) => time_of_dated_integer(*number),
        Field::ULong(number) => i64::try_from(*number).ok().and_then(time_of_dated_integer),
        Field::Double(number) => time_of_dated_number(*number),
        Field::Str(text) => of_text(text),
        _ => None,
    }
}
