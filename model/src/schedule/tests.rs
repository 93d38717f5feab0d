use jiff::ToSpan;
use jiff::civil::{DateTime, date};
use proptest::prelude::*;

use super::*;
use crate::manifest::Format;

const NYSE: &str = include_str!("../../../examples/calendars/nyse.yaml");

fn rule(cron: &str, zone: &str) -> Rule {
    let text = RuleText { cron: Some(cron.to_owned()), zone: Some(zone.to_owned()), ..RuleText::default() };
    Rule::new(&text).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nyse() -> Calendar {
    Calendar::parse(NYSE.as_bytes(), Format::Yaml, "nyse.yaml").unwrap()
}

fn shown(rule: &Rule, after: &str, most: usize) -> Vec<String> {
    rule.next(at(after), most).iter().map(|time| rule.told(*time).0).collect()
}

#[test]
fn a_time_in_a_skipped_hour_fires_once_when_the_hour_is_over() {
    // On 29 March 2026, 01:00 is followed by 02:00 in London.
    let nightly = rule("30 1 * * *", "Europe/London");
    let expected = ["2026-03-28T01:30:00+00:00", "2026-03-29T02:00:00+01:00", "2026-03-30T01:30:00+01:00"];
    assert_eq!(shown(&nightly, "2026-03-28T00:00:00Z", 3), expected);
    let often = rule("*/20 * * * *", "Europe/London");
    let expected = ["2026-03-29T00:40:00+00:00", "2026-03-29T02:00:00+01:00", "2026-03-29T02:20:00+01:00"];
    assert_eq!(shown(&often, "2026-03-29T00:20:00Z", 3), expected);
    // Half an hour, at Lord Howe; and a whole day, in Samoa in 2011.
    assert_eq!(
        shown(&rule("15 2 4 10 *", "Australia/Lord_Howe"), "2026-10-03T00:00:00Z", 1),
        ["2026-10-04T02:30:00+11:00"]
    );
    assert_eq!(
        shown(&rule("0 12 30 12 *", "Pacific/Apia"), "2011-12-29T00:00:00Z", 1),
        ["2011-12-31T00:00:00+14:00"]
    );
}

#[test]
fn a_time_in_a_doubled_hour_fires_once() {
    let expected = ["2026-10-25T01:30:00+01:00", "2026-10-26T01:30:00+00:00"];
    assert_eq!(shown(&rule("30 1 * * *", "Europe/London"), "2026-10-25T00:00:00Z", 2), expected);
    // From within its second pass too.
    assert_eq!(shown(&rule("30 1 * * *", "Europe/London"), "2026-10-25T01:10:00Z", 1), expected[1..]);
    assert_eq!(
        shown(&rule("*/30 * * * *", "Europe/London"), "2026-10-25T00:00:00Z", 2),
        ["2026-10-25T01:30:00+01:00", "2026-10-25T02:00:00+00:00"]
    );
}

#[test]
fn fields_are_read_as_cron_reads_them() {
    let utc = |cron: &str, after: &str, most: usize| shown(&rule(cron, "UTC"), after, most);
    assert_eq!(utc("30 22 * * 1-5", "2026-01-02T22:30:00Z", 1), ["2026-01-05T22:30:00+00:00"]);
    assert_eq!(utc("0 0 * * 7", "2026-01-01T00:00:00Z", 1), ["2026-01-04T00:00:00+00:00"]);
    assert_eq!(utc("0 0 * jan sun", "2026-01-01T00:00:00Z", 1), ["2026-01-04T00:00:00+00:00"]);
    assert_eq!(utc("0 0 29 2 *", "2097-01-01T00:00:00Z", 1), ["2104-02-29T00:00:00+00:00"]);
    assert_eq!(utc("@monthly", "2026-01-01T00:00:00Z", 1), ["2026-02-01T00:00:00+00:00"]);
    assert_eq!(utc("5-10/5,59 3 * * *", "2026-01-01T00:00:00Z", 3).len(), 3);
    // Either day where both are given.
    let either = utc("0 0 13 * fri", "2026-01-01T00:00:00Z", 3);
    assert_eq!(
        either,
        ["2026-01-02T00:00:00+00:00", "2026-01-09T00:00:00+00:00", "2026-01-13T00:00:00+00:00"]
    );
}

#[test]
fn mistakes_in_cron_expressions_name_the_field() {
    for (cron, words) in [
        ("* * * *", "it has 4 fields, not five"),
        ("0 25 * * *", "its hour has \"25\": write 0 to 23"),
        ("60 * * * *", "its minute has \"60\""),
        ("0 0 0 * *", "its day of the month has \"0\""),
        ("0 0 * 13 *", "its month has \"13\": write 1 to 12, or jan to dec"),
        ("0 0 * * 8", "its day of the week has \"8\""),
        ("0 0 * * 5-1", "its range ends before it begins"),
        ("0/5 * * * *", "a step follows `*` or a range"),
        ("*/0 * * * *", "its step is not a number from 1 to 59"),
        ("+5 * * * *", "its minute has \"+5\""),
        ("@noon", "it has 1 fields"),
    ] {
        let told = Cron::parse(cron).unwrap_err();
        assert!(told.contains(words) && told.contains(cron), "{cron}: {told}");
    }
    let never = rule("0 0 31 2,4 *", "UTC").never(at("2026-01-01T00:00:00Z")).unwrap();
    assert!(never.contains("never fires: no month of feb, apr has a day 31"), "{never}");
    assert_eq!(rule("0 0 31 2 1", "UTC").never(at("2026-01-01T00:00:00Z")), None);
    let told =
        Rule::new(&RuleText { zone: Some("Europe/Lodnon".into()), ..RuleText::default() }).unwrap_err();
    assert!(told.contains("did you mean Europe/London?"), "{told}");
}

/// Walks minute by minute: a wall clock's minute fires when it is first reached or first passed over.
fn oracle(cron: &Cron, zone: &TimeZone, year: i16) -> Vec<Timestamp> {
    let start = zone.to_timestamp(date(year, 1, 1).at(0, 0, 0, 0)).unwrap();
    let matches = |wall: DateTime| cron.has_day(wall.date()) && cron.has_minute(wall.hour(), wall.minute());
    let mut highest = zone.to_datetime(start);
    let mut fired = Vec::new();
    for minute in 1..366 * 24 * 60_i64 {
        let now = start + SignedMinutes(minute).span();
        let wall = zone.to_datetime(now);
        let mut fires = false;
        while highest < wall {
            highest = highest.checked_add(1.minute()).unwrap();
            fires |= matches(highest);
        }
        if fires {
            fired.push(now);
        }
    }
    fired
}

struct SignedMinutes(i64);

impl SignedMinutes {
    fn span(&self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_mins(self.0)
    }
}

fn cron() -> impl Strategy<Value = String> {
    let minute =
        prop_oneof![Just("*/7".to_owned()), Just("*".to_owned()), (0..60_u8).prop_map(|n| n.to_string())];
    let hour = prop_oneof![
        Just("*".to_owned()),
        (0..4_u8).prop_map(|n| n.to_string()),
        (0..4_u8, 1..20_u8).prop_map(|(from, more)| format!("{from}-{}", from + more)),
    ];
    let day = prop_oneof![3 => Just("*".to_owned()), 1 => (1..32_u8).prop_map(|n| n.to_string())];
    let weekday = prop_oneof![3 => Just("*".to_owned()), 1 => (0..8_u8).prop_map(|n| n.to_string())];
    (minute, hour, day, weekday)
        .prop_map(|(minute, hour, day, weekday)| format!("{minute} {hour} {day} * {weekday}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn times_are_those_of_a_slow_walk(
        cron in cron(),
        name in prop::sample::select(vec![
            "Europe/London", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kolkata",
            "America/Santiago", "Africa/Casablanca", "Asia/Beirut", "Pacific/Apia",
        ]),
        year in prop::sample::select(vec![2011_i16, 2024, 2026]),
    ) {
        let parsed = Cron::parse(&cron).unwrap();
        let zone = zone(name).unwrap();
        let expected = oracle(&parsed, &zone, year);
        let mut time = zone.to_timestamp(date(year, 1, 1).at(0, 0, 0, 0)).unwrap();
        for expected in expected {
            time = parsed.after(&zone, time).unwrap();
            prop_assert_eq!(time, expected, "{} in {}", cron, name);
        }
    }
}

#[test]
fn sessions_of_the_example_are_those_of_the_exchange() {
    let calendar = nyse();
    let text = |at: &str| RuleText {
        calendar: Some(calendar.clone()),
        at: Some(at.to_owned()),
        ..RuleText::default()
    };
    let opens = Rule::new(&text("open+30m")).unwrap();
    // A weekend, and Martin Luther King's day.
    assert_eq!(shown(&opens, "2026-01-16T15:00:00Z", 1), ["2026-01-20T10:00:00-05:00"]);
    let closes = Rule::new(&text("close+15m")).unwrap();
    // Thanksgiving and the half day after it.
    assert_eq!(
        shown(&closes, "2026-11-25T00:00:00Z", 3),
        ["2026-11-25T16:15:00-05:00", "2026-11-27T13:15:00-05:00", "2026-11-30T16:15:00-05:00"]
    );
    assert_eq!(closes.after(at("2027-12-31T22:00:00Z")), None);
    assert!(closes.never(at("2028-01-01T00:00:00Z")).unwrap().contains("ends on 2027-12-31"));
    assert_eq!(closes.told(at("2026-11-28T00:30:00Z")).1, "2026-11-27");
    let trading = |year| {
        let days = date(year, 1, 1).series(1.day()).take_while(|day| day.year() == year);
        days.filter(|day| calendar.hours(*day).is_some()).count()
    };
    // As the exchange counts them.
    assert_eq!([2024, 2025, 2026, 2027].map(trading), [252, 250, 251, 251]);
}

#[test]
fn calendars_that_contradict_themselves_are_refused() {
    let wrong = |from: &str, to: &str| {
        let text = NYSE.replacen(from, to, 1);
        assert_ne!(text, NYSE, "{from}");
        Calendar::parse(text.as_bytes(), Format::Yaml, "nyse.yaml").unwrap_err().to_string()
    };
    let session = r#"- {open: "09:30", close: "16:00"}"#;
    let two = |second: &str| wrong(session, &format!("{session}\n  - {second}"));
    for (told, words) in [
        (two(r#"{open: "15:00", close: "17:00"}"#), "each opens after the one before it has closed"),
        (two(r#"{open: "04:00", close: "09:30"}"#), "list sessions by their times"),
        (wrong(session, r#"- {open: "16:00", close: "09:30"}"#), "it closes later, on the same day"),
        (wrong(session, r#"- {open: "25:30", close: "16:00"}"#), "nyse.yaml is no calendar"),
        (wrong("zone: America/New_York", "zone: America/NewYork"), "did you mean America/New_York?"),
        (wrong("to: 2027-12-31", "to: 2023-12-31"), "it ends after it begins"),
        (wrong("to: 2027-12-31", "to: 2026-12-31"), "is not between"),
        (wrong("sessions:", "session:"), "unknown field `session`"),
        (wrong("2026-11-27: \"13:00\"", "2026-11-26: \"13:00\""), "is a holiday and a half day"),
        (wrong("2026-11-27: \"13:00\"", "2026-11-27: \"16:30\""), "not between 09:30:00 and 16:00:00"),
        (wrong("2026-11-27: \"13:00\"", "2026-11-28: \"13:00\""), "is none of its `days`"),
    ] {
        assert!(told.contains(words), "{told}");
    }
    for at in ["", "noon", "open+", "open30m", "close+25h", "open+1x", "close*2"] {
        assert!(at.parse::<SessionTime>().unwrap_err().contains("no time of a session"), "{at}");
    }
    assert_eq!("close-1h30m".parse::<SessionTime>().unwrap().to_string(), "close-1h30m");
    assert!(
        Rule::new(&RuleText { at: Some("open".into()), ..RuleText::default() })
            .unwrap_err()
            .contains("no calendar")
    );
    let both = RuleText { calendar: Some(nyse()), cron: Some("* * * * *".into()), ..RuleText::default() };
    assert!(Rule::new(&both).unwrap_err().contains("one of them"));
}

#[test]
fn what_was_missed_is_made_up_as_asked() {
    let hourly = rule("0 * * * *", "UTC");
    let (first, now) = (at("2026-01-01T01:00:00Z"), at("2026-01-01T04:10:00Z"));
    let sorted = |catch_up| sort(&hourly, first, now, catch_up, CatchUpWindow::default());
    let hours = |times: &[Timestamp]| {
        times.iter().map(|time| time.to_string()[11..13].to_owned()).collect::<Vec<_>>()
    };
    let none = sorted(CatchUp::None);
    assert_eq!(
        (hours(&none.run), hours(&none.skipped)),
        (vec![], vec!["01".into(), "02".into(), "03".into(), "04".to_owned()])
    );
    let last = sorted(CatchUp::Last);
    assert_eq!((hours(&last.run), last.skipped.len()), (vec!["04".to_owned()], 3));
    let all = sorted(CatchUp::All);
    assert_eq!((all.run.len(), all.skipped.len(), all.more), (4, 0, 0));
    assert_eq!(all.next, Some(at("2026-01-01T05:00:00Z")));
    let within = |seconds| {
        let window = CatchUpWindow::of_seconds(seconds).unwrap();
        let sorted = sort(&hourly, first, now, CatchUp::All, window);
        (hours(&sorted.run), hours(&sorted.skipped))
    };
    assert_eq!(within(4_500), (vec!["03".to_owned(), "04".into()], vec!["01".to_owned(), "02".into()]));
    assert_eq!(within(60).1.len(), 4);
    for wrong in [0, 59, 2_678_401] {
        assert!(CatchUpWindow::of_seconds(wrong).unwrap_err().contains("31 days are the longest"));
    }
    let any = CatchUpWindow::default();
    let on_time = sort(&hourly, first, at("2026-01-01T04:00:30Z"), CatchUp::None, any);
    assert_eq!((hours(&on_time.run), on_time.skipped.len()), (vec!["04".to_owned()], 3));
    // However long nobody was there.
    let long = sort(&rule("* * * * *", "UTC"), at("2020-01-01T00:00:00Z"), now, CatchUp::All, any);
    assert_eq!(
        (long.run.len(), long.skipped.len(), long.run.last()),
        (100, 100, Some(&at("2026-01-01T04:10:00Z")))
    );
    assert_eq!(long.more, 31 * 24 * 60 - 200);
}

#[test]
fn the_time_stands_where_its_words_do() {
    let rule = rule("0 * * * *", "Asia/Kolkata");
    let time = at("2026-01-05T22:30:00Z");
    let filled = |text: &str| rule.filled(text, time);
    assert_eq!(
        filled("--end ${schedule_date} ${schedule_time}${schedule_date}").unwrap(),
        "--end 2026-01-06 2026-01-06T04:00:00+05:302026-01-06"
    );
    for same in [
        "",
        "$schedule_date",
        "${schedule_date",
        "${schedule_date:-x}",
        "${HOME} ${schedule",
        "{{ n }}",
        "a ${schedule_",
    ] {
        assert_eq!(filled(same).unwrap(), same);
    }
    assert_eq!(filled("${schedule_date:-x} ${schedule_date}").unwrap(), "${schedule_date:-x} 2026-01-06");
    assert!(filled("${schedule_day}").unwrap_err().contains("${schedule_time} and ${schedule_date}"));
}
