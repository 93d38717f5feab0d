//! One job's parameters: names and scalars.

use std::collections::HashSet;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json_object::Fields;
use crate::scalar;

/// A job has no more parameters than this.
pub const MAX_PARAMETERS: usize = 1000;
const MAX_NAME: usize = 64;
/// Deeper values are read by serde_json itself.
const MAX_DEPTH: usize = 16;
/// A text is no longer, so that a template with a few of them stays within the length of a word.
pub(crate) const MAX_TEXT: usize = 8 << 10;
/// Bytes that a parameter takes as a variable, `BT_PARAM_<NAME>=` and what ends it included.
pub(crate) const MAX_VARIABLE: usize = MAX_TEXT + MAX_NAME + 19;

/// Names and values (whole numbers, floats, booleans, text), in the manifest's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(Map<String, Value>);

/// What is wrong with a job's parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", crate::text::remark(.0))]
pub struct NotParameters(String);

impl Parameters {
    /// Checks that every name is allowed, every value is a scalar, and no two would share an environment variable.
    pub fn new(map: Map<String, Value>) -> Result<Self, NotParameters> {
        if map.len() > MAX_PARAMETERS {
            return Err(NotParameters(format!(
                "{} parameters; a job has {MAX_PARAMETERS} at most",
                map.len()
            )));
        }
        for (name, value) in &map {
            check_name(name)?;
            check_value(name, value)?;
        }
        check_distinct(map.keys().map(String::as_str))?;
        Ok(Self(map))
    }

    /// Reads a JSON object and checks it. Numbers keep their spelling.
    pub fn from_json(text: &str) -> Result<Self, NotParameters> {
        let wrong =
            |error: serde_json::Error| NotParameters(format!("parameters are a JSON object: {error}"));
        let Fields(fields) = serde_json::from_str(text).map_err(wrong)?;
        let mut names = HashSet::with_capacity(fields.len());
        if let Some((name, _)) = fields.iter().find(|(name, _)| !names.insert(name.as_str())) {
            return Err(NotParameters(format!("the parameter `{name}` is given twice")));
        }
        Self::new(spelled(fields).map_err(wrong)?)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("names are texts and values are scalars")
    }

    /// The same text for the same parameters, whatever their order. 1, 1.0 and 1.00 are different, since a job receives
    /// different bytes.
    pub fn identity(&self) -> String {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        serde_json::to_string(&sorted).expect("names are texts and values are scalars")
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn into_map(self) -> Map<String, Value> {
        self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes what has been checked before: combinations of checked axes.
    pub(crate) fn from_checked(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// Reads the JSON of parameters that were checked before. Numbers keep their spelling, which serde_json's own reader would
/// change: it writes `1e5` as `1e+5`. So does its macro `json!`: put the map into a finished value.
pub fn read_map(text: &str) -> Result<Map<String, Value>, serde_json::Error> {
    let Fields(fields) = serde_json::from_str(text)?;
    spelled(fields)
}

/// Reads JSON with parameters in it, at most `MAX_DEPTH` deep. Numbers keep their spelling.
pub fn read_value(text: &str) -> Result<Value, serde_json::Error> {
    value_of_raw(serde_json::from_str(text)?, 0)
}

fn value_of_raw(raw: &RawValue, depth: usize) -> Result<Value, serde_json::Error> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') if depth < MAX_DEPTH => {
            let Fields(fields) = serde_json::from_str(text)?;
            let fields = fields.into_iter().map(|(name, raw)| Ok((name, value_of_raw(raw, depth + 1)?)));
            fields.collect::<Result<_, _>>().map(Value::Object)
        }
        Some(b'[') if depth < MAX_DEPTH => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let items = items.into_iter().map(|raw| value_of_raw(raw, depth + 1));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        _ => match scalar::number_of_raw(raw) {
            Some(number) => Ok(Value::Number(number)),
            None => serde_json::from_str(text),
        },
    }
}

fn spelled(fields: Vec<(String, &RawValue)>) -> Result<Map<String, Value>, serde_json::Error> {
    let fields = fields.into_iter().map(|(name, raw)| match scalar::number_of_raw(raw) {
        Some(number) => Ok((name, Value::Number(number))),
        None => serde_json::from_str(raw.get()).map(|value| (name, value)),
    });
    fields.collect()
}

/// A value as templates and `BT_PARAM_<NAME>` have it: text without quotes, everything else as in JSON.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The environment variable that holds the parameter.
pub fn variable_of(name: &str) -> String {
    let name = name.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    });
    "BT_PARAM_".chars().chain(name).collect()
}

