//! What is said of a sweep: a document for programs, a sentence for people.

use bt_documents::Notification;
use bt_model::span;
use serde_json::Value;

/// Parameters that a sentence has, and characters of what others have chosen.
const PARAMETERS: usize = 6;
const LONGEST: usize = 60;

/// What a mail is about.
pub(super) fn subject(told: &Notification) -> String {
    plain(&format!("btctl: sweep {} {}", told.name, told.state.name()))
}

/// A mail's text.
pub(super) fn mail(told: &Notification) -> String {
    let mut text = format!("{}\n", sentence(told));
    if let Some(page) = &told.page {
        text += &format!("\n{page}\n");
    }
    text + &format!("\nSweep {}, event {}\n", told.id, told.event_id)
}

/// The text for Slack and Mattermost.
pub(super) fn chat(told: &Notification) -> String {
    let text = escaped(&sentence(told));
    match &told.page {
        Some(page) => format!("{text} <{}|Open it>", escaped(page).replace('|', "%7C")),
        None => text,
    }
}

/// `Sweep sma-cross of ann succeeded after 15s: 30 succeeded. The best sharpe is 1.52, of job 17 (fast=5, slow=20).`
fn sentence(told: &Notification) -> String {
    let state = match told.state.name() {
        "cancelled" | "paused" => format!("was {}", told.state.name()),
        state => state.to_owned(),
    };
    let why = told.reason.as_ref().map(|why| format!(" ({})", plain(why))).unwrap_or_default();
    let mut text = format!(
        "Sweep {} of {} {state}{why} after {}: {}.",
        plain(&told.name),
        plain(&told.owner),
        span::of_seconds(told.seconds),
        told.counts.words()
    );
    if let Some(best) = &told.best {
        let mut parameters: Vec<_> = best
            .params
            .iter()
            .take(PARAMETERS)
            .map(|(name, value)| match value {
                Value::String(value) => format!("{}={}", plain(name), plain(value)),
                value => format!("{}={}", plain(name), plain(&value.to_string())),
            })
            .collect();
        if best.params.len() > PARAMETERS {
            parameters.push("...".to_owned());
        }
        let parameters = match parameters.is_empty() {
            true => String::new(),
            false => format!(" ({})", parameters.join(", ")),
        };
        text +=
            &format!(" The best {} is {}, of job {}{parameters}.", plain(&best.metric), best.value, best.job);
    }
    text
}

/// On one line, and of bounded length.
fn plain(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() || "\u{2028}\u{2029}".contains(c) { ' ' } else { c });
    let mut short: String = line.clone().take(LONGEST).collect();
    if line.count() > LONGEST {
        short.push_str("...");
    }
    short
}

/// As Slack asks for, so that nothing in it is a link or calls anybody; a Mattermost calls by a plain @.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "@\u{200b}")
}

#[cfg(test)]
pub(super) mod tests {
    use bt_documents::{BestJob, Counts, EventName, SweepState};
    use serde_json::json;

    use super::*;

    pub(in crate::telling) fn told() -> Notification {
        Notification {
            event: EventName::Finished,
            event_id: "7d1c".to_owned(),
            happened: "2026-01-02T03:04:05Z".parse().unwrap(),
            id: "33f2".to_owned(),
            name: "sma-cross".to_owned(),
            owner: "ann".to_owned(),
            state: SweepState::Failed,
            reason: None,
            counts: Counts { queued: 0, running: 0, succeeded: 28, failed: 2, cancelled: 0, pruned: 0 },
            submitted: "2026-01-02T03:00:00Z".parse().unwrap(),
            seconds: 245.0,
            best: Some(BestJob {
                job: 17,
                metric: "sharpe".to_owned(),
                value: 1.52,
                params: json!({"fast": 5, "symbol": "ES"}).as_object().unwrap().clone(),
            }),
            page: Some("https://btctl.example/sweeps/33f2".to_owned()),
        }
    }

    #[test]
    fn people_read_a_sentence() {
        let sentence = "Sweep sma-cross of ann failed after 4m 5s: 28 succeeded, 2 failed. \
                        The best sharpe is 1.52, of job 17 (fast=5, symbol=ES).";
        assert_eq!(chat(&told()), format!("{sentence} <https://btctl.example/sweeps/33f2|Open it>"));
        let mail = mail(&told());
        assert!(
            mail.starts_with(sentence) && mail.contains("\nhttps://btctl.example/sweeps/33f2\n"),
            "{mail}"
        );
        assert_eq!(subject(&told()), "btctl: sweep sma-cross failed");
        let paused = Notification {
            event: EventName::Paused,
            state: SweepState::Paused,
            reason: Some("its canary failed".to_owned()),
            counts: Counts { queued: 9, running: 0, succeeded: 0, failed: 1, cancelled: 0, pruned: 2 },
            best: None,
            page: None,
            ..told()
        };
        assert_eq!(
            chat(&paused),
            "Sweep sma-cross of ann was paused (its canary failed) after 4m 5s: 1 failed, 2 pruned, 9 queued."
        );
    }

    #[test]
    fn names_do_nothing_in_a_chat_or_a_mail() {
        let mut hostile = told();
        hostile.owner = "<!channel> & @all\r\nBcc: x@y".to_owned();
        let params = json!({"p": format!("<https://evil|here>\n{}", "x".repeat(500))});
        hostile.best.as_mut().unwrap().params = params.as_object().unwrap().clone();
        let text = chat(&hostile);
        assert!(text.contains("&lt;!channel&gt; &amp; @\u{200b}all  Bcc: x@\u{200b}y"), "{text}");
        assert!(text.contains("&lt;https://evil|here&gt; xxx") && text.len() < 500, "{text}");
        assert_eq!(text.matches('<').count(), 1, "only the link is one: {text}");
        hostile.name = "a\r\nBcc: x@y".to_owned();
        assert!(!subject(&hostile).contains(['\r', '\n']));
    }
}
