use serde_json::json;

use super::*;

#[track_caller]
fn read(text: &str, expected: &str) {
    let metrics = parse(text.as_bytes()).unwrap();
    assert_eq!(Value::Object(metrics.numbers).to_string(), expected);
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, part: &str) {
    let error = parse(text.as_ref()).unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn numbers_are_taken_by_name() {
    read(r#"{"sharpe": 1.25, "trades": 12}"#, r#"{"sharpe":1.25,"trades":12}"#);
    read(r#"{"dd": {"max": -0.3, "days": {"mean": 4}}}"#, r#"{"dd.max":-0.3,"dd.days.mean":4}"#);
    read(r#"{"\u0061\"": 1e3, "big": 18446744073709551615}"#, r#"{"a\"":1000.0,"big":18446744073709551615}"#);
    read("{}", "{}");
}

#[test]
fn pythons_non_finite_numbers_are_left_out_by_name() {
    let text = r#"{"a": NaN, "b": Infinity, "c": -Infinity, "d": null, "NaN \"NaN": 1, "e": -1}"#;
    read(text, r#"{"NaN \"NaN":1,"e":-1}"#);
    assert_eq!(parse(text.as_bytes()).unwrap().left_out, ["a", "b", "c", "d"]);
    read(r#"{"a\\": NaN, "b": 2, "Name": 3, "I": 4}"#, r#"{"b":2,"Name":3,"I":4}"#);
    refused("{\"a\": Nano}", "not JSON");
}

#[test]
fn series_are_looked_at_and_left_alone() {
    let good = r#"{"series": {"equity": [1, 2.5, NaN, null], "dd": [["2026-01-02", 0.1], [1767312000, null]],
        "none": []}, "a": 1}"#;
    read(good, r#"{"a":1}"#);
    read(r#"{"series": null, "a": {"series": 2}}"#, r#"{"a.series":2}"#);
    refused(r#"{"series": [1]}"#, "an object of named lists under `series`");
    refused(r#"{"series": {"x": 1}}"#, "a list of numbers, or of [time, number], as `series.x`");
    refused(r#"{"series": {"x": ["1"]}}"#, "a number or [time, number] in `series.x`");
    refused(r#"{"series": {"x": [[1, 2, 3]]}}"#, "a list in `series.x` is not a pair");
    refused(r#"{"series": {"x": [[1]]}}"#, "a list in `series.x` is not a pair");
    refused(r#"{"series": {"x": [[null, 1]]}}"#, "a time, which is a number or a text, in `series.x`");
    refused(r#"{"series": {"x": [[1, "2"]]}}"#, "a number after the time in `series.x`");
    refused(r#"{"series": {"x": [{}]}}"#, "a number or [time, number] in `series.x`");
    refused(r#"{"series": {"x": [], "x": []}}"#, "`series.x` is given twice");
}

#[test]
fn what_is_no_metrics_is_refused() {
    refused("", "it is empty");
    refused("[1]", "a list where an object of numbers belongs");
    refused("3", "a number where an object of numbers belongs");
    refused("null", "null where an object of numbers belongs");
    refused(r#"{"a": {"b": "x"}}"#, "the metric `a.b` is a text; a metric is a number at line 1 column");
    refused(r#"{"a": true}"#, "`a` is a boolean");
    refused(r#"{"a": [1]}"#, "`a` is a list");
    refused("{\"a\": 1", "not JSON: EOF");
    refused("{\"a\": 1} x", "not JSON: trailing characters");
    refused(b"{\"a\": \xff}", "not UTF-8 from byte 6");
    refused(r#"{"": 1}"#, "an empty name");
    refused(format!("{{\"{}\": 1}}", "n".repeat(MAX_NAME + 1)), "256 bytes are the most");
}

#[test]
fn a_name_is_given_once() {
    refused(r#"{"a": 1, "a": 2}"#, "`a` is given twice");
    refused(r#"{"a": null, "a": 2}"#, "`a` is given twice");
    refused(r#"{"a.b": 1, "a": {"b": 2}}"#, "`a.b` is given twice");
    refused(r#"{"a": {"b": 1}, "a": {"c": 2}}"#, "`a` is given twice");
}

#[test]
fn size_is_limited_whatever_it_is_made_of() {
    refused(vec![b' '; MAX_TEXT + 1], "larger than 16777216 bytes");
    let many: Vec<String> = (0..1_000_000).map(|n| format!("\"m{n}\":1")).collect();
    refused(format!("{{{}}}", many.join(",")), "more than 10000 names");
    let nulls: Vec<String> = (0..20_000).map(|n| format!("\"m{n}\":NaN")).collect();
    refused(format!("{{{}}}", nulls.join(",")), "more than 10000 names");
    refused("{\"a\":".repeat(100_000), "more than 32 deep");
    refused(format!("{{\"a\":{}", "[".repeat(100_000)), "`a` is a list");
    refused(format!("{{\"series\":{{\"a\":{}", "[".repeat(100_000)), "`series.a`");
}

#[test]
fn a_large_series_of_what_is_no_number_takes_no_longer_than_one_of_numbers() {
    let text = format!("{{\"series\": {{\"x\": [{}NaN]}}}}", "NaN,".repeat(3_000_000));
    let began = std::time::Instant::now();
    read(&text, "{}");
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn what_is_required_is_named_when_it_is_not_there() {
    let metrics = parse(br#"{"a": 1, "b": NaN}"#).unwrap();
    let require = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        metrics.require(&names).map_err(|error| error.to_string())
    };
    assert_eq!(require(&["a"]), Ok(()));
    assert_eq!(
        require(&["sharpe", "a", "b", "c"]),
        Err("sharpe, c are missing and b is NaN, infinite or null, which the manifest requires; it holds a"
            .to_owned())
    );
    let none = Metrics::default().require(&["x".to_owned()]).unwrap_err().to_string();
    assert_eq!(none, "x is missing, which the manifest requires; it holds no number");
}

#[test]
fn numbers_are_found_in_json_of_any_shape() {
    let text =
        br#"{"Statistics": {"Sharpe Ratio": "1.5", "Net Profit": "$1,234.50", "Drawdown": "12.5%", "n": 3},
        "orders": [{"p": 1.5}, {"p": NaN}], "ok": true}"#;
    let all = read_json(text, &[]).unwrap();
    assert_eq!(Value::Object(all), json!({"Statistics.n": 3, "orders.0.p": 1.5}));
    let map = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Mapping>>();
    let mapped =
        map(&["sharpe=Statistics.Sharpe Ratio", "profit=Statistics.Net Profit", "dd=Statistics.Drawdown"]);
    let some = read_json(text, &mapped).unwrap();
    assert_eq!(Value::Object(some), json!({"sharpe": 1.5, "profit": 1234.5, "dd": 0.125}));
    let fails = |texts: &[&str]| read_json(text, &map(texts)).unwrap_err().to_string();
    assert_eq!(fails(&["x=Statistics.Sortino"]), "it has no `Statistics.Sortino`");
    assert!(fails(&["x=ok"]).starts_with("`ok` is \"true\", which is not a number"));
    assert!("sharpe".parse::<Mapping>().is_err());
}

#[test]
fn numbers_are_found_in_csv() {
    let text = b"name,value\nsharpe,1.5\ncomment,good\ndd,3%\n";
    assert_eq!(Value::Object(read_csv(text, &[]).unwrap()), json!({"sharpe": 1.5}));
    let dd = ["drawdown=dd".parse().unwrap()];
    assert_eq!(Value::Object(read_csv(text, &dd).unwrap()), json!({"drawdown": 0.03}));
    let wide = read_csv(b"a,1,2\n", &[]).unwrap_err().to_string();
    assert_eq!(
        wide,
        "it has 3 columns on line 1; write a name and a number on each line, or a header of names above one line of numbers"
    );
    assert_eq!(read_csv(b"a,1\na,2\n", &[]).unwrap_err().to_string(), "`a` is there twice");
}

#[test]
fn people_write_numbers_in_their_way() {
    let number = |text: &str| number_in_text(text).map(|number| number.to_string());
    let read = [
        ("12.5%", "0.125"),
        ("-0.1%", "-0.001"),
        ("$1,234.50", "1234.5"),
        ("$-1,234", "-1234"),
        ("-$3", "-3"),
        ("1e-3", "0.001"),
        ("41", "41"),
        (" 7 ", "7"),
    ];
    for (text, expected) in read {
        assert_eq!(number(text).as_deref(), Some(expected), "{text}");
    }
    for text in ["", "nan", "inf", "1.234,50", "12,34", "1,2345", "abc", "--1", "$", "%", "1 2"] {
        assert_eq!(number(text), None, "{text}");
    }
}

/// Times and returns.
type Read = (Vec<i64>, Vec<f64>);

fn returns(series: &str) -> Option<Result<Read, String>> {
    let metrics = parse(format!(r#"{{"sharpe": 1, "series": {series}}}"#).as_bytes()).unwrap();
    let parts = |returns: crate::returns::Returns| (returns.times().to_vec(), returns.values().to_vec());
    metrics.returns.map(|returns| returns.map(parts).map_err(|error| error.to_string()))
}

#[test]
fn series_of_returns_are_kept() {
    let day = 1_325_548_800;
    let dated = r#"{"returns": [["2012-01-04", -0.5], ["2012-01-03", 0.25]], "equity": [["2012-01-03", 1], ["2012-01-04", 2]]}"#;
    assert_eq!(returns(dated), Some(Ok((vec![day, day + 86_400], vec![0.25, -0.5]))));
    let equity = r#"{"equity": [[1325548800000, 100], [1325635200000, 150]], "trades": [["x", 1]]}"#;
    assert_eq!(returns(equity), Some(Ok((vec![day + 86_400], vec![0.5]))));
    assert_eq!(returns(r#"{"returns": [0.5, 0.25, 1]}"#), Some(Ok((vec![0, 1, 2], vec![0.5, 0.25, 1.0]))));
    let gap = returns(r#"{"returns": [["2012-01-03", null], ["2012-01-04", NaN]]}"#).unwrap().unwrap();
    assert!(gap.1.iter().all(|value| value.is_nan()) && gap.1.len() == 2);
    for none in
        ["null", "{}", r#"{"trades": [1, 2]}"#, r#"{"returns": []}"#, r#"{"equity": [["2012-01-03", 1]]}"#]
    {
        assert_eq!(returns(none), None, "{none}");
    }
}

#[test]
fn returns_that_can_not_be_used_leave_the_metrics_as_they_are() {
    for (series, part) in [
        (r#"{"returns": [["2012-01-03", 1], ["2012-01-03", 2]]}"#, "series.returns: 2012-01-03 stands twice"),
        (r#"{"returns": [["yesterday", 1]]}"#, r#"series.returns: "yesterday" is no date; write 2012-01-03"#),
        (r#"{"equity": [["3.1.2012", 1], 7]}"#, "series.equity: "),
        (r#"{"returns": [["2012-01-03", 1], 2]}"#, "some have none"),
    ] {
        let error = returns(series).unwrap().unwrap_err();
        assert!(error.contains(part), "{series}: {error}");
    }
}