/// True when the two are the same parameter value: 5, 5.0 and 5e0 are.
pub(crate) fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => a == b || a.as_f64() == b.as_f64(),
        },
        (a, b) => a == b,
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), NotParameters> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if starts_well && goes_on_well && name.len() <= MAX_NAME {
        return Ok(());
    }
    let name: String = name.chars().take(80).collect();
    Err(NotParameters(format!(
        "{name:?} is not a name for a parameter: letters, digits, `_` and `-`, a letter or `_` first, {MAX_NAME} at most"
    )))
}

pub(crate) fn check_value(name: &str, value: &Value) -> Result<(), NotParameters> {
    let wrong = match value {
        Value::Bool(_) => return Ok(()),
        Value::Number(number) if scalar::fits(number) => return Ok(()),
        Value::Number(number) => {
            let short: String = number.as_str().chars().take(40).collect();
            format!("is {short}, which is too large for a number of 64 bits; write it as a text, in quotes")
        }
        Value::String(text) if text.contains('\0') => "holds a NUL character".to_owned(),
        Value::String(text) if text.len() > MAX_TEXT => {
            format!("is a text of {} bytes; {MAX_TEXT} are the most", text.len())
        }
        Value::String(_) => return Ok(()),
        Value::Null => "has no value; leave it out, or write \"\"".to_owned(),
        Value::Array(_) => "is a list; a parameter is a number, a text or a boolean".to_owned(),
        Value::Object(_) => "is a map; a parameter is a number, a text or a boolean".to_owned(),
    };
    Err(NotParameters(format!("the parameter `{name}` {wrong}")))
}

/// Refuses two names with the same environment variable.
pub(crate) fn check_distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), NotParameters> {
    let mut seen = std::collections::HashMap::new();
    for name in names {
        let variable = variable_of(name);
        if let Some(other) = seen.insert(variable, name)
            && other != name
        {
            let variable = variable_of(name);
            return Err(NotParameters(format!(
                "the parameter `{name}` is named like another, `{other}`: both would be {variable}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(json: &str, part: &str) {
        let error = Parameters::from_json(json).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn parameters_keep_order_and_kind() {
        let text = r#"{"z":1,"a":1.0,"f":0.3,"b":true,"s":"x"}"#;
        assert_eq!(Parameters::from_json(text).unwrap().to_json(), text);
    }

    #[test]
    fn the_same_parameters_in_another_order_are_the_same() {
        let identity = |json: &str| Parameters::from_json(json).unwrap().identity();
        assert_eq!(identity(r#"{"a":1,"b":"x"}"#), identity(r#"{"b":"x","a":1}"#));
        let all = [
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"a":true}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":1}"#,
            "{}",
        ];
        let different: std::collections::BTreeSet<_> = all.iter().map(|json| identity(json)).collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        refused("[1]", "a JSON object");
        refused(r#"{"a": [1]}"#, "`a` is a list");
        refused(r#"{"a": null}"#, "`a` has no value");
        refused(r#"{"1a": 1}"#, "\"1a\" is not a name");
        refused(r#"{"fast-ma": 1, "fast_ma": 2}"#, "`fast_ma` is named like another, `fast-ma`");
        refused(r#"{"Fast": 1, "fast": 2}"#, "both would be BT_PARAM_FAST");
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let same = |a: Value, b: Value| same_value(&a, &b);
        assert!(same(5.into(), 5.0.into()));
        assert!(!same(5.into(), "5".into()));
        assert!(!same((i64::MAX - 1).into(), i64::MAX.into()));
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for (a, b, expected) in [
            ("1.10", "1.1", true),
            ("1e1", "10", true),
            ("-0", "0", true),
            ("0.1", "0.10000000000000001", true),
            ("0.1", "0.2", false),
            ("5", "\"5\"", false),
        ] {
            assert_eq!(same(number(a), number(b)), expected, "{a} {b}");
        }
    }

    #[test]
    fn digits_are_kept_or_refused() {
        let text = r#"{"a":1.10,"b":1e5,"c":-0,"d":0.12345678901234567890123,"e":-9223372036854775808}"#;
        let parameters = Parameters::from_json(text).unwrap();
        assert_eq!(parameters.to_json(), text);
        assert_eq!(text_of(parameters.get("a").unwrap()), "1.10");
        let document = format!(r#"{{"list":[1e5,"x"],"parameters":{text}}}"#);
        assert_eq!(read_value(&document).unwrap().to_string(), document);
        refused(r#"{"a": 12345678901234567890123}"#, "`a` is 12345678901234567890123, which is too large");
        refused(r#"{"a": 1e400}"#, "write it as a text");
        refused(r#"{"a": 9223372036854775808}"#, "too large");
    }
}
