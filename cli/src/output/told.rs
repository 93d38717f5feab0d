//! What became of a message about a sweep, in words.

use bt_documents::Told;
use bt_proto::v1;
use jiff::Timestamp;

use super::Cell;
use crate::error::Error;

/// `mailto:ann@quant.example: told of sweep.finished, 5m 3s ago`
pub(crate) fn told(told: &v1::Told) -> Result<String, Error> {
    let at =
        |time: Option<Timestamp>| time.map(|time| Cell::Time(time).people().into_owned()).unwrap_or_default();
    let Told { receiver, event, tries, delivered, given_up, next_try, last_error, .. } =
        Told::try_from(told)?;
    let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
    let why = last_error.map(|why| format!(": {why}")).unwrap_or_default();
    let became = match (delivered, given_up) {
        (Some(_), _) => format!("told of {event}, {}", at(delivered)),
        (_, Some(_)) => format!("not told of {event}: given up, tried {times}{why}"),
        _ if tries == 0 => format!("is being told of {event}"),
        _ => format!("not told of {event} yet, tried {times}{why}; next try {}", at(next_try)),
    };
    Ok(format!("{receiver}: {became}"))
}
