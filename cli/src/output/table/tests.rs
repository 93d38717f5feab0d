use super::super::view::Row;
use super::*;
use crate::output::Json;

fn view() -> View {
    let mut columns = vec![Column::always("job").rank(0), Column::always("sharpe").rank(1)];
    columns.extend(["symbol", "cost", "fast"].map(|name| Column::always(name).folds().rank(3)));
    columns.push(Column::always("drawdown").rank(4));
    columns.push(Column::always("reason").optional().rank(5));
    columns.push(Column::wide("agent"));
    let row = |job: u32, sharpe: &str, fast: u32, reason: &str| Row {
        cells: vec![
            Cell::number(job),
            Cell::number(sharpe),
            Cell::text("AAPL"),
            Cell::number("0.001"),
            Cell::number(fast),
            Cell::number("-0.25"),
            Cell::text(reason),
            Cell::text("node1"),
        ],
        json: Json::none(),
        name: job.to_string(),
    };
    View { columns, rows: vec![row(9, "1.23456789", 5, ""), row(10, "-0.5", 20, "")] }
}

fn written(view: &View, extent: Extent) -> String {
    let mut out = Vec::new();
    write(view, extent, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn constants_stand_above_and_numbers_to_the_right() {
    let expected = "\
In all rows: symbol=AAPL, cost=0.001
JOB    SHARPE  FAST  DRAWDOWN
  9   1.23457     5     -0.25
 10  -0.50000    20     -0.25
";
    assert_eq!(written(&view(), Extent::Fit(Some(80))), expected);
}

#[test]
fn nothing_is_folded_or_left_out_where_there_is_no_terminal() {
    let piped = written(&view(), Extent::Fit(None));
    assert!(piped.starts_with("JOB    SHARPE  SYMBOL   COST  FAST  DRAWDOWN\n"), "{piped}");
    assert_eq!(piped.lines().filter(|line| line.contains("AAPL")).count(), 2, "{piped}");
}

#[test]
fn what_does_not_fit_is_named() {
    let shown = written(&view(), Extent::Fit(Some(22)));
    assert!(shown.lines().take(5).all(|line| line.width() <= 22), "{shown}");
    assert!(shown.contains("JOB    SHARPE  FAST\n"), "{shown}");
    assert!(shown.ends_with("drawdown\n"), "{shown}");
    let narrow = written(&view(), Extent::Fit(Some(1)));
    assert!(narrow.contains("JOB\n"), "{narrow}");
}

#[test]
fn wide_has_everything_uncut() {
    let mut view = view();
    view.rows[0].cells[6] = Cell::text("x".repeat(100));
    let wide = written(&view, Extent::All);
    assert!(
        wide.contains("AGENT") && wide.contains("1.23456789") && wide.contains(&"x".repeat(100)),
        "{wide}"
    );
    assert!(!wide.contains("In all rows"), "{wide}");
    let shown = written(&view, Extent::Fit(Some(50)));
    assert!(shown.contains("REASON\n") && shown.contains('…'), "{shown}");
    assert!(shown.lines().all(|line| line.width() <= 50), "{shown}");
}

#[test]
fn a_single_row_shows_its_parameters() {
    let mut view = view();
    view.rows.truncate(1);
    assert!(written(&view, Extent::Fit(None)).contains("SYMBOL"));
}

#[test]
fn long_texts_are_cut_by_their_width() {
    assert_eq!(cut("abcdef", 4), "abc…");
    assert_eq!(cut("日本語日本語", 5).width(), 5);
    assert_eq!(line("a\nb"), "a b");
}
