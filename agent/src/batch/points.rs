//! The points of a container, as its program reads them: in JSON, and as a table for programs that read no JSON.

use bt_model::manifest::STATUS_FILE;
use bt_model::parameters::{Parameters, text_of};
use serde_json::{Value, json};

/// A parameter that a point lacks.
const ABSENT: &str = "\\N";

/// One point of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) job: u32,
    pub(crate) parameters: Parameters,
}

impl Point {
    /// Its name in a container: the job's number.
    pub(crate) fn name(&self) -> String {
        self.job.to_string()
    }
}

/// What the input file says of these points: `points` and `status_path`.
pub(crate) fn as_json(points: &[Point], results: &str) -> [(&'static str, Value); 2] {
    let point = |point: &Point| {
        json!({
            "point": point.name(),
            "job": point.job,
            "parameters": Value::Object(point.parameters.as_map().clone()),
            "output_path": below(results, &point.name()),
        })
    };
    [("points", points.iter().map(point).collect()), ("status_path", below(results, STATUS_FILE).into())]
}

/// A path in the container's results directory.
pub(crate) fn below(results: &str, name: &str) -> String {
    format!("{}/{name}", results.trim_end_matches('/'))
}

/// A line for each point, with tabs between cells; the first line names the columns.
pub(crate) fn as_table(points: &[Point]) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for name in points.iter().flat_map(|point| point.parameters.names()) {
        if known.insert(name) {
            names.push(name);
        }
    }
    let mut table = String::from("point");
    for name in &names {
        table.push('\t');
        push_cell(&mut table, name);
    }
    table.push('\n');
    for point in points {
        table.push_str(&point.name());
        for name in &names {
            table.push('\t');
            match point.parameters.get(name) {
                Some(value) => push_cell(&mut table, &text_of(value)),
                None => table.push_str(ABSENT),
            }
        }
        table.push('\n');
    }
    table
}

fn push_cell(table: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '\\' => table.push_str("\\\\"),
            '\t' => table.push_str("\\t"),
            '\n' => table.push_str("\\n"),
            '\r' => table.push_str("\\r"),
            other => table.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(job: u32, parameters: &str) -> Point {
        Point { job, parameters: Parameters::from_json(parameters).unwrap() }
    }

    #[test]
    fn points_are_listed_in_both_forms() {
        let points = [point(7, r#"{"fast": 1.10, "name": "a\tb\\c\nd"}"#), point(12, r#"{"slow": true}"#)];
        assert_eq!(
            as_table(&points),
            "point\tfast\tname\tslow\n7\t1.10\ta\\tb\\\\c\\nd\t\\N\n12\t\\N\t\\N\ttrue\n"
        );
        let [(_, listed), (_, status)] = as_json(&points, "/out/");
        assert_eq!(status, "/out/status");
        let expected = r#"{"point":"12","job":12,"parameters":{"slow":true},"output_path":"/out/12"}"#;
        assert_eq!(listed[1], serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!(listed[0]["parameters"]["fast"].to_string(), "1.10");
    }
}
