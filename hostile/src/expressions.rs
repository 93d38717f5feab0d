//! Expressions (`where`, `stop_when`) and templates.

use std::collections::BTreeMap;

use bt_model::manifest::{Format, Manifest};
use bt_model::selection::Selection;
use bt_model::stop_when::StopWhen;
use bt_model::template::literal;
use serde_json::{Map, Value, json};

use crate::{manifests, refusal};

fn parameters() -> Map<String, Value> {
    map(json!({"fast": 5, "slow": 20.5, "kind": "trend", "on": true, "name": "Caf\u{e9} {{ x }}"}))
}

fn metrics() -> BTreeMap<String, f64> {
    [("sharpe", 1.5), ("dd.max", -0.2), ("trades", 31.0), ("Sharpe Ratio", 1e300), ("tiny", -5e-324)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn expression(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let reported: Map<String, Value> =
        metrics().into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    if let Some(mut selection) = refusal::read(Selection::new(text)) {
        let once = refusal::read(selection.takes(7, &parameters(), reported.clone()));
        let twice = refusal::read(selection.takes(7, &parameters(), reported.clone()));
        assert_eq!(once, twice, "the same job is judged otherwise");
        let names = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        if let Some(unknown) = selection.unknown(&names(&reported), &names(&parameters())) {
            refusal::check(&unknown);
        }
    }
    if let Some(mut stop_when) = refusal::read(StopWhen::new(text)) {
        if let Some(Some(why)) = refusal::read(stop_when.holds(7, &parameters(), &metrics())) {
            refusal::check(&why);
        }
        refusal::check(&stop_when.outlook(7, &parameters(), &metrics()));
    }
    of_a_manifest(&json!({
        "image": "x:1", "command": ["true"], "matrix": {"fast": [1, 2], "kind": ["a", "b c"]}, "where": text,
    }));
}

pub(crate) fn template(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let with = |word: &str| {
        json!({
            "image": "x:1", "command": ["echo", word], "env": {"WORD": word},
            "matrix": {"fast": [1, 2.50], "kind": ["a", "b c"], "on": [true]},
        })
    };
    of_a_manifest(&with(text));
    // What is meant to be no template comes out as it is.
    if let Some(manifest) = of_a_manifest(&with(&literal(text))) {
        let jobs = manifest.expand().expect("it was expanded before");
        let rendered = manifest.render(&jobs.get(0).expect("there are jobs")).expect("it is a text");
        assert_eq!(rendered.command[1], text);
    }
}

fn of_a_manifest(document: &Value) -> Option<Manifest> {
    let draft = refusal::read(Manifest::parse(document.to_string().as_bytes(), Format::Json, "sweep"))?;
    let manifest = refusal::read(draft.finish())?;
    manifests::expand(&manifest).then_some(manifest)
}
