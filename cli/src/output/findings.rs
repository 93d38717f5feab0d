//! What was looked at and found, with what to do about it.

use bt_documents::{Finding, Level};

use super::{Cell, Column, Json, OutputFormat, Row, View, print, print_json};
use crate::error::Error;

/// Prints findings; for people a line each, and one below it with the remedy.
pub(crate) fn print_findings(findings: &[Finding], format: OutputFormat) -> Result<(), Error> {
    if format == OutputFormat::Json {
        return print_json(&Json::of(&findings.to_vec())?);
    }
    if !format.is_for_people() {
        let columns = ["about", "level", "found", "remedy"].map(Column::always).into();
        let row = |finding: &Finding| Row {
            cells: vec![
                Cell::text(&finding.about),
                Cell::text(finding.level.to_string()),
                Cell::text(&finding.found),
                finding.remedy.as_deref().map_or(Cell::None, Cell::text),
            ],
            json: Json::none(),
            name: finding.about.clone(),
        };
        return View { columns, rows: findings.iter().map(row).collect() }.print(format);
    }
    print(&lines(findings).join("\n"))
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let width = findings.iter().map(|finding| finding.about.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for Finding { about, level, found, remedy } in findings {
        let shown = super::terminal::visible(found);
        lines.push(format!("{level:<7}  {about:<width$}  {shown}"));
        if let Some(remedy) = remedy {
            lines.push(format!("{:<7}  {:<width$}  -> {}", "", "", super::terminal::visible(remedy)));
        }
    }
    lines
}

/// An error if anything that was found is one.
pub(crate) fn worst(findings: &[Finding]) -> Result<(), Error> {
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    match errors {
        0 => Ok(()),
        1 => Err(Error::Failed("1 error was found".to_owned())),
        errors => Err(Error::Failed(format!("{errors} errors were found"))),
    }
}
