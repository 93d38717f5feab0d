//! The table in docs/STATISTICS.md: `BTCTL_WRITE_DIGITS=1 cargo test -p bt-statistics --test published` writes it.

use std::fs;
use std::path::Path;

use serde_json::Value;

const BEGIN: &str = "<!-- digits: written by statistics/tests/published -->\n";
const END: &str = "<!-- end of digits -->\n";

/// A number as it is computed, to twelve digits, since the last ones may differ between machines.
fn digits(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            let some: Vec<_> = values.iter().take(6).map(digits).collect();
            let more = if values.len() > some.len() { ", .." } else { "" };
            some.join(", ") + more
        }
        Value::Object(values) => {
            let named: Vec<_> = values
                .iter()
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), digits(value)))
                .collect();
            named.join("; ")
        }
        value => {
            let number = value.as_f64().unwrap();
            let short: f64 = format!("{number:.11e}").parse().unwrap();
            if short != 0.0 && short.abs() < 1e-4 { format!("{short:e}") } else { short.to_string() }
        }
    }
}

fn table() -> String {
    let mut table =
        "| case | expected | computed | tolerance | source |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for case in crate::cases() {
        let found = crate::cases::computed(&case);
        // Only what the case names, in its order.
        let found = match case["expected"].as_object() {
            Some(expected) => expected.keys().map(|name| (name.clone(), found[name].clone())).collect(),
            None => found,
        };
        let is_printed = case["expected_is"] == "printed in the source";
        let published = digits(&case["expected"]);
        table += &format!(
            "| {} | {published}{} | {} | {} | {} |\n",
            case["id"].as_str().unwrap(),
            if is_printed { "" } else { " (not printed there)" },
            digits(&found),
            digits(&case["tolerance"]),
            case["source"].as_str().unwrap().replace('|', "\\|"),
        );
    }
    table
}

#[test]
fn the_page_holds_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/STATISTICS.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page marks where the table begins");
    let (_, after) = rest.split_once(END).expect("the page marks where the table ends");
    let right = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if std::env::var_os("BTCTL_WRITE_DIGITS").is_some() {
        fs::write(&path, right).unwrap();
    } else {
        assert!(
            page == right,
            "docs/STATISTICS.md differs from what is computed; write it with BTCTL_WRITE_DIGITS=1"
        );
    }
}
