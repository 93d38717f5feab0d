use std::collections::BTreeMap;

use minijinja::Value;

use super::limits::{BUDGET, MAX_BYTES, MAX_DEPTH, MAX_NESTING, MAX_OPERATORS, MAX_SOURCE};
use super::{Expression, ExpressionFault, Scope};

impl Scope for BTreeMap<&str, Value> {
    fn value(&self, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }
}

fn text(source: &str) -> Result<String, String> {
    let scope = BTreeMap::from([
        ("fast", Value::from(5)),
        ("rate", Value::from(0.25)),
        ("mode", Value::from("long")),
        ("flag", Value::from(true)),
        ("days", Value::from("2024-01-05")),
    ]);
    let fault = |fault: ExpressionFault| fault.to_string();
    Expression::compile(source).map_err(fault)?.text(&scope, &mut BUDGET.clone()).map_err(fault)
}

#[track_caller]
fn gives(source: &str, expected: &str) {
    assert_eq!(text(source).as_deref(), Ok(expected), "{source}");
}

#[track_caller]
fn fails(source: &str, part: &str) {
    let error = text(source).expect_err(source);
    let start: String = source.chars().take(80).collect();
    assert!(error.contains(part), "{start}: {error}");
}

#[test]
fn expressions_compute() {
    gives("fast", "5");
    gives("fast * 2 + 1", "11");
    gives("fast / 2", "2.5");
    gives("-fast // 2", "-3");
    gives("-7 % 3", "2");
    gives("2 ** 10", "1024");
    gives("rate * 4", "1.0");
    gives("1e22", "1e+22");
    gives("not flag or 1 < fast <= 5", "true");
    gives("'x' ~ fast ~ flag", "x5true");
    gives("mode + '-only'", "long-only");
    gives("'a' if fast > 3 else 'b'", "a");
    gives("mode in ['long', 'short'] and fast not in [1, 2]", "true");
    gives("days[:4] ~ days[-2:]", "202405");
    gives("1 if false else [1, 2][1]", "2");
    gives("{'a': 1}['a']", "1");
}

#[test]
fn filters_and_tests_of_the_list_work() {
    gives("rate | round(1)", "0.2");
    gives("(fast / 2) | round | int", "2");
    gives("'%.3f' | format(rate)", "0.250");
    gives("mode | upper | replace('L', 'l')", "lONG");
    gives("days | split('-') | join('/')", "2024/01/05");
    gives("[3, 1, 2] | sort | join(' ')", "1 2 3");
    gives("[3, 1.5] | min ~ ([3, 1] | max)", "1.53");
    gives("range(4) | sum", "6");
    gives("missing | default('none')", "none");
    gives("missing is not defined and fast is odd", "true");
    gives("{'b': 1, 'a': mode} | tojson", r#"{"a":"long","b":1}"#);
    gives("mode | length", "4");
}

#[test]
fn what_can_only_be_a_mistake_is_an_error() {
    fails("missing + 1", "`missing` is undefined");
    fails("mode < 10", "the text \"long\" is compared with the number 10");
    fails("'5' == 5", "the text \"5\" is compared with the number 5");
    fails("fast in ['5', '7']", "both must be numbers, or both texts");
    fails("['a', 1] | sort", "is compared with");
    fails("mode * 3", "`*` needs two numbers, not the text \"long\" and the number 3");
    fails("fast / 0", "no result");
    fails("2 ** 200", "no result");
    fails("mode | uper", "did you mean `upper`?");
    fails("fast is prime", "there is no test `prime`");
    fails("mode.upper()", "write the filter: `x | upper`");
    fails("namespace(a=1)", "there is no function `namespace`");
    fails("fast +", "unexpected end of input");
}

#[test]
fn too_much_text_is_refused_before_it_is_made() {
    let long = |count: usize| vec!["mode"; count].join(" ~ ");
    fails("'x' * 100000000", "`*` needs two numbers");
    fails("[1] * 100000000", "`*` needs two numbers");
    fails("range(99000) | sum", "1000 numbers at most");
    fails("'%999999999d' | format(1)", "two digits at most");
    fails("'%*d' | format(99999999, 1)", "is no `*`");
    fails("mode | indent(999999999)", "100 at most");
    fails("fast | round(-2000000000)", "30 digits at most");
    fails("mode | center(999999999)", "there is not a filter `center`");
    fails("[1] | batch(999999999, 'x') | list", "there is not a filter `batch`");
    fails("mode | tojson(indent=99999999)", "takes no `indent=`");
    let doubled = "'aaaaaaaaaa'".to_owned() + &" | replace('a', 'aaaaaaaaaa')".repeat(12);
    fails(&doubled, "its texts grow beyond 128 KiB");
    let joined = "'aaaaaaaaaa'".to_owned() + &" | list | join('aaaaaaaaaaaaaaaaaaaa')".repeat(12);
    fails(&joined, "its texts grow beyond 128 KiB");
    let long = text(&long(40)).map(|text| text.len());
    assert_eq!(long, Ok(160));
}

/// The shapes that a parser, a compiler or a destructor recurses over, each as large as the limit allows and far beyond.
fn deep(count: usize) -> Vec<String> {
    vec![
        "-".repeat(count) + "1",
        "not ".repeat(count) + "fast",
        "1".to_owned() + &"+1".repeat(count),
        "1".to_owned() + &"~1".repeat(count),
        "fast".to_owned() + &" or fast".repeat(count),
        "fast".to_owned() + &" < fast".repeat(count),
        "fast".to_owned() + &" | abs".repeat(count),
        "fast".to_owned() + &" is odd".repeat(count),
        "fast".to_owned() + &".a".repeat(count),
        "fast".to_owned() + &"[0]".repeat(count),
        "1 if fast else ".repeat(count) + "2",
        "2 ** ".repeat(count) + "2",
        "(".repeat(count) + "1" + &")".repeat(count),
        "[".repeat(count) + "1" + &"]".repeat(count),
        "{1:".repeat(count) + "1" + &"}".repeat(count),
        "range(".repeat(count) + "1" + &")".repeat(count),
        "fast is divisibleby ".repeat(count) + "2",
        "(-not ".repeat(count),
    ]
}

#[test]
fn nothing_recurses_beyond_a_small_stack() {
    // Tokio's threads have 2 MiB.
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        for count in [
            MAX_NESTING,
            MAX_DEPTH - 1,
            MAX_DEPTH,
            MAX_OPERATORS / 2 - 1,
            MAX_OPERATORS,
            1_000,
            5_000,
            300_000,
        ] {
            for source in deep(count) {
                // The answer is of no interest here: that there is one is.
                match text(&source) {
                    Ok(made) => assert!(made.len() <= MAX_BYTES),
                    Err(error) => assert!(!error.is_empty()),
                }
            }
        }
        let nested = deep(MAX_NESTING).iter().filter(|source| text(source).is_ok()).count();
        assert!(nested >= 8, "{nested} of the shapes work below the limit");
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn size_is_refused_with_the_limit() {
    fails(&("'".to_owned() + &"x".repeat(MAX_SOURCE) + "'"), "16384 at most");
    fails(&("1".to_owned() + &"+1".repeat(60)), "nested deeper than 50");
    gives(&("fast == 1".to_owned() + &" or fast == 5".repeat(140)), "true");
    fails(&"-".repeat(5_000), "more than 300 operators");
    fails(&("(".repeat(21) + "1" + &")".repeat(21)), "nested deeper than 20");
    let many: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    gives(&format!("fast in [{}]", many.join(", ")), "true");
}
