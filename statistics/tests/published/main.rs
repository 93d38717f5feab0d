//! Published numbers, and what this crate computes from the same inputs. The cases are data, cases.json; each must come out
//! within its own tolerance, and docs/STATISTICS.md holds the table that this test writes.

#![expect(clippy::unwrap_used, reason = "a test fails where it can't go on")]

mod cases;
mod page;
mod r_random;

use serde_json::Value;

fn cases() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("cases.json")).unwrap();
    all["cases"].as_array().unwrap().clone()
}

/// True if each number is as near as the tolerance says, which is one number, or one by name.
fn is_close(found: &Value, expected: &Value, tolerance: &Value) -> bool {
    match (found, expected) {
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found.iter().zip(expected).all(|(found, right)| is_close(found, right, tolerance))
        }
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && expected.iter().all(|(name, right)| {
                    let tolerance = tolerance.get(name).unwrap_or(tolerance);
                    found.get(name).is_some_and(|found| is_close(found, right, tolerance))
                })
        }
        _ => {
            let number = |value: &Value| value.as_f64().unwrap();
            (number(found) - number(expected)).abs() <= number(tolerance)
        }
    }
}

#[test]
fn published_numbers_come_out() {
    for case in cases() {
        let found = cases::computed(&case);
        let (expected, tolerance) = (&case["expected"], &case["tolerance"]);
        assert!(
            is_close(&found, expected, tolerance),
            "{}: {found} is not {expected} within {tolerance}",
            case["id"]
        );
    }
}

#[test]
fn what_is_too_far_is_seen() {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert!(is_close(&value("[1.0, 2.0]"), &value("[1.0, 2.1]"), &value("0.2")));
    assert!(!is_close(&value("[1.0, 2.0]"), &value("[1.0, 2.3]"), &value("0.2")));
    assert!(!is_close(&value("[1.0]"), &value("[1.0, 2.0]"), &value("9")));
    assert!(!is_close(&value(r#"{"a": 1}"#), &value(r#"{"a": 2}"#), &value(r#"{"a": 0.5}"#)));
}
