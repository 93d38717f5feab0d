//! The key `goals`: which way a metric is better. Without a goal, higher is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::choice::Goal;
use super::document::TextNode;
use super::error::Error;
use super::values::{map, text};
use crate::metrics;

/// A manifest has no more goals.
const MOST: usize = 1000;

/// Reads a map of metrics' names to `maximize` or `minimize`.
pub(super) fn read(node: &TextNode) -> Result<BTreeMap<String, Goal>, Error> {
    let mut goals = BTreeMap::new();
    for entry in map(node, "`goals`")? {
        let at = |error: Error| error.or_at(Some(&entry.place));
        check_name(&entry.name).map_err(at)?;
        let goal = text(&entry.node, &format!("goals.{}", entry.name))?;
        let goal = goal.parse::<Goal>().map_err(|error| error.or_at(Some(&entry.node.place)))?;
        goals.insert(entry.name.clone(), goal);
    }
    Ok(goals)
}

/// Reads `max_drawdown=minimize`.
pub fn parse_goal_flag(text: &str) -> Result<(String, Goal), Error> {
    let (name, goal) = text.rsplit_once('=').ok_or_else(|| {
        Error::new(format!("{text:?} is not a goal; write METRIC=maximize or METRIC=minimize"))
    })?;
    check_name(name)?;
    Ok((name.to_owned(), goal.parse()?))
}

/// Checks goals wherever they come from.
pub(super) fn check(goals: &BTreeMap<String, Goal>) -> Result<(), Error> {
    if goals.len() > MOST {
        return Err(Error::new(format!("`goals` has {} metrics; {MOST} is the limit", goals.len())));
    }
    goals.keys().try_for_each(|name| check_name(name))
}

fn check_name(name: &str) -> Result<(), Error> {
    metrics::check_name(name).map_err(|error| Error::new(format!("`goals`: {error}")))
}

/// What [`read`] reads.
pub(super) fn write(goals: &BTreeMap<String, Goal>) -> Value {
    goals.iter().map(|(name, goal)| (name.clone(), json!(goal.name()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Format, Manifest};

    fn goals(text: &str) -> Result<BTreeMap<String, Goal>, String> {
        let text = format!("image: x\ngoals: {text}\n");
        let draft = Manifest::parse(text.as_bytes(), Format::Yaml, "s.yaml");
        let manifest = draft.and_then(|draft| draft.finish()).map_err(|error| error.to_string())?;
        let sent = Manifest::from_json(&manifest.to_json()).map_err(|error| error.to_string())?;
        Ok(sent.goals)
    }

    #[test]
    fn goals_are_kept() {
        let read = goals("{max_drawdown: maximize, dd_days: minimize, \"dd.max\": minimize}").unwrap();
        let expected =
            [("dd.max", Goal::Minimize), ("dd_days", Goal::Minimize), ("max_drawdown", Goal::Maximize)];
        assert!(read.iter().map(|(name, goal)| (name.as_str(), *goal)).eq(expected));
        assert_eq!(parse_goal_flag("a=b=minimize"), Ok(("a=b".to_owned(), Goal::Minimize)));
        assert!(goals("{}").unwrap().is_empty());
    }

    #[test]
    fn other_words_are_refused_where_they_stand() {
        for (text, place, part) in [
            ("{dd: minimise}", "s.yaml:2:13", "did you mean `minimize`?"),
            ("{dd: low}", "s.yaml:2:13", "maximize, minimize"),
            ("{dd: 1}", "s.yaml:2:13", "`goals.dd`"),
            ("{'': minimize}", "s.yaml:2:9", "empty name"),
            ("[dd]", "s.yaml:2:8", "write a map"),
        ] {
            let error = goals(text).unwrap_err();
            assert!(error.starts_with(place) && error.contains(part), "{text}: {error}");
        }
        assert!(parse_goal_flag("dd").is_err() && parse_goal_flag("dd=down").is_err());
    }
}
